//! Serves predictions: `cargo run -p server -- --help`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use clap::Parser;
use server::{Args, Server};

fn main() -> ExitCode {
    match serve(&Args::parse()) {
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

fn serve(args: &Args) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(args.log)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();

    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        // Before anything can be begun that would have to be ended well.
        let stop = stop_signal().context("cannot hear when to stop")?;
        let server = Server::bind(args, now_us).await?;
        tracing::info!("listening on http://{}", server.addr()?);
        server.run(stop).await
    })
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    sensor::timestamp::from_system_time(SystemTime::now())
}

/// Done when somebody wants the program to end, from now on.
#[cfg(unix)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupted.recv() => tracing::info!("stopping on Ctrl-C"),
            _ = terminated.recv() => tracing::info!("stopping on SIGTERM"),
        }
    })
}

/// Done when somebody wants the program to end, from now on.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupted.recv().await;
        tracing::info!("stopping on Ctrl-C");
    })
}
