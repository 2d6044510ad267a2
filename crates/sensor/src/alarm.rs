//! The answer about an event in time order, beside the one about the event alone.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::prediction::Direction;

/// The state of a station after an event, by all events before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// The state.
    pub state: AlarmState,
    /// The progress of a station that learns.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<Lesson>,
    /// The surprise of the event, while the station is watched.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub surprise: Option<Surprise>,
    /// The alarm that is open or was accepted.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub episode: Option<Episode>,
    /// The sensor that began to fail last, while the station is watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor_fault: Option<SensorFault>,
}

impl Alarm {
    /// Returns what a fleet is watched by.
    pub fn glance(&self) -> AlarmGlance {
        let opened_us = self.episode.map(|episode| episode.opened_us);
        let sensor_fault = self.sensor_fault.as_ref().map(|fault| fault.kind);
        AlarmGlance { state: self.state, opened_us, sensor_fault }
    }

    /// Returns `true` if it was opened by an event that was measured at this time.
    pub fn opens_at(&self, timestamp_us: i64) -> bool {
        self.state == AlarmState::Open
            && self.episode.is_some_and(|episode| episode.opened_us == timestamp_us)
    }
}

/// An alarm reduced to what a fleet is watched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmGlance {
    /// The state.
    pub state: AlarmState,
    /// When the event was measured that opened the alarm, in microseconds since 1970 (UTC).
    pub opened_us: Option<i64>,
    /// The fault of the sensor that began to fail last.
    pub sensor_fault: Option<SensorFaultKind>,
}

/// The state of a station in time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    /// Its first events only teach what is usual for it.
    Learning,
    /// It is watched, and no alarm is open.
    Watching,
    /// An alarm is open.
    Open,
    /// An alarm has ended, and its values have not returned.
    Accepted,
    /// It is watched, and so many alarms opened that none can open for a while.
    BudgetSpent,
    /// The event was measured before one that had arrived already, so that it is judged alone.
    Late,
}

impl AlarmState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Learning, Self::Watching, Self::Open, Self::Accepted, Self::BudgetSpent, Self::Late];
}

/// The progress of a station that learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Events that it has learnt from.
    pub events_learnt: u32,
    /// Events that it needs.
    pub events_to_learn: u32,
}

/// The surprise of an event for its station.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Surprise {
    /// The rarity of the like of it when the station learnt, in nats, from -1 to 32.
    pub surprise: f64,
    /// The surprise above which an event counts towards an alarm, in nats.
    pub threshold: f64,
    /// The view that says most.
    pub view: AlarmView,
    /// The feature that this view finds strangest.
    pub feature: Arc<str>,
    /// Where its value lies from the level that it followed.
    pub direction: Direction,
}

/// A view of an event in time order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmView {
    /// Values and their changes together.
    Joint,
    /// The part that the events before did not forecast.
    Relation,
    /// The shape of the last values.
    Shape,
}

/// An alarm from its opening on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Its number at the station, from 1.
    pub episode_id: u32,
    /// When the event was measured that opened it, in microseconds since 1970 (UTC).
    pub opened_us: i64,
}

/// A sensor that fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SensorFault {
    /// The feature that it measures.
    pub feature: Arc<str>,
    /// The way in which it fails.
    pub kind: SensorFaultKind,
    /// When the first event that shows it was measured, in microseconds since 1970 (UTC).
    pub since_us: i64,
    /// The number of features whose sensors fail, with this one.
    pub n_features: u32,
}

/// The way in which a sensor fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorFaultKind {
    /// Its value stays for much longer than usual.
    Stuck,
    /// Its value is missing for much longer than usual.
    Silent,
    /// It was constant, and has other values.
    Moves,
    /// Its value stays outside of the usual range, at what seems to be the end of what it can measure.
    AtLimit,
    /// Its value stays far below the usual range.
    Dropout,
}
