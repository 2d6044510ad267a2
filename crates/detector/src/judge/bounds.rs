//! Bounds of residuals in integers of 16 bits: a fraction of the cost of the residuals.

use wide::{i16x8, i32x4};

use super::relation::Column;
use super::symmetric::Symmetric;

/// Steps of a standardised value for each deviation.
const STEPS: f64 = 512.0;
/// Values of more steps have no bounds: 8 deviations.
const STEPS_MAX: f64 = 4_096.0;
/// The steps of all weights of a row together: times [`STEPS_MAX`], still 32 bits.
const WEIGHTS_MAX: f64 = 500_000.0;
const WEIGHT_MAX: f64 = i16::MAX as f64;
/// Added to a number below 2^51, leaves the nearest integer in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;
/// The bounds hold for sums in floating point as well: the error is at least 16,000 steps, of which this adds 0.016,
/// and the rounding of such sums is below 0.001.
const SLACK: f64 = 1.0 + 1e-6;
/// Rows are filled up with zeros to a multiple of this.
const LANES: usize = 8;
/// Rows that are multiplied at once, so that the vector is loaded less often.
const ROWS: usize = 4;

/// Bounds the residuals of rows.
///
/// The residual of feature j is the sum of `w_jk z_k`, with `w_jk = P_jk / sqrt(P_jj)`. Values and weights
/// are rounded to steps `z_k = (q_k + e_k) / STEPS` and `w_jk = (v_jk + f_jk) s_j` with `|e|, |f| <= 1/2`, so
/// that the sum of the products of integers is off by no more than half of the sums of `|v_jk|` and of
/// `|q_k + e_k|`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ResidualBounds {
    /// Center of each value, and its steps for each unit.
    values: Vec<(f64, f64)>,
    /// Steps of the weights, row after row, each filled up to `stride`.
    weights: Vec<i16x8>,
    stride: usize,
    /// For each row the residual for each step of a product, and half of its steps.
    rows: Vec<(f64, f64)>,
}

impl ResidualBounds {
    /// Makes them for the inverse of the correlations and the roots of its diagonal; `None` where
    /// these are so large or small that steps cannot be computed.
    pub(super) fn new(columns: &[Column], precision: &Symmetric, roots: &[f64]) -> Option<Self> {
        let n = columns.len();
        let stride = n.div_ceil(LANES);
        let mut weights = Vec::with_capacity(n * stride);
        let mut rows = Vec::with_capacity(n);
        for (index, &root) in roots.iter().enumerate() {
            let row = precision.row(index);
            let (largest, sum) = row.iter().fold((0.0_f64, 0.0), |(largest, sum), weight| {
                (largest.max(weight.abs()), sum + weight.abs())
            });
            // The rounding adds half a step for each weight.
            let steps = (WEIGHT_MAX / largest).min((WEIGHTS_MAX - n as f64) / sum);
            let mut n_steps = 0.0;
            for values in row.chunks(LANES) {
                let mut lanes = [0; LANES];
                for (lane, value) in lanes.iter_mut().zip(values) {
                    *lane = rounded(value * steps);
                    n_steps += f64::from(*lane).abs();
                }
                weights.push(i16x8::new(lanes));
            }
            let residual = 1.0 / (steps * root * STEPS);
            if !steps.is_normal() || !residual.is_normal() {
                return None;
            }
            rows.push((residual, n_steps / 2.0));
        }
        let value = |column: &Column| (column.center, STEPS / column.scale);
        Some(Self { values: columns.iter().map(value).collect(), weights, stride, rows })
    }

    /// Returns the lowest and the highest residual that each value can have, in the order of the columns; `None` where
    /// a value is missing or far out.
    pub(super) fn of(
        &self,
        mut values: impl Iterator<Item = f64>,
    ) -> Option<impl Iterator<Item = (f64, f64)>> {
        let mut steps = Vec::with_capacity(self.stride);
        let mut sum = 0.0;
        let mut is_near = true;
        for of_lanes in self.values.chunks(LANES) {
            let mut lanes = [0; LANES];
            for ((lane, (center, for_each_unit)), x) in
                lanes.iter_mut().zip(of_lanes).zip(&mut values)
            {
                let exact = (x - center) * for_each_unit;
                is_near &= exact.abs() < STEPS_MAX;
                *lane = rounded(exact);
                sum += exact.abs();
            }
            steps.push(i16x8::new(lanes));
        }
        if !is_near {
            return None;
        }
        let mut products = Vec::with_capacity(self.rows.len());
        let (blocks, rest) =
            self.weights.as_slice().split_at(self.rows.len() / ROWS * ROWS * self.stride);
        for block in blocks.chunks_exact(ROWS * self.stride) {
            let rows = std::array::from_fn(|row| &block[row * self.stride..]);
            products.extend(dots::<ROWS>(rows, &steps));
        }
        products.extend(rest.chunks_exact(self.stride).flat_map(|row| dots([row], &steps)));
        Some(self.rows.iter().zip(products).map(move |(&(residual, half), product)| {
            let (product, error) = (f64::from(product), (half + sum / 2.0) * SLACK);
            ((product - error) * residual, (product + error) * residual)
        }))
    }
}

/// Returns the sums of the products of the integers of some rows with those of a vector.
fn dots<const ROWS: usize>(rows: [&[i16x8]; ROWS], vector: &[i16x8]) -> [i32; ROWS] {
    let rows = rows.map(|row| &row[..vector.len()]);
    let mut sums = [i32x4::ZERO; ROWS];
    for (index, &of_vector) in vector.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            *sum += row[index].dot(of_vector);
        }
    }
    sums.map(i32x4::reduce_add)
}

/// Rounds to the nearest integer, which is in range.
fn rounded(x: f64) -> i16 {
    (x + ROUNDING).to_bits() as i16
}
