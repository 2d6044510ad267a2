//! A summary of the training data, for people.

use crate::column::by_ranges;
use serde::{Deserialize, Serialize};

/// The values of one feature; missing ones are left out.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSummary {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, with n in the denominator.
    pub standard_deviation: f64,
    /// Quantiles.
    pub quantiles: Quantiles,
    /// The lowest value, the values that 1, 2, ... 99 in a hundred are at most, and the highest: all
    /// of them values that occurred.
    pub percentiles: Vec<f64>,
}

/// Quantiles, interpolated between neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// The lowest value.
    pub min: f64,
    /// One value in a hundred is lower.
    pub p01: f64,
    /// One in four is lower.
    pub p25: f64,
    /// The median.
    pub p50: f64,
    /// One in four is higher.
    pub p75: f64,
    /// One in a hundred is higher.
    pub p99: f64,
    /// The highest value.
    pub max: f64,
}

impl Quantiles {
    /// Returns how far a value lies outside of all others, in widths of their range: negative below, positive above,
    /// infinite beside a constant; `None` within, for a missing value, and for what a sender that rounds to
    /// `f32` makes of a constant.
    pub(crate) fn by_ranges(&self, value: f64) -> Option<f64> {
        by_ranges(self.min, self.max, value)
    }

    /// Returns 101 values from the lowest to the highest, between quantiles on a straight line.
    pub(crate) fn percentiles(&self) -> Vec<f64> {
        let Self { min, p01, p25, p50, p75, p99, max } = *self;
        let steps = [(min, p01, 1), (p01, p25, 24), (p25, p50, 25), (p50, p75, 25), (p75, p99, 24)];
        let between = steps.into_iter().chain([(p99, max, 1)]).flat_map(|(from, to, n)| {
            (0..n).map(move |part| from + (to - from) * f64::from(part) / f64::from(n))
        });
        between.chain([max]).collect()
    }
}

impl FeatureSummary {
    /// Summarises values, NaN for a missing one; `None` when all are missing.
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut present: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        present.sort_unstable_by(f64::total_cmp);
        let (&min, &max) = present.first().zip(present.last())?;

        let n = present.len() as f64;
        let mean = present.iter().map(|value| value / n).sum::<f64>();
        let variance = present.iter().map(|value| (value - mean).powi(2) / n).sum::<f64>();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is an index"
        )]
        let index_of = |rank: f64| rank as usize;
        let quantile = |share: f64| {
            let rank = share * (n - 1.0);
            let index = index_of(rank.floor());
            let upper = present[(index + 1).min(present.len() - 1)];
            present[index] + (upper - present[index]) * (rank - rank.floor())
        };
        Some(Self {
            mean,
            standard_deviation: variance.sqrt(),
            quantiles: Quantiles {
                min,
                p01: quantile(0.01),
                p25: quantile(0.25),
                p50: quantile(0.5),
                p75: quantile(0.75),
                p99: quantile(0.99),
                max,
            },
            percentiles: (0..=100)
                .map(|percent| present[index_of((f64::from(percent) / 100.0 * (n - 1.0)).round())])
                .collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_leaves_missing_values_out() {
        let summary = FeatureSummary::of([3.0, f64::NAN, 1.0, 2.0, 4.0, 5.0].into_iter()).unwrap();
        assert!((summary.mean - 3.0).abs() < 1e-12);
        assert!((summary.standard_deviation - 2.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(
            (summary.quantiles.min, summary.quantiles.p25, summary.quantiles.max),
            (1.0, 2.0, 5.0)
        );
        assert_eq!(summary.quantiles.p01, 1.04);
        let expected = |percent: usize| 1.0 + ((percent as f64) / 25.0).round();
        assert_eq!(summary.percentiles, (0..=100).map(expected).collect::<Vec<_>>());
        assert_eq!(FeatureSummary::of([f64::NAN].into_iter()), None);
    }
}
