//! Predictions: the answers about events, as they are stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::feature_values::FeatureValues;
use crate::model_version::ModelVersion;
use crate::station_id::StationId;

/// The answer about one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The station that sent the event.
    pub station_id: StationId,
    /// The event's number at its station.
    pub sequence: u64,
    /// When it was measured, in microseconds since 1970 (UTC).
    pub timestamp_us: i64,
    /// The measured values.
    pub features: FeatureValues,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// The lowest score that is called anomalous.
    pub threshold: f64,
    /// `true` if the event is called anomalous.
    pub is_anomaly: bool,
    /// Share of normal events that score as high, in (0, 1].
    pub p_value: f64,
    /// Which model answered.
    pub model_version: ModelVersion,
    /// The attributions, the largest towards anomalous first; empty when they were not asked for.
    pub attributions: Vec<Attribution>,
}

impl Prediction {
    /// Returns `anomaly` or `normal`, for people.
    pub fn label(&self) -> &'static str {
        if self.is_anomaly { "anomaly" } else { "normal" }
    }
}

/// The contribution of one feature to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Name of the feature.
    pub feature: Arc<str>,
    /// Its value; `None` for a missing one.
    pub value: Option<f64>,
    /// Its push, positive towards anomalous: the score is 2^(sum of contributions - 1).
    pub contribution: f64,
}

/// A prediction reduced to what a fleet is watched by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
    /// When the event was measured, in microseconds since 1970 (UTC).
    pub timestamp_us: i64,
    /// When it was received.
    pub received_us: i64,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// `true` if the event is called anomalous.
    pub is_anomaly: bool,
}

/// A prediction that has just been stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The station that sent the event.
    pub station_id: StationId,
    /// The prediction at a glance.
    pub glance: Glance,
}
