//! Scores a file: `cargo run --release -p score -- --help`.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let args = score::Args::parse();
    match score::run(&args, std::io::stdin(), &mut std::io::stdout(), &mut std::io::stderr()) {
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
