//! Events as stations send them.

use sensor::{FeatureValues, StationId, timestamp};
use serde::Serialize;
use utoipa::ToSchema;

/// The name of a station.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the JSON of a station's name")]
#[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
pub struct StationName(String);

/// An event as stations send it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = SensorEventBody, example = json!({
    "station_id": "station_001", "sequence": 1, "timestamp": "2026-01-02T03:04:05Z",
    "temperature_c": 70.2, "humidity_pct": 44.7, "sound_db": 66.1,
}))]
pub struct EventBody<'a> {
    /// The name of the station.
    #[schema(value_type = String, min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
    pub station_id: &'a str,
    /// Rises with each event of the station, also across restarts. 0 when it is left out, which is enough
    /// for stations that never send two events with the same time.
    #[schema(required = false, default = 0, maximum = 9_223_372_036_854_775_807_u64)]
    pub sequence: u64,
    /// When the event was measured, RFC 3339.
    #[schema(format = DateTime)]
    pub timestamp: String,
    /// A number for every feature of the model, or `null` for an optional feature without a value.
    /// Other keys are counted and ignored.
    #[serde(flatten)]
    #[schema(value_type = std::collections::BTreeMap<String, Option<f64>>)]
    pub features: &'a FeatureValues,
}

impl<'a> EventBody<'a> {
    /// Describes an event measured at `timestamp_us`, in microseconds since 1970 (UTC).
    pub fn new(
        station_id: &'a StationId,
        sequence: u64,
        timestamp_us: i64,
        features: &'a FeatureValues,
    ) -> Self {
        let timestamp = timestamp::format(timestamp_us);
        Self { station_id: station_id.as_str(), sequence, timestamp, features }
    }
}
