//! Connections that read, on threads for blocking work, and for a limited time.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use files::beside;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params};
use sensor::{Glance, StationId};
use store::{
    AnomalyQuery, Bucket, EventKey, EventQuery, Listed, Neighbours, ReadError, Reader, Reading,
    SampleQuery, Sampled, SeriesQuery, Station, StationQuery, StoredPrediction,
};
use tokio::sync::Semaphore;

use crate::damage::Damage;
use crate::error::{OpenError, QueryError, code_of};
use crate::limits::{READ_AT_GATE_MAX, READ_TIMEOUT, TURN_TIMEOUT};
use crate::reading_gate::ReadingGate;
use crate::{alarm_records, query, schema, series};

/// Steps of SQLite's machine between two looks at the clock: about a millisecond.
const STEPS_PER_LOOK: i32 = 20_000;

/// Some readers of a database, who take turns.
#[derive(Debug)]
pub(crate) struct ReaderPool(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    turns: Arc<Semaphore>,
    /// Idle connections.
    idle: Mutex<Vec<ReadOnly>>,
    damage: Damage,
    gate: ReadingGate,
}

/// A connection that reads, and remembers damage.
#[derive(Debug)]
pub(crate) struct ReadOnly {
    connection: Connection,
    damage: Damage,
}

/// The rows that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// All that were wanted.
    All,
    /// Those before a page that is damaged.
    UpToDamage,
}

impl ReadOnly {
    /// Collects rows. Where the database is damaged, these are the rows before the damage.
    pub(crate) fn collect<T>(
        &self,
        rows: impl Iterator<Item = rusqlite::Result<T>>,
    ) -> rusqlite::Result<Vec<T>> {
        let mut found = Vec::new();
        self.take_while(rows, |row| {
            found.push(row);
            true
        })?;
        Ok(found)
    }

    /// Takes rows as long as `take` returns `true`. Where the database is damaged, these are the rows before the
    /// damage.
    pub(crate) fn take_while<T>(
        &self,
        rows: impl Iterator<Item = rusqlite::Result<T>>,
        mut take: impl FnMut(T) -> bool,
    ) -> rusqlite::Result<Taken> {
        for row in rows.filter_map(readable) {
            match row {
                Ok(row) => {
                    if !take(row) {
                        break;
                    }
                }
                Err(error) if self.damage.notice(&error) => return Ok(Taken::UpToDamage),
                Err(error) => return Err(error),
            }
        }
        Ok(Taken::All)
    }

    /// Returns the first row that is not damaged.
    pub(crate) fn first<T>(
        &self,
        mut rows: impl Iterator<Item = rusqlite::Result<T>>,
    ) -> rusqlite::Result<Option<T>> {
        let first = rows.find_map(readable).transpose();
        self.or_nothing(first)
    }

    /// Returns `true` if a query can read a row, `false` where that is damaged; `None` when there is none.
    pub(crate) fn reads_a_row(
        &self,
        sql: &str,
        parameters: impl Params,
    ) -> Result<Option<bool>, QueryError> {
        match self.prepare_cached(sql)?.query_row(parameters, |_| Ok(())).optional() {
            Ok(found) => Ok(found.map(|()| true)),
            Err(error) if self.damage.notice(&error) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns `true` if an error is one of a damaged database, which is remembered.
    pub(crate) fn is_damage(&self, error: &rusqlite::Error) -> bool {
        self.damage.notice(error)
    }

    /// Returns nothing where the database is damaged.
    pub(crate) fn or_nothing<T: Default>(&self, read: rusqlite::Result<T>) -> rusqlite::Result<T> {
        read.or_else(|error| if self.damage.notice(&error) { Ok(T::default()) } else { Err(error) })
    }
}

impl Deref for ReadOnly {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

/// Leaves out a row that is damaged, so that the others can be read.
fn readable<T>(row: rusqlite::Result<T>) -> Option<rusqlite::Result<T>> {
    match row {
        Err(
            error @ (rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)),
        ) => {
            tracing::error!(%error, "a stored prediction cannot be read");
            None
        }
        row => Some(row),
    }
}

impl ReaderPool {
    pub(crate) fn open(
        path: &Path,
        n_readers: usize,
        damage: Damage,
        gate: ReadingGate,
    ) -> Result<Self, OpenError> {
        // One at once, so that a file that cannot be read stops the start.
        let connection = schema::open_for_reading(path)?;
        let first = ReadOnly { connection, damage: damage.clone() };
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            turns: Arc::new(Semaphore::new(n_readers)),
            idle: Mutex::new(vec![first]),
            damage,
            gate,
        })))
    }

    /// Runs a query on a thread for blocking work, when it is its turn.
    fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&ReadOnly) -> Result<T, QueryError> + Send + 'static,
    ) -> Reading<'_, T> {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            shared.gate.passed().await;
            let turn = Arc::clone(&shared.turns).acquire_owned();
            let turn = tokio::time::timeout(TURN_TIMEOUT, turn).await;
            let turn = turn.map_err(|_| ReadError::Busy)?.map_err(|_| ReadError::Busy)?;
            let read = move || {
                // Reading continues after its caller has gone, and keeps its turn.
                let _turn = turn;
                shared.read(query)
            };
            // A query is ended after `READ_TIMEOUT`; on a disk that hangs, it is not waited for.
            let read = tokio::time::timeout(2 * READ_TIMEOUT, tokio::task::spawn_blocking(read));
            read.await.map_err(|_| ReadError::Busy)??
        })
    }
}

