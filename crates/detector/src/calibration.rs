//! The calibration: path sums of normal events, and the cut made from them.

use isoforest::{IsolationForest, PathSum, Threshold, TrainingPathSums};

/// When an event is called anomalous.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AlarmRule {
    /// When its p-value is at most this share of normal events; between 0 and 1.
    FalseAlarmRate(f64),
    /// When its score is above that of all but this share of the training events, which are taken
    /// to be contaminated; above 0 and up to 0.5. This is scikit-learn's rule of the same name.
    Contamination(f64),
}

impl Default for AlarmRule {
    fn default() -> Self {
        Self::FalseAlarmRate(0.01)
    }
}

impl AlarmRule {
    /// Returns the share of events that are to be called anomalous.
    pub fn share(self) -> f64 {
        match self {
            Self::FalseAlarmRate(share) | Self::Contamination(share) => share,
        }
    }

    /// Returns `true` if the share is one that the rule can work with.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::FalseAlarmRate(rate) => rate > 0.0 && rate < 1.0,
            Self::Contamination(share) => share > 0.0 && share <= 0.5,
        }
    }
}

/// The path sums of normal events, and how the cut is made from them. All integers, so that no
/// logarithm of a platform gets into a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    /// Out-of-bag sums, ascending: the most anomalous first.
    pub(crate) sums: Vec<PathSum>,
    pub(crate) cut: Cut,
}

/// The place of the cut.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Cut {
    FalseAlarmRate(f64),
    /// Between two neighbours among the in-sample sums, `weight` of the way from the lower one.
    Contamination {
        share: f64,
        lower: PathSum,
        upper: PathSum,
        weight: f64,
    },
}

