//! Files that are complete and durable, or absent.
//!
//! [`write_atomically`] and [`AtomicFile`] replace a file in one step: a reader sees the old content
//! or the new, also after a crash. [`create_dir_durably`] makes folders that survive a power cut, and
//! [`beside`] and [`free_beside`] name the files that accompany another.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("reports/latest.html");
//! files::write_atomically(&path, b"<p>Done</p>")?;
//! assert_eq!(std::fs::read(&path)?, b"<p>Done</p>");
//! # Ok(())
//! # }
//! ```
//!
//! It knows no formats, and locks nothing.

mod atomic_file;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

pub use atomic_file::{AtomicFile, WriteError, write_atomically};

/// Creates a folder and its missing parents, and syncs their names to the disk.
///
/// # Errors
///
/// Fails when a folder cannot be created or synced.
pub fn create_dir_durably(dir: &Path) -> io::Result<()> {
    let is_missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let missing: Vec<&Path> = dir.ancestors().take_while(is_missing).collect();
    fs::create_dir_all(dir)?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_dir)
}

/// Syncs the folder of a file: a rename is durable only after this.
///
/// # Errors
///
/// Fails when the folder cannot be synced.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    sync_dir(parent(path))
}

/// Returns the folder of a file; `.` when the path is a mere name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Returns the path of a file that accompanies `path`: the same name with a suffix.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Returns the first of `path` + `suffix` + `1`, `2`, ... that `is_free` accepts.
pub fn free_beside(path: &Path, suffix: &str, is_free: impl Fn(&Path) -> bool) -> PathBuf {
    let candidates = (1..).map(|number: u64| beside(path, &format!("{suffix}{number}")));
    let mut free = candidates.filter(|candidate| is_free(candidate));
    free.next().expect("a folder has fewer files than there are numbers")
}

/// Syncs a folder, which holds the names of its files.
#[cfg(unix)]
fn sync_dir(dir: &Path) -> io::Result<()> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    File::open(dir)?.sync_all()
}

/// Windows journals names itself and cannot open a folder as a file.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the Unix version can fail")]
fn sync_dir(_dir: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_number_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.db");
        let free = || free_beside(&path, ".corrupt-", |candidate| !candidate.exists());
        assert_eq!(free(), dir.path().join("events.db.corrupt-1"));
        fs::write(free(), "").unwrap();
        assert_eq!(free(), dir.path().join("events.db.corrupt-2"));
    }

    #[test]
    fn missing_parents_are_created() {
        let dir = tempfile::tempdir().unwrap();
        let nested = dir.path().join("a/b/c");
        create_dir_durably(&nested).unwrap();
        create_dir_durably(&nested).unwrap();
        assert!(nested.is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(create_dir_durably(&dir.path().join("file/d")).is_err());
    }
}
