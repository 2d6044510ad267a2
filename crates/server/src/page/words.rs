//! Times, states and links as pages write them.

use std::time::Duration;

use form_urlencoded::byte_serialize;
use sensor::{StationId, timestamp};
use wording::duration;

use crate::floor::{State, StationNow};

/// A moment: for machines, and for people who have no script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) iso: String,
    pub(super) text: String,
}

impl Moment {
    pub(super) fn of(timestamp_us: i64) -> Self {
        let iso = timestamp::format(timestamp_us);
        let to_second = iso.split(['.', 'Z']).next().unwrap_or_default();
        Self { text: format!("{} UTC", to_second.replacen('T', " ", 1)), iso }
    }
}

/// How a station's present anomalies go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) since: Moment,
    pub(super) lasting: String,
}

impl Run {
    /// Of a station that is anomalous now: a single anomaly of a while ago is no row of them.
    pub(super) fn of(station: &StationNow, now_us: i64) -> Option<Self> {
        let since_us = station.since_us.filter(|_| station.state == State::Anomaly)?;
        Some(Self { since: Moment::of(since_us), lasting: lasting(since_us, now_us) })
    }
}

/// How long ago something was; a little of the future counts as now.
pub(super) fn ago(then_us: i64, now_us: i64) -> String {
    format!("{} ago", lasting(then_us, now_us))
}

/// How long something has lasted.
pub(super) fn lasting(since_us: i64, now_us: i64) -> String {
    duration(Duration::from_micros(now_us.saturating_sub(since_us).try_into().unwrap_or(0)))
}

/// The page of a station.
pub(super) fn station_link(station_id: &StationId) -> String {
    format!("/ui/stations/{}", in_url(station_id.as_str()))
}

/// The page of an anomaly.
pub(super) fn anomaly_link(id: i64) -> String {
    format!("/ui/anomalies/{id}")
}

/// A text as a part of a path or query.
pub(super) fn in_url(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

impl StationNow {
    /// How it is, in a word.
    pub(super) fn state_words(&self) -> &'static str {
        if self.is_sick { "sick" } else { self.state.name() }
    }
}

impl State {
    /// A form that is told apart without colours.
    pub(super) fn symbol(self) -> &'static str {
        match self {
            Self::Normal => "\u{25cf}",
            Self::Anomaly => "\u{25b2}",
            Self::Silent => "\u{25cb}",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_to_the_second() {
        let moment = Moment::of(1_795_348_800_123_456);
        assert_eq!(moment.text, "2026-11-22 12:00:00 UTC");
        assert_eq!(moment.iso, "2026-11-22T12:00:00.123456Z");
        assert_eq!(ago(0, 61_000_000), "1 min ago");
        assert_eq!(ago(5, 0), "0 s ago");
        assert_eq!(in_url("a b/ü?"), "a%20b%2F%C3%BC%3F");
        let station_id = StationId::parse("hall:1.press").unwrap();
        assert_eq!(station_link(&station_id), "/ui/stations/hall%3A1.press");
    }
}
