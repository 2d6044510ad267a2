//! The threshold of alarms, which learns what is usual for a station and keeps a budget.

use serde::{Deserialize, Serialize};

use crate::statistics::median;
use crate::tail::NATS_MIN;

/// Rows of a block, whose largest surprise counts.
const BLOCK_ROWS: u32 = 20;
/// The middle of block maxima moves by this share of their spread.
const MIDDLE_STEP: f64 = 0.02;
/// The spread moves by this share towards each excess.
const SPREAD_STEP: f64 = 0.01;
/// The least spread, in nats.
const SPREAD_MIN: f64 = 1.0;
/// An excess counts as no more spreads.
const EXCESS_MAX: f64 = 6.0;
/// Blocks below the middle before it falls faster.
const GRACE_BLOCKS: u32 = 4;
/// Block maxima above the middle that make the tail no lighter if there are more.
const SEEN_MAX: f64 = 200.0;
/// Every opening raises the pressure by this.
const PRESSURE_STEP: f64 = 0.3;
/// The pressure counts up to this.
const PRESSURE_MAX: f64 = 40.0;
/// At this pressure, nothing opens.
const PRESSURE_OF_NONE: f64 = 39.0;
/// An alarm opens when so many of the last rows are above the threshold.
const OPEN_OF: u32 = 3;
const OPEN_IN: u32 = 5;
/// An alarm closes after so many rows below.
const CLOSE_ROWS: u32 = 5;
/// An alarm is accepted as the new state after this share of all rows, within bounds.
const ACCEPTED_AFTER: f64 = 0.05;
const ACCEPTED_AFTER_MIN: f64 = 30.0;
const ACCEPTED_AFTER_MAX: f64 = 400.0;

/// The surprise is never larger: the largest view, and three tenths of two others.
const SURPRISE_MAX: f64 = 32.0;

/// The state of a station, by its surprises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmState {
    /// No alarm is open.
    Watching,
    /// An alarm is open.
    Open,
    /// An alarm has ended, and its values have not returned; a further change opens an alarm again.
    Accepted,
    /// No alarm is open, and so many were that none can open before their pressure has fallen, whatever values come.
    BudgetSpent,
}

/// A threshold and an alarm: it learns from maxima of blocks, and is driven by its own openings.
///
/// With the middle m of the block maxima and their mean excess s over it, the threshold is that of an exponential
/// tail whose slope was estimated from k excesses: `m + s k (exp(pressure / k) - 1)`. Every alarm that opens
/// raises the pressure, every row without one lowers it, and so a budget is kept:
///
/// openings in N rows <= (1 + budget N + (39 - pressure at the start) / 0.3) / (1 - budget)
///
/// Alarms that a person settles do not count. It holds for any surprises from -1 to 38, more than all views can say: the threshold is at least the pressure
/// less 1, so that nothing opens at a pressure of 39. [`Budgeted::openings_max`] says how many.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Budgeted {
    /// Openings for each row.
    budget: f64,
    middle: f64,
    spread: f64,
    n_seen: f64,
    pressure: f64,
    /// The largest surprise of the block so far, and its rows.
    peak: f64,
    n_filled: u32,
    /// Blocks below the middle, one after another.
    n_quiet: u32,
    /// A bit for each of the last rows, 1 for one above the threshold, the newest in the lowest.
    above: u32,
    is_alarm: bool,
    /// Rows of the alarm, and rows below since the last above.
    age: u32,
    n_calm: u32,
    /// The threshold that the last alarm exceeded as it opened.
    opened_above: f64,
    /// The rows since the surprise was last above that threshold, while an alarm that was accepted has not ended.
    n_returned: Option<u32>,
}

impl Budgeted {
    /// Returns the most alarms that can open in so many rows.
    pub fn openings_max(budget: f64, n_rows: u64) -> f64 {
        let rise = (PRESSURE_OF_NONE - least_pressure(budget)) / PRESSURE_STEP;
        (1.0 + budget * n_rows as f64 + rise) / (1.0 - budget)
    }

    /// Begins with the surprises of a warm-up, each at least -1. The budget is above 0 and below 1.
    pub fn new(budget: f64, warm_up: &[f64]) -> Self {
        let maximum = |block: &[f64]| block.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let blocks = warm_up.rchunks_exact(BLOCK_ROWS as usize).map(maximum);
        let middle = median(blocks.clone()).unwrap_or(NATS_MIN);
        let excesses = blocks.filter(|maximum| *maximum > middle).map(|maximum| maximum - middle);
        let n_seen = excesses.clone().count().max(1) as f64;
        Self {
            budget,
            middle,
            spread: SPREAD_MIN.max(excesses.sum::<f64>() / n_seen),
            n_seen,
            pressure: least_pressure(budget),
            peak: NATS_MIN,
            n_filled: 0,
            n_quiet: 0,
            above: 0,
            is_alarm: false,
            age: 0,
            n_calm: 0,
            opened_above: 0.0,
            n_returned: None,
        }
    }

