//! Copying a database while it is in use, and putting a copy back.

use std::path::{Path, PathBuf};

use files::AtomicFile;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::commit_mark::{CommitMark, Mark};
use crate::error::OpenError;
use crate::quarantine;
use crate::schema::{self, Ledger};
use crate::verify::{VerifyError, verify};

/// The number of pages that are copied between two reports of progress: 1 MiB.
const PAGES_PER_STEP: i32 = 256;

/// An error that occurs when a database is backed up.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The copy would replace a file.
    #[error("`{}` exists already, and a backup replaces nothing: name a new file", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be opened or read.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The copy cannot be written.
    #[error(transparent)]
    Write(#[from] files::WriteError),
    /// SQLite cannot copy it.
    #[error("cannot copy the database")]
    Copy(#[from] rusqlite::Error),
}

/// An error that occurs when a backup is restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup has to be sound.
    #[error("`{}` is not as it was written, so nothing was changed: {fault}", path.display())]
    Damaged {
        /// The backup.
        path: PathBuf,
        /// The first fault.
        fault: String,
    },
    /// The backup is the database itself.
    #[error("`{}` is the database itself; name a backup of it", path.display())]
    Same {
        /// The database.
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
    PutAside(#[source] std::io::Error),
}

/// The result of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Number of predictions in the database now.
    pub n_predictions: u64,
    /// The new path of the database that was there before.
    pub previous: Option<PathBuf>,
}

/// Copies a database into a new file, and returns the number of predictions. A server may write
/// meanwhile: the copy has what was committed when it began. `progress` hears how many pages of how
/// many are copied.
///
/// # Errors
///
/// Fails when `backup` exists, the database cannot be read, or the copy cannot be written. No part of
/// a copy is left behind.
pub fn back_up(
    database: &Path,
    backup: &Path,
    progress: impl FnMut(u32, u32),
) -> Result<u64, BackupError> {
    if backup.exists() {
        return Err(BackupError::Exists { path: backup.to_owned() });
    }
    let source = schema::open_for_reading(database)?;
    schema::check_readable(&source, database)?;
    let (file, copy) = copy(&source, backup, progress)?;
    let ledger = Ledger::read(&copy)?;
    close(copy)?;
    file.commit()?;
    Ok(ledger.totals.events)
}

/// Puts a backup in the place of a database that no server uses, which is put aside, and remembers
/// that this is meant: the next start misses nothing.
///
/// Ids go on from the last that anyone was told, so that no id has two meanings.
///
/// # Errors
///
/// Fails when the backup is damaged, a server uses the database, or a file cannot be written. The
/// database stays unless the very last step, a rename, fails: it is then found under the name
/// of [`Restored::previous`].
pub fn restore(
    backup: &Path,
    database: &Path,
    progress: impl FnMut(u32, u32),
) -> Result<Restored, RestoreError> {
    let is_same = |path: &Path| std::fs::canonicalize(path).ok();
    if database.exists() && is_same(backup) == is_same(database) {
        return Err(RestoreError::Same { path: database.to_owned() });
    }
    let found = verify(backup, |_| ())?;
    if let Some(fault) = found.faults.into_iter().next() {
        return Err(RestoreError::Damaged { path: backup.to_owned(), fault });
    }
    if let Some(dir) = database.parent() {
        files::create_dir_durably(dir)
            .map_err(|source| OpenError::Folder { path: dir.to_owned(), source })?;
    }
    let mut mark = CommitMark::open(database)?;
    let source = schema::open_for_reading(backup)?;
    let (file, copy) = copy(&source, database, progress)?;
    let ledger = Ledger::read(&copy).map_err(BackupError::from)?;
    let ledger = Ledger { last_id: ledger.last_id.max(mark.mark().last_id), ..ledger };
    ledger.write(&copy).map_err(BackupError::from)?;
    close(copy).map_err(BackupError::from)?;
    let previous = quarantine::put_aside(database, ".replaced-").map_err(RestoreError::PutAside)?;
    file.commit().map_err(BackupError::from)?;
    mark.write(Mark { last_id: ledger.last_id, is_suspect: false })
        .map_err(|source| OpenError::CommitMark { path: database.to_owned(), source })?;
    Ok(Restored { n_predictions: ledger.totals.events, previous })
}

/// Copies all pages into a file that will be `target`.
fn copy(
    source: &Connection,
    target: &Path,
    mut progress: impl FnMut(u32, u32),
) -> Result<(AtomicFile, Connection), BackupError> {
    let file = AtomicFile::create(target)?;
    let mut copy = Connection::open(file.path())?;
    // One state of the database throughout: without this, each commit of the server would restart
    // the copy.
    source.execute_batch("BEGIN; SELECT last_id FROM totals")?;
    {
        let backup = Backup::new(source, &mut copy)?;
        while backup.step(PAGES_PER_STEP)? != StepResult::Done {
            let state = backup.progress();
            let n_pages = state.pagecount.unsigned_abs();
            progress(n_pages - state.remaining.unsigned_abs(), n_pages);
        }
    }
    source.execute_batch("COMMIT")?;
    // What is written to the copy must be in this one file.
    copy.execute_batch("PRAGMA journal_mode = DELETE")?;
    Ok((file, copy))
}

fn close(copy: Connection) -> rusqlite::Result<()> {
    copy.close().map_err(|(_, error)| error)
}
