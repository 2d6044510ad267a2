//! The fleet as it is now: one thread owns it, everyone else reads snapshots.
//!
//! The writer of the store leaves arrivals in an inbox, whose lock is held for a push or a swap and
//! nothing else. The thread empties the inbox when somebody asks for a snapshot, and four times a
//! second to see whether there is news; news is published to those who watch.

use std::mem;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use sensor::{Arrival, Clock, StationId};
use stations::{Fleet, Snapshot};
use tokio::sync::{oneshot, watch};

use crate::limits::{INBOX_LEN_MAX, SNAPSHOT_REQUESTS_MAX};

/// Time between two looks for news.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Time between two clean-ups of forgotten stations.
const TIDY_PAUSE: Duration = Duration::from_mins(1);
/// A snapshot serves others for this long, unless something arrives.
const SNAPSHOT_LASTS: Duration = Duration::from_millis(100);
/// Arrivals in the inbox from which the thread is woken early.
const INBOX_WAKES_AT: usize = 16_384;

/// A handle of the fleet. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct LiveFleet(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    inbox: Arc<Mutex<Inbox>>,
    requests: SyncSender<Request>,
    published: watch::Receiver<Arc<Snapshot>>,
}

/// Events that arrived since the thread last looked.
#[derive(Debug, Default)]
struct Inbox {
    arrivals: Vec<Arrival>,
    /// `true` if arrivals had to be dropped.
    has_overflowed: bool,
}

/// A request to the thread.
#[derive(Debug)]
enum Request {
    /// Send a snapshot with everything that has arrived by now.
    Snapshot(oneshot::Sender<Arc<Snapshot>>),
    /// Take in what has arrived.
    Collect,
    /// Events are now judged with this alarm rate.
    AlarmRate(f64),
    /// There are stations that are not followed.
    HasMore,
    /// A station's stored past was read.
    Recalled(Recalled),
}

/// The stored past of a station.
#[derive(Debug, Clone)]
pub(crate) struct Recalled {
    pub(crate) station_id: StationId,
    pub(crate) parts: Vec<RecalledPart>,
    /// When the present run of anomalies began, in microseconds since 1970.
    pub(crate) since_us: Option<i64>,
}

/// The stored past of half a minute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecalledPart {
    pub(crate) timestamp_us: i64,
    pub(crate) max_score: f64,
    pub(crate) n_anomalies: u32,
}

impl LiveFleet {
    /// Starts the thread, which ends with the last handle.
    ///
    /// # Panics
    ///
    /// Panics when the system does not start a thread.
    pub(crate) fn start(clock: Clock) -> Self {
        let (requests, queue) = sync_channel(SNAPSHOT_REQUESTS_MAX);
        let (publish, published) = watch::channel(Arc::new(Snapshot::default()));
        let inbox = Arc::default();
        let owner = Owner {
            fleet: Fleet::default(),
            inbox: Arc::clone(&inbox),
            publish,
            clock,
            latest: None,
        };
        thread::Builder::new()
            .name(String::from("fleet"))
            .spawn(move || owner.run(&queue))
            .expect("a process that starts can have a thread");
        Self(Arc::new(Handle { inbox, requests, published }))
    }

    /// Takes in what was stored. Never waits for a reader.
    pub(crate) fn note(&self, arrivals: Vec<Arrival>) {
        if arrivals.is_empty() {
            return;
        }
        let len = {
            let mut inbox = lock(&self.0.inbox);
            if inbox.arrivals.len() + arrivals.len() > INBOX_LEN_MAX {
                inbox.has_overflowed = true;
                return;
            }
            inbox.arrivals.extend(arrivals);
            inbox.arrivals.len()
        };
        if len >= INBOX_WAKES_AT {
            // A full queue wakes the thread as well.
            let _ = self.0.requests.try_send(Request::Collect);
        }
    }

    /// Returns a snapshot with everything that was acknowledged before the call.
    pub async fn now(&self) -> Arc<Snapshot> {
        let (answer, answered) = oneshot::channel();
        if self.0.requests.try_send(Request::Snapshot(answer)).is_err() {
            return self.latest();
        }
        answered.await.unwrap_or_else(|_| self.latest())
    }

    /// Returns the snapshot that was published last, at most a few seconds old while anyone watches.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.published.borrow())
    }

    /// Watches for news: within a quarter of a second for an anomaly or a change of state, once a second for
    /// other events.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.0.published.clone()
    }

    pub(crate) fn set_alarm_rate(&self, alarm_rate: f64) {
        self.send(Request::AlarmRate(alarm_rate));
    }

    pub(crate) fn set_has_more(&self) {
        self.send(Request::HasMore);
    }

    pub(crate) fn recalled(&self, recalled: Recalled) {
        self.send(Request::Recalled(recalled));
    }

    fn send(&self, request: Request) {
        // The thread ends with the last handle, so it is there, and it empties its queue quickly.
        let _ = self.0.requests.send(request);
    }
}

/// The state that the thread owns.
struct Owner {
    fleet: Fleet,
    inbox: Arc<Mutex<Inbox>>,
    publish: watch::Sender<Arc<Snapshot>>,
    clock: Clock,
    /// The last snapshot and when it was taken, until something arrives.
    latest: Option<(Instant, Arc<Snapshot>)>,
}

