//! The ensemble: fitted or imported, then scored.

use std::fmt;

use rayon::prelude::*;

use crate::conventions::{Conventions, Harmonic, InputPrecision};
use crate::engine::{Compiled, Engine, EngineError, is_narrow};
use crate::grow::Grower;
use crate::params::{FitError, Params};
use crate::path_sum::{PathSum, Scale, Threshold};
use crate::rng::TreeRng;
use crate::samples::Samples;
use crate::tree::{InvalidForest, IsolationTree, TreeNode};

/// An ensemble of isolation trees.
pub struct IsolationForest {
    conventions: Conventions,
    trees: Vec<IsolationTree>,
    scale: Scale,
    compiled: Compiled,
}

/// The result of [`IsolationForest::fit`]: the forest, and the rows that it saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The fitted forest.
    pub forest: IsolationForest,
    /// For every tree, the rows that it was grown from.
    drawn: Vec<Vec<u32>>,
}

/// Path sums of the rows that a forest was fitted to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrainingPathSums {
    /// The sum of each row over all trees.
    pub in_sample: Vec<PathSum>,
    /// The sum of each row over the trees that did not draw it, extrapolated to all trees; `None`
    /// for a row that every tree drew.
    pub out_of_bag: Vec<Option<PathSum>>,
}

impl IsolationForest {
    /// Fits a forest to `samples`.
    ///
    /// Trees are grown in parallel, on the current rayon pool; the result does not depend on it.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of its range, and when there are no samples. Missing values
    /// (NaN) and infinite ones are fine: no cut is made because of them.
    pub fn fit(samples: &Samples<'_>, params: &Params) -> Result<Fit, FitError> {
        check(samples, params)?;
        let n_features = samples.n_features();
        let sample_size = params.sample_size.min(samples.len());
        let conventions = Conventions {
            n_features,
            sample_size,
            harmonic: Harmonic::Exact,
            input_precision: InputPrecision::F64,
        };
        let average_path_lengths = conventions.harmonic.average_path_lengths(sample_size);

        let (trees, drawn) = (0..params.n_trees)
            .into_par_iter()
            .map_init(
                || Grower::new(*samples, &average_path_lengths),
                |grower, tree_index| {
                    let mut rng = TreeRng::new(params.seed, tree_index);
                    let drawn = rng.distinct(sample_size, samples.len());
                    let mut features = match params.max_features {
                        Some(max_features) => rng.distinct(max_features, n_features),
                        None => (0..n_features as u32).collect(),
                    };
                    (grower.grow(&drawn, &mut features, &mut rng), drawn)
                },
            )
            .unzip();
        Ok(Fit { forest: Self::new(conventions, trees), drawn })
    }

    /// Takes over a forest that was fitted elsewhere or written down.
    ///
    /// The nodes of a tree start with the root; a child comes after its parent.
    ///
    /// # Errors
    ///
    /// Fails when anything is wrong that scoring relies on: see [`InvalidForest`].
    pub fn from_trees(
        trees: &[Vec<TreeNode>],
        conventions: Conventions,
    ) -> Result<Self, InvalidForest> {
        if !(1..=Params::N_TREES_MAX).contains(&trees.len()) {
            return Err(InvalidForest::NTrees { n_trees: trees.len() });
        }
        let Conventions { n_features, sample_size, .. } = conventions;
        if !(1..=Params::N_FEATURES_MAX).contains(&n_features) {
            return Err(InvalidForest::NFeatures { n_features });
        }
        if !(1..=Params::SAMPLE_SIZE_MAX).contains(&sample_size) {
            return Err(InvalidForest::SampleSize { sample_size });
        }
        let average_path_lengths = conventions.harmonic.average_path_lengths(largest_tree(trees)?);
        let trees = trees
            .iter()
            .enumerate()
            .map(|(index, nodes)| {
                IsolationTree::from_nodes(nodes, n_features, &average_path_lengths)
                    .map_err(|invalid| invalid.of_tree(index, nodes.len(), n_features))
            })
            .collect::<Result<Vec<_>, _>>()?;

        let longest_sum = trees.iter().try_fold(PathSum::ZERO, |sum, tree| {
            // A length of this many cuts would exceed a path sum.
            (tree.height() < 1 << 21).then_some(())?;
            let longer = sum.plus(tree.longest_path());
            (longer < PathSum::MAX).then_some(longer)
        });
        if longest_sum.is_none() {
            return Err(InvalidForest::TooDeep);
        }
        Ok(Self::new(conventions, trees))
    }

