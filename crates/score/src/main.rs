//! Scores a file: `cargo run --release -p score -- --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::main(|args: score::Args| {
        score::run(&args, std::io::stdin(), &mut std::io::stdout(), &mut std::io::stderr())
    })
}
