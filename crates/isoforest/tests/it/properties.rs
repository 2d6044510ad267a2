//! Properties that hold for any data.

use isoforest::{DecodeError, IsolationForest, Params, Samples, TreeNode, average_path_length};
use proptest::collection::vec;
use proptest::prelude::*;

/// Values among which cuts are hard to place and to compare.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        6 => -100.0..100.0_f64,
        2 => (-3..3_i8).prop_map(f64::from),
        1 => prop_oneof![Just(-0.0), Just(f64::MAX), Just(f64::MIN), Just(f64::MIN_POSITIVE), Just(1.0_f64.next_up())],
        1 => Just(f64::NAN),
    ]
}

/// Rows of up to five features.
fn rows() -> impl Strategy<Value = (Vec<f64>, usize)> {
    (1..6_usize, 1..80_usize)
        .prop_flat_map(|(n_features, n_rows)| (vec(value(), n_features * n_rows), Just(n_features)))
}

fn params(seed: u64) -> Params {
    Params { n_trees: 10, sample_size: 32, seed, ..Params::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scores_lie_above_zero_and_up_to_one((values, n_features) in rows(), seed: u64) {
        let samples = Samples::new(&values, n_features).unwrap();
        let forest = IsolationForest::fit(&samples, &params(seed)).unwrap().forest;
        let longest = f64::from(forest.conventions().sample_size.next_power_of_two().trailing_zeros())
            + average_path_length(forest.conventions().sample_size);
        for x in samples.rows() {
            let score = forest.score_one(x);
            prop_assert!(score > 0.0 && score <= 1.0, "{score}");
            prop_assert!(forest.path_length(x) <= longest);
        }
    }

    #[test]
    fn a_row_scores_the_same_alone_and_in_a_batch((values, n_features) in rows(), seed: u64) {
        let samples = Samples::new(&values, n_features).unwrap();
        let forest = IsolationForest::fit(&samples, &params(seed)).unwrap().forest;
        let alone: Vec<_> = samples.rows().map(|x| forest.path_sum(x)).collect();
        prop_assert_eq!(forest.path_sums(&samples), alone);
    }

    #[test]
    fn leaves_hold_the_sample_and_children_follow_their_parent((values, n_features) in rows(), seed: u64) {
        let samples = Samples::new(&values, n_features).unwrap();
        let forest = IsolationForest::fit(&samples, &params(seed)).unwrap().forest;
        for nodes in forest.to_trees() {
            let mut n_samples = 0;
            for (index, node) in nodes.iter().enumerate() {
                match *node {
                    TreeNode::Leaf { size } => n_samples += size as usize,
                    TreeNode::Split { left, right, .. } => prop_assert!(index < left && right == left + 1),
                }
            }
            prop_assert_eq!(n_samples, forest.conventions().sample_size);
        }
        prop_assert!(forest.tree_sizes().all(|size| size as usize == forest.conventions().sample_size));
    }

    #[test]
    fn contributions_add_up_to_the_score((values, n_features) in rows(), seed: u64) {
        let samples = Samples::new(&values, n_features).unwrap();
        let forest = IsolationForest::fit(&samples, &params(seed)).unwrap().forest;
        prop_assume!(forest.conventions().sample_size > 1);
        for x in samples.rows() {
            let exponent = forest.contributions(x).iter().sum::<f64>() - 1.0;
            prop_assert!((exponent - forest.score_one(x).log2()).abs() < 1e-9);
        }
    }

    #[test]
    fn an_encoded_forest_is_decoded((values, n_features) in rows(), seed: u64) {
        let samples = Samples::new(&values, n_features).unwrap();
        let forest = IsolationForest::fit(&samples, &params(seed)).unwrap().forest;
        prop_assert_eq!(IsolationForest::decode(&forest.encode()).unwrap(), forest);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        prop_assert!(IsolationForest::decode(&bytes).is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed(position: prop::sample::Index, change in 1..=255_u8) {
        let mut bytes = small_forest().encode();
        let position = position.index(bytes.len());
        bytes[position] ^= change;
        prop_assert!(IsolationForest::decode(&bytes).is_err());
    }

    /// The checksum is right, so the payload itself has to be found wrong, or be a forest.
    #[test]
    fn a_forged_payload_gives_a_sound_forest_or_none(position: prop::sample::Index, byte: u8) {
        let mut payload = small_forest().encode().split_off(isoforest::envelope::HEADER_LEN);
        let position = position.index(payload.len());
        payload[position] = byte;
        let forged = with_header(&payload);
        if let Ok(forest) = IsolationForest::decode(&forged) {
            let x = vec![0.5; forest.conventions().n_features];
            let score = forest.score_one(&x);
            prop_assert!(score > 0.0 && score <= 1.0);
            prop_assert_eq!(forest.encode(), forged);
        }
    }
}

#[test]
fn a_file_that_is_cut_off_or_continued_is_refused() {
    let whole = small_forest().encode();
    for len in 0..whole.len() {
        assert!(IsolationForest::decode(&whole[..len]).is_err(), "{len} of {} bytes", whole.len());
    }
    let mut continued = whole;
    continued.push(0);
    assert!(matches!(IsolationForest::decode(&continued), Err(DecodeError::Length { .. })));
}

#[test]
fn any_number_of_threads_gives_equal_bytes() {
    let values: Vec<f64> =
        (0..6_000_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) % 1_000)).collect();
    let samples = Samples::new(&values, 3).unwrap();
    let fit_on = |n_threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
        pool.install(|| {
            let fit = IsolationForest::fit(&samples, &Params::default()).unwrap();
            let sums = fit.training_path_sums(&samples);
            (fit.forest.encode(), sums)
        })
    };
    let alone = fit_on(1);
    assert_eq!(fit_on(2), alone);
    assert_eq!(fit_on(7), alone);
}

