//! All engines give the bits of a plain walk over the written-down trees.

use isoforest::{
    Conventions, Engine, Harmonic, InputPrecision, IsolationForest, Missing, Params, PathSum,
    Samples, TreeNode,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// The path sum by its definition: node by node, tree by tree.
fn plain_path_sum(forest: &IsolationForest, trees: &[Vec<TreeNode>], x: &[f64]) -> PathSum {
    let conventions = forest.conventions();
    let rounded: Vec<f64> = x
        .iter()
        .map(|&value| match conventions.input_precision {
            InputPrecision::F64 => value,
            InputPrecision::F32 => f64::from(value as f32),
        })
        .collect();
    let sums = trees.iter().map(|nodes| {
        let sizes = sizes(nodes);
        let mut mean = 0.0;
        add_leaves(nodes, &sizes, conventions.harmonic, &rounded, &mut mean, (0, 0, 1.0));
        fixed_point(mean)
    });
    PathSum::from_bits(sums.sum())
}

/// Returns the number of samples of every node.
fn sizes(nodes: &[TreeNode]) -> Vec<u32> {
    let mut sizes = vec![0; nodes.len()];
    for (index, node) in nodes.iter().enumerate().rev() {
        sizes[index] = match *node {
            TreeNode::Split { left, right, .. } => sizes[left] + sizes[right],
            TreeNode::Leaf { size } => size,
        };
    }
    sizes
}

#[expect(clippy::cast_sign_loss, reason = "lengths are not negative")]
fn fixed_point(length: f64) -> u64 {
    (length * 2_f64.powi(40)).round() as u64
}

/// Adds the length of each path below a node that `x` takes, weighted by its share, from left to right.
fn add_leaves(
    nodes: &[TreeNode],
    sizes: &[u32],
    harmonic: Harmonic,
    x: &[f64],
    mean: &mut f64,
    (mut index, mut depth, mut weight): (usize, u64, f64),
) {
    while let TreeNode::Split { feature, threshold, left, right, missing } = nodes[index] {
        depth += 1;
        index = match (x[feature].is_nan(), missing) {
            (true, Missing::Both) => {
                let share = |child: usize| match sizes[index] {
                    0 => 0.5,
                    size => f64::from(sizes[child]) / f64::from(size),
                };
                let below = (left, depth, weight * share(left));
                add_leaves(nodes, sizes, harmonic, x, mean, below);
                weight *= share(right);
                right
            }
            (true, Missing::Right) => right,
            _ => {
                if x[feature] > threshold {
                    right
                } else {
                    left
                }
            }
        };
    }
    let TreeNode::Leaf { size } = nodes[index] else { unreachable!("the walk ended") };
    let c = fixed_point(harmonic.average_path_length(size as usize));
    *mean += weight * (((depth << 40) + c) as f64 / 2_f64.powi(40));
}

/// Checks every engine that this machine has, on every batch size that takes another way.
#[track_caller]
fn check(forest: &IsolationForest, samples: &Samples<'_>) {
    let trees = forest.to_trees();
    let expected: Vec<PathSum> =
        samples.rows().map(|x| plain_path_sum(forest, &trees, x)).collect();
    for engine in Engine::ALL.into_iter().filter(|engine| !engine.is_available()) {
        println!("skipped: this machine cannot run the engine {engine}");
    }
    for engine in Engine::available() {
        let forest = forest.clone().with_engine(engine).unwrap();
        assert_eq!(forest.engine(), engine);
        for (x, &expected) in samples.rows().zip(&expected) {
            assert_eq!(forest.path_sum(x), expected, "{engine}, one event: {x:?}");
        }
        for n_rows in [1, 2, 15, 17, 23, 24, 25, 127, 128, 129, 512, 513, samples.len()] {
            let values = &samples.values()[..n_rows * samples.n_features()];
            let rows = Samples::new(values, samples.n_features()).unwrap();
            let sums = forest.path_sums(&rows);
            assert_eq!(sums.len(), n_rows);
            let wrong = sums.iter().zip(&expected).position(|(sum, expected)| sum != expected);
            assert_eq!(wrong, None, "{engine}, {n_rows} rows: the sum of this row");
        }
    }
}

/// Rows on which comparisons are hard: thresholds, their neighbours, and the odd ones of floats.
fn adversarial_rows(forest: &IsolationForest, seed: u64) -> Vec<f64> {
    const ODD: [f64; 14] = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::MIN_POSITIVE,
        5e-324,
        -5e-324,
        1e-40,
        -1e-40,
        f64::MAX,
        f64::MIN,
        3.5e38,
        -3.5e38,
    ];
    let n_features = forest.conventions().n_features;
    let mut thresholds = vec![vec![0.0]; n_features];
    for node in forest.to_trees().into_iter().flatten() {
        if let TreeNode::Split { feature, threshold, .. } = node {
            thresholds[feature].push(threshold);
        }
    }
    // Any mixing will do; this one is a multiplication by an odd number.
    let mut state = seed | 1;
    let mut draw = move |n: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % n
    };
    let n_rows = 600;
    let mut rows = Vec::with_capacity(n_rows * n_features);
    for _ in 0..n_rows {
        for of_feature in &thresholds {
            let threshold = of_feature[draw(of_feature.len())];
            rows.push(match draw(8) {
                0 => threshold.next_up(),
                1 => threshold.next_down(),
                2 => f64::from((threshold as f32).next_up()),
                3 => f64::from((threshold as f32).next_down()),
                4 => ODD[draw(ODD.len())],
                5 => threshold + (draw(2_000) as f64 - 1_000.0) / 256.0,
                _ => threshold,
            });
        }
    }
    rows
}

