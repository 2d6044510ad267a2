//! The handle of a database of predictions.

use std::fmt;
use std::sync::Arc;

use sensor::{Glance, StationId};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Backend, Reader, Readers};
use crate::backlog::{Backlog, Held, OfClient};
use crate::entry::Entry;
use crate::error::{KeepError, ReadError, Trouble};
use crate::health::Health;
use crate::limits::{self, COMMIT_TIMEOUT, STALLED_AFTER};
use crate::prediction::{Kept, NewPrediction, Observer, StoredPrediction, Totals};
use crate::query::{AnomalyQuery, EventKey, EventQuery, Listed, Neighbours, Station, StationQuery};
use crate::series::{Bucket, SampleQuery, Sampled, SeriesQuery};
use crate::sweep::{Sweep, Swept};
use crate::writer::{Batcher, Job, KeepJob, Writer};

/// A database of predictions. Cloning is cheap and shares it.
#[derive(Clone)]
pub struct Store {
    /// Before `jobs`, whose end makes the writer close the database: the readers must be gone by then.
    reader: Arc<dyn Reader>,
    reader_of_pages: Arc<dyn Reader>,
    reader_of_alarms: Arc<dyn Reader>,
    jobs: mpsc::UnboundedSender<Job>,
    backlog: Arc<Backlog>,
    health: Arc<Health>,
    /// The time that the last sweep before the start believed.
    believed_us: Option<i64>,
    /// Only one asks the writer at a time whether it can write.
    probing: Arc<tokio::sync::Mutex<()>>,
}

impl Store {
    /// The largest number of predictions that [`Store::keep_all`] takes at once.
    pub const BATCH_LEN_MAX: usize = limits::BATCH_LEN_MAX;
    /// The default number of predictions that may wait for the writer.
    pub const QUEUE_LEN_DEFAULT: usize = 4_096;

    /// Starts the writer of an open database. `queue_len_max` predictions may wait for it; more are
    /// refused.
    ///
    /// # Errors
    ///
    /// Fails when the system does not start a thread.
    pub fn start(
        backend: Box<dyn Backend>,
        readers: Readers,
        queue_len_max: usize,
        observe: Observer,
    ) -> std::io::Result<(Self, Writer)> {
        let health = Arc::new(Health::new(backend.totals()));
        let believed_us = backend.believed_us();
        let (jobs, queue) = mpsc::unbounded_channel();
        let batcher =
            Batcher { backend, queue, health: Arc::clone(&health), observe, held_over: None };
        let writer = Writer::start(batcher)?;
        let backlog = Arc::new(Backlog::new(queue_len_max));
        let probing = Arc::default();
        let Readers { of_programs: reader, of_pages: reader_of_pages, of_alarms: reader_of_alarms } =
            readers;
        let store = Self {
            reader,
            reader_of_pages,
            reader_of_alarms,
            jobs,
            backlog,
            health,
            believed_us,
            probing,
        };
        Ok((store, writer))
    }

    /// Returns a handle that reads with the readers of pages.
    #[must_use]
    pub fn for_pages(&self) -> Self {
        Self { reader: Arc::clone(&self.reader_of_pages), ..self.clone() }
    }

    /// Returns a handle that reads with the reader of alarms.
    #[must_use]
    pub fn for_alarms(&self) -> Self {
        Self { reader: Arc::clone(&self.reader_of_alarms), ..self.clone() }
    }

    /// Stores a prediction. Returns when it is on the disk.
    ///
    /// # Errors
    ///
    /// Fails when too many wait already and when the database refuses it. The error says whether it may
    /// have been stored all the same.
    pub async fn keep(&self, new: &NewPrediction) -> Result<Kept, KeepError> {
        let mut kept = self.keep_all([new]).await?;
        Ok(kept.pop().expect("there is an outcome for every prediction"))
    }

    /// Stores predictions in one transaction. Returns when they are on the disk, with what became of
    /// each.
    ///
    /// # Errors
    ///
    /// Fails for all of them, like [`Store::keep`].
    ///
    /// # Panics
    ///
    /// Panics when there are more than [`Store::BATCH_LEN_MAX`].
    pub async fn keep_all(
        &self,
        news: impl IntoIterator<Item = &NewPrediction>,
    ) -> Result<Vec<Kept>, KeepError> {
        self.queue(news.into_iter().cloned().map(Arc::new).collect(), None, None)?.await
    }

