//! Learns what is normal: `cargo run -p train -- --help`.

use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;

fn main() -> ExitCode {
    let args = train::Args::parse();
    #[expect(clippy::disallowed_methods, reason = "the clock enters here")]
    let now_us = sensor::timestamp::from_system_time(SystemTime::now());
    match train::run(&args, now_us, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is how a program ends that failed")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
