//! Rows out of a damaged database, page by page, without its trees.
//!
//! Every page that looks like a part of a table is read on its own, whether or not a tree leads to it.
//! Each row has a hash, by which rows that were read wrongly are recognised. The layout of pages, cells and records is that of
//! <https://www.sqlite.org/fileformat2.html>.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use files::beside;
use store::{RowContent, RowHash};

use crate::wal::{FRAME_HEADER_LEN, HEADER_LEN as WAL_HEADER_LEN};

/// A prediction as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RawRow {
    pub(crate) station_id: String,
    pub(crate) timestamp_us: i64,
    pub(crate) sequence: i64,
    pub(crate) id: i64,
    pub(crate) features: String,
    pub(crate) anomaly_score: f64,
    pub(crate) p_value: f64,
    pub(crate) threshold: f64,
    pub(crate) is_anomaly: i64,
    pub(crate) attributions: String,
    pub(crate) model_version: String,
    pub(crate) received_us: i64,
    pub(crate) event_hash: Vec<u8>,
    /// `None` in rows from before rows had hashes.
    pub(crate) row_hash: Option<[u8; 16]>,
    pub(crate) evidence: Option<i64>,
    pub(crate) outside: Option<String>,
    pub(crate) baseline: Option<i64>,
    pub(crate) alarm: Option<String>,
}

/// The result of checking the hash of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Soundness {
    /// Its hash matches.
    Intact,
    /// It has no hash.
    Unproven,
    /// Its hash does not match.
    Altered,
}

impl RawRow {
    pub(crate) fn soundness(&self) -> Soundness {
        let content = RowContent {
            station_id: &self.station_id,
            timestamp_us: self.timestamp_us,
            sequence: self.sequence,
            features: &self.features,
            anomaly_score: self.anomaly_score,
            p_value: self.p_value,
            threshold: self.threshold,
            is_anomaly: self.is_anomaly,
            attributions: &self.attributions,
            model_version: &self.model_version,
            received_us: self.received_us,
            event_hash: &self.event_hash,
            evidence: self.evidence,
            outside: self.outside.as_deref(),
            baseline: self.baseline,
            alarm: self.alarm.as_deref(),
        };
        let expected = content.hash().with_id(self.id);
        match self.row_hash {
            None => Soundness::Unproven,
            Some(found) if RowHash(found) == expected => Soundness::Intact,
            Some(_) => Soundness::Altered,
        }
    }
}

/// The pages of a database and of its WAL.
pub(crate) struct Pages {
    /// Without it, there may still be a WAL.
    database: Option<File>,
    wal: Option<File>,
    page_len: usize,
    n_in_file: u64,
    n_frames: u64,
    /// The last frame of the WAL that holds a page.
    frames: HashMap<u32, u64>,
}

/// The place of the salts in the header of the WAL.
const SALTS_PLACE: u64 = 16;
/// The header of a frame: the number of its page first, and the salts after eight bytes.
type FrameHeader = [u8; FRAME_HEADER_LEN];
/// The length of a page where the header of the file does not tell.
const PAGE_LEN_DEFAULT: usize = 4_096;

