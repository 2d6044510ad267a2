//! Events in, alarms out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod alarm;
