//! The part of each row that the rows before did not forecast.

use serde::{Deserialize, Serialize};

use crate::ring::Ring;
use crate::scaling::UNITS;

/// The weight of a row is multiplied by this with each row that follows.
const FORGET: f64 = 0.999;
/// An error teaches as if it were no larger.
const ERROR_MAX: f64 = 3.0;
/// The uncertainty to begin with, on the diagonal.
const UNCERTAIN: f64 = 10.0;
/// More uncertainty in all is halved: without news it would grow without bound.
const UNCERTAIN_MAX: f64 = 1e6;

/// Forecasts all values from those of the rows before, by recursive least squares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forecaster {
    /// Rows that are looked back on.
    n_lags: usize,
    n_values: usize,
    /// For each input a weight of each value.
    weights: Vec<f64>,
    /// The inverse of the weighted products of inputs.
    inverse: Vec<f64>,
    /// Room for one row: the inputs, and what they gain.
    inputs: Vec<f64>,
    gains: Vec<f64>,
}

impl Forecaster {
    pub(crate) fn new(n_values: usize) -> Self {
        let n_lags = match n_values {
            1 => 4,
            2 | 3 => 2,
            _ => 1,
        };
        let n_inputs = 1 + n_lags * n_values;
        let mut inverse = vec![0.0; n_inputs * n_inputs];
        inverse.iter_mut().step_by(n_inputs + 1).for_each(|value| *value = UNCERTAIN);
        Self {
            n_lags,
            n_values,
            weights: vec![0.0; n_inputs * n_values],
            inverse,
            inputs: vec![0.0; n_inputs],
            gains: vec![0.0; n_inputs],
        }
    }

    /// Returns about how many bytes it takes for so many values: at most two weights and two products for each pair of them.
    pub(crate) fn size_of(n_values: usize) -> usize {
        2 * (n_values + 4) * (n_values + 4) * size_of::<f64>()
    }

    /// Returns `true` if it forecasts so many values, as one that was read must.
    pub(crate) fn is_of(&self, n_values: usize) -> bool {
        let new = Self::new(n_values);
        (self.n_lags, self.n_values) == (new.n_lags, n_values)
            && self.weights.len() == new.weights.len()
            && self.inverse.len() == new.inverse.len()
            && self.inputs.len() == new.inputs.len()
            && self.gains.len() == new.gains.len()
    }

    /// Returns the number of rows before the first that is forecast.
    pub(crate) fn n_lags(&self) -> usize {
        self.n_lags
    }

    /// Writes the errors of the forecast of a row from those `before`, both in units of a scale, 0 for a missing value, and learns from them.
    pub(crate) fn errors(
        &mut self,
        before: &Ring<i16>,
        row: &[i16],
        is_missing: &[bool],
        errors: &mut [f64],
    ) {
        let n_inputs = self.inputs.len();
        self.inputs[0] = 1.0;
        for lag in 0..self.n_lags {
            let inputs = &mut self.inputs[1 + lag * self.n_values..][..self.n_values];
            in_scales(before.row(lag), inputs);
        }
        for (gain, row) in self.gains.iter_mut().zip(self.inverse.chunks_exact(n_inputs)) {
            *gain = dot(row, &self.inputs);
        }
        let all = FORGET + dot(&self.inputs, &self.gains);
        in_scales(row, errors);
        for (&input, weights) in self.inputs.iter().zip(self.weights.chunks_exact(self.n_values)) {
            for (error, weight) in errors.iter_mut().zip(weights) {
                *error -= input * weight;
            }
        }
        for (error, &is_missing) in errors.iter_mut().zip(is_missing) {
            *error = if is_missing { 0.0 } else { *error };
        }
        for (gain, weights) in self.gains.iter().zip(self.weights.chunks_exact_mut(self.n_values)) {
            for (weight, error) in weights.iter_mut().zip(&*errors) {
                *weight += gain / all * error.clamp(-ERROR_MAX, ERROR_MAX);
            }
        }
        for (&gain, row) in self.gains.iter().zip(self.inverse.chunks_exact_mut(n_inputs)) {
            for (value, other) in row.iter_mut().zip(&self.gains) {
                *value = (*value - gain * other / all) / FORGET;
            }
        }
        let uncertain: f64 = self.inverse.iter().step_by(n_inputs + 1).sum();
        if uncertain > UNCERTAIN_MAX {
            self.inverse.iter_mut().for_each(|value| *value *= 0.5);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Writes values that are in units of a scale as parts of the scale.
fn in_scales(units: &[i16], values: &mut [f64]) {
    for (value, &units) in values.iter_mut().zip(units) {
        *value = f64::from(units) / UNITS;
    }
}
