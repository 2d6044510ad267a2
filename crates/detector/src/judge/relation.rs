//! The relation view: the values of a row that do not fit the others.

use super::bounds::ResidualBounds;
use super::symmetric::{Cholesky, Symmetric};
use crate::column::{column, present, quantile};

/// The least conditional variance, in standard deviations squared.
const RIDGE: f64 = 1e-3;
/// Values of the training are held to this many deviations.
const REACH: f64 = 8.0;
/// Interquartile range, and width from 5 % to 95 %, of a normal law with deviation 1.
const QUARTILES: f64 = 1.349;
const NINE_TENTHS: f64 = 4.93;
/// With more features that vary, values are not compared with each other: the cost is the square of their number.
pub(crate) const RELATED_MAX: usize = 512;
/// With no more features that vary, nothing is allocated, and residuals take no longer than their bounds.
const FEW: usize = 16;
/// A row weighs no more than this in what it is judged by.
const WEIGHT_MAX: f64 = 0.9;
/// Rows whose products are added up before these are added to the sum.
const BLOCK_ROWS: usize = 1_024;

/// Ridge regression of each feature on all others, from one inverse of the correlations.
///
/// With P the inverse, the residual of feature j given all others, in conditional deviations, is
/// `(P z)_j / sqrt(P_jj)`. Missing values are integrated out, exactly for a normal law.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Relation {
    /// The features that vary.
    columns: Vec<Column>,
    /// The inverse of the correlations.
    precision: Symmetric,
    /// The roots of its diagonal.
    roots: Vec<f64>,
    /// With more than a few features.
    pub(super) bounds: Option<ResidualBounds>,
}

/// A feature that varies, and its standardisation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Column {
    pub(crate) feature: u32,
    pub(crate) center: f64,
    pub(crate) scale: f64,
}

/// The distance of a value from what the others say.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Residual {
    /// In conditional deviations, positive when the value is higher.
    pub(crate) deviations: f64,
    /// One conditional deviation in the unit of the feature.
    pub(crate) deviation: f64,
}

impl Residual {
    /// Makes a residual of `(P z)_j` and `sqrt(P_jj)`.
    fn new(product: f64, root: f64, column: Column) -> Self {
        Self { deviations: product / root, deviation: column.scale / root }
    }
}

impl Column {
    fn standardised(&self, row: &[f64]) -> f64 {
        (row[self.feature as usize] - self.center) / self.scale
    }
}

impl Relation {
    /// Learns from the values of one row after another, NaN for a missing one.
    pub(super) fn learn(values: &[f64], n_features: usize) -> Self {
        let n_rows = values.len() / n_features;
        let standardised =
            (0..n_features).filter_map(|feature| standardise(values, n_features, feature));
        let (mut columns, mut rough): (Vec<Column>, Vec<Rough>) = standardised.unzip();
        if columns.len() > RELATED_MAX {
            columns.clear();
            rough.clear();
        }
        let n = columns.len();
        let mut sums = vec![0.0; n * n];
        let mut of_block = vec![0.0; n * n];
        let mut z = vec![0.0; n];
        for block in values.chunks(BLOCK_ROWS * n_features) {
            of_block.fill(0.0);
            for row in block.chunks_exact(n_features) {
                for ((z, column), rough) in z.iter_mut().zip(&columns).zip(&rough) {
                    *z = rough.held(row[column.feature as usize]);
                }
                for (row, &factor) in z.iter().enumerate() {
                    for column in row..n {
                        of_block[row * n + column] += factor * z[column];
                    }
                }
            }
            sums.iter_mut().zip(&of_block).for_each(|(sum, of_block)| *sum += of_block);
        }
        for sum in &mut sums {
            *sum /= n_rows as f64;
        }
        for index in 0..n {
            sums[index * n + index] += RIDGE;
        }
        let correlations = Symmetric::mirrored(n, sums);
        let precision =
            correlations.inverse().expect("correlations with a ridge are positive definite");
        Self::new(columns, precision)
    }

    fn new(columns: Vec<Column>, precision: Symmetric) -> Self {
        let roots: Vec<f64> = precision.diagonal().map(f64::sqrt).collect();
        let bounds = if columns.len() > FEW {
            ResidualBounds::new(&columns, &precision, &roots)
        } else {
            None
        };
        Self { columns, precision, roots, bounds }
    }

