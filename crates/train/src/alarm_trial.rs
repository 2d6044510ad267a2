//! A trial of alarms in time order: the last fifth of the data, after what came before.

use std::collections::BTreeMap;

use detector::Detector;
use rayon::prelude::*;
use sensor::{AlarmState, SensorEvent};
use stations::{AlarmParams, StationAlarm};

use crate::data::TrainingData;

/// Stations that are tried, evenly of all: enough for a rate, and soon done.
const STATIONS_MAX: usize = 64;
/// Events that each learns from, and that each is watched for.
const LEARNT_MAX: usize = 1_000;
const WATCHED_MAX: usize = 2_000;
/// With more features, a server watches no station in time order.
const FEATURES_MAX: usize = 256;
const US_OF_DAY: f64 = 86_400e6;

/// The alarms in time order of stations that learn from the first four fifths of their events, in the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmTrial {
    /// Number of stations.
    pub n_stations: usize,
    /// Alarms that opened.
    pub n_alarms: u32,
    /// The time for which the stations were watched, all together, in days.
    pub days: f64,
    /// Alarms that may open at a station in a day: the default of a server.
    pub allowed_a_day: f64,
}

impl AlarmTrial {
    /// Runs the trial; `None` when no station has enough events, or the data does not say when they were measured.
    pub fn measure(data: &TrainingData, detector: &Detector) -> Option<Self> {
        if !data.has_times || data.schema.len() > FEATURES_MAX {
            return None;
        }
        let mut of_stations = BTreeMap::<&str, Vec<&SensorEvent>>::new();
        for event in &data.events {
            of_stations.entry(event.station_id().as_str()).or_default().push(event);
        }
        let params = AlarmParams::default();
        let is_enough = |events: &Vec<&SensorEvent>| {
            first_part(events.len()) >= params.events_to_learn as usize
        };
        let stations: Vec<_> = of_stations.into_values().filter(is_enough).collect();
        let step = stations.len().div_ceil(STATIONS_MAX).max(1);
        let tried = stations.into_par_iter().step_by(step).map(|events| {
            let (n_alarms, us) = watched(events, detector, &params);
            (1, n_alarms, us)
        });
        let (n_stations, n_alarms, us) =
            tried.reduce(|| (0, 0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
        let allowed_a_day = params.alarms_per_day;
        (us > 0.0).then_some(Self { n_stations, n_alarms, days: us / US_OF_DAY, allowed_a_day })
    }

    /// Returns the alarms of a station in a day.
    pub fn a_day(&self) -> f64 {
        f64::from(self.n_alarms) / self.days
    }
}

/// Returns the number of events in the first four fifths.
fn first_part(n_events: usize) -> usize {
    n_events / 5 * 4
}

/// Returns the alarms that open at a station in the last fifth of its events, and the time that these take, in microseconds.
fn watched(mut events: Vec<&SensorEvent>, detector: &Detector, params: &AlarmParams) -> (u32, f64) {
    events.sort_by_key(|event| (event.timestamp_us(), event.sequence()));
    let (learnt, rest) = events.split_at(first_part(events.len()));
    let learnt = &learnt[learnt.len().saturating_sub(LEARNT_MAX)..];
    let rest = &rest[..rest.len().min(WATCHED_MAX)];
    let events_to_learn = u32::try_from(learnt.len()).unwrap_or(u32::MAX);
    let params = AlarmParams { events_to_learn, ..*params };
    let names = detector.schema().names().iter().map(|name| &**name);
    let mut alarm = StationAlarm::new(names, None);
    for event in learnt {
        alarm.advance(&detector.assess(event), &params);
    }
    let mut episode_ids: Vec<u32> = Vec::new();
    for event in rest {
        let said = alarm.advance(&detector.assess(event), &params);
        let is_open = said.state == AlarmState::Open;
        episode_ids.extend(said.episode.filter(|_| is_open).map(|episode| episode.episode_id));
    }
    episode_ids.dedup();
    let time_us = match rest {
        [first, .., last] => last.timestamp_us() - first.timestamp_us(),
        _ => 0,
    };
    (u32::try_from(episode_ids.len()).unwrap_or(u32::MAX), time_us as f64)
}
