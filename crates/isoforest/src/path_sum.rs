//! Path lengths as integers: exact sums in any order, exact comparisons.

/// Number of binary places of a path length.
const FRACTIONAL_BITS: u32 = 40;
const ONE: f64 = (1_u64 << FRACTIONAL_BITS) as f64;

/// The sum of a point's path lengths over the trees of a forest, in fixed point.
///
/// **Lower is more anomalous**: it takes fewer cuts to set the point apart. Integers add up to the
/// same sum in whatever order trees are walked, so scores do not depend on threads or instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct PathSum(u64);

impl PathSum {
    /// The sum over no tree.
    pub const ZERO: Self = Self(0);
    /// Sums stay below this, so that they can be added without a check.
    pub(crate) const MAX: Self = Self(1 << 62);

    /// Returns the sum with this bit pattern: a path length of 1 is 2^40.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Returns the bit pattern: a path length of 1 is 2^40.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// Returns the length of a path of `n_cuts` cuts.
    pub(crate) fn from_cuts(n_cuts: u32) -> Self {
        Self(u64::from(n_cuts) << FRACTIONAL_BITS)
    }

    /// Rounds a path length to the nearest representable one.
    #[expect(clippy::cast_sign_loss, reason = "lengths are small and not negative")]
    pub(crate) fn from_length(length: f64) -> Self {
        Self((length * ONE).round() as u64)
    }

    /// Returns the sum as a number of cuts.
    pub(crate) fn to_length(self) -> f64 {
        self.0 as f64 / ONE
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self(self.0 + other.0)
    }

    pub(crate) fn minus(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }

    /// Returns by how much a path is shorter when `after` is expected instead, times a share of it.
    #[expect(clippy::cast_possible_truncation, reason = "path sums stay below 2^62")]
    pub(crate) fn shortened_to(self, after: Self, share: f64) -> i64 {
        let difference = self.0.cast_signed() - after.0.cast_signed();
        if share == 1.0 { difference } else { (difference as f64 * share).round() as i64 }
    }

    pub(crate) fn times(self, count: usize) -> Self {
        Self(self.0.saturating_mul(count as u64))
    }

    /// Extrapolates the sum from the `n_walked` trees that were walked to `n_trees`.
    pub(crate) fn extrapolated(self, n_walked: usize, n_trees: usize) -> Self {
        let doubled = u128::from(self.0) * n_trees as u128 * 2;
        let rounded = (doubled / n_walked as u128).div_ceil(2);
        Self(
            u64::try_from(rounded)
                .expect("a mean path length times the number of trees is a path sum"),
        )
    }
}

/// A cut on the anomaly score, held as the path sum below which a point is anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    below: PathSum,
}

impl Threshold {
    /// Calls anomalous what has a path sum below `sum`.
    pub const fn below(sum: PathSum) -> Self {
        Self { below: sum }
    }

    /// Returns `true` if a point with this path sum is anomalous.
    pub fn is_exceeded_by(self, sum: PathSum) -> bool {
        sum < self.below
    }

    /// Returns the largest path sum, hence the lowest score, that is anomalous; `None` when nothing is.
    pub fn least_anomalous(self) -> Option<PathSum> {
        self.below.0.checked_sub(1).map(PathSum)
    }
}

/// The conversion of path sums to scores: the denominator T c(ψ) of the exponent, in fixed point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scale {
    n_trees: usize,
    average_path_length: PathSum,
    denominator: PathSum,
}

impl Scale {
    pub(crate) fn new(n_trees: usize, average_path_length: f64) -> Self {
        let average_path_length = PathSum::from_length(average_path_length);
        Self { n_trees, average_path_length, denominator: average_path_length.times(n_trees) }
    }

    /// Returns c(ψ).
    pub(crate) fn average_path_length(self) -> PathSum {
        self.average_path_length
    }

    /// Returns the anomaly score 2^(-E\[h(x)\] / c(ψ)), Eq. 2 of Liu et al. 2008.
    ///
    /// If c(ψ) is 0, for trees of one sample, every score is 0.5.
    pub(crate) fn score(self, sum: PathSum) -> f64 {
        // Imported trees may be so deep that the power underflows; a score is above 0.
        self.exponent_of(sum).exp2().max(f64::MIN_POSITIVE)
    }

    /// Returns the exponent -E\[h(x)\] / c(ψ) of the score; -1 if c(ψ) is 0.
    pub(crate) fn exponent_of(self, sum: PathSum) -> f64 {
        if self.denominator == PathSum::ZERO {
            return -1.0;
        }
        -(sum.0 as f64 / self.denominator.0 as f64)
    }

    /// Returns the cut that a point exceeds when its score is strictly above `score`.
    ///
    /// A score that comes from elsewhere carries rounding errors that a path sum does not. Scores
    /// closer to the cut than one unit of the fixed point a tree count as on it.
    #[expect(clippy::cast_sign_loss, reason = "saturation is what is wanted")]
    pub(crate) fn threshold_above(self, score: f64) -> Threshold {
        let sum_on_cut = (-score.log2() * self.denominator.0 as f64).round() as u64;
        Threshold::below(PathSum(sum_on_cut.saturating_sub(self.n_trees as u64)))
    }

    /// Returns a difference of path sums in units of the exponent of the score.
    pub(crate) fn exponent(self, difference: i64) -> f64 {
        if self.denominator == PathSum::ZERO {
            0.0
        } else {
            difference as f64 / self.denominator.0 as f64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::average_path_length;

    #[test]
    fn an_average_path_scores_one_half() {
        for sample_size in [2, 3, 17, 256, 4_096] {
            let c = average_path_length(sample_size);
            let sum = PathSum::from_length(c).times(137);
            assert_eq!(Scale::new(137, c).score(sum).to_bits(), 0.5_f64.to_bits());
        }
    }

    #[test]
    fn a_score_is_never_zero() {
        let scale = Scale::new(1, 1.0);
        assert_eq!(scale.score(PathSum::ZERO), 1.0);
        assert!(scale.score(PathSum::from_length(5_000.0)) > 0.0);
    }

    #[test]
    fn a_score_on_the_cut_does_not_exceed_it() {
        let scale = Scale::new(100, average_path_length(256));
        for length in [0.0, 3.7, 6.2, 10.2, 12.9] {
            let sum = PathSum::from_length(length).times(100);
            let threshold = scale.threshold_above(scale.score(sum));
            assert!(!threshold.is_exceeded_by(sum));
            if length > 0.0 {
                assert!(threshold.is_exceeded_by(PathSum::from_length(length - 1e-9).times(100)));
            }
        }
    }

    #[test]
    fn extrapolation_keeps_the_mean() {
        assert_eq!(PathSum(300).extrapolated(3, 100), PathSum(10_000));
        assert_eq!(PathSum(10).extrapolated(3, 3), PathSum(10));
    }
}
