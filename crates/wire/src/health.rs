//! The state of the server.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The state of a server that takes events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthBody {
    /// `ok`.
    pub status: Cow<'static, str>,
    /// The version of the server.
    pub version: Cow<'static, str>,
    /// The model in use.
    pub model: HealthModelBody,
    /// Counts of stored predictions.
    pub store: TotalsBody,
    /// Alarms that may open at a station in a day; absent where each event is judged alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarms_per_day: Option<f64>,
    /// Seconds since the start.
    pub uptime_s: u64,
}

/// The model in use, in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthModelBody {
    /// Its name.
    pub version: String,
    /// When its training ended, RFC 3339.
    pub trained_at: String,
    /// The names of its features.
    pub features: Vec<String>,
    /// The score above which the forest alone calls an event anomalous.
    pub threshold: f64,
    /// `file`, or `starter` when there was no trained model.
    pub origin: Cow<'static, str>,
}

/// Counts of stored predictions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HealthStoreBody)]
pub struct TotalsBody {
    /// All predictions.
    pub events: u64,
    /// Anomalies among them.
    pub anomalies: u64,
}

/// The state of a server that cannot take events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnavailableBody {
    /// `unavailable`.
    pub status: &'static str,
    /// Why.
    pub reason: String,
}

/// A state in one word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatusBody {
    /// `ok`.
    pub status: &'static str,
}
