//! The one thread that writes.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use sensor::{Arrival, FeatureValues, Prediction};
use tokio::sync::{mpsc, oneshot};

use crate::backlog::Backlog;
use crate::commit_mark::{CommitMark, Mark, beside};
use crate::error::{KeepError, OpenError, Trouble};
use crate::held_files::HeldFiles;
use crate::prediction_row::PredictionRow;
use crate::retention::{self, Sweep, Swept};
use crate::schema::Ledger;
use crate::{CommitReport, Kept, Observer, Status, Totals, lock};

/// What the writer is asked to do, and where it answers. Nobody may be waiting any more.
#[derive(Debug)]
pub(crate) enum Job {
    /// Keep predictions, at most [`BATCH_LEN_MAX`].
    Keep { rows: Vec<PredictionRow>, answer: oneshot::Sender<Result<Vec<Kept>, KeepError>> },
    /// Commit something, to see whether it can be done.
    Probe { answer: oneshot::Sender<Result<(), KeepError>> },
    /// Delete some of what is too old.
    Sweep { sweep: Sweep, answer: oneshot::Sender<Result<Swept, KeepError>> },
}

/// Predictions of one transaction. More would make the first wait for too long.
pub(crate) const BATCH_LEN_MAX: usize = 1_024;
/// Bytes of one transaction.
const BATCH_BYTES_MAX: usize = 4 << 20;
/// Pages in the log from which on it is brought into the file.
const LOG_PAGES_MAX: i32 = 2_000;
/// Pages in the log from which on readers are waited for, so that it can begin anew: as long as they
/// overlap, it would grow without end.
const LOG_PAGES_URGENT: i32 = 16_000;
/// A commit that takes longer counts as one that does not come.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(3);
/// What is written to see whether a disk has room again: several times the batch that failed, since
/// its rows are spread over pages.
const TRIAL_BYTES: RangeInclusive<usize> = (256 << 10)..=(8 << 20);

/// The thread that writes. It ends when the last [`Store`](crate::Store) is gone.
#[derive(Debug)]
pub struct Writer {
    thread: JoinHandle<bool>,
    ended: oneshot::Receiver<()>,
}

impl Writer {
    pub(crate) fn start(
        scribe: Scribe,
        queue: mpsc::UnboundedReceiver<Job>,
    ) -> Result<Self, OpenError> {
        let (end, ended) = oneshot::channel();
        let body = move || {
            // Goes with the thread, also when that panics.
            let _end: oneshot::Sender<()> = end;
            scribe.run(queue)
        };
        let thread = thread::Builder::new()
            .name(String::from("store-writer"))
            .spawn(body)
            .map_err(|source| OpenError::Thread { source })?;
        Ok(Self { thread, ended })
    }

    /// Done when the thread has ended: while a store is in use, because it has panicked.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Waits until everything that was accepted is on the disk and the database is closed.
    ///
    /// This blocks: not for async code. It would wait for ever while a store is in use.
    ///
    /// # Errors
    ///
    /// Fails when the thread panicked, and what it had not answered may be kept or not; and when the
    /// files of the database were no longer in their place.
    pub fn join(self) -> Result<(), KeepError> {
        match self.thread.join() {
            Ok(true) => Ok(()),
            Ok(false) => Err(KeepError::Unknown(Trouble::Replaced)),
            Err(_) => Err(KeepError::Unknown(Trouble::WriterGone)),
        }
    }
}

/// What the writing thread owns.
pub(crate) struct Scribe {
    path: PathBuf,
    connection: Connection,
    held_files: HeldFiles,
    mark: CommitMark,
    status: Arc<Mutex<Status>>,
    backlog: Arc<Backlog>,
    observe: Observer,
    /// Pages in the log, as SQLite counts them at each commit.
    n_log_pages: Arc<AtomicI32>,
    /// At how many pages the log is next brought into the file.
    log_pages_max: i32,
    /// A job that did not fit its batch and begins the next one.
    held_over: Option<Job>,
    /// What SQLite said last, for the log.
    last_words: String,
    /// What to write to see whether there is room for the batches that failed; none after one that
    /// did not.
    trial_bytes: usize,
    /// Whether a batch has failed since the log was last brought into the file.
    needs_room: bool,
}