    /// Takes the surprise of the next row, after `n_rows` others of the station. Returns the threshold that it was
    /// compared with, and how the station is now.
    pub fn advance(&mut self, surprise: f64, n_rows: u64) -> (f64, AlarmState) {
        let threshold = self.threshold();
        let is_above = surprise > threshold;
        self.above = (self.above << 1 | u32::from(is_above)) & ((1 << OPEN_IN) - 1);
        let mut is_opened = false;
        if self.is_alarm {
            self.age += 1;
            self.n_calm = if is_above { 0 } else { self.n_calm + 1 };
            if self.n_calm >= CLOSE_ROWS {
                self.close();
            }
        } else if self.above.count_ones() >= OPEN_OF {
            (self.is_alarm, is_opened) = (true, true);
            (self.age, self.n_calm) = (0, 0);
            (self.opened_above, self.n_returned) = (threshold, None);
        }
        let is_alarm = self.is_alarm;
        if is_opened {
            self.pressure += PRESSURE_STEP * (1.0 - self.budget);
            self.begin_block();
        } else if is_alarm {
            let accepted_after =
                (ACCEPTED_AFTER * n_rows as f64).clamp(ACCEPTED_AFTER_MIN, ACCEPTED_AFTER_MAX);
            if f64::from(self.age) > accepted_after {
                self.middle = self.middle.max(surprise);
                self.close();
                self.begin_block();
                self.n_returned = Some(0);
            }
        } else {
            self.pressure =
                least_pressure(self.budget).max(self.pressure - PRESSURE_STEP * self.budget);
            self.fill_block(surprise);
            let is_still = surprise > self.opened_above;
            let n_returned = self.n_returned.map(|n_rows| if is_still { 0 } else { n_rows + 1 });
            self.n_returned = n_returned.filter(|&n_rows| n_rows < CLOSE_ROWS);
        }
        // The row with which it is accepted is still of the alarm.
        (threshold, if is_alarm { AlarmState::Open } else { self.state() })
    }

    /// Returns the middle of the block maxima.
    pub(crate) fn middle(&self) -> f64 {
        self.middle
    }

    /// Takes the last alarm back: its opening, and what it did to the middle, which was at `middle` before.
    pub(crate) fn settle(&mut self, middle: f64) {
        self.close();
        self.begin_block();
        (self.middle, self.n_returned) = (middle, None);
        let given_back = self.pressure - PRESSURE_STEP * (1.0 - self.budget);
        self.pressure = given_back.max(least_pressure(self.budget));
    }

    /// Returns the threshold, and how the station is, without a row.
    pub(crate) fn now(&self) -> (f64, AlarmState) {
        (self.threshold(), self.state())
    }

    /// Returns how the station is.
    pub fn state(&self) -> AlarmState {
        if self.is_alarm {
            AlarmState::Open
        } else if self.n_returned.is_some() {
            AlarmState::Accepted
        } else if self.is_spent() {
            AlarmState::BudgetSpent
        } else {
            AlarmState::Watching
        }
    }

    /// Returns `true` if openings keep others from opening, however low the middle is.
    fn is_spent(&self) -> bool {
        let has_opened = self.pressure > least_pressure(self.budget);
        has_opened && NATS_MIN + self.distance() >= SURPRISE_MAX
    }

    /// Returns the openings for each row that are allowed.
    pub fn budget(&self) -> f64 {
        self.budget
    }

    /// Allows so many openings for each row from now on, above 0 and below 1. The pressure stays what it is above the least.
    pub fn set_budget(&mut self, budget: f64) {
        let raised = self.pressure - least_pressure(self.budget);
        self.pressure = least_pressure(budget) + raised;
        self.budget = budget;
    }

    fn threshold(&self) -> f64 {
        self.middle + self.distance()
    }

    /// Returns the distance of the threshold from the middle, which openings make larger.
    fn distance(&self) -> f64 {
        let n_seen = self.n_seen.min(SEEN_MAX);
        let pressure = self.pressure.min(PRESSURE_MAX);
        self.spread * n_seen * (libm::exp(pressure / n_seen) - 1.0)
    }

    fn close(&mut self) {
        self.is_alarm = false;
        self.above = 0;
    }

    fn begin_block(&mut self) {
        (self.peak, self.n_filled) = (NATS_MIN, 0);
    }

    fn fill_block(&mut self, surprise: f64) {
        self.peak = self.peak.max(surprise);
        self.n_filled += 1;
        if self.n_filled < BLOCK_ROWS {
            return;
        }
        if self.peak > self.middle {
            self.n_quiet = 0;
            self.n_seen += 1.0;
            let excess = (self.peak - self.middle).min(EXCESS_MAX * self.spread);
            self.spread = SPREAD_MIN.max(self.spread + SPREAD_STEP * (excess - self.spread));
            self.middle += MIDDLE_STEP * self.spread;
        } else {
            self.n_quiet = self.n_quiet.saturating_add(1);
            let faster = f64::from(self.n_quiet.saturating_sub(GRACE_BLOCKS).max(1));
            self.middle = NATS_MIN.max(self.middle - MIDDLE_STEP * self.spread * faster);
        }
        self.begin_block();
    }
}

/// Returns the pressure at which half of the blocks that reach the middle are as rare as the budget allows.
fn least_pressure(budget: f64) -> f64 {
    libm::log(0.5 / (budget * f64::from(BLOCK_ROWS)))
}
