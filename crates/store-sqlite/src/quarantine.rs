//! Putting a database aside, so that another can take its place.

use std::path::{Path, PathBuf};
use std::{fs, io};

use files::{beside, free_beside};

/// The suffixes of the files of a database.
const SUFFIXES: [&str; 3] = ["-wal", "-shm", ""];

/// Moves a database and its WAL to names that are free, `suffix` and a number, and returns the new path
/// of the database; `None` when there is none. After a failure, they have their names again.
///
/// Nothing is deleted: it may still be needed. The WAL goes first: left alone, it would be read into
/// the next database. If the power fails in between, the mark tells what the next start misses, and the
/// WAL is beside the name that was chosen here.
pub(crate) fn put_aside(database: &Path, suffix: &str) -> io::Result<Option<PathBuf>> {
    let target = free_name(database, suffix);
    let mut moved = Vec::new();
    for suffix in SUFFIXES {
        match fs::rename(beside(database, suffix), beside(&target, suffix)) {
            Ok(()) => moved.push(suffix),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                for suffix in moved {
                    fs::rename(beside(&target, suffix), beside(database, suffix))?;
                }
                return Err(error);
            }
        }
    }
    files::sync_parent(database)?;
    Ok(moved.contains(&"").then_some(target))
}

/// Returns a name beside a database that none of its files has yet.
pub(crate) fn free_name(database: &Path, suffix: &str) -> PathBuf {
    let is_free = |target: &Path| SUFFIXES.iter().all(|suffix| !beside(target, suffix).exists());
    free_beside(database, suffix, is_free)
}
