//! Putting a database aside, so that another can take its place.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::{beside, free_beside};

/// The suffixes of the files of a database.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

/// Moves a database and its log to names that are free, `suffix` and a number, and returns the new path
/// of the database; `None` when there is none.
///
/// Nothing is deleted: what can be read of it may be wanted. The log goes first: left alone, it would
/// be read into the database that begins. If the power fails in between, the mark tells what the next
/// start misses, and the log is beside the name that was chosen here.
pub(crate) fn put_aside(database: &Path, suffix: &str) -> io::Result<Option<PathBuf>> {
    let is_free = |target: &Path| SUFFIXES.iter().all(|suffix| !beside(target, suffix).exists());
    let target = free_beside(database, suffix, is_free);
    let mut moved = None;
    for suffix in SUFFIXES {
        match fs::rename(beside(database, suffix), beside(&target, suffix)) {
            Ok(()) => moved = Some(&target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(moved.cloned())
}
