//! Drift: the distance of values from those of the training.

use std::fmt;

use crate::meta::FeatureMeta;

/// The distance of a feature's values from those of the training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureDrift {
    /// The number of values that were compared with the training.
    pub n_values: usize,
    /// Population stability index over tenths of the training, 0 where nothing has moved: the sum of
    /// (a - e) ln(a / e) over shares a now and e in training (Siddiqi 2006, Credit Risk Scorecards).
    pub psi: f64,
    /// Kolmogorov-Smirnov statistic, 0 to 1: the largest difference between the shares of values,
    /// now and in training, that are at most some value. Known to a hundredth.
    pub ks: f64,
    /// Share of values below the lowest, or above the highest, of the training, 0 to 1.
    pub outside: f64,
}

/// The degree of a drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriftDegree {
    /// There are too few values to tell.
    Unknown,
    /// Values are as in training.
    Stable,
    /// Values have moved, and somebody should know why.
    Moderate,
    /// Values differ from the training.
    Large,
}

/// Fewer values can look moved by chance.
const N_VALUES_MIN: usize = 200;
/// From here on, a PSI is called moderate, and large, by custom.
const PSI_MODERATE: f64 = 0.1;
const PSI_LARGE: f64 = 0.25;
/// When half of all values lie elsewhere they differ, also where so many were equal in training that
/// a PSI has no parts to compare.
const KS_LARGE: f64 = 0.5;
/// Parts of the training that a PSI compares.
const N_PARTS: usize = 10;

impl FeatureDrift {
    /// Returns the degree.
    pub fn degree(&self) -> DriftDegree {
        if self.n_values < N_VALUES_MIN {
            DriftDegree::Unknown
        } else if self.psi >= PSI_LARGE || self.ks >= KS_LARGE {
            DriftDegree::Large
        } else if self.psi >= PSI_MODERATE {
            DriftDegree::Moderate
        } else {
            DriftDegree::Stable
        }
    }
}

impl DriftDegree {
    /// Returns its name in one word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Stable => "stable",
            Self::Moderate => "moderate",
            Self::Large => "large",
        }
    }
}

/// The sentence that says what it means.
impl fmt::Display for DriftDegree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "There are too few values to compare with the training.",
            Self::Stable => "On the whole, values are distributed as in training.",
            Self::Moderate => "Values have moved a little since the training: find out why.",
            Self::Large => {
                "Values differ from the training, so scores mean less: fix the cause, or retrain if this is normal now."
            }
        })
    }
}

impl FeatureMeta {
    /// Compares values with those of the training; NaN for a missing one, which is left out.
    ///
    /// `None` when the metadata does not say how the values of the training were distributed.
    pub fn drift(&self, values: impl Iterator<Item = f64>) -> Option<FeatureDrift> {
        let training = Distribution::of(self.percentiles.as_deref()?)?;
        let mut present: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        present.sort_unstable_by(f64::total_cmp);
        let n_values = present.len();
        if n_values == 0 {
            return Some(FeatureDrift { n_values, psi: 0.0, ks: 0.0, outside: 0.0 });
        }
        let share_up_to =
            |value: f64| present.partition_point(|other| *other <= value) as f64 / n_values as f64;
        let share_below =
            |value: f64| present.partition_point(|other| *other < value) as f64 / n_values as f64;

        let ks = training.steps.iter().fold(0.0_f64, |ks, step| {
            let below = (share_below(step.value) - step.below).abs();
            ks.max(below).max((share_up_to(step.value) - step.up_to).abs())
        });
        let (low, high) = training.range();
        let outside = share_below(low) + 1.0 - share_up_to(high);
        Some(FeatureDrift { n_values, psi: training.psi(share_up_to, n_values), ks, outside })
    }
}

impl FeatureMeta {
    /// Returns the share of the values of the training that are at most this one, between two percentiles by a
    /// straight line; `None` when the metadata does not say how they were distributed.
    pub fn share_up_to(&self, value: f64) -> Option<f64> {
        let percentiles = self.percentiles.as_deref()?;
        let n_parts = percentiles.len().checked_sub(1).filter(|n| *n > 0)? as f64;
        let n_up_to = percentiles.partition_point(|percentile| *percentile <= value);
        let (Some(&low), Some(&high)) = (
            n_up_to.checked_sub(1).and_then(|last| percentiles.get(last)),
            percentiles.get(n_up_to),
        ) else {
            return Some(if n_up_to == 0 { 0.0 } else { 1.0 });
        };
        let part = (value - low) / (high - low);
        Some(((n_up_to - 1) as f64 + part) / n_parts)
    }
}

/// The distribution function of the training, at the values where it is known.
struct Distribution {
    steps: Vec<Step>,
}

/// A value of the training, with the shares of values below it, and up to it.
struct Step {
    value: f64,
    below: f64,
    up_to: f64,
}

impl Distribution {
    /// Reads percentiles, the lowest value first and the highest last.
    fn of(percentiles: &[f64]) -> Option<Self> {
        let last = percentiles.len().checked_sub(1).filter(|last| *last > 0)?;
        let share = |index: usize| index as f64 / last as f64;
        let mut steps: Vec<Step> = Vec::new();
        for (index, &value) in percentiles.iter().enumerate() {
            match steps.last_mut() {
                Some(step) if step.value == value => step.up_to = share(index),
                _ => steps.push(Step { value, below: share(index), up_to: share(index) }),
            }
        }
        Some(Self { steps })
    }

    /// Returns the lowest value and the highest.
    fn range(&self) -> (f64, f64) {
        let value = |step: Option<&Step>| step.map_or(f64::NAN, |step| step.value);
        (value(self.steps.first()), value(self.steps.last()))
    }

