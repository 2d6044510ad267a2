//! The parts of the server that clients share: processors, and places in the queue of the writer.
//!
//! Work that keeps a processor busy runs on at most one thread for each processor at a time, in pieces so short that
//! others need not wait for long.
//!
//! More would not be faster, and every thread needs memory of its own.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

/// The processors that such work takes turns on.
#[derive(Debug, Clone)]
pub struct Processors(Arc<Semaphore>);

/// The parts of the pipeline that one client may have at a time: without them, one could have everything.
#[derive(Debug, Clone)]
pub struct ClientShare {
    /// Turns to work that takes a processor.
    pub turns: Turns,
    /// Places for predictions that wait to be written, of the queue for all clients.
    pub places: Arc<Semaphore>,
    /// The part of these places that batches may have: they wait for it, and single events must not wait behind them.
    pub batch_places: Arc<Semaphore>,
    /// The number of each kind of places when none is taken.
    pub n_places: (u32, u32),
}

/// Places in the queue that a client has taken. They are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Places {
    _places: OwnedSemaphorePermit,
    _of_batches: Option<OwnedSemaphorePermit>,
}

impl ClientShare {
    /// Takes places for a single event, or all that the client may have where that is less; `None` when they are not
    /// free.
    pub(crate) fn try_take(&self, n_places: u32) -> Option<Places> {
        let n_places = n_places.min(self.n_places.0);
        let places = Arc::clone(&self.places).try_acquire_many_owned(n_places).ok()?;
        Some(Places { _places: places, _of_batches: None })
    }

    /// Waits for places for a batch, or for all that the client may have where that is less.
    pub(crate) async fn take(&self, n_places: u32) -> Places {
        let n_places = n_places.min(self.n_places.1);
        let of_batches = Arc::clone(&self.batch_places).acquire_many_owned(n_places).await;
        let places = Arc::clone(&self.places).acquire_many_owned(n_places).await;
        let never_closed = "it is never closed";
        Places {
            _places: places.expect(never_closed),
            _of_batches: Some(of_batches.expect(never_closed)),
        }
    }
}

/// The turns of one client, who may wait for as many processors as there are: others wait no longer than
/// for that.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

impl Turns {
    /// Makes turns of a semaphore that a client has to itself, with [`Turns::number`] permits.
    pub fn of(permits: Arc<Semaphore>) -> Self {
        Self(permits)
    }

    /// Returns the number of processors.
    pub fn number() -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(Self::number())))
    }
}

impl Processors {
    pub(crate) fn all() -> Self {
        Self(Arc::new(Semaphore::new(Turns::number())))
    }

    /// Runs `work` on a blocking thread when the client has a turn and a processor is free. If the caller stops
    /// waiting before that, the work is skipped.
    ///
    /// # Errors
    ///
    /// Fails when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        turns: &Turns,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let take = async |permits: &Arc<Semaphore>| {
            Arc::clone(permits).acquire_owned().await.expect("it is never closed")
        };
        let turn = take(&turns.0).await;
        let processor = take(&self.0).await;
        let work = move || {
            let done = work();
            drop((turn, processor));
            done
        };
        tokio::task::spawn_blocking(work).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_client_gets_no_more_places_than_its_share() {
        let share = ClientShare {
            turns: Turns::default(),
            places: Arc::new(Semaphore::new(6)),
            batch_places: Arc::new(Semaphore::new(4)),
            n_places: (6, 4),
        };
        let batch = share.take(3).await;
        let waiting = tokio::spawn({
            let share = share.clone();
            async move { share.take(1_000).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "batches have four places");
        let single = share.try_take(3).expect("single events do not wait behind batches");
        assert!(share.try_take(1).is_none());
        drop((batch, single));
        drop(waiting.await.unwrap());
        assert!(share.try_take(1_000).is_some(), "all that it may have");
    }

    /// Seen to fail without turns: the client waited for all that another had asked for.
    #[tokio::test]
    async fn a_client_does_not_wait_for_the_queue_of_another() {
        const N_JOBS: usize = 100;
        let processors = Processors(Arc::new(Semaphore::new(1)));
        let n_asked = Arc::new(AtomicUsize::new(0));
        let n_done = Arc::new(AtomicUsize::new(0));
        let ask = |turns: &Turns, work: Box<dyn FnOnce() + Send>| {
            let (processors, turns) = (processors.clone(), turns.clone());
            let (n_asked, n_done) = (Arc::clone(&n_asked), Arc::clone(&n_done));
            let count = move || {
                work();
                n_done.fetch_add(1, Ordering::Relaxed)
            };
            tokio::spawn(async move {
                n_asked.fetch_add(1, Ordering::Relaxed);
                processors.run(&turns, count).await.unwrap()
            })
        };
        let turns = || Turns::of(Arc::new(Semaphore::new(1)));
        let (greedy, other) = (turns(), turns());

        // The first job ends when all others have asked for the processor.
        let (all_have_asked, first) = std::sync::mpsc::channel();
        let mut jobs = vec![ask(&greedy, Box::new(move || first.recv().unwrap()))];
        jobs.extend((1..N_JOBS).map(|_| ask(&greedy, Box::new(|| ()))));
        let other = ask(&other, Box::new(|| ()));
        while n_asked.load(Ordering::Relaxed) <= N_JOBS {
            tokio::task::yield_now().await;
        }
        all_have_asked.send(()).unwrap();

        assert_eq!(other.await.unwrap(), 1, "jobs of the greedy client that were done before");
        for job in jobs {
            job.await.unwrap();
        }
    }
}
