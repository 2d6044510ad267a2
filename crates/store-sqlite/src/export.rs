//! All predictions of a database, one after the other.

use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::params;
use store::{EventQuery, StoredPrediction};

use crate::error::OpenError;
use crate::prediction_row::{self, COLUMNS};
use crate::schema;

/// An error that occurs when predictions are read for an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be read to its end.
    #[error("cannot read the database to its end: save what can be read with `server recover`")]
    Read(#[from] rusqlite::Error),
}

/// Gives every prediction that a query selects, whatever its limit, to `take` until that breaks: station by station in the order of
/// their names, the first to be measured first. A server may use the database meanwhile. Returns the number of rows that are not as they
/// were written, and are left out.
///
/// # Errors
///
/// Fails when the database cannot be opened or read.
pub fn export(
    path: &Path,
    query: &EventQuery,
    mut take: impl FnMut(StoredPrediction) -> ControlFlow<()>,
) -> Result<u64, ExportError> {
    let connection = schema::open_for_reading(path)?;
    schema::check_readable(&connection, path)?;
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions
         WHERE (?1 IS NULL OR station_id = ?1) AND timestamp_us >= ?2 AND timestamp_us < ?3
           AND (?4 IS NULL OR is_anomaly = ?4)
         ORDER BY station_id, timestamp_us, sequence"
    );
    let mut statement = connection.prepare(&sql)?;
    let station_id = query.station_id.as_ref().map(sensor::StationId::as_str);
    let since_us = query.since_us.unwrap_or(i64::MIN);
    let until_us = query.until_us.unwrap_or(i64::MAX);
    let mut rows = statement.query(params![station_id, since_us, until_us, query.is_anomaly])?;
    let mut n_altered = 0;
    while let Some(row) = rows.next()? {
        match prediction_row::read(row) {
            Ok(stored) => {
                if take(stored).is_break() {
                    break;
                }
            }
            Err(_) => n_altered += 1,
        }
    }
    Ok(n_altered)
}
