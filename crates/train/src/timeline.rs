//! When the events of a recording were measured.

use std::collections::BTreeMap;

use sensor::{SensorEvent, StationId};
use wording::{counted, grouped, percent};

/// Of more events, times that are repeated are hardly those of the events.
const REPEATS_MAX: f64 = 0.1;
/// With more pauses that are far from the usual one, there is no usual one.
const IRREGULAR_MAX: f64 = 0.1;
/// Pauses that are shorter or longer by more than this factor are far from the usual one.
const FAR: i64 = 3;
const DAY_US: i64 = 86_400_000_000;

/// The times of events: their span, and how regular they are.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// The earliest time, in microseconds since 1970.
    pub first_us: i64,
    /// The latest time.
    pub last_us: i64,
    /// Number of stations.
    pub n_stations: usize,
    /// The usual time between two events of a station: the median; 0 when no station has two.
    pub interval_us: i64,
    /// The number of times that a station was silent for more than three usual intervals.
    pub n_gaps: usize,
    /// The number of events that have the time of another of their station.
    pub n_repeats: usize,
    /// The share of the pauses between two events of a station that are far from the usual one.
    pub irregular: f64,
}

impl Timeline {
    /// Looks at the times of all events; `None` when there is none.
    pub fn of(events: &[SensorEvent]) -> Option<Self> {
        let mut times: BTreeMap<&StationId, Vec<i64>> = BTreeMap::new();
        for event in events {
            times.entry(event.station_id()).or_default().push(event.timestamp_us());
        }
        let mut intervals = Vec::new();
        for times in times.values_mut() {
            times.sort_unstable();
            intervals.extend(times.windows(2).map(|pair| pair[1] - pair[0]));
        }
        let n_repeats = intervals.iter().filter(|&&interval| interval == 0).count();
        intervals.retain(|&interval| interval > 0);
        intervals.sort_unstable();
        let interval_us = intervals.get(intervals.len() / 2).copied().unwrap_or(0);
        let is_gap = |interval: i64| interval > interval_us.saturating_mul(FAR);
        let is_far = |interval: i64| is_gap(interval) || interval.saturating_mul(FAR) < interval_us;
        let n_far = intervals.iter().filter(|&&interval| is_far(interval)).count();
        Some(Self {
            first_us: events.iter().map(SensorEvent::timestamp_us).min()?,
            last_us: events.iter().map(SensorEvent::timestamp_us).max()?,
            n_stations: times.len(),
            interval_us,
            n_gaps: intervals.iter().filter(|&&interval| is_gap(interval)).count(),
            n_repeats,
            irregular: n_far as f64 / intervals.len().max(1) as f64,
        })
    }

    /// Describes from when to when the events are.
    pub(crate) fn span(&self) -> String {
        let [first, last] = [self.first_us, self.last_us].map(sensor::timestamp::format);
        format!("{first} to {last}")
    }

    /// Describes how regular the times are.
    pub(crate) fn pace(&self) -> String {
        format!(
            "{}, an event every {} s each, {} gaps, {} repeats",
            counted(self.n_stations as u64, "station"),
            self.interval_us as f64 / 1e6,
            grouped(self.n_gaps as f64),
            grouped(self.n_repeats as f64),
        )
    }

    /// Returns warnings about times of `n_events` that were hardly read as they were meant.
    pub(crate) fn warnings(&self, n_events: usize, now_us: i64) -> Vec<String> {
        let repeats = (self.n_repeats as f64 > REPEATS_MAX * n_events as f64).then(|| {
            format!(
                "{} of the events have the time of another of their station: where rows of several stations are mixed, name \
                 their column with --station-column; where times are read wrongly, see --time-column and --time-format",
                percent(self.n_repeats as f64 / n_events as f64)
            )
        });
        let future = (self.last_us > now_us + DAY_US).then(|| {
            format!(
                "the last event would be of {}, which is yet to come: see --time-format",
                sensor::timestamp::format(self.last_us)
            )
        });
        let irregular = (self.irregular > IRREGULAR_MAX).then(|| {
            format!(
                "the pace is mixed: {} of the pauses between two events of a station are a third of the usual {} s or shorter, or three \
                 times as long or longer; what goes together at one pace need not at another, so learn from each pace on its own",
                percent(self.irregular),
                self.interval_us as f64 / 1e6
            )
        });
        repeats.into_iter().chain(future).chain(irregular).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mixed_pace_is_warned_of() {
        let schema = sensor::FeatureSchema::default();
        let events = |seconds: fn(i64) -> i64| -> Vec<SensorEvent> {
            let event = |index| {
                let time_us = sensor::timestamp::EARLIEST_US + seconds(index) * 1_000_000;
                let station = StationId::parse("a").unwrap();
                schema.event(station, 0, time_us, &[70.0, 45.0, 66.0]).unwrap()
            };
            (0..100).map(event).collect()
        };
        let warnings = |seconds| {
            let events = events(seconds);
            Timeline::of(&events).unwrap().warnings(100, i64::MAX - DAY_US)
        };
        assert_eq!(warnings(|index| 10 * index + index % 2), [""; 0]);
        let mixed = warnings(|index| if index < 60 { index } else { 60 * index });
        assert!(mixed[0].contains("40.4 % of the pauses"), "{mixed:?}");
    }

    #[test]
    fn gaps_and_repeats_are_those_of_each_station() {
        let schema = sensor::FeatureSchema::default();
        let start_us = sensor::timestamp::EARLIEST_US;
        let seconds = [
            ("a", 0),
            ("b", 0),
            ("a", 10),
            ("b", 10),
            ("a", 20),
            ("a", 20),
            ("b", 20),
            ("a", 90),
            ("b", 30),
        ];
        let events: Vec<SensorEvent> = seconds
            .iter()
            .map(|&(station, second)| {
                let station = StationId::parse(station).unwrap();
                schema
                    .event(station, 0, start_us + second * 1_000_000, &[70.0, 45.0, 66.0])
                    .unwrap()
            })
            .collect();
        let timeline = Timeline::of(&events).unwrap();
        assert_eq!((timeline.n_stations, timeline.n_gaps, timeline.n_repeats), (2, 1, 1));
        assert_eq!(
            (timeline.interval_us, timeline.last_us - timeline.first_us),
            (10_000_000, 90_000_000)
        );
        assert_eq!(Timeline::of(&[]), None);
        assert_eq!(Timeline::of(&events[..1]).unwrap().interval_us, 0);
    }
}
