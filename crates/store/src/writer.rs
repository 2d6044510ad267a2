//! The one thread that writes: it gathers what waits, has it committed, and then answers.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use sensor::{Arrival, StationId};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{Backend, Failure};
use crate::backlog::{Held, Room};
use crate::entry::Entry;
use crate::error::{KeepError, Trouble};
use crate::health::Health;
use crate::limits::{BATCH_LEN_MAX, TRANSACTION_BYTES_MAX};
use crate::prediction::{CommitReport, Kept, Observer};
use crate::sweep::{Sweep, Swept};

/// The channel for the answer to a job. Its client may have gone; the prediction stays stored.
type Answer<T> = oneshot::Sender<Result<T, KeepError>>;

/// A job of the writer.
#[derive(Debug)]
pub(crate) enum Job {
    /// Store predictions; without any, prove that it can be done.
    Keep(KeepJob),
    /// Store the record of a station without an event.
    KeepAlarmRecord {
        station_id: StationId,
        record: Vec<u8>,
        answer: Answer<()>,
        until_done: Option<Held>,
    },
    /// Delete some of what is too old.
    Sweep { sweep: Sweep, answer: Answer<Swept> },
}

/// Predictions to be stored in one transaction.
#[derive(Debug)]
pub(crate) struct KeepJob {
    /// At most [`BATCH_LEN_MAX`].
    pub(crate) entries: Vec<Entry>,
    pub(crate) answer: Answer<Vec<Kept>>,
    /// Held until the transaction begins.
    pub(crate) room: Room,
    /// Held until it has ended, whether or not anyone waits for the answer.
    pub(crate) until_done: Option<Held>,
}

impl KeepJob {
    fn n_bytes(&self) -> usize {
        self.entries.iter().map(Entry::size).sum()
    }
}

/// The thread that writes. It ends when the last [`Store`](crate::Store) is gone.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<Result<(), KeepError>>,
    ended: oneshot::Receiver<()>,
}

impl Writer {
    pub(crate) fn start(batcher: Batcher) -> io::Result<Self> {
        let (end, ended) = oneshot::channel();
        let body = move || {
            // Dropped with the thread, also when that panics.
            let _end: oneshot::Sender<()> = end;
            batcher.run()
        };
        let thread = thread::Builder::new().name(String::from("store-writer")).spawn(body)?;
        Ok(Self { thread, ended })
    }

    /// Returns when the thread has ended: while a store is in use, because it has panicked.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Waits until everything that was accepted is stored and the database is closed.
    ///
    /// Blocks: not for async code. Would wait forever while a store is in use.
    ///
    /// # Errors
    ///
    /// Fails when the thread panicked, and what it had not answered may be stored or not; and when the
    /// database could not be closed properly.
    pub fn join(self) -> Result<(), KeepError> {
        self.thread.join().unwrap_or(Err(KeepError::Unknown(Trouble::WriterGone)))
    }
}

/// The state that the thread owns.
pub(crate) struct Batcher {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) queue: mpsc::UnboundedReceiver<Job>,
    pub(crate) health: Arc<Health>,
    pub(crate) observe: Observer,
    /// A job that did not fit its batch and begins the next one.
    pub(crate) held_over: Option<Job>,
}

impl Batcher {
    fn run(mut self) -> Result<(), KeepError> {
        while let Some(job) = self.held_over.take().or_else(|| self.queue.blocking_recv()) {
            self.health.set_busy(true);
            match job {
                Job::Keep(first) => {
                    let batch = self.gather(first);
                    self.keep(batch);
                }
                Job::KeepAlarmRecord { station_id, record, answer, until_done } => {
                    self.transact(answer, |backend| {
                        backend.keep_alarm_record(&station_id, &record)
                    });
                    drop(until_done);
                }
                Job::Sweep { sweep, answer } => {
                    self.transact(answer, |backend| backend.sweep(&sweep));
                }
            }
            self.health.set_busy(true);
            self.backend.maintain();
            self.health.set_busy(false);
        }
        self.backend.close()
    }

    /// Takes the predictions that wait, and no more: while one batch is written, the next gathers.
    fn gather(&mut self, first: KeepJob) -> Vec<KeepJob> {
        let (mut len, mut n_bytes) = (first.entries.len(), first.n_bytes());
        let mut batch = vec![first];
        while let Ok(job) = self.queue.try_recv() {
            match job {
                Job::Keep(next)
                    if len + next.entries.len() <= BATCH_LEN_MAX
                        && n_bytes + next.n_bytes() <= TRANSACTION_BYTES_MAX =>
                {
                    len += next.entries.len();
                    n_bytes += next.n_bytes();
                    batch.push(next);
                }
                other => {
                    self.held_over = Some(other);
                    break;
                }
            }
        }
        batch
    }

    /// Stores a batch, and then answers each of its jobs.
    fn keep(&mut self, batch: Vec<KeepJob>) {
        let begun = Instant::now();
        let mut entries = Vec::with_capacity(batch.iter().map(|job| job.entries.len()).sum());
        let mut answers = Vec::with_capacity(batch.len());
        for mut job in batch {
            answers.push((job.entries.len(), job.answer, job.until_done));
            entries.append(&mut job.entries);
            drop(job.room);
        }
        let kept = self.backend.keep(&entries);
        (self.observe)(CommitReport {
            n_predictions: entries.len(),
            duration: begun.elapsed(),
            is_stored: kept.is_ok(),
            arrivals: arrivals(&entries, kept.as_deref().unwrap_or_default()),
        });
        match self.settled(kept) {
            Ok(kept) => {
                let mut kept = kept.into_iter();
                for (len, answer, _) in answers {
                    let _ = answer.send(Ok(kept.by_ref().take(len).collect()));
                }
            }
            Err(error) => {
                for (_, answer, _) in answers {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }

    /// Carries out a transaction that stores no prediction.
    fn transact<T>(
        &mut self,
        answer: Answer<T>,
        transact: impl FnOnce(&mut dyn Backend) -> Result<T, Failure>,
    ) {
        let begun = Instant::now();
        let done = transact(&mut *self.backend);
        (self.observe)(CommitReport {
            n_predictions: 0,
            duration: begun.elapsed(),
            is_stored: done.is_ok(),
            arrivals: Vec::new(),
        });
        let _ = answer.send(self.settled(done));
    }

    /// Notes the end of a transaction, before anyone hears of it.
    fn settled<T>(&self, outcome: Result<T, Failure>) -> Result<T, KeepError> {
        match outcome {
            Ok(done) => {
                self.health.committed(self.backend.totals(), self.backend.is_damaged());
                Ok(done)
            }
            Err(failure) => {
                self.health.failed(&failure);
                Err(failure.error)
            }
        }
    }
}

fn arrivals(entries: &[Entry], kept: &[Kept]) -> Vec<Arrival> {
    let stored = entries.iter().zip(kept).filter(|(_, kept)| **kept == Kept::Stored);
    stored.map(|(entry, _)| entry.arrival()).collect()
}
