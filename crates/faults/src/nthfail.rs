//! Every sync, write and open fails once.
//!
//! Each call fails in two servers. One continues and has to recover; the other is killed as soon as it
//! has refused an event, when what it said of that is put to the test.
//!
//! Seen to fail with a writer that answers although its commit failed, and with one that calls every
//! failure of a commit certain.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use rig::{DISK_SHIM, Launch, compile_shim};

use crate::Verdict;
use crate::load;
use crate::stage::Stage;
use crate::stored;

/// Events that are sent to each server, one after another.
const N_EVENTS: u64 = 12;
/// More calls than any server makes for them.
const CALLS_MAX: u64 = 10_000;

pub(crate) fn cause(stage: &Stage, stride: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let shim = match compile_shim(DISK_SHIM, "disk", folder.path()) {
        Ok(shim) => shim,
        Err(error) => return Ok(Verdict::Skipped(format!("{error:#}"))),
    };
    let mut tally = Tally::default();
    for kind in ["sync", "write", "open"] {
        for (name, errno) in [("EIO", 5), ("ENOSPC", 28)] {
            let mut call = 1;
            loop {
                let mark = folder.path().join("failed");
                let launch = |data: &Path| {
                    stage
                        .launch(data)
                        .with_env("LD_PRELOAD", &shim.display().to_string())
                        .with_env("DISK_DIR", &data.display().to_string())
                        .with_env("FAIL_KIND", kind)
                        .with_env("FAIL_AT", &call.to_string())
                        .with_env("FAIL_ERRNO", &errno.to_string())
                        .with_env("FAIL_MARK", &mark.display().to_string())
                };
                for ends in [Ends::Late, Ends::AtRefusal] {
                    let data = stage.folder()?;
                    let launch = launch(data.path());
                    one(&launch, data.path(), ends, &mut tally)
                        .with_context(|| format!("{kind} number {call} failed with {name}"))?;
                }
                if !mark.exists() {
                    break;
                }
                std::fs::remove_file(&mark).context("cannot remove the mark")?;
                tally.failures += 1;
                call += stride;
                if call > CALLS_MAX {
                    bail!("there is no end of calls");
                }
            }
        }
    }
    Ok(Verdict::Kept(format!(
        "{} calls failed in two servers each, {} could not start; {} events acknowledged and stored, {} refused, {} unknown",
        tally.failures, tally.failed_starts, tally.acknowledged, tally.refused, tally.unknown
    )))
}

/// When a server is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// After all events, and one more.
    Late,
    /// As soon as it has refused one.
    AtRefusal,
}

/// The number of calls, starts and events of each kind.
#[derive(Default)]
struct Tally {
    failures: u64,
    failed_starts: u64,
    acknowledged: usize,
    refused: usize,
    unknown: usize,
}

/// Runs a server in which one call fails, kills it, and looks at what it left.
fn one(launch: &Launch, data_dir: &Path, ends: Ends, tally: &mut Tally) -> anyhow::Result<()> {
    let Ok(mut server) = launch.start() else {
        // A server that cannot start has acknowledged nothing, and the next one must.
        tally.failed_starts += 1;
        let again = Launch { env: Vec::new(), ..launch.clone() };
        let server = again.start().context("the next start failed, too")?;
        let answer = server.connect()?.predict(&load::event(0))?;
        ensure!(answer.status == 200, "after the next start: {}", answer.body);
        return Ok(());
    };
    let mut acknowledged = Vec::new();
    let mut not_stored = Vec::new();
    {
        let mut connection = server.connect().context("cannot connect")?;
        for sequence in 0..N_EVENTS {
            let answer = connection.predict(&load::event(sequence)).context("not answered")?;
            match (answer.status, answer.json()["outcome"].as_str()) {
                (200, _) => acknowledged.push(sequence),
                (503, Some("not_stored")) => not_stored.push(sequence),
                (503, Some("unknown")) => tally.unknown += 1,
                _ => bail!("answered with {}: {}", answer.status, answer.body),
            }
            if answer.status != 200 && ends == Ends::AtRefusal {
                break;
            }
        }
        tally.acknowledged += acknowledged.len();
        tally.refused += not_stored.len();
    }
    if ends == Ends::Late {
        let mut connection = server.connect().context("cannot connect")?;
        let mut last = connection.predict(&load::event(N_EVENTS)).context("not answered")?;
        if last.status == 503 {
            // The call may have been one for this very event.
            last = connection.predict(&load::event(N_EVENTS)).context("not answered")?;
        }
        ensure!(last.status == 200, "it did not recover: {}", last.body);
        acknowledged.push(N_EVENTS);
    }
    server.kill()?;
    stored::check_all_stored(data_dir, &acknowledged)?;
    let stored = stored::sequences(data_dir)?;
    if let Some(sequence) = not_stored.iter().find(|sequence| stored.contains(sequence)) {
        bail!("event {sequence} is stored, and its client was told that it is not");
    }
    Ok(())
}
