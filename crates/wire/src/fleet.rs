//! The stations as they change.

use sensor::AlarmState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::health::TotalsBody;
use crate::prediction::AlarmStateBody;

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
    /// Stations of `anomaly` with an open alarm, or with more recent anomalies than chance explains.
    pub sick: usize,
    /// Other stations of `anomaly` with a sensor that fails.
    pub sensor_fault: usize,
    /// Other stations of `anomaly` whose alarm was accepted, and whose values have not returned.
    pub changed: usize,
}

/// The state of a station.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveStation {
    /// Its name.
    pub station_id: String,
    /// `normal`, `anomaly` or `silent`.
    pub state: &'static str,
    /// The most urgent reason for the state `anomaly`: `sick`, `sensor_fault`, `changed`, or a single `anomaly`; null for
    /// other states.
    pub concern: Option<&'static str>,
    /// The state of its alarm in time order; null where it is not watched.
    #[schema(value_type = Option<AlarmStateBody>)]
    pub alarm: Option<AlarmState>,
    /// When the event was measured that opened its alarm, if one is open or was accepted, RFC 3339.
    pub opened_at: Option<String>,
    /// When the first of its present run of anomalies was measured, RFC 3339.
    pub since: Option<String>,
    /// Anomalies among its last twenty events.
    pub recent_anomalies: u32,
}
