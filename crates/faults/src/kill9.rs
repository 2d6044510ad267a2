//! The process dies at any moment.
//!
//! Seen to fail with a writer that answers before it commits.

use std::thread;
use std::time::Duration;

use anyhow::bail;
use rand::RngExt as _;

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
        let addr = server.addr();
        let pause = Duration::from_millis(rng.random_range(5..120));
        let answered = thread::scope(|scope| {
            let clients = scope.spawn(|| load.run(addr, 8));
            thread::park_timeout(pause);
            let killed = server.kill();
            let answered = clients.join().expect("clients do not panic");
            killed.map(|()| answered)
        })?;
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
