//! Predictions on their way into the store, and what became of them.

use std::time::Duration;

use sensor::{Arrival, Fingerprint, Prediction};

/// A prediction to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPrediction {
    /// The prediction.
    pub prediction: Prediction,
    /// The digest of the event, by which a repetition is recognised.
    pub event_hash: Fingerprint,
    /// When the event was received, in microseconds since 1970 (UTC).
    pub received_us: i64,
    /// A record that the watch over its station continues from after a restart, where one is stored with this event.
    pub alarm_record: Option<Vec<u8>>,
}

/// The outcome for a prediction.
#[derive(Debug, Clone, PartialEq)]
pub enum Kept {
    /// It is on the disk.
    Stored,
    /// The same event was stored before, with this prediction.
    Duplicate(Prediction),
    /// Another event with the same station, time and sequence number was stored before.
    Conflict,
    /// The prediction stored under the same station, time and sequence number is damaged.
    Unreadable,
}

/// A stored prediction.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredPrediction {
    /// Its number in the order of arrival, from 1.
    pub id: i64,
    /// The prediction.
    pub prediction: Prediction,
    /// When its event was received, in microseconds since 1970.
    pub received_us: i64,
}

impl StoredPrediction {
    /// Returns the approximate number of bytes that it takes in memory, and as JSON.
    pub fn size(&self) -> usize {
        let Prediction { features, attributions, outside, .. } = &self.prediction;
        let features = features.iter().map(|(name, _)| name.len() + 32);
        let attributions = attributions.iter().map(|pushed| pushed.feature.len() + 112);
        let outside = outside.iter().map(|excess| excess.feature.len() + 64);
        768 + features.chain(attributions).chain(outside).sum::<usize>()
    }
}

/// Counts of stored predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// All predictions.
    pub events: u64,
    /// Anomalies among them.
    pub anomalies: u64,
}

/// A report about a transaction, for an observer of the writer.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitReport {
    /// The number of predictions it was about.
    pub n_predictions: usize,
    /// The duration.
    pub duration: Duration,
    /// `true` if it was committed.
    pub is_stored: bool,
    /// Predictions that it stored, in the order of their arrival.
    pub arrivals: Vec<Arrival>,
}

/// Hears of every transaction, in the thread of the writer and before anyone gets an answer.
pub type Observer = Box<dyn Fn(CommitReport) + Send>;
