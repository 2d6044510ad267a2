//! A prediction prepared for writing.

use std::sync::Arc;

use sensor::{Alarm, Arrival, Glance, Prediction};
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
    /// Its values outside of what training has seen, as JSON, if there are any.
    pub outside: Option<String>,
    /// Its alarm, as JSON, if its station has one.
    pub alarm: Option<String>,
    /// A hash of everything but the id, which is known last.
    pub content_hash: RowHash,
}

impl Entry {
    /// Prepares a prediction.
    pub fn new(new: Arc<NewPrediction>) -> Self {
        let prediction = &new.prediction;
        let features = json(&prediction.features);
        let attributions = json(&prediction.attributions);
        let outside = (!prediction.outside.is_empty()).then(|| json(&prediction.outside));
        let alarm = prediction.alarm.as_ref().map(json);
        let content_hash = RowContent {
            station_id: prediction.station_id.as_str(),
            timestamp_us: prediction.timestamp_us,
            sequence: prediction.sequence.cast_signed(),
            features: &features,
            anomaly_score: prediction.anomaly_score,
            p_value: prediction.p_value,
            threshold: prediction.threshold,
            is_anomaly: prediction.is_anomaly.into(),
            attributions: &attributions,
            model_version: prediction.model_version.as_str(),
            received_us: new.received_us,
            event_hash: &new.event_hash,
            evidence: prediction.evidence.map(|evidence| evidence.number().into()),
            outside: outside.as_deref(),
            baseline: prediction.baseline.map(|baseline| baseline.number().into()),
            alarm: alarm.as_deref(),
        }
        .hash();
        Self { new, features, attributions, outside, alarm, content_hash }
    }

    /// Returns the approximate number of bytes that it takes in memory.
    pub fn size(&self) -> usize {
        let texts = [&self.features, &self.attributions].into_iter();
        let texts = texts.chain(&self.outside).chain(&self.alarm);
        let record_len = self.new.alarm_record.as_ref().map_or(0, Vec::len);
        size_of::<Self>() + record_len + texts.map(String::len).sum::<usize>()
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

    /// Reduces an earlier prediction of this event to the features that it has now: that of a model with many more
    /// would not fit the memory that is set aside for its answer.
    pub fn reduced(&self, earlier: Prediction) -> Prediction {
        let now = &self.new.prediction.features;
        if earlier.features.len() <= now.len() {
            return earlier;
        }
        let Prediction { features, mut attributions, mut outside, .. } = earlier;
        attributions.retain(|pushed| now.get(&pushed.feature).is_some());
        outside.retain(|excess| now.get(&excess.feature).is_some());
        let features = features.iter().filter(|(name, _)| now.get(name).is_some()).collect();
        Prediction { features, attributions, outside, ..earlier }
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
                alarm: prediction.alarm.as_deref().map(Alarm::glance),
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

/// The values of a row but its id.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(missing_docs, reason = "the columns have the names of what they hold")]
pub struct RowContent<'a> {
    pub station_id: &'a str,
    pub timestamp_us: i64,
    pub sequence: i64,
    pub features: &'a str,
    pub anomaly_score: f64,
    pub p_value: f64,
    pub threshold: f64,
    pub is_anomaly: i64,
    pub attributions: &'a str,
    pub model_version: &'a str,
    pub received_us: i64,
    pub event_hash: &'a [u8],
    /// `None` in rows from before evidence was stored; where both are, neither is hashed.
    pub evidence: Option<i64>,
    pub outside: Option<&'a str>,
    /// Not hashed where it is `None`.
    pub baseline: Option<i64>,
    /// Not hashed where it is `None`; longer than a number.
    pub alarm: Option<&'a str>,
}

impl RowContent<'_> {
    /// Hashes the values in the order of the fields: lengths and bytes, numbers by their bits.
    pub fn hash(&self) -> RowHash {
        let mut hasher = Sha256::new();
        let mut add = |bytes: &[u8]| add_to(&mut hasher, bytes);
        add(self.station_id.as_bytes());
        add(&self.timestamp_us.to_le_bytes());
        add(&self.sequence.to_le_bytes());
        add(self.features.as_bytes());
        add(&self.anomaly_score.to_le_bytes());
        add(&self.p_value.to_le_bytes());
        add(&self.threshold.to_le_bytes());
        add(&self.is_anomaly.to_le_bytes());
        add(self.attributions.as_bytes());
        add(self.model_version.as_bytes());
        add(&self.received_us.to_le_bytes());
        add(self.event_hash);
        if self.evidence.is_some() || self.outside.is_some() {
            add(&self.evidence.unwrap_or(-1).to_le_bytes());
            add(self.outside.unwrap_or_default().as_bytes());
        }
        if let Some(baseline) = self.baseline {
            add(&baseline.to_le_bytes());
        }
        if let Some(alarm) = self.alarm {
            add(alarm.as_bytes());
        }
        RowHash::of(hasher)
    }
}

impl RowHash {
    /// Returns the hash of the record of a station.
    pub fn of_alarm_record(station_id: &str, record: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        add_to(&mut hasher, station_id.as_bytes());
        add_to(&mut hasher, record);
        Self::of(hasher)
    }

    fn of(hasher: Sha256) -> Self {
        Self(*hasher.finalize().first_chunk().expect("a SHA-256 digest has 32 bytes"))
    }

    /// Returns the hash of a row with this content and an id.
    #[must_use]
    pub fn with_id(self, id: i64) -> Self {
        let content = u128::from_le_bytes(self.0);
        Self((content ^ u128::from(id.cast_unsigned())).to_le_bytes())
    }
}

/// Adds the length of some bytes, and the bytes.
fn add_to(hasher: &mut Sha256, bytes: &[u8]) {
    hasher.update((bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}
