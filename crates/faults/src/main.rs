//! Breaks the server: `cargo run --release -p faults -- --help`.

use std::process::ExitCode;

use anyhow::ensure;

fn main() -> ExitCode {
    terminal::main(|args: faults::Args| {
        let has_passed = faults::run(&args, &mut std::io::stdout().lock())?;
        ensure!(has_passed, "a promise was broken; see above which, and how");
        Ok(())
    })
}
