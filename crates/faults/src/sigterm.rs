//! The process is stopped by SIGTERM, and another one wants its database.
//!
//! Seen to fail with a server that ends at once on SIGTERM, and with a store without a lock.

use std::time::Duration;

use anyhow::{bail, ensure};
use rand::RngExt as _;
use rig::ServerProcess;

use crate::Verdict;
use crate::load::Load;
use crate::stage::Stage;
use crate::stored;

pub(crate) fn cause(stage: &Stage, loops: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let load = Load::default();
    let mut rng = stage.rng();
    let mut acknowledged = Vec::new();
    for _ in 0..loops {
        let mut server = stage.launch(folder.path()).start()?;
        let after = Duration::from_millis(rng.random_range(20..120));
        let (status, answered) = load.until_ended(&mut server, after, ServerProcess::stop)?;
        ensure!(status.success(), "it ended with {status}");
        if let Some((_, answer)) = answered.refused.first() {
            bail!("an event was refused with {}: {}", answer.status, answer.body);
        }
        acknowledged.extend(answered.acknowledged);
        let is_one_file = !folder.path().join("events.db-wal").exists();
        ensure!(is_one_file, "the log of the database was left behind");
    }
    stored::check_all_stored(folder.path(), &acknowledged)?;

    let _first = stage.launch(folder.path()).start()?;
    let Err(refusal) = stage.launch(folder.path()).start() else {
        bail!("a second server took the same database");
    };
    ensure!(refusal.to_string().contains("in use by another server"), "{refusal}");
    Ok(Verdict::Kept(format!(
        "{loops} stops with exit code 0, {} events acknowledged, none lost or refused; a second server was refused",
        acknowledged.len()
    )))
}
