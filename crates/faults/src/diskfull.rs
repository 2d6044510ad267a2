//! The disk has no room, or no file may grow further.
//!
//! Seen to fail with a health check that is content with a small write, without a handler for SIGXFSZ, and with a copy that has its
//! journal beside it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rig::{Answer, Connection, ServerProcess, request};

use crate::Verdict;
use crate::load;
use crate::stage::Stage;
use crate::stored;

/// Size of the file system, and of what is freed later.
const DISK_MIB: usize = 5;
const BALLAST_LEN: usize = 2 << 20;
/// Events of a batch, which need more room than one alone.
const BATCH_LEN: u64 = 100;
/// Batches of a database that does not fit.
const N_BATCHES_LARGE: u64 = 200;
/// More batches than fit.
const N_BATCHES_MAX: u64 = 1_000;

pub(crate) fn cause(stage: &Stage) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let Some(disk) = SmallDisk::mount(folder.path().join("disk"))? else {
        return Ok(Verdict::Skipped("a small file system cannot be mounted here".into()));
    };
    let ballast = disk.path.join("ballast");
    std::fs::write(&ballast, vec![1; BALLAST_LEN]).context("cannot write the ballast")?;
    let data = disk.path.join("data");
    let mut server = stage.launch(&data).start()?;
    let mut connection = server.connect().context("cannot connect")?;
    let mut acknowledged = Vec::new();
    let n_refused = fill(&mut connection, &mut acknowledged, "the disk is full")?;
    ensure!(!server.log().contains("panicked"), "something panicked: {}", server.log());

    std::fs::remove_file(&ballast).context("cannot remove the ballast")?;
    recovers(&mut connection, &mut acknowledged)?;
    server.kill()?;
    stored::check_all_stored(&data, &acknowledged)?;
    std::fs::remove_dir_all(&data).context("cannot remove the database")?;
    leaves_nothing(stage, &disk.path)?;
    let figures =
        format!("{} events on a full disk acknowledged, {n_refused} refused", acknowledged.len());

    let n_limited = limited(stage)?;
    Ok(Verdict::Kept(format!(
        "{figures}; and {n_limited} below a limit on files; both recovered without a restart"
    )))
}

/// Copies a database in all ways to a disk without room for it, and looks for what is left there.
fn leaves_nothing(stage: &Stage, disk: &Path) -> anyhow::Result<()> {
    let folder = stage.folder()?;
    let data = folder.path();
    let mut server = stage.launch(data).start()?;
    let mut connection = server.connect().context("cannot connect")?;
    for number in 0..N_BATCHES_LARGE {
        let refusal = send(&mut connection, number, &mut Vec::new())?;
        ensure!(refusal.is_none(), "refused: {refusal:?}");
    }
    server.kill()?;
    let (database, copies) = (data.join("events.db"), disk.join("copies"));
    std::fs::create_dir(&copies).context("cannot make a folder")?;
    let (copy, into) = (copies.join("copy.db"), Path::new("--data-dir"));
    let program = stage.launch(data).program;
    let [backup, restore, recover, from] =
        ["backup", "restore", "recover", "--from"].map(Path::new);
    for args in [
        vec![backup, &copy, into, data],
        vec![restore, &database, into, &copies],
        vec![recover, from, &database, into, &copies],
    ] {
        let output =
            Command::new(&program).args(&args).output().context("cannot run the server")?;
        ensure!(!output.status.success(), "there is room for a copy: {args:?}");
        for entry in std::fs::read_dir(&copies).context("cannot list a folder")? {
            let name = entry.context("cannot list a folder")?.file_name();
            // The folder is held by the mark.
            ensure!(name == "events.db-mark", "{args:?} left {}", name.display());
        }
    }
    Ok(())
}

