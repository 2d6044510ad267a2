//! Measures the server from outside, over its socket.
//!
//! [`run`] starts release servers, loads each in one way, and tells the figures line by line; what it
//! is for is the section of BENCHMARKS.md that it writes. The load comes from one thread
//! (`generator`), which keeps to a schedule whatever the server does: an answer is late from when its
//! request was due, and not from when it could be sent.
//!
//! It tests nothing. A figure that falls short is a figure.

mod args;
mod events;
mod generator;
mod pages;
mod peer;
mod readers;
mod report;
mod serve;

use std::io::Write;
use std::time::SystemTime;

pub use args::{Args, Subject};

/// Measures what the arguments ask for; events are of the time `now`.
///
/// # Errors
///
/// Fails when a program cannot be built or started, or a load cannot be brought to bear.
pub fn run(args: &Args, now: SystemTime, out: &mut dyn Write) -> anyhow::Result<()> {
    match &args.subject {
        Subject::Serve(args) => serve::run(args, out),
        Subject::Readers(args) => readers::run(args, out),
        Subject::Pages(args) => pages::run(args, now, out),
    }
}
