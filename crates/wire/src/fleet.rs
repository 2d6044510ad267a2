//! The stations as they change.

use serde::Serialize;
use utoipa::ToSchema;

use crate::health::TotalsBody;

/// A message to a client that watches: in a `snapshot` all stations that are not normal, in an
/// `update` those that have changed since.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LiveBody {
    /// The number of stations in each state.
    pub stations: LiveCounts,
    /// Events a second over the last ten seconds.
    pub events_per_second: f64,
    /// Anomalies over the last minute.
    pub anomalies_per_minute: u64,
    /// Counts of stored predictions.
    pub store: TotalsBody,
    /// The stations that this message is about.
    pub changed: Vec<LiveStation>,
    /// `true` if `changed` was cut off.
    pub has_more: bool,
}

/// The number of stations in each state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveCounts {
    /// Stations that send normal events.
    pub normal: usize,
    /// Stations with a recent anomaly.
    pub anomaly: usize,
    /// Stations that have stopped sending.
    pub silent: usize,
}

/// The state of a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveStation {
    /// Its name.
    pub station_id: String,
    /// `normal`, `anomaly` or `silent`.
    pub state: &'static str,
    /// When the first of its present run of anomalies was measured, RFC 3339.
    pub since: Option<String>,
    /// Anomalies among its last twenty events.
    pub recent_anomalies: u32,
}
