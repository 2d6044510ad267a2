//! Putting a database aside, so that another can take its place.

use std::path::{Path, PathBuf};
use std::{fs, io, iter};

use files::{beside, free_beside};

/// The suffixes of the files of a database, its own name last.
const SUFFIXES: [&str; 4] = ["-wal", "-shm", "-journal", ""];

/// Moves a database and its WAL or journal to names that are free, `suffix` and a number, and returns the new path
/// of the database; `None` when there is none. After a failure, they have their names again.
///
/// Nothing is deleted: it may still be needed. The WAL goes first: left alone, it would be read into
/// the next database. If the power fails in between, the mark tells what the next start misses, and the
/// WAL is beside the name that was chosen here.
pub(crate) fn put_aside(database: &Path, suffix: &str) -> io::Result<Option<PathBuf>> {
    let target = free_name(database, suffix);
    let is_there = rename(database, &target).or_else(|error| {
        rename(&target, database)?;
        Err(error)
    })?;
    files::sync_parent(database)?;
    Ok(is_there.then_some(target))
}

/// Renames a database and the files beside it, those that there are. Returns `true` if the database is
/// among them.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    let mut is_there = false;
    for suffix in SUFFIXES {
        is_there = match fs::rename(beside(from, suffix), beside(to, suffix)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            renamed => renamed.map(|()| true)?,
        };
    }
    Ok(is_there)
}

/// Returns a name beside a database that none of its files has yet.
pub(crate) fn free_name(database: &Path, suffix: &str) -> PathBuf {
    let is_free = |target: &Path| SUFFIXES.iter().all(|suffix| !beside(target, suffix).exists());
    free_beside(database, suffix, is_free)
}

/// Returns the database, or the first of the files beside it, that is there in whatever form.
pub(crate) fn taken(database: &Path, suffixes: &[&str]) -> Option<PathBuf> {
    let beside = suffixes.iter().map(|suffix| beside(database, suffix));
    let mut paths = iter::once(database.to_owned()).chain(beside);
    paths.find(|path| fs::symlink_metadata(path).is_ok())
}
