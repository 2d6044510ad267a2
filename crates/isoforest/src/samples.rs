//! The matrix that a forest learns from or scores.

/// A view of a row-major matrix: one row a sample, one value a feature.
///
/// NaN is a missing value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Samples<'a> {
    values: &'a [f64],
    n_features: usize,
}

/// An error that occurs when a slice is taken as a matrix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSamples {
    /// A row needs at least one value.
    #[error("samples need at least one feature")]
    NoFeatures,
    /// The last row is not whole.
    #[error("{n_values} values do not make whole rows of {n_features} features")]
    Ragged {
        /// Number of values given.
        n_values: usize,
        /// Number of values in a row.
        n_features: usize,
    },
}

impl<'a> Samples<'a> {
    /// Views `values` as rows of `n_features`.
    ///
    /// # Errors
    ///
    /// Fails when `n_features` is 0 or the last row is not whole.
    pub fn new(values: &'a [f64], n_features: usize) -> Result<Self, InvalidSamples> {
        if n_features == 0 {
            return Err(InvalidSamples::NoFeatures);
        }
        if !values.len().is_multiple_of(n_features) {
            return Err(InvalidSamples::Ragged { n_values: values.len(), n_features });
        }
        Ok(Self { values, n_features })
    }

    /// Returns all values, row by row.
    pub fn values(&self) -> &'a [f64] {
        self.values
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.n_features
    }

    /// Returns `true` if there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Returns the number of values in a row.
    pub fn n_features(&self) -> usize {
        self.n_features
    }

    /// Returns the values of one row.
    ///
    /// # Panics
    ///
    /// Panics when there is no such row.
    pub fn row(&self, index: usize) -> &'a [f64] {
        &self.values[index * self.n_features..][..self.n_features]
    }

    /// Returns the rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &'a [f64]> + use<'a> {
        self.values.chunks_exact(self.n_features)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole() {
        let samples = Samples::new(&[1.0, 2.0, 3.0, 4.0], 2).unwrap();
        assert_eq!(samples.len(), 2);
        assert_eq!(samples.row(1), [3.0, 4.0]);
        assert_eq!(
            Samples::new(&[1.0, 2.0, 3.0], 2),
            Err(InvalidSamples::Ragged { n_values: 3, n_features: 2 })
        );
        assert_eq!(Samples::new(&[], 0), Err(InvalidSamples::NoFeatures));
    }
}
