//! Copying a database while it is in use, and putting a copy back.

use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use files::{AtomicFile, beside};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::commit_mark::{CommitMark, Mark};
use crate::error::OpenError;
use crate::held_files::{self, is_same_file};
use crate::quarantine;
use crate::schema::{self, Ledger};
use crate::verify::{VerifyError, verify};

/// The number of pages that are copied between two reports of progress: 1 MiB.
const PAGES_PER_STEP: i32 = 256;

/// The suffixes of files that SQLite and this program keep beside a database.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-journal", "-mark"];

/// An error that occurs when a database is backed up.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy would replace a file.
    #[error("`{}` exists already, and a backup replaces nothing: name a new file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The name belongs to a file that accompanies the database.
    #[error("`{}` is a name that the database uses itself: name another file", path.display())]
    Companion {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged, and so is the copy.
    #[error("the database is damaged, so no backup was written: {problem}; run `server verify`")]
    Damaged {
        /// The first problem.
        problem: String,
    },
    /// The database cannot be opened or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be verified.
    #[error("cannot verify the copy")]
    Verify(#[from] VerifyError),
    /// The copy cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
    /// The copy cannot be given the permissions of the database.
    #[error("cannot set the permissions of the copy")]
    Permissions(#[source] io::Error),
    /// SQLite cannot copy it.
    #[error("cannot copy the database")]
    Copy(#[from] rusqlite::Error),
}

/// An error that occurs when a backup is restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup has to be sound.
    #[error("`{}` is damaged, so nothing was changed: {problem}; use another backup", path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// The first problem.
        problem: String,
    },
    /// The backup is the database itself.
    #[error("`{}` is the database itself; name a backup of it", path.display())]
    Same {
        /// The database.
        path: PathBuf,
    },
    /// The backup is missing.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// The backup.
        path: PathBuf,
    },
    /// The backup cannot be read.
    #[error("cannot read the backup")]
    Verify(#[from] VerifyError),
    /// The database is in use, or the backup is not of this program.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be copied.
    #[error(transparent)]
    Copy(#[from] BackupError),
    /// The database that was there could not be put aside.
    #[error("cannot put the present database aside")]
    PutAside(#[source] io::Error),
    /// The restored database could not be put in its place.
    #[error("cannot put the restored database in its place; the present one is `{}`", previous.display())]
    Replace {
        /// The present database: under its name, or aside.
        previous: PathBuf,
        /// The error of the system.
        source: files::WriteError,
    },
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Number of predictions in the database now.
    pub n_predictions: u64,
    /// The new path of the database that was there before.
    pub previous: Option<PathBuf>,
}

/// Copies a database into a new file, verifies the copy, and returns its number of predictions. A server
/// may write meanwhile: the copy has what was committed when it began. `progress` gets the number of
/// copied pages and of all pages.
///
/// # Errors
///
/// Fails when `backup` exists or is a name that the database uses, when the database cannot be read or
/// is damaged, and when the copy cannot be written. No part of a copy is left behind.
pub fn back_up(
    database: &Path,
    backup: &Path,
    progress: impl FnMut(u32, u32),
) -> Result<u64, BackupError> {
    held_files::check_link(backup)?;
    let (real_database, real_backup) =
        (held_files::real_path(database), held_files::real_path(backup));
    let companion = COMPANIONS.iter().any(|suffix| beside(&real_database, suffix) == real_backup);
    if companion {
        return Err(BackupError::Companion { path: backup.to_owned() });
    }
    // What lies beside the name of a backup would be read as a part of it.
    if let Some(path) = quarantine::taken(backup, &COMPANIONS) {
        return Err(BackupError::Exists { path });
    }
    let source = schema::open_for_reading(database)?;
    schema::check_readable(&source, database)?;
    let (file, copy) = copy(&source, backup, progress)?;
    close(copy)?;
    let found = verify(file.path(), |_| ())?;
    if let Some(problem) = found.problems.into_iter().next() {
        return Err(BackupError::Damaged { problem });
    }
    let permissions = fs::metadata(database).map(|metadata| metadata.permissions());
    permissions
        .and_then(|permissions| fs::set_permissions(file.path(), permissions))
        .map_err(BackupError::Permissions)?;
    file.commit_new()?;
    Ok(found.n_predictions)
}

/// Replaces a database that no server uses by a backup, and keeps the database that was there under
/// another name. A backup of an older version is migrated.
///
/// Ids continue after the last one that is known here, so that no id has two meanings, and the commit
/// mark is set, so that the next start reports no loss.
///
/// # Errors
///
/// Fails when the backup is damaged, a server uses the database, or a file cannot be written. The
/// database then stays in its place; if even that fails, the error says where it is.
pub fn restore(
    backup: &Path,
    database: &Path,
    progress: impl FnMut(u32, u32),
) -> Result<Restored, RestoreError> {
    held_files::check_link(database)?;
    // The file that a link leads to is replaced, and not the link.
    let target = held_files::real_path(database);
    if !backup.exists() {
        return Err(RestoreError::Missing { path: backup.to_owned() });
    }
    if fs::metadata(backup).is_ok_and(|file| file.len() == 0) {
        let problem = String::from("it is empty");
        return Err(RestoreError::Damaged { path: backup.to_owned(), problem });
    }
    if is_same_file(backup, &target) {
        return Err(RestoreError::Same { path: database.to_owned() });
    }
    held_files::check_files(&target)?;
    let owner = fs::metadata(&target).or_else(|_| fs::metadata(files::parent(&target))).ok();
    let mut mark = CommitMark::open(&target)?;
    // At once: what is refused must not leave a mark that the server cannot open.
    give_to(&beside(&target, "-mark"), owner.as_ref());
    let source = schema::open_for_reading(backup)?;
    let (file, mut copy) = copy(&source, &target, progress)?;
    schema::migrate(&mut copy, backup)?;
    close(copy).map_err(BackupError::from)?;
    let found = verify(file.path(), |_| ())?;
    if let Some(problem) = found.problems.into_iter().next() {
        return Err(RestoreError::Damaged { path: backup.to_owned(), problem });
    }
    let last_id = continue_ids(file.path(), mark.mark().last_id.max(last_id_of(&target)))
        .map_err(BackupError::from)?;

    let previous = make_way(&target).map_err(RestoreError::PutAside)?;
    if let Err(source) = file.commit() {
        let previous = put_back(previous, &target);
        return Err(RestoreError::Replace { previous, source });
    }
    mark.write(Mark { last_id, is_suspect: false })
        .map_err(|source| OpenError::CommitMark { path: database.to_owned(), source })?;
    give_to(&target, owner.as_ref());
    Ok(Restored { n_predictions: found.n_predictions, previous })
}

/// Copies all pages into a file that will be `target`.
fn copy(
    source: &Connection,
    target: &Path,
    mut progress: impl FnMut(u32, u32),
) -> Result<(AtomicFile, Connection), BackupError> {
    let file = AtomicFile::create(target)?;
    let mut copy = Connection::open(file.path())?;
    // A file beside it would stay when there is no room.
    copy.execute_batch("PRAGMA journal_mode = MEMORY")?;
    // One state of the database throughout: without this, each commit of the server would restart the
    // copy.
    source.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
    {
        let backup = Backup::new(source, &mut copy)?;
        while backup.step(PAGES_PER_STEP)? != StepResult::Done {
            let state = backup.progress();
            let n_pages = state.pagecount.unsigned_abs();
            progress(n_pages - state.remaining.unsigned_abs(), n_pages);
        }
    }
    source.execute_batch("COMMIT")?;
    // Whatever is written to the copy must be in this one file.
    copy.execute_batch("PRAGMA journal_mode = DELETE")?;
    Ok((file, copy))
}

/// Makes the ids of a database continue after `last_id`, and returns the last id that counts as used.
fn continue_ids(database: &Path, last_id: i64) -> rusqlite::Result<i64> {
    let connection = Connection::open(database)?;
    let ledger = Ledger::read(&connection)?.continued(last_id);
    ledger.write(&connection)?;
    close(connection)?;
    Ok(ledger.last_id)
}

/// Returns the last id of a database, or 0 if it cannot be read.
fn last_id_of(database: &Path) -> i64 {
    let connection = schema::open_for_reading(database).ok();
    let ledger = connection.and_then(|connection| Ledger::read(&connection).ok());
    ledger.map_or(0, |ledger| ledger.last_id)
}

/// Gives a database another name so that a file can take its place, and returns that name.
///
/// A sound database keeps its own name, too, until the other file replaces it in one step.
fn make_way(database: &Path) -> io::Result<Option<PathBuf>> {
    if is_in_one_file(database) {
        let previous = quarantine::free_name(database, ".replaced-");
        if fs::hard_link(database, &previous).is_ok() {
            files::sync_parent(database)?;
            return Ok(Some(previous));
        }
    }
    quarantine::put_aside(database, ".replaced-")
}

/// Undoes [`make_way`], and returns the path of the database.
fn put_back(previous: Option<PathBuf>, database: &Path) -> PathBuf {
    match previous {
        // It has kept its own name, too, and a database with two is refused at the start.
        Some(previous) if is_same_file(&previous, database) => {
            if let Err(error) = fs::remove_file(&previous) {
                tracing::warn!(
                    %error,
                    path = %previous.display(),
                    "the database has a second name that cannot be removed; remove it before the next start"
                );
            }
            database.to_owned()
        }
        Some(previous) if !database.exists() => match quarantine::rename(&previous, database) {
            Ok(_) => database.to_owned(),
            // It stays where the error says that it is.
            Err(_) => previous,
        },
        _ => database.to_owned(),
    }
}

/// Checkpoints a database, and returns `true` if all of it is in its main file then.
fn is_in_one_file(database: &Path) -> bool {
    if held_files::check_wal(database).is_err() {
        return false;
    }
    let checkpointed = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
            close(connection)
        });
    checkpointed.is_ok()
        && ["-wal", "-journal"].iter().all(|suffix| !beside(database, suffix).exists())
}

fn close(copy: Connection) -> rusqlite::Result<()> {
    copy.close().map_err(|(_, error)| error)
}

/// Gives a file to the owner of another, so that what root restores serves the server's user. A link is not
/// followed: that user can write to the folder.
#[cfg(unix)]
pub(crate) fn give_to(path: &Path, owner: Option<&Metadata>) {
    use std::os::unix::fs::{MetadataExt as _, lchown};

    let is_of_root = fs::symlink_metadata(path).is_ok_and(|file| file.uid() == 0);
    let Some(owner) = owner.filter(|_| is_of_root) else { return };
    if let Err(error) = lchown(path, Some(owner.uid()), Some(owner.gid())) {
        tracing::warn!(%error, "cannot give `{}` to the owner of the former database", path.display());
    }
}

/// Windows gives a new file the permissions of its folder.
#[cfg(not(unix))]
pub(crate) fn give_to(_path: &Path, _owner: Option<&Metadata>) {}
