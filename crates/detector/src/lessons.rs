//! The lessons of a training: the events that each station learns from in time order.

use std::collections::BTreeMap;

use sensor::SensorEvent;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Events of a station that are kept, at most: its last ones.
const EVENTS_MAX: usize = 1_000;
/// Values of all stations that are kept, at most: 32 MiB.
const VALUES_MAX: usize = 1 << 22;

/// The last events of a station in a training, in the order of measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct StationLesson {
    id: u64,
    timestamps_us: Vec<i64>,
    values: Vec<f64>,
}

/// The lessons of all stations.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lessons(BTreeMap<Box<str>, StationLesson>);

/// The number of lessons in an artefact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LessonsMeta {
    /// Number of stations that have one.
    pub stations: usize,
    /// Number of events of all of them.
    pub events: usize,
}

impl StationLesson {
    pub(crate) fn new(timestamps_us: Vec<i64>, values: Vec<f64>) -> Self {
        let mut hash = Sha256::new();
        for timestamp_us in &timestamps_us {
            hash.update(timestamp_us.to_le_bytes());
        }
        for value in &values {
            hash.update(value.to_le_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let first = digest.first_chunk().expect("a digest has more bytes than a number");
        Self { id: u64::from_le_bytes(*first), timestamps_us, values }
    }

    /// Returns a number that no other lesson has.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns when the events were measured, in microseconds since 1970 (UTC), ascending.
    pub fn timestamps_us(&self) -> &[i64] {
        &self.timestamps_us
    }

    /// Returns the values of one event after another, NaN for a missing one, and for those of an event that the detector left
    /// out.
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

impl Lessons {
    /// Keeps the last events of each station: as many of each as there is room for. `is_learnt` returns `true` for the place
    /// of an event that the detector learns from.
    pub(crate) fn learn(events: &[&SensorEvent], is_learnt: impl Fn(usize) -> bool) -> Self {
        let mut of_stations = BTreeMap::<&str, Vec<usize>>::new();
        for (place, event) in events.iter().enumerate() {
            of_stations.entry(event.station_id().as_str()).or_default().push(place);
        }
        let n_features = events.first().map_or(1, |event| event.values().len());
        let n_events_max = EVENTS_MAX.min(VALUES_MAX / (of_stations.len().max(1) * n_features));
        let nothing = vec![f64::NAN; n_features];
        let lesson = |mut places: Vec<usize>| {
            let moment = |place: &usize| (events[*place].timestamp_us(), events[*place].sequence());
            places.sort_by_key(moment);
            places.dedup_by_key(|place| moment(place));
            let last = &places[places.len().saturating_sub(n_events_max)..];
            let timestamps_us = last.iter().map(|&place| events[place].timestamp_us()).collect();
            let mut values = Vec::with_capacity(last.len() * n_features);
            for &place in last {
                let is_learnt = is_learnt(place);
                values.extend_from_slice(if is_learnt { events[place].values() } else { &nothing });
            }
            StationLesson::new(timestamps_us, values)
        };
        Self(of_stations.into_iter().map(|(name, places)| (name.into(), lesson(places))).collect())
    }

    /// Puts lessons together, with the names of their stations; `None` unless each event has so many values.
    pub(crate) fn from_parts(
        lessons: impl IntoIterator<Item = (Box<str>, StationLesson)>,
        n_features: usize,
    ) -> Option<Self> {
        let is_whole = |lesson: &StationLesson| {
            let times_us = &lesson.timestamps_us;
            let span =
                times_us.last().zip(times_us.first()).map(|(last, first)| last.checked_sub(*first));
            times_us.is_sorted()
                && span.is_none_or(|span| span.is_some())
                && times_us.len() <= EVENTS_MAX
                && lesson.values.len() == lesson.timestamps_us.len() * n_features
                && !lesson.values.iter().any(|value| value.is_infinite())
        };
        let mut all = BTreeMap::new();
        for (name, lesson) in lessons {
            if !is_whole(&lesson) || all.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return None;
            }
            all.insert(name, lesson);
        }
        Some(Self(all))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &StationLesson)> {
        self.0.iter().map(|(name, lesson)| (&**name, lesson))
    }

    pub(crate) fn of_station(&self, station: &str) -> Option<&StationLesson> {
        self.0.get(station)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many there are; `None` without any.
    pub(crate) fn meta(&self) -> Option<LessonsMeta> {
        let events = self.0.values().map(|lesson| lesson.timestamps_us.len()).sum();
        (!self.0.is_empty()).then_some(LessonsMeta { stations: self.0.len(), events })
    }
}
