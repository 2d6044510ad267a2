//! The tail of a column of numbers: the share of values that lie as high.

use std::ops::Deref;

use libm::log;

use crate::column::{is_rounded, present};

/// A tail is known at its median, where one value in 20 is as high, at one in 200, and at its end.
const ONE_IN: [usize; 3] = [2, 20, 200];
/// Number of places at which a tail is known.
const KNOTS_MAX: usize = ONE_IN.len() + 1;
/// Nats are held to this.
pub(super) const NATS_MAX: f64 = 1e3;
/// Nats of a constant are held to this: more than an ordinary value gets beyond the highest of training, and less
/// than one that is a range beyond. So a few rows in which one of many status bits moved do not hide, as
/// equally strange, a sensor that reads a million.
pub(super) const CONSTANT_NATS_MAX: f64 = 18.0;
/// The step of a constant, by which it is known.
const CONSTANT_STEP: f64 = f64::MIN_POSITIVE;

/// The upper tail of a column: a function from a value to **nats**, -ln of the share of training values that
/// lie as high. It rises with the value.
///
/// Linear between knots, at which it is exact. Beyond the highest value it is a straight line, which is
/// an exponential tail, as steep as from the median to the highest value, and no steeper than the
/// body allows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tail {
    /// Number of values learnt from.
    n: u32,
    n_knots: usize,
    /// The knots: distinct values in ascending order, the highest last; infinite where there are fewer.
    at: [f64; KNOTS_MAX],
    /// Number of training values that are as high as each knot.
    counts: [u32; KNOTS_MAX],
    /// The distance for each nat beyond the knots; above 0.
    step: f64,
    /// A line below the first knot, one above each.
    lines: [Line; KNOTS_MAX + 1],
}

/// Nats as a line.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Line {
    /// A value, its nats, and how many more there are for each unit above it.
    from: f64,
    nats: f64,
    rise: f64,
}

/// A tail with what judges the values that it was learnt from.
#[derive(Debug)]
pub(super) struct LearntTail {
    pub(super) tail: Tail,
    /// The tail without its highest value, and the second highest: leaving one value out moves the end of a
    /// tail, and hardly its knots.
    without_highest: Option<(Tail, f64)>,
}

/// A tail as it is written down.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TailParts {
    pub(crate) n: u32,
    /// Values, ascending, and how many training values are as high.
    pub(crate) knots: Vec<(f64, u32)>,
    pub(crate) step: f64,
}

impl Tail {
    /// Learns from values in ascending order, none of them missing.
    fn learn(sorted: &[f64]) -> Self {
        let n = sorted.len();
        let (Some(&lowest), Some(&highest)) = (sorted.first(), sorted.last()) else {
            return Self::new(0, &[], 1.0);
        };
        let mut knots: Vec<(f64, u32)> = Vec::with_capacity(KNOTS_MAX);
        let places = ONE_IN.map(|one_in| sorted[n - (n / one_in).max(1)]);
        for at in places.into_iter().chain([highest]) {
            if knots.last().is_none_or(|&(last, _)| last < at) {
                knots.push((at, (n - sorted.partition_point(|&value| value < at)) as u32));
            }
        }
        let quantile = |share: f64| sorted[(share * (n - 1) as f64) as usize];
        let (low, middle, high) = (quantile(0.05), sorted[(n - 1) / 2], quantile(0.95));
        let nats_from_middle = log((n as f64 / 2.0).max(3.0));
        let mut step = ((highest - middle) / nats_from_middle).max((high - low) / 10.0);
        if step == 0.0 {
            // More than nine in ten are equal and nothing is above: the other side tells, or nothing.
            step = (highest - lowest) / nats_from_middle;
        }
        if step == 0.0 {
            step = CONSTANT_STEP;
        }
        Self::new(n as u32, &knots, step)
    }

