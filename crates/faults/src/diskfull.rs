//! The disk has no room, or no file may grow further.
//!
//! Seen to fail with a health check that is content with a small write, and without a handler for
//! SIGXFSZ.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rig::{Connection, ServerProcess};

use crate::Verdict;
use crate::load;
use crate::stage::Stage;
use crate::stored;

/// Size of the file system, and of what is freed later.
const DISK_MIB: usize = 3;
const BALLAST_LEN: usize = 1 << 20;
/// More events than fit.
const N_EVENTS_MAX: u64 = 50_000;

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
    let figures =
        format!("{} events on a full disk acknowledged, {n_refused} refused", acknowledged.len());

    let n_limited = limited(stage)?;
    Ok(Verdict::Kept(format!(
        "{figures}; and {n_limited} below a limit on files; both recovered without a restart"
    )))
}

/// The same with a limit on the size of files, of which the system tells by a signal.
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

fn set_file_size_limit(server: &ServerProcess, limit: &str) -> anyhow::Result<()> {
    let status = Command::new("prlimit")
        .args([format!("--fsize={limit}"), format!("--pid={}", server.pid())])
        .status()
        .context("cannot run prlimit")?;
    ensure!(status.success(), "prlimit failed");
    Ok(())
}

/// Sends events until there is no room that the server could make by itself, and looks at its health
/// meanwhile. Gives the number of refusals.
fn fill(
    connection: &mut Connection,
    acknowledged: &mut Vec<u64>,
    reason: &str,
) -> anyhow::Result<u64> {
    let mut n_refused = 0;
    let mut n_in_a_row = 0;
    for sequence in 0..N_EVENTS_MAX {
        let answer = connection.predict(&load::event(sequence)).context("not answered")?;
        if answer.status == 200 {
            acknowledged.push(sequence);
            n_in_a_row = 0;
            continue;
        }
        ensure!(answer.status == 503, "answered with {}: {}", answer.status, answer.body);
        ensure!(answer.body.contains(reason), "{}", answer.body);
        n_refused += 1;
        let health = connection.get("/health").context("no word of its health")?;
        if health.status == 200 {
            // There was room after all, or it lied: then the next event will be refused, too.
            n_in_a_row = 0;
            let next = connection.predict(&load::event(sequence)).context("not answered")?;
            ensure!(next.status == 200, "health was good, and an event was refused: {}", next.body);
            acknowledged.push(sequence);
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

/// Waits until health is good again, and sends more events.
fn recovers(connection: &mut Connection, acknowledged: &mut Vec<u64>) -> anyhow::Result<()> {
    for _ in 0..50 {
        if connection.get("/health").context("no word of its health")?.status == 200 {
            for sequence in N_EVENTS_MAX..N_EVENTS_MAX + 100 {
                let answer = connection.predict(&load::event(sequence)).context("not answered")?;
                ensure!(answer.status == 200, "after the recovery: {}", answer.body);
                acknowledged.push(sequence);
            }
            return Ok(());
        }
        thread::park_timeout(Duration::from_millis(100));
    }
    bail!("it does not recover")
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
