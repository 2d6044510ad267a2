//! Putting a damaged database aside, so that a new one can begin in its place.

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::commit_mark::beside;

/// Moves a database and its log to names that are free, and gives the new path of the database.
///
/// Nothing is deleted: what can be read of it may be wanted.
pub(crate) fn put_aside(database: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    let target = loop {
        let target = beside(database, &format!(".corrupt-{number}"));
        if !target.exists() {
            break target;
        }
        number += 1;
    };
    // The log first: without it the database is still the same, and the next start goes on here.
    for suffix in ["-wal", "-shm", ""] {
        match fs::rename(beside(database, suffix), beside(&target, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(target)
}
