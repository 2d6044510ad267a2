//! Between a prediction and its row.

use rusqlite::types::Type;
use rusqlite::{Row, params};
use sensor::{
    Arrival, FeatureValues, Fingerprint, Glance, ModelVersion, Prediction, StationId, timestamp,
};
use sha2::{Digest as _, Sha256};

use crate::{NewPrediction, StoredPrediction};

/// The columns of a prediction in the order in which [`read`] takes them.
pub(crate) const COLUMNS: &str = "id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                  is_anomaly, attributions, model_version";

/// The columns that [`RowHash::of_row`] takes, in its order.
pub(crate) const HASHED_COLUMNS: &str = "station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold, \
                                         is_anomaly, attributions, model_version, received_us, event_hash, id, row_hash";

const INSERT: &str = "
    INSERT INTO predictions (id, station_id, timestamp_us, sequence, features, anomaly_score, p_value, threshold,
                             is_anomaly, attributions, model_version, received_us, event_hash, row_hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT DO NOTHING";

/// A prediction as it is written, but for its id. It is made where there is time, and not in the
/// one thread that writes.
#[derive(Debug)]
pub(crate) struct PredictionRow {
    station_id: StationId,
    timestamp_us: i64,
    sequence: i64,
    features: String,
    anomaly_score: f64,
    p_value: f64,
    threshold: f64,
    pub(crate) is_anomaly: bool,
    attributions: String,
    model_version: ModelVersion,
    received_us: i64,
    pub(crate) event_hash: Fingerprint,
    content_hash: RowHash,
}

impl PredictionRow {
    pub(crate) fn new(new: &NewPrediction) -> Self {
        let NewPrediction { prediction, event_hash, received_us } = new;
        let row = Self {
            station_id: prediction.station_id.clone(),
            timestamp_us: prediction.timestamp_us,
            sequence: prediction.sequence.cast_signed(),
            features: json(&prediction.features),
            anomaly_score: prediction.anomaly_score,
            p_value: prediction.p_value,
            threshold: prediction.threshold,
            is_anomaly: prediction.is_anomaly,
            attributions: json(&prediction.attributions),
            model_version: prediction.model_version.clone(),
            received_us: *received_us,
            event_hash: *event_hash,
            content_hash: RowHash::default(),
        };
        let content_hash = RowHash::new([
            Part::Text(row.station_id.as_str()),
            Part::Integer(row.timestamp_us),
            Part::Integer(row.sequence),
            Part::Text(&row.features),
            Part::Real(row.anomaly_score),
            Part::Real(row.p_value),
            Part::Real(row.threshold),
            Part::Integer(row.is_anomaly.into()),
            Part::Text(&row.attributions),
            Part::Text(row.model_version.as_str()),
            Part::Integer(row.received_us),
            Part::Bytes(&row.event_hash),
        ]);
        Self { content_hash, ..row }
    }

    /// What whoever watches wants to know of it.
    pub(crate) fn arrival(&self) -> Arrival {
        Arrival {
            station_id: self.station_id.clone(),
            glance: Glance {
                timestamp_us: self.timestamp_us,
                received_us: self.received_us,
                anomaly_score: self.anomaly_score,
                is_anomaly: self.is_anomaly,
            },
        }
    }

    /// Bytes of memory that it takes, by and large.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + self.features.len() + self.attributions.len()
    }

    /// What was measured.
    pub(crate) fn feature_values(&self) -> FeatureValues {
        serde_json::from_str(&self.features).expect("it was written as JSON above")
    }

    /// Inserts it, unless its key is taken; says whether it did.
    pub(crate) fn insert(
        &self,
        connection: &rusqlite::Connection,
        id: i64,
    ) -> rusqlite::Result<bool> {
        let n_inserted = connection.prepare_cached(INSERT)?.execute(params![
            id,
            self.station_id.as_str(),
            self.timestamp_us,
            self.sequence,
            self.features,
            self.anomaly_score,
            self.p_value,
            self.threshold,
            self.is_anomaly,
            self.attributions,
            self.model_version.as_str(),
            self.received_us,
            self.event_hash,
            self.content_hash.with_id(id).0,
        ])?;
        Ok(n_inserted == 1)
    }

    /// The prediction that has its key, and the digest of its event; `None` when it cannot be read.
    pub(crate) fn with_same_key(
        &self,
        connection: &rusqlite::Connection,
    ) -> rusqlite::Result<Option<(Prediction, Fingerprint)>> {
        let sql = format!(
            "SELECT {COLUMNS}, event_hash FROM predictions WHERE station_id = ?1 AND timestamp_us = ?2 AND sequence = ?3"
        );
        let key = params![self.station_id.as_str(), self.timestamp_us, self.sequence];
        connection.prepare_cached(&sql)?.query_row(key, |row| {
            let earlier = read(row).and_then(|stored| Ok((stored.prediction, row.get("event_hash")?)));
            Ok(earlier
                .inspect_err(|error| tracing::error!(%error, key = ?self.key(), "a stored prediction cannot be read"))
                .ok())
        })
    }

    fn key(&self) -> (&str, i64, i64) {
        (self.station_id.as_str(), self.timestamp_us, self.sequence)
    }
}

/// A digest of all that a row says, by which a changed bit is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RowHash(pub(crate) [u8; 16]);

/// A value of a row as it is hashed.
enum Part<'a> {
    Text(&'a str),
    Bytes(&'a [u8]),
    Integer(i64),
    Real(f64),
}

impl RowHash {
    fn new(parts: [Part<'_>; 12]) -> Self {
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for part in parts {
            match part {
                Part::Text(text) => add(text.as_bytes()),
                Part::Bytes(bytes) => add(bytes),
                Part::Integer(number) => add(&number.to_le_bytes()),
                Part::Real(number) => add(&number.to_le_bytes()),
            }
        }
        Self(*hasher.finalize().first_chunk().expect("a SHA-256 digest has 32 bytes"))
    }

    /// The hash of a row that has this content and an id, which is known last.
    fn with_id(self, id: i64) -> Self {
        let content = u128::from_le_bytes(self.0);
        Self((content ^ u128::from(id.cast_unsigned())).to_le_bytes())
    }

    /// The hash that a row of [`HASHED_COLUMNS`] should have, and the one that it has: none in rows
    /// from before there were hashes.
    pub(crate) fn of_row(row: &Row<'_>) -> rusqlite::Result<(Self, Option<Self>)> {
        let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
        let content = Self::new([
            Part::Text(text(0)?),
            Part::Integer(row.get(1)?),
            Part::Integer(row.get(2)?),
            Part::Text(text(3)?),
            Part::Real(row.get(4)?),
            Part::Real(row.get(5)?),
            Part::Real(row.get(6)?),
            Part::Integer(row.get(7)?),
            Part::Text(text(8)?),
            Part::Text(text(9)?),
            Part::Integer(row.get(10)?),
            Part::Bytes(row.get_ref(11)?.as_blob()?),
        ]);
        Ok((content.with_id(row.get(12)?), row.get::<_, Option<[u8; 16]>>(13)?.map(Self)))
    }
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
    Ok(StoredPrediction { id: row.get(0)?, prediction })
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

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
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
