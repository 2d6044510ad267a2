//! Two views beside the forest for all that it cannot see, and one scale for all three.
//!
//! A forest cannot tell a value a little above the highest of training from a million, and one sensor
//! among many moves it not at all. So two views stand beside it: **outside**, the rarest side of any
//! value by the [tail](tail::Tail) of its feature, and **relation**, the [residual](relation::Relation)
//! of each value given all others. Training rows, each judged by what was learnt without it, say how
//! often normal rows get as far; so all views speak in nats of normal rows, and the strangest counts.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks are indices, and rows and features are counted in 32 bits"
)]

mod bounds;
mod relation;
mod screening;
mod symmetric;
mod tail;
#[cfg(test)]
mod tests;

use sensor::Evidence;

use self::relation::Residual;
pub(crate) use self::relation::{Column, RELATED_MAX, Relation};
pub(crate) use self::screening::{LeftOutRow, rows_beyond_a_gap};
use self::tail::{CALM_NATS, LearntTail, TailSet, Tails};
pub(crate) use self::tail::{Tail, TailParts};
use crate::column::{by_ranges, column, present};

/// ln 4: the alarm budget of the forest over that of each other view, two thirds against a sixth.
const HANDICAP: f64 = 1.386_294_361_119_890_6;

/// ln 200: one value in 200 lies beyond either end of what is expected.
const EXPECTED_NATS: f64 = 5.298_317_366_548_036;

/// More than the rounding of nats, by which a bound may be too low.
const ROUNDING_NATS: f64 = 1e-9;

/// The views beside the forest, and the scale of all three.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Judge {
    /// Of each feature.
    tails: TailSet,
    pub(crate) relation: Relation,
    /// Of the residuals of each feature.
    residuals: TailSet,
    /// The raw values of the views in nats of normal rows.
    scales: [Tail; 3],
}

/// The raw values of the views of a row, each rising with strangeness: forest, outside, relation. That of the forest is NaN
/// where every tree has drawn the row.
pub(crate) type RawViews = [f64; 3];

/// The views beside the forest before they are on one scale.
pub(crate) struct UnscaledJudge {
    tails: TailSet,
    relation: Relation,
    residuals: TailSet,
}

/// The strangeness of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Strangeness {
    /// Compared with the limit of the calibration.
    pub(crate) value: f64,
    /// The view that says so.
    pub(crate) evidence: Evidence,
}

impl UnscaledJudge {
    /// Learns from the values of one row after another, NaN for a missing one. `forest` says of each row how
    /// strange the trees find it that have not drawn it.
    ///
    /// Also returns the raw values of each row by what was learnt without it.
    pub(crate) fn learn(
        values: &[f64],
        n_features: usize,
        forest: &[f64],
    ) -> (Self, Vec<RawViews>) {
        let n_rows = forest.len();
        let mut raw: Vec<RawViews> = forest.iter().map(|&forest| [forest, 0.0, 0.0]).collect();
        let mut tails = Vec::with_capacity(n_features);
        for feature in 0..n_features {
            let column = column(values, n_features, feature);
            tails.push(Tails::learn(&column, |row, nats| raw[row][1] = raw[row][1].max(nats)));
        }

        let relation = Relation::learn(values, n_features);
        let mut by_feature = vec![f64::NAN; n_rows * n_features];
        for (index, row) in values.chunks_exact(n_features).enumerate() {
            relation.residuals_left_out(row, n_rows, |feature, residual| {
                by_feature[feature * n_rows + index] = residual;
            });
        }
        let residuals = by_feature
            .chunks_exact(n_rows)
            .map(|column| Tails::learn(column, |row, nats| raw[row][2] = raw[row][2].max(nats)));
        let residuals = TailSet::new(residuals.collect());
        (Self { tails: TailSet::new(tails), relation, residuals }, raw)
    }

