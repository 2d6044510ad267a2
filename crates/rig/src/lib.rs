//! Drives the programs from outside, as an operating system and its clients do.
//!
//! [`Programs`] are built and found; a [`ServerProcess`] is started, asked how it is, and ended one
//! way or another; a [`Connection`] sends requests over a socket and reads what comes back, without
//! a library in between that would be kinder than clients are. [`event()`] writes events. A
//! [`Browser`] opens pages, clicks, and says what is to be seen.
//!
//! It judges nothing, and knows nothing of what is inside the programs.

mod browser;
mod connection;
mod event;
mod process;
mod programs;
mod server_process;

pub use browser::{Browser, ColourScheme, Viewport};
pub use connection::{Answer, Connection};
pub use event::{event, request};
pub use process::Process;
pub use programs::{DISK_SHIM, Programs, compile_shim};
pub use server_process::{Launch, ServerProcess};
