//! Stored predictions in SQLite: one file, one writer, durable when acknowledged.
//!
//! [`open`] opens or creates a database and starts its writer; from then on it is a
//! [`Store`]. [`verify()`] checks every row of a database, [`back_up`] copies it while it is in use, and
//! [`restore`] puts a copy back. [`recover()`] makes a new database from a damaged one.
//!
//! A transaction is on the disk before anyone hears of it: WAL with `synchronous=FULL`, both read
//! back. A mark beside the database remembers how far it had come, so that a loss is noticed, and
//! keeps a second writer away. A damaged database is put aside.
//!
//! It neither batches nor answers; `store` does.

mod alarm_records;
mod backend;
mod backup;
mod commit_mark;
mod damage;
mod disk_trial;
mod error;
mod export;
mod held_files;
mod limits;
mod prediction_row;
mod quarantine;
mod query;
mod reader;
mod reading_gate;
mod recover;
mod rescue;
mod salvage;
mod schema;
mod series;
mod sweep;
mod verify;
mod wal;
mod wal_holders;

use std::path::Path;
use std::sync::Arc;

use store::{Backend, Observer, Readers, Store, Writer};

use crate::backend::{Prepared, Sqlite};
use crate::commit_mark::{CommitMark, Mark};
use crate::damage::Damage;
use crate::limits::{ALARM_READERS_MAX, PAGE_READERS_MAX, READERS_MAX};
use crate::reader::ReaderPool;
use crate::reading_gate::ReadingGate;

pub use backup::{BackupError, RestoreError, Restored, back_up, restore};
pub use error::OpenError;
pub use export::{ExportError, export};
pub use recover::{RecoverError, Recovered, recover};
pub use verify::{Verification, VerifyError, verify};

/// Parameters of an open database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteParams {
    /// The number of predictions that may wait for the writer; more are refused.
    pub queue_len_max: usize,
    /// The treatment of a damaged database.
    pub on_corrupt: OnCorrupt,
}

/// The treatment of a database that is found to be damaged when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCorrupt {
    /// Put it aside and begin a new one.
    Quarantine,
    /// Leave it and fail.
    Exit,
}

impl Default for SqliteParams {
    fn default() -> Self {
        Self { queue_len_max: Store::QUEUE_LEN_DEFAULT, on_corrupt: OnCorrupt::Quarantine }
    }
}

/// Opens a database, which is created if it is missing, and starts its writer.
///
/// # Errors
///
/// Fails like [`open_backend`], and when the system does not start a thread.
pub fn open(
    path: &Path,
    params: &SqliteParams,
    observe: Observer,
) -> Result<(Store, Writer), OpenError> {
    let (backend, readers) = open_backend(path, params.on_corrupt)?;
    Store::start(backend, readers, params.queue_len_max, observe)
        .map_err(|source| OpenError::Thread { source })
}

/// The two sides of an open database.
pub type Opened = (Box<dyn Backend>, Readers);

/// Opens a database without starting its writer.
///
/// # Errors
///
/// Fails when the file cannot be opened, is in use by another writer, belongs to another program or a
/// later version, is damaged and must not be put aside, or when the system does not grant the
/// durability that is asked for.
pub fn open_backend(path: &Path, on_corrupt: OnCorrupt) -> Result<Opened, OpenError> {
    // The lock lies beside the file that a link leads to.
    held_files::check_link(path)?;
    let path = &held_files::real_path(path);
    held_files::check(path)?;
    let mut mark = CommitMark::open(path)?;
    let damage = Damage::default();
    let (opened, readers) = match open_both(path, mark.mark(), &damage) {
        Err(OpenError::Corrupt { reason, .. }) if on_corrupt == OnCorrupt::Quarantine => {
            // Of a WAL without a database, there is only the WAL.
            let aside = quarantine::free_name(path, ".corrupt-");
            quarantine::put_aside(path, ".corrupt-")
                .map_err(|source| OpenError::Quarantine { path: path.to_owned(), source })?;
            tracing::error!(
                reason,
                "the database `{}` is damaged; it was put aside as `{}` and a new one begins: save what can be \
                 read of it with `server recover --from {}`",
                path.display(),
                aside.display(),
                aside.display()
            );
            open_both(path, Mark { is_suspect: false, ..mark.mark() }, &damage)?
        }
        opened => opened?,
    };
    mark.acquit().map_err(|source| OpenError::CommitMark { path: path.to_owned(), source })?;
    Ok((Box::new(Sqlite::new(path, opened, mark, damage)), readers))
}

/// Opens a database for its writer and its readers: damage that either meets is noticed here.
fn open_both(path: &Path, mark: Mark, damage: &Damage) -> Result<(Prepared, Readers), OpenError> {
    held_files::check_wal(path)?;
    let gate = ReadingGate::default();
    let prepared = Prepared::open(path, mark, gate.clone())?;
    let pool = |n_readers| ReaderPool::open(path, n_readers, damage.clone(), gate.clone());
    let readers = Readers {
        of_programs: Arc::new(pool(READERS_MAX)?),
        of_pages: Arc::new(pool(PAGE_READERS_MAX)?),
        of_alarms: Arc::new(pool(ALARM_READERS_MAX)?),
    };
    Ok((prepared, readers))
}
