//! The text of a file: unpacked, as UTF-8, with every line ended in the same way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::read::MultiGzDecoder;

/// The beginning from which the encoding is recognised, in bytes.
const START_LEN: usize = 64 << 10;

/// The beginnings of files that are no text, and what they are.
const NO_TEXTS: [(&[u8], &str); 7] = [
    (b"PK\x03\x04", "an Excel workbook or another ZIP archive"),
    (b"\xD0\xCF\x11\xE0", "an old Excel workbook"),
    (b"PAR1", "a Parquet file"),
    (b"\x28\xB5\x2F\xFD", "compressed with zstd"),
    (b"SQLite format 3", "an SQLite database"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture"),
];
/// Bytes of the longest of them.
const SIGNATURE_LEN: usize = 15;

/// The text of a recording.
pub(crate) type Text = Box<dyn BufRead + Send>;

/// Returns the text of a file, and its encoding.
pub(crate) fn open(
    path: &Path,
    encoding: Option<&'static Encoding>,
) -> io::Result<(Text, &'static Encoding)> {
    unpacked(File::open(path)?, encoding)
}

/// Returns a text, unpacked, without a byte order mark, and its encoding: the given one, or one that fits its beginning.
pub(crate) fn unpacked(
    packed: impl Read + Send + 'static,
    encoding: Option<&'static Encoding>,
) -> io::Result<(Text, &'static Encoding)> {
    const GZIP: &[u8] = b"\x1f\x8b";

    let (start, file) = peeked(BufReader::new(packed), SIGNATURE_LEN)?;
    if let Some((_, kind)) = NO_TEXTS.iter().find(|(signature, _)| start.starts_with(signature)) {
        let reason = format!("it is {kind}; save the table as CSV");
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    let bytes: Box<dyn Read + Send> =
        if start.starts_with(GZIP) { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
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
    Ok((Box::new(BufReader::new(LineFeeds::new(text).chain(&b"\n"[..]))), encoding))
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
        let (mut text, encoding) = unpacked(io::Cursor::new(bytes.to_vec()), None).unwrap();
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

    #[test]
    fn files_that_are_no_text_are_called_what_they_are() {
        for (bytes, kind) in [
            (&b"PK\x03\x04\x14"[..], "Excel"),
            (b"PAR1\x15", "Parquet"),
            (b"SQLite format 3\0", "SQLite"),
        ] {
            let error = unpacked(io::Cursor::new(bytes.to_vec()), None).map(drop).unwrap_err();
            assert!(error.to_string().contains(kind), "{error}");
        }
    }
}
