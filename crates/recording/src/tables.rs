//! Tables that are no text: workbooks and Parquet files, which are written as CSV first.
//!
//! They are then read as every other file is, so that one set of rules tells what columns mean.

#[cfg(feature = "parquet")]
mod parquet;
mod workbook;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// The beginnings of files that are no text, and what they are.
const SIGNATURES: [(&[u8], Kind); 7] = [
    (b"PK\x03\x04", Kind::Workbook),
    (b"\xD0\xCF\x11\xE0", Kind::OldWorkbook),
    (b"PAR1", Kind::Parquet),
    (b"SQLite format 3", Kind::Other("an SQLite database")),
    (b"%PDF", Kind::Other("a PDF document")),
    (b"\x89PNG", Kind::Other("a picture")),
    (b"7z\xBC\xAF\x27\x1C", Kind::Other("a 7-Zip archive")),
];
/// Bytes of the longest of them.
pub(crate) const SIGNATURE_LEN: usize = 15;

/// A file that is no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A ZIP archive: a workbook of a spreadsheet program.
    Workbook,
    /// A workbook of Excel before 2007, or one with a password.
    OldWorkbook,
    Parquet,
    /// Anything without rows, or with none that can be read.
    Other(&'static str),
}

/// A table as CSV.
pub(crate) struct Converted {
    pub(crate) csv: NamedTempFile,
    /// Its kind, for people.
    pub(crate) in_words: String,
}

/// Recognises a file that is no text by its beginning.
pub(crate) fn kind_of(start: &[u8]) -> Option<Kind> {
    let found = SIGNATURES.iter().find(|(signature, _)| start.starts_with(signature));
    found.map(|(_, kind)| *kind)
}

/// Writes the table of a file as CSV, if it is no text.
pub(crate) fn converted(path: &Path, sheet: Option<&str>) -> io::Result<Option<Converted>> {
    let mut start = Vec::new();
    File::open(path)?.take(SIGNATURE_LEN as u64).read_to_end(&mut start)?;
    let Some(kind) = kind_of(&start) else {
        return match sheet {
            Some(_) => Err(unusable("it is no workbook, of which --sheet could name a sheet")),
            None => Ok(None),
        };
    };
    let mut csv = NamedTempFile::new()?;
    let mut out = BufWriter::new(&mut csv);
    let in_words = match kind {
        Kind::Workbook | Kind::OldWorkbook => workbook::write_csv(path, kind, sheet, &mut out)?,
        Kind::Parquet => parquet_as_csv(path, &mut out)?,
        Kind::Other(what) => return Err(unusable(&format!("it is {what}; save the table as CSV"))),
    };
    out.flush()?;
    drop(out);
    Ok(Some(Converted { csv, in_words }))
}

#[cfg(feature = "parquet")]
fn parquet_as_csv(path: &Path, out: &mut dyn Write) -> io::Result<String> {
    parquet::write_csv(path, out)?;
    Ok(String::from("a Parquet file"))
}

#[cfg(not(feature = "parquet"))]
fn parquet_as_csv(_: &Path, _: &mut dyn Write) -> io::Result<String> {
    Err(unusable(
        "it is a Parquet file, and this program was built without them; build it with --features parquet, or save the table as CSV",
    ))
}

fn unusable(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
