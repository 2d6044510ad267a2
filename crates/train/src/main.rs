//! Learns a model: `cargo run -p train -- --help`.

use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    let log_format = |args: &train::Args| args.log_format;
    terminal::main_with_log(log_format, |args| {
        #[expect(clippy::disallowed_methods, reason = "the clock enters here")]
        let now_us = sensor::timestamp::from_system_time(SystemTime::now());
        train::run(&args, now_us, &mut terminal::stdout())
    })
}
