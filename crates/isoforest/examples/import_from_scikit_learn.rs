//! Imports a forest that scikit-learn has fitted and scores with it:
//! `cargo run -p isoforest --example import_from_scikit_learn [FILE]`.
//!
//! The file is JSON. With a fitted `sklearn.ensemble.IsolationForest` called `model`, Python writes it
//! like this:
//!
//! ```python
//! def tree(estimator, columns):
//!     t = estimator.tree_
//!     return dict(left=t.children_left.tolist(), right=t.children_right.tolist(),
//!                 feature=t.feature.tolist(), threshold=t.threshold.tolist(),
//!                 n=t.n_node_samples.tolist(), miss_left=(t.missing_go_to_left != 0).tolist(),
//!                 cols=columns.tolist())
//!
//! json.dump(dict(
//!     model=dict(psi=int(model.max_samples_), offset=float(model.offset_), n_features=model.n_features_in_,
//!                trees=[tree(*pair) for pair in zip(model.estimators_, model.estimators_features_)]),
//!     queries=queries.tolist(), score_samples=model.score_samples(queries).tolist()), file)
//! ```

#![expect(clippy::print_stdout, reason = "an example shows its results")]

use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use isoforest::{Conventions, Harmonic, InputPrecision, IsolationForest, Missing, TreeNode};
use serde::Deserialize;

#[derive(Deserialize)]
struct Exported {
    model: Model,
    queries: Vec<Vec<Option<f64>>>,
    score_samples: Vec<f64>,
}

#[derive(Deserialize)]
struct Model {
    psi: usize,
    offset: f64,
    n_features: usize,
    trees: Vec<Tree>,
}

/// A tree as scikit-learn keeps it: an array for each property of its nodes.
#[derive(Deserialize)]
struct Tree {
    /// The index of the left child; -1 in a leaf.
    left: Vec<i64>,
    right: Vec<i64>,
    /// The feature of a split, as an index into `cols`.
    feature: Vec<i64>,
    threshold: Vec<f64>,
    /// The number of samples in a node.
    n: Vec<u32>,
    miss_left: Vec<bool>,
    cols: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/sklearn/contamination.json");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let exported: Exported = serde_json::from_reader(BufReader::new(File::open(path)?))?;
    let model = exported.model;

    let conventions = Conventions {
        n_features: model.n_features,
        sample_size: model.psi,
        // scikit-learn approximates harmonic numbers by logarithms, and rounds inputs to 32 bits.
        harmonic: Harmonic::Logarithm,
        input_precision: InputPrecision::F32,
    };
    let trees = model.trees.iter().map(nodes).collect::<Result<Vec<_>, _>>()?;
    let forest = IsolationForest::from_trees(&trees, conventions)?;
    // `predict` is -1 where `score_samples`, the negative score, lies below the offset.
    let threshold = forest.threshold_above(-model.offset);

    let mut largest_difference: f64 = 0.0;
    let mut n_anomalies = 0;
    for (query, expected) in exported.queries.iter().zip(&exported.score_samples) {
        let point: Vec<f64> = query.iter().map(|value| value.unwrap_or(f64::NAN)).collect();
        largest_difference = largest_difference.max((forest.score_one(&point) + expected).abs());
        n_anomalies += usize::from(threshold.is_exceeded_by(forest.path_sum(&point)));
    }
    println!("imported {} trees of {} samples", forest.n_trees(), model.psi);
    println!("scored   {} points, {n_anomalies} of them anomalies", exported.queries.len());
    println!("largest difference from score_samples: {largest_difference:.1e}");
    Ok(())
}

/// Returns the nodes of a tree, the root first.
fn nodes(tree: &Tree) -> Result<Vec<TreeNode>, std::num::TryFromIntError> {
    let node = |index: usize| {
        if tree.left[index] < 0 {
            return Ok(TreeNode::Leaf { size: tree.n[index] });
        }
        Ok(TreeNode::Split {
            feature: tree.cols[usize::try_from(tree.feature[index])?],
            threshold: tree.threshold[index],
            left: usize::try_from(tree.left[index])?,
            right: usize::try_from(tree.right[index])?,
            missing: if tree.miss_left[index] { Missing::Left } else { Missing::Right },
        })
    };
    (0..tree.left.len()).map(node).collect()
}
