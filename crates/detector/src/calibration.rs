//! The calibration: how strange normal events are, and from where on an event is an anomaly.

/// When an event is called anomalous.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AlarmRule {
    /// When its p-value is at most this share of normal events; between 0 and 1.
    FalseAlarmRate(f64),
    /// When it is stranger than all but this share of the training events, which are taken to be
    /// contaminated; above 0 and up to 0.5. scikit-learn has a rule of this name for a forest alone.
    Contamination(f64),
}

impl Default for AlarmRule {
    fn default() -> Self {
        Self::FalseAlarmRate(0.01)
    }
}

impl AlarmRule {
    /// Reads a false-alarm rate as programs take it.
    ///
    /// # Errors
    ///
    /// Fails when the text is no number between 0 and 1.
    pub fn parse_rate(text: &str) -> Result<f64, String> {
        let rate = text.parse().ok().filter(|rate| Self::FalseAlarmRate(*rate).is_valid());
        rate.ok_or_else(|| String::from("must be a number between 0 and 1, such as 0.01"))
    }

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

/// The strangeness of normal events, and the limit made from it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    rule: AlarmRule,
    /// Of training events, each judged as if it had not been learnt; the strangest first.
    normal: Vec<f64>,
    /// An event that is stranger is an anomaly.
    limit: f64,
}

impl Calibration {
    /// Calibrates for a false-alarm rate; `None` when so few events cannot tell so small a rate.
    pub(crate) fn for_rate(normal: Vec<f64>, rate: f64) -> Option<Self> {
        let rule = AlarmRule::FalseAlarmRate(rate);
        let mut calibration = Self { rule, normal: descending(normal), limit: f64::INFINITY };
        if !rule.is_valid() || calibration.p_value_of_rank(0) > rate {
            return None;
        }
        calibration.limit = calibration.normal[calibration.n_tolerated(rate)];
        Some(calibration)
    }

    /// Calibrates for a contamination. `all` says how strange each of the training events is to what was
    /// learnt from them.
    pub(crate) fn for_contamination(normal: Vec<f64>, share: f64, all: Vec<f64>) -> Self {
        let all = descending(all);
        let rank = (all.len() - 1) as f64 * share;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is an index"
        )]
        let index = rank.floor() as usize;
        let [stranger, other] = [index, index + 1].map(|index| all[index.min(all.len() - 1)]);
        let limit = stranger + (other - stranger) * (rank - rank.floor());
        Self { rule: AlarmRule::Contamination(share), normal: descending(normal), limit }
    }

    /// Takes over a calibration that was written down, `normal` in its order; `None` if the parts are
    /// inconsistent.
    pub(crate) fn from_parts(rule: AlarmRule, normal: Vec<f64>, limit: f64) -> Option<Self> {
        let is_descending = normal.is_sorted_by(|a, b| a.total_cmp(b).is_ge());
        if normal.is_empty() || normal.iter().any(|value| value.is_nan()) || !is_descending {
            return None;
        }
        match rule {
            AlarmRule::FalseAlarmRate(rate) => Self::for_rate(normal, rate),
            AlarmRule::Contamination(_) => (rule.is_valid() && !limit.is_nan()).then(|| Self {
                rule,
                normal: descending(normal),
                limit,
            }),
        }
    }

    /// Returns the same calibration for another false-alarm rate; `None` when so few events cannot tell it.
    pub(crate) fn with_rate(&self, rate: f64) -> Option<Self> {
        Self::for_rate(self.normal.clone(), rate)
    }

    /// Returns how strange normal events are, the strangest first.
    pub(crate) fn normal(&self) -> &[f64] {
        &self.normal
    }

    pub(crate) fn rule(&self) -> AlarmRule {
        self.rule
    }

    /// Returns what anomalies are stranger than.
    pub(crate) fn limit(&self) -> f64 {
        self.limit
    }

    /// Returns `true` if an event as strange as this is an anomaly.
    pub(crate) fn is_anomaly(&self, strangeness: f64) -> bool {
        strangeness > self.limit
    }

    /// Returns the share of normal events that are as strange, in (0, 1]; the event itself counts as one.
    pub(crate) fn p_value(&self, strangeness: f64) -> f64 {
        self.p_value_of_rank(self.normal.partition_point(|&normal| normal >= strangeness))
    }

    fn p_value_of_rank(&self, n_as_strange: usize) -> f64 {
        (n_as_strange + 1) as f64 / (self.normal.len() + 1) as f64
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
        let mut n_tolerated = (rate * self.normal.len() as f64).ceil() as usize;
        while n_tolerated > 0 && self.p_value_of_rank(n_tolerated) > rate {
            n_tolerated -= 1;
        }
        n_tolerated
    }
}

fn descending(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In any order, as a fit may give them; every value occurs once.
    fn normal(n: u32) -> Vec<f64> {
        (1..=n).map(f64::from).collect()
    }

    #[test]
    fn the_cut_and_the_p_value_agree_for_every_rate() {
        for n in [1, 2, 3, 9, 99, 100, 299, 1_000] {
            for rate in [0.001, 0.01, 0.05, 0.07, 0.1, 0.29, 1.0 / 3.0, 0.5, 0.999] {
                let Some(calibration) = Calibration::for_rate(normal(n), rate) else { continue };
                for value in (0..=n + 1).map(f64::from) {
                    for value in [value.next_down(), value, value.next_up()] {
                        let is_anomaly = calibration.p_value(value) <= rate;
                        assert_eq!(
                            calibration.is_anomaly(value),
                            is_anomaly,
                            "n {n}, rate {rate}, {value}"
                        );
                    }
                }
            }
        }
        assert_eq!(Calibration::for_rate(normal(98), 0.01), None);
        assert!(Calibration::for_rate(normal(99), 0.01).is_some());
    }

    #[test]
    fn p_values_count_normal_events_that_are_as_strange() {
        let calibration = Calibration::for_rate(normal(99), 0.01).unwrap();
        assert_eq!(calibration.p_value(f64::INFINITY), 0.01);
        assert_eq!(calibration.p_value(99.0), 0.02);
        assert_eq!(calibration.p_value(0.0), 1.0);
        assert_eq!(calibration.with_rate(0.001), None);
        assert_eq!(calibration.with_rate(0.02).unwrap().limit(), 98.0);
    }

    #[test]
    fn contamination_cuts_between_the_training_events() {
        let limit = |share| Calibration::for_contamination(normal(11), share, normal(11)).limit();
        // Rank 0.1 * 10 = 1: on the second strangest of eleven, which is not above itself.
        assert_eq!(limit(0.1), 10.0);
        // Rank 1.5: half-way between the second and the third.
        assert_eq!(limit(0.15), 9.5);
    }
}
