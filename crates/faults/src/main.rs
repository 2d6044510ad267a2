//! Breaks the server: `cargo run --release -p faults -- --help`.

use std::process::ExitCode;

use clap::Parser;
use faults::Args;

fn main() -> ExitCode {
    match faults::run(&Args::parse(), &mut std::io::stdout().lock()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "this is how a program ends that failed")]
            {
                eprintln!("error: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
