//! A new database from what can be read of a damaged one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use files::{AtomicFile, WriteError, beside};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};

use crate::backup::give_to;
use crate::commit_mark::{CommitMark, Mark};
use crate::error::{OpenError, code_of};
use crate::held_files;
use crate::prediction_row::INSERT;
use crate::quarantine;
use crate::salvage::{Pages, RawRow, Soundness};
use crate::schema::{self, Ledger};

/// Rows of one transaction.
const TRANSACTION_LEN: u64 = 10_000;

/// An error that occurs when a database is recovered. The damaged one is never changed.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The damaged database cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// There is a database in the new folder already.
    #[error("`{}` exists already; recover into a new folder", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The new database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The new database cannot be filled.
    #[error("cannot write the new database")]
    Fill(#[from] rusqlite::Error),
    /// The new database cannot be created.
    #[error("cannot write the new database")]
    Write(#[from] WriteError),
    /// Nothing was found.
    #[error("there is no prediction in `{}`", path.display())]
    Nothing {
        /// The file.
        path: PathBuf,
    },
}

/// The result of a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Number of predictions in the new database.
    pub n_predictions: u64,
    /// Of these, how many are from before rows had hashes, and may be altered.
    pub n_unproven: u64,
    /// Number of rows whose hash does not match.
    pub n_altered: u64,
    /// Number of predictions that the damaged database counted; `None` when that cannot be read.
    pub n_counted: Option<u64>,
}

/// Writes every prediction that can be read from the files of a damaged database, and that is what was
/// written, to a new database. `progress` gets the number of pages that were read, and of all.
///
/// # Errors
///
/// Fails when a server writes to the damaged database, there is one at `new`, nothing can be read, or
/// nothing can be written. No file is left at `new` then.
pub fn recover(
    damaged: &Path,
    new: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<Recovered, RecoverError> {
    let unreadable = |source| RecoverError::Read { path: damaged.to_owned(), source };
    // Its WAL and its mark lie beside the file that a link leads to.
    let target = held_files::real_path(damaged);
    // A WAL that lies there would be read into the new database.
    if let Some(path) = quarantine::taken(new, &["-wal", "-shm", "-journal"]) {
        return Err(RecoverError::Exists { path });
    }
    // Held until the end, so that no server writes meanwhile.
    let locked = CommitMark::lock_unused(&target)?;
    let mut pages = Pages::open(&target).map_err(unreadable)?;
    let dir = files::parent(new);
    files::create_dir_durably(dir)
        .map_err(|source| OpenError::Folder { path: dir.to_owned(), source })?;
    let file = AtomicFile::create(new)?;
    let mut connection = Connection::open(file.path())?;
    connection.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF",
    )?;
    schema::migrate(&mut connection, new)?;

    let counted = counted(&target);
    let n_counted = counted.as_ref().map(|ledger| ledger.totals.events);
    let mut recovered = Recovered { n_counted, ..Recovered::default() };
    connection.execute_batch("BEGIN")?;
    let n_pages = pages.len();
    for index in 0..n_pages {
        for row in pages.rows(index).map_err(unreadable)? {
            let soundness = row.soundness();
            let is_new = match soundness {
                Soundness::Altered => None,
                _ => insert(&connection, &row)?,
            };
            recovered.n_altered += u64::from(is_new.is_none());
            if is_new == Some(true) {
                recovered.n_predictions += 1;
                recovered.n_unproven += u64::from(soundness == Soundness::Unproven);
                if recovered.n_predictions.is_multiple_of(TRANSACTION_LEN) {
                    connection.execute_batch("COMMIT; BEGIN")?;
                }
            }
        }
        progress(index + 1, n_pages);
    }
    if recovered.n_predictions == 0 {
        return Err(RecoverError::Nothing { path: damaged.to_owned() });
    }
    let mut mark = CommitMark::open(new)?;
    // Ids that a client has seen, also of what is lost, are not used again.
    let used = [
        mark.mark().last_id,
        locked.as_ref().map_or(0, |(_, mark)| mark.last_id),
        counted.map_or(0, |ledger| ledger.last_id),
    ];
    let ledger = used.into_iter().fold(Ledger::count(&connection)?, Ledger::continued);
    ledger.write(&connection)?;
    connection.execute_batch("COMMIT; PRAGMA synchronous = FULL")?;
    connection.close().map_err(|(_, error)| error)?;
    file.commit_new()?;
    mark.write(Mark { last_id: ledger.last_id, is_suspect: false })
        .map_err(|source| OpenError::CommitMark { path: new.to_owned(), source })?;
    let owner = fs::metadata(dir).ok();
    for path in ["", "-mark"].map(|suffix| beside(new, suffix)) {
        give_to(&path, owner.as_ref());
    }
    Ok(recovered)
}

/// Returns what a database has counted, if that can be read without touching its files and is possible: with a WAL, SQLite
/// would write to them.
fn counted(database: &Path) -> Option<Ledger> {
    let is_one_file = fs::metadata(beside(database, "-wal")).map_or(true, |wal| wal.len() == 0);
    let path = database.to_str().filter(|_| is_one_file)?;
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("file:{escaped}?immutable=1");
    let connection = Connection::open_with_flags(uri, flags).ok()?;
    Ledger::read_counts(&connection).ok().filter(Ledger::is_plausible)
}

/// Inserts a row, unless one with its key or id is there. Returns `true` if it did, and `None` if the table cannot hold
/// such a row: SQLite stores NaN as NULL.
fn insert(connection: &Connection, row: &RawRow) -> rusqlite::Result<Option<bool>> {
    let inserted = connection.prepare_cached(INSERT)?.execute(params![
        row.id,
        row.station_id,
        row.timestamp_us,
        row.sequence,
        row.features,
        row.anomaly_score,
        row.p_value,
        row.threshold,
        row.is_anomaly,
        row.attributions,
        row.model_version,
        row.received_us,
        row.event_hash,
        row.row_hash,
        row.evidence,
        row.outside,
        row.baseline,
        row.alarm,
    ]);
    match inserted {
        Ok(n_inserted) => Ok(Some(n_inserted == 1)),
        Err(error) if code_of(&error) == Some(ErrorCode::ConstraintViolation) => Ok(None),
        Err(error) => Err(error),
    }
}
