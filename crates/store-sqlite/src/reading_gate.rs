//! A gate before reads, which the writer closes for a moment when they keep the WAL from restarting.
//!
//! Reads that overlap without a gap are as one that never ends: each is short, and together they hold
//! the WAL, which grows with every batch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// The gate opens after this at the latest.
const CLOSED_MAX: Duration = Duration::from_millis(2_500);

/// A gate that readers pass one by one, and that the writer can close.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReadingGate(Arc<Gate>);

#[derive(Debug, Default)]
struct Gate {
    /// When it opens at the latest; `None` while it is open.
    closed_until: Mutex<Option<Instant>>,
    opened: Notify,
}

impl ReadingGate {
    /// Lets no read begin, for a while.
    pub(crate) fn close(&self) {
        *self.closed_until() = Some(Instant::now() + CLOSED_MAX);
    }

    /// Lets reads begin again.
    pub(crate) fn open(&self) {
        if self.closed_until().take().is_some() {
            self.0.opened.notify_waiters();
        }
    }

    /// Returns `true` until the gate was opened, or its time is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed_until().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until a read may begin.
    pub(crate) async fn passed(&self) {
        let opened = self.0.opened.notified();
        tokio::pin!(opened);
        opened.as_mut().enable();
        let closed_until = *self.closed_until();
        if let Some(until) = closed_until {
            drop(tokio::time::timeout_at(until.into(), opened).await);
        }
    }

    fn closed_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.closed_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reads_wait_for_the_gate_and_no_longer_than_it_may_be_closed() {
        let gate = ReadingGate::default();
        gate.passed().await;
        gate.close();
        assert!(gate.is_closed());
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.passed().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        gate.open();
        waiting.await.unwrap();
        assert!(!gate.is_closed());
        gate.close();
        let begun = Instant::now();
        gate.passed().await;
        assert!(begun.elapsed() >= CLOSED_MAX && !gate.is_closed());
    }
}
