//! The past of a station in as few numbers as a chart needs, and samples.

use std::sync::Arc;

use sensor::{ModelVersion, StationId};

/// Selects a part of a station's past, in buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// The station.
    pub station_id: StationId,
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: i64,
    /// Measured before this time.
    pub until_us: i64,
    /// The number of buckets: equal parts of the time.
    pub n_buckets: u32,
    /// The features to read, by name.
    pub features: Vec<Arc<str>>,
}

/// The predictions of one part of the time. Empty buckets are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When the first was measured, in microseconds since 1970.
    pub first_us: i64,
    /// When the last was measured.
    pub last_us: i64,
    /// The number of predictions read.
    pub n_events: u32,
    /// Anomalies among them.
    pub n_anomalies: u32,
    /// `true` if all were read: of very many, a bucket reads the first and the anomalies.
    pub is_whole: bool,
    /// Their scores.
    pub score: Extent,
    /// The threshold of its last prediction.
    pub threshold: f64,
    /// The model that gave its last prediction.
    pub model_version: ModelVersion,
    /// Values of the features that were asked for; `None` where all are missing.
    pub values: Vec<Option<Extent>>,
}

/// The lowest and the highest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// Selects a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleQuery {
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: i64,
    /// Measured before this time.
    pub until_us: i64,
    /// The largest number, spread evenly over stations and time.
    pub len_max: u32,
    /// The features to read, by name.
    pub features: Vec<Arc<str>>,
}

/// One prediction of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Values of the features that were asked for; `None` for a missing one.
    pub values: Vec<Option<f64>>,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// Which model gave the score.
    pub model_version: ModelVersion,
}
