//! Does what is normal stay normal? A trial on the last fifth of the data.

use detector::{AlarmRule, Detector, Params};
use sensor::SensorEvent;
use wording::percent;

use crate::data::TrainingData;

/// What a detector makes of the time after its training.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Number of events that the trial learnt from: the first four fifths in order of time.
    pub n_learnt: usize,
    /// Number of events that it was tried on: the rest.
    pub n_tried: usize,
    /// How many of those it called anomalous.
    pub n_alarms: usize,
    /// Share of events that it was asked to call anomalous.
    pub asked: f64,
}

impl Drift {
    /// Fits a detector to the first four fifths of the data and counts its alarms in the last.
    ///
    /// `None` when there are too few events to do so.
    pub fn measure(data: &TrainingData, params: &Params, now_us: i64) -> Option<Self> {
        let mut in_time: Vec<SensorEvent> = data.events.clone();
        in_time.sort_by_key(SensorEvent::timestamp_us);
        let (learnt, tried) = in_time.split_at(in_time.len() / 5 * 4);
        let detector = Detector::fit(&data.schema, learnt, params, now_us).ok()?;
        let asked = match params.alarms {
            AlarmRule::FalseAlarmRate(rate) => rate,
            AlarmRule::Contamination(share) => share,
        };
        Some(Self {
            n_learnt: learnt.len(),
            n_tried: tried.len(),
            n_alarms: detector.n_anomalies(tried),
            asked,
        })
    }

    /// Share of the events tried that were called anomalous.
    pub fn measured(&self) -> f64 {
        self.n_alarms as f64 / self.n_tried as f64
    }

    /// What somebody should know of a drift that is large.
    pub fn warning(&self) -> Option<String> {
        self.is_large().then(|| {
            format!(
                "the data drifts: {} of its last fifth would be called anomalous by a model of what came before, where {} \
                 was asked for. What is normal changes in the course of this data, so expect false alarms of that order \
                 in service. Learn from data that covers every normal state, and learn anew when the plant has changed.",
                percent(self.measured()),
                percent(self.asked)
            )
        })
    }

    /// Whether there are more than three times as many alarms as asked for.
    pub fn is_large(&self) -> bool {
        self.measured() > 3.0 * self.asked
    }
}
