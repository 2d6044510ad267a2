//! Learns a model: `cargo run -p train -- --help`.

use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    terminal::main(|args: train::Args| {
        #[expect(clippy::disallowed_methods, reason = "the clock enters here")]
        let now_us = sensor::timestamp::from_system_time(SystemTime::now());
        train::run(&args, now_us, &mut terminal::stdout())
    })
}