#[test]
fn a_row_is_out_of_bag_for_the_trees_that_did_not_draw_it() {
    // Two rows and one tree of one row each: a row is drawn, or it is judged.
    let samples = Samples::new(&[0.0, 1.0], 1).unwrap();
    let one_tree = Params { n_trees: 1, sample_size: 1, ..Params::default() };
    let fit = IsolationForest::fit(&samples, &one_tree).unwrap();
    let n_judged = fit.training_path_sums(&samples).out_of_bag.iter().flatten().count();
    assert_eq!(n_judged, 1);

    // An outlier that trees have learnt looks less strange to them than to the others.
    let values: Vec<f64> = (0..200).map(f64::from).chain([1_000.0]).collect();
    let samples = Samples::new(&values, 1).unwrap();
    let params = Params { sample_size: 100, ..Params::default() };
    let sums = IsolationForest::fit(&samples, &params).unwrap().training_path_sums(&samples);
    assert!(sums.out_of_bag[200].unwrap() != sums.in_sample[200]);
    let mean = |sums: &[u64]| sums.iter().sum::<u64>() / sums.len() as u64;
    let out_of_bag: Vec<u64> = sums.out_of_bag.iter().flatten().map(|sum| sum.to_bits()).collect();
    let in_sample: Vec<u64> = sums.in_sample.iter().map(|sum| sum.to_bits()).collect();
    assert!(mean(&out_of_bag).abs_diff(mean(&in_sample)) < mean(&in_sample) / 50);
}

#[test]
fn impossible_fits_are_refused() {
    let fit = |values: &[f64], params: Params| {
        IsolationForest::fit(&Samples::new(values, 1).unwrap(), &params).unwrap_err().to_string()
    };
    let default = Params::default;
    assert_eq!(fit(&[], default()), "there are no samples to learn from");
    assert_eq!(
        fit(&[1.0], Params { n_trees: 0, ..default() }),
        "the number of trees must be 1 to 100000, not 0"
    );
    assert_eq!(
        fit(&[1.0], Params { sample_size: 0, ..default() }),
        "the sample size must be 1 to 1048576, not 0"
    );
    assert_eq!(
        fit(&[1.0], Params { max_features: Some(2), ..default() }),
        "a tree can be limited to 1 to 1 features, not 2"
    );
}

#[test]
fn one_row_and_two_rows_make_forests() {
    let one = Samples::new(&[3.0], 1).unwrap();
    let forest = IsolationForest::fit(&one, &Params::default()).unwrap().forest;
    assert_eq!(forest.score_one(&[99.0]), 0.5);

    let two = Samples::new(&[0.0, 1.0], 1).unwrap();
    let forest = IsolationForest::fit(&two, &Params::default()).unwrap().forest;
    assert_eq!(forest.score_one(&[0.0]), 0.5);
}

#[test]
fn a_tree_cuts_no_more_features_than_it_may() {
    let values: Vec<f64> =
        (0..4_000_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) % 997)).collect();
    let samples = Samples::new(&values, 8).unwrap();
    let params = Params { max_features: Some(2), ..Params::default() };
    let trees = IsolationForest::fit(&samples, &params).unwrap().forest.to_trees();
    let mut cut_by_any = [false; 8];
    for nodes in trees {
        let mut cut = [false; 8];
        for node in nodes {
            if let TreeNode::Split { feature, .. } = node {
                cut[feature] = true;
                cut_by_any[feature] = true;
            }
        }
        assert_eq!(cut.iter().filter(|&&is_cut| is_cut).count(), 2);
    }
    assert_eq!(cut_by_any, [true; 8]);
}

fn small_forest() -> IsolationForest {
    let values: Vec<f64> = (0..40).map(f64::from).collect();
    let samples = Samples::new(&values, 2).unwrap();
    let params = Params { n_trees: 2, sample_size: 8, ..Params::default() };
    IsolationForest::fit(&samples, &params).unwrap().forest
}

/// A payload behind a header that fits it.
fn with_header(payload: &[u8]) -> Vec<u8> {
    use sha2::{Digest, Sha256};

    let mut bytes = isoforest::FOREST_KIND.to_vec();
    bytes.extend(isoforest::FOREST_VERSION.to_le_bytes());
    bytes.extend((payload.len() as u64).to_le_bytes());
    bytes.extend(Sha256::digest(payload));
    bytes.extend(payload);
    bytes
}
