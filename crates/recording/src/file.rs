//! A recording on the disk: its header now, its rows on demand.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use sensor::FeatureSchema;

use crate::columns::{Columns, Role};
use crate::error::{OpenError, ReadError};
use crate::number;
use crate::rows::Rows;

/// A longer first line names no columns.
const HEADER_LEN_MAX: u64 = 1 << 20;

/// A CSV file whose first line names its columns.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
    delimiter: u8,
    columns: Columns,
}

impl Recording {
    /// Reads the header of a file.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, has no header, or two columns of one name.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let unreadable = |source| OpenError::Read { path: path.to_owned(), source };
        let is_read_twice = fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir());
        if is_read_twice {
            let reason =
                "it is a pipe or a device, and is read several times; write it to a file first";
            return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, reason)));
        }
        let text = text(path).map_err(unreadable)?;
        Self::begin(path, text).map(|(recording, _)| recording)
    }

    /// Reads the header of a text, and gives the text back as if nothing had been read.
    pub(crate) fn begin(path: &Path, mut text: Text) -> Result<(Self, Text), OpenError> {
        let path = path.to_owned();
        let mut header = Vec::new();
        text.by_ref()
            .take(HEADER_LEN_MAX)
            .read_until(b'\n', &mut header)
            .map_err(|source| OpenError::Read { path: path.clone(), source })?;
        if header.len() as u64 == HEADER_LEN_MAX {
            return Err(OpenError::HeaderTooLong { path });
        }
        let Ok(header) = String::from_utf8(header) else {
            return Err(OpenError::Header { path });
        };
        if header.trim().is_empty() {
            return Err(OpenError::Empty { path });
        }
        let delimiter = delimiter(&header);

        let mut reader =
            csv::ReaderBuilder::new().delimiter(delimiter).from_reader(header.as_bytes());
        let names: Vec<String> = match reader.headers() {
            Ok(names) => names.iter().map(|name| String::from(name.trim())).collect(),
            Err(_) => return Err(OpenError::Header { path }),
        };
        for (index, name) in names.iter().enumerate() {
            if !name.is_empty() && names[..index].contains(name) {
                return Err(OpenError::DuplicateColumn { path, name: name.clone() });
            }
        }
        let text = Box::new(io::Cursor::new(header).chain(text));
        Ok((Self { path, delimiter, columns: Columns::new(names) }, text))
    }

    /// Opens a reader that has columns of these names, and no text.
    pub(crate) fn of_columns(path: &Path, names: Vec<String>) -> Self {
        Self { path: path.to_owned(), delimiter: b',', columns: Columns::new(names) }
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the columns that can be features: all but time, sequence, station, label and those without a
    /// name.
    pub fn feature_columns(&self) -> Vec<&str> {
        self.columns.features()
    }

    /// Returns `true` if the rows say when they were measured.
    pub fn has_times(&self) -> bool {
        self.columns.telling(Role::Timestamp).is_some()
    }

    /// Returns `true` if the rows name their stations.
    pub fn has_stations(&self) -> bool {
        self.columns.telling(Role::StationId).is_some()
    }

    /// Returns the feature columns that hold a number somewhere; what else they hold is a fault of its row.
    ///
    /// This reads the file, as far as it has to.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn numeric_columns(&self) -> Result<Vec<String>, ReadError> {
        let is_feature = |&index: &usize| self.columns.role(index) == Role::Feature;
        let mut candidates: Vec<usize> =
            (0..self.columns.names().len()).filter(is_feature).collect();
        let mut numeric = Vec::new();
        let mut record = csv::ByteRecord::new();
        let mut reader = self.reader()?;
        while !candidates.is_empty()
            && reader.read(&mut record).map_err(|error| self.read_error(error))?
        {
            numeric.extend(candidates.extract_if(.., |index| {
                let cell = record.get(*index).and_then(|cell| std::str::from_utf8(cell).ok());
                cell.is_some_and(|cell| number::parse(cell.trim(), self.delimiter).is_some())
            }));
        }
        numeric.sort_unstable();
        Ok(numeric.into_iter().map(|index| self.columns.names()[index].clone()).collect())
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn delimiter(&self) -> u8 {
        self.delimiter
    }

    pub(crate) fn read_error(&self, source: io::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }

    pub(crate) fn reader(&self) -> Result<Rows, ReadError> {
        let text = text(&self.path).map_err(|source| self.read_error(source))?;
        Ok(self.reader_of(text))
    }

    pub(crate) fn reader_of(&self, text: Text) -> Rows {
        Rows::new(text, self.delimiter)
    }

    /// Returns the columns of the features of a schema.
    pub(crate) fn columns_of(&self, schema: &FeatureSchema) -> Result<Vec<usize>, OpenError> {
        let column_of = |name: &str| {
            let (path, name) = (self.path.clone(), String::from(name));
            match self.columns.position(&name) {
                None => {
                    Err(OpenError::NoColumn { path, name, columns: self.columns.names().to_vec() })
                }
                Some(index) if self.columns.role(index) == Role::Label => {
                    Err(OpenError::LabelAsFeature { path, name })
                }
                Some(index) => Ok(index),
            }
        };
        schema.features().iter().map(|feature| column_of(&feature.name)).collect()
    }
}

/// The text of a recording.
pub(crate) type Text = Box<dyn BufRead + Send>;

/// Returns the text of a file.
fn text(path: &Path) -> io::Result<Text> {
    unpacked(File::open(path)?)
}

/// Returns a text, unpacked, without a byte order mark.
pub(crate) fn unpacked(packed: impl Read + Send + 'static) -> io::Result<Text> {
    const GZIP: &[u8] = b"\x1f\x8b";
    const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

    let (start, file) = peeked::<2>(BufReader::new(packed))?;
    let unpacked: Box<dyn Read + Send> =
        if start == GZIP { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let (start, mut text) = peeked::<3>(unpacked)?;
    if start == BYTE_ORDER_MARK {
        text.read_exact(&mut [0; 3])?;
    }
    // The last line ends like all others, so that its number can be told in the same way.
    Ok(Box::new(BufReader::new(LineFeeds::new(text).chain(&b"\n"[..]))))
}

/// Returns the first bytes, at most `N`, and a reader that still has them.
fn peeked<const N: usize>(mut reader: impl Read) -> io::Result<(Vec<u8>, impl Read)> {
    let mut start = Vec::with_capacity(N);
    reader.by_ref().take(N as u64).read_to_end(&mut start)?;
    let again = io::Cursor::new(start.clone());
    Ok((start, again.chain(reader)))
}

/// A text in which every line ends with a line feed, whatever it ended with before.
struct LineFeeds<R> {
    text: R,
    /// `true` if the last byte was a carriage return, whose line feed was given already.
    is_after_return: bool,
}

impl<R: Read> LineFeeds<R> {
    fn new(text: R) -> Self {
        Self { text, is_after_return: false }
    }
}

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let n_read = self.text.read(buffer)?;
            let mut n_kept = 0;
            for i in 0..n_read {
                let byte = buffer[i];
                if !(byte == b'\n' && self.is_after_return) {
                    buffer[n_kept] = if byte == b'\r' { b'\n' } else { byte };
                    n_kept += 1;
                }
                self.is_after_return = byte == b'\r';
            }
            // Nothing kept of something read is not the end.
            if n_kept > 0 || n_read == 0 {
                return Ok(n_kept);
            }
        }
    }
}

/// Returns `;` where the header has more of them than `,`.
fn delimiter(header: &str) -> u8 {
    let count = |separator| header.matches(separator).count();
    if count(';') > count(',') { b';' } else { b',' }
}