    /// Queues predictions that the caller continues to use, and returns a future that waits like [`Store::keep_all`]. What is
    /// queued first is stored first, whether or not anyone waits.
    ///
    /// `of_client` is what the client has taken of its share of the queue. It is given back when the predictions leave the
    /// queue, also if the client has gone before. `until_done` is given back when the transaction has ended, also if its answer came
    /// too late for anyone to wait for it.
    ///
    /// # Errors
    ///
    /// Fails for all of them, like [`Store::keep`].
    ///
    /// # Panics
    ///
    /// Panics when there are more than [`Store::BATCH_LEN_MAX`].
    pub fn queue(
        &self,
        news: Vec<Arc<NewPrediction>>,
        of_client: Option<OfClient>,
        until_done: Option<Held>,
    ) -> Result<impl Future<Output = Result<Vec<Kept>, KeepError>> + use<>, KeepError> {
        let entries: Vec<Entry> = news.into_iter().map(Entry::new).collect();
        assert!(entries.len() <= Self::BATCH_LEN_MAX, "{} predictions at once", entries.len());
        let n_bytes = entries.iter().map(Entry::size).sum();
        let room = self.backlog.take(entries.len(), n_bytes, of_client).ok_or(KeepError::Full)?;
        let job = |answer| Job::Keep(KeepJob { entries, answer, room, until_done });
        let answered = self.send(job)?;
        let health = Arc::clone(&self.health);
        Ok(async move { answer_in_time(&health, answered).await })
    }

    /// Stores a record of the watch over a station without an event, in place of the one before. Returns when it is on the disk;
    /// `until_done` is given back when the transaction has ended, as by [`Store::queue`].
    ///
    /// # Errors
    ///
    /// Fails like [`Store::keep`].
    pub async fn keep_alarm_record(
        &self,
        station_id: StationId,
        record: Vec<u8>,
        until_done: Option<Held>,
    ) -> Result<(), KeepError> {
        let job = |answer| Job::KeepAlarmRecord { station_id, record, answer, until_done };
        self.ask(job).await
    }

    /// Deletes some predictions that are too old. Continue where it ended.
    ///
    /// # Errors
    ///
    /// Fails when the database refuses it.
    pub async fn sweep(&self, sweep: Sweep) -> Result<Swept, KeepError> {
        self.ask(|answer| Job::Sweep { sweep, answer }).await
    }

