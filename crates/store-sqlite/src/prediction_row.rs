//! Between a prediction and its row.

use rusqlite::types::{Type, ValueRef};
use rusqlite::{Connection, Row, params};
use sensor::{Alarm, Baseline, Evidence, Fingerprint, Prediction, StationId, timestamp};
use store::{Entry, RowContent, RowHash, StoredPrediction};

/// The columns of a prediction, in the order in which the functions of this module take them. A row is
/// always read whole: only then can its hash be checked.
pub(crate) const COLUMNS: &str = "station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                  is_anomaly, attributions, model_version, received_us, event_hash, id, row_hash, evidence, outside, \
                                  baseline, alarm";
/// The positions of some columns among [`COLUMNS`].
pub(crate) mod column {
    pub(crate) const TIMESTAMP_US: usize = 1;
    pub(crate) const FEATURES: usize = 3;
    pub(crate) const ANOMALY_SCORE: usize = 4;
    pub(crate) const THRESHOLD: usize = 6;
    pub(crate) const IS_ANOMALY: usize = 7;
    pub(crate) const MODEL_VERSION: usize = 9;
    pub(crate) const RECEIVED_US: usize = 10;
    pub(crate) const EVENT_HASH: usize = 11;
    pub(crate) const ID: usize = 12;
    pub(crate) const ROW_HASH: usize = 13;
    pub(crate) const EVIDENCE: usize = 14;
    pub(crate) const OUTSIDE: usize = 15;
    pub(crate) const BASELINE: usize = 16;
    pub(crate) const ALARM: usize = 17;
}

pub(crate) const INSERT: &str = "
    INSERT INTO predictions (id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold,
                             is_anomaly, attributions, model_version, received_us, event_hash, row_hash, evidence, outside,
                             baseline, alarm)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
    ON CONFLICT DO NOTHING";

/// Inserts a prediction, unless its key is taken. Returns `true` if it did.
pub(crate) fn insert(connection: &Connection, entry: &Entry, id: i64) -> rusqlite::Result<bool> {
    let Entry { new, features, attributions, outside, alarm, content_hash } = entry;
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
        prediction.evidence.map(Evidence::number),
        outside,
        prediction.baseline.map(Baseline::number),
        alarm,
    ])?;
    Ok(n_inserted == 1)
}

/// Inserts a row that no event can have, and deletes it again.
pub(crate) fn try_insert(connection: &Connection) -> rusqlite::Result<()> {
    const NO_STATION: &str = "";
    let id = i64::MIN;
    let (hash, no_json): ([u8; 16], &str) = ([0; 16], "");
    connection.prepare_cached(INSERT)?.execute(params![
        id, NO_STATION, 0, 0, no_json, 0.0, 0.0, 0.0, true, no_json, "", 0, hash, hash, 0, no_json,
        0, no_json
    ])?;
    let sql = "DELETE FROM predictions WHERE station_id = ?1 AND timestamp_us = 0 AND sequence = 0";
    match connection.prepare_cached(sql)?.execute([NO_STATION])? {
        0 => Err(rusqlite::Error::StatementChangedRows(0)),
        _ => Ok(()),
    }
}

/// Returns the prediction that has the key of an entry, and the digest of its event; `None` when it
/// cannot be read.
pub(crate) fn with_key_of(
    connection: &Connection,
    entry: &Entry,
) -> rusqlite::Result<Option<(Prediction, Fingerprint)>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions WHERE station_id = ?1 AND timestamp_us = ?2 AND sequence = ?3"
    );
    let Prediction { station_id, timestamp_us, sequence, .. } = &entry.new.prediction;
    let key = params![station_id.as_str(), timestamp_us, sequence.cast_signed()];
    connection.prepare_cached(&sql)?.query_row(key, |row| {
        let earlier =
            read(row).and_then(|stored| Ok((stored.prediction, row.get(column::EVENT_HASH)?)));
        Ok(earlier
            .inspect_err(|error| {
                tracing::error!(%error, station.id = %station_id, timestamp_us, sequence, "a stored prediction cannot be read");
            })
            .ok())
    })
}