    fn new(conventions: Conventions, trees: Vec<IsolationTree>) -> Self {
        let average_path_length = conventions.harmonic.average_path_length(conventions.sample_size);
        let scale = Scale::new(trees.len(), average_path_length);
        let compiled = Compiled::new(Engine::fastest(), &trees, conventions);
        Self { conventions, trees, scale, compiled }
    }

    /// Returns the same forest, scored by another engine.
    ///
    /// # Errors
    ///
    /// Fails when this machine cannot run the engine.
    pub fn with_engine(self, engine: Engine) -> Result<Self, EngineError> {
        if engine == self.engine() {
            return Ok(self);
        }
        let compiled = Compiled::new(engine.checked()?, &self.trees, self.conventions);
        Ok(Self { compiled, ..self })
    }

    /// Returns the engine that scores.
    pub fn engine(&self) -> Engine {
        self.compiled.engine()
    }

    /// Returns the rules by which this forest scores.
    pub fn conventions(&self) -> &Conventions {
        &self.conventions
    }

    /// Returns the number of trees.
    pub fn n_trees(&self) -> usize {
        self.trees.len()
    }

    /// Returns the number of samples that each tree was grown from.
    pub fn tree_sizes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.trees.iter().map(IsolationTree::size)
    }

    /// Returns the nodes of each tree, as [`IsolationForest::from_trees`] takes them.
    pub fn to_trees(&self) -> Vec<Vec<TreeNode>> {
        self.trees.iter().map(|tree| tree.to_nodes().collect()).collect()
    }

    /// Returns the features that are compared in 64 bits, since thresholds lie closer than an `f32` can tell;
    /// seconds since 1970 are like that. Scoring them takes longer.
    pub fn wide_features(&self) -> Vec<usize> {
        let mut is_wide = vec![false; self.conventions.n_features];
        for cut in self.trees.iter().flat_map(IsolationTree::cuts) {
            is_wide[usize::from(cut.feature)] |=
                !is_narrow(cut.threshold, self.conventions.input_precision);
        }
        (0..is_wide.len()).filter(|&feature| is_wide[feature]).collect()
    }

    pub(crate) fn trees(&self) -> &[IsolationTree] {
        &self.trees
    }

    /// Returns the sum of the path lengths of `x` over all trees.
    ///
    /// # Panics
    ///
    /// Panics when `x` has not as many values as the forest has features.
    pub fn path_sum(&self, x: &[f64]) -> PathSum {
        self.with_rounded(x, |x| self.compiled.path_sum(&self.trees, x))
    }

    /// Returns the path sum of every row, computed in parallel on the current rayon pool.
    ///
    /// # Panics
    ///
    /// Panics when the samples have not as many features as the forest.
    pub fn path_sums(&self, samples: &Samples<'_>) -> Vec<PathSum> {
        self.map_path_sums(samples, |_, sum| sum)
    }

    /// Applies `f` to every row and its path sum, in parallel on the current rayon pool.
    ///
    /// # Panics
    ///
    /// Panics when the samples have not as many features as the forest.
    pub fn map_path_sums<T: Clone + Default + Send>(
        &self,
        samples: &Samples<'_>,
        f: impl Fn(&[f64], PathSum) -> T + Sync,
    ) -> Vec<T> {
        self.check_width(samples.n_features());
        let mut results = vec![T::default(); samples.len()];
        let fair_share = samples.len().div_ceil(4 * rayon::current_num_threads());
        let rows_per_task = fair_share.next_multiple_of(ROWS_PER_TASK_MIN).min(ROWS_PER_TASK_MAX);
        samples
            .values()
            .par_chunks(rows_per_task.max(1) * samples.n_features())
            .zip(results.par_chunks_mut(rows_per_task.max(1)))
            .for_each(|(values, results)| {
                let mut sums = vec![PathSum::ZERO; results.len()];
                match self.conventions.input_precision {
                    InputPrecision::F64 => self.score_rows(values, &mut sums),
                    InputPrecision::F32 => {
                        let rounded: Vec<f64> =
                            values.iter().map(|&x| InputPrecision::F32.round(x)).collect();
                        self.score_rows(&rounded, &mut sums);
                    }
                }
                let rows = values.chunks_exact(self.conventions.n_features);
                for ((result, row), sum) in results.iter_mut().zip(rows).zip(sums) {
                    *result = f(row, sum);
                }
            });
        results
    }

    fn score_rows(&self, values: &[f64], sums: &mut [PathSum]) {
        let rows: Vec<&[f64]> = values.chunks_exact(self.conventions.n_features).collect();
        self.compiled.path_sums(&self.trees, &rows, sums);
    }

    /// Returns E\[h(x)\]: the mean over the trees of the number of cuts that isolate `x`.
    ///
    /// # Panics
    ///
    /// Panics when `x` has not as many values as the forest has features.
    pub fn path_length(&self, x: &[f64]) -> f64 {
        self.path_sum(x).to_length() / self.n_trees() as f64
    }

    /// Returns the anomaly score of `x`, in (0, 1], higher is more anomalous: Eq. 2 of Liu et al. 2008.
    ///
    /// # Panics
    ///
    /// Panics when `x` has not as many values as the forest has features.
    pub fn score_one(&self, x: &[f64]) -> f64 {
        self.score(self.path_sum(x))
    }

    /// Returns the anomaly score of every row, in (0, 1], higher is more anomalous.
    ///
    /// # Panics
    ///
    /// Panics when the samples have not as many features as the forest.
    pub fn score_samples(&self, samples: &Samples<'_>) -> Vec<f64> {
        self.map_path_sums(samples, |_, sum| self.score(sum))
    }

    /// Returns the anomaly score of a point with this path sum.
    pub fn score(&self, sum: PathSum) -> f64 {
        self.scale.score(sum)
    }

    /// Returns the exponent of the score of a point with this path sum, which is 2 to this power: minus its
    /// mean path length over c(ψ). It rises with strangeness, and takes no function that platforms
    /// compute differently.
    pub fn exponent(&self, sum: PathSum) -> f64 {
        self.scale.exponent_of(sum)
    }

    /// Returns the cut that a point exceeds when its score is strictly above `score`.
    ///
    /// A score within 2^-40 of a path length a tree of the cut counts as on it.
    #[doc(alias = "offset")]
    pub fn threshold_above(&self, score: f64) -> Threshold {
        self.scale.threshold_above(score)
    }

    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    /// Hands `x` on as this forest compares it; without an allocation, unless it is very wide.
    pub(crate) fn with_rounded<T>(&self, x: &[f64], f: impl FnOnce(&[f64]) -> T) -> T {
        const ON_STACK: usize = 256;
        self.check_width(x.len());
        let round = |&value: &f64| self.conventions.input_precision.round(value);
        match self.conventions.input_precision {
            InputPrecision::F64 => f(x),
            InputPrecision::F32 if x.len() <= ON_STACK => {
                let mut rounded = [0.0; ON_STACK];
                for (rounded, value) in rounded.iter_mut().zip(x) {
                    *rounded = round(value);
                }
                f(&rounded[..x.len()])
            }
            InputPrecision::F32 => f(&x.iter().map(round).collect::<Vec<f64>>()),
        }
    }

    fn check_width(&self, n_features: usize) {
        assert_eq!(
            n_features, self.conventions.n_features,
            "a row has as many values as the forest has features"
        );
    }
}