    /// Returns the latest anomalies, the last to arrive first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn latest_anomalies(
        &self,
        query: AnomalyQuery,
    ) -> Result<Listed<StoredPrediction>, ReadError> {
        self.reader.latest_anomalies(query).await
    }

    /// Returns predictions station by station in the order of their names, the last to be measured
    /// first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn events(&self, query: EventQuery) -> Result<Listed<StoredPrediction>, ReadError> {
        self.reader.events(query).await
    }

    /// Returns the stations that have sent events, in the order of their names.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn stations(&self, query: StationQuery) -> Result<Listed<Station>, ReadError> {
        self.reader.stations(query).await
    }

    /// Returns the anomaly with this number, if it is one and still stored.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn anomaly(&self, id: i64) -> Result<Option<StoredPrediction>, ReadError> {
        self.reader.anomaly(id).await
    }

    /// Returns up to `n_each` predictions of a station before an event, and as many after it.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn neighbours(&self, key: EventKey, n_each: u32) -> Result<Neighbours, ReadError> {
        self.reader.neighbours(key, n_each).await
    }

    /// Returns stations in the order of their names, each with its last `len_max` predictions, the
    /// last to be measured first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn glances(
        &self,
        query: StationQuery,
        len_max: u32,
    ) -> Result<Vec<(StationId, Vec<Glance>)>, ReadError> {
        self.reader.glances(query, len_max).await
    }

    /// Returns the last `len_max` predictions of a station, the last to be measured first.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn past(
        &self,
        station_id: StationId,
        len_max: u32,
    ) -> Result<Vec<Glance>, ReadError> {
        self.reader.past(station_id, len_max).await
    }

    /// Returns the past of a station in buckets.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn series(&self, query: SeriesQuery) -> Result<Vec<Bucket>, ReadError> {
        self.reader.series(query).await
    }

    /// Returns some predictions of a time, spread evenly over it and over the stations.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn sample(&self, query: SampleQuery) -> Result<Vec<Sampled>, ReadError> {
        self.reader.sample(query).await
    }

    /// Returns the record that was stored last of the watch over a station.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read, or not in time.
    pub async fn alarm_record(&self, station_id: StationId) -> Result<Option<Vec<u8>>, ReadError> {
        self.reader.alarm_record(station_id).await
    }

    /// Returns the size of the database, in bytes.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be asked.
    pub async fn size_bytes(&self) -> Result<u64, ReadError> {
        self.reader.size_bytes().await
    }

    /// Returns the latest time that a sweep believed before the start, in microseconds since 1970 (UTC).
    pub fn believed_us(&self) -> Option<i64> {
        self.believed_us
    }

    /// Returns the largest number of predictions that may wait to be written.
    pub fn queue_len_max(&self) -> usize {
        self.backlog.len_max()
    }

    /// Returns the number of predictions that wait for the writer.
    pub fn queue_len(&self) -> usize {
        self.backlog.len()
    }

    /// Returns `true` if one more prediction would be refused: then it need not be made.
    pub fn is_full(&self) -> bool {
        self.backlog.is_full()
    }

    /// Returns why predictions cannot be stored at present, as far as is known without asking the
    /// writer. A damaged database may still store some.
    pub fn failure(&self) -> Option<KeepError> {
        if self.jobs.is_closed() {
            return Some(KeepError::NotStored(Trouble::WriterGone));
        }
        self.health.is_proven().err().or_else(|| self.health.failure())
    }

    /// Returns the counts of stored predictions, as the writer last knew.
    pub fn totals(&self) -> Totals {
        self.health.totals()
    }

    /// Returns the counts of stored predictions if the database can store more. Unless it did so a
    /// moment ago, the writer is asked to commit something.
    ///
    /// # Errors
    ///
    /// Fails when predictions cannot be stored at present.
    pub async fn check(&self) -> Result<Totals, KeepError> {
        if !self.is_proven()? {
            let probed = tokio::time::timeout(STALLED_AFTER, self.probe()).await;
            probed.unwrap_or_else(|_| Err(self.known_trouble()))?;
            // The probe may have shown damage.
            self.health.is_proven()?;
        }
        Ok(self.totals())
    }

    async fn probe(&self) -> Result<(), KeepError> {
        let _turn = self.probing.lock().await;
        // Another one may have proven it meanwhile.
        if !self.is_proven()? {
            self.queue(Vec::new(), None, None)?.await?;
        }
        Ok(())
    }

    fn is_proven(&self) -> Result<bool, KeepError> {
        Ok(self.health.is_proven()? && !self.jobs.is_closed())
    }

    /// Returns why no answer came in time.
    fn known_trouble(&self) -> KeepError {
        self.health.failure().unwrap_or(KeepError::Unknown(Trouble::Stalled))
    }

    /// Hands the writer a job and waits for its answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, KeepError>>) -> Job,
    ) -> Result<T, KeepError> {
        let answered = self.send(job)?;
        answer_in_time(&self.health, answered).await
    }

    /// Hands the writer a job.
    fn send<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, KeepError>>) -> Job,
    ) -> Result<oneshot::Receiver<Result<T, KeepError>>, KeepError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.jobs.send(job(answer));
        sent.map(|()| answered).map_err(|_| KeepError::NotStored(Trouble::WriterGone))
    }
}

/// Waits for the answer of the writer.
async fn answer_in_time<T>(
    health: &Health,
    answered: oneshot::Receiver<Result<T, KeepError>>,
) -> Result<T, KeepError> {
    let Ok(answered) = tokio::time::timeout(COMMIT_TIMEOUT, answered).await else {
        health.stalled();
        return Err(KeepError::Unknown(Trouble::Stalled));
    };
    answered.unwrap_or(Err(KeepError::Unknown(Trouble::WriterGone)))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("health", &self.health).finish_non_exhaustive()
    }
}
