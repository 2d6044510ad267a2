//! Streams in, steps out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod budget;
mod reference;
mod sensor_rules;
mod states;
