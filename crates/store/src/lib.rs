//! Where predictions are kept: SQLite, one writer, answers after the commit.
//!
//! [`Store::open`] gives a handle, which is cheap to clone, and the [`Writer`], a thread of its own.
//! [`Store::keep`] hands it a prediction and waits: the writer commits whatever has gathered in one
//! transaction that survives a power cut, and only then answers. An event that was kept before is
//! answered with the prediction of that time ([`Kept::Duplicate`]). Readers such as
//! [`Store::latest_anomalies`] use connections of their own, for a limited time, and never wait for
//! the writer.
//!
//! After a failure everyone who waits is told what is known: nothing was kept
//! ([`KeepError::NotStored`]), or this is not known ([`KeepError::Unknown`]). The next batch tries
//! again, so that a disk that recovers needs no restart.
//!
//! The writer ends when the last handle is gone; [`Writer::join`] waits for that, so that everything
//! that was accepted is on the disk.
//!
//! What it does not do: it computes nothing, and knows no thresholds.

mod backlog;
mod commit_mark;
mod error;
mod held_files;
mod prediction_row;
mod quarantine;
mod query;
mod reader;
mod retention;
mod schema;
mod series;
mod verify;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sensor::{Arrival, Fingerprint, Glance, Prediction, StationId};
use tokio::sync::{mpsc, oneshot};

use crate::backlog::Backlog;
use crate::commit_mark::{CommitMark, Mark};
use crate::prediction_row::PredictionRow;
use crate::reader::Readers;
use crate::writer::{Job, Scribe};

pub use error::{KeepError, OpenError, ReadError, Trouble};
pub use query::{AnomalyQuery, EventKey, EventQuery, Neighbours, Station, StationQuery};
pub use retention::{Place, Sweep, Swept};
pub use series::{Bucket, Extent, SampleQuery, Sampled, SeriesQuery};
pub use verify::{Verification, VerifyError, verify};
pub use writer::Writer;

/// A database of predictions.
///
/// Cloning is cheap and shares the connections.
#[derive(Debug, Clone)]
pub struct Store {
    /// Ahead of `jobs`, whose end makes the writer close the database: it should be the last to.
    readers: Arc<Readers>,
    jobs: mpsc::UnboundedSender<Job>,
    backlog: Arc<Backlog>,
    status: Arc<Mutex<Status>>,
    /// One asks the writer at a time whether it can write.
    probing: Arc<tokio::sync::Mutex<()>>,
}

/// How a store is to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreParams {
    /// How many predictions may wait for the writer; more are refused.
    pub queue_len_max: usize,
    /// What becomes of a database that is damaged.
    pub on_corrupt: OnCorrupt,
}

/// What becomes of a database that is found to be damaged when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnCorrupt {
    /// It is put aside, and a new one begins in its place.
    Quarantine,
    /// It stays where it is, and opening fails.
    Exit,
}

impl Default for StoreParams {
    fn default() -> Self {
        Self { queue_len_max: 4_096, on_corrupt: OnCorrupt::Quarantine }
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
    Stored,
    /// The same event was kept before, with this prediction.
    Duplicate(Prediction),
    /// Another event with the same station, time and sequence number was kept before.
    Conflict,
    /// Something was kept before under the same station, time and sequence number, and cannot be read
    /// any more.
    Unreadable,
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

/// What a transaction did, for whoever observes the writer.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitReport {
    /// The number of predictions it was about.
    pub n_predictions: usize,
    /// How long it took.
    pub duration: Duration,
    /// Whether it was committed.
    pub is_stored: bool,
    /// Predictions that it stored, in the order of their arrival.
    pub arrivals: Vec<Arrival>,
}

/// Hears of every transaction, in the thread of the writer and before anyone gets an answer.
pub type Observer = Box<dyn Fn(CommitReport) + Send>;

/// What the writer last knew; readers of it do not touch the disk.
#[derive(Debug, Default)]
struct Status {
    totals: Totals,
    /// Why the last transaction failed; `None` when it did not.
    failure: Option<KeepError>,
    /// When the present transaction began.
    busy_since: Option<Instant>,
    /// When the last one was committed.
    committed: Option<Instant>,
}

impl Status {
    fn is_damaged(&self) -> bool {
        let is = |error| {
            matches!(
                error,
                KeepError::NotStored(Trouble::Corrupt) | KeepError::Unknown(Trouble::Corrupt)
            )
        };
        self.failure.is_some_and(is)
    }
}

/// How long anyone waits for a commit.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A store that committed something so recently needs no further proof that it can.
const PROOF_LASTS: Duration = Duration::from_secs(1);

impl Store {
    /// The most predictions that [`Store::keep_all`] takes at once.
    pub const BATCH_LEN_MAX: usize = writer::BATCH_LEN_MAX;

