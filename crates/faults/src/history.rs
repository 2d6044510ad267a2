//! The past of stations, sent at once: events an hour apart, each of which leaves much to be recorded.
//!
//! Seen to fail with a server that makes a record with each event of a batch.

use std::thread;

use anyhow::{Context as _, ensure};
use rig::{ServerProcess, request};

use crate::Verdict;
use crate::stage::Stage;

const N_FEATURES: usize = 200;
const N_STATIONS: usize = 6;
/// Events of a batch, few enough for an answer in one piece.
const N_EVENTS: usize = 40;
const N_BATCHES: usize = 30;
/// Well above what a server needs for it, and below what one record for each event took.
const RESIDENT_KIB_MAX: u64 = 224 * 1024;

pub(crate) fn cause(stage: &Stage) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let mut launch = stage.launch(folder.path()).with_args(&["--events-to-learn", "10000"]);
    launch.model_dir = stage.wide_models(N_FEATURES)?;
    let server = launch.start()?;
    at_all_stations(&server, |station, server| {
        let events = |batch: usize| {
            let first = batch * N_EVENTS;
            let hours = first..first + N_EVENTS;
            hours.map(|hour| event(&format!("h{station}"), &hourly(hour))).collect::<Vec<_>>()
        };
        (0..N_BATCHES).try_for_each(|batch| send(server, &events(batch)))
    })?;
    ensure!(server.is_running()?, "the server ended");
    let peak = server.peak_resident_kib()?;
    ensure!(peak <= RESIDENT_KIB_MAX, "{} MiB resident", peak / 1024);
    Ok(Verdict::Kept(format!(
        "{} events an hour apart of each of {N_STATIONS} stations with {N_FEATURES} features: {} MiB resident",
        N_BATCHES * N_EVENTS,
        peak / 1024
    )))
}

/// Sends for all stations at the same time.
fn at_all_stations(
    server: &ServerProcess,
    send: impl Fn(usize, &ServerProcess) -> anyhow::Result<()> + Sync,
) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let send = &send;
        let clients: Vec<_> =
            (0..N_STATIONS).map(|station| scope.spawn(move || send(station, server))).collect();
        let mut ends =
            clients.into_iter().map(|client| client.join().expect("a client does not panic"));
        ends.try_for_each(|end| end)
    })
}

/// Sends a batch, again where the queue was full.
fn send(server: &ServerProcess, events: &[String]) -> anyhow::Result<()> {
    let batch = request("POST", "/predict/batch", "application/x-ndjson", &events.join("\n"));
    let mut connection = server.connect().context("cannot connect")?;
    for _ in 0..20 {
        let answer = connection.exchange(&batch).context("a batch is not answered")?;
        ensure!([200, 503].contains(&answer.status), "{}: {}", answer.status, answer.body);
        if answer.status == 200 && !answer.body.contains("\"status\":503") {
            return Ok(());
        }
    }
    anyhow::bail!("a batch is refused again and again")
}

fn event(station: &str, timestamp: &str) -> String {
    let value = |index| format!("\"sensor_{index:04}_mean_temperature\":0.5");
    let values: Vec<String> = (0..N_FEATURES).map(value).collect();
    format!("{{\"station_id\":\"{station}\",\"timestamp\":\"{timestamp}\",{}}}", values.join(","))
}

/// Returns a time so many hours after another.
fn hourly(hour: usize) -> String {
    let (day, hour) = (hour / 24, hour % 24);
    format!("2026-{:02}-{:02}T{hour:02}:00:00Z", day / 28 + 1, day % 28 + 1)
}