/// A copy is laid out again for its engine, which takes about as long as a fit.
impl Clone for IsolationForest {
    fn clone(&self) -> Self {
        let compiled = Compiled::new(self.engine(), &self.trees, self.conventions);
        Self {
            conventions: self.conventions,
            trees: self.trees.clone(),
            scale: self.scale,
            compiled,
        }
    }
}

/// Forests are equal whose trees and conventions are, whatever engine scores them.
impl PartialEq for IsolationForest {
    fn eq(&self, other: &Self) -> bool {
        self.conventions == other.conventions && self.trees == other.trees
    }
}

impl fmt::Debug for IsolationForest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolationForest")
            .field("conventions", &self.conventions)
            .field("n_trees", &self.trees.len())
            .field("engine", &self.engine())
            .finish_non_exhaustive()
    }
}

impl Fit {
    /// Returns the path sums of the samples that the forest was fitted to.
    ///
    /// A row's out-of-bag sum is what a new row like it would get, since no tree it is taken from
    /// was grown with it: it calibrates a forest without setting rows aside.
    ///
    /// # Panics
    ///
    /// Panics when `samples` are not as many, or as wide, as those that were fitted.
    pub fn training_path_sums(&self, samples: &Samples<'_>) -> TrainingPathSums {
        let in_sample = self.forest.path_sums(samples);
        let n_trees = self.forest.n_trees();

        let mut out_of_bag: Vec<(PathSum, usize)> =
            in_sample.iter().map(|&sum| (sum, n_trees)).collect();
        for (tree, drawn) in self.forest.trees.iter().zip(&self.drawn) {
            for &row in drawn {
                let (sum, n_walked) = &mut out_of_bag[row as usize];
                *sum = sum.minus(tree.path_length(samples.row(row as usize)));
                *n_walked -= 1;
            }
        }
        let out_of_bag = out_of_bag
            .into_iter()
            .map(|(sum, n_walked)| (n_walked > 0).then(|| sum.extrapolated(n_walked, n_trees)))
            .collect();
        TrainingPathSums { in_sample, out_of_bag }
    }
}