    fn new(n: u32, knots: &[(f64, u32)], step: f64) -> Self {
        let mut tail = Self {
            n,
            n_knots: knots.len(),
            at: [f64::INFINITY; KNOTS_MAX],
            counts: [0; KNOTS_MAX],
            step,
            lines: [Line::default(); KNOTS_MAX + 1],
        };
        for (index, &(at, count)) in knots.iter().enumerate() {
            tail.at[index] = at;
            tail.counts[index] = count;
            let nats = log(f64::from(n) / f64::from(count));
            tail.lines[index + 1] = Line { from: at, nats, rise: 1.0 / step };
        }
        for above in 2..=knots.len() {
            let [lower, upper] = [tail.lines[above - 1], tail.lines[above]];
            let rise = (upper.nats - lower.nats) / (upper.from - lower.from);
            tail.lines[above - 1].rise = rise.min(f64::MAX);
        }
        if !knots.is_empty() {
            tail.lines[0] = Line { rise: 1.0 / step, ..tail.lines[1] };
        }
        tail
    }

    /// Takes over a tail that was written down; `None` if the parts are inconsistent.
    pub(crate) fn from_parts(parts: &TailParts) -> Option<Self> {
        let TailParts { n, knots, step } = parts;
        let is_sound = |&(at, count): &(f64, u32)| at.is_finite() && (1..=*n).contains(&count);
        let is_tail = knots.len() <= KNOTS_MAX
            && knots.is_empty() == (*n == 0)
            && knots.iter().all(is_sound)
            && knots.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1)
            && step.is_finite()
            && *step > 0.0;
        is_tail.then(|| Self::new(*n, knots, *step))
    }

    pub(crate) fn to_parts(&self) -> TailParts {
        let knots = self.at.iter().copied().zip(self.counts).take(self.n_knots);
        TailParts { n: self.n, knots: knots.collect(), step: self.step }
    }

    /// Returns the same tail as if it had been learnt from as many values as `all`: its highest value is as rare, and
    /// distances beyond it count no more than there.
    fn as_of(&self, all: &Self) -> Self {
        let TailParts { n, mut knots, step } = self.to_parts();
        if let [shares @ .., _] = &mut *knots {
            for (_, count) in shares {
                *count = (f64::from(*count) * f64::from(all.n) / f64::from(n)).round() as u32;
            }
        }
        Self::new(all.n.max(n), &knots, step.max(all.step))
    }

    /// Returns the nats of a value; 0 for a missing one, and where nothing was learnt.
    pub(super) fn nats(&self, x: f64) -> f64 {
        if self.is_constant() {
            let is_moved = x > self.at[0] && !is_rounded(self.at[0], x);
            return if is_moved { CONSTANT_NATS_MAX } else { 0.0 };
        }
        // No branch depends on the value.
        let line = self.at.iter().map(|&at| usize::from(x > at)).sum::<usize>();
        let Line { from, nats, rise } = self.lines[line];
        let nats = nats + rise * (x - from);
        if nats.is_nan() { 0.0 } else { nats.min(NATS_MAX) }
    }

    /// Returns `true` if all values learnt from were the same.
    pub(super) fn is_constant(&self) -> bool {
        self.step == CONSTANT_STEP
    }

    /// Returns the lowest value that has as many nats.
    pub(super) fn value_at(&self, nats: f64) -> f64 {
        let knots = &self.lines[1..=self.n_knots];
        let Line { from, nats: at, rise } =
            self.lines[knots.partition_point(|knot| knot.nats < nats)];
        from + (nats - at) / rise
    }

    /// Returns the highest knot that has no more than these nats, below which no value has more.
    pub(super) fn calm_up_to(&self, nats: f64) -> f64 {
        let knots = self.lines[1..=self.n_knots].iter();
        let calm = knots.take_while(|knot| knot.nats <= nats).last();
        calm.map_or(f64::NEG_INFINITY, |knot| knot.from)
    }

    /// Returns the highest value; `None` where nothing was learnt.
    pub(super) fn highest(&self) -> Option<f64> {
        self.n_knots.checked_sub(1).map(|last| self.at[last])
    }
}

