//! The one thread that writes.

use std::io;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use sensor::{FeatureValues, Prediction};
use tokio::sync::{mpsc, oneshot};

use crate::error::KeepError;
use crate::schema::Ledger;
use crate::{Kept, NewPrediction, Status, Totals, lock, prediction_row};

/// What the writer is asked to do, and where it answers. Nobody may be waiting any more.
#[derive(Debug)]
pub(crate) enum Job {
    /// Keep a prediction.
    Keep { new: NewPrediction, answer: oneshot::Sender<Result<Kept, KeepError>> },
    /// Commit something, to see whether it can be done.
    Probe { answer: oneshot::Sender<Result<(), KeepError>> },
}

/// Jobs of one transaction. More would make the first wait for too long.
const BATCH_LEN_MAX: usize = 1_024;

/// The thread that writes. It ends when the last [`Store`](crate::Store) is gone.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<()>,
}

impl Writer {
    pub(crate) fn start(
        connection: Connection,
        queue: mpsc::Receiver<Job>,
        status: Arc<Mutex<Status>>,
    ) -> io::Result<Self> {
        let body = move || Scribe { connection, status }.run(queue);
        Ok(Self { thread: thread::Builder::new().name(String::from("store-writer")).spawn(body)? })
    }

    /// Waits until everything that was accepted is on the disk and the database is closed.
    ///
    /// This blocks: not for async code. It would wait for ever while a store is in use.
    ///
    /// # Errors
    ///
    /// Fails when the thread panicked; what it had not answered may be kept or not.
    pub fn join(self) -> Result<(), KeepError> {
        self.thread.join().map_err(|_| KeepError::WriterGone)
    }
}

/// What the writing thread owns.
struct Scribe {
    connection: Connection,
    status: Arc<Mutex<Status>>,
}

impl Scribe {
    fn run(mut self, mut queue: mpsc::Receiver<Job>) {
        let mut batch = Vec::new();
        // Takes what waits and no more: while one batch is written, the next gathers by itself.
        while queue.blocking_recv_many(&mut batch, BATCH_LEN_MAX) > 0 {
            self.settle(std::mem::take(&mut batch));
        }
        self.close();
    }

    /// Commits a batch, and then answers.
    fn settle(&mut self, batch: Vec<Job>) {
        let predictions = batch.iter().filter_map(|job| match job {
            Job::Keep { new, .. } => Some(new),
            Job::Probe { .. } => None,
        });
        let committed = self.commit(predictions);
        if let Err(error) = &committed {
            tracing::error!(error = %error, batch_len = batch.len(), "predictions could not be stored");
        }
        {
            let mut status = lock(&self.status);
            match &committed {
                Ok((totals, _)) => *status = Status { totals: *totals, failure: None },
                Err(error) => status.failure = Some(error.clone()),
            }
        }

        let mut answers = committed.map(|(_, found)| found.into_iter());
        for job in batch {
            // A client that has gone away does not hear of it; what is kept is kept.
            match (job, &mut answers) {
                (Job::Keep { new, answer }, Ok(found)) => {
                    let found =
                        found.next().expect("a commit says what it found for each prediction");
                    let _ = answer.send(match found {
                        Found::Nothing => Ok(Kept::Stored(new.prediction)),
                        Found::Same(earlier) => Ok(Kept::Duplicate(earlier)),
                        Found::Another => Err(KeepError::Conflict),
                    });
                }
                (Job::Probe { answer }, Ok(_)) => drop(answer.send(Ok(()))),
                (Job::Keep { answer, .. }, Err(error)) => drop(answer.send(Err(error.clone()))),
                (Job::Probe { answer }, Err(error)) => drop(answer.send(Err(error.clone()))),
            }
        }
    }

    /// Writes predictions in one transaction, and gives the new totals and what it found in the
    /// place of each.
    fn commit<'a>(
        &mut self,
        predictions: impl Iterator<Item = &'a NewPrediction>,
    ) -> Result<(Totals, Vec<Found>), KeepError> {
        let failed = |error: rusqlite::Error| KeepError::Failed(error.to_string().into());
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let mut ledger = Ledger::read(&transaction).map_err(failed)?;
        let found = predictions
            .map(|new| keep(&transaction, &mut ledger, new))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        // Always, so that a probe writes too.
        ledger.write(&transaction).map_err(failed)?;
        transaction.commit().map_err(|error| KeepError::Unknown(error.to_string().into()))?;
        Ok((ledger.totals, found))
    }

    /// Brings the database into one file and closes it.
    fn close(self) {
        let is_busy =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
        let closed = self.connection.close().map_err(|(_, error)| error);
        // Whatever happens here, nothing is lost: the next start reads the log beside the database.
        match is_busy.and_then(|is_busy: bool| closed.map(|()| is_busy)) {
            Ok(false) => {}
            Ok(true) => {
                tracing::warn!("another program reads the database, so its log stays beside it");
            }
            Err(error) => tracing::warn!(%error, "the database could not be brought into one file"),
        }
    }
}

/// What stood in the place of a new prediction.
enum Found {
    Nothing,
    /// The prediction of the same event.
    Same(Prediction),
    /// The prediction of another event.
    Another,
}

fn keep(
    connection: &Connection,
    ledger: &mut Ledger,
    new: &NewPrediction,
) -> rusqlite::Result<Found> {
    if prediction_row::insert(connection, ledger.last_id + 1, new)? {
        ledger.last_id += 1;
        ledger.totals.events += 1;
        ledger.totals.anomalies += u64::from(new.prediction.is_anomaly);
        return Ok(Found::Nothing);
    }
    let (earlier, event_hash) = prediction_row::with_key_of(connection, &new.prediction)?;
    let is_same = event_hash == new.event_hash || says_the_same(&earlier, &new.prediction);
    Ok(if is_same { Found::Same(earlier) } else { Found::Another })
}

/// Whether two predictions of models that know other features are about one event: their values are
/// equal wherever both know them, and there is such a place.
fn says_the_same(earlier: &Prediction, new: &Prediction) -> bool {
    let (FeatureValues(before), FeatureValues(now)) = (&earlier.features, &new.features);
    let value_before =
        |name: &str| before.iter().find(|(other, _)| **other == *name).map(|(_, value)| *value);
    let shared: Vec<_> =
        now.iter().filter_map(|(name, now)| Some((*now, value_before(name)?))).collect();
    let knows_others = shared.len() < now.len() || shared.len() < before.len();
    knows_others && !shared.is_empty() && shared.iter().all(|(now, before)| now == before)
}
