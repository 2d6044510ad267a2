//! Does what is normal stay normal? A trial on the last fifth of the data.

use std::collections::BTreeMap;

use detector::{Detector, Params};
use sensor::SensorEvent;
use wording::percent;

use crate::data::TrainingData;

/// The alarms of a model after its training: the model learns the first four fifths of the data, and
/// judges the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct StabilityTrial {
    /// Events learnt: the first four fifths in order of time.
    pub n_learnt: usize,
    /// Events judged: the rest.
    pub n_judged: usize,
    /// Events called anomalous among those.
    pub n_alarms: usize,
    /// Share of events that was to be called anomalous.
    pub asked: f64,
}

impl StabilityTrial {
    /// Runs the trial; `None` when there are too few events.
    pub fn measure(data: &TrainingData, params: &Params) -> Option<Self> {
        let (learnt, judged) = split(&data.events, params.group_by.is_some());
        let n_alarms = Detector::alarms_after(&data.schema, params, &learnt, &judged).ok()?;
        Some(Self {
            n_learnt: learnt.len(),
            n_judged: judged.len(),
            n_alarms,
            asked: params.alarms.share(),
        })
    }

    /// Returns the share of judged events that were called anomalous.
    pub fn measured(&self) -> f64 {
        self.n_alarms as f64 / self.n_judged as f64
    }

    /// Returns a warning if the alarms are many more than asked for.
    pub fn warning(&self) -> Option<String> {
        self.is_unstable().then(|| {
            format!(
                "the data drifts: {} of its last fifth would be called anomalous by a model of what came before, where {} \
                 was asked for. What is normal changes in the course of this data, so expect false alarms of that order \
                 in service. Train on data that covers every normal state, and retrain when the plant has changed.",
                percent(self.measured()),
                percent(self.asked)
            )
        })
    }

    /// Returns `true` if there are more than three times as many alarms as asked for.
    pub fn is_unstable(&self) -> bool {
        self.measured() > 3.0 * self.asked
    }
}

/// Splits events in order of time into the first four fifths and the rest: those of each station, where each has
/// to be learnt.
fn split(events: &[SensorEvent], is_by_station: bool) -> (Vec<&SensorEvent>, Vec<&SensorEvent>) {
    let mut groups: BTreeMap<Option<&str>, Vec<&SensorEvent>> = BTreeMap::new();
    for event in events {
        let group = is_by_station.then(|| event.station_id().as_str());
        groups.entry(group).or_default().push(event);
    }
    let (mut learnt, mut judged) = (Vec::new(), Vec::new());
    for mut in_time in groups.into_values() {
        in_time.sort_by_key(|event| event.timestamp_us());
        let (first, rest) = in_time.split_at(in_time.len() / 5 * 4);
        learnt.extend(first);
        judged.extend(rest);
    }
    (learnt, judged)
}