impl LearntTail {
    /// Learns from values in ascending order, none of them missing.
    pub(super) fn learn(sorted: &[f64]) -> Self {
        let without_highest = match sorted {
            [rest @ .., _] if rest.len() > 1 => Some((Tail::learn(rest), rest[rest.len() - 1])),
            _ => None,
        };
        Self { tail: Tail::learn(sorted), without_highest }
    }

    /// Returns the nats of a value that was learnt from, by the other values.
    pub(super) fn left_out(&self, x: f64) -> f64 {
        match &self.without_highest {
            Some((rest, second)) if x > *second => rest.nats(x),
            _ => self.tail.nats(x),
        }
    }
}

/// Both tails of a column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tails {
    /// Of the values.
    pub(crate) upper: Tail,
    /// Of the negated values.
    pub(crate) lower: Tail,
}

impl Tails {
    /// Learns from a column, NaN for a missing value, and hands the nats of each value by the others to `tell`,
    /// with its row.
    pub(super) fn learn(column: &[f64], mut tell: impl FnMut(usize, f64)) -> Self {
        let mut sorted = present(column);
        let upper = LearntTail::learn(&sorted);
        sorted.reverse();
        for value in &mut sorted {
            *value = -*value;
        }
        let lower = LearntTail::learn(&sorted);
        for (row, &x) in column.iter().enumerate() {
            tell(row, upper.left_out(x).max(lower.left_out(-x)));
        }
        Self { upper: upper.tail, lower: lower.tail }
    }

    /// Returns the nats of the rarer side.
    pub(super) fn nats(&self, x: f64) -> f64 {
        self.upper.nats(x).max(self.lower.nats(-x))
    }

    /// Returns nats that no value between two exceeds.
    fn nats_at_most(&self, lowest: f64, highest: f64) -> f64 {
        if self.upper.is_constant() || self.lower.is_constant() {
            // One of the values might be the constant as a sender rounds it.
            return NATS_MAX;
        }
        self.upper.nats(highest).max(self.lower.nats(-lowest))
    }

    /// Returns the lowest and the highest value; `None` where nothing was learnt.
    pub(super) fn range(&self) -> Option<(f64, f64)> {
        Some((-self.lower.highest()?, self.upper.highest()?))
    }
}

/// The tails of all columns of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TailSet {
    tails: Vec<Tails>,
    /// A value within has no more than [`CALM_NATS`].
    calm: Vec<(f64, f64)>,
}

/// About one value in 25 (e^-3.2) is rarer on one side; most rows need no exact sum.
pub(super) const CALM_NATS: f64 = 3.2;

impl TailSet {
    pub(crate) fn new(tails: Vec<Tails>) -> Self {
        let calm = tails.iter().map(|Tails { upper, lower }| {
            (-lower.calm_up_to(CALM_NATS), upper.calm_up_to(CALM_NATS))
        });
        Self { calm: calm.collect(), tails }
    }

    /// Returns the same tails as if each had been learnt from as many values as that of `all`.
    pub(super) fn as_of(&self, all: &Self) -> Self {
        let pairs = self.tails.iter().zip(&all.tails);
        let tails = pairs.map(|(tails, all)| Tails {
            upper: tails.upper.as_of(&all.upper),
            lower: tails.lower.as_of(&all.lower),
        });
        Self::new(tails.collect())
    }

    /// Returns the nats of the rarest value of a row, with the columns of the values. Where it has no more than
    /// [`CALM_NATS`] and the caller need not know how many, it may say fewer.
    pub(super) fn rarest(
        &self,
        values: impl Iterator<Item = (usize, f64)> + Clone,
        is_calm_enough: bool,
    ) -> f64 {
        let mut rarest = 0.0_f64;
        for (column, x) in values.clone() {
            let (low, high) = self.calm[column];
            if x > high || x < low {
                rarest = rarest.max(self.tails[column].nats(x));
            }
        }
        if is_calm_enough || rarest >= CALM_NATS {
            return rarest;
        }
        values.map(|(column, x)| self.tails[column].nats(x)).fold(rarest, f64::max)
    }

