//! Isolation forests: fit, score, explain, save.
//!
//! An isolation forest finds what is few and different: it cuts the data at random, and a point
//! that few cuts suffice to set apart is anomalous (Liu, Ting and Zhou, "Isolation Forest", 2008).
//!
//! [`Samples`] is a matrix to learn from or to score, [`Params`] says how to learn, and
//! [`IsolationForest::fit`] gives a [`Fit`]: the forest, and which rows each tree drew. A walk of a
//! point through all trees gives a [`PathSum`], an integer; everything else is made from it:
//! the score (in (0, 1], **higher is more anomalous**), the decision against a [`Threshold`], and
//! the comparison with the [out-of-bag path sums](Fit::training_path_sums) of the training data.
//!
//! ```
//! use isoforest::{IsolationForest, Params, Samples};
//!
//! // A cluster along a line, row by row.
//! let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
//! let samples = Samples::new(&values, 2)?;
//! let forest = IsolationForest::fit(&samples, &Params::default())?.forest;
//!
//! assert!(forest.score_one(&[100.0, -100.0]) > forest.score_one(&[10.0, 11.0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`RandomCutForest`] has other trees, for detection in time order: its score rises further outside of the data.
//!
//! It reads no files and no clock, knows nothing of sensors, and does not decide the acceptable rate
//! of false alarms.

#![expect(
    clippy::cast_possible_truncation,
    reason = "features are counted in 16 bits, nodes and rows in 32: `Params`, `check` and `fit` bound them"
)]

pub mod envelope;

mod attribution;
mod codec;
mod conventions;
mod engine;
mod forest;
mod grow;
mod params;
mod path_sum;
mod prefetch;
mod random_cut;
mod rng;
mod samples;
mod tree;

pub use codec::{FOREST_KIND, FOREST_VERSION};
pub use conventions::{Conventions, Harmonic, InputPrecision, average_path_length};
pub use engine::{Engine, EngineError};
pub use envelope::DecodeError;
pub use forest::{Fit, IsolationForest, TrainingPathSums};
pub use params::{FitError, Params};
pub use path_sum::{PathSum, Threshold};
pub use random_cut::{RandomCutForest, RandomCutParams};
pub use samples::{InvalidSamples, Samples};
pub use tree::{InvalidForest, Missing, TreeNode};
