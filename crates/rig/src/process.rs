//! A process that does not outlive who has started it.

use std::process::Child;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already, and nobody could do anything about a failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
