//! Latencies of recent events, until their receipts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The present minute and the one before are remembered.
const MINUTE: Duration = Duration::from_mins(1);
/// Steps of a doubling: times are known to a fifth.
const STEPS: f64 = 4.0;
/// The shortest time that is distinguished, in seconds.
const SHORTEST_S: f64 = 50e-6;
/// The number of steps: up to about a minute.
const N_STEPS: usize = 81;

/// Times of the last one to two minutes.
#[derive(Debug)]
pub(crate) struct RecentLatency(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    began: Instant,
    now: [u64; N_STEPS],
    before: [u64; N_STEPS],
}

/// The median and the 99th percentile of recent times, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LatencyNow {
    /// The median.
    pub p50_s: f64,
    /// The 99th percentile.
    pub p99_s: f64,
}

impl RecentLatency {
    pub(crate) fn new() -> Self {
        let counts = Counts { began: Instant::now(), now: [0; N_STEPS], before: [0; N_STEPS] };
        Self(Mutex::new(counts))
    }

    pub(crate) fn note(&self, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.forget(Instant::now());
        counts.now[step(took.as_secs_f64())] += 1;
    }

    /// Returns the percentiles; `None` without recent times.
    pub(crate) fn now(&self) -> Option<LatencyNow> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.forget(Instant::now());
        Some(LatencyNow { p50_s: counts.quantile(0.5)?, p99_s: counts.quantile(0.99)? })
    }
}

impl Counts {
    fn forget(&mut self, now: Instant) {
        let minutes = now.duration_since(self.began).as_secs() / MINUTE.as_secs();
        if minutes > 0 {
            self.before = if minutes == 1 { self.now } else { [0; N_STEPS] };
            self.now = [0; N_STEPS];
            self.began = now;
        }
    }

    fn quantile(&self, share: f64) -> Option<f64> {
        let counts = || self.now.iter().zip(&self.before).map(|(now, before)| now + before);
        let n = counts().sum::<u64>() as f64;
        let mut n_faster = 0;
        let step = counts().position(|count| {
            n_faster += count;
            n_faster > 0 && n_faster as f64 >= share * n
        })?;
        Some(SHORTEST_S * (step as f64 / STEPS).exp2())
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "from 0 to the number of steps"
)]
fn step(seconds: f64) -> usize {
    let step = (seconds.max(SHORTEST_S) / SHORTEST_S).log2() * STEPS;
    step.ceil().min((N_STEPS - 1) as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_known_to_a_fifth() {
        let latency = RecentLatency::new();
        assert_eq!(latency.now(), None);
        for ms in 1..=100 {
            latency.note(Duration::from_millis(ms));
        }
        let LatencyNow { p50_s, p99_s } = latency.now().unwrap();
        assert!((0.05..0.06).contains(&p50_s), "{p50_s}");
        assert!((0.099..0.119).contains(&p99_s), "{p99_s}");
        latency.note(Duration::ZERO);
        latency.note(Duration::from_hours(1));
    }

    #[test]
    fn old_times_are_forgotten() {
        let latency = RecentLatency::new();
        latency.note(Duration::from_millis(1));
        let mut counts = latency.0.lock().unwrap();
        let began = counts.began;
        counts.forget(began + MINUTE);
        assert!(counts.quantile(0.5).is_some());
        counts.forget(began + 4 * MINUTE);
        assert_eq!(counts.quantile(0.5), None);
    }
}
