//! Looks at every row of a database.

use std::path::Path;

use rusqlite::Connection;

use crate::alarm_records::{self, Checked};
use crate::error::OpenError;
use crate::prediction_row::{COLUMNS, hashes_of};
use crate::schema::{self, Ledger};

/// The result of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verification {
    /// Number of predictions.
    pub n_predictions: u64,
    /// Of these, how many are from before rows had hashes.
    pub n_without_hash: u64,
    /// Descriptions of the first [`Verification::PROBLEMS_MAX`] problems.
    pub problems: Vec<String>,
    /// The number of problems.
    pub n_problems: u64,
}

impl Verification {
    /// The number of problems that are described.
    pub const PROBLEMS_MAX: usize = 20;

    fn problem(&mut self, words: impl FnOnce() -> String) {
        self.n_problems += 1;
        if self.problems.len() < Self::PROBLEMS_MAX {
            self.problems.push(words());
        }
    }
}

/// An error that occurs when a database is verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read.
    #[error("cannot read the database")]
    Read(#[from] rusqlite::Error),
}

/// Looks at the structure of a database, the hash of every row, and the totals. A server may use it
/// meanwhile. `progress` hears how many predictions were looked at.
///
/// # Errors
///
/// Fails when it cannot be opened or read at all. Damage to its contents is not an error.
pub fn verify(path: &Path, mut progress: impl FnMut(u64)) -> Result<Verification, VerifyError> {
    let connection = schema::open_for_reading(path)?;
    schema::check_readable(&connection, path)?;
    // One state of the database throughout.
    connection.execute_batch("BEGIN")?;

    let mut verification = Verification::default();
    structure(&connection, &mut verification);
    // A tree that is broken ends the walk early; what was seen so far still counts.
    if let Err(error) = rows(&connection, &mut verification, &mut progress) {
        verification.problem(|| format!("the rows cannot be read to their end: {error}"));
    } else if let Err(error) = totals(&connection, &mut verification) {
        verification.problem(|| format!("the totals cannot be read: {error}"));
    }
    if let Err(error) = alarm_records(&connection, &mut verification) {
        verification.problem(|| format!("the records of alarms cannot be read: {error}"));
    }
    Ok(verification)
}

fn structure(connection: &Connection, verification: &mut Verification) {
    let checked = connection.prepare("PRAGMA integrity_check").and_then(|mut statement| {
        let lines = statement.query_map([], |row| row.get(0))?;
        lines.collect::<Result<Vec<String>, _>>()
    });
    match checked {
        Ok(lines) if lines == ["ok"] => {}
        Ok(lines) => {
            for line in lines {
                verification.problem(|| line);
            }
        }
        Err(error) => verification.problem(|| format!("the structure cannot be checked: {error}")),
    }
}

fn rows(
    connection: &Connection,
    verification: &mut Verification,
    progress: &mut impl FnMut(u64),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM predictions"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        verification.n_predictions += 1;
        let place = || -> String {
            let text = |column: &str| {
                let value = row.get_ref(column).ok()?;
                Some(match value {
                    rusqlite::types::ValueRef::Integer(number) => number.to_string(),
                    value => {
                        String::from_utf8_lossy(value.as_bytes().ok()?).escape_debug().to_string()
                    }
                })
            };
            let [station, time, sequence] = ["station_id", "timestamp_us", "sequence"]
                .map(|column| text(column).unwrap_or_else(|| String::from("?")));
            format!("the prediction of {station} at {time} µs, sequence {sequence}")
        };
        match hashes_of(row) {
            Ok((_, None)) => verification.n_without_hash += 1,
            Ok((expected, Some(found))) if expected == found => {}
            Ok(_) => verification.problem(|| format!("{} is not what was written", place())),
            Err(error) => verification.problem(|| format!("{} cannot be read: {error}", place())),
        }
        if verification.n_predictions.is_multiple_of(10_000) {
            progress(verification.n_predictions);
        }
    }
    progress(verification.n_predictions);
    Ok(())
}

fn alarm_records(connection: &Connection, verification: &mut Verification) -> rusqlite::Result<()> {
    // Those of earlier versions have no hash, and are not read any longer.
    let sql = "SELECT count(*) FROM pragma_table_info('alarm_records') WHERE name = 'record_hash'";
    if connection.query_row(sql, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    let sql = "SELECT station_id, record, record_hash FROM alarm_records";
    let mut statement = connection.prepare(sql)?;
    for checked in statement.query_map([], alarm_records::checked)? {
        let Checked { station_id, record } = checked?;
        if record.is_none() {
            let name = station_id.escape_debug();
            verification.problem(|| {
                format!("what the alarms of {name} continue from is not what was written")
            });
        }
    }
    Ok(())
}

fn totals(connection: &Connection, verification: &mut Verification) -> rusqlite::Result<()> {
    let ledger = Ledger::read(connection)?;
    let Ledger { last_id, totals, .. } = Ledger::count(connection)?;
    let counted = (totals.events, totals.anomalies);
    let noted = (ledger.totals.events, ledger.totals.anomalies);
    if counted != noted {
        verification.problem(|| {
            format!("there are {counted:?} predictions and anomalies, and {noted:?} are noted")
        });
    }
    if last_id > ledger.last_id {
        verification
            .problem(|| format!("there is an id {last_id} above the last, {}", ledger.last_id));
    }
    Ok(())
}
