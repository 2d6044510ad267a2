//! Measures the server: `cargo run --release -p bench -- serve`.

use std::process::ExitCode;

use bench::Args;
use clap::Parser;

fn main() -> ExitCode {
    match bench::run(&Args::parse(), &mut std::io::stdout().lock()) {
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
