//! The one way in for events: check, judge, keep, tell.
//!
//! Every [`Door`] hands the JSON of its events to a [`Pipeline`] ([`Pipeline::submit`]), which checks
//! it against the schema of the model, judges it, has it stored, and returns a [`Receipt`] after the
//! commit, or a [`Refusal`] that names the reason. What was stored reaches the fleet
//! ([`LiveFleet`]): a thread of its own owns the stations, and readers share immutable snapshots. No
//! reader can therefore delay the writer.
//!
//! In between, the events of each station take turns in a lane, where its alarm takes them in their order.
//!
//! The pipeline also replaces the model while it runs ([`Models`]), recalls the past of the stations
//! at the start, and deletes what retention does not keep.
//!
//! It knows no protocol, no page, and no database engine.

mod alarms;
mod compute;
mod door;
mod latency;
mod limits;
mod live_fleet;
mod metrics;
mod model;
mod pipeline;
mod recall;
mod refusal;
mod refused;
mod retention;
mod steady_time;
mod submit;

pub use alarms::ActionError;
pub use compute::{ClientShare, Processors, Turns};
pub use door::{Door, Shutdown, StopSignal};
pub use latency::LatencyNow;
pub use limits::{PLACES_MAX, WORK_OF_PIECE};
pub use live_fleet::LiveFleet;
pub use model::{
    FeatureDifference, Model, ModelFiles, Models, Origin, OtherFeatures, ReloadError, UnusableModel,
};
pub use pipeline::{Parts, Pipeline};
pub use refusal::Refusal;
pub use refused::{RefusedEvent, RefusedEvents};
pub use retention::{Retention, Retentions};
pub use stations::{AlarmAction, AlarmParams, AlarmTally, StationBudget};
pub use submit::{BatchReceipt, Explain, Receipt};
