//! Predictions: the answers about events, as they are stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::alarm::{Alarm, AlarmGlance, AlarmState};
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
    /// The score above which the forest alone calls an event anomalous.
    pub threshold: f64,
    /// `true` if the event is called anomalous.
    pub is_anomaly: bool,
    /// Share of normal events that are as strange, in (0, 1].
    pub p_value: f64,
    /// The evidence that speaks most for an anomaly; `None` in predictions of earlier versions.
    pub evidence: Option<Evidence>,
    /// The values outside of what training has seen, in the order of the features: of the station or its group,
    /// where it has a baseline.
    pub outside: Vec<Excess>,
    /// Whose baseline the values were compared with; `None` of a model that has one for all stations.
    pub baseline: Option<Baseline>,
    /// The alarm of the station in time order; `None` in predictions of earlier versions, and of stations that are not watched.
    pub alarm: Option<Box<Alarm>>,
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

    /// Returns `true` if the alarm of its station has taken the event, which it does not with a late one.
    pub fn advances(&self) -> bool {
        self.alarm.as_ref().is_some_and(|alarm| alarm.state != AlarmState::Late)
    }
}

/// The kind of evidence that speaks for an anomaly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// The isolation forest: few cuts set the event apart.
    #[default]
    Forest = 0,
    /// A value at the end of what training has seen, or beyond.
    Outside = 1,
    /// A value that does not fit the others.
    Relation = 2,
}

impl Evidence {
    /// All kinds, by their [number](Evidence::number).
    pub const ALL: [Self; 3] = [Self::Forest, Self::Outside, Self::Relation];

    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Forest => "forest",
            Self::Outside => "outside",
            Self::Relation => "relation",
        }
    }

    /// Returns the number by which it is stored.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// The events that the values of a station are compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Baseline {
    /// Those of this station.
    Station = 0,
    /// Those of its group of stations.
    Group = 1,
    /// Those of all stations together: the model has no baseline for this one.
    Fleet = 2,
}

impl Baseline {
    /// All baselines, by their [number](Baseline::number).
    pub const ALL: [Self; 3] = [Self::Station, Self::Group, Self::Fleet];

    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Group => "group",
            Self::Fleet => "fleet",
        }
    }

    /// Returns the number by which it is stored.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// A direction of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Towards higher values.
    High,
    /// Towards lower values.
    Low,
}

impl Direction {
    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
        }
    }
}

/// A value outside of what training has seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Excess {
    /// Name of the feature.
    pub feature: Arc<str>,
    /// The end of the range that the value lies beyond.
    pub side: Direction,
    /// The distance from it, in widths of the range in training; `None` when the feature was constant there.
    pub by_ranges: Option<f64>,
}

/// The contribution of one feature to a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Name of the feature.
    pub feature: Arc<str>,
    /// Its value; `None` for a missing one.
    pub value: Option<f64>,
    /// Its push, positive towards anomalous, in the unit of the [`Evidence`]. Forest: a part of the score,
    /// which is 2^(sum of contributions - 1). Outside: -ln of the share of training values that lie as
    /// far out. Relation: the distance from what the other values say, in conditional deviations.
    pub contribution: f64,
    /// The direction in which the value is unusual; `None` for a missing one, and in predictions of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
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
    /// The alarm of the station after it; `None` where the station is not watched.
    pub alarm: Option<AlarmGlance>,
}

/// A prediction that has just been stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrival {
    /// The station that sent the event.
    pub station_id: StationId,
    /// The prediction at a glance.
    pub glance: Glance,
}
