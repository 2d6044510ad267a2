//! A check that the paths of a database still lead to the files that are open.

use std::io;
use std::path::{Path, PathBuf};

use files::beside;

use crate::error::OpenError;
use crate::wal;

/// The files of an open database as they were found when it was opened.
#[derive(Debug)]
pub(crate) struct HeldFiles {
    files: [(PathBuf, Identity); 3],
}

impl HeldFiles {
    /// Looks at the files of a database that was opened and written to.
    pub(crate) fn of(database: &Path) -> io::Result<Self> {
        let held = |path: PathBuf| identity(&path).map(|identity| (path, identity));
        let [log, mark] = ["-wal", "-mark"].map(|suffix| beside(database, suffix));
        Ok(Self { files: [held(database.to_owned())?, held(log)?, held(mark)?] })
    }

    /// Returns `true` if the paths lead to the files that were written.
    pub(crate) fn are_in_place(&self) -> bool {
        self.files
            .iter()
            .all(|(path, before)| identity(path).is_ok_and(|identity| identity == *before))
    }
}

/// Refuses a database whose files are no regular files, or have other names: the lock beside one name does
/// not keep away a server that uses the other. Links of another user are refused as well.
pub(crate) fn check(database: &Path) -> Result<(), OpenError> {
    check_files(database)?;
    for path in paths(database) {
        check_link(&path)?;
        if std::fs::metadata(&path).is_ok_and(|file| n_names(&file) > 1) {
            return Err(OpenError::Linked { path });
        }
    }
    Ok(())
}

/// Refuses a database whose files are no regular files; what is missing is created.
pub(crate) fn check_files(database: &Path) -> Result<(), OpenError> {
    let is_other = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|file| !file.is_file());
    match paths(database).into_iter().find(is_other) {
        Some(path) => Err(OpenError::NotAFile { path }),
        None => Ok(()),
    }
}

/// Returns the paths of the files that a database is made of.
fn paths(database: &Path) -> [PathBuf; 5] {
    ["", "-wal", "-shm", "-journal", "-mark"].map(|suffix| beside(database, suffix))
}

/// Refuses a WAL without its database: SQLite would delete what it holds.
pub(crate) fn check_wal(database: &Path) -> Result<(), OpenError> {
    let len = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    if len(database) == 0 && len(&beside(database, "-wal")) > wal::HEADER_LEN {
        let reason = String::from("the file is missing or empty, and its WAL is not");
        return Err(OpenError::Corrupt { path: database.to_owned(), reason });
    }
    Ok(())
}

/// Refuses a path that leads over a link which neither root has made nor the owner of the file it leads to, or of the folder where that is to be:
/// otherwise a user who may write to the folder of a database could have root write anywhere.
#[cfg(unix)]
pub(crate) fn check_link(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::MetadataExt as _;

    /// Systems follow no more links one after another.
    const LINKS_MAX: usize = 64;

    let target = real_path(path);
    let file = std::fs::metadata(&target).or_else(|_| std::fs::metadata(files::parent(&target)));
    let owner = file.map(|file| file.uid()).ok();
    let mut next = path.to_owned();
    for _ in 0..LINKS_MAX {
        let is_link = std::fs::symlink_metadata(&next).ok().filter(std::fs::Metadata::is_symlink);
        let Some(link) = is_link else { return Ok(()) };
        if link.uid() != 0 && owner != Some(link.uid()) {
            break;
        }
        let Ok(target) = std::fs::read_link(&next) else { break };
        next = files::parent(&next).join(target);
    }
    Err(OpenError::LinkOfAnother { path: path.to_owned(), target })
}

/// On Windows, links need a privilege.
#[cfg(not(unix))]
pub(crate) fn check_link(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

/// Returns the path of the file that a path leads to, which may be a link, and the file may be missing: what lies beside a
/// database lies beside its file.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    let target = std::fs::read_link(path).map(|target| files::parent(path).join(target));
    let path = target.as_deref().unwrap_or(path);
    let in_real_dir =
        || Some(std::fs::canonicalize(files::parent(path)).ok()?.join(path.file_name()?));
    std::fs::canonicalize(path).ok().or_else(in_real_dir).unwrap_or_else(|| path.to_owned())
}

#[cfg(unix)]
fn n_names(file: &std::fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

/// Windows does not say without opening the file.
#[cfg(not(unix))]
fn n_names(_file: &std::fs::Metadata) -> u64 {
    1
}

/// The identity of a file, which another file of the same name does not have.
#[cfg(unix)]
type Identity = (u64, u64);

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt as _;

    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Windows does not let an open file be moved or deleted, so its path is enough.
#[cfg(not(unix))]
type Identity = PathBuf;

#[cfg(not(unix))]
fn identity(path: &Path) -> io::Result<Identity> {
    std::fs::canonicalize(path)
}

/// Returns `true` if both paths lead to one file.
pub(crate) fn is_same_file(a: &Path, b: &Path) -> bool {
    identity(a).is_ok_and(|a| identity(b).is_ok_and(|b| a == b))
}
