//! Replacing a file in one step.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::{parent, sync_parent};

/// An error that occurs when a file is written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{}`", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// The error of the system.
    pub source: io::Error,
}

/// Writes a file completely or not at all. Creates missing folders.
///
/// # Errors
///
/// Fails when the folder cannot be created or the file cannot be written; an older file then stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).map_err(|source| WriteError { path: path.to_owned(), source })?;
    file.commit()
}

/// A file that appears when it is complete.
///
/// Content goes to a temporary file in the same folder, which replaces the target on
/// [`AtomicFile::commit`]. Dropped without a commit, it is removed and an older target stays; a
/// killed process leaves the temporary file behind. Links are followed. Devices and pipes are
/// written in place.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// A regular file, which the temporary one replaces.
    Replaced(NamedTempFile),
    /// A device or a pipe.
    InPlace(File),
}

impl AtomicFile {
    /// Begins a file. Creates missing folders.
    ///
    /// # Errors
    ///
    /// Fails when the folder or the file cannot be created.
    pub fn create(path: &Path) -> Result<Self, WriteError> {
        // A file that does not exist yet has no canonical path.
        let resolved = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let target =
            open(&resolved).map_err(|source| WriteError { path: path.to_owned(), source })?;
        Ok(Self { path: resolved, target })
    }

    /// Returns where the content is until the commit, for programs that write to a path.
    pub fn path(&self) -> &Path {
        match &self.target {
            Target::Replaced(file) => file.path(),
            Target::InPlace(_) => &self.path,
        }
    }

    /// Syncs the content and puts the file in its place.
    ///
    /// # Errors
    ///
    /// Fails when the content cannot be synced or the file cannot be renamed; an older file then
    /// stays. Also fails when the new name cannot be synced, although the file is then in its place.
    pub fn commit(self) -> Result<(), WriteError> {
        self.put(|file, path| file.persist(path).map_err(|error| error.error))
    }

    /// Does the same as [`AtomicFile::commit`], but never replaces a file.
    ///
    /// # Errors
    ///
    /// Fails also when there is a file of this name, even if it appeared a moment ago.
    pub fn commit_new(self) -> Result<(), WriteError> {
        self.put(|file, path| file.persist_noclobber(path).map_err(|error| error.error))
    }

    fn put(
        self,
        persist: impl FnOnce(NamedTempFile, &Path) -> io::Result<File>,
    ) -> Result<(), WriteError> {
        let Self { path, target } = self;
        let committed = match target {
            Target::InPlace(_) => Ok(()),
            Target::Replaced(file) => file
                .as_file()
                .sync_all()
                .and_then(|()| persist(file, &path))
                .and_then(|_| sync_parent(&path)),
        };
        committed.map_err(|source| WriteError { path, source })
    }

    fn file(&mut self) -> &mut File {
        match &mut self.target {
            Target::Replaced(file) => file.as_file_mut(),
            Target::InPlace(file) => file,
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

fn open(path: &Path) -> io::Result<Target> {
    let older = fs::metadata(path).ok();
    if older.as_ref().is_some_and(|older| !older.is_file()) {
        return File::options().write(true).open(path).map(Target::InPlace);
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let dir = parent(path);
    fs::create_dir_all(dir)?;
    let mut prefix = name.to_owned();
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // Like every new file, subject to the umask; temporary files are private otherwise.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(dir)?;
    if let Some(older) = older {
        // A user who could not read the older file must not read this one.
        file.as_file().set_permissions(older.permissions())?;
    }
    Ok(Target::Replaced(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        entries.map(|name| name.into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_completely_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/model.bin");
        write_atomically(&path, b"old").unwrap();
        let mut abandoned = AtomicFile::create(&path).unwrap();
        abandoned.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(abandoned);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(path.parent().unwrap()), ["model.bin"]);
    }

    #[test]
    fn a_new_file_replaces_none_that_has_appeared_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup.db");
        let [first, second] = [(); 2].map(|()| AtomicFile::create(&path).unwrap());
        first.commit_new().unwrap();
        assert!(second.commit_new().is_err());
        assert_eq!(names(dir.path()), ["backup.db"]);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_of_an_older_file_are_kept_and_new_files_follow_the_umask() {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let dir = tempfile::tempdir().unwrap();
        let (plain, path) = (dir.path().join("plain"), dir.path().join("file"));
        fs::write(&plain, "").unwrap();
        write_atomically(&path, b"1").unwrap();
        assert_eq!(mode(&path), mode(&plain));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        write_atomically(&path, b"2").unwrap();
        assert_eq!(mode(&path), 0o640);
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_written_in_place_and_links_are_followed() {
        write_atomically(Path::new("/dev/null"), b"gone").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        write_atomically(&file, b"1").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write_atomically(&link, b"2").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"2");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
