//! How the time is told: it enters with the arguments, so that tests can choose it.

/// Tells the time, in microseconds since 1970 (UTC).
pub type Clock = fn() -> i64;
