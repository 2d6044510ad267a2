//! The recording of `shim/record.c`, operation by operation.

use anyhow::{Context as _, ensure};

/// An operation on a file, or an answer that left the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Operation {
    Write {
        file: usize,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        file: usize,
        len: usize,
    },
    Sync {
        file: usize,
    },
    Unlink {
        file: usize,
    },
    /// An event was acknowledged, with its number.
    Acknowledge {
        sequence: u64,
    },
}

/// Everything that was recorded.
#[derive(Debug, Default)]
pub(crate) struct Record {
    /// Names of the files below the folder.
    pub(crate) files: Vec<String>,
    pub(crate) operations: Vec<Operation>,
}

const HEADER_LEN: usize = 14;

impl Record {
    /// Reads a record. What was cut off at its end, since the server was killed, does not count.
    pub(crate) fn read(mut bytes: &[u8]) -> anyhow::Result<Self> {
        let mut record = Self::default();
        while let Some((header, rest)) = bytes.split_at_checked(HEADER_LEN) {
            let len = u32::from_le_bytes(header[2..6].try_into()?) as usize;
            let offset = usize::try_from(u64::from_le_bytes(header[6..14].try_into()?))?;
            let Some((name, rest)) = rest.split_at_checked(header[1].into()) else { break };
            let (data, rest) = if header[0] == b'T' {
                (&[][..], rest)
            } else {
                match rest.split_at_checked(len) {
                    Some(split) => split,
                    None => break,
                }
            };
            bytes = rest;
            let operation = match header[0] {
                b'W' => {
                    let file = record.file(name)?;
                    Some(Operation::Write { file, offset, data: data.to_vec() })
                }
                b'T' => Some(Operation::Truncate { file: record.file(name)?, len: offset }),
                b'S' => Some(Operation::Sync { file: record.file(name)? }),
                b'U' => Some(Operation::Unlink { file: record.file(name)? }),
                b'A' => sequence(data).map(|sequence| Operation::Acknowledge { sequence }),
                other => {
                    ensure!(false, "there is no operation {other}");
                    None
                }
            };
            record.operations.extend(operation);
        }
        Ok(record)
    }

    fn file(&mut self, name: &[u8]) -> anyhow::Result<usize> {
        let name = std::str::from_utf8(name).context("the name of a file is no text")?;
        if let Some(file) = self.files.iter().position(|known| known == name) {
            return Ok(file);
        }
        self.files.push(name.into());
        Ok(self.files.len() - 1)
    }
}

/// Returns the number of the event that an answer is about, if it is about one.
fn sequence(answer: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(answer).ok()?;
    let (_, rest) = text.split_once("\"sequence\":")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(operation: u8, name: &str, offset: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, u8::try_from(name.len()).unwrap()];
        bytes.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        bytes.extend(offset.to_le_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(data);
        bytes
    }

    #[test]
    fn a_record_is_read_up_to_where_it_was_cut_off() {
        let mut bytes = written(b'W', "a", 5, b"xyz");
        bytes.extend(written(b'S', "b", 0, b""));
        bytes.extend(written(b'T', "a", 7, b""));
        bytes.extend(written(b'A', "", 0, b"HTTP/1.1 200 OK\r\n\r\n{\"sequence\":12,"));
        let whole = bytes.len();
        bytes.extend(written(b'W', "a", 0, b"cut off"));
        bytes.truncate(whole + HEADER_LEN + 3);
        let record = Record::read(&bytes).unwrap();
        assert_eq!(record.files, ["a", "b"]);
        assert_eq!(
            record.operations,
            [
                Operation::Write { file: 0, offset: 5, data: b"xyz".to_vec() },
                Operation::Sync { file: 1 },
                Operation::Truncate { file: 0, len: 7 },
                Operation::Acknowledge { sequence: 12 },
            ]
        );
    }
}
