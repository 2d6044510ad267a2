//! Detection in time order for one station: how surprising each row is, and alarms that keep a budget.
//!
//! [`Model::learn`] learns from a warm-up, the first rows of a station, and gives a model and a [`Watch`].
//! [`Watch::advance`] takes the next row and returns its surprise, the threshold, and whether an alarm is
//! open. A model never changes; a watch is all that a station carries from row to row.
//!
//! ```
//! use stream::{Model, Params, WarmedUp};
//!
//! // Two sensors that go together, row by row.
//! let row = |t: u32| [f64::from(t % 7), f64::from(t % 7) + f64::from(t % 3) / 10.0];
//! let warm_up: Vec<f64> = (0..400).flat_map(row).collect();
//! let WarmedUp { model, mut watch, .. } = Model::learn(&warm_up, 2, &Params::default())?;
//!
//! assert!(!watch.advance(&model, &row(400)).is_alarm());
//! let stuck: Vec<_> = (0..20).map(|_| watch.advance(&model, &[90.0, 0.0])).collect();
//! assert!(stuck.iter().any(|step| step.is_alarm()));
//! # Ok::<(), stream::WarmUpError>(())
//! ```
//!
//! Three [views](View) look at a row, each in nats: how rare the like of it was in the warm-up. The
//! largest, and a part of the others, is the surprise. A [threshold](Budgeted) follows what is usual
//! for the station, and every alarm that opens raises it, so that a [budget](Params::budget) of
//! openings is kept whatever the rows are.
//!
//! [`SensorRules`] tell a sensor that fails, because its value stays, is missing, or lies at the end of what it can
//! measure, from a process that changes.
//!
//! It reads no clock and no files, draws no random numbers after the warm-up, and answers the same on
//! every machine.

mod forecast;
mod learning;
mod ring;
mod scaling;
mod sensor_rules;
mod shapes;
mod statistics;
mod tail;
mod threshold;
mod watch;

pub use learning::{Model, Params, WarmUpError, WarmedUp};
pub use sensor_rules::{SensorFault, SensorFaultKind, SensorRules, SensorWatch};
pub use tail::NATS_MIN;
pub use threshold::{AlarmState, Budgeted};
pub use watch::{Step, View, Watch};