impl Scribe {
    /// Takes over an open database whose mark is held.
    pub(crate) fn new(
        path: &Path,
        mut connection: Connection,
        mark: CommitMark,
        backlog: Arc<Backlog>,
        observe: Observer,
    ) -> Result<Self, OpenError> {
        let sqlite_error = |source| OpenError::sqlite(path, source);
        let n_log_pages = Arc::new(AtomicI32::new(0));
        count_log_pages(&mut connection, &n_log_pages).map_err(sqlite_error)?;
        // The first transaction brings the log into being, and shows that the disk can be written.
        let ledger = Ledger::read(&connection).map_err(sqlite_error)?;
        // Ids that were told to somebody are not given to others.
        let ledger = Ledger { last_id: ledger.last_id.max(mark.mark().last_id), ..ledger };
        ledger.write(&connection).map_err(sqlite_error)?;
        run(&connection, "DELETE FROM trial").map_err(sqlite_error)?;
        let held_files = HeldFiles::of(path)
            .map_err(|source| OpenError::Files { path: path.to_owned(), source })?;
        let status = Status { totals: ledger.totals, ..Status::default() };
        Ok(Self {
            path: path.to_owned(),
            connection,
            held_files,
            mark,
            status: Arc::new(Mutex::new(status)),
            backlog,
            observe,
            n_log_pages,
            log_pages_max: LOG_PAGES_MAX,
            held_over: None,
            last_words: String::new(),
            trial_bytes: 0,
            needs_room: false,
        })
    }

    pub(crate) fn status(&self) -> Arc<Mutex<Status>> {
        Arc::clone(&self.status)
    }

    /// Writes until nobody is left who could ask; says whether the database is where it should be.
    fn run(mut self, mut queue: mpsc::UnboundedReceiver<Job>) -> bool {
        while let Some(first) = self.held_over.take().or_else(|| queue.blocking_recv()) {
            let batch = self.gather(first, &mut queue);
            self.settle(batch);
            self.bring_log_into_file();
        }
        self.close()
    }

    /// Takes what waits and no more: while one batch is written, the next gathers by itself.
    fn gather(&mut self, first: Job, queue: &mut mpsc::UnboundedReceiver<Job>) -> Vec<Job> {
        let (mut len, mut bytes) = first.size();
        let is_alone = first.is_sweep();
        let mut batch = vec![first];
        while !is_alone && let Ok(job) = queue.try_recv() {
            let (job_len, job_bytes) = job.size();
            let fits = len + job_len <= BATCH_LEN_MAX && bytes + job_bytes <= BATCH_BYTES_MAX;
            if !fits || job.is_sweep() {
                self.held_over = Some(job);
                break;
            }
            len += job_len;
            bytes += job_bytes;
            batch.push(job);
        }
        self.backlog.remove(len, bytes);
        batch
    }

    /// Commits a batch, and then answers.
    fn settle(&mut self, batch: Vec<Job>) {
        let begun = Instant::now();
        lock(&self.status).busy_since = Some(begun);
        let committed = self.commit(&batch);
        let n_predictions = batch.iter().map(|job| job.size().0).sum();
        let outcomes = committed.as_ref().map_or(&[][..], |(_, outcomes)| outcomes);
        (self.observe)(CommitReport {
            n_predictions,
            duration: begun.elapsed(),
            is_stored: committed.is_ok(),
            arrivals: batch.iter().zip(outcomes).flat_map(arrivals).collect(),
        });
        self.note(committed.as_ref().map(|(totals, _)| *totals).map_err(|error| *error), &batch);

        match committed {
            Ok((_, outcomes)) => {
                for (job, outcome) in batch.into_iter().zip(outcomes) {
                    // A client that has gone does not hear of it; what is kept is kept.
                    match (job, outcome) {
                        (Job::Keep { answer, .. }, Outcome::Kept(kept)) => {
                            drop(answer.send(Ok(kept)));
                        }
                        (Job::Sweep { answer, .. }, Outcome::Swept(swept)) => {
                            drop(answer.send(Ok(swept)));
                        }
                        (Job::Probe { answer }, _) => drop(answer.send(Ok(()))),
                        (job, outcome) => unreachable!("{job:?} gave {outcome:?}"),
                    }
                }
            }
            Err(error) => {
                for job in batch {
                    job.refuse(error);
                }
            }
        }
    }