impl Pages {
    /// Opens the files of a database.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut database = open(path)?;
        let mut header = [0; 18];
        let is_header = database.as_mut().is_some_and(|file| file.read_exact(&mut header).is_ok())
            && header.starts_with(b"SQLite format 3");
        let page_len = match u16::from_be_bytes([header[16], header[17]]) {
            1 if is_header => 65_536,
            len if is_header && len.is_power_of_two() && len >= 512 => len.into(),
            _ => PAGE_LEN_DEFAULT,
        };
        let wal = open(&beside(path, "-wal"))?;
        if database.is_none() && wal.is_none() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let len = |file: &Option<File>| -> io::Result<u64> {
            file.as_ref().map_or(Ok(0), |file| Ok(file.metadata()?.len()))
        };
        let (n_in_file, wal_len) = (len(&database)? / page_len as u64, len(&wal)?);
        let frame_len = FRAME_HEADER_LEN + page_len;
        let n_frames = wal_len.saturating_sub(WAL_HEADER_LEN) / frame_len as u64;
        let mut pages =
            Self { database, wal, page_len, n_in_file, n_frames, frames: HashMap::new() };
        if n_frames > 0 {
            // Frames of an earlier run of the WAL follow those of the present one, and have other salts.
            let salts: [u8; 8] = pages.read_wal(SALTS_PLACE)?;
            for frame in 0..n_frames {
                let header: FrameHeader = pages.read_wal(pages.frame_place(frame))?;
                if header[8..16] == salts {
                    pages.frames.insert(page_number(&header), frame);
                }
            }
        }
        Ok(pages)
    }

    /// Returns the number of pages, in both files.
    pub(crate) fn len(&self) -> u64 {
        self.n_in_file + self.n_frames
    }

    /// Returns the rows on a page, counted through both files. A row may be on several pages.
    ///
    /// # Errors
    ///
    /// Fails when a file cannot be read.
    pub(crate) fn rows(&mut self, index: u64) -> io::Result<Vec<RawRow>> {
        let (page, is_first) = if index < self.n_in_file {
            (self.read_page(index)?, index == 0)
        } else {
            let (number, page) = self.read_frame(index - self.n_in_file)?;
            (page, number == 1)
        };
        let rows = cells(&page, is_first).filter_map(|cell| record(&self.payload(cell)?));
        Ok(rows.collect())
    }

    fn read_page(&mut self, index: u64) -> io::Result<Vec<u8>> {
        let mut page = vec![0; self.page_len];
        let database = self.database.as_mut().ok_or(io::ErrorKind::NotFound)?;
        database.seek(SeekFrom::Start(index * self.page_len as u64))?;
        database.read_exact(&mut page)?;
        Ok(page)
    }

    fn frame_place(&self, frame: u64) -> u64 {
        WAL_HEADER_LEN + frame * (FRAME_HEADER_LEN + self.page_len) as u64
    }

    /// Reads bytes of the WAL, which continues after them.
    fn read_wal<const N: usize>(&mut self, place: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        let wal = self.wal.as_mut().ok_or(io::ErrorKind::NotFound)?;
        wal.seek(SeekFrom::Start(place))?;
        wal.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Returns the number of the page in a frame, and its content.
    fn read_frame(&mut self, frame: u64) -> io::Result<(u32, Vec<u8>)> {
        let header: FrameHeader = self.read_wal(self.frame_place(frame))?;
        let mut page = vec![0; self.page_len];
        self.wal.as_mut().ok_or(io::ErrorKind::NotFound)?.read_exact(&mut page)?;
        Ok((page_number(&header), page))
    }

    /// Returns a page by its number, as it was last written.
    fn page(&mut self, number: u32) -> Option<Vec<u8>> {
        if let Some(&frame) = self.frames.get(&number) {
            return self.read_frame(frame).ok().map(|(_, page)| page);
        }
        self.read_page(u64::from(number).checked_sub(1)?).ok()
    }

    /// Returns the payload of a cell, with what overflows its page.
    fn payload(&mut self, cell: &[u8]) -> Option<Vec<u8>> {
        /// No prediction is larger.
        const PAYLOAD_LEN_MAX: usize = 16 << 20;
        let (len, rest) = varint(cell)?;
        let len = usize::try_from(len).ok().filter(|len| (16..=PAYLOAD_LEN_MAX).contains(len))?;
        let local_max = (self.page_len - 12) * 64 / 255 - 23;
        let local_min = (self.page_len - 12) * 32 / 255 - 23;
        if len <= local_max {
            return rest.get(..len).map(<[u8]>::to_vec);
        }
        let local = local_min + (len - local_min) % (self.page_len - 4);
        let local = if local <= local_max { local } else { local_min };
        let mut payload = rest.get(..local)?.to_vec();
        let mut next = rest.get(local..)?.first_chunk().copied().map(u32::from_be_bytes)?;
        while payload.len() < len {
            let page = self.page(next)?;
            let (link, content) = page.split_first_chunk()?;
            let missing = len - payload.len();
            payload.extend_from_slice(content.get(..missing.min(content.len()))?);
            next = u32::from_be_bytes(*link);
        }
        Some(payload)
    }
}

/// Returns the number of the page in the frame with this header.
fn page_number(header: &FrameHeader) -> u32 {
    u32::from_be_bytes(*header.first_chunk().expect("the header is longer"))
}

