//! Selections of predictions.

use sensor::StationId;

use crate::limits::LIST_BYTES_MAX;
use crate::prediction::StoredPrediction;

/// Selects anomalies, the last to arrive first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnomalyQuery {
    /// The largest number.
    pub limit: u32,
    /// Only this station.
    pub station_id: Option<StationId>,
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Only those that arrived before the one with this id.
    pub before_id: Option<i64>,
}

/// Selects predictions station by station in the order of their names, the last to be measured
/// first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// The largest number.
    pub limit: u32,
    /// Only this station.
    pub station_id: Option<StationId>,
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Measured before this time.
    pub until_us: Option<i64>,
    /// Only anomalies, or only others.
    pub is_anomaly: Option<bool>,
    /// Only those after this one.
    pub after: Option<EventKey>,
}

impl EventQuery {
    /// Selects up to `limit` predictions of all stations.
    pub fn all(limit: u32) -> Self {
        Self {
            limit,
            station_id: None,
            since_us: None,
            until_us: None,
            is_anomaly: None,
            after: None,
        }
    }

    /// Selects up to `limit` predictions of a station.
    pub fn of_station(station_id: &StationId, limit: u32) -> Self {
        Self { station_id: Some(station_id.clone()), ..Self::all(limit) }
    }
}

/// The key of a prediction: no two share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventKey {
    /// The station that sent the event.
    pub station_id: StationId,
    /// When it was measured, in microseconds since 1970.
    pub timestamp_us: i64,
    /// Its sequence number.
    pub sequence: u64,
}

/// Selects stations in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationQuery {
    /// The largest number.
    pub limit: u32,
    /// Only those after this one.
    pub after: Option<StationId>,
}

/// A station that has sent events.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// Its name.
    pub station_id: StationId,
    /// The event that was measured last.
    pub latest: StoredPrediction,
    /// The anomaly that arrived last, if there is any.
    pub latest_anomaly: Option<StoredPrediction>,
}

/// A part of a list: as many entries as were asked for, or as fit into [`LIST_BYTES_MAX`].
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    /// The entries.
    pub entries: Vec<T>,
    /// `true` if the list continues after the last of them.
    pub has_more: bool,
}

/// A [`Listed`] while a backend fills it.
#[derive(Debug)]
pub struct Listing<T> {
    listed: Listed<T>,
    limit: usize,
    n_bytes: usize,
}

impl<T> Listing<T> {
    /// Begins a list of up to `limit` entries.
    pub fn new(limit: u32) -> Self {
        let listed = Listed { entries: Vec::new(), has_more: false };
        Self { listed, limit: limit as usize, n_bytes: 0 }
    }

    /// Returns `true` if no more entries are needed.
    pub fn is_full(&self) -> bool {
        self.listed.has_more
    }

    /// Adds an entry of about `n_bytes`, or notes that there are more than fit. Returns `true` if it was added.
    pub fn add(&mut self, entry: T, n_bytes: usize) -> bool {
        let entries = &mut self.listed.entries;
        let is_too_large = !entries.is_empty() && self.n_bytes + n_bytes > LIST_BYTES_MAX;
        self.listed.has_more |= entries.len() == self.limit || is_too_large;
        if !self.listed.has_more {
            entries.push(entry);
            self.n_bytes += n_bytes;
        }
        !self.listed.has_more
    }

    /// Returns the list.
    pub fn end(self) -> Listed<T> {
        self.listed
    }
}

/// The predictions around one of a station, by the time of measuring.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    /// Those before, the nearest last.
    pub before: Vec<StoredPrediction>,
    /// Those after, the nearest first.
    pub after: Vec<StoredPrediction>,
}