    /// Returns the stability index over parts of about a tenth; wider ones where many values are equal.
    fn psi(&self, share_up_to: impl Fn(f64) -> f64, n_values: usize) -> f64 {
        let width = 1.0 / N_PARTS as f64;
        let mut edges: Vec<&Step> = Vec::new();
        for step in &self.steps {
            let last = edges.last().map_or(0.0, |edge| edge.up_to);
            // Half a hundredth hides that a tenth is no binary fraction.
            if step.up_to - last >= width - 0.005 && step.up_to < 1.0 - width / 2.0 {
                edges.push(step);
            }
        }
        // A part without a value would count as infinitely far: it is taken to have half of one.
        let least = 0.5 / n_values as f64;
        let mut psi = 0.0;
        let (mut expected_before, mut actual_before) = (0.0, 0.0);
        let inner = edges.iter().map(|edge| (edge.up_to, share_up_to(edge.value)));
        for (expected, actual) in inner.chain([(1.0, 1.0)]) {
            let e = expected - expected_before;
            let a = f64::max(actual - actual_before, least);
            psi += (a - e) * (a / e).ln();
            (expected_before, actual_before) = (expected, actual);
        }
        psi
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::FeatureSummary;

    fn feature(training: &[f64]) -> FeatureMeta {
        let summary = FeatureSummary::of(training.iter().copied());
        FeatureMeta::new(&sensor::Feature::named("heat"), summary)
    }

    /// Returns `n` values spread evenly from `from` to `to`.
    fn even(from: f64, to: f64, n: usize) -> Vec<f64> {
        (0..n).map(|i| from + (to - from) * (i as f64 + 0.5) / n as f64).collect()
    }

    #[track_caller]
    fn check(training: &[f64], now: &[f64], psi: f64, ks: f64, degree: DriftDegree) {
        let drift = feature(training).drift(now.iter().copied()).unwrap();
        assert!((drift.psi - psi).abs() < 0.01, "{drift:?}");
        assert!((drift.ks - ks).abs() < 0.011, "{drift:?}");
        assert_eq!(drift.degree(), degree, "{drift:?}");
    }

    #[test]
    fn a_drift_is_as_large_as_the_difference_of_the_distributions() {
        let training = even(0.0, 100.0, 10_000);
        check(&training, &even(0.0, 100.0, 1_000), 0.0, 0.0, DriftDegree::Stable);
        check(&training, &even(0.0, 100.0, 100), 0.0, 0.0, DriftDegree::Unknown);
        check(&training, &[], 0.0, 0.0, DriftDegree::Unknown);
        // Moved by 5: half of the lowest tenth's share goes to the highest.
        let psi = (0.05 - 0.1) * (0.5_f64).ln() + (0.15 - 0.1) * (1.5_f64).ln();
        check(&training, &even(5.0, 105.0, 10_000), psi, 0.05, DriftDegree::Stable);
        // Spread twice as wide around the same middle.
        let psi = 8.0 * (0.05 - 0.1) * (0.5_f64).ln() + 2.0 * (0.3 - 0.1) * (3.0_f64).ln();
        check(&training, &even(-50.0, 150.0, 10_000), psi, 0.25, DriftDegree::Large);
    }

    #[test]
    fn values_that_are_often_equal_are_compared_by_their_shares() {
        // On and off: off for 60 % in training, for 30 % now.
        let on_off = |n_off: usize| (0..1_000).map(|i| f64::from(i >= n_off)).collect::<Vec<_>>();
        check(&on_off(600), &on_off(600), 0.0, 0.0, DriftDegree::Stable);
        let psi = (0.3 - 0.6) * (0.5_f64).ln() + (0.7 - 0.4) * (1.75_f64).ln();
        check(&on_off(600), &on_off(300), psi, 0.3, DriftDegree::Large);
        // A constant that stays, and one that changes.
        check(&[5.0; 500], &[5.0; 500], 0.0, 0.0, DriftDegree::Stable);
        let drift = feature(&[5.0; 500]).drift([6.0; 500].into_iter()).unwrap();
        assert_eq!((drift.ks, drift.outside, drift.degree()), (1.0, 1.0, DriftDegree::Large));
    }

    #[test]
    fn shares_of_the_training_are_known_between_percentiles() {
        let feature = feature(&even(0.0, 100.0, 10_000));
        for (value, share) in [(-1.0, 0.0), (0.5, 0.005), (50.0, 0.5), (77.3, 0.773), (101.0, 1.0)]
        {
            let found = feature.share_up_to(value).unwrap();
            assert!((found - share).abs() < 1e-3, "{value}: {found}");
        }
    }

    #[test]
    fn values_that_were_never_seen_are_counted() {
        let training = feature(&even(0.0, 100.0, 10_000));
        let now = even(0.0, 100.0, 980).into_iter().chain([-3.0; 15]).chain([250.0; 5]);
        let drift = training.drift(now).unwrap();
        assert!((drift.outside - 0.02).abs() < 1e-9, "{drift:?}");
        assert_eq!(drift.degree(), DriftDegree::Stable);
    }

    #[test]
    fn missing_values_are_left_out() {
        let drift = feature(&even(0.0, 1.0, 1_000)).drift([f64::NAN, 0.5].into_iter()).unwrap();
        assert_eq!(drift.n_values, 1);
        let unknown = FeatureMeta::new(&sensor::Feature::named("heat"), None);
        assert_eq!(unknown.drift([1.0].into_iter()), None);
    }
}
