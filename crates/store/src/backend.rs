//! The interface that a database has to implement.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sensor::{Glance, StationId};

use crate::entry::Entry;
use crate::error::{KeepError, ReadError};
use crate::prediction::{Kept, StoredPrediction, Totals};
use crate::query::{AnomalyQuery, EventKey, EventQuery, Listed, Neighbours, Station, StationQuery};
use crate::series::{Bucket, SampleQuery, Sampled, SeriesQuery};
use crate::sweep::{Sweep, Swept};

/// A database as the writer uses it. One thread owns it.
pub trait Backend: Send {
    /// Stores predictions in one transaction, and returns what became of each, in order. What it
    /// returns is durable. Without predictions it has to commit something all the same, which shows
    /// that the database can be written.
    ///
    /// # Errors
    ///
    /// Fails for all of them: with [`KeepError::NotStored`] when it is certain that none was stored,
    /// and otherwise with [`KeepError::Unknown`].
    ///
    /// # Panics
    ///
    /// Panics when a transaction cannot be rolled back: nothing could be stored any more, and a restart
    /// is better.
    fn keep(&mut self, entries: &[Entry]) -> Result<Vec<Kept>, Failure>;

    /// Takes a step of a sweep in one transaction.
    ///
    /// # Errors
    ///
    /// Fails like [`Backend::keep`].
    fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, Failure>;

    /// Stores the record of a station, in place of the one before.
    ///
    /// # Errors
    ///
    /// Fails like [`Backend::keep`].
    fn keep_alarm_record(&mut self, station_id: &StationId, record: &[u8]) -> Result<(), Failure>;

    /// Returns the counts after the last commit.
    fn totals(&self) -> Totals;

    /// Returns the latest time that a sweep has believed, in microseconds since 1970 (UTC); `None`
    /// before the first sweep.
    fn believed_us(&self) -> Option<i64>;

    /// Returns `true` once damage was found, by the writer or by a reader: the database is not ready
    /// until it was looked at.
    fn is_damaged(&self) -> bool;

    /// Does housekeeping between two transactions; no client waits for it.
    fn maintain(&mut self);

    /// Closes the database.
    ///
    /// # Errors
    ///
    /// Fails when what was stored may not be found at the next start.
    fn close(self: Box<Self>) -> Result<(), KeepError>;
}

/// The reason why a transaction was not committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error that clients get.
    pub error: KeepError,
    /// The message of the database, for the log.
    pub detail: String,
}

/// The readers of a database. Pages have their own, so that no program that reads much can keep people
/// from seeing the plant, and so have the alarms of stations, for which events wait.
#[derive(Clone)]
pub struct Readers {
    /// For requests of programs.
    pub of_programs: Arc<dyn Reader>,
    /// For pages.
    pub of_pages: Arc<dyn Reader>,
    /// For what events have to wait for.
    pub of_alarms: Arc<dyn Reader>,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").finish_non_exhaustive()
    }
}

/// A read in progress.
pub type Reading<'a, T> = Pin<Box<dyn Future<Output = Result<T, ReadError>> + Send + 'a>>;

/// A database as readers use it: never waiting for the writer, and for a limited time. The methods of
/// [`Store`](crate::Store) with the same names describe the answers.
pub trait Reader: Send + Sync {
    /// Reads the latest anomalies.
    fn latest_anomalies(&self, query: AnomalyQuery) -> Reading<'_, Listed<StoredPrediction>>;
    /// Reads predictions by station and time.
    fn events(&self, query: EventQuery) -> Reading<'_, Listed<StoredPrediction>>;
    /// Reads stations.
    fn stations(&self, query: StationQuery) -> Reading<'_, Listed<Station>>;
    /// Reads one anomaly.
    fn anomaly(&self, id: i64) -> Reading<'_, Option<StoredPrediction>>;
    /// Reads the predictions around an event.
    fn neighbours(&self, key: EventKey, n_each: u32) -> Reading<'_, Neighbours>;
    /// Reads the last predictions of many stations.
    fn glances(
        &self,
        query: StationQuery,
        len_max: u32,
    ) -> Reading<'_, Vec<(StationId, Vec<Glance>)>>;
    /// Reads the last predictions of a station.
    fn past(&self, station_id: StationId, len_max: u32) -> Reading<'_, Vec<Glance>>;
    /// Reads the past of a station in buckets.
    fn series(&self, query: SeriesQuery) -> Reading<'_, Vec<Bucket>>;
    /// Reads a sample.
    fn sample(&self, query: SampleQuery) -> Reading<'_, Vec<Sampled>>;
    /// Reads the record that was stored last of the watch over a station.
    fn alarm_record(&self, station_id: StationId) -> Reading<'_, Option<Vec<u8>>>;
    /// Returns the size of the database, in bytes.
    fn size_bytes(&self) -> Reading<'_, u64>;
}