#[track_caller]
fn check_adversarial(forest: &IsolationForest, seed: u64) {
    let rows = adversarial_rows(forest, seed);
    check(forest, &Samples::new(&rows, forest.conventions().n_features).unwrap());
}

/// Values that fill a cube, some of them constant or equal to others.
fn cube(n_rows: usize, n_features: usize) -> Vec<f64> {
    (0..n_rows * n_features)
        .map(|i| match i % n_features % 7 {
            5 => 1.0,
            6 => f64::from((i as u32).wrapping_mul(2_654_435_761) >> 30),
            _ => f64::from((i as u32).wrapping_mul(2_654_435_761)) / 1e7,
        })
        .collect()
}

#[track_caller]
fn check_fitted(n_rows: usize, n_features: usize, params: &Params) {
    let values = cube(n_rows, n_features);
    let samples = Samples::new(&values, n_features).unwrap();
    let forest = IsolationForest::fit(&samples, params).unwrap().forest;
    check_adversarial(&forest, params.seed);
}

#[test]
fn thresholds_are_f32_wherever_one_separates_the_same_values() {
    let values = cube(2_000, 3);
    let samples = Samples::new(&values, 3).unwrap();
    let forest = IsolationForest::fit(&samples, &Params::default()).unwrap().forest;
    assert!(forest.wide_features().is_empty());
    assert!(forest.to_trees().iter().flatten().all(|node| match *node {
        TreeNode::Split { threshold, .. } => f64::from(threshold as f32) == threshold,
        TreeNode::Leaf { .. } => true,
    }));
}

#[test]
fn an_engine_is_known_by_its_name() {
    for engine in Engine::ALL {
        assert_eq!(engine.to_string().parse(), Ok(engine));
    }
    let unknown = "sse9".parse::<Engine>().unwrap_err().to_string();
    assert_eq!(unknown, "there is no engine \"sse9\": choose one of portable, avx2 and avx512");
    assert!(Engine::Portable.is_available());
    assert!(Engine::fastest().is_available());
    assert_eq!(Engine::choose("auto"), Ok(Engine::fastest()));
    assert_eq!(Engine::choose("portable"), Ok(Engine::Portable));
    assert!(Engine::choose("quantum").is_err());
}

#[test]
fn engines_agree_on_forests_of_any_width() {
    for n_features in [1, 2, 3, 7, 16, 17, 32, 64, 65, 128, 129, 256, 257, 300] {
        let params = Params { n_trees: 20, seed: n_features as u64, ..Params::default() };
        check_fitted(2_000, n_features, &params);
    }
}

#[test]
fn engines_agree_on_any_number_of_trees() {
    for n_trees in [1, 2, 3, 4, 5, 8, 9, 15, 16, 17, 33, 100, 1_000] {
        check_fitted(1_000, 3, &Params { n_trees, ..Params::default() });
    }
}

#[test]
fn engines_agree_on_trees_of_any_height() {
    for sample_size in [1, 2, 3, 8, 100, 256, 257, 1_024, 4_096] {
        check_fitted(5_000, 4, &Params { n_trees: 18, sample_size, ..Params::default() });
    }
}

#[test]
fn engines_agree_where_thresholds_are_no_f32() {
    // Seconds since 1970, to the microsecond: neighbours differ by less than an `f32` can tell.
    let values: Vec<f64> = cube(3_000, 3).iter().map(|value| 1.76e9 + value / 1e3).collect();
    let samples = Samples::new(&values, 3).unwrap();
    let forest = IsolationForest::fit(&samples, &Params::default()).unwrap().forest;
    assert_eq!(forest.wide_features(), [0, 1, 2]);
    check_adversarial(&forest, 1);
}

