//! The memory of the fleet: the state, silence, sickness and pace of every station.
//!
//! A [`Fleet`] takes in every stored prediction ([`Fleet::note`]) and decides when the change is
//! worth telling ([`Fleet::is_due`]). A [`Snapshot`] is the fleet at a moment: an immutable value
//! that any number of readers can share without a lock.
//!
//! ```
//! use sensor::{Arrival, Glance, StationId};
//! use stations::{Fleet, StationState};
//!
//! let mut fleet = Fleet::default();
//! let glance =
//!     Glance { timestamp_us: 0, received_us: 0, anomaly_score: 0.7, is_anomaly: true, alarm: None };
//! fleet.note(&Arrival { station_id: StationId::parse("press_1")?, glance });
//! let snapshot = fleet.snapshot(1_000_000);
//! assert_eq!(snapshot.stations[0].state, StationState::Anomaly);
//! # Ok::<(), sensor::InvalidStationId>(())
//! ```
//!
//! A [`StationAlarm`] takes the events of one station in their order, learns from the first, and says of each
//! later one whether an alarm is open.
//!
//! It reads no clock and no database, and starts no thread.

mod alarm;
mod fleet;
mod pace;
mod station;
mod strip;

pub use alarm::{
    AlarmAction, AlarmParams, AlarmTally, InvalidStationBudget, Moment, NotPossible, StationAlarm,
    StationBudget, TrainedLesson,
};
pub use fleet::{Counts, Fleet, Snapshot};
pub use pace::Rates;
pub use station::{Concern, RECENT_LEN, StationNow, StationState};
pub use strip::{STRIP_US, Strip, StripCell, StripCells};
