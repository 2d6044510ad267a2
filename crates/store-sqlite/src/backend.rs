//! The transactions of the writer.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::{Backend, Entry, Failure, KeepError, Kept, Sweep, Swept, Totals, Trouble};

use crate::commit_mark::{CommitMark, Mark};
use crate::damage::Damage;
use crate::disk_trial::DiskTrial;
use crate::error::{OpenError, trouble_of};
use crate::held_files::HeldFiles;
use crate::reading_gate::ReadingGate;
use crate::schema::Ledger;
use crate::wal::Wal;
use crate::{alarm_records, prediction_row, rescue, schema, sweep};

/// A database as its writer owns it.
pub(crate) struct Sqlite {
    path: PathBuf,
    connection: Connection,
    held_files: HeldFiles,
    mark: CommitMark,
    totals: Totals,
    believed_us: Option<i64>,
    wal: Wal,
    trial: DiskTrial,
    damage: Damage,
}

/// A database that a writer can use.
pub(crate) struct Prepared {
    connection: Connection,
    wal: Wal,
    ledger: Ledger,
    held_files: HeldFiles,
}

impl Prepared {
    /// Opens a database, compares it with its mark, and commits a first transaction.
    pub(crate) fn open(path: &Path, mark: Mark, gate: ReadingGate) -> Result<Self, OpenError> {
        let (mut connection, ledger) = schema::open_checked(path, mark)?;
        let sqlite_error = |source| OpenError::sqlite(path, source);
        let wal = Wal::watch(&mut connection, path, gate).map_err(sqlite_error)?;
        // The first transaction creates the WAL, and shows that the disk can be written. An id that a client has seen is not used again.
        let ledger = ledger.continued(mark.last_id);
        ledger.write(&connection).map_err(sqlite_error)?;
        DiskTrial::clean_up(&connection).map_err(sqlite_error)?;
        let held_files = HeldFiles::of(path)
            .map_err(|source| OpenError::Files { path: path.to_owned(), source })?;
        Ok(Self { connection, wal, ledger, held_files })
    }
}

impl Sqlite {
    /// Takes over an open database whose mark is held.
    pub(crate) fn new(path: &Path, opened: Prepared, mark: CommitMark, damage: Damage) -> Self {
        let Prepared { connection, wal, ledger, held_files } = opened;
        Self {
            path: path.to_owned(),
            connection,
            held_files,
            mark,
            damage,
            totals: ledger.totals,
            believed_us: ledger.believed_us,
            wal,
            trial: DiskTrial::default(),
        }
    }

    /// Carries out `write` in a transaction, commits it, and leaves the mark. `n_bytes` is the size of
    /// the data.
    ///
    /// `write` returns `true` beside its outcome if the ledger has to be written, too.
    fn transact<T>(
        &mut self,
        n_bytes: usize,
        write: impl FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<(T, bool)>,
    ) -> Result<T, Failure> {
        let done = self.try_transact(write);
        match &done {
            Ok(_) => self.trial.succeeded(),
            Err(Failure {
                error:
                    KeepError::NotStored(Trouble::DiskFull | Trouble::DiskFails)
                    | KeepError::Unknown(Trouble::DiskFull | Trouble::DiskFails),
                ..
            }) => {
                self.trial.failed(n_bytes);
                self.wal.needs_room();
            }
            Err(_) => {}
        }
        done
    }

    fn try_transact<T>(
        &mut self,
        write: impl FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<(T, bool)>,
    ) -> Result<T, Failure> {
        self.remember_damage();
        if self.wal.has_shrunk(&self.connection) {
            let detail = String::from("the WAL was truncated by another program");
            return Err(Failure { error: KeepError::NotStored(Trouble::Replaced), detail });
        }
        self.trial.run(&self.connection).map_err(|error| self.rolled_back(&error))?;
        let written = self.begin(write);
        let (ledger, outcome) = written.map_err(|error| self.rolled_back(&error))?;
        if let Err(error) = execute(&self.connection, "COMMIT") {
            let failure = self.rolled_back(&error);
            // Without space, the end of the transaction was not written. Otherwise it may have been.
            let is_certain = trouble_of(&error) == Trouble::DiskFull;
            let unknown = KeepError::Unknown(trouble_of(&error));
            return Err(if is_certain { failure } else { Failure { error: unknown, ..failure } });
        }
        if !self.held_files.are_in_place() {
            let detail = String::from("the paths lead to other files");
            return Err(Failure { error: KeepError::Unknown(Trouble::Replaced), detail });
        }
        self.write_mark(Mark { last_id: ledger.last_id, ..self.mark.mark() });
        self.totals = ledger.totals;
        Ok(outcome)
    }

