//! When the next event may go.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::args::Args;

const INTERVAL_DEFAULT_S: f64 = 0.2;
/// Enough for an answer to take a while without slowing the rate.
const RATE_CONCURRENCY_DEFAULT: usize = 64;

/// The time between events, and how many may be under way.
#[derive(Debug)]
pub(crate) struct Pace {
    interval_s: f64,
    /// The age of the first event when sending begins; `None` when events are measured as
    /// they are sent.
    backfill_s: Option<f64>,
    permits: Arc<Semaphore>,
}

impl Pace {
    pub(crate) fn new(args: &Args) -> Self {
        let interval_s = match (args.rate, args.interval) {
            (Some(rate), _) => 1.0 / rate,
            (None, Some(interval_s)) => interval_s,
            (None, None) if args.replay.is_some() => 0.0,
            (None, None) => INTERVAL_DEFAULT_S,
        };
        let default = if args.rate.is_some() { RATE_CONCURRENCY_DEFAULT } else { 1 };
        let backfill_s = args.backfill.map(|backfill| backfill.as_secs_f64());
        Self {
            interval_s,
            backfill_s,
            permits: Arc::new(Semaphore::new(args.concurrency.unwrap_or(default))),
        }
    }

    /// Returns when event `index` is due: immediately, if its time was before the start.
    pub(crate) fn due(&self, started: Instant, index: u64) -> Instant {
        started + Duration::from_secs_f64(self.seconds_from_start(index).max(0.0))
    }

    /// Returns when event `index` is measured, in microseconds from the start, where that does not depend on
    /// when it is sent.
    pub(crate) fn measured_us(&self, index: u64) -> Option<i64> {
        self.backfill_s?;
        #[expect(clippy::cast_possible_truncation, reason = "at most some years")]
        Some((self.seconds_from_start(index) * 1e6) as i64)
    }

    fn seconds_from_start(&self, index: u64) -> f64 {
        self.interval_s * index as f64 - self.backfill_s.unwrap_or_default()
    }

    /// Waits until another event may be under way; it may until the permit is dropped.
    pub(crate) async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed")
    }
}
