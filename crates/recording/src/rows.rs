//! The rows of a text, none longer than a megabyte.
//!
//! A quote that is never closed, or a file that is no CSV at all, would otherwise be read into memory as
//! one row.

use std::io::{self, BufRead as _, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::layout::Layout;
use crate::text::Text;

/// Bytes of the longest row.
const ROW_LEN_MAX: usize = 1 << 20;

/// A reader of the rows behind the header.
pub(crate) struct Rows {
    reader: csv::Reader<Bounded>,
    left: Arc<AtomicUsize>,
    n_lines_before: u64,
}

impl Rows {
    pub(crate) fn new(mut text: Text, layout: &Layout) -> io::Result<Self> {
        for _ in 0..layout.n_lines_before {
            text.skip_until(b'\n')?;
        }
        let left = Arc::new(AtomicUsize::new(0));
        let text = Bounded { text, left: Arc::clone(&left) };
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(layout.delimiter).comment(layout.comment).has_headers(false);
        // Rows of another width are faults of the row, not the end of the file.
        let reader = builder.flexible(true).from_reader(text);
        Ok(Self { reader, left, n_lines_before: layout.n_lines_before })
    }

    /// Reads the next row. Returns `false` at the end.
    pub(crate) fn read(&mut self, record: &mut csv::ByteRecord) -> io::Result<bool> {
        self.left.store(ROW_LEN_MAX, Ordering::Relaxed);
        self.reader.read_byte_record(record).map_err(io::Error::from)
    }

    /// Returns the line that a record begins on, from 1, when it has just been read.
    pub(crate) fn line(&self, record: &csv::ByteRecord) -> u64 {
        let n_inner_breaks: u64 =
            record.as_slice().iter().map(|&byte| u64::from(byte == b'\n')).sum();
        // Where the reader began may be a blank line before the record. Where it ended may be the end of
        // the file, far behind the line of a quote that is never closed.
        let began = record.position().map_or(0, csv::Position::line);
        let end = self.reader.position().line();
        self.n_lines_before + began.max(end.saturating_sub(n_inner_breaks + 1))
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
