//! Standard error is closed, full, or not read.
//!
//! Seen to fail with a server that writes its log where it happens: it ends with a panic, or never
//! answers again.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use rig::{Connection, Launch, ServerProcess, request};

use crate::Verdict;
use crate::load;
use crate::stage::Stage;
use crate::stored;

/// Refused requests, each with a line in the log: together more than a pipe and the queue before it hold.
const N_REFUSED: u64 = 6_000;
/// Events before, while and after the database is away.
const N_EVENTS: u64 = 50;

pub(crate) fn cause(stage: &Stage) -> anyhow::Result<Verdict> {
    let full = || File::options().write(true).open("/dev/full").map(Stdio::from);
    let n_full = attempt(stage, full().context("there is no /dev/full")?)?;

    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    drop(reader);
    let n_closed = attempt(stage, writer.into())?;

    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    let n_unread = attempt(stage, writer.into())?;
    drop(reader);
    Ok(Verdict::Kept(format!(
        "{n_full} lines dropped with a full log, {n_closed} with a closed one and {n_unread} with an unread one; \
         all events acknowledged, none lost, and each stopped with exit code 0"
    )))
}

/// Serves with such a log, and returns how many lines were dropped.
fn attempt(stage: &Stage, log: Stdio) -> anyhow::Result<u64> {
    let folder = stage.folder()?;
    let data = folder.path().join("data");
    let launch: Launch = stage.launch(&data).with_args(&["--log", "debug"]);
    let mut server = launch.start_with_log(log)?;
    let mut connection = server.connect().context("cannot connect")?;
    for _ in 0..N_REFUSED {
        let refused = connection.get("/nothing").context("a refusal was not answered")?;
        ensure!(refused.status == 404, "answered with {}", refused.status);
    }
    let reloaded = connection.exchange(&request("POST", "/model/reload", "", ""));
    ensure!(reloaded.context("a reload was not answered")?.status == 200, "no model was loaded");
    let mut acknowledged = Vec::new();
    send(&mut connection, 0, 200, &mut acknowledged)?;
    // The thread that stores logs an error, too.
    let (database, away) = (data.join(stored::DATABASE_FILE), data.join("away.db"));
    rename(&database, &away)?;
    send(&mut connection, 1, 503, &mut Vec::new())?;
    rename(&away, &database)?;
    send(&mut connection, 2, 200, &mut acknowledged)?;

    let n_dropped = n_dropped(&mut connection)?;
    ensure!(n_dropped > 0, "no line was counted as dropped");
    stop(&mut server)?;
    stored::check_all_stored(&data, &acknowledged)?;
    Ok(n_dropped)
}

fn send(
    connection: &mut Connection,
    round: u64,
    expected: u16,
    acknowledged: &mut Vec<u64>,
) -> anyhow::Result<()> {
    for sequence in round * N_EVENTS..(round + 1) * N_EVENTS {
        let answer =
            connection.predict(&load::event(sequence)).context("an event was not answered")?;
        ensure!(answer.status == expected, "answered with {}: {}", answer.status, answer.body);
        acknowledged.push(sequence);
    }
    Ok(())
}

fn n_dropped(connection: &mut Connection) -> anyhow::Result<u64> {
    let metrics = connection.get("/metrics").context("no metrics")?.body;
    let line = metrics.lines().find_map(|line| line.strip_prefix("iot_log_lines_dropped_total "));
    line.and_then(|count| count.parse().ok()).context("dropped lines are not counted")
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::rename(from, to).context("cannot move the database")
}

fn stop(server: &mut ServerProcess) -> anyhow::Result<()> {
    let status = server.stop()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}
