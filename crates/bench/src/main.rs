//! Measures the server: `cargo run --release -p bench -- serve`.

use std::process::ExitCode;
use std::time::SystemTime;

fn main() -> ExitCode {
    terminal::main(|args: bench::Args| {
        #[expect(clippy::disallowed_methods, reason = "the clock enters here")]
        let now = SystemTime::now();
        bench::run(&args, now, &mut std::io::stdout().lock())
    })
}
