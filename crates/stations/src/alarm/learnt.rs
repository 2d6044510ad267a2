//! The events that a station learns from.

use sensor::{Lesson, Prediction};
use serde::{Deserialize, Serialize};
use stream::{Model, Params, SensorRules, SensorWatch, WarmUpError, WarmedUp, Watch};

/// The values of anomalies teach nothing, unless more than this share of the events are anomalies.
const ANOMALIES_MAX: f64 = 0.1;

/// The events that are learnt from, in columns.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct LearntEvents {
    pub(super) timestamps_us: Vec<i64>,
    pub(super) are_anomalies: Vec<bool>,
    /// Those of one event after another, NaN for a missing one.
    pub(super) values: Vec<f64>,
}

/// The lesson of the events.
pub(super) struct Learnt {
    pub(super) model: Model,
    pub(super) watch: Watch,
    pub(super) rules: SensorRules,
    pub(super) sensors: SensorWatch,
}

impl LearntEvents {
    pub(super) fn size_of_event(n_features: usize) -> usize {
        size_of::<(i64, bool)>() + n_features * size_of::<f64>()
    }

    pub(super) fn size(&self, n_features: usize) -> usize {
        self.len() * Self::size_of_event(n_features)
    }

    pub(super) fn len(&self) -> usize {
        self.timestamps_us.len()
    }

    /// Returns `true` if each event has so many values.
    pub(super) fn is_of(&self, n_features: usize) -> bool {
        self.are_anomalies.len() == self.len() && self.values.len() == self.len() * n_features
    }

    /// Returns how much of a lesson there is.
    pub(super) fn progress(&self, events_to_learn: u32) -> Lesson {
        let events_learnt = u32::try_from(self.len()).unwrap_or(u32::MAX);
        Lesson { events_learnt, events_to_learn }
    }

    /// Adds an event of a lesson that shall have so many.
    pub(super) fn add(&mut self, prediction: &Prediction, values: &[f64], events_to_learn: u32) {
        // Room that is not used takes no memory; one that grows takes up to twice as much as was counted.
        let n_more = (events_to_learn as usize).saturating_sub(self.len()).max(1);
        self.timestamps_us.reserve_exact(n_more);
        self.are_anomalies.reserve_exact(n_more);
        self.values.reserve_exact(n_more * values.len());
        self.timestamps_us.push(prediction.timestamp_us);
        self.are_anomalies.push(prediction.is_anomaly);
        self.values.extend_from_slice(values);
    }

    /// Learns from the events. The values of anomalies are left out if there are few.
    pub(super) fn learn(&self, budget: f64) -> Result<Learnt, WarmUpError> {
        let n_anomalies = self.are_anomalies.iter().filter(|&&is_anomaly| is_anomaly).count();
        let leaves_out = n_anomalies as f64 <= ANOMALIES_MAX * self.len() as f64;
        let n_sensors = self.values.len() / self.len().max(1);
        if n_sensors == 0 {
            return Err(WarmUpError::TooFewRows { n_rows: 0 });
        }
        let mut values = self.values.clone();
        for (event, &is_anomaly) in values.chunks_exact_mut(n_sensors).zip(&self.are_anomalies) {
            if leaves_out && is_anomaly {
                event.fill(f64::NAN);
            }
        }
        let params = Params { budget, ..Params::default() };
        let WarmedUp { model, watch, .. } = Model::learn(&values, n_sensors, &params)?;
        let (rules, sensors) = SensorRules::learn(&self.timestamps_us, &values);
        Ok(Learnt { model, watch, rules, sensors })
    }

    /// Returns the median time between two events, or the mean where most have the same time as the one before, in microseconds.
    pub(super) fn interval_us(&self) -> f64 {
        let pairs = self.timestamps_us.windows(2);
        let mut intervals_us: Vec<i64> = pairs.map(|pair| pair[1] - pair[0]).collect();
        intervals_us.sort_unstable();
        let median_us = intervals_us.get(intervals_us.len() / 2).map_or(0.0, |&usual| usual as f64);
        let mean_us = intervals_us.iter().sum::<i64>() as f64 / intervals_us.len().max(1) as f64;
        (if median_us > 0.0 { median_us } else { mean_us }).max(1.0)
    }
}
