//! Measures the server: `cargo run --release -p bench -- serve`.

use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::main(|args: bench::Args| bench::run(&args, &mut std::io::stdout().lock()))
}
