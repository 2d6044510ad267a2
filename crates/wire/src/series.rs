//! The past of a station in as few numbers as a chart needs.

use serde::Serialize;
use utoipa::ToSchema;

/// The past of a station.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SeriesBody<'a> {
    /// The name of the station.
    pub station_id: &'a str,
    /// The beginning, RFC 3339.
    pub since: String,
    /// The end, exclusive.
    pub until: String,
    /// The features of `values`, in its order.
    pub features: Vec<&'a str>,
    /// The versions of the models that gave the scores, in order of first use.
    pub models: Vec<String>,
    /// The parts of the time in which anything was measured, in order.
    pub buckets: Vec<BucketBody>,
}

impl SeriesBody<'_> {
    /// The largest number of features in one answer.
    pub const FEATURES_MAX: usize = 8;
}

/// The measurements of a part of the time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct BucketBody {
    /// When its first event was measured, in milliseconds since 1970.
    pub first_ms: f64,
    /// When its last event was measured.
    pub last_ms: f64,
    /// Events.
    pub events: u32,
    /// Anomalies among them.
    pub anomalies: u32,
    /// False when there are more events than were read.
    pub is_whole: bool,
    /// The lowest and the highest score.
    pub score: [f64; 2],
    /// The threshold of its last event.
    pub threshold: f64,
    /// The model of its last event: an index into `models`.
    pub model: usize,
    /// The lowest and the highest value of each feature; null where all are missing.
    pub values: Vec<Option<[f64; 2]>>,
}