/// Returns the hash that a row of [`COLUMNS`] should have, and the one that it has: none in rows
/// from before there were hashes.
pub(crate) fn hashes_of(row: &Row<'_>) -> rusqlite::Result<(RowHash, Option<RowHash>)> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let content = RowContent {
        station_id: text(0)?,
        timestamp_us: row.get(1)?,
        sequence: row.get(2)?,
        features: text(3)?,
        anomaly_score: row.get(4)?,
        p_value: row.get(5)?,
        threshold: row.get(6)?,
        is_anomaly: row.get(7)?,
        attributions: text(8)?,
        model_version: text(9)?,
        received_us: row.get(10)?,
        event_hash: row.get_ref(11)?.as_blob()?,
        evidence: row.get(column::EVIDENCE)?,
        outside: row.get_ref(column::OUTSIDE)?.as_str_or_null().map_err(rusqlite::Error::from)?,
        baseline: row.get(column::BASELINE)?,
        alarm: row.get_ref(column::ALARM)?.as_str_or_null().map_err(rusqlite::Error::from)?,
    };
    let found = row.get::<_, Option<[u8; 16]>>(column::ROW_HASH)?;
    Ok((content.hash().with_id(row.get(column::ID)?), found.map(RowHash)))
}

/// Fails if a row is not what was written.
pub(crate) fn check_intact(row: &Row<'_>) -> rusqlite::Result<()> {
    match hashes_of(row)? {
        (expected, Some(found)) if expected != found => {
            Err(conversion_error(column::ROW_HASH, Altered))
        }
        _ => Ok(()),
    }
}

/// A row whose hash does not match.
#[derive(Debug, thiserror::Error)]
#[error("the row is not what was written")]
struct Altered;

/// Reads a row of [`COLUMNS`].
pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<StoredPrediction> {
    check_intact(row)?;
    let station_id: String = row.get(0)?;
    let model_version: String = row.get(column::MODEL_VERSION)?;
    let prediction = Prediction {
        station_id: StationId::parse(&station_id).map_err(|error| conversion_error(0, error))?,
        timestamp_us: time(row)?,
        sequence: row.get(2)?,
        features: from_json(row, column::FEATURES)?,
        anomaly_score: row.get(column::ANOMALY_SCORE)?,
        p_value: row.get(5)?,
        threshold: row.get(column::THRESHOLD)?,
        is_anomaly: row.get(column::IS_ANOMALY)?,
        evidence: one_of(&Evidence::ALL, Evidence::number, row, column::EVIDENCE)?,
        outside: from_json_or_null(row, column::OUTSIDE)?.unwrap_or_default(),
        baseline: one_of(&Baseline::ALL, Baseline::number, row, column::BASELINE)?,
        alarm: alarm(row)?.map(Box::new),
        attributions: from_json(row, 8)?,
        model_version: model_version.as_str().into(),
    };
    Ok(StoredPrediction { id: row.get(column::ID)?, prediction, received_us: received(row)? })
}

/// Reads one of several by its number; `None` for a null.
fn one_of<T: Copy>(
    all: &[T],
    number_of: impl Fn(T) -> u8,
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    let Some(number) = row.get::<_, Option<u8>>(column)? else { return Ok(None) };
    let known = all.iter().copied().find(|&known| number_of(known) == number);
    known.map(Some).ok_or_else(|| conversion_error(column, UnknownNumber))
}

/// A number that no kind has.
#[derive(Debug, thiserror::Error)]
#[error("unknown number")]
struct UnknownNumber;

/// Reads a time that an event can have: in a damaged row, it may be any number.
pub(crate) fn time(row: &Row<'_>) -> rusqlite::Result<i64> {
    time_from(timestamp::EARLIEST_US, row, column::TIMESTAMP_US)
}

/// Reads a time of this machine's clock, which may not have been set.
pub(crate) fn received(row: &Row<'_>) -> rusqlite::Result<i64> {
    time_from(0, row, column::RECEIVED_US)
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

/// Reads the alarm of a row of [`COLUMNS`].
pub(crate) fn alarm(row: &Row<'_>) -> rusqlite::Result<Option<Alarm>> {
    from_json_or_null(row, column::ALARM)
}

/// Reads JSON; `None` for a null.
fn from_json_or_null<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => from_json(row, column).map(Some),
    }
}

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
