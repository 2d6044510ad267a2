//! The pace of events, from which the budget for each follows.

use serde::{Deserialize, Serialize};

/// A pause of more mean intervals is a gap: events are not compared with those before it.
const INTERVALS_OF_GAP: f64 = 32.0;
/// Unless it is no more than so many times the longest of the last pauses, which is forgotten by this share with each event:
/// stations that send in bursts pause often.
const PAUSES_OF_GAP: f64 = 4.0;
const LONGEST_DECAY: f64 = 0.99;
/// The mean interval follows the last so many, of which none counts as longer than a day.
const INTERVALS_OF_PACE: f64 = 64.0;
const US_OF_DAY: f64 = 86_400e6;
/// The budget for each event is within these, however often a station sends.
const BUDGET_MIN: f64 = 1e-8;
pub(super) const BUDGET_MAX: f64 = 0.01;

/// The pace of events, and the alarms that it allows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct EventPace {
    /// Alarms that may open in a day.
    pub(super) alarms_per_day: f64,
    /// The mean interval of the last events, in microseconds.
    mean_us: f64,
    /// The longest of the last intervals.
    longest_us: f64,
}

impl EventPace {
    /// Begins with a usual interval.
    pub(super) fn new(alarms_per_day: f64, mean_us: f64) -> Self {
        Self { alarms_per_day, mean_us, longest_us: 0.0 }
    }

    pub(super) fn is_sound(&self) -> bool {
        let is_positive = |number: f64| number > 0.0 && number.is_finite();
        is_positive(self.alarms_per_day) && is_positive(self.mean_us) && self.longest_us.is_finite()
    }

    /// Notes the time since the last event, in microseconds; returns `true` if it is a gap.
    pub(super) fn note(&mut self, pause_us: f64) -> bool {
        let usual_us = (INTERVALS_OF_GAP * self.mean_us).max(PAUSES_OF_GAP * self.longest_us);
        self.longest_us = pause_us.max(LONGEST_DECAY * self.longest_us);
        self.mean_us += (pause_us.min(US_OF_DAY) - self.mean_us) / INTERVALS_OF_PACE;
        self.mean_us = self.mean_us.max(1.0);
        pause_us > usual_us
    }

    /// Returns the alarms that may open for each event.
    pub(super) fn budget(&self) -> f64 {
        (self.alarms_per_day * self.mean_us / US_OF_DAY).clamp(BUDGET_MIN, BUDGET_MAX)
    }
}