    /// Makes a judge of some rows speak as one of all: the same distance beyond what was learnt counts as much here as
    /// there.
    pub(crate) fn speak_as(&mut self, all: &Self) {
        self.tails = self.tails.as_of(&all.tails);
        self.residuals = self.residuals.as_of(&all.residuals);
    }

    /// Returns the raw values of a row that was not learnt, of which the forest says `forest`.
    pub(crate) fn raw(&self, row: &[f64], forest: f64) -> RawViews {
        let outside = self.tails.rarest(row.iter().copied().enumerate(), false);
        let relation = self.relation.residuals(row, |residuals| {
            let values =
                residuals.iter().map(|(feature, residual)| (*feature, residual.deviations));
            self.residuals.rarest(values, false)
        });
        [forest, outside, relation]
    }

    /// Puts the views on one scale by the raw values of normal rows.
    ///
    /// Also returns the strangeness of each of these rows by the other rows, where the forest has a value.
    pub(crate) fn scaled(self, raw: &[RawViews]) -> (Judge, Vec<f64>) {
        let scales = std::array::from_fn(|view| {
            LearntTail::learn(&present(&raw.iter().map(|raw| raw[view]).collect::<Vec<_>>()))
        });
        let scales: [LearntTail; 3] = scales;
        let strangeness = raw.iter().filter(|[forest, ..]| !forest.is_nan()).map(|raw| {
            let [forest, outside, relation] =
                std::array::from_fn(|view| scales[view].left_out(raw[view]));
            combined(forest, outside, relation).value
        });
        let strangeness = strangeness.collect();
        let Self { tails, relation, residuals } = self;
        let scales = scales.map(|scale| scale.tail);
        (Judge { tails, relation, residuals, scales }, strangeness)
    }
}

impl Judge {
    /// Takes over what was written down; `None` when there are more or fewer tails than the features need.
    pub(crate) fn from_parts(
        tails: Vec<Tail>,
        relation: Relation,
        n_features: usize,
    ) -> Option<Self> {
        if tails.len() != 4 * n_features + 3 {
            return None;
        }
        let mut tails = tails.into_iter();
        let mut pairs = |n: usize| {
            let pair = || Some(Tails { upper: tails.next()?, lower: tails.next()? });
            std::iter::repeat_with(pair).take(n).collect::<Option<Vec<_>>>()
        };
        let (of_values, of_residuals) = (pairs(n_features)?, pairs(n_features)?);
        let scales = [tails.next()?, tails.next()?, tails.next()?];
        let (tails, residuals) = (TailSet::new(of_values), TailSet::new(of_residuals));
        Some(Self { tails, relation, residuals, scales })
    }

    /// Returns all tails as [`Judge::from_parts`] takes them.
    pub(crate) fn all_tails(&self) -> impl Iterator<Item = &Tail> {
        let pairs = self.tails.iter().chain(self.residuals.iter());
        pairs.flat_map(|pair| [&pair.upper, &pair.lower]).chain(&self.scales)
    }

    /// Judges a row, of which the forest says `forest`.
    pub(crate) fn strangeness(&self, row: &[f64], forest: f64) -> Strangeness {
        let [of_forest, of_outside, of_relation] = &self.scales;
        let forest = of_forest.nats(forest);
        // If even `CALM_NATS` could not exceed the forest, the exact value does not matter.
        let is_calm_enough = |scale: &Tail| scale.nats(CALM_NATS) - HANDICAP <= forest;
        let values = row.iter().copied().enumerate();
        let outside = self.tails.rarest(values, is_calm_enough(of_outside));
        let others = combined(forest, of_outside.nats(outside), f64::NEG_INFINITY);
        // Most rows fit so well that bounds are enough to know it.
        let at_most = self.relation.bounds(row).map(|bounds| self.residuals.rarest_at_most(bounds));
        let is_decided = |nats| of_relation.nats(nats) - HANDICAP < others.value - ROUNDING_NATS;
        if at_most.is_some_and(is_decided) {
            return others;
        }
        let is_beyond_training = of_outside.highest().is_some_and(|highest| outside > highest);
        self.relation.residuals(row, |residuals| {
            let values =
                residuals.iter().map(|(feature, residual)| (*feature, residual.deviations));
            let unrelated = self.residuals.rarest(values, is_calm_enough(of_relation));
            let strangeness =
                combined(forest, of_outside.nats(outside), of_relation.nats(unrelated));
            // Where values lie further out than those of any training row, they are why others do not fit, and of a
            // value that fits least because it lies outside, the tails say so more plainly.
            let is_outside =
                || is_beyond_training || self.is_outside_what_fits_least(row, residuals);
            match strangeness.evidence {
                Evidence::Relation if is_outside() => {
                    Strangeness { evidence: Evidence::Outside, ..strangeness }
                }
                _ => strangeness,
            }
        })
    }