    /// Opens a database, which is made where it is missing, and starts its writer.
    ///
    /// `observe` hears of every transaction, in the thread of the writer.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be opened, is in use by another writer, is no database of this
    /// program or a later one's, is damaged and must not be put aside, or when the system does not
    /// grant the durability that is asked for.
    pub fn open(
        path: &Path,
        params: &StoreParams,
        observe: Observer,
    ) -> Result<(Self, Writer), OpenError> {
        if let Some(dir) = path.parent() {
            schema::make_folder(dir)
                .map_err(|source| OpenError::Folder { path: dir.to_owned(), source })?;
        }
        let mut mark = CommitMark::open(path)?;
        let backlog = Arc::new(Backlog::new(params.queue_len_max));
        let connection = match schema::open_checked(path, mark.mark()) {
            Err(OpenError::Corrupt { reason, .. })
                if params.on_corrupt == OnCorrupt::Quarantine =>
            {
                let aside = quarantine::put_aside(path)
                    .map_err(|source| OpenError::Quarantine { path: path.to_owned(), source })?;
                tracing::error!(
                    reason,
                    "the database `{}` is damaged; it was put aside as `{}` and a new one begins: save what can be \
                     read of it with `sqlite3 {} .recover`",
                    path.display(),
                    aside.display(),
                    aside.display()
                );
                schema::open_checked(path, Mark { is_suspect: false, ..mark.mark() })?
            }
            opened => opened?,
        };
        mark.acquit().map_err(|source| OpenError::CommitMark { path: path.to_owned(), source })?;
        let scribe = Scribe::new(path, connection, mark, Arc::clone(&backlog), observe)?;
        let status = scribe.status();
        let readers = Arc::new(Readers::open(path)?);
        let (jobs, queue) = mpsc::unbounded_channel();
        let writer = Writer::start(scribe, queue)?;
        Ok((Self { readers, jobs, backlog, status, probing: Arc::default() }, writer))
    }

    /// Keeps a prediction, and returns when it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails when too many wait already and when the disk does not take it; the error says whether
    /// it may have been kept all the same.
    pub async fn keep(&self, new: &NewPrediction) -> Result<Kept, KeepError> {
        let mut kept = self.keep_all([new]).await?;
        Ok(kept.pop().expect("there is an outcome for every prediction"))
    }

    /// Keeps predictions in one transaction, and returns when they are on the disk, with what became
    /// of each.
    ///
    /// # Errors
    ///
    /// Fails for all of them, as [`Store::keep`] does.
    ///
    /// # Panics
    ///
    /// Panics when they are more than [`Store::BATCH_LEN_MAX`].
    pub async fn keep_all(
        &self,
        news: impl IntoIterator<Item = &NewPrediction>,
    ) -> Result<Vec<Kept>, KeepError> {
        let rows: Vec<PredictionRow> = news.into_iter().map(PredictionRow::new).collect();
        assert!(rows.len() <= Self::BATCH_LEN_MAX, "{} predictions at once", rows.len());
        self.ask(|answer| Job::Keep { rows, answer }).await
    }

    /// Deletes some predictions that are too old; go on from where it ended.
    ///
    /// # Errors
    ///
    /// Fails when the disk does not take it.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, KeepError> {
        self.ask(|answer| Job::Sweep { sweep, answer }).await
    }

