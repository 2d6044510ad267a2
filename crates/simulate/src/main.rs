//! Sends events: `cargo run -p simulate -- --help`.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Parser;

fn main() -> ExitCode {
    match simulate(&simulate::Args::parse()) {
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

fn simulate(args: &simulate::Args) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_err() {
                // Without a handler, Ctrl-C ends the process, as ever.
                std::future::pending::<()>().await;
            }
        };
        simulate::run(args, now_us, &mut std::io::stdout(), interrupted).await.map(drop)
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    sensor::timestamp::from_system_time(SystemTime::now())
}
