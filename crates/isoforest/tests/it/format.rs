//! Files of every format version are read for ever; the present one is written to the byte.

use std::path::{Path, PathBuf};

use isoforest::{
    DecodeError, FOREST_KIND, FOREST_VERSION, IsolationForest, Missing, Params, Samples, TreeNode,
};

/// The forest in the golden files, fitted again.
fn golden_forest() -> IsolationForest {
    let values: Vec<f64> =
        (0..3_000_u32).map(|i| f64::from(i.wrapping_mul(2_654_435_761) % 10_007) / 16.0).collect();
    let samples = Samples::new(&values, 3).unwrap();
    let params = Params { n_trees: 5, sample_size: 64, seed: 2_008, ..Params::default() };
    IsolationForest::fit(&samples, &params).unwrap().forest
}

fn golden_file(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/forest-v{version}.bin"))
}

/// A missing golden file is written, once, for its author to look at.
#[test]
fn the_present_version_is_written_to_the_byte() {
    let bytes = golden_forest().encode();
    let file = golden_file(FOREST_VERSION);
    if !file.exists() {
        std::fs::write(&file, &bytes).unwrap();
        panic!("{} was created; look at it and commit it", file.display());
    }
    assert!(
        std::fs::read(&file).unwrap() == bytes,
        "the same fit gives other bytes than {}",
        file.display()
    );
}

/// In version 1, missing values went left; all others go where they go now.
#[test]
fn every_version_is_still_read() {
    let expected = golden_forest();
    for version in 1..=FOREST_VERSION {
        let forest =
            IsolationForest::decode(&std::fs::read(golden_file(version)).unwrap()).unwrap();
        let all_left = |nodes: Vec<TreeNode>| nodes.into_iter().map(sent_left).collect::<Vec<_>>();
        let trees = |forest: &IsolationForest| forest.to_trees().into_iter().map(all_left);
        assert!(trees(&forest).eq(trees(&expected)), "version {version}");
        assert_eq!(forest == expected, version > 1);
        let row = [300.0, f64::NAN, 20.0];
        assert_eq!(forest.path_sum(&row) == expected.path_sum(&row), version > 1);
    }
}

fn sent_left(node: TreeNode) -> TreeNode {
    match node {
        TreeNode::Split { feature, threshold, left, right, .. } => {
            TreeNode::Split { feature, threshold, left, right, missing: Missing::Left }
        }
        leaf @ TreeNode::Leaf { .. } => leaf,
    }
}

/// Forests were once fitted with thresholds that are no `f32`; they score as they did then.
#[test]
fn forests_with_wide_thresholds_are_still_read() {
    let file = golden_file(1).with_file_name("forest-v1-f64-thresholds.bin");
    let forest = IsolationForest::decode(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(forest.wide_features(), [0, 1, 2]);
    let rows = [[0.0, 300.0, 600.0], [310.5, 310.5, 310.5], [625.0, 1.25, 99.75]];
    let sums = rows.map(|x| forest.path_sum(&x).to_bits());
    assert_eq!(sums, [39_442_877_405_618, 43_054_606_510_192, 17_592_186_044_416]);
}

#[test]
fn a_later_version_and_another_kind_are_named() {
    let mut later = golden_forest().encode();
    later[8] = FOREST_VERSION as u8 + 1;
    assert_eq!(
        IsolationForest::decode(&later),
        Err(DecodeError::Version { found: FOREST_VERSION + 1, supported: FOREST_VERSION })
    );
    assert_eq!(IsolationForest::decode(b"PK\x03\x04 and so on"), Err(DecodeError::Kind));
    assert_eq!(
        IsolationForest::decode(&FOREST_KIND),
        Err(DecodeError::Length { expected: 52, found: 8 })
    );
}

#[test]
fn the_smallest_forest_has_the_documented_bytes() {
    let samples = Samples::new(&[1.0], 1).unwrap();
    let params = Params { n_trees: 1, ..Params::default() };
    let bytes = IsolationForest::fit(&samples, &params).unwrap().forest.encode();

    let (header, payload) = bytes.split_at(isoforest::envelope::HEADER_LEN);
    assert_eq!(header[..20], *b"\x89IFO\r\n\x1a\n\x02\0\0\0\x2e\0\0\0\0\0\0\0");
    assert_eq!(
        payload,
        [
            &[1, 0, 0, 0][..],                                       // one feature
            &[1, 0, 0, 0],                                           // sample size 1
            &[0, 0],                                                 // exact c(n), f64 input
            &[4, 0, 0, 0, 0, 0, 0, 0],                               // four bytes of tree lengths
            &[1, 0, 0, 0],                                           // a tree of one node
            &[16, 0, 0, 0, 0, 0, 0, 0],                              // sixteen bytes of nodes
            &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0xff, 0xff, 0, 0], // a leaf of one sample
        ]
        .concat()
    );
}
