//! The conventions behind a forest's numbers: c(n), and the precision of inputs.

use crate::path_sum::PathSum;

/// The rules by which a forest scores, whichever library fitted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conventions {
    /// Number of values in a row.
    pub n_features: usize,
    /// ψ of the paper: path lengths are compared with c(ψ).
    pub sample_size: usize,
    /// Which c(n) the forest was made with.
    pub harmonic: Harmonic,
    /// The precision to which a value is rounded before it is compared with a threshold.
    pub input_precision: InputPrecision,
}

/// The computation of the harmonic number H(n - 1) in c(n).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harmonic {
    /// As the sum 1 + 1/2 + ... + 1/(n - 1). Forests fitted here use this one.
    Exact,
    /// As ln(n - 1) + γ, the paper's approximation, which scikit-learn uses.
    Logarithm,
}

/// The precision to which a value is rounded before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputPrecision {
    /// Values are compared as they are.
    F64,
    /// Values are rounded to `f32` first, as scikit-learn does.
    F32,
}

impl InputPrecision {
    pub(crate) fn round(self, value: f64) -> f64 {
        match self {
            Self::F64 => value,
            Self::F32 => f64::from(value as f32),
        }
    }
}

/// Returns the mean path length of an unsuccessful search in a binary search tree of `n` nodes.
///
/// This is c(n), Eq. 1 of Liu et al. 2008, with the exact harmonic number. It stands in for the
/// subtree that a leaf of `n` samples was not grown into.
pub fn average_path_length(n: usize) -> f64 {
    Harmonic::Exact.average_path_length(n)
}

impl Harmonic {
    /// Returns c(n) = 2 H(n - 1) - 2 (n - 1) / n, and 0 for n up to 1.
    pub fn average_path_length(self, n: usize) -> f64 {
        match (self, n) {
            (_, 0 | 1) => 0.0,
            // H(1) is 1, where ln 1 + γ gives 0.58.
            (_, 2) => 1.0,
            (Self::Exact, n) => from_harmonic_number((1..n).map(|i| 1.0 / i as f64).sum(), n),
            (Self::Logarithm, n) => from_harmonic_number(((n - 1) as f64).ln() + EULER_GAMMA, n),
        }
    }

    /// Returns c(0), c(1) and so on up to `n_max`, each what [`Self::average_path_length`] gives, as it is
    /// added to path sums.
    pub(crate) fn average_path_lengths(self, n_max: usize) -> Vec<PathSum> {
        let mut harmonic_number = 0.0;
        (0..=n_max)
            .map(|n| {
                if n >= 2 {
                    harmonic_number += 1.0 / (n - 1) as f64;
                }
                PathSum::from_length(match (self, n) {
                    (Self::Exact, 3..) => from_harmonic_number(harmonic_number, n),
                    _ => self.average_path_length(n),
                })
            })
            .collect()
    }
}

const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Returns c(n) from H(n - 1).
fn from_harmonic_number(harmonic_number: f64, n: usize) -> f64 {
    let n = n as f64;
    2.0 * harmonic_number - 2.0 * (n - 1.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(harmonic: Harmonic, n: usize, expected: f64) {
        let actual = harmonic.average_path_length(n);
        assert!((actual - expected).abs() < 1e-13, "c({n}) = {actual}, not {expected}");
    }

    #[test]
    fn c_of_n_has_its_known_values() {
        check(Harmonic::Exact, 0, 0.0);
        check(Harmonic::Exact, 1, 0.0);
        check(Harmonic::Exact, 2, 1.0);
        check(Harmonic::Exact, 3, 5.0 / 3.0);
        check(Harmonic::Exact, 4, 13.0 / 6.0);
        check(Harmonic::Logarithm, 2, 1.0);
        check(Harmonic::Logarithm, 3, 2.0 * (2.0_f64.ln() + EULER_GAMMA) - 4.0 / 3.0);
    }

    #[test]
    fn both_ways_to_c_agree_for_many_samples() {
        let exact = average_path_length(100_000);
        let approximate = Harmonic::Logarithm.average_path_length(100_000);
        assert!((exact - approximate).abs() < 1.1e-5, "{exact} {approximate}");
    }

    #[test]
    fn the_table_equals_the_function() {
        for harmonic in [Harmonic::Exact, Harmonic::Logarithm] {
            let table = harmonic.average_path_lengths(300);
            assert_eq!(table.len(), 301);
            for (n, &c) in table.iter().enumerate() {
                assert_eq!(c, PathSum::from_length(harmonic.average_path_length(n)), "c({n})");
            }
        }
    }
}