    /// Takes over a relation that was written down; `None` if the parts are inconsistent. `precision` has the upper triangle
    /// of the inverse, row after row.
    pub(crate) fn from_parts(
        columns: Vec<Column>,
        precision: &[f64],
        n_features: usize,
    ) -> Option<Self> {
        let n = columns.len();
        let is_sound = |column: &Column| {
            (column.feature as usize) < n_features
                && column.center.is_finite()
                && column.scale.is_normal()
                && column.scale > 0.0
        };
        if n > RELATED_MAX
            || !columns.iter().all(is_sound)
            || !columns.is_sorted_by(|a, b| a.feature < b.feature)
            || precision.len() != n * (n + 1) / 2
            || !precision.iter().all(|value| value.is_finite())
        {
            return None;
        }
        let mut upper = precision.iter();
        let mut values = vec![0.0; n * n];
        for row in 0..n {
            for column in row..n {
                values[row * n + column] = *upper.next()?;
            }
        }
        let precision = Symmetric::mirrored(n, values);
        Cholesky::of(&precision)?;
        Some(Self::new(columns, precision))
    }

    /// Returns the features that vary, and the upper triangle of the inverse, row after row.
    pub(crate) fn to_parts(&self) -> (&[Column], Vec<f64>) {
        let upper = (0..self.precision.n()).flat_map(|row| &self.precision.row(row)[row..]);
        (&self.columns, upper.copied().collect())
    }

    /// Returns the number of features that are related to others.
    pub(super) fn n_related(&self) -> usize {
        self.columns.len()
    }

    /// Hands the residuals of a row to `take`: for each value that is not missing, its feature and its residual.
    pub(super) fn residuals<T>(
        &self,
        row: &[f64],
        take: impl FnOnce(&[(usize, Residual)]) -> T,
    ) -> T {
        let n = self.columns.len();
        if n <= FEW {
            let mut room = [0.0; 2 * FEW];
            let (z, product) = room.split_at_mut(FEW);
            let mut residuals = [(0, Residual::default()); FEW];
            let n = self.write_residuals(row, &mut z[..n], &mut product[..n], &mut residuals);
            return take(&residuals[..n]);
        }
        let (mut z, mut product) = (vec![0.0; n], vec![0.0; n]);
        let mut residuals = vec![(0, Residual::default()); n];
        let n = self.write_residuals(row, &mut z, &mut product, &mut residuals);
        take(&residuals[..n])
    }

    /// Returns features, and the lowest and the highest residual that each can have; `None` where only the residuals
    /// themselves tell.
    pub(super) fn bounds(&self, row: &[f64]) -> Option<impl Iterator<Item = (usize, (f64, f64))>> {
        let features = self.columns.iter().map(|column| column.feature as usize);
        let bounds = self.bounds.as_ref()?.of(features.clone().map(|feature| row[feature]))?;
        Some(features.zip(bounds))
    }

    /// Writes the residuals and returns their number.
    fn write_residuals(
        &self,
        row: &[f64],
        z: &mut [f64],
        product: &mut [f64],
        residuals: &mut [(usize, Residual)],
    ) -> usize {
        let mut has_missing = false;
        for (z, column) in z.iter_mut().zip(&self.columns) {
            *z = column.standardised(row);
            has_missing |= z.is_nan();
        }
        if has_missing {
            let given = self.given(z);
            let product = &mut product[..given.observed.len()];
            given.times(z, product);
            let of_observed = given.observed.iter().zip(product).zip(&given.variances);
            for (residual, ((&index, product), &variance)) in residuals.iter_mut().zip(of_observed)
            {
                let column = self.columns[index];
                *residual =
                    (column.feature as usize, Residual::new(*product, variance.sqrt(), column));
            }
            return given.observed.len();
        }
        self.precision.times(z, product);
        let of_all = self.columns.iter().zip(product).zip(&self.roots);
        for (residual, ((&column, product), &root)) in residuals.iter_mut().zip(of_all) {
            *residual = (column.feature as usize, Residual::new(*product, root, column));
        }
        z.len()
    }

    /// Hands the residuals of one of the `n_rows` that were learnt from to `tell`, in conditional deviations, as if the row
    /// had not been learnt: the formula of Sherman and Morrison takes it out of the inverse.
    pub(super) fn residuals_left_out(
        &self,
        row: &[f64],
        n_rows: usize,
        mut tell: impl FnMut(usize, f64),
    ) {
        let z: Vec<f64> = self.columns.iter().map(|column| column.standardised(row)).collect();
        let held: Vec<f64> = z.iter().map(|z| z.clamp(-REACH, REACH)).collect();
        let given = self.given(&z);
        let mut product = vec![0.0; given.observed.len()];
        let mut of_held = product.clone();
        given.times(&z, &mut product);
        if held == z {
            of_held.clone_from(&product);
        } else {
            given.times(&held, &mut of_held);
        }
        let n_rows = n_rows as f64;
        let own: f64 = given.observed.iter().zip(&of_held).map(|(&index, g)| held[index] * g).sum();
        let weight = (own / n_rows).min(WEIGHT_MAX);
        for (position, &index) in given.observed.iter().enumerate() {
            let moved = of_held[position] * of_held[position] / n_rows / (1.0 - weight);
            let variance = given.variances[position] + moved;
            let residual = product[position] / (1.0 - weight) / variance.sqrt();
            tell(self.columns[index].feature as usize, residual);
        }
    }

