//! Between a prediction and its row.

use rusqlite::types::Type;
use rusqlite::{Row, params};
use sensor::{Fingerprint, Prediction, StationId};

use crate::{NewPrediction, StoredPrediction};

/// The columns of a prediction in the order in which [`read`] takes them.
pub(crate) const COLUMNS: &str = "id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                  is_anomaly, attributions, model_version";

const INSERT: &str = "
    INSERT INTO predictions (id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold,
                             is_anomaly, attributions, model_version, received_us, event_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
    ON CONFLICT DO NOTHING";

/// Inserts a prediction, unless its key is taken; says whether it did.
pub(crate) fn insert(
    connection: &rusqlite::Connection,
    id: i64,
    new: &NewPrediction,
) -> rusqlite::Result<bool> {
    let prediction = &new.prediction;
    let n_inserted = connection.prepare_cached(INSERT)?.execute(params![
        id,
        prediction.station_id.as_str(),
        prediction.timestamp_us,
        prediction.sequence,
        json(&prediction.features)?,
        prediction.anomaly_score,
        prediction.p_value,
        prediction.threshold,
        prediction.is_anomaly,
        json(&prediction.attributions)?,
        &*prediction.model_version,
        new.received_us,
        new.event_hash,
    ])?;
    Ok(n_inserted == 1)
}

/// The prediction with the key of another, and the digest of its event.
pub(crate) fn with_key_of(
    connection: &rusqlite::Connection,
    prediction: &Prediction,
) -> rusqlite::Result<(Prediction, Fingerprint)> {
    let sql = format!(
        "SELECT {COLUMNS}, event_hash FROM predictions WHERE station_id = ?1 AND timestamp_us = ?2 AND sequence = ?3"
    );
    let key = params![prediction.station_id.as_str(), prediction.timestamp_us, prediction.sequence];
    connection
        .prepare_cached(&sql)?
        .query_row(key, |row| Ok((read(row)?.prediction, row.get("event_hash")?)))
}

/// Reads a row of [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<StoredPrediction> {
    let station_id: String = row.get(1)?;
    let model_version: String = row.get(10)?;
    let prediction = Prediction {
        station_id: StationId::parse(&station_id).map_err(|error| conversion_error(1, error))?,
        timestamp_us: row.get(2)?,
        sequence: row.get(3)?,
        features: from_json(row, 4)?,
        anomaly_score: row.get(5)?,
        p_value: row.get(6)?,
        threshold: row.get(7)?,
        is_anomaly: row.get(8)?,
        attributions: from_json(row, 9)?,
        model_version: model_version.into(),
    };
    Ok(StoredPrediction { id: row.get(0)?, prediction })
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn from_json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| conversion_error(column, error))
}

fn conversion_error(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}
