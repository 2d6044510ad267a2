//! Deleting what is older than it has to be kept, for as long as the server runs.

use std::convert::Infallible;
use std::time::Duration;

use store::{Store, Sweep};

use crate::args::Retention;
use crate::clock::Clock;

/// Pause between two steps of a walk that has found nothing to delete yet.
const STEP_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two walks, and after a failure.
const WALK_PAUSE: Duration = Duration::from_mins(1);

/// How long normal predictions and anomalies are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retentions {
    pub(crate) normal: Retention,
    pub(crate) anomalies: Retention,
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

/// Walks through the database again and again, where anything is kept for a limited time.
pub(crate) async fn keep_sweeping(
    store: Store,
    retentions: Retentions,
    clock: Clock,
) -> Infallible {
    if !retentions.is_any_limited() {
        return std::future::pending().await;
    }
    loop {
        let mut sweep = retentions.sweep(clock());
        let mut n_deleted = 0;
        loop {
            match store.sweep(sweep.clone()).await {
                Ok(swept) => {
                    n_deleted += swept.n_deleted;
                    match swept.next {
                        Some(next) => sweep.from = Some(next),
                        None => break,
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "old predictions are deleted later");
                    break;
                }
            }
            // Where there is much to delete, events come fast, too.
            if n_deleted == 0 {
                tokio::time::sleep(STEP_PAUSE).await;
            }
        }
        if n_deleted > 0 {
            tracing::info!(n_deleted, "deleted predictions that were older than they are kept");
        }
        tokio::time::sleep(WALK_PAUSE).await;
    }
}
