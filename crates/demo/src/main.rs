//! Shows the system at work: `cargo demo`.

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;

fn main() -> ExitCode {
    terminal::main(|args: demo::Args| {
        let view = if terminal::has_screen() { args.view.on_terminal(true) } else { args.view };
        show(&demo::Args { view, ..args })
    })
}

fn show(args: &demo::Args) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let interrupted = async {
            if tokio::signal::ctrl_c().await.is_err() {
                // Without a handler, Ctrl-C ends the process, as ever.
                std::future::pending::<()>().await;
            }
        };
        demo::run(args, now_us, &mut terminal::stdout(), interrupted).await
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.ok().and_then(|since_1970| i64::try_from(since_1970.as_micros()).ok()).unwrap_or(0)
}
