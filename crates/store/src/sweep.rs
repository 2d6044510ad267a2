//! Deleting what is too old, a little at a time.

/// A walk through the predictions that deletes those that are too old.
///
/// A prediction is too old when it was both measured and received before the limit: a backlog that was
/// sent today stays as long as other events of today.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sweep {
    /// The limit for normal predictions, in microseconds since 1970 (UTC).
    pub before_us: Option<i64>,
    /// The limit for anomalies.
    pub anomalies_before_us: Option<i64>,
    /// The time that the caller believes it is, which the first step stores: a clock that is wrong
    /// after a restart is noticed by it.
    pub believed_us: i64,
    /// The place to continue at; `None` to begin.
    pub from: Option<Place>,
}

/// A place between two predictions, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The station of the prediction before it, as stored: it need not be a valid name.
    pub station_id: String,
    /// When that prediction was measured, in microseconds since 1970 (UTC).
    pub timestamp_us: i64,
    /// Its sequence number.
    pub sequence: i64,
}

/// The outcome of a step of a [`Sweep`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept {
    /// The number of predictions deleted.
    pub n_deleted: u64,
    /// The place to continue at; `None` at the end of the walk.
    pub next: Option<Place>,
}