    /// The latest anomalies, the last to arrive first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn latest_anomalies(
        &self,
        query: AnomalyQuery,
    ) -> Result<Vec<StoredPrediction>, ReadError> {
        self.readers.read(move |connection| query::anomalies(connection, &query)).await
    }

    /// Predictions by station and time.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn events(&self, query: EventQuery) -> Result<Vec<StoredPrediction>, ReadError> {
        self.readers.read(move |connection| query::events(connection, &query)).await
    }

    /// The stations that have sent events.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn stations(&self, query: StationQuery) -> Result<Vec<Station>, ReadError> {
        self.readers.read(move |connection| query::stations(connection, &query)).await
    }

    /// The anomaly that was the `id`th prediction to arrive, if it is one and still there.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn anomaly(&self, id: i64) -> Result<Option<StoredPrediction>, ReadError> {
        self.readers.read(move |connection| query::anomaly(connection, id)).await
    }

    /// Up to `n_each` predictions of a station before an event, and as many after it.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn neighbours(&self, key: EventKey, n_each: u32) -> Result<Neighbours, ReadError> {
        self.readers.read(move |connection| query::neighbours(connection, &key, n_each)).await
    }

    /// Stations in the order of their names, each with its last `len_max` predictions at a glance,
    /// the last to be measured first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn glances(
        &self,
        query: StationQuery,
        len_max: u32,
    ) -> Result<Vec<(StationId, Vec<Glance>)>, ReadError> {
        self.readers.read(move |connection| query::glances(connection, &query, len_max)).await
    }

    /// The last `len_max` predictions of a station at a glance, the last to be measured first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn past(
        &self,
        station_id: StationId,
        len_max: u32,
    ) -> Result<Vec<Glance>, ReadError> {
        self.readers.read(move |connection| query::past(connection, &station_id, len_max)).await
    }

    /// How the values and scores of a station went.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn series(&self, query: SeriesQuery) -> Result<Vec<Bucket>, ReadError> {
        self.readers.read(move |connection| series::series(connection, &query)).await
    }

    /// Some predictions of a time, spread evenly over it and over the stations.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn sample(&self, query: SampleQuery) -> Result<Vec<Sampled>, ReadError> {
        self.readers.read(move |connection| series::sample(connection, &query)).await
    }

    /// Bytes that the database and its log take on the disk.
    ///
    /// # Errors
    ///
    /// Fails when the reading of it panics.
    pub async fn size_bytes(&self) -> Result<u64, ReadError> {
        let readers = Arc::clone(&self.readers);
        Ok(tokio::task::spawn_blocking(move || readers.size_bytes()).await?)
    }

    /// How many predictions wait for the writer.
    pub fn queue_len(&self) -> usize {
        self.backlog.len()
    }

    /// Whether one more prediction would be refused: then it need not be made.
    pub fn is_full(&self) -> bool {
        self.backlog.is_full()
    }

    /// Why predictions cannot be kept at present, as far as is known without asking the writer; `None`
    /// when they can. A database that is damaged may still take some.
    pub fn failure(&self) -> Option<KeepError> {
        if self.jobs.is_closed() {
            return Some(KeepError::NotStored(Trouble::WriterGone));
        }
        self.is_proven().err().or_else(|| lock(&self.status).failure)
    }

    /// How many predictions are kept, as the writer last knew.
    pub fn totals(&self) -> Totals {
        lock(&self.status).totals
    }

    /// How many predictions are kept, if the store can take more.
    ///
    /// Unless it did so a moment ago, the writer is asked to commit something.
    ///
    /// # Errors
    ///
    /// Fails when predictions cannot be kept at present.
    pub async fn check(&self) -> Result<Totals, KeepError> {
        let probed = async {
            let _turn = self.probing.lock().await;
            // Whoever had to wait may have been proven right meanwhile.
            if self.is_proven()? { Ok(()) } else { self.ask(|answer| Job::Probe { answer }).await }
        };
        if !self.is_proven()? {
            tokio::time::timeout(writer::STALLED_AFTER, probed)
                .await
                .unwrap_or_else(|_| Err(self.known_trouble()))?;
        }
        Ok(self.totals())
    }

    /// Why no answer came in time.
    fn known_trouble(&self) -> KeepError {
        lock(&self.status).failure.unwrap_or(KeepError::Unknown(Trouble::Stalled))
    }

    /// Whether something was committed a moment ago, and nothing has failed since.
    fn is_proven(&self) -> Result<bool, KeepError> {
        let status = lock(&self.status);
        if status.is_damaged() {
            return Err(KeepError::NotStored(Trouble::Corrupt));
        }
        let is_within =
            |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() < time);
        if status.busy_since.is_some() && !is_within(status.busy_since, writer::STALLED_AFTER) {
            return Err(KeepError::Unknown(Trouble::Stalled));
        }
        let is_recent = is_within(status.committed, PROOF_LASTS);
        Ok(status.failure.is_none() && is_recent && !self.jobs.is_closed())
    }

    /// Hands the writer a job and waits for its answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, KeepError>>) -> Job,
    ) -> Result<T, KeepError> {
        let (answer, answered) = oneshot::channel();
        let job = job(answer);
        let (len, bytes) = job.size();
        if !self.backlog.add(len, bytes) {
            return Err(KeepError::Full);
        }
        if self.jobs.send(job).is_err() {
            self.backlog.remove(len, bytes);
            return Err(KeepError::NotStored(Trouble::WriterGone));
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, answered).await {
            Ok(answered) => answered.unwrap_or(Err(KeepError::Unknown(Trouble::WriterGone))),
            Err(_) => Err(KeepError::Unknown(Trouble::Stalled)),
        }
    }
}

/// A panic elsewhere does not make the status false: each part is set in one step.
fn lock(status: &Mutex<Status>) -> MutexGuard<'_, Status> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
