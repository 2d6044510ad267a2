//! A scorer: a forest, the views beside it and their calibration, all of the same rows.

use isoforest::{IsolationForest, PathSum, Samples};
use sensor::{Direction, Evidence};

use crate::calibration::{AlarmRule, Calibration};
use crate::detector::RowScore;
use crate::judge::{Judge, RawViews, Strangeness, UnscaledJudge};
use crate::learning::{FitError, too_small};
use crate::params::Params;

/// Everything that a row is judged by.
#[derive(Debug, Clone)]
pub(crate) struct Scorer {
    pub(crate) forest: IsolationForest,
    /// Out-of-bag path sums, ascending: the most anomalous first.
    pub(crate) sums: Vec<PathSum>,
    /// The views beside the forest; detectors of version 1 have none.
    pub(crate) judge: Option<Judge>,
    pub(crate) calibration: Calibration,
    /// The score above which the forest alone calls an event anomalous, by the limit of the calibration.
    pub(crate) threshold: f64,
}

/// A forest and the views beside it before they are calibrated.
pub(crate) struct Uncalibrated {
    forest: IsolationForest,
    sums: Vec<PathSum>,
    judge: UnscaledJudge,
}

impl Uncalibrated {
    /// Learns from rows; also returns the raw values of each by what was learnt without it.
    pub(crate) fn learn(
        rows: &Samples<'_>,
        params: &isoforest::Params,
    ) -> Result<(Self, Vec<RawViews>), isoforest::FitError> {
        // At most half of the rows, so that every row has trees that did not draw it.
        let sample_size = params.sample_size.min(rows.len() / 2);
        let fit = IsolationForest::fit(rows, &isoforest::Params { sample_size, ..*params })?;
        let sums = fit.training_path_sums(rows).out_of_bag;
        let forest = fit.forest;
        let exponent = |sum: &Option<PathSum>| sum.map_or(f64::NAN, |sum| forest.exponent(sum));
        let of_forest: Vec<f64> = sums.iter().map(exponent).collect();
        let (judge, raw) = UnscaledJudge::learn(rows.values(), rows.n_features(), &of_forest);
        let mut sums: Vec<PathSum> = sums.into_iter().flatten().collect();
        sums.sort_unstable();
        Ok((Self { forest, sums, judge }, raw))
    }

    /// Learns from some of these rows, and returns the raw values of others.
    pub(crate) fn raw_without(
        &self,
        others: &Samples<'_>,
        rows: &Samples<'_>,
        params: &isoforest::Params,
    ) -> Result<Vec<RawViews>, isoforest::FitError> {
        let (Self { forest, mut judge, .. }, _) = Self::learn(others, params)?;
        judge.speak_as(&self.judge);
        Ok(forest.map_path_sums(rows, |row, sum| judge.raw(row, forest.exponent(sum))))
    }

    /// Calibrates by the raw values of normal rows. A contamination is a share of `all`, or of these rows where that is
    /// `None`.
    pub(crate) fn calibrated(
        self,
        alarms: AlarmRule,
        raw: &[RawViews],
        all: Option<&Samples<'_>>,
    ) -> Result<Scorer, FitError> {
        let Self { forest, sums, judge } = self;
        let (judge, normal) = judge.scaled(raw);
        let calibration = match alarms {
            AlarmRule::FalseAlarmRate(rate) => {
                let n_events = normal.len();
                Calibration::for_rate(normal, rate).ok_or_else(|| too_small(rate, n_events))?
            }
            AlarmRule::Contamination(share) => {
                let strangeness =
                    |row: &[f64], sum| judge.strangeness(row, forest.exponent(sum)).value;
                let all = all.map(|all| forest.map_path_sums(all, strangeness));
                let all = all.unwrap_or_else(|| normal.clone());
                Calibration::for_contamination(normal, share, all)
            }
        };
        Ok(Scorer::new(forest, sums, Some(judge), calibration))
    }
}

impl Scorer {
    pub(crate) fn new(
        forest: IsolationForest,
        sums: Vec<PathSum>,
        judge: Option<Judge>,
        calibration: Calibration,
    ) -> Self {
        let limit = calibration.limit();
        let threshold = match &judge {
            Some(judge) => judge.forest_at(limit).exp2().clamp(f64::MIN_POSITIVE, 1.0),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturation is what is wanted"
            )]
            None => match (-limit) as u64 {
                0 => 1.0,
                below => forest.score(PathSum::from_bits(below - 1)),
            },
        };
        Self { forest, sums, judge, calibration, threshold }
    }

    /// Learns from rows. `all` has these and what was left out of the training: a contamination is a share of all.
    pub(crate) fn learn(
        rows: &Samples<'_>,
        all: &Samples<'_>,
        params: &Params,
    ) -> Result<Self, FitError> {
        let (learnt, raw) = Uncalibrated::learn(rows, &params.forest)?;
        learnt.calibrated(params.alarms, &raw, Some(all))
    }

    /// Judges rows in parallel.
    pub(crate) fn judge_rows(&self, rows: &Samples<'_>) -> Vec<RowScore> {
        self.forest.map_path_sums(rows, |row, sum| self.row_score(sum, self.strangeness(row, sum)))
    }

    /// Judges a row.
    pub(crate) fn judge_row(&self, row: &[f64]) -> RowScore {
        let sum = self.forest.path_sum(row);
        self.row_score(sum, self.strangeness(row, sum))
    }

    fn row_score(&self, sum: PathSum, strangeness: Strangeness) -> RowScore {
        let Strangeness { value, evidence } = strangeness;
        RowScore {
            anomaly_score: self.forest.score(sum),
            p_value: self.calibration.p_value(value),
            is_anomaly: self.calibration.is_anomaly(value),
            evidence,
        }
    }

    /// Says how strange a row with this path sum is.
    fn strangeness(&self, row: &[f64], sum: PathSum) -> Strangeness {
        match &self.judge {
            Some(judge) => judge.strangeness(row, self.forest.exponent(sum)),
            None => Strangeness { value: by_forest(sum), evidence: Evidence::Forest },
        }
    }

    /// Returns how much each value of a row pushes it towards anomalous in the eyes of this evidence, and in which
    /// direction it lies.
    pub(crate) fn pushes(&self, row: &[f64], evidence: Evidence) -> Vec<(f64, Option<Direction>)> {
        let Some(judge) = &self.judge else {
            let contributions = self.forest.contributions(row);
            return contributions.into_iter().map(|contribution| (contribution, None)).collect();
        };
        let sides =
            || row.iter().enumerate().map(|(feature, &x)| judge.is_high(feature, x)).collect();
        let (pushes, is_high): (Vec<f64>, Vec<bool>) = match evidence {
            Evidence::Forest => (self.forest.contributions(row), sides()),
            Evidence::Outside => (judge.nats_of(row), sides()),
            Evidence::Relation => {
                let deviations =
                    judge.residuals_of(row).into_iter().map(|residual| residual.deviations);
                deviations.map(|deviations| (deviations.abs(), deviations > 0.0)).unzip()
            }
        };
        let direction = |is_high: bool| if is_high { Direction::High } else { Direction::Low };
        let directions =
            row.iter().zip(is_high).map(|(x, is_high)| (!x.is_nan()).then(|| direction(is_high)));
        pushes.into_iter().zip(directions).collect()
    }
}

/// Returns how strange the forest alone finds a row, rising with strangeness.
pub(crate) fn by_forest(sum: PathSum) -> f64 {
    -(sum.to_bits() as f64)
}
