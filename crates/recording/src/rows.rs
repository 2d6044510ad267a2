//! The rows of a text, none longer than a megabyte.
//!
//! A quote that is never closed, or a file that is no CSV at all, would otherwise be read into memory as
//! one row.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::file::Text;

/// Bytes of the longest row.
const ROW_LEN_MAX: usize = 1 << 20;

/// A reader of rows.
pub(crate) struct Rows {
    reader: csv::Reader<Bounded>,
    left: Arc<AtomicUsize>,
}

impl Rows {
    pub(crate) fn new(text: Text, delimiter: u8) -> Self {
        let left = Arc::new(AtomicUsize::new(0));
        let text = Bounded { text, left: Arc::clone(&left) };
        // Rows of another width are faults of the row, not the end of the file.
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.delimiter(delimiter).flexible(true).from_reader(text);
        Self { reader, left }
    }

    /// Reads the next row. Returns `false` at the end.
    pub(crate) fn read(&mut self, record: &mut csv::ByteRecord) -> io::Result<bool> {
        self.left.store(ROW_LEN_MAX, Ordering::Relaxed);
        self.reader.read_byte_record(record).map_err(io::Error::from)
    }

    /// Returns the place after the row that was read last.
    pub(crate) fn position(&self) -> &csv::Position {
        self.reader.position()
    }
}

/// A text of which so many bytes may be read before the end of a row.
struct Bounded {
    text: Text,
    left: Arc<AtomicUsize>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            let reason = "a row is longer than a megabyte; is a quote not closed?";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let n_read = self.text.read(buffer)?;
        self.left.store(left.saturating_sub(n_read), Ordering::Relaxed);
        Ok(n_read)
    }
}
