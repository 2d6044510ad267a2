//! A forest as bytes. `docs/model-format.md` describes them one by one.

use serde::{Deserialize, Serialize};

use crate::conventions::{Conventions, Harmonic, InputPrecision};
use crate::envelope::{self, DecodeError};
use crate::forest::IsolationForest;
use crate::tree::{IsolationTree, Missing, TreeNode};

/// The first eight bytes of a forest.
///
/// A byte that is no text, and both kinds of line end, so that a transfer as text is noticed.
pub const FOREST_KIND: [u8; 8] = *b"\x89IFO\r\n\x1a\n";
/// The format version that is written; this and all earlier ones are read.
pub const FOREST_VERSION: u32 = 2;

/// The payload of both versions; in version 1, no missing value goes both ways. Columns are byte strings:
/// their length is checked against the bytes that are there before anything is made from them.
#[derive(Serialize, Deserialize)]
struct ForestColumns<'a> {
    n_features: u32,
    sample_size: u32,
    harmonic: u8,
    input_precision: u8,
    /// A `u32` a tree: its number of nodes.
    tree_lens: &'a [u8],
    /// A [`NodeBytes`] a node, tree after tree.
    nodes: &'a [u8],
}

/// A node: 16 bytes.
///
/// A split has its threshold, its left child (the right one follows it), its feature, and where a missing
/// value goes: 0 left, 1 right, 2 both ways. A leaf has threshold 0, its number of samples, [`LEAF`] and 0.
struct NodeBytes {
    threshold: f64,
    first_child_or_size: u32,
    feature: u16,
    missing: u16,
}

const LEAF: u16 = u16::MAX;

impl IsolationForest {
    /// Writes the forest down; equal forests give equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let conventions = self.conventions();
        let trees = self.trees();
        let tree_lens: Vec<u8> =
            trees.iter().flat_map(|tree| (tree.len() as u32).to_le_bytes()).collect();
        let nodes: Vec<u8> = trees
            .iter()
            .flat_map(IsolationTree::to_nodes)
            .flat_map(|node| NodeBytes::from(node).to_bytes())
            .collect();
        let forest = ForestColumns {
            n_features: conventions.n_features as u32,
            sample_size: conventions.sample_size as u32,
            harmonic: match conventions.harmonic {
                Harmonic::Exact => 0,
                Harmonic::Logarithm => 1,
            },
            input_precision: match conventions.input_precision {
                InputPrecision::F64 => 0,
                InputPrecision::F32 => 1,
            },
            tree_lens: &tree_lens,
            nodes: &nodes,
        };
        envelope::seal(FOREST_KIND, FOREST_VERSION, &forest)
    }

    /// Reads what [`IsolationForest::encode`] wrote. The bytes need not be trusted.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are no forest, were damaged, or break anything that scoring relies on.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let forest: ForestColumns<'_> = envelope::open(FOREST_KIND, FOREST_VERSION, bytes)?;
        let conventions = Conventions {
            n_features: forest.n_features as usize,
            sample_size: forest.sample_size as usize,
            harmonic: match forest.harmonic {
                0 => Harmonic::Exact,
                1 => Harmonic::Logarithm,
                _ => return Err(DecodeError::Malformed("no such harmonic number")),
            },
            input_precision: match forest.input_precision {
                0 => InputPrecision::F64,
                1 => InputPrecision::F32,
                _ => return Err(DecodeError::Malformed("no such input precision")),
            },
        };

        let (tree_lens, []) = forest.tree_lens.as_chunks::<4>() else {
            return Err(DecodeError::Malformed("a tree length is cut off"));
        };
        let (mut nodes, []) = forest.nodes.as_chunks::<{ NodeBytes::LEN }>() else {
            return Err(DecodeError::Malformed("a node is cut off"));
        };
        let mut trees = Vec::with_capacity(tree_lens.len());
        for &tree_len in tree_lens {
            let tree_len = u32::from_le_bytes(tree_len) as usize;
            let (of_tree, rest) = nodes
                .split_at_checked(tree_len)
                .ok_or(DecodeError::Malformed("a tree has fewer nodes than it says"))?;
            nodes = rest;
            trees.push(
                of_tree
                    .iter()
                    .map(|bytes| NodeBytes::from_bytes(bytes).try_into())
                    .collect::<Result<Vec<_>, _>>()?,
            );
        }
        if !nodes.is_empty() {
            return Err(DecodeError::Malformed("nodes belong to no tree"));
        }
        Ok(Self::from_trees(&trees, conventions)?)
    }
}

impl NodeBytes {
    const LEN: usize = 16;

    fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.threshold.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.first_child_or_size.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.feature.to_le_bytes());
        bytes[14..].copy_from_slice(&self.missing.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let &[t0, t1, t2, t3, t4, t5, t6, t7, c0, c1, c2, c3, f0, f1, n0, n1] = bytes;
        Self {
            threshold: f64::from_le_bytes([t0, t1, t2, t3, t4, t5, t6, t7]),
            first_child_or_size: u32::from_le_bytes([c0, c1, c2, c3]),
            feature: u16::from_le_bytes([f0, f1]),
            missing: u16::from_le_bytes([n0, n1]),
        }
    }
}

impl From<TreeNode> for NodeBytes {
    fn from(node: TreeNode) -> Self {
        match node {
            TreeNode::Split { feature, threshold, left, right: _, missing } => Self {
                threshold,
                first_child_or_size: left as u32,
                feature: feature as u16,
                missing: match missing {
                    Missing::Left => 0,
                    Missing::Right => 1,
                    Missing::Both => 2,
                },
            },
            TreeNode::Leaf { size } => {
                Self { threshold: 0.0, first_child_or_size: size, feature: LEAF, missing: 0 }
            }
        }
    }
}

impl TryFrom<NodeBytes> for TreeNode {
    type Error = DecodeError;

    fn try_from(node: NodeBytes) -> Result<Self, DecodeError> {
        let NodeBytes { threshold, first_child_or_size, feature, missing } = node;
        if feature == LEAF {
            return match (threshold.to_bits(), missing) {
                (0, 0) => Ok(Self::Leaf { size: first_child_or_size }),
                _ => Err(DecodeError::Malformed("a leaf has more than a size")),
            };
        }
        Ok(Self::Split {
            feature: usize::from(feature),
            threshold,
            left: first_child_or_size as usize,
            right: first_child_or_size as usize + 1,
            missing: match missing {
                0 => Missing::Left,
                1 => Missing::Right,
                2 => Missing::Both,
                _ => {
                    return Err(DecodeError::Malformed("a missing value goes left, right or both"));
                }
            },
        })
    }
}
