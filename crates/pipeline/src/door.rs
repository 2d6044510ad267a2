//! The interface of all doors: they run until they are stopped.

use std::future::Future;

use tokio::sync::watch;

use crate::pipeline::Pipeline;

/// A way for events to reach the pipeline.
///
/// A door parses its protocol, submits, and acknowledges in its own way after the receipt. It knows
/// nothing of detectors and databases.
pub trait Door {
    /// Serves until `shutdown` is requested, and answers what was accepted by then.
    fn run(self, pipeline: Pipeline, shutdown: Shutdown) -> impl Future<Output = ()> + Send;
}

/// Signals when to stop. Cloning is cheap; all clones receive the signal.
#[derive(Debug, Clone)]
pub struct Shutdown(Option<watch::Receiver<bool>>);

/// Requests the stop of everything that holds its [`Shutdown`].
#[derive(Debug)]
pub struct StopSignal(watch::Sender<bool>);

impl StopSignal {
    /// Returns a signal and what it stops.
    pub fn new() -> (Self, Shutdown) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Shutdown(Some(receiver)))
    }

    /// Requests the stop.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Returns one that is never requested.
    pub fn never() -> Self {
        Self(None)
    }

    /// Returns when the stop is requested, or its signal is gone.
    pub async fn requested(&mut self) {
        match &mut self.0 {
            // An error means that the signal is gone, which is a stop, too.
            Some(receiver) => drop(receiver.wait_for(|is_requested| *is_requested).await),
            None => std::future::pending().await,
        }
    }
}