    /// Tells the status, and the log when it changes.
    fn note(&mut self, committed: Result<Totals, KeepError>, batch: &[Job]) {
        let mut status = lock(&self.status);
        status.busy_since = None;
        match committed {
            Ok(totals) => {
                // What is damaged stays so, although other pages can be written.
                if !status.is_damaged()
                    && let Some(error) = status.failure.take()
                {
                    tracing::info!(after = %error, "predictions are stored again");
                }
                status.totals = totals;
                status.committed = Some(Instant::now());
                self.trial_bytes = 0;
            }
            Err(error) => {
                if status.failure != Some(error) {
                    tracing::error!(
                        error = %error,
                        sqlite = self.last_words,
                        "predictions cannot be stored; clients are told to send them again"
                    );
                }
                status.failure = Some(error);
                let (KeepError::NotStored(trouble) | KeepError::Unknown(trouble)) = error else {
                    return;
                };
                if !matches!(trouble, Trouble::DiskFull | Trouble::DiskFails) {
                    return;
                }
                self.needs_room = true;
                let bytes: usize = batch.iter().map(|job| job.size().1).sum();
                let trial = (4 * bytes).clamp(*TRIAL_BYTES.start(), *TRIAL_BYTES.end());
                self.trial_bytes = trial.max(self.trial_bytes);
            }
        }
    }

    /// Carries a batch out in one transaction, and gives the new totals and what came of each job.
    fn commit(&mut self, batch: &[Job]) -> Result<(Totals, Vec<Outcome>), KeepError> {
        self.try_disk()?;
        let written = self.write(batch);
        let (ledger, outcomes) = written.map_err(|error| {
            self.roll_back();
            self.failed(&error, KeepError::NotStored)
        })?;
        if let Err(error) = run(&self.connection, "COMMIT") {
            self.roll_back();
            // Without room, the end of the transaction was not written. Otherwise it may have been.
            let is_certain = Trouble::of(&error) == Trouble::DiskFull;
            let outcome = if is_certain { KeepError::NotStored } else { KeepError::Unknown };
            return Err(self.failed(&error, outcome));
        }
        if !self.held_files.are_in_place() {
            return Err(KeepError::Unknown(Trouble::Replaced));
        }
        let mark = Mark { last_id: ledger.last_id, ..self.mark.mark() };
        if let Err(error) = self.mark.write(mark) {
            tracing::warn!(%error, "the mark of the last commit could not be written");
        }
        Ok((ledger.totals, outcomes))
    }

    /// After a failure, a small transaction can succeed where a batch could not: this commits as much
    /// as the batch was. The next transaction deletes it.
    fn try_disk(&mut self) -> Result<(), KeepError> {
        if self.trial_bytes == 0 {
            return Ok(());
        }
        let insert = "INSERT INTO trial VALUES (zeroblob(?1))";
        let tried = run(&self.connection, "BEGIN IMMEDIATE")
            .and_then(|()| run(&self.connection, "DELETE FROM trial"))
            .and_then(|()| self.connection.execute(insert, [self.trial_bytes]))
            .and_then(|_| run(&self.connection, "COMMIT"));
        tried.map_err(|error| {
            self.roll_back();
            self.failed(&error, KeepError::NotStored)
        })
    }