impl Calibration {
    /// Sorts the path sums of a fit and places the cut.
    pub(crate) fn new(sums: TrainingPathSums, rule: AlarmRule) -> Self {
        let mut out_of_bag: Vec<PathSum> = sums.out_of_bag.into_iter().flatten().collect();
        out_of_bag.sort_unstable();
        let cut = match rule {
            AlarmRule::FalseAlarmRate(rate) => Cut::FalseAlarmRate(rate),
            AlarmRule::Contamination(share) => {
                let mut in_sample = sums.in_sample;
                in_sample.sort_unstable();
                let rank = (in_sample.len() - 1) as f64 * share;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a rank is an index"
                )]
                let index = rank.floor() as usize;
                let lower = in_sample[index];
                let upper = in_sample[(index + 1).min(in_sample.len() - 1)];
                Cut::Contamination { share, lower, upper, weight: rank - rank.floor() }
            }
        };
        Self { sums: out_of_bag, cut }
    }

    /// Returns `true` if the rule can be kept: the smallest p-value there is depends on the number of sums.
    pub(crate) fn is_usable(&self) -> bool {
        let rule = self.rule();
        match rule {
            AlarmRule::FalseAlarmRate(rate) => rule.is_valid() && self.p_value_of_rank(0) <= rate,
            AlarmRule::Contamination(_) => rule.is_valid(),
        }
    }

    /// Returns the share of normal events that score as high, in (0, 1]; the event itself counts as one.
    pub(crate) fn p_value(&self, sum: PathSum) -> f64 {
        self.p_value_of_rank(self.sums.partition_point(|&normal| normal <= sum))
    }

    fn p_value_of_rank(&self, n_as_strange: usize) -> f64 {
        (n_as_strange + 1) as f64 / (self.sums.len() + 1) as f64
    }

    /// Returns how many normal events may be as strange as an anomaly: the most for which the p-value is
    /// still at most `rate`. So an anomaly is stranger than the next one, which has this index.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length"
    )]
    fn n_tolerated(&self, rate: f64) -> usize {
        // Close above the answer; the p-value itself decides, so that both always agree.
        let mut n_tolerated = (rate * self.sums.len() as f64).ceil() as usize;
        while n_tolerated > 0 && self.p_value_of_rank(n_tolerated) > rate {
            n_tolerated -= 1;
        }
        n_tolerated
    }

    pub(crate) fn rule(&self) -> AlarmRule {
        match self.cut {
            Cut::FalseAlarmRate(rate) => AlarmRule::FalseAlarmRate(rate),
            Cut::Contamination { share, .. } => AlarmRule::Contamination(share),
        }
    }

    /// Returns the cut, and the score at which it is shown.
    pub(crate) fn threshold(&self, forest: &IsolationForest) -> (Threshold, f64) {
        match self.cut {
            Cut::FalseAlarmRate(rate) => {
                let threshold = Threshold::below(self.sums[self.n_tolerated(rate)]);
                let shown = threshold.least_anomalous().map_or(1.0, |sum| forest.score(sum));
                (threshold, shown)
            }
            Cut::Contamination { lower, upper, weight, .. } => {
                let (lower, upper) = (forest.score(lower), forest.score(upper));
                let score = lower + (upper - lower) * weight;
                (forest.threshold_above(score), score)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(n: u64, rule: AlarmRule) -> Calibration {
        // In descending order, as a fit may give them; every sum occurs once.
        let sums: Vec<PathSum> = (1..=n).rev().map(|i| PathSum::from_bits(i << 40)).collect();
        let out_of_bag = sums.iter().copied().map(Some).collect();
        Calibration::new(TrainingPathSums { in_sample: sums, out_of_bag }, rule)
    }

    fn forest() -> IsolationForest {
        let samples = isoforest::Samples::new(&[0.0, 1.0, 2.0, 4.0], 1).unwrap();
        let params = isoforest::Params { n_trees: 1, ..isoforest::Params::default() };
        IsolationForest::fit(&samples, &params).unwrap().forest
    }

    #[test]
    fn the_cut_and_the_p_value_agree_for_every_rate() {
        for n in [1, 2, 3, 9, 99, 100, 299, 1_000] {
            for rate in [0.001, 0.01, 0.05, 0.07, 0.1, 0.29, 1.0 / 3.0, 0.5, 0.999] {
                let calibration = calibration(n, AlarmRule::FalseAlarmRate(rate));
                if !calibration.is_usable() {
                    continue;
                }
                let (threshold, _) = calibration.threshold(&forest());
                for bits in
                    (0..=n + 1).flat_map(|i| [(i << 40).saturating_sub(1), i << 40, (i << 40) + 1])
                {
                    let sum = PathSum::from_bits(bits);
                    let is_anomaly = calibration.p_value(sum) <= rate;
                    assert_eq!(
                        threshold.is_exceeded_by(sum),
                        is_anomaly,
                        "n {n}, rate {rate}, sum {bits}"
                    );
                }
            }
        }
    }

    #[test]
    fn p_values_count_normal_events_that_are_as_strange() {
        let calibration = calibration(99, AlarmRule::default());
        assert_eq!(calibration.p_value(PathSum::ZERO), 0.01);
        assert_eq!(calibration.p_value(PathSum::from_bits(1 << 40)), 0.02);
        assert_eq!(calibration.p_value(PathSum::from_bits(1 << 50)), 1.0);
    }

    #[test]
    fn contamination_cuts_between_the_training_scores() {
        let forest = forest();
        // Rank 0.1 * 10 = 1: on the second strangest of eleven, which is not above its own score.
        let (threshold, score) = calibration(11, AlarmRule::Contamination(0.1)).threshold(&forest);
        assert_eq!(score, forest.score(PathSum::from_bits(2 << 40)));
        assert!(threshold.is_exceeded_by(PathSum::from_bits(1 << 40)));
        assert!(!threshold.is_exceeded_by(PathSum::from_bits(2 << 40)));

        // Rank 1.5: half-way between the scores of the second and the third.
        let (threshold, score) = calibration(11, AlarmRule::Contamination(0.15)).threshold(&forest);
        let scores = [2, 3].map(|i| forest.score(PathSum::from_bits(i << 40)));
        assert_eq!(score, scores[0] + (scores[1] - scores[0]) * 0.5);
        assert!(threshold.is_exceeded_by(PathSum::from_bits(2 << 40)));
        assert!(!threshold.is_exceeded_by(PathSum::from_bits(3 << 40)));
    }
}
