//! A recording on the disk: its header now, its rows on demand.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::columns::{Columns, Role};
use crate::error::{OpenError, ReadError};
use crate::number;

/// A CSV file whose first line names its columns.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
    delimiter: u8,
    /// Whether lines end with a carriage return and a line feed.
    has_carriage_returns: bool,
    columns: Columns,
}

impl Recording {
    /// Reads the header of a file.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, has no header, or two columns of one name.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let path = path.to_owned();
        let read_error = |source| OpenError::Read { path: path.clone(), source };
        let mut header = Vec::new();
        text(&path).map_err(read_error)?.read_until(b'\n', &mut header).map_err(read_error)?;
        let header =
            String::from_utf8(header).map_err(|_| OpenError::Header { path: path.clone() })?;
        if header.trim().is_empty() {
            return Err(OpenError::Empty { path });
        }
        let delimiter = delimiter(&header);
        let has_carriage_returns = header.ends_with("\r\n");

        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).from_reader(header.as_bytes());
        let names: Vec<String> = match reader.headers() {
            Ok(names) => names.iter().map(|name| String::from(name.trim())).collect(),
            Err(_) => return Err(OpenError::Header { path }),
        };
        for (index, name) in names.iter().enumerate() {
            if names[..index].contains(name) {
                return Err(OpenError::DuplicateColumn { path, name: name.clone() });
            }
        }
        Ok(Self { path, delimiter, has_carriage_returns, columns: Columns::new(names) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns that can be features: all but time, sequence, station and label.
    pub fn feature_columns(&self) -> Vec<&str> {
        self.columns.features()
    }

    /// Whether the rows say if they are anomalous.
    pub fn has_labels(&self) -> bool {
        self.columns.telling(Role::Label).is_some()
    }

    /// Whether the rows say when they were measured.
    pub fn has_times(&self) -> bool {
        self.columns.telling(Role::Timestamp).is_some()
    }

    /// The feature columns that hold numbers: every cell that is not empty, and at least one is not.
    ///
    /// This reads the whole file.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read to its end.
    pub fn numeric_columns(&self) -> Result<Vec<String>, ReadError> {
        let mut candidates: Vec<(usize, bool)> = self
            .columns
            .features()
            .iter()
            .filter_map(|name| self.columns.position(name))
            .map(|i| (i, false))
            .collect();
        let mut record = csv::ByteRecord::new();
        let mut reader = self.reader()?;
        while reader.read_byte_record(&mut record).map_err(|error| self.read_error(error.into()))? {
            candidates.retain_mut(|(index, has_number)| {
                let cell = record
                    .get(*index)
                    .and_then(|cell| std::str::from_utf8(cell).ok())
                    .map_or("", str::trim);
                let is_number = number::parse(cell, self.delimiter).is_some();
                *has_number |= is_number;
                is_number || cell.is_empty()
            });
        }
        candidates.retain(|(_, has_number)| *has_number);
        Ok(candidates.into_iter().map(|(index, _)| self.columns.names()[index].clone()).collect())
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// The line that a record begins on, when the reader has just read it.
    ///
    /// The position that a record itself carries is that of blank lines before it.
    pub(crate) fn line(&self, record: &csv::ByteRecord, end: &csv::Position) -> u64 {
        let n_inner_breaks: u64 =
            record.as_slice().iter().map(|&byte| u64::from(byte == b'\n')).sum();
        // The reader stands behind the line feed, but before it when a carriage return precedes.
        let n_breaks = n_inner_breaks + u64::from(!self.has_carriage_returns);
        end.line().saturating_sub(n_breaks)
    }

    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub(crate) fn read_error(&self, source: io::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }

    pub(crate) fn reader(&self) -> Result<csv::Reader<Box<dyn BufRead>>, ReadError> {
        let text = text(&self.path).map_err(|source| self.read_error(source))?;
        // The last line ends like all others, so that its number can be told in the same way.
        let line_end: &[u8] = if self.has_carriage_returns { b"\r\n" } else { b"\n" };
        let text: Box<dyn BufRead> = Box::new(text.chain(line_end));
        // Rows of another width are faults of the row, not the end of the file.
        Ok(csv::ReaderBuilder::new().delimiter(self.delimiter).flexible(true).from_reader(text))
    }
}

/// The text of a file, unpacked, without a byte order mark.
fn text(path: &Path) -> io::Result<Box<dyn BufRead>> {
    const GZIP: &[u8] = b"\x1f\x8b";
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

    let (start, file) = peeked::<2>(BufReader::new(File::open(path)?))?;
    let unpacked: Box<dyn Read> =
        if start == GZIP { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let (start, text) = peeked::<3>(unpacked)?;
    let mut text = BufReader::new(text);
    if start == BYTE_ORDER_MARK {
        text.read_exact(&mut [0; 3])?;
    }
    Ok(Box::new(text))
}

/// The first bytes, at most `N`, and a reader that still has them.
fn peeked<const N: usize>(mut reader: impl Read) -> io::Result<(Vec<u8>, impl Read)> {
    let mut start = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut start)?;
    let again = io::Cursor::new(start.clone());
    Ok((start, again.chain(reader)))
}

/// `;` where the header has more of them than `,`.
fn delimiter(header: &str) -> u8 {
    let count = |separator| header.matches(separator).count();
    if count(';') > count(',') { b';' } else { b',' }
}
