//! A process that does not outlive its parent.

use std::process::Child;

/// A process that is killed when this is dropped.
#[derive(Debug)]
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, and nothing could be done about a failure.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
