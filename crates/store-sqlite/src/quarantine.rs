//! Putting a damaged database aside, so that a new one can begin in its place.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::{beside, free_beside};

/// What the names of the files of a database end with.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

/// Moves a database and its log to names that are free, and gives the new path of the database.
///
/// Nothing is deleted: what can be read of it may be wanted. The log goes first: left alone, it would
/// be read into the database that begins. If the power fails in between, the mark tells what the next
/// start misses, and the log is beside the name that was chosen here.
pub(crate) fn put_aside(database: &Path) -> io::Result<PathBuf> {
    let is_free = |target: &Path| SUFFIXES.iter().all(|suffix| !beside(target, suffix).exists());
    let target = free_beside(database, ".corrupt-", is_free);
    for suffix in SUFFIXES {
        match fs::rename(beside(database, suffix), beside(&target, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(target)
}
