//! Deleting what is older than it has to be kept, while the server runs.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use sensor::Clock;
use store::{StationQuery, Store, Sweep};

use crate::steady_time::{Believed, SteadyTime};

/// Pause between two steps of a sweep that has found nothing to delete yet.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// Pause between the start and the first sweep.
const GRACE: Duration = Duration::from_mins(5);
/// Pause between two sweeps, and after a failure.
const SWEEP_PAUSE: Duration = Duration::from_mins(1);

/// The time for which predictions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Forever.
    Forever,
    /// For this long after they were measured and received.
    For(Duration),
}

/// The times for which normal predictions and anomalies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retentions {
    /// Retention of normal predictions.
    pub normal: Retention,
    /// Retention of anomalies.
    pub anomalies: Retention,
}

impl Retentions {
    fn is_any_limited(self) -> bool {
        self.normal != Retention::Forever || self.anomalies != Retention::Forever
    }

    /// Returns the shortest time for which anything is kept, in microseconds.
    pub fn shortest_us(self) -> i64 {
        i64::try_from(self.shortest().as_micros()).unwrap_or(i64::MAX)
    }

    /// Returns the shortest time for which anything is kept.
    fn shortest(self) -> Duration {
        let limited = [self.normal, self.anomalies].into_iter().filter_map(|time| match time {
            Retention::Forever => None,
            Retention::For(time) => Some(time),
        });
        limited.min().unwrap_or(Duration::MAX)
    }

    fn sweep(self, now_us: i64) -> Sweep {
        let before_us = |retention| match retention {
            Retention::Forever => None,
            Retention::For(time) => {
                Some(now_us.saturating_sub(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
            }
        };
        Sweep {
            before_us: before_us(self.normal),
            anomalies_before_us: before_us(self.anomalies),
            believed_us: now_us,
            from: None,
        }
    }
}

/// Sweeps through the database at intervals, if anything is kept for a limited time.
///
/// It deletes by a time that does not follow a clock that jumps ahead, and not before the server has
/// run for a while: an operator whose clock is wrong has time to notice.
pub(crate) async fn keep_sweeping(
    store: &Store,
    retentions: Retentions,
    clock: Clock,
) -> Infallible {
    if !retentions.is_any_limited() {
        return std::future::pending().await;
    }
    let begun = Instant::now();
    let past_us = known_past_us(store).await;
    let clock_us = clock();
    let mut time = SteadyTime::new(past_us.unwrap_or(clock_us), clock_us, retentions.shortest());
    if let Some(past_us) = past_us {
        // What is received from now on may be stamped by a wrong clock, so this is stored first.
        let keep_all = Retentions { normal: Retention::Forever, anomalies: Retention::Forever };
        sweep(store, keep_all.sweep(past_us)).await;
    }
    tokio::time::sleep(GRACE).await;
    loop {
        let Believed { now_us, jumped } = time.now(clock(), begun.elapsed());
        if let Some(jumped) = jumped.filter(|jumped| jumped.is_new) {
            let hours = jumped.by_us / 3_600_000_000;
            tracing::warn!(
                hours,
                "the clock is hours ahead of the last time that was believed, so predictions are deleted by the time that \
                 has passed since, until it has run steadily for a day"
            );
        }
        let n_deleted = sweep(store, retentions.sweep(now_us)).await;
        if n_deleted > 0 {
            tracing::info!(n_deleted, "deleted predictions that were past their retention");
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
    }
}

/// Returns the latest time that is known to be past: of the last sweep, else when the newest event of
/// any station was received; `None` when there are no events.
async fn known_past_us(store: &Store) -> Option<i64> {
    /// Stations that are read at once.
    const PAGE_LEN: u32 = 200;
    if let Some(believed_us) = store.believed_us() {
        return Some(believed_us);
    }
    let mut newest_us = None;
    let mut after = None;
    loop {
        match store.glances(StationQuery { limit: PAGE_LEN, after }, 1).await {
            Ok(found) => {
                let received = found.iter().flat_map(|(_, glances)| glances);
                newest_us = newest_us.max(received.map(|glance| glance.received_us).max());
                let Some((last, _)) = found.last() else { return newest_us };
                after = Some(last.clone());
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read when the newest events were received; trying again later");
                tokio::time::sleep(SWEEP_PAUSE).await;
                (newest_us, after) = (None, None);
            }
        }
    }
}

/// Sweeps through the database once, and returns the number of predictions deleted.
async fn sweep(store: &Store, mut sweep: Sweep) -> u64 {
    let mut n_deleted = 0;
    loop {
        match store.sweep(sweep.clone()).await {
            Ok(swept) => {
                n_deleted += swept.n_deleted;
                match swept.next {
                    Some(next) => sweep.from = Some(next),
                    None => return n_deleted,
                }
            }
            Err(error) => {
                tracing::debug!(%error, "cannot delete old predictions now; trying again later");
                return n_deleted;
            }
        }
        // Where there is much to delete, events come fast, too.
        if n_deleted == 0 {
            tokio::time::sleep(STEP_PAUSE).await;
        }
    }
}