    /// Integrates out what is missing in `z`.
    fn given(&self, z: &[f64]) -> Given<'_> {
        let (missing, observed): (Vec<usize>, Vec<usize>) =
            (0..z.len()).partition(|&index| z[index].is_nan());
        let precision = &self.precision;
        let mut variances: Vec<f64> =
            observed.iter().map(|&index| precision.row(index)[index]).collect();
        let n_missing = missing.len();
        let mut between = Vec::new();
        if n_missing > 0 {
            let values = missing
                .iter()
                .flat_map(|&row| missing.iter().map(move |&column| precision.row(row)[column]));
            let of_missing = Symmetric::mirrored(n_missing, values.collect());
            let Some(factor) = Cholesky::of(&of_missing) else {
                // A part of what was learnt always has one; of a file that was made by hand, it may not.
                return Given {
                    precision,
                    observed: Vec::new(),
                    n_missing: 0,
                    between,
                    variances: Vec::new(),
                };
            };
            between.reserve(n_missing * observed.len());
            for (&index, variance) in observed.iter().zip(&mut variances) {
                let begin = between.len();
                between.extend(missing.iter().map(|&missing| precision.row(index)[missing]));
                factor.solve_lower(&mut between[begin..]);
                *variance -= between[begin..].iter().map(|value| value * value).sum::<f64>();
            }
        }
        Given { precision, observed, n_missing, between, variances }
    }
}

/// The relation of the values that are not missing: `P_oo - P_om P_mm^-1 P_mo`.
struct Given<'a> {
    precision: &'a Symmetric,
    observed: Vec<usize>,
    n_missing: usize,
    /// For each observed value, `L^-1 P_mo` with `L L^T = P_mm`.
    between: Vec<f64>,
    /// The diagonal.
    variances: Vec<f64>,
}

impl Given<'_> {
    /// Writes the product with the observed values of `z`.
    fn times(&self, z: &[f64], product: &mut [f64]) {
        if product.len() == z.len() {
            self.precision.times(z, product);
            return;
        }
        let mut of_missing = vec![0.0; self.n_missing];
        let weighted = self.observed.iter().zip(self.between.chunks_exact(self.n_missing.max(1)));
        for (&index, between) in weighted.clone() {
            for (sum, value) in of_missing.iter_mut().zip(between) {
                *sum += z[index] * value;
            }
        }
        for (product, (&index, between)) in product.iter_mut().zip(weighted) {
            let row = self.precision.row(index);
            let direct: f64 = self.observed.iter().map(|&other| row[other] * z[other]).sum();
            *product = direct - between.iter().zip(&of_missing).map(|(a, b)| a * b).sum::<f64>();
        }
    }
}

/// The rough standardisation of a feature, and what is left to be done after values were held to the reach.
#[derive(Debug, Clone, Copy)]
struct Rough {
    middle: f64,
    scale: f64,
    mean: f64,
    deviation: f64,
}

impl Rough {
    /// Returns a value in deviations, held to the reach; a missing one is the middle.
    fn held(&self, x: f64) -> f64 {
        (self.rough(x) - self.mean) / self.deviation
    }

    fn rough(&self, x: f64) -> f64 {
        if x.is_nan() { 0.0 } else { ((x - self.middle) / self.scale).clamp(-REACH, REACH) }
    }
}

/// Returns the standardisation of a feature; `None` when it does not vary.
fn standardise(values: &[f64], n_features: usize, feature: usize) -> Option<(Column, Rough)> {
    let column = column(values, n_features, feature);
    let sorted = present(&column);
    if sorted.first() == sorted.last() {
        return None;
    }
    let at = |share: f64| quantile(&sorted, share).unwrap_or(0.0);
    let middle = at(0.5);
    let mut scale = ((at(0.75) - at(0.25)) / QUARTILES).max((at(0.95) - at(0.05)) / NINE_TENTHS);
    if scale == 0.0 {
        scale = deviation(&sorted).1;
    }
    let mut rough = Rough { middle, scale, mean: 0.0, deviation: 1.0 };
    let held: Vec<f64> = column.iter().map(|&x| rough.rough(x)).collect();
    let (mean, spread) = deviation(&held);
    rough.mean = mean;
    rough.deviation = if spread > 0.0 { spread } else { 1.0 };
    let center = middle + mean * scale;
    // Values that differ by less can hardly be told apart.
    if !scale.is_normal() || !(scale * rough.deviation).is_normal() {
        return None;
    }
    Some((Column { feature: feature as u32, center, scale: scale * rough.deviation }, rough))
}

/// Returns mean and standard deviation.
fn deviation(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
