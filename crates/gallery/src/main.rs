//! Takes pictures of the pages and reports: `cargo run --release -p gallery`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "the environment enters here")]
    let search_path = std::env::var_os("PATH").unwrap_or_default();
    terminal::main(|args: gallery::Args| gallery::run(&args, &search_path, &mut terminal::stdout()))
}
