//! The vocabulary of the system, and the one door for events.
//!
//! A [`FeatureSchema`] says what a station measures. It makes a [`SensorEvent`] of a JSON object
//! ([`FeatureSchema::parse`]) or of numbers ([`FeatureSchema::event`]), or tells every fault at once
//! ([`InvalidEvent`]). There is no other way to a `SensorEvent`, so code that holds one need not ask
//! again. What the system answers about an event is a [`Prediction`].
//!
//! ```
//! use sensor::FeatureSchema;
//!
//! let schema = FeatureSchema::default();
//! let now_us = 1_767_323_045_000_000;
//! let json = br#"{"station_id": "station_001", "sequence": 1, "timestamp": "2026-01-02T03:04:05Z",
//!                 "temperature_c": 70.2, "humidity_pct": 101, "sound_db": "loud"}"#;
//! let codes: Vec<_> = schema.parse(json, now_us).unwrap_err().faults().iter().map(|fault| fault.kind.code()).collect();
//! assert_eq!(codes, ["out_of_range", "not_a_number"]);
//! ```
//!
//! It keeps nothing, scores nothing, and reads no clock.

mod alarm;
mod event;
mod fault;
mod feature_values;
mod model_version;
mod parse;
mod prediction;
mod schema;
mod station_id;
pub mod timestamp;

pub use alarm::{
    Alarm, AlarmGlance, AlarmState, AlarmView, Episode, Lesson, SensorFault, SensorFaultKind,
    Surprise,
};
pub use event::{Fingerprint, SensorEvent};
pub use fault::{Fault, FaultKind, InvalidEvent};
pub use feature_values::FeatureValues;
pub use model_version::ModelVersion;
pub use prediction::{
    Arrival, Attribution, Baseline, Direction, Evidence, Excess, Glance, Prediction,
};
pub use schema::{Feature, FeatureSchema, InvalidSchema};
pub use station_id::{InvalidStationId, StationId};
pub use timestamp::Clock;
