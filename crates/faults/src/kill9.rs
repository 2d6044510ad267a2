//! The process dies at any moment.
//!
//! Seen to fail with a writer that answers before it commits.

use std::time::Duration;

use anyhow::bail;
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
        let after = Duration::from_millis(rng.random_range(5..120));
        let ((), answered) = load.until_ended(&mut server, after, ServerProcess::kill)?;
        acknowledged.extend(answered.acknowledged);
    }
    if acknowledged.len() < 10 * usize::try_from(loops)? {
        bail!("only {} events were acknowledged, which shows nothing", acknowledged.len());
    }
    stored::check_all_stored(folder.path(), &acknowledged)?;
    Ok(Verdict::Kept(format!(
        "{loops} kills, {} events sent, {} acknowledged, each stored once",
        load.n_sent(),
        acknowledged.len()
    )))
}
