//! Raw matrices: numbers one after another, row by row, in little-endian order.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::error::ReadError;

/// What a raw matrix consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// Floats of 32 bits.
    F32,
    /// Floats of 64 bits.
    F64,
}

impl Element {
    /// Bytes of a value.
    const fn len(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// A raw matrix that is read row by row.
pub struct Matrix {
    path: PathBuf,
    bytes: Box<dyn Read + Send>,
    element: Element,
    n_features: usize,
    /// Rows read so far.
    n_rows: u64,
}

impl Matrix {
    /// Takes `bytes` for rows of `n_features` values; `path` is what they are called where they are
    /// at fault.
    ///
    /// # Panics
    ///
    /// Panics when rows would have no value.
    pub fn new(
        bytes: impl Read + Send + 'static,
        path: &Path,
        element: Element,
        n_features: usize,
    ) -> Self {
        assert!(n_features > 0, "a row has a value at least");
        Self { path: path.to_owned(), bytes: Box::new(bytes), element, n_features, n_rows: 0 }
    }

    /// Appends the values of up to `n_rows` rows, and says of how many; 0 is the end.
    ///
    /// # Errors
    ///
    /// Fails when reading fails, and when the bytes end in the middle of a row.
    pub fn read(&mut self, n_rows: usize, values: &mut Vec<f64>) -> Result<usize, ReadError> {
        let row_len = self.n_features * self.element.len();
        let mut bytes = Vec::with_capacity(n_rows * row_len);
        let wanted = (n_rows * row_len) as u64;
        let read = self.bytes.by_ref().take(wanted).read_to_end(&mut bytes);
        read.map_err(|source| ReadError { path: self.path.clone(), source })?;
        if !bytes.len().is_multiple_of(row_len) {
            let row = self.n_rows + (bytes.len() / row_len) as u64 + 1;
            let message = format!(
                "it ends in the middle of row {row}: a row of {} features has {row_len} bytes",
                self.n_features
            );
            let source = io::Error::new(io::ErrorKind::UnexpectedEof, message);
            return Err(ReadError { path: self.path.clone(), source });
        }
        match self.element {
            Element::F32 => {
                let floats = bytes.as_chunks().0.iter();
                values.extend(floats.map(|&bytes| f64::from(f32::from_le_bytes(bytes))));
            }
            Element::F64 => {
                values.extend(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)));
            }
        }
        let n_read = bytes.len() / row_len;
        self.n_rows += n_read as u64;
        Ok(n_read)
    }
}

impl fmt::Debug for Matrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("path", &self.path)
            .field("element", &self.element)
            .field("n_features", &self.n_features)
            .field("n_rows", &self.n_rows)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_in_parts_and_widened() {
        let bytes: Vec<u8> = [1.0_f32, 2.0, 0.1, f32::NAN, 5.0, 6.0]
            .into_iter()
            .flat_map(f32::to_le_bytes)
            .collect();
        let mut matrix = Matrix::new(io::Cursor::new(bytes), Path::new("m.f32"), Element::F32, 2);
        let mut values = Vec::new();
        assert_eq!(matrix.read(2, &mut values).unwrap(), 2);
        assert_eq!(values[..3], [1.0, 2.0, f64::from(0.1_f32)]);
        assert!(values[3].is_nan());
        assert_eq!(matrix.read(2, &mut values).unwrap(), 1);
        assert_eq!(values[4..], [5.0, 6.0]);
        assert_eq!(matrix.read(2, &mut values).unwrap(), 0);
    }

    #[test]
    fn a_row_that_is_cut_off_is_told() {
        let bytes = [0; 2 * 16 + 12];
        let mut matrix = Matrix::new(io::Cursor::new(bytes), Path::new("m.f64"), Element::F64, 2);
        let error = matrix.read(10, &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.source.to_string(),
            "it ends in the middle of row 3: a row of 2 features has 16 bytes"
        );
    }
}
