//! The contents of a database, compared with what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use rusqlite::Connection;

pub(crate) const DATABASE_FILE: &str = "events.db";

/// Returns the scores of the events that a database holds, by their numbers, after it was looked at row by
/// row.
///
/// # Errors
///
/// Fails when it is damaged, counts wrongly, or holds an event twice.
pub(crate) fn scores(data_dir: &Path) -> anyhow::Result<BTreeMap<u64, f64>> {
    let path = data_dir.join(DATABASE_FILE);
    let connection = Connection::open(&path).context("the database cannot be opened")?;
    let sql = "SELECT sequence, anomaly_score FROM predictions";
    let mut statement = connection.prepare(sql).context("no table")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    let rows = rows.context("the rows cannot be read")?;
    let all: Vec<(u64, f64)> = rows.collect::<Result<_, _>>().context("the rows cannot be read")?;
    let scores: BTreeMap<u64, f64> = all.iter().copied().collect();
    if scores.len() != all.len() {
        bail!("{} events are stored twice", all.len() - scores.len());
    }
    // Structure, hash of every row, counts.
    let found = store_sqlite::verify(&path, |_| ()).context("the database cannot be verified")?;
    if found.n_problems > 0 {
        bail!("the database is damaged: {}", found.problems.join("; "));
    }
    Ok(scores)
}

/// Returns the numbers of the events that a database holds, like [`scores`].
///
/// # Errors
///
/// Fails like [`scores`].
pub(crate) fn sequences(data_dir: &Path) -> anyhow::Result<BTreeSet<u64>> {
    Ok(scores(data_dir)?.into_keys().collect())
}

/// Fails when an acknowledged event is not stored.
pub(crate) fn check_all_stored(data_dir: &Path, acknowledged: &[u64]) -> anyhow::Result<()> {
    let stored = sequences(data_dir)?;
    let lost: Vec<_> = acknowledged.iter().filter(|sequence| !stored.contains(sequence)).collect();
    if lost.is_empty() {
        return Ok(());
    }
    bail!(
        "{} of {} acknowledged events are lost, such as {:?}",
        lost.len(),
        acknowledged.len(),
        lost[0]
    )
}
