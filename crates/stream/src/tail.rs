//! The tail of a view: from its own unit to nats.

use crate::statistics::{mean_and_deviation, quantile, sorted};

/// Nats of a view are held to this.
pub(crate) const NATS_MAX: f64 = 20.0;
/// The least nats of a view, and the least surprise.
pub const NATS_MIN: f64 = -1.0;
/// A tail begins at this quantile of the warm-up.
const BEGIN: f64 = 0.9;
/// The mean excess is at least this share of the standard deviation.
const EXCESS_MIN: f64 = 0.1;

/// An exponential tail above the 90 % quantile of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tail {
    quantile: f64,
    /// The mean excess over the quantile.
    excess: f64,
}

impl Tail {
    /// Learns from the values of a warm-up. `least` is the least mean excess.
    pub(crate) fn learn(values: &[f64], least: f64) -> Self {
        let begin = quantile(&sorted(values.iter().copied()), BEGIN).unwrap_or(0.0);
        let above = values.iter().filter(|value| **value > begin);
        let n_above = above.clone().count().max(1) as f64;
        let excess = above.map(|value| value - begin).sum::<f64>() / n_above;
        let (_, deviation) = mean_and_deviation(values.iter().copied());
        Self { quantile: begin, excess: excess.max(least).max(EXCESS_MIN * deviation) }
    }

    /// Returns the distance from the quantile in mean excesses: about -ln of the share of values that are as high,
    /// less 2.3.
    pub(crate) fn excesses(self, value: f64) -> f64 {
        (value - self.quantile) / self.excess
    }

    /// Returns the value at a distance from the quantile in mean excesses.
    pub(crate) fn value(self, excesses: f64) -> f64 {
        self.quantile + excesses * self.excess
    }

    /// Returns a value that says as little as a view can, as all smaller ones do.
    pub(crate) fn least(self) -> f64 {
        /// So much below, rounding changes nothing.
        const MARGIN: f64 = 1e-9;
        self.value(NATS_MIN * (1.0 + MARGIN))
    }

    /// Returns the same within what a view can say.
    pub(crate) fn nats(self, value: f64) -> f64 {
        self.excesses(value).clamp(NATS_MIN, NATS_MAX)
    }
}