#[test]
fn engines_agree_on_a_tree_that_is_a_chain() {
    // Each cut takes one value away: 2,000 levels, of which the last is reached by the highest.
    let n_cuts = 2_000;
    let mut chain = Vec::new();
    for cut in 0..n_cuts {
        chain.push(TreeNode::Split {
            feature: cut % 2,
            threshold: cut as f64,
            left: 2 * cut + 1,
            right: 2 * cut + 2,
            missing: Missing::Left,
        });
        chain.push(TreeNode::Leaf { size: 1 });
    }
    chain.push(TreeNode::Leaf { size: 1 });
    let forest =
        IsolationForest::from_trees(&[chain], conventions(2, InputPrecision::F64)).unwrap();
    check_adversarial(&forest, 1);
}

/// Batches of more rows than are taken at once, by one thread and by several.
#[test]
fn engines_agree_on_batches_of_any_size() {
    let values = cube(9_000, 3);
    let samples = Samples::new(&values, 3).unwrap();
    for sample_size in [64, 1_024] {
        let params = Params { n_trees: 20, sample_size, ..Params::default() };
        let forest = IsolationForest::fit(&samples, &params).unwrap().forest;
        let trees = forest.to_trees();
        let expected: Vec<_> = samples.rows().map(|x| plain_path_sum(&forest, &trees, x)).collect();
        for engine in Engine::available() {
            let forest = forest.clone().with_engine(engine).unwrap();
            for n_threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                for n_rows in [1_023, 1_024, 1_025, 4_096, 4_097, 9_000] {
                    let rows = Samples::new(&values[..3 * n_rows], 3).unwrap();
                    let sums = pool.install(|| forest.path_sums(&rows));
                    assert!(sums == expected[..n_rows], "{engine}, {n_rows} rows, {n_threads}");
                }
            }
        }
    }
}

/// A full treetop, in which every cut is on a feature of its own.
#[test]
fn engines_agree_on_levels_that_compare_128_features() {
    let cuts = (0..255).map(|cut| TreeNode::Split {
        feature: cut,
        threshold: (cut % 7) as f64 / 4.0,
        left: 2 * cut + 1,
        right: 2 * cut + 2,
        missing: Missing::Left,
    });
    let leaves = (1..=256).map(|size| TreeNode::Leaf { size });
    let tree: Vec<_> = cuts.chain(leaves).collect();
    let conventions = conventions(255, InputPrecision::F64);
    let forest = IsolationForest::from_trees(&[tree.clone(), tree], conventions).unwrap();
    check_adversarial(&forest, 3);
}

fn conventions(n_features: usize, input_precision: InputPrecision) -> Conventions {
    Conventions { n_features, sample_size: 256, harmonic: Harmonic::Exact, input_precision }
}

/// A tree of `shape.len()` cuts, each at a leaf that the shape picks.
fn tree_of_shape(
    shape: &[(prop::sample::Index, usize, f64, Missing, u32)],
    n_features: usize,
) -> Vec<TreeNode> {
    let mut nodes = vec![TreeNode::Leaf { size: 1 }];
    for &(place, feature, threshold, missing, size) in shape {
        let leaves: Vec<usize> = (0..nodes.len())
            .filter(|&index| matches!(nodes[index], TreeNode::Leaf { .. }))
            .collect();
        let (left, right) = (nodes.len(), nodes.len() + 1);
        nodes[*place.get(&leaves)] =
            TreeNode::Split { feature: feature % n_features, threshold, left, right, missing };
        nodes.extend([TreeNode::Leaf { size }, TreeNode::Leaf { size: size / 2 }]);
    }
    nodes
}

fn missing() -> impl Strategy<Value = Missing> {
    prop_oneof![18 => Just(Missing::Left), 1 => Just(Missing::Right), 1 => Just(Missing::Both)]
}

fn threshold() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0_f64,
        2 => (-3..3_i8).prop_map(f64::from),
        1 => (-10.0..10.0_f32).prop_map(f64::from),
        1 => prop_oneof![Just(-0.0), Just(f64::MAX), Just(f64::MIN), Just(5e-324), Just(1e39), Just(-1e39)],
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn engines_agree_on_imported_forests(
        n_features in 1..40_usize,
        is_f32: bool,
        shapes in vec(
            vec((any::<prop::sample::Index>(), 0..40_usize, threshold(), missing(), 0..400_u32), 0..120),
            1..40,
        ),
        seed: u64,
    ) {
        let trees: Vec<_> = shapes.iter().map(|shape| tree_of_shape(shape, n_features)).collect();
        let precision = if is_f32 { InputPrecision::F32 } else { InputPrecision::F64 };
        let forest = IsolationForest::from_trees(&trees, conventions(n_features, precision)).unwrap();
        check_adversarial(&forest, seed);
    }
}
