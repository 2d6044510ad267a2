//! Where predictions are kept: SQLite, one writer, answers after the commit.
//!
//! [`Store::open`] gives a handle, which is cheap to clone, and the [`Writer`], a thread of its own.
//! [`Store::keep`] hands it a prediction over a bounded channel and waits: the writer commits
//! whatever has gathered in one transaction that survives a power cut, and only then answers. An
//! event that was kept before is answered with the prediction of that time ([`Kept::Duplicate`]).
//! Readers such as [`Store::latest_anomalies`] use a connection of their own and never wait for it.
//!
//! The writer ends when the last handle is gone; [`Writer::join`] waits for that, so that everything
//! that was accepted is on the disk.
//!
//! What it does not do: it computes nothing, and knows no thresholds.

mod error;
mod prediction_row;
mod reader;
mod schema;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sensor::{Fingerprint, Prediction};
use tokio::sync::{mpsc, oneshot};

use crate::reader::Reader;
use crate::schema::Ledger;
use crate::writer::Job;

pub use error::{KeepError, OpenError, ReadError};
pub use reader::AnomalyQuery;
pub use writer::Writer;

/// A database of predictions.
///
/// Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// Ahead of `jobs`, whose end makes the writer close the database: it should be the last to.
    reader: Arc<Reader>,
    jobs: mpsc::Sender<Job>,
    status: Arc<Mutex<Status>>,
}

/// How a store is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreParams {
    /// How many predictions may wait for the writer; more are refused.
    pub queue_len_max: usize,
}

impl Default for StoreParams {
    fn default() -> Self {
        Self { queue_len_max: 4_096 }
    }
}

/// A prediction, and what is to be known of its event.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPrediction {
    /// The answer to be kept.
    pub prediction: Prediction,
    /// Digest of the event, by which a repetition is known.
    pub event_hash: Fingerprint,
    /// When the event arrived, in microseconds since 1970.
    pub received_us: i64,
}

/// What became of a prediction.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It is on the disk.
    Stored(Prediction),
    /// The same event was kept before, with this prediction.
    Duplicate(Prediction),
}

/// A kept prediction, and its place in the order of arrival.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPrediction {
    /// Its number in the order of arrival, from 1.
    pub id: i64,
    /// The prediction.
    pub prediction: Prediction,
}

/// How many predictions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// All.
    pub events: u64,
    /// Those that are anomalies.
    pub anomalies: u64,
}

/// What the writer last knew; readers of it do not touch the disk.
#[derive(Debug, Default)]
struct Status {
    totals: Totals,
    /// Why the last transaction failed; `None` when it did not.
    failure: Option<KeepError>,
}

impl Store {
    /// Opens a database, which is made where it is missing, and starts its writer.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be opened, is no database of this program or a later one's, or
    /// the system does not grant the durability that is asked for.
    pub fn open(path: &Path, params: &StoreParams) -> Result<(Self, Writer), OpenError> {
        let connection = schema::open_for_writing(path)?;
        let ledger = Ledger::read(&connection).map_err(|source| OpenError::sqlite(path, source))?;
        let status = Arc::new(Mutex::new(Status { totals: ledger.totals, failure: None }));
        let reader = Arc::new(Reader::open(path)?);
        let (jobs, queue) = mpsc::channel(params.queue_len_max);
        let writer = Writer::start(connection, queue, Arc::clone(&status))
            .map_err(|source| OpenError::Thread { source })?;
        Ok((Self { reader, jobs, status }, writer))
    }

    /// Keeps a prediction, and returns when it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails when too many wait already, when another event has the same station, time and sequence
    /// number, and when the disk does not take it. Then nothing is kept, save where the error says
    /// that this is not known.
    pub async fn keep(&self, new: NewPrediction) -> Result<Kept, KeepError> {
        self.ask(|answer| Job::Keep { new, answer }).await
    }

    /// The latest anomalies, the last to arrive first. This reads the disk: not for async code.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read.
    pub fn latest_anomalies(
        &self,
        query: &AnomalyQuery,
    ) -> Result<Vec<StoredPrediction>, ReadError> {
        self.reader.latest_anomalies(query)
    }

    /// How many predictions are kept, if the store can take more.
    ///
    /// After a failure, the writer is asked to try again.
    ///
    /// # Errors
    ///
    /// Fails when predictions cannot be kept at present.
    pub async fn check(&self) -> Result<Totals, KeepError> {
        let has_failed = lock(&self.status).failure.is_some();
        if has_failed || self.jobs.is_closed() {
            self.ask(|answer| Job::Probe { answer }).await?;
        }
        Ok(lock(&self.status).totals)
    }

    /// Hands the writer a job and waits for its answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, KeepError>>) -> Job,
    ) -> Result<T, KeepError> {
        let (answer, answered) = oneshot::channel();
        self.jobs.try_send(job(answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => KeepError::Full,
            mpsc::error::TrySendError::Closed(_) => KeepError::WriterGone,
        })?;
        answered.await.unwrap_or(Err(KeepError::WriterGone))
    }
}

/// A panic elsewhere does not make the status false: it is replaced whole.
fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