    /// Begins a transaction and carries out all of it but the commit.
    fn write(&self, batch: &[Job]) -> rusqlite::Result<(Ledger, Vec<Outcome>)> {
        run(&self.connection, "BEGIN IMMEDIATE")?;
        if self.trial_bytes > 0 {
            run(&self.connection, "DELETE FROM trial")?;
        }
        let mut ledger = Ledger::read(&self.connection)?;
        let carry_out = |job: &Job| match job {
            Job::Keep { rows, .. } => rows
                .iter()
                .map(|row| keep(&self.connection, &mut ledger, row))
                .collect::<Result<_, _>>()
                .map(Outcome::Kept),
            Job::Probe { .. } => Ok(Outcome::Probed),
            Job::Sweep { sweep, .. } => {
                retention::sweep(&self.connection, sweep, &mut ledger.totals).map(Outcome::Swept)
            }
        };
        let outcomes = batch.iter().map(carry_out).collect::<Result<Vec<_>, _>>()?;
        // Always, so that a probe writes too; but a sweep that found nothing need not wait for the disk.
        let is_idle =
            |outcome: &Outcome| matches!(outcome, Outcome::Swept(swept) if swept.n_deleted == 0);
        if !outcomes.iter().all(is_idle) {
            ledger.write(&self.connection)?;
        }
        Ok((ledger, outcomes))
    }

    /// Ends a transaction that failed.
    ///
    /// # Panics
    ///
    /// Panics when it cannot be ended: nothing could be stored any more, and a new start is better.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = run(&self.connection, "ROLLBACK") {
            panic!("a transaction could not be rolled back: {error}");
        }
    }

    /// Makes an answer of what SQLite says. The log gets its words, the client what they mean.
    fn failed(&mut self, error: &rusqlite::Error, outcome: fn(Trouble) -> KeepError) -> KeepError {
        let trouble = Trouble::of(error);
        self.last_words = error.to_string();
        tracing::debug!(%error, %trouble, "a transaction failed");
        if trouble == Trouble::Corrupt {
            let mark = Mark { is_suspect: true, ..self.mark.mark() };
            if let Err(error) = self.mark.write(mark) {
                tracing::warn!(%error, "the mark of the last commit could not be written");
            }
        }
        outcome(trouble)
    }

    /// Brings the log into the file when it has grown, which no client waits for; and after a batch
    /// has failed, since the log then begins anew and needs no more room.
    fn bring_log_into_file(&mut self) {
        let n_pages = self.n_log_pages.load(Ordering::Relaxed);
        let has_grown = n_pages >= self.log_pages_max;
        if !has_grown && !self.needs_room {
            return;
        }
        lock(&self.status).busy_since = Some(Instant::now());
        // Readers of older states make it do less, or are waited for.
        let mode = if n_pages < LOG_PAGES_URGENT { "PASSIVE" } else { "RESTART" };
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let done = self.connection.query_row(&sql, [], |row| {
            let (is_busy, n_pages, n_done): (bool, i32, i32) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(!is_busy && n_pages == n_done)
        });
        lock(&self.status).busy_since = None;
        self.needs_room &= done.is_err();
        // What remains is tried again when the log has grown by as much once more.
        let is_whole = matches!(done, Ok(true));
        self.log_pages_max = if is_whole { LOG_PAGES_MAX } else { n_pages + LOG_PAGES_MAX };
        if is_whole {
            self.n_log_pages.store(0, Ordering::Relaxed);
        }
        if let Err(error) = done
            && has_grown
        {
            tracing::warn!(%error, "the log could not be brought into the database and grows; nothing is lost");
        }
    }

    /// Writes everything to a new file, where the paths do not lead to what is open: when that is
    /// closed, it is gone.
    fn rescue(&self) {
        let mut number = 1;
        let target = loop {
            let target = beside(&self.path, &format!(".rescued-{number}"));
            if !target.exists() {
                break target;
            }
            number += 1;
        };
        let text = target.display().to_string();
        match self.connection.execute("VACUUM INTO ?1", [&text]) {
            Ok(_) => tracing::error!(
                "the files of the database were moved, deleted or replaced; all that it held was written to `{text}`: \
                 put it in their place before the next start"
            ),
            Err(error) => tracing::error!(
                %error,
                "the files of the database were moved, deleted or replaced, and what it held could not be rescued"
            ),
        }
    }

    /// Brings the database into one file and closes it; says whether it is where it should be.
    fn close(self) -> bool {
        let is_in_place = self.held_files.are_in_place();
        if !is_in_place {
            self.rescue();
        }
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
        is_in_place
    }
}

