//! Measured values in scales from a level that follows slowly.

use serde::{Deserialize, Serialize};

use crate::statistics::{column, mean_and_deviation, median, scale};

/// Rows in which a level forgets half of where it was.
const HALF_LIFE_ROWS: f64 = 1_000.0;
/// A level follows a value that is further away as if it were this many scales away.
const PULL_MAX: f64 = 2.0;
/// Scaled values are held to this.
const REACH: f64 = 10.0;
/// Scaled values are rounded to so many units of a scale, so that a source which writes more or fewer decimals than in the
/// warm-up changes nothing.
pub(crate) const UNITS: f64 = 16.0;
/// A sensor with a smaller standard deviation does not move.
const DEVIATION_MIN: f64 = 1e-9;

/// The level of a sensor, which follows its values: first as their mean, and then slowly.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Level {
    pub(crate) value: f64,
    /// Rows that it is the mean of.
    n_rows: u32,
}

impl Level {
    /// Begins with a level that is known as well as if it were the mean of so many rows.
    pub(crate) fn new(value: f64, n_rows: u32) -> Self {
        Self { value, n_rows }
    }

    /// Begins with the level of a warm-up.
    fn settled(value: f64) -> Self {
        Self { value, n_rows: u32::MAX }
    }
}

/// The sensors that moved in the warm-up, and their scales.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scaling {
    /// The number of each sensor in a row.
    pub(crate) sensors: Vec<usize>,
    /// In the units of the sensors, positive.
    scales: Vec<f64>,
    /// The share of the way to a value that a level goes with each row.
    pull: f64,
}

impl Scaling {
    /// Learns from the rows of a warm-up; also returns the levels to begin with.
    pub(crate) fn learn(rows: &[f64], n_sensors: usize) -> (Self, Vec<Level>) {
        let (mut sensors, mut scales, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for sensor in 0..n_sensors {
            let values = column(rows, n_sensors, sensor).filter(|value| !value.is_nan());
            let Some(middle) = median(values.clone()) else { continue };
            let (_, deviation) = mean_and_deviation(values.clone());
            if deviation <= DEVIATION_MIN {
                continue;
            }
            let distance = median(values.map(|value| (value - middle).abs())).unwrap_or(0.0);
            sensors.push(sensor);
            scales.push(scale(distance, deviation));
            levels.push(Level::settled(middle));
        }
        let pull = 1.0 - libm::exp2(-1.0 / HALF_LIFE_ROWS);
        (Self { sensors, scales, pull }, levels)
    }

    /// Writes the scaled values of a row, in units, and moves the levels. A missing value stays as it was in `before`, and
    /// moves nothing.
    pub(crate) fn scale(
        &self,
        row: &[f64],
        before: &[i16],
        levels: &mut [Level],
        scaled: &mut [i16],
        is_missing: &mut [bool],
    ) {
        for (index, (&sensor, &scale)) in self.sensors.iter().zip(&self.scales).enumerate() {
            is_missing[index] = row[sensor].is_nan();
            if is_missing[index] {
                scaled[index] = before[index];
                continue;
            }
            let level = &mut levels[index];
            let distance = (row[sensor] - level.value) / scale;
            scaled[index] = units(distance);
            let pull = self.pull.max(1.0 / (f64::from(level.n_rows) + 1.0));
            level.value += pull * scale * distance.clamp(-PULL_MAX, PULL_MAX);
            level.n_rows = level.n_rows.saturating_add(1);
        }
    }

    /// Returns how far a value of a sensor that moves is from a level, in units.
    pub(crate) fn units(&self, index: usize, value: f64, level: f64) -> i16 {
        units((value - level) / self.scales[index])
    }
}

/// Returns a distance in scales in units, as far as they reach.
fn units(distance: f64) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "at most 160 units")]
    let units = (distance.clamp(-REACH, REACH) * UNITS).round() as i16;
    units
}
