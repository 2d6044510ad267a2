//! The text of a file: unpacked, as UTF-8, with every line ended in the same way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;
use tempfile::NamedTempFile;

use crate::tables::{self, Converted};
use crate::zstd;

/// The beginning from which the encoding is recognised, in bytes.
const START_LEN: usize = 64 << 10;

/// The text of a recording.
pub(crate) type Text = Box<dyn BufRead + Send>;

/// A text that was opened.
pub(crate) struct Opened {
    pub(crate) text: Text,
    pub(crate) encoding: &'static Encoding,
    /// The kind of table that it was, where it was no text.
    pub(crate) table: Option<String>,
}

/// Opens the text of a file that is one.
pub(crate) fn open(path: &Path, encoding: Option<&'static Encoding>) -> io::Result<Opened> {
    unpacked(File::open(path)?, encoding, None)
}

/// Returns a text, unpacked, without a byte order mark, and its encoding: the given one, or one that fits its beginning.
///
/// A table that is no text is first written to a temporary file: of a workbook, the one in the `sheet` of this name.
pub(crate) fn unpacked(
    packed: impl Read + Send + 'static,
    encoding: Option<&'static Encoding>,
    sheet: Option<&str>,
) -> io::Result<Opened> {
    const GZIP: &[u8] = b"\x1f\x8b";
    const ZSTD: &[u8] = b"\x28\xB5\x2F\xFD";

    let (start, mut file) = peeked(BufReader::new(packed), tables::SIGNATURE_LEN)?;
    if tables::kind_of(&start).is_some() || sheet.is_some() {
        let mut copy = NamedTempFile::new()?;
        io::copy(&mut file, &mut copy)?;
        copy.flush()?;
        let Some(Converted { csv, in_words }) = tables::converted(copy.path(), sheet)? else {
            return unpacked(copy.reopen()?, encoding, None);
        };
        let opened = open(csv.path(), Some(UTF_8))?;
        return Ok(Opened { table: Some(in_words), ..opened });
    }
    let is_skipped_frame = matches!(*start, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..]);
    let bytes: Box<dyn Read + Send> = if start.starts_with(GZIP) {
        Box::new(MultiGzDecoder::new(file))
    } else if start.starts_with(ZSTD) || is_skipped_frame {
        Box::new(zstd::Frames::new(BufReader::new(file)))
    } else {
        Box::new(file)
    };
    let (start, bytes) = peeked(bytes, START_LEN)?;
    let encoding = encoding.unwrap_or_else(|| encoding_of(&start));
    let mark = Encoding::for_bom(&start);
    let text: Box<dyn Read + Send> = if encoding == UTF_8 {
        let mut text = bytes;
        let n_mark = mark.map_or(0, |(_, len)| len);
        io::copy(&mut text.by_ref().take(n_mark as u64), &mut io::sink())?;
        Box::new(text)
    } else {
        Box::new(DecodeReaderBytesBuilder::new().encoding(Some(encoding)).build(bytes))
    };
    // The last line ends like all others, so that its number can be told in the same way.
    let text = Box::new(BufReader::new(LineFeeds::new(text).chain(&b"\n"[..])));
    Ok(Opened { text, encoding, table: None })
}

/// Returns the encoding of a text by its beginning.
fn encoding_of(start: &[u8]) -> &'static Encoding {
    if let Some((encoding, _)) = Encoding::for_bom(start) {
        return encoding;
    }
    // Of most characters in UTF-16, one byte is 0.
    let n_zeros =
        |first: usize| start.iter().skip(first).step_by(2).filter(|&&byte| byte == 0).count();
    let is_mostly = |n_zeros: usize| start.len() > 1 && n_zeros > start.len() / 4;
    match std::str::from_utf8(start) {
        _ if is_mostly(n_zeros(1)) => UTF_16LE,
        _ if is_mostly(n_zeros(0)) => UTF_16BE,
        // The end may lie in a character.
        Err(error) if error.error_len().is_some() => WINDOWS_1252,
        _ => UTF_8,
    }
}

/// Returns the first bytes, at most `len`, and a reader that still has them.
fn peeked(mut reader: impl Read, len: usize) -> io::Result<(Vec<u8>, impl Read)> {
    let mut start = Vec::new();
    reader.by_ref().take(len as u64).read_to_end(&mut start)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> (String, &'static Encoding) {
        let opened = unpacked(io::Cursor::new(bytes.to_vec()), None, None).unwrap();
        let Opened { mut text, encoding, .. } = opened;
        let mut read = String::new();
        text.read_to_string(&mut read).unwrap();
        (read, encoding)
    }

    #[test]
    fn encodings_are_recognised() {
        let utf_16: Vec<u8> = "°C;1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = |mark: &[u8], rest: &[u8]| [mark, rest].concat();
        assert_eq!(text("°C;1\r\n".as_bytes()), (String::from("°C;1\n\n"), UTF_8));
        assert_eq!(text(&marked(b"\xEF\xBB\xBF", "°C;1\n".as_bytes())).0, "°C;1\n\n");
        assert_eq!(text(&utf_16), (String::from("°C;1\n\n"), UTF_16LE));
        assert_eq!(text(&marked(b"\xFF\xFE", &utf_16)), (String::from("°C;1\n\n"), UTF_16LE));
        assert_eq!(text(b"\xB0C;1\n"), (String::from("°C;1\n\n"), WINDOWS_1252));
        assert_eq!(text(b"").0, "\n");
    }
}