impl Shared {
    fn read<T>(
        &self,
        query: impl FnOnce(&ReadOnly) -> Result<T, QueryError>,
    ) -> Result<T, ReadError> {
        // A panic of another reader leaves connections that are as good as before.
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = idle().pop();
        let open = || {
            let connection = schema::open_for_reading(&self.path)?;
            Ok(ReadOnly { connection, damage: self.damage.clone() })
        };
        let opened = spare.map_or_else(open, Ok);
        let mut connection = opened.map_err(|error: OpenError| read_error(error.into()))?;
        let begun = Instant::now();
        let gate = self.gate.clone();
        // Others wait for the gate until the reads have ended that keep the WAL.
        let is_late = move || {
            let elapsed = begun.elapsed();
            elapsed > READ_TIMEOUT || (elapsed > READ_AT_GATE_MAX && gate.is_closed())
        };
        connection
            .connection
            .progress_handler(STEPS_PER_LOOK, Some(is_late))
            .map_err(|error| read_error(error.into()))?;
        match query(&connection) {
            Ok(found) => {
                idle().push(connection);
                Ok(found)
            }
            // A connection that failed may be one to a file that is no longer there.
            Err(error) => {
                if let QueryError::Sqlite(error) = &error {
                    self.damage.notice(error);
                }
                Err(read_error(error))
            }
        }
    }
}

fn read_error(error: QueryError) -> ReadError {
    match error {
        QueryError::Sqlite(error) if code_of(&error) == Some(ErrorCode::OperationInterrupted) => {
            ReadError::TimeLimit
        }
        error => ReadError::Database(Box::new(error)),
    }
}

impl Reader for ReaderPool {
    fn latest_anomalies(&self, query: AnomalyQuery) -> Reading<'_, Listed<StoredPrediction>> {
        self.read(move |connection| query::anomalies(connection, &query))
    }

    fn events(&self, query: EventQuery) -> Reading<'_, Listed<StoredPrediction>> {
        self.read(move |connection| query::events(connection, &query))
    }

    fn stations(&self, query: StationQuery) -> Reading<'_, Listed<Station>> {
        self.read(move |connection| query::stations(connection, &query))
    }

    fn anomaly(&self, id: i64) -> Reading<'_, Option<StoredPrediction>> {
        self.read(move |connection| query::anomaly(connection, id))
    }

    fn neighbours(&self, key: EventKey, n_each: u32) -> Reading<'_, Neighbours> {
        self.read(move |connection| query::neighbours(connection, &key, n_each))
    }

    fn glances(
        &self,
        query: StationQuery,
        len_max: u32,
    ) -> Reading<'_, Vec<(StationId, Vec<Glance>)>> {
        self.read(move |connection| query::glances(connection, &query, len_max))
    }

    fn past(&self, station_id: StationId, len_max: u32) -> Reading<'_, Vec<Glance>> {
        self.read(move |connection| query::past(connection, &station_id, len_max))
    }

    fn series(&self, query: SeriesQuery) -> Reading<'_, Vec<Bucket>> {
        self.read(move |connection| series::series(connection, &query))
    }

    fn sample(&self, query: SampleQuery) -> Reading<'_, Vec<Sampled>> {
        self.read(move |connection| series::sample(connection, &query))
    }

    fn alarm_record(&self, station_id: StationId) -> Reading<'_, Option<Vec<u8>>> {
        self.read(move |connection| alarm_records::read(connection, &station_id))
    }

    fn size_bytes(&self) -> Reading<'_, u64> {
        let path = self.0.path.clone();
        Box::pin(async move {
            let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
            let sum = move || size(&path) + size(&beside(&path, "-wal"));
            Ok(tokio::task::spawn_blocking(sum).await?)
        })
    }
}