    /// Returns `true` if the value that fits the others least lies outside of the training.
    fn is_outside_what_fits_least(&self, row: &[f64], residuals: &[(usize, Residual)]) -> bool {
        let size = |(_, residual): &&(usize, Residual)| residual.deviations.abs();
        let least = residuals.iter().max_by(|a, b| size(a).total_cmp(&size(b)));
        least.is_some_and(|&(feature, _)| self.by_ranges(feature, row[feature]).is_some())
    }

    /// Returns the nats of each value by the tails of its feature.
    pub(crate) fn nats_of(&self, row: &[f64]) -> Vec<f64> {
        row.iter().zip(self.tails.iter()).map(|(&x, tails)| tails.nats(x)).collect()
    }

    /// Returns the residual of each value; 0 for a missing one.
    pub(crate) fn residuals_of(&self, row: &[f64]) -> Vec<Residual> {
        let mut all = vec![Residual::default(); row.len()];
        self.relation.residuals(row, |residuals| {
            for &(feature, residual) in residuals {
                all[feature] = residual;
            }
        });
        all
    }

    /// Returns the range in which the others say that a value lies: where it would be among 99 of 100 in training.
    /// `None` for a missing value, and for a feature that did not vary.
    pub(crate) fn expected(&self, row: &[f64], feature: usize) -> Option<(f64, f64)> {
        let Residual { deviations, deviation } = self.residuals_of(row)[feature];
        let Tails { upper, lower } = &self.residuals[feature];
        let end = |tail: &Tail| tail.value_at(EXPECTED_NATS);
        let at = |residual: f64| row[feature] + (residual - deviations) * deviation;
        (deviation > 0.0).then(|| (at(-end(lower)), at(end(upper))))
    }

    /// Returns how far a value lies outside of the training, in widths of its range there: negative below, positive
    /// above, infinite beside a constant; `None` within, and for a missing value.
    pub(crate) fn by_ranges(&self, feature: usize, x: f64) -> Option<f64> {
        let (lowest, highest) = self.tails[feature].range()?;
        by_ranges(lowest, highest, x)
    }

    /// Returns the number of features whose values are compared with each other.
    pub(crate) fn n_related(&self) -> usize {
        self.relation.n_related()
    }

    /// Returns `true` if a value is rarer upwards than downwards.
    pub(crate) fn is_high(&self, feature: usize, x: f64) -> bool {
        let Tails { upper, lower } = &self.tails[feature];
        upper.nats(x) > lower.nats(-x)
    }

    /// Returns the value of the forest from which it alone is as strange as this.
    pub(crate) fn forest_at(&self, strangeness: f64) -> f64 {
        self.scales[0].value_at(strangeness)
    }
}

/// Combines the nats of three views: the strangest counts, after the handicap of two.
fn combined(forest: f64, outside: f64, relation: f64) -> Strangeness {
    let candidates = [
        (forest, Evidence::Forest),
        (outside - HANDICAP, Evidence::Outside),
        (relation - HANDICAP, Evidence::Relation),
    ];
    let [mut strangest, others @ ..] = candidates;
    for other in others {
        if other.0 > strangest.0 {
            strangest = other;
        }
    }
    Strangeness { value: strangest.0, evidence: strangest.1 }
}
