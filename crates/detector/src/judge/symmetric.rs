//! Symmetric matrices. Plain loops in a fixed order: the same bits on every machine.

/// A symmetric positive definite matrix, row after row.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Symmetric {
    n: usize,
    values: Vec<f64>,
}

impl Symmetric {
    /// Takes `n` rows of `n` values, of which the upper triangle is mirrored.
    pub(crate) fn mirrored(n: usize, mut values: Vec<f64>) -> Self {
        assert_eq!(values.len(), n * n, "a matrix is square");
        for row in 1..n {
            for column in 0..row {
                values[row * n + column] = values[column * n + row];
            }
        }
        Self { n, values }
    }

    /// Returns the number of rows.
    pub(crate) fn n(&self) -> usize {
        self.n
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        &self.values[row * self.n..][..self.n]
    }

    pub(crate) fn diagonal(&self) -> impl Iterator<Item = f64> {
        (0..self.n).map(|index| self.row(index)[index])
    }

    /// Writes the product with a vector.
    pub(crate) fn times(&self, vector: &[f64], product: &mut [f64]) {
        /// Rows that are added at once, so that sums are loaded and stored less often.
        const ROWS: usize = 4;
        product.fill(0.0);
        let (blocks, rest) = vector.as_chunks::<ROWS>();
        for (block, &[a, b, c, d]) in blocks.iter().enumerate() {
            let rows = [0, 1, 2, 3].map(|row| self.row(ROWS * block + row));
            let rows = rows[0].iter().zip(rows[1]).zip(rows[2]).zip(rows[3]);
            for (sum, (((x, y), z), w)) in product.iter_mut().zip(rows) {
                *sum = *sum + a * x + b * y + c * z + d * w;
            }
        }
        for (row, &factor) in rest.iter().enumerate() {
            let row = self.row(ROWS * blocks.len() + row);
            for (sum, value) in product.iter_mut().zip(row) {
                *sum += factor * value;
            }
        }
    }

    /// Returns the inverse; `None` when the matrix is not positive definite.
    pub(crate) fn inverse(&self) -> Option<Self> {
        let factor = Cholesky::of(self)?;
        let n = self.n;
        // Column by column of L^-1; the inverse is L^-T L^-1.
        let mut inverse = vec![0.0; n * n];
        let mut columns = vec![0.0; n * n];
        for index in 0..n {
            let column = &mut columns[index * n..][..n];
            column[index] = 1.0;
            factor.solve_lower(column);
        }
        for row in 0..n {
            for column in row..n {
                let (a, b) = (
                    &columns[row * n + column..][..n - column],
                    &columns[column * n + column..][..n - column],
                );
                inverse[row * n + column] = a.iter().zip(b).map(|(a, b)| a * b).sum();
            }
        }
        Some(Self::mirrored(n, inverse))
    }
}

/// The lower triangle L of a matrix L L^T, row after row.
#[derive(Debug)]
pub(crate) struct Cholesky {
    n: usize,
    values: Vec<f64>,
}

impl Cholesky {
    /// Factorises a matrix; `None` when it is not positive definite.
    pub(crate) fn of(matrix: &Symmetric) -> Option<Self> {
        let n = matrix.n;
        let mut values = matrix.values.clone();
        for row in 0..n {
            let (above, rest) = values.split_at_mut(row * n);
            let this = &mut rest[..n];
            for column in 0..row {
                let other = &above[column * n..][..n];
                let product: f64 = this[..column].iter().zip(other).map(|(a, b)| a * b).sum();
                this[column] = (this[column] - product) / other[column];
            }
            let square: f64 = this[..row].iter().map(|value| value * value).sum();
            let pivot = this[row] - square;
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            this[row] = pivot.sqrt();
            this[row + 1..].fill(0.0);
        }
        Some(Self { n, values })
    }

    /// Replaces `vector` with L^-1 `vector`.
    pub(crate) fn solve_lower(&self, vector: &mut [f64]) {
        for row in 0..self.n {
            let factors = &self.values[row * self.n..][..=row];
            let product: f64 = factors[..row].iter().zip(&*vector).map(|(a, b)| a * b).sum();
            vector[row] = (vector[row] - product) / factors[row];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_times_its_inverse_is_one() {
        let n = 7;
        let values: Vec<f64> = (0..n * n)
            .map(|i| {
                let (row, column) = (i / n, i % n);
                if row == column { 2.0 } else { 1.0 / (1 + row + column) as f64 }
            })
            .collect();
        let matrix = Symmetric::mirrored(n, values);
        let inverse = matrix.inverse().unwrap();
        let mut product = vec![0.0; n];
        for row in 0..n {
            matrix.times(inverse.row(row), &mut product);
            for (column, value) in product.iter().enumerate() {
                let expected = f64::from(u8::from(row == column));
                assert!((value - expected).abs() < 1e-12, "{row} {column}: {value}");
            }
        }
        assert_eq!(Symmetric::mirrored(2, vec![1.0, 2.0, 2.0, 1.0]).inverse(), None);
    }
}
