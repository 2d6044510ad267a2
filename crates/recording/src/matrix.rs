//! Raw matrices: numbers one after another, row by row, in little-endian order.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use sensor::{FeatureSchema, StationId};

use crate::error::{BadRow, ReadError};
use crate::file::Recording;
use crate::stations::Stations;

/// The number format of a raw matrix.
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

/// The rows of a raw matrix, whose columns are the features of a schema.
pub struct Matrix<'s> {
    recording: Recording,
    schema: &'s FeatureSchema,
    bytes: Box<dyn BufRead + Send>,
    element: Element,
    /// The bytes of the row that was read last.
    row: Vec<u8>,
    /// Rows read so far.
    n_rows: u64,
    made_up_station: StationId,
}

impl<'s> Matrix<'s> {
    /// Takes `bytes` for rows of values of a schema's features; `path` is what they are called where
    /// they are wrong.
    pub fn new(
        bytes: impl Read + Send + 'static,
        path: &Path,
        element: Element,
        schema: &'s FeatureSchema,
    ) -> Self {
        let names = schema.features().iter().map(|feature| feature.name.to_string()).collect();
        Self {
            recording: Recording::of_columns(path, names),
            schema,
            bytes: Box::new(BufReader::with_capacity(1 << 20, bytes)),
            element,
            row: vec![0; schema.len() * element.len()],
            n_rows: 0,
            made_up_station: Stations::of_file(path).into_of_file(),
        }
    }

    /// Returns the station of all rows: made up of the file's name.
    pub fn station(&self) -> &str {
        self.made_up_station.as_str()
    }

    /// Reads a row and appends its values; a bad row appends none. `None` is the end.
    ///
    /// # Errors
    ///
    /// Fails when reading fails, and when the bytes end in the middle of a row.
    pub fn read(&mut self, values: &mut Vec<f64>) -> Result<Option<Result<(), BadRow>>, ReadError> {
        let is_end = self.bytes.fill_buf().map(<[u8]>::is_empty);
        let read = is_end.and_then(|is_end| {
            if is_end { Ok(false) } else { self.bytes.read_exact(&mut self.row).map(|()| true) }
        });
        self.n_rows += 1;
        match read {
            Ok(false) => return Ok(None),
            Ok(true) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                let message = format!(
                    "it ends in the middle of row {}: a row of {} features has {} bytes",
                    self.n_rows,
                    self.schema.len(),
                    self.row.len()
                );
                return Err(self.recording.read_error(io::Error::new(error.kind(), message)));
            }
            Err(error) => return Err(self.recording.read_error(error)),
        }
        let n_before = values.len();
        match self.element {
            Element::F32 => {
                let floats = self.row.as_chunks().0.iter();
                values.extend(floats.map(|&bytes| f64::from(f32::from_le_bytes(bytes))));
            }
            Element::F64 => {
                let floats = self.row.as_chunks().0.iter();
                values.extend(floats.map(|&bytes| f64::from_le_bytes(bytes)));
            }
        }
        let checked = self.schema.check_values(&values[n_before..]).map_err(|invalid| {
            values.truncate(n_before);
            BadRow {
                path: self.recording.path().to_owned(),
                line: self.n_rows,
                faults: self.recording.faults_of(&invalid),
            }
        });
        Ok(Some(checked))
    }
}

impl fmt::Debug for Matrix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matrix")
            .field("recording", &self.recording)
            .field("element", &self.element)
            .field("n_rows", &self.n_rows)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sensor::Feature;

    use super::*;

    fn schema() -> FeatureSchema {
        let limited = Feature { minimum: Some(0.0), ..Feature::named("flow") };
        FeatureSchema::new(vec![Feature::named("pressure"), limited]).unwrap()
    }

    #[test]
    fn rows_are_widened_and_checked() {
        let bytes: Vec<u8> =
            [1.0_f32, 2.0, 0.1, -1.0, 5.0, 6.0].into_iter().flat_map(f32::to_le_bytes).collect();
        let schema = schema();
        let mut matrix =
            Matrix::new(io::Cursor::new(bytes), Path::new("m.f32"), Element::F32, &schema);
        let mut values = Vec::new();
        let rows: Vec<_> = std::iter::from_fn(|| matrix.read(&mut values).unwrap()).collect();
        assert_eq!(values, [1.0, 2.0, 5.0, 6.0]);
        assert_eq!([rows[0].is_ok(), rows[1].is_ok(), rows[2].is_ok()], [true, false, true]);
        let bad_row = rows[1].as_ref().unwrap_err().to_string();
        assert!(bad_row.starts_with("m.f32:2: column 2 (flow) "), "{bad_row}");
    }

    #[test]
    fn a_truncated_row_is_reported() {
        let schema = schema();
        let bytes = io::Cursor::new([0; 2 * 16 + 12]);
        let mut matrix = Matrix::new(bytes, Path::new("m.f64"), Element::F64, &schema);
        let mut values = Vec::new();
        assert_eq!(matrix.read(&mut values).unwrap(), Some(Ok(())));
        assert_eq!(matrix.read(&mut values).unwrap(), Some(Ok(())));
        assert_eq!(
            matrix.read(&mut values).unwrap_err().source.to_string(),
            "it ends in the middle of row 3: a row of 2 features has 16 bytes"
        );
    }
}
