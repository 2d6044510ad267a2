//! The mark of the last commit, written beside the database.
//!
//! A file system that lies about what it has synced, a log that somebody deletes, an old backup
//! that is put back: all of them leave a sound database that has forgotten what was acknowledged.
//! The mark remembers how far it had come. It is written after each commit and before the answers,
//! and it need not be synced: it is never ahead of the database.
//!
//! The same file is locked for as long as a writer runs, so that there is one.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use files::beside;
use sha2::{Digest as _, Sha256};

use crate::error::OpenError;

/// The contents of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mark {
    /// The id of the last prediction that was committed.
    pub(crate) last_id: i64,
    /// `true` if SQLite called the database damaged while it was in use.
    pub(crate) is_suspect: bool,
}

/// The file, locked.
#[derive(Debug)]
pub(crate) struct CommitMark {
    file: File,
    /// Number of the next write. Two places take turns, so that one of them is whole.
    number: u64,
    mark: Mark,
}

const MAGIC: [u8; 8] = *b"IFmark\0\x01";
const PLACE_LEN: usize = 48;

impl CommitMark {
    /// Opens the mark of a database, whose folder is created if it is missing, and locks it.
    pub(crate) fn open(database: &Path) -> Result<Self, OpenError> {
        let dir = files::parent(database);
        files::create_dir_durably(dir)
            .map_err(|source| OpenError::Folder { path: dir.to_owned(), source })?;
        let path = beside(database, "-mark");
        let failed = |source| OpenError::CommitMark { path: path.clone(), source };
        // A link could lead to any file, and what root restores would overwrite it.
        if path.is_symlink() {
            return Err(OpenError::NotAFile { path });
        }
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: database.to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let (number, mark) = read(&file).map_err(failed)?;
        Ok(Self { file, number: number + 1, mark })
    }

    /// Locks the mark of a database that is only read, and returns it; `None` when there is none. Unlike
    /// [`CommitMark::open`], this creates and writes nothing.
    pub(crate) fn lock_unused(database: &Path) -> Result<Option<(File, Mark)>, OpenError> {
        let path = beside(database, "-mark");
        let Some(file) = path.is_file().then(|| File::open(path).ok()).flatten() else {
            return Ok(None);
        };
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(OpenError::InUse { path: database.to_owned() });
        }
        let (_, mark) = read(&file).unwrap_or_default();
        Ok(Some((file, mark)))
    }

    /// Returns what it said last.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Forgets a suspicion: the database was found to be sound, or another one took its place.
    pub(crate) fn acquit(&mut self) -> io::Result<()> {
        self.write(Mark { is_suspect: false, ..self.mark })
    }

    pub(crate) fn write(&mut self, mark: Mark) -> io::Result<()> {
        let place = if self.number.is_multiple_of(2) { 0 } else { PLACE_LEN as u64 };
        self.file.seek(SeekFrom::Start(place))?;
        self.file.write_all(&encode(self.number, mark))?;
        self.number += 1;
        self.mark = mark;
        Ok(())
    }
}

/// Reads the newest of the two places that is whole.
fn read(file: &File) -> io::Result<(u64, Mark)> {
    let mut bytes = Vec::new();
    file.take(2 * PLACE_LEN as u64).read_to_end(&mut bytes)?;
    let whole = bytes.chunks_exact(PLACE_LEN).filter_map(decode);
    Ok(whole.max_by_key(|(number, _)| *number).unwrap_or_default())
}

fn encode(number: u64, mark: Mark) -> [u8; PLACE_LEN] {
    let mut bytes = [0; PLACE_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..24].copy_from_slice(&mark.last_id.to_le_bytes());
    bytes[24] = u8::from(mark.is_suspect);
    let digest = Sha256::digest(&bytes[..32]);
    bytes[32..].copy_from_slice(&digest[..16]);
    bytes
}

/// Reads a place; `None` when its content is not valid.
fn decode(bytes: &[u8]) -> Option<(u64, Mark)> {
    let number = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    let last_id = i64::from_le_bytes(bytes.get(16..24)?.try_into().ok()?);
    let mark = Mark { last_id, is_suspect: bytes[24] == 1 };
    (bytes == encode(number, mark)).then_some((number, mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_a_torn_write_leaves_the_one_before() {
        let dir = tempfile::tempdir().unwrap();
        let database = dir.path().join("events.db");
        let mut mark = CommitMark::open(&database).unwrap();
        assert_eq!(mark.mark(), Mark::default());
        for last_id in 1..=5 {
            mark.write(Mark { last_id, is_suspect: last_id == 5 }).unwrap();
        }
        drop(mark);
        let mark = CommitMark::open(&database).unwrap();
        assert_eq!(mark.mark(), Mark { last_id: 5, is_suspect: true });
        assert!(matches!(CommitMark::open(&database), Err(OpenError::InUse { .. })));
        drop(mark);

        let path = beside(&database, "-mark");
        let mut bytes = std::fs::read(&path).unwrap();
        let newest = bytes.chunks_exact(PLACE_LEN).position(|place| place[16] == 5).unwrap();
        bytes[newest * PLACE_LEN + 18] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(CommitMark::open(&database).unwrap().mark().last_id, 4);
    }
}
