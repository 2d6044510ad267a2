//! Parameters of a fit, and the reasons for refusing one.

/// Hyperparameters of [`IsolationForest::fit`](crate::IsolationForest::fit).
///
/// The defaults are those of the 2008 paper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Params {
    /// Number of trees in the ensemble, 1 to [`Params::N_TREES_MAX`].
    #[doc(alias = "n_estimators")]
    pub n_trees: usize,

    /// Number of samples each tree is grown from, ψ in the paper; at least 1.
    ///
    /// Capped at the number of samples given to `fit`.
    #[doc(alias = "max_samples")]
    pub sample_size: usize,

    /// Number of features that a tree may cut, drawn for every tree; all when `None`.
    pub max_features: Option<usize>,

    /// Seed of the whole fit. Equal samples, parameters and seed give an equal forest, whatever
    /// the number of threads.
    #[doc(alias = "random_state")]
    pub seed: u64,
}

impl Params {
    /// The most trees that a forest may have.
    pub const N_TREES_MAX: usize = 100_000;
    /// The most features that a forest may have.
    pub const N_FEATURES_MAX: usize = 65_534;
    /// The most samples of all trees together: the nodes that they make fill a gigabyte.
    pub const N_SAMPLED_MAX: usize = 1 << 25;
    /// The most samples that a tree may be grown from.
    pub const SAMPLE_SIZE_MAX: usize = 1 << 20;
}

impl Default for Params {
    fn default() -> Self {
        Self { n_trees: 100, sample_size: 256, max_features: None, seed: 42 }
    }
}

/// An error that occurs when a forest is fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// A forest needs something to learn from.
    #[error("there are no samples to learn from")]
    NoSamples,
    /// The number of trees is not usable.
    #[error("the number of trees must be 1 to {}, not {n_trees}", Params::N_TREES_MAX)]
    NTrees {
        /// As given.
        n_trees: usize,
    },
    /// The sample size is not usable.
    #[error("the sample size must be 1 to {}, not {sample_size}", Params::SAMPLE_SIZE_MAX)]
    SampleSize {
        /// As given.
        sample_size: usize,
    },
    /// The number of features that a tree may cut is 0 or too large.
    #[error("a tree can be limited to 1 to {n_features} features, not {max_features}")]
    MaxFeatures {
        /// As given.
        max_features: usize,
        /// Number of features of the samples.
        n_features: usize,
    },
    /// The samples are wider than a forest can be.
    #[error("samples may have up to {} features, not {n_features}", Params::N_FEATURES_MAX)]
    NFeatures {
        /// Number of features of the samples.
        n_features: usize,
    },
    /// The trees would hold more nodes than a file can.
    #[error(
        "{n_trees} trees of {sample_size} samples are more than a forest can hold: take fewer of either"
    )]
    TooLarge {
        /// Number of trees.
        n_trees: usize,
        /// Number of samples of each tree.
        sample_size: usize,
    },
    /// There are more rows than a row number can name.
    #[error("a forest learns from up to {} samples, not {n_samples}", u32::MAX)]
    NSamples {
        /// Number of rows.
        n_samples: usize,
    },
}