/// Returns the same with a limit on the size of files, of which the system tells by a signal.
fn limited(stage: &Stage) -> anyhow::Result<usize> {
    let folder = stage.folder()?;
    let mut server = stage.launch(folder.path()).start()?;
    set_file_size_limit(&server, "1000000:unlimited")?;
    let mut connection = server.connect().context("cannot connect")?;
    let mut acknowledged = Vec::new();
    fill(&mut connection, &mut acknowledged, "the disk fails")?;
    set_file_size_limit(&server, "unlimited:unlimited")?;
    recovers(&mut connection, &mut acknowledged)?;
    server.kill()?;
    stored::check_all_stored(folder.path(), &acknowledged)?;
    Ok(acknowledged.len())
}

pub(crate) fn set_file_size_limit(server: &ServerProcess, limit: &str) -> anyhow::Result<()> {
    let status = Command::new("prlimit")
        .args([format!("--fsize={limit}"), format!("--pid={}", server.pid())])
        .status()
        .context("cannot run prlimit")?;
    ensure!(status.success(), "prlimit failed");
    Ok(())
}

/// Sends batches until there is no room that the server could make itself, and looks at its health
/// meanwhile. Gives the number of refusals.
fn fill(
    connection: &mut Connection,
    acknowledged: &mut Vec<u64>,
    reason: &str,
) -> anyhow::Result<u64> {
    let mut n_refused = 0;
    let mut n_in_a_row = 0;
    for number in 0..N_BATCHES_MAX {
        if send(connection, number, acknowledged)?.is_none() {
            n_in_a_row = 0;
            continue;
        }
        n_refused += 1;
        let health = connection.get("/health").context("no word of its health")?;
        if health.status == 200 {
            // There was room after all, or it lied: then the same batch will be refused again.
            n_in_a_row = 0;
            if let Some(refusal) = send(connection, number, acknowledged)? {
                bail!("health was good, and a batch was refused: {}", refusal.body);
            }
            continue;
        }
        ensure!(health.status == 503 && health.body.contains(reason), "{}", health.body);
        n_in_a_row += 1;
        if n_in_a_row == 5 {
            return Ok(n_refused);
        }
    }
    bail!("the disk does not get full")
}

/// Waits until health is good again, and sends more.
fn recovers(connection: &mut Connection, acknowledged: &mut Vec<u64>) -> anyhow::Result<()> {
    for _ in 0..50 {
        if connection.get("/health").context("no word of its health")?.status == 200 {
            for number in N_BATCHES_MAX..N_BATCHES_MAX + 10 {
                if let Some(refusal) = send(connection, number, acknowledged)? {
                    bail!("after the recovery: {}", refusal.body);
                }
            }
            return Ok(());
        }
        thread::park_timeout(Duration::from_millis(100));
    }
    bail!("it does not recover")
}

/// Sends a batch; gives the answer when it is refused.
fn send(
    connection: &mut Connection,
    number: u64,
    acknowledged: &mut Vec<u64>,
) -> anyhow::Result<Option<Answer>> {
    let sequences = number * BATCH_LEN..(number + 1) * BATCH_LEN;
    let lines: String = sequences.clone().map(|sequence| load::event(sequence) + "\n").collect();
    let batch = request("POST", "/predict/batch", "application/x-ndjson", &lines);
    let answer = connection.exchange(&batch).context("not answered")?;
    if answer.status == 503 {
        return Ok(Some(answer));
    }
    ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
    ensure!(
        !answer.body.contains("\"status\""),
        "an event of a batch was refused: {}",
        answer.body
    );
    acknowledged.extend(sequences);
    Ok(None)
}

/// A file system in memory, which is gone when this is.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// Mounts it; `None` where this process may not.
    fn mount(path: PathBuf) -> anyhow::Result<Option<Self>> {
        std::fs::create_dir(&path).context("cannot make a folder")?;
        let size = format!("size={DISK_MIB}m");
        let mounted = mount(&["-t", "tmpfs", "-o", &size, "tmpfs"], &path);
        Ok(mounted.then_some(Self { path }))
    }
}

fn mount(args: &[&str], path: &Path) -> bool {
    let done = Command::new("mount").args(args).arg(path).output();
    done.is_ok_and(|done| done.status.success())
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What is left of it takes memory and nothing else.
        let _ = Command::new("umount").arg("--lazy").arg(&self.path).output();
    }
}
