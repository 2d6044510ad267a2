//! The shapes of a sensor: pieces of its warm-up that later ones are compared with.

use std::collections::BTreeSet;

use crate::tail::Tail;

/// Rows of a shape.
pub(crate) const SHAPE_ROWS: usize = 32;
/// Shapes that are kept of a sensor.
const LIBRARY: usize = 128;
/// A sensor with fewer different values in the warm-up has no shapes.
const DISTINCT_MIN: usize = 10;
/// The least mean excess of a distance.
const EXCESS_MIN: f64 = 0.05;

/// Shapes are in this part of a scale.
const UNITS: f64 = 128.0;
/// A sum of scaled values over the rows of a shape is in units that are so many times finer.
const UNITS_EACH_SUM: i32 = 4;

/// The last values of a sensor, less their mean.
type Shape = [i16; SHAPE_ROWS];

/// The shapes of a sensor, and how far others usually are from the nearest.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shapes {
    /// The number of the sensor among those that move.
    pub(crate) sensor: usize,
    library: Vec<Shape>,
    tail: Tail,
}

impl Shapes {
    /// Learns the shapes of a column of scaled values from row `start` on; `None` where it hardly moves. Also returns how far
    /// each row from there on is from shapes that do not overlap its own, in mean excesses.
    pub(crate) fn learn(sensor: usize, column: &[i16], start: usize) -> Option<(Self, Vec<f64>)> {
        let distinct: BTreeSet<i16> = column.iter().copied().collect();
        if distinct.len() < DISTINCT_MIN {
            return None;
        }
        let ends = start..column.len();
        let shape_at = |end: usize| shape(column[end + 1 - SHAPE_ROWS..=end].iter().copied());
        let n_shapes = LIBRARY.min(ends.len());
        let kept = |index: usize| start + index * (ends.len() - 1) / (n_shapes - 1).max(1);
        let kept: Vec<usize> = (0..n_shapes).map(kept).collect();
        let library: Vec<Shape> = kept.iter().map(|&end| shape_at(end)).collect();
        let distance = |end: usize| {
            let is_apart = |kept: &usize| kept.abs_diff(end) >= SHAPE_ROWS;
            let others = kept.iter().zip(&library).filter(|(kept, _)| is_apart(kept));
            nearest(&shape_at(end), others.map(|(_, shape)| shape))
        };
        let distances: Vec<f64> = ends.map(distance).collect();
        let tail = Tail::learn(&distances, EXCESS_MIN);
        let distances = distances.into_iter().map(|distance| tail.excesses(distance)).collect();
        Some((Self { sensor, library, tail }, distances))
    }

    /// Returns how far the last values of the sensor are from the nearest shape, in mean excesses; `None` if that is no more than
    /// `least`, which mostly shows after a few shapes.
    pub(crate) fn distance_above(
        &self,
        values: impl Iterator<Item = i16>,
        least: f64,
    ) -> Option<f64> {
        let shape = shape(values);
        let near = in_units(self.tail.value(least));
        let mut nearest = i32::MAX;
        for known in &self.library {
            nearest = nearest.min(square_distance(&shape, known));
            if nearest <= near {
                return None;
            }
        }
        Some(self.tail.excesses(in_scales(nearest))).filter(|distance| *distance > least)
    }
}

/// Returns values less their mean.
fn shape(values: impl Iterator<Item = i16>) -> Shape {
    let mut shape = [0; SHAPE_ROWS];
    for (place, value) in shape.iter_mut().zip(values) {
        *place = value;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "32")]
    let rows = SHAPE_ROWS as i32;
    let sum: i32 = shape.iter().copied().map(i32::from).sum();
    for value in &mut shape {
        // To the nearest unit, halves upwards.
        let halves = rows * i32::from(*value) - sum + UNITS_EACH_SUM / 2;
        #[expect(clippy::cast_possible_truncation, reason = "at most 2,560")]
        let less_the_mean = halves.div_euclid(UNITS_EACH_SUM) as i16;
        *value = less_the_mean;
    }
    shape
}

/// Returns the distance from the nearest of others, per row; 0 where there are none.
fn nearest<'a>(shape: &Shape, others: impl Iterator<Item = &'a Shape>) -> f64 {
    let least = others.map(|other| square_distance(shape, other)).min().unwrap_or(0);
    in_scales(least)
}

/// Returns the distance per row in scales of a sum of squares in units.
fn in_scales(squares: i32) -> f64 {
    (f64::from(squares) / SHAPE_ROWS as f64).sqrt() / UNITS
}

/// Returns a sum of squares whose distance is certainly no more than this one, though hardly less.
fn in_units(distance: f64) -> i32 {
    let squares = (distance.max(0.0) * UNITS).powi(2) * SHAPE_ROWS as f64;
    #[expect(clippy::cast_possible_truncation, reason = "larger ones are held to the largest")]
    let squares = squares as i32;
    squares - 1
}

/// Returns the sum of squared differences. Pairs of products are added first, for which processors have an instruction.
fn square_distance(a: &Shape, b: &Shape) -> i32 {
    let mut sum = 0;
    for (a, b) in a.as_chunks::<2>().0.iter().zip(b.as_chunks::<2>().0) {
        let differences = [a[0] - b[0], a[1] - b[1]].map(i32::from);
        sum += differences[0] * differences[0] + differences[1] * differences[1];
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_ends_early_says_the_same() {
        let mut state = 1_u64;
        let mut draw = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            #[expect(clippy::cast_possible_truncation, reason = "below 200")]
            let value = (state >> 33) as i16 % 100;
            value
        };
        let column: Vec<i16> = (0..400).map(|_| draw()).collect();
        let (shapes, _) = Shapes::learn(0, &column, 60).unwrap();
        for _ in 0..200 {
            let values: Vec<i16> = (0..SHAPE_ROWS).map(|_| draw()).collect();
            let shape = shape(values.iter().copied());
            let whole = shapes.tail.excesses(nearest(&shape, shapes.library.iter()));
            for least in [-1e9, -3.0, -1.0, 0.0, 2.0, whole, whole - 1e-9, whole + 1e-9] {
                let early = shapes.distance_above(values.iter().copied(), least);
                assert_eq!(early, Some(whole).filter(|whole| *whole > least), "{whole} {least}");
            }
        }
    }
}
