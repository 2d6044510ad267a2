//! Forests that scikit-learn fitted score here as they do there.
//!
//! `tests/data/sklearn` holds forests with queries and scikit-learn's answers; its README states
//! the rules. More such forests are read from `$SHARED_DIR/conformance/sklearn` where it exists.

use std::path::{Path, PathBuf};

use isoforest::{
    Conventions, Harmonic, InputPrecision, IsolationForest, Missing, Samples, TreeNode,
};
use serde_json::Value;

#[test]
fn imported_forests_score_as_scikit_learn_does() {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sklearn");
    let mut files = json_files(&own);
    assert!(files.len() >= 7, "the vectors of this crate are missing");
    files.extend(json_files(&shared_dir().join("conformance/sklearn")));
    for file in files {
        check(&file);
    }
}

#[track_caller]
fn check(file: &Path) {
    let vector = read(file);
    let forest = import(&vector);
    let n_features = forest.conventions().n_features;
    let queries: Vec<f64> = array(&vector["queries"]).iter().flat_map(numbers).collect();
    let samples = Samples::new(&queries, n_features).unwrap();
    let offset = vector["model"]["offset"].as_f64().unwrap();
    let threshold = forest.threshold_above(-offset);

    let in_batch = forest.score_samples(&samples);
    let expected = numbers(&vector["score_samples"]);
    let decisions = numbers(&vector["decision_function"]);
    let predictions = numbers(&vector["predict"]);
    assert_eq!(samples.len(), expected.len());
    for (i, x) in samples.rows().enumerate() {
        let place = format!("{}, query {i}", file.display());
        let score = forest.score_one(x);
        assert!((-score - expected[i]).abs() <= 1e-12, "{place}: {score} for {}", expected[i]);
        assert!((-score - offset - decisions[i]).abs() <= 1e-12, "{place}: decision_function");
        assert_eq!(score.to_bits(), in_batch[i].to_bits(), "{place}: one event and a batch differ");
        let exponent = forest.contributions(x).iter().sum::<f64>() - 1.0;
        assert!((exponent.exp2() - score).abs() <= 1e-9, "{place}: the contributions add up");
        let predicted = if threshold.is_exceeded_by(forest.path_sum(x)) { -1.0 } else { 1.0 };
        assert_eq!(predicted, predictions[i], "{place}: predict, {}", decisions[i]);
        let on_the_cut = forest.threshold_above(-expected[i]);
        assert!(
            !on_the_cut.is_exceeded_by(forest.path_sum(x)),
            "{place}: its own score as the cut"
        );
    }

    let copy = IsolationForest::decode(&forest.encode()).unwrap();
    assert_eq!(copy, forest, "{}", file.display());
}

fn import(vector: &Value) -> IsolationForest {
    assert_eq!(vector["split"], "le");
    let model = &vector["model"];
    let conventions = Conventions {
        n_features: model["n_features"].as_u64().unwrap() as usize,
        sample_size: model["psi"].as_u64().unwrap() as usize,
        harmonic: if vector["c"] == "exact" { Harmonic::Exact } else { Harmonic::Logarithm },
        input_precision: if vector["input_cast"] == "f32" {
            InputPrecision::F32
        } else {
            InputPrecision::F64
        },
    };
    let trees: Vec<Vec<TreeNode>> = array(&model["trees"]).iter().map(import_tree).collect();
    IsolationForest::from_trees(&trees, conventions).unwrap()
}

fn import_tree(tree: &Value) -> Vec<TreeNode> {
    let index = |value: &Value| value.as_u64().map(|index| index as usize);
    (0..array(&tree["left"]).len())
        .map(|i| match index(&tree["left"][i]) {
            // A child of -1 is none.
            None => TreeNode::Leaf { size: tree["n"][i].as_u64().unwrap() as u32 },
            Some(left) => TreeNode::Split {
                feature: index(&tree["cols"][index(&tree["feature"][i]).unwrap()]).unwrap(),
                threshold: tree["threshold"][i].as_f64().unwrap(),
                left,
                right: index(&tree["right"][i]).unwrap(),
                missing: if tree["miss_left"][i].as_bool().unwrap() {
                    Missing::Left
                } else {
                    Missing::Right
                },
            },
        })
        .collect()
}

/// The numbers of an array; null is NaN.
fn numbers(value: &Value) -> Vec<f64> {
    array(value).iter().map(|number| number.as_f64().unwrap_or(f64::NAN)).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

fn json_files(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        println!("skipped: {} is not there", dir.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files
}

/// Returns the folder of real recordings and reference forests, outside of this repository.
fn shared_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let dir = std::env::var("SHARED_DIR");
    dir.map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    )
}
