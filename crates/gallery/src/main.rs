//! Takes pictures of the pages and reports: `cargo run --release -p gallery`.

use std::process::ExitCode;

fn main() -> ExitCode {
    terminal::main(|args: gallery::Args| gallery::run(&args, &mut terminal::stdout()))
}