impl Job {
    /// How many predictions it is about, and the bytes that these take.
    pub(crate) fn size(&self) -> (usize, usize) {
        match self {
            Self::Keep { rows, .. } => (rows.len(), rows.iter().map(PredictionRow::size).sum()),
            Self::Probe { .. } | Self::Sweep { .. } => (0, 0),
        }
    }

    fn is_sweep(&self) -> bool {
        matches!(self, Self::Sweep { .. })
    }

    fn refuse(self, error: KeepError) {
        match self {
            Self::Keep { answer, .. } => drop(answer.send(Err(error))),
            Self::Probe { answer } => drop(answer.send(Err(error))),
            Self::Sweep { answer, .. } => drop(answer.send(Err(error))),
        }
    }
}

/// What came of a job that was committed.
#[derive(Debug)]
enum Outcome {
    Kept(Vec<Kept>),
    Probed,
    Swept(Swept),
}

/// What a job that was committed has stored.
fn arrivals<'a>((job, outcome): (&'a Job, &'a Outcome)) -> impl Iterator<Item = Arrival> + 'a {
    let (rows, kept) = match (job, outcome) {
        (Job::Keep { rows, .. }, Outcome::Kept(kept)) => (rows.as_slice(), kept.as_slice()),
        _ => Default::default(),
    };
    let stored = rows.iter().zip(kept).filter(|(_, kept)| **kept == Kept::Stored);
    stored.map(|(row, _)| row.arrival())
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// Has SQLite count the pages of its log.
fn count_log_pages(
    connection: &mut Connection,
    n_log_pages: &Arc<AtomicI32>,
) -> rusqlite::Result<()> {
    let n_log_pages = Arc::clone(n_log_pages);
    connection.wal_hook(Some(move |_: &mut _, n_pages| {
        n_log_pages.store(n_pages, Ordering::Relaxed);
        Ok(())
    }))
}

fn keep(
    connection: &Connection,
    ledger: &mut Ledger,
    row: &PredictionRow,
) -> rusqlite::Result<Kept> {
    if row.insert(connection, ledger.last_id + 1)? {
        ledger.last_id += 1;
        ledger.totals.events += 1;
        ledger.totals.anomalies += u64::from(row.is_anomaly);
        return Ok(Kept::Stored);
    }
    let Some((earlier, event_hash)) = row.with_same_key(connection)? else {
        return Ok(Kept::Unreadable);
    };
    let is_same = event_hash == row.event_hash || says_the_same(&earlier, &row.feature_values());
    Ok(if is_same { Kept::Duplicate(earlier) } else { Kept::Conflict })
}

/// Whether a prediction and the values of another event, which models that know other features have
/// judged, are about one event: their values are equal wherever both know them, and there is such a
/// place.
fn says_the_same(earlier: &Prediction, now: &FeatureValues) -> bool {
    let before = &earlier.features;
    let shared: Vec<_> =
        now.iter().filter_map(|(name, now)| Some((now, before.get(name)?))).collect();
    let knows_others = shared.len() < now.len() || shared.len() < before.len();
    knows_others && !shared.is_empty() && shared.iter().all(|(now, before)| now == before)
}
