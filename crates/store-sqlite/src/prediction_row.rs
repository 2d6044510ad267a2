//! Between a prediction and its row.

use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use sensor::{Fingerprint, Prediction, StationId, timestamp};
use store::{Entry, RowHash, RowPart, StoredPrediction};

/// The columns of a prediction in the order in which [`read`] takes them.
pub(crate) const COLUMNS: &str = "id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                  is_anomaly, attributions, model_version, received_us";

/// The columns that [`hashes_of`] takes, in its order.
pub(crate) const HASHED_COLUMNS: &str = "station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                         is_anomaly, attributions, model_version, received_us, event_hash, id, row_hash";

const INSERT: &str = "
    INSERT INTO predictions (id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold,
                             is_anomaly, attributions, model_version, received_us, event_hash, row_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT DO NOTHING";

/// Inserts a prediction, unless its key is taken. Returns `true` if it did.
pub(crate) fn insert(connection: &Connection, entry: &Entry, id: i64) -> rusqlite::Result<bool> {
    let Entry { new, features, attributions, content_hash } = entry;
    let prediction = &new.prediction;
    let n_inserted = connection.prepare_cached(INSERT)?.execute(params![
        id,
        prediction.station_id.as_str(),
        prediction.timestamp_us,
        prediction.sequence.cast_signed(),
        features,
        prediction.anomaly_score,
        prediction.p_value,
        prediction.threshold,
        prediction.is_anomaly,
        attributions,
        prediction.model_version.as_str(),
        new.received_us,
        new.event_hash,
        content_hash.with_id(id).0,
    ])?;
    Ok(n_inserted == 1)
}

/// Returns the prediction that has the key of an entry, and the digest of its event; `None` when it
/// cannot be read.
pub(crate) fn with_key_of(
    connection: &Connection,
    entry: &Entry,
) -> rusqlite::Result<Option<(Prediction, Fingerprint)>> {
    let sql = format!(
        "SELECT {COLUMNS}, event_hash FROM predictions WHERE station_id = ?1 AND timestamp_us = ?2 AND sequence = ?3"
    );
    let Prediction { station_id, timestamp_us, sequence, .. } = &entry.new.prediction;
    let key = params![station_id.as_str(), timestamp_us, sequence.cast_signed()];
    connection.prepare_cached(&sql)?.query_row(key, |row| {
        let earlier =
            read(row).and_then(|stored| Ok((stored.prediction, row.get("event_hash")?)));
        Ok(earlier
            .inspect_err(|error| {
                tracing::error!(%error, station.id = %station_id, timestamp_us, sequence, "a stored prediction cannot be read");
            })
            .ok())
    })
}

/// Returns the hash that a row of [`HASHED_COLUMNS`] should have, and the one that it has: none in rows
/// from before there were hashes.
pub(crate) fn hashes_of(row: &Row<'_>) -> rusqlite::Result<(RowHash, Option<RowHash>)> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let content = RowHash::new([
        RowPart::Text(text(0)?),
        RowPart::Integer(row.get(1)?),
        RowPart::Integer(row.get(2)?),
        RowPart::Text(text(3)?),
        RowPart::Real(row.get(4)?),
        RowPart::Real(row.get(5)?),
        RowPart::Real(row.get(6)?),
        RowPart::Integer(row.get(7)?),
        RowPart::Text(text(8)?),
        RowPart::Text(text(9)?),
        RowPart::Integer(row.get(10)?),
        RowPart::Bytes(row.get_ref(11)?.as_blob()?),
    ]);
    Ok((content.with_id(row.get(12)?), row.get::<_, Option<[u8; 16]>>(13)?.map(RowHash)))
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<StoredPrediction> {
    let station_id: String = row.get(1)?;
    let model_version: String = row.get(10)?;
    let prediction = Prediction {
        station_id: StationId::parse(&station_id).map_err(|error| conversion_error(1, error))?,
        timestamp_us: time(row, 2)?,
        sequence: row.get(3)?,
        features: from_json(row, 4)?,
        anomaly_score: row.get(5)?,
        p_value: row.get(6)?,
        threshold: row.get(7)?,
        is_anomaly: row.get(8)?,
        attributions: from_json(row, 9)?,
        model_version: model_version.as_str().into(),
    };
    Ok(StoredPrediction { id: row.get(0)?, prediction, received_us: clock_time(row, 11)? })
}

/// Reads a time that an event can have: in a damaged row, it may be any number.
pub(crate) fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    time_from(timestamp::EARLIEST_US, row, column)
}

/// Reads a time of this machine's clock, which may not have been set.
pub(crate) fn clock_time(row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    time_from(0, row, column)
}

fn time_from(earliest_us: i64, row: &Row<'_>, column: usize) -> rusqlite::Result<i64> {
    let time_us = row.get(column)?;
    let is_possible = (earliest_us..=timestamp::LATEST_US).contains(&time_us);
    is_possible.then_some(time_us).ok_or_else(|| conversion_error(column, ImpossibleTime))
}

/// A time that no event has.
#[derive(Debug, thiserror::Error)]
#[error("the time is not possible")]
struct ImpossibleTime;

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| conversion_error(column, error))
}

pub(crate) fn conversion_error(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