/// Rows that one thread takes at a time: enough to be worth the handover, and not so many that others
/// would have none.
const ROWS_PER_TASK_MIN: usize = 512;
const ROWS_PER_TASK_MAX: usize = 4_096;

fn check(samples: &Samples<'_>, params: &Params) -> Result<(), FitError> {
    let &Params { n_trees, sample_size, max_features, .. } = params;
    let n_features = samples.n_features();
    if !(1..=Params::N_TREES_MAX).contains(&n_trees) {
        return Err(FitError::NTrees { n_trees });
    }
    if !(1..=Params::SAMPLE_SIZE_MAX).contains(&sample_size) {
        return Err(FitError::SampleSize { sample_size });
    }
    if n_features > Params::N_FEATURES_MAX {
        return Err(FitError::NFeatures { n_features });
    }
    if let Some(max_features) = max_features
        && !(1..=n_features).contains(&max_features)
    {
        return Err(FitError::MaxFeatures { max_features, n_features });
    }
    if samples.is_empty() {
        return Err(FitError::NoSamples);
    }
    if u32::try_from(samples.len()).is_err() {
        return Err(FitError::NSamples { n_samples: samples.len() });
    }
    let sample_size = sample_size.min(samples.len());
    if n_trees.saturating_mul(sample_size) > Params::N_SAMPLED_MAX {
        return Err(FitError::TooLarge { n_trees, sample_size });
    }
    Ok(())
}

/// Returns the number of samples of the largest tree.
fn largest_tree(trees: &[Vec<TreeNode>]) -> Result<usize, InvalidForest> {
    let mut largest = 0;
    for (tree, nodes) in trees.iter().enumerate() {
        let leaves = nodes.iter().filter_map(|node| match *node {
            TreeNode::Leaf { size } => Some(size as usize),
            TreeNode::Split { .. } => None,
        });
        // As a sum of up to 2^32 numbers below 2^32, this does not overflow.
        let size: usize = leaves.sum();
        if size > Params::SAMPLE_SIZE_MAX {
            return Err(InvalidForest::Size { tree });
        }
        largest = largest.max(size);
    }
    Ok(largest)
}
