//! A prediction prepared for writing.

use std::sync::Arc;

use sensor::{Arrival, Glance, Prediction};
use sha2::{Digest as _, Sha256};

use crate::prediction::NewPrediction;

/// A prediction prepared for writing: its texts and its hash are made where there is time, and not in
/// the one thread that writes.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The prediction.
    pub new: Arc<NewPrediction>,
    /// Its values by name, as JSON.
    pub features: String,
    /// Its attributions, as JSON.
    pub attributions: String,
    /// A hash of everything but the id, which is known last.
    pub content_hash: RowHash,
}

impl Entry {
    /// Prepares a prediction.
    pub fn new(new: Arc<NewPrediction>) -> Self {
        let prediction = &new.prediction;
        let features = json(&prediction.features);
        let attributions = json(&prediction.attributions);
        let content_hash = RowHash::new([
            RowPart::Text(prediction.station_id.as_str()),
            RowPart::Integer(prediction.timestamp_us),
            RowPart::Integer(prediction.sequence.cast_signed()),
            RowPart::Text(&features),
            RowPart::Real(prediction.anomaly_score),
            RowPart::Real(prediction.p_value),
            RowPart::Real(prediction.threshold),
            RowPart::Integer(prediction.is_anomaly.into()),
            RowPart::Text(&attributions),
            RowPart::Text(prediction.model_version.as_str()),
            RowPart::Integer(new.received_us),
            RowPart::Bytes(&new.event_hash),
        ]);
        Self { new, features, attributions, content_hash }
    }

    /// Returns the approximate number of bytes that it takes in memory.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.features.len() + self.attributions.len()
    }

    /// Returns `true` if a stored prediction is about the same event: the events have one digest, or
    /// models with different features judged them, and all values known to both models are equal.
    pub fn is_same_event(&self, earlier: &Prediction, earlier_hash: &[u8]) -> bool {
        if *earlier_hash == self.new.event_hash {
            return true;
        }
        let (now, before) = (&self.new.prediction.features, &earlier.features);
        let shared: Vec<_> =
            now.iter().filter_map(|(name, now)| Some((now, before.get(name)?))).collect();
        let knows_others = shared.len() < now.len() || shared.len() < before.len();
        knows_others && !shared.is_empty() && shared.iter().all(|(now, before)| now == before)
    }

    pub(crate) fn arrival(&self) -> Arrival {
        let NewPrediction { prediction, received_us, .. } = &*self.new;
        Arrival {
            station_id: prediction.station_id.clone(),
            glance: Glance {
                timestamp_us: prediction.timestamp_us,
                received_us: *received_us,
                anomaly_score: prediction.anomaly_score,
                is_anomaly: prediction.is_anomaly,
            },
        }
    }
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("names and numbers are JSON")
}

/// A digest of a whole row, by which a changed bit is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowHash(pub [u8; 16]);

/// A value of a row as it is hashed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RowPart<'a> {
    /// A text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A number.
    Integer(i64),
    /// A number, by its bits.
    Real(f64),
}

impl RowHash {
    /// Hashes the values of a row but its id: station, time, sequence, features, score, p-value,
    /// threshold, label, attributions, model, time of receipt, and digest of the event.
    pub fn new(parts: [RowPart<'_>; 12]) -> Self {
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        };
        for part in parts {
            match part {
                RowPart::Text(text) => add(text.as_bytes()),
                RowPart::Bytes(bytes) => add(bytes),
                RowPart::Integer(number) => add(&number.to_le_bytes()),
                RowPart::Real(number) => add(&number.to_le_bytes()),
            }
        }
        Self(*hasher.finalize().first_chunk().expect("a SHA-256 digest has 32 bytes"))
    }

    /// Returns the hash of a row with this content and an id.
    #[must_use]
    pub fn with_id(self, id: i64) -> Self {
        let content = u128::from_le_bytes(self.0);
        Self((content ^ u128::from(id.cast_unsigned())).to_le_bytes())
    }
}