/// Opens a file; `None` when it is missing.
fn open(path: &Path) -> io::Result<Option<File>> {
    match std::fs::metadata(path) {
        Ok(file) if file.is_file() => File::open(path).map(Some),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the cells of a page of a table without row ids; none when it is another page.
fn cells(page: &[u8], is_first: bool) -> impl Iterator<Item = &[u8]> {
    /// The kinds of pages: within the tree, and at its end.
    const INTERIOR: u8 = 2;
    const LEAF: u8 = 10;
    /// The header of the file lies before that of the first page.
    const FILE_HEADER_LEN: usize = 100;

    let begin = if is_first { FILE_HEADER_LEN } else { 0 };
    let header = page.get(begin..).unwrap_or_default();
    let (header_len, link_len) = match header.first() {
        Some(&LEAF) => (8, 0),
        Some(&INTERIOR) => (12, 4),
        _ => (0, 0),
    };
    let n_cells = match header.get(3..5) {
        Some(&[high, low]) if header_len > 0 => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    };
    let places = header.get(header_len..).unwrap_or_default().as_chunks::<2>().0.iter();
    places.take(n_cells).filter_map(move |place| {
        page.get(usize::from(u16::from_be_bytes(*place))..)?.get(link_len..)
    })
}

/// Reads a number of one to nine bytes.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (index, &byte) in bytes.iter().enumerate().take(9) {
        if index == 8 {
            return Some((number << 8 | u64::from(byte), bytes.get(9..)?));
        }
        number = number << 7 | u64::from(byte & 0x7F);
        if byte < 0x80 {
            return Some((number, bytes.get(index + 1..)?));
        }
    }
    None
}

/// A value of a record.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

impl Value<'_> {
    fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// A whole number is stored as an integer, also in a column of real numbers.
    fn real(&self) -> Option<f64> {
        match self {
            Self::Real(number) => Some(*number),
            Self::Integer(number) => Some(*number as f64),
            _ => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            _ => None,
        }
    }
}

/// Reads a record as a prediction; `None` when it is none.
fn record(payload: &[u8]) -> Option<RawRow> {
    let (header_len, _) = varint(payload)?;
    let (header, mut content) = payload.split_at_checked(usize::try_from(header_len).ok()?)?;
    let (_, mut header) = varint(header)?;
    let mut values = Vec::new();
    while !header.is_empty() {
        let (kind, rest) = varint(header)?;
        header = rest;
        let (value, rest) = value(kind, content)?;
        content = rest;
        values.push(value);
    }
    // Rows from before a column was added end without it.
    let columns = 13..=18;
    if !columns.contains(&values.len()) {
        return None;
    }
    values.resize(*columns.end(), Value::Null);
    Some(RawRow {
        station_id: values[0].text()?,
        timestamp_us: values[1].integer()?,
        sequence: values[2].integer()?,
        id: values[3].integer()?,
        features: values[4].text()?,
        anomaly_score: values[5].real()?,
        p_value: values[6].real()?,
        threshold: values[7].real()?,
        is_anomaly: values[8].integer()?,
        attributions: values[9].text()?,
        model_version: values[10].text()?,
        received_us: values[11].integer()?,
        event_hash: match values[12] {
            Value::Blob(bytes) => bytes.to_vec(),
            _ => return None,
        },
        row_hash: match values[13] {
            Value::Null => None,
            Value::Blob(hash) => Some(hash.try_into().ok()?),
            _ => return None,
        },
        evidence: match values[14] {
            Value::Null => None,
            _ => Some(values[14].integer()?),
        },
        outside: match values[15] {
            Value::Null => None,
            _ => Some(values[15].text()?),
        },
        baseline: match values[16] {
            Value::Null => None,
            _ => Some(values[16].integer()?),
        },
        alarm: match values[17] {
            Value::Null => None,
            _ => Some(values[17].text()?),
        },
    })
}

/// Reads a value of a kind from the beginning of `content`, and returns the rest.
fn value(kind: u64, content: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let len = match kind {
        0 | 8 | 9 => 0,
        1..=4 => usize::try_from(kind).ok()?,
        5 => 6,
        6 | 7 => 8,
        10 | 11 => return None,
        kind => usize::try_from((kind - 12) / 2).ok()?,
    };
    let (bytes, rest) = content.split_at_checked(len)?;
    let value = match kind {
        0 => Value::Null,
        1..=6 => Value::Integer(bytes.iter().enumerate().fold(0, |number: i64, (index, &byte)| {
            // The first byte has the sign.
            let byte = if index == 0 { i64::from(byte.cast_signed()) } else { i64::from(byte) };
            number << 8 | byte
        })),
        7 => Value::Real(f64::from_be_bytes(bytes.try_into().ok()?)),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        kind if kind % 2 == 0 => Value::Blob(bytes),
        _ => Value::Text(bytes),
    };
    Some((value, rest))
}