    /// Returns nats that the rarest value of a row does not exceed, with the columns of the values and
    /// the lowest and the highest that each can be.
    pub(super) fn rarest_at_most(&self, bounds: impl Iterator<Item = (usize, (f64, f64))>) -> f64 {
        let mut rarest = CALM_NATS;
        for (column, (lowest, highest)) in bounds {
            let (low, high) = self.calm[column];
            if highest > high || lowest < low {
                rarest = rarest.max(self.tails[column].nats_at_most(lowest, highest));
            }
        }
        rarest
    }
}

impl Deref for TailSet {
    type Target = [Tails];

    fn deref(&self) -> &[Tails] {
        &self.tails
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nats_are_exact_at_knots_and_go_on_beyond() {
        let sorted: Vec<f64> = (1..=1_000).map(f64::from).collect();
        let tail = Tail::learn(&sorted);
        for (value, as_high) in [(501.0, 500.0), (951.0, 50.0), (996.0, 5.0), (1_000.0, 1.0)] {
            assert!((tail.nats(value) - (1_000.0_f64 / as_high).ln()).abs() < 1e-12, "{value}");
        }
        // As steep as the body allows: a tenth of the width from 5 % to 95 %.
        let step = (950.0 - 50.0) / 10.0;
        assert!((tail.nats(1_000.0 + 3.0 * step) - 1_000.0_f64.ln() - 3.0).abs() < 1e-12);
        assert_eq!(tail.nats(f64::MAX), NATS_MAX);
        assert_eq!(tail.nats(f64::NAN), 0.0);
    }

    #[test]
    fn a_switch_is_as_rare_as_it_is() {
        let column: Vec<f64> = (0..1_000).map(|i| f64::from(u8::from(i % 100 < 3))).collect();
        let tails = Tails::learn(&column, |_, _| ());
        assert!((tails.nats(1.0) - (100.0_f64 / 3.0).ln()).abs() < 1e-12);
        assert!(tails.nats(0.0) < 0.04);
    }

    #[test]
    fn any_move_of_a_constant_is_as_far_as_can_be() {
        let tails = Tails::learn(&[5.0; 100], |_, _| ());
        assert_eq!(tails.nats(5.0), 0.0);
        for moved in [5.01, 4.99, -5.0, 1e9] {
            assert_eq!(tails.nats(moved), CONSTANT_NATS_MAX, "{moved}");
        }
        assert_eq!(tails.nats(5.0_f64.next_up()), CONSTANT_NATS_MAX);
        // A sender that rounds to 32 bits has moved nothing.
        let tenth = Tails::learn(&[0.1; 100], |_, _| ());
        assert_eq!(tenth.nats(f64::from(0.1_f32)), 0.0);
        assert_eq!(Tails::learn(&[f64::NAN; 9], |_, _| ()).nats(1.0), 0.0);
    }

    #[test]
    fn a_value_at_some_nats_has_them() {
        let sorted: Vec<f64> = (1..=1_000).map(|i| f64::from(i * i)).collect();
        let tail = Tail::learn(&sorted);
        for nats in [-3.0, 0.5, 0.7, 2.0, 4.0, 6.0, 6.9, 10.0] {
            assert!((tail.nats(tail.value_at(nats)) - nats).abs() < 1e-9, "{nats}");
        }
    }

    #[test]
    fn what_was_written_down_is_the_same_tail() {
        let tail = Tail::learn(&[1.0, 2.0, 2.0, 9.0]);
        assert_eq!(Tail::from_parts(&tail.to_parts()), Some(tail.clone()));
        let broken = [
            TailParts { n: 2, ..tail.to_parts() },
            TailParts { step: 0.0, ..tail.to_parts() },
            TailParts { knots: Vec::new(), ..tail.to_parts() },
            TailParts { knots: vec![(2.0, 1), (1.0, 3)], ..tail.to_parts() },
        ];
        assert!(broken.iter().all(|parts| Tail::from_parts(parts).is_none()));
    }
}
