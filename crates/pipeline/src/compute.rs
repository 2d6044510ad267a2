//! Work that takes a processor for a while: as much of it at once as there are processors.
//!
//! More would not be faster, and each thread has memory of its own.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// The processors, to be taken in turn.
#[derive(Debug, Clone)]
pub struct Processors(Arc<Semaphore>);

impl Processors {
    pub(crate) fn all() -> Self {
        let number = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(number)))
    }

    /// Does work on a thread where nobody else waits, when there is a processor for it. Without a
    /// caller that waits, work that was not begun is not done.
    ///
    /// # Errors
    ///
    /// Fails when the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let processor = Arc::clone(&self.0).acquire_owned().await.expect("it is never closed");
        let work = move || {
            let done = work();
            drop(processor);
            done
        };
        tokio::task::spawn_blocking(work).await
    }
}