    /// Begins a transaction and carries out all of it but the commit.
    fn begin<T>(
        &self,
        write: impl FnOnce(&Connection, &mut Ledger) -> rusqlite::Result<(T, bool)>,
    ) -> rusqlite::Result<(Ledger, T)> {
        execute(&self.connection, "BEGIN IMMEDIATE")?;
        self.trial.delete(&self.connection)?;
        let mut ledger = Ledger::read(&self.connection)?;
        let (outcome, needs_ledger) = write(&self.connection, &mut ledger)?;
        if needs_ledger {
            ledger.write(&self.connection)?;
        }
        Ok((ledger, outcome))
    }

    /// Ends a transaction that failed, and describes the failure.
    ///
    /// # Panics
    ///
    /// Panics when the transaction cannot be ended.
    fn rolled_back(&mut self, error: &rusqlite::Error) -> Failure {
        if !self.connection.is_autocommit()
            && let Err(error) = execute(&self.connection, "ROLLBACK")
        {
            panic!("a transaction could not be rolled back: {error}");
        }
        let trouble = trouble_of(error);
        tracing::debug!(%error, %trouble, "a transaction failed");
        self.damage.notice(error);
        self.remember_damage();
        Failure { error: KeepError::NotStored(trouble), detail: error.to_string() }
    }

    /// Makes the next start look at all of a database that was found to be damaged.
    fn remember_damage(&mut self) {
        if self.damage.is_found() && !self.mark.mark().is_suspect {
            self.write_mark(Mark { is_suspect: true, ..self.mark.mark() });
        }
    }

    fn write_mark(&mut self, mark: Mark) {
        if let Err(error) = self.mark.write(mark) {
            tracing::warn!(%error, "cannot write the commit mark");
        }
    }
}

impl Backend for Sqlite {
    fn keep(&mut self, entries: &[Entry]) -> Result<Vec<Kept>, Failure> {
        let n_bytes = entries.iter().map(Entry::size).sum();
        self.transact(n_bytes, |connection, ledger| {
            let kept = entries.iter().map(|entry| keep(connection, ledger, entry));
            if entries.is_empty() {
                // A probe shows that rows can be inserted, and writes the ledger.
                prediction_row::try_insert(connection)?;
            }
            Ok((kept.collect::<Result<_, _>>()?, true))
        })
    }

    fn keep_alarm_record(
        &mut self,
        station_id: &sensor::StationId,
        record: &[u8],
    ) -> Result<(), Failure> {
        self.transact(record.len(), |connection, _| {
            Ok((alarm_records::write(connection, station_id, record)?, true))
        })
    }

    fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, Failure> {
        self.transact(0, |connection, ledger| {
            let swept = sweep::step(connection, sweep, &mut ledger.totals)?;
            let is_first = sweep.from.is_none();
            if is_first {
                ledger.believed_us = ledger.believed_us.max(Some(sweep.believed_us));
            }
            // A later step that found nothing need not wait for the disk.
            let has_deleted = swept.n_deleted > 0;
            Ok((swept, is_first || has_deleted))
        })
    }

    fn totals(&self) -> Totals {
        self.totals
    }

    fn believed_us(&self) -> Option<i64> {
        self.believed_us
    }

    fn is_damaged(&self) -> bool {
        self.damage.is_found()
    }

    fn maintain(&mut self) {
        self.wal.checkpoint_if_grown(&self.connection);
    }

    /// Brings the database into one file and closes it.
    fn close(mut self: Box<Self>) -> Result<(), KeepError> {
        self.wal.finish();
        let is_in_place = self.held_files.are_in_place() && !self.wal.has_shrunk(&self.connection);
        if !is_in_place {
            rescue::rescue(&self.connection, &self.path);
        }
        let is_busy =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        let closed = self.connection.close().map_err(|(_, error)| error);
        // Whatever happens here, nothing is lost: the next start reads the WAL beside the database.
        match is_busy.and_then(|is_busy: bool| closed.map(|()| is_busy)) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!("another program reads the database, so its WAL stays beside it");
            }
            Err(error) => tracing::warn!(%error, "cannot checkpoint the WAL at the stop"),
        }
        if is_in_place { Ok(()) } else { Err(KeepError::Unknown(Trouble::Replaced)) }
    }
}

/// Runs a statement that returns nothing.
pub(crate) fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

fn keep(connection: &Connection, ledger: &mut Ledger, entry: &Entry) -> rusqlite::Result<Kept> {
    if prediction_row::insert(connection, entry, ledger.last_id + 1)? {
        ledger.last_id += 1;
        ledger.totals.events += 1;
        ledger.totals.anomalies += u64::from(entry.new.prediction.is_anomaly);
        if let Some(record) = &entry.new.alarm_record {
            alarm_records::write(connection, &entry.new.prediction.station_id, record)?;
        }
        return Ok(Kept::Stored);
    }
    let earlier = prediction_row::with_key_of(connection, entry)?;
    Ok(match earlier {
        None => Kept::Unreadable,
        Some((earlier, event_hash)) if entry.is_same_event(&earlier, &event_hash) => {
            Kept::Duplicate(entry.reduced(earlier))
        }
        Some(_) => Kept::Conflict,
    })
}
