//! Work that keeps a processor busy: at most one piece for each processor at a time.
//!
//! More would not be faster, and every thread needs memory of its own.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// The processors that such work takes turns on.
#[derive(Debug, Clone)]
pub struct Processors(Arc<Semaphore>);

impl Processors {
    pub(crate) fn all() -> Self {
        let number = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(number)))
    }

    /// Runs `work` on a blocking thread when a processor is free. If the caller stops waiting before
    /// that, the work is skipped.
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
