//! Which feature made a point anomalous.

use crate::forest::IsolationForest;

impl IsolationForest {
    /// Returns the contribution of each feature to the score of `x`, positive towards anomalous, in the order of features.
    ///
    /// A cut that leaves m of n samples on the side of `x` changes the expected length of the rest
    /// of its path from c(n) to 1 + c(m). What it takes away is credited to the feature it is on,
    /// averaged over the trees and divided by c(ψ). So contributions are **positive towards
    /// anomalous**, and they add up to the score: it is 2^(sum of contributions - 1).
    ///
    /// Where a missing value goes both ways, each is credited by its share. The first cut of a tree
    /// begins with c(ψ), also where an imported one was grown from another number of samples.
    ///
    /// # Panics
    ///
    /// Panics when `x` has not as many values as the forest has features.
    pub fn contributions(&self, x: &[f64]) -> Vec<f64> {
        // In integers, as path sums are, so that the order of trees does not matter.
        let mut shortened = vec![0_i64; self.conventions().n_features];
        let whole_length = self.scale().average_path_length();
        self.with_rounded(x, |x| {
            for tree in self.trees() {
                tree.visit_cuts(x, whole_length, |feature, by| shortened[feature] += by);
            }
        });
        shortened.into_iter().map(|difference| self.scale().exponent(difference)).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::{IsolationForest, Params, Samples};

    #[test]
    fn contributions_add_up_to_the_score_and_name_the_culprit() {
        // A filled square, and a point that is off it in the second feature only.
        let values: Vec<f64> =
            (0..400).flat_map(|i| [f64::from(i % 20), f64::from(i / 20)]).collect();
        let samples = Samples::new(&values, 2).unwrap();
        let forest = IsolationForest::fit(&samples, &Params::default()).unwrap().forest;

        let x = [10.0, 60.0];
        let contributions = forest.contributions(&x);
        let exponent: f64 = contributions.iter().sum::<f64>() - 1.0;
        assert!((exponent.exp2() - forest.score_one(&x)).abs() < 1e-9);
        assert!(contributions[1] > 0.1 && contributions[1] > contributions[0], "{contributions:?}");
    }
}
