//! The records that watches over stations continue from. They are of a shape that only their owner knows.

use rusqlite::{Connection, OptionalExtension as _, Row, params};
use sensor::StationId;
use store::RowHash;

use crate::error::QueryError;
use crate::reader::ReadOnly;

/// Replaces the record of a station.
pub(crate) fn write(
    connection: &Connection,
    station_id: &StationId,
    record: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO alarm_records (station_id, record, record_hash) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET record = excluded.record, record_hash = excluded.record_hash";
    let station_id = station_id.as_str();
    let RowHash(hash) = RowHash::of_alarm_record(station_id, record);
    connection.prepare_cached(sql)?.execute(params![station_id, record, hash]).map(drop)
}

/// Reads the record of a station; `None` where there is none, or it is damaged.
pub(crate) fn read(
    connection: &ReadOnly,
    station_id: &StationId,
) -> Result<Option<Vec<u8>>, QueryError> {
    let sql = "SELECT station_id, record, record_hash FROM alarm_records WHERE station_id = ?1";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([station_id.as_str()], checked).optional();
    let found: Option<Checked> = connection.or_nothing(found)?;
    Ok(found.and_then(|found| {
        if found.record.is_none() {
            tracing::error!(station.id = %station_id, "what the alarms of a station continue from is not what was written; it learns again");
        }
        found.record
    }))
}

/// A record that was read.
pub(crate) struct Checked {
    pub(crate) station_id: String,
    /// `None` where it is not what was written.
    pub(crate) record: Option<Vec<u8>>,
}

/// Reads a row of all columns.
pub(crate) fn checked(row: &Row<'_>) -> rusqlite::Result<Checked> {
    let (station_id, record): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
    let RowHash(expected) = RowHash::of_alarm_record(&station_id, &record);
    let is_sound = row.get_ref(2)?.as_blob().is_ok_and(|hash| hash == expected);
    Ok(Checked { station_id, record: is_sound.then_some(record) })
}

/// Deletes the record of a station that has no predictions any longer.
pub(crate) fn delete_orphan(connection: &Connection, station_id: &str) -> rusqlite::Result<()> {
    let sql = "DELETE FROM alarm_records WHERE station_id = ?1
               AND NOT EXISTS (SELECT 1 FROM predictions WHERE station_id = ?1)";
    connection.prepare_cached(sql)?.execute([station_id]).map(drop)
}
