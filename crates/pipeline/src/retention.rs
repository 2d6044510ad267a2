//! Deleting what is older than it has to be kept, while the server runs.

use std::convert::Infallible;
use std::time::Duration;

use sensor::Clock;
use store::{Store, Sweep};

/// Pause between two steps of a sweep that has found nothing to delete yet.
const STEP_PAUSE: Duration = Duration::from_millis(20);
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

    fn sweep(self, now_us: i64) -> Sweep {
        let before_us = |retention| match retention {
            Retention::Forever => None,
            Retention::For(time) => {
                Some(now_us - i64::try_from(time.as_micros()).unwrap_or(i64::MAX))
            }
        };
        Sweep {
            before_us: before_us(self.normal),
            anomalies_before_us: before_us(self.anomalies),
            from: None,
        }
    }
}

/// Sweeps through the database again and again, if anything is kept for a limited time.
pub(crate) async fn keep_sweeping(
    store: &Store,
    retentions: Retentions,
    clock: Clock,
) -> Infallible {
    if !retentions.is_any_limited() {
        return std::future::pending().await;
    }
    loop {
        let n_deleted = sweep(store, retentions.sweep(clock())).await;
        if n_deleted > 0 {
            tracing::info!(n_deleted, "deleted predictions that were past their retention");
        }
        tokio::time::sleep(SWEEP_PAUSE).await;
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
