//! The outside of every file: what it is, and proof that it is whole.
//!
//! ```text
//! offset  bytes
//!      0      8  kind: what the payload is
//!      8      4  format version, little-endian
//!     12      8  length of the payload, little-endian
//!     20     32  SHA-256 of the payload
//!     52         payload: bincode, fixed-width little-endian integers
//! ```
//!
//! This is the one module that knows bincode.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Length of everything before the payload.
pub const HEADER_LEN: usize = 52;
/// No payload is longer.
pub const PAYLOAD_LEN_MAX: usize = 5 << 28;

/// An error that occurs when bytes are decoded.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// The first bytes are not those of this kind of file.
    #[error("not a file of this kind: its first bytes are others")]
    Kind,
    /// The file was written by a later program.
    #[error(
        "format version {found} is not known here, where {supported} is the latest; a newer program wrote it"
    )]
    Version {
        /// Version in the file.
        found: u32,
        /// Latest version that can be read.
        supported: u32,
    },
    /// Bytes are missing or follow the end.
    #[error(
        "{found} bytes where {expected} should be: the file is cut off or has something appended"
    )]
    Length {
        /// The length in the header, or the length of a header.
        expected: u64,
        /// The length found.
        found: u64,
    },
    /// The payload is not the one that was written.
    #[error("the checksum does not match: the file is damaged")]
    Checksum,
    /// The payload is not what the version prescribes.
    #[error("the content is not well-formed: {0}")]
    Malformed(&'static str),
    /// The nodes make no forest.
    #[error("the content is no forest")]
    Forest(#[from] crate::InvalidForest),
}

/// Writes a payload behind its header.
///
/// # Panics
///
/// Panics when the payload is longer than [`PAYLOAD_LEN_MAX`].
pub fn seal(kind: [u8; 8], version: u32, payload: &impl Serialize) -> Vec<u8> {
    let payload =
        bincode::serde::encode_to_vec(payload, CONFIG).expect("memory takes what is written to it");
    assert!(
        payload.len() <= PAYLOAD_LEN_MAX,
        "a payload of {} bytes could not be read again",
        payload.len()
    );
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend_from_slice(&kind);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&payload));
    bytes.extend_from_slice(&payload);
    bytes
}

/// Returns the format version that the bytes say they have; `None` when they have no header.
pub fn version(bytes: &[u8]) -> Option<u32> {
    bytes.get(8..12)?.try_into().ok().map(u32::from_le_bytes)
}

/// Returns the length that the header says the file has; `None` when there is no header.
pub fn expected_len(header: &[u8]) -> Option<u64> {
    let payload_len = header.get(12..20)?.try_into().ok().map(u64::from_le_bytes)?;
    Some(payload_len.saturating_add(HEADER_LEN as u64))
}

/// Reads the payload of a file of format version `version` or lower.
///
/// Nothing is decoded before the header, the length and the checksum have been found right, and
/// decoding allocates no more than a small multiple of what it has read.
///
/// # Errors
///
/// Fails when the bytes are of another kind, of a later version, cut off, longer than they say,
/// damaged or malformed.
pub fn open<'a, T: Deserialize<'a>>(
    kind: [u8; 8],
    version: u32,
    bytes: &'a [u8],
) -> Result<T, DecodeError> {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        let is_prefix = bytes.iter().zip(&kind).all(|(found, expected)| found == expected);
        return Err(if is_prefix {
            length_error(HEADER_LEN as u64, bytes.len())
        } else {
            DecodeError::Kind
        });
    };
    if header[..8] != kind {
        return Err(DecodeError::Kind);
    }
    let found = self::version(header).expect("a header has a version");
    if !(1..=version).contains(&found) {
        return Err(DecodeError::Version { found, supported: version });
    }
    let payload_len =
        u64::from_le_bytes(header[12..20].try_into().expect("the slice has eight bytes"));
    if payload_len != payload.len() as u64 {
        return Err(length_error(payload_len.saturating_add(HEADER_LEN as u64), bytes.len()));
    }
    if payload.len() > PAYLOAD_LEN_MAX {
        return Err(length_error((HEADER_LEN + PAYLOAD_LEN_MAX) as u64, bytes.len()));
    }
    if header[20..] != *Sha256::digest(payload) {
        return Err(DecodeError::Checksum);
    }
    let (value, consumed) = bincode::serde::borrow_decode_from_slice(payload, CONFIG)
        .map_err(|_| DecodeError::Malformed("a value is cut off or out of its range"))?;
    if consumed != payload.len() {
        return Err(DecodeError::Malformed("bytes are left over"));
    }
    Ok(value)
}

const CONFIG: Configuration<LittleEndian, Fixint, Limit<PAYLOAD_LEN_MAX>> =
    bincode::config::standard().with_fixed_int_encoding().with_limit::<PAYLOAD_LEN_MAX>();

fn length_error(expected: u64, found: usize) -> DecodeError {
    DecodeError::Length { expected, found: found as u64 }
}
