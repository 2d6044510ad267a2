//! The records that watches over stations continue from. They are of a shape that only their owner knows.

use rusqlite::{Connection, OptionalExtension as _, params};
use sensor::StationId;

use crate::error::QueryError;
use crate::reader::ReadOnly;

/// Replaces the record of a station.
pub(crate) fn write(
    connection: &Connection,
    station_id: &StationId,
    record: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO alarm_records (station_id, record) VALUES (?1, ?2)
               ON CONFLICT DO UPDATE SET record = excluded.record";
    connection.prepare_cached(sql)?.execute(params![station_id.as_str(), record]).map(drop)
}

/// Reads the record of a station; `None` where there is none, or it is damaged.
pub(crate) fn read(
    connection: &ReadOnly,
    station_id: &StationId,
) -> Result<Option<Vec<u8>>, QueryError> {
    let sql = "SELECT record FROM alarm_records WHERE station_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let record = statement.query_row([station_id.as_str()], |row| row.get(0)).optional();
    Ok(connection.or_nothing(record)?)
}

/// Deletes the record of a station that has no predictions any longer.
pub(crate) fn delete_orphan(connection: &Connection, station_id: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM alarm_records WHERE station_id = ?1
               AND NOT EXISTS (SELECT 1 FROM predictions WHERE station_id = ?1)";
    connection.prepare_cached(sql)?.execute([station_id]).map(drop)
}
