//! Serves predictions: `cargo run -p server -- --help`.

use std::pin::pin;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Context as _;
use pipeline::{Models, OtherFeatures};
use server::{Args, Command, Log, ServeArgs, Server};
use tokio::runtime::Handle;

/// Memory that one thread allocates for a prediction is freed by another, which this allocator does without
/// locks: a fifth more events a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    terminal::main_with_log(
        |args: &Args| args.serve.log_format,
        |args| {
            let log = Log::begin(args.serve.log_level(), args.serve.log_format)
                .context("cannot start the log")?;
            let done = run(&args);
            let is_read = log.end();
            if done.is_err() && !is_read {
                // The error could not be written either, and trying could block forever.
                std::process::exit(1);
            }
            done
        },
    )
}

fn run(args: &Args) -> anyhow::Result<()> {
    // What stations measure is for the user of the server only.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let out = &mut std::io::stdout();
    match &args.command {
        None => serve(&args.serve),
        Some(Command::Verify(verify)) => server::verify(verify, out),
        Some(Command::Backup(backup)) => server::back_up(backup, out),
        Some(Command::Restore(restore)) => server::restore(restore, out),
        Some(Command::Recover(recover)) => server::recover(recover, out),
        Some(Command::Export(export)) => server::export(export, out),
    }
}

fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start")?;
    let done = runtime.block_on(async {
        // Before anything can be begun that would have to be ended well, or that a SIGHUP would end.
        let mut stop = pin!(stop_signal().context("cannot install the signal handler")?);
        let reload = reload_signal().context("cannot install the signal handler")?;
        // The start may look at a whole database, or hang in a dead drive, and can be stopped all the same.
        let (args, runtime) = (args.clone(), Handle::current());
        let start = move || runtime.block_on(Server::bind(&args, now_us));
        let server = tokio::select! {
            server = tokio::task::spawn_blocking(start) => server.context("the start has panicked")??,
            () = &mut stop => return Ok(()),
        };
        tokio::spawn(reload_on(reload, server.models()));
        tracing::info!("listening on http://{}", server.addr()?);
        server.run(stop).await
    });
    // A thread that hangs in a system call, such as on a dead network drive, is not waited for.
    runtime.shutdown_background();
    done
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    sensor::timestamp::from_system_time(SystemTime::now())
}

/// Returns a future that completes on a signal to stop.
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

/// Returns a future that completes on a signal to stop.
#[cfg(windows)]
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut interrupted = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupted.recv().await;
        tracing::info!("stopping on Ctrl-C");
    })
}

/// Requests to take over the model of the folder: SIGHUP.
#[cfg(unix)]
type ReloadSignal = tokio::signal::unix::Signal;

/// Windows has no such signal; there is `POST /model/reload`.
#[cfg(windows)]
type ReloadSignal = ();

#[cfg(unix)]
fn reload_signal() -> std::io::Result<ReloadSignal> {
    use tokio::signal::unix::{SignalKind, signal};

    signal(SignalKind::hangup())
}

#[cfg(windows)]
fn reload_signal() -> std::io::Result<ReloadSignal> {
    Ok(())
}

/// Takes over the model of the folder at each signal, also one that came during the start.
#[cfg(unix)]
async fn reload_on(mut signal: ReloadSignal, models: Models) {
    while signal.recv().await.is_some() {
        // What went wrong is in the log.
        let _ = models.reload(OtherFeatures::Refuse).await;
    }
}

#[cfg(windows)]
async fn reload_on(_signal: ReloadSignal, _models: Models) {}
