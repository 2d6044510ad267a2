//! The shapes of a sensor: pieces of its warm-up that later ones are compared with.

use crate::statistics::sorted;
use crate::tail::Tail;

/// Rows of a shape.
pub(crate) const SHAPE_ROWS: usize = 32;
/// Shapes that are kept of a sensor.
const LIBRARY: usize = 128;
/// A sensor with fewer different values in the warm-up has no shapes.
const DISTINCT_MIN: usize = 10;
/// The least mean excess of a distance.
const EXCESS_MIN: f64 = 0.05;

/// The last values of a sensor, less their mean.
type Shape = [f64; SHAPE_ROWS];

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
    pub(crate) fn learn(sensor: usize, column: &[f64], start: usize) -> Option<(Self, Vec<f64>)> {
        let mut distinct = sorted(column.iter().copied());
        distinct.dedup();
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

    /// Returns how far the last values of the sensor are from the nearest shape, in mean excesses.
    pub(crate) fn distance(&self, values: impl Iterator<Item = f64>) -> f64 {
        self.tail.excesses(nearest(&shape(values), self.library.iter()))
    }
}

/// Returns values less their mean.
fn shape(values: impl Iterator<Item = f64>) -> Shape {
    let mut shape = [0.0; SHAPE_ROWS];
    for (place, value) in shape.iter_mut().zip(values) {
        *place = value;
    }
    let mean = shape.iter().sum::<f64>() / SHAPE_ROWS as f64;
    shape.map(|value| value - mean)
}

/// Returns the distance from the nearest of others, per row; 0 where there are none.
fn nearest<'a>(shape: &Shape, others: impl Iterator<Item = &'a Shape>) -> f64 {
    /// Sums that are added side by side.
    const LANES: usize = 8;
    let mut least = f64::INFINITY;
    for other in others {
        let mut sums = [0.0; LANES];
        for (a, b) in shape.as_chunks::<LANES>().0.iter().zip(other.as_chunks::<LANES>().0) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += (a[lane] - b[lane]) * (a[lane] - b[lane]);
            }
        }
        least = least.min(sums.iter().sum());
    }
    if least.is_finite() { (least / SHAPE_ROWS as f64).sqrt() } else { 0.0 }
}
