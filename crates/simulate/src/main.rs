//! Sends events: `cargo run -p simulate -- --help`.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;

fn main() -> ExitCode {
    terminal::main(|args: simulate::Args| {
        simulate(&simulate::Args { view: args.view.on_terminal(terminal::has_screen()), ..args })
    })
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
        simulate::run(args, now_us, &mut terminal::stdout(), interrupted).await.map(drop)
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    sensor::timestamp::from_system_time(SystemTime::now())
}