impl Owner {
    fn run(mut self, queue: &Receiver<Request>) {
        let mut looked = Instant::now();
        let mut published = Instant::now();
        let mut tidied = Instant::now();
        loop {
            match queue.recv_timeout(LOOK_PAUSE.saturating_sub(looked.elapsed())) {
                Ok(request) => self.serve(request),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if looked.elapsed() < LOOK_PAUSE {
                continue;
            }
            looked = Instant::now();
            self.collect();
            if tidied.elapsed() >= TIDY_PAUSE {
                tidied = Instant::now();
                self.fleet.forget_old((self.clock)());
                self.latest = None;
            }
            // The handle has a receiver itself.
            let is_watched = self.publish.receiver_count() > 1;
            if is_watched && self.fleet.is_due((self.clock)(), published.elapsed()) {
                published = Instant::now();
                let snapshot = self.snapshot();
                self.publish.send_replace(snapshot);
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Snapshot(answer) => {
                self.collect();
                let lasts = |taken: &Instant, snapshot: &Snapshot| {
                    let age_us = (self.clock)() - snapshot.taken_us;
                    taken.elapsed() < SNAPSHOT_LASTS
                        && (0..SNAPSHOT_LASTS.as_micros().cast_signed()).contains(&age_us.into())
                };
                let recent = match &self.latest {
                    Some((taken, snapshot)) if lasts(taken, snapshot) => Some(Arc::clone(snapshot)),
                    _ => None,
                };
                let snapshot = recent.unwrap_or_else(|| self.snapshot());
                // A client that has disconnected needs no answer.
                let _ = answer.send(snapshot);
            }
            Request::Collect => self.collect(),
            Request::AlarmRate(alarm_rate) => {
                self.fleet.set_alarm_rate(alarm_rate);
                self.latest = None;
            }
            Request::HasMore => {
                self.fleet.set_has_more();
                self.latest = None;
            }
            Request::Recalled(Recalled { station_id, parts, since_us }) => {
                for RecalledPart { timestamp_us, max_score, n_anomalies } in parts {
                    self.fleet.recall_part(&station_id, timestamp_us, max_score, n_anomalies);
                }
                if let Some(since_us) = since_us {
                    self.fleet.recall_since(&station_id, since_us);
                }
                self.latest = None;
            }
        }
    }

    /// Takes in what has arrived.
    fn collect(&mut self) {
        let Inbox { arrivals, has_overflowed } = mem::take(&mut *lock(&self.inbox));
        if has_overflowed {
            tracing::warn!(
                "events arrive faster than the pages can follow; some are stored but not shown"
            );
        }
        if !arrivals.is_empty() {
            self.latest = None;
        }
        for arrival in &arrivals {
            self.fleet.note(arrival);
        }
    }

    fn snapshot(&mut self) -> Arc<Snapshot> {
        let snapshot = Arc::new(self.fleet.snapshot((self.clock)()));
        self.latest = Some((Instant::now(), Arc::clone(&snapshot)));
        snapshot
    }
}

/// Locks the inbox. A panic elsewhere leaves it complete: it is changed in single steps.
fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    use sensor::Glance;

    fn arrival(name: &str) -> Arrival {
        let glance = Glance {
            timestamp_us: 0,
            received_us: 0,
            anomaly_score: 0.4,
            is_anomaly: false,
            alarm: None,
        };
        Arrival { station_id: StationId::parse(name).unwrap(), glance }
    }

    #[tokio::test]
    async fn a_snapshot_has_everything_that_arrived_before_it_was_asked_for() {
        let fleet = LiveFleet::start(|| 1_000_000);
        for number in 0..100 {
            fleet.note(vec![arrival(&format!("s{number}"))]);
            assert_eq!(fleet.now().await.counts.total(), number + 1);
        }
    }

    #[tokio::test]
    async fn a_snapshot_is_not_shared_beyond_the_next_arrival() {
        let fleet = LiveFleet::start(|| 1_000_000);
        fleet.note(vec![arrival("a")]);
        let before = fleet.now().await;
        fleet.note(vec![arrival("b")]);
        let after = fleet.now().await;
        assert!(after.number > before.number);
        assert_eq!((before.counts.total(), after.counts.total()), (1, 2));
    }

    #[tokio::test]
    async fn a_watcher_hears_of_a_new_station() {
        let fleet = LiveFleet::start(|| 1_000_000);
        let mut watch = fleet.watch();
        fleet.note(vec![arrival("a")]);
        watch.changed().await.unwrap();
        assert_eq!(watch.borrow().counts.total(), 1);
    }

    #[tokio::test]
    async fn arrivals_beyond_the_bound_are_dropped_and_the_rest_is_kept() {
        let fleet = LiveFleet::start(|| 1_000_000);
        fleet.note(vec![arrival("a"); INBOX_LEN_MAX + 1]);
        fleet.note(vec![arrival("b")]);
        let now = fleet.now().await;
        assert!(now.station(&StationId::parse("a").unwrap()).is_none());
        assert!(now.station(&StationId::parse("b").unwrap()).is_some());
    }
}
