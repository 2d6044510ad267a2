//! One tree: a flat list of nodes, walked by a loop.

use crate::path_sum::PathSum;

/// A node as it is written down: in a file, or in a forest that was fitted elsewhere.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TreeNode {
    /// A cut: values above the threshold go right, all others left.
    Split {
        /// Index of the feature.
        feature: usize,
        /// The largest value that goes left; finite.
        threshold: f64,
        /// Index of the left child in the tree, greater than the node's own.
        left: usize,
        /// Index of the right child in the tree, greater than the node's own.
        right: usize,
        /// Whether a missing value goes right; our own forests send it left.
        nan_right: bool,
    },
    /// An end, with the number of samples that were not separated any further.
    Leaf {
        /// Number of samples.
        size: u32,
    },
}

/// Why nodes do not make a forest.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidForest {
    /// A forest has a tree at least, and not too many.
    #[error("a forest has 1 to {} trees, not {n_trees}", crate::Params::N_TREES_MAX)]
    NTrees {
        /// As given.
        n_trees: usize,
    },
    /// A forest has a feature at least, and not too many.
    #[error("a forest has 1 to {} features, not {n_features}", crate::Params::N_FEATURES_MAX)]
    NFeatures {
        /// As given.
        n_features: usize,
    },
    /// Trees are not grown from so many samples, or from none.
    #[error("a sample size is 1 to {}, not {sample_size}", crate::Params::SAMPLE_SIZE_MAX)]
    SampleSize {
        /// As given.
        sample_size: usize,
    },
    /// A tree has a root.
    #[error("tree {tree} has no nodes")]
    EmptyTree {
        /// Index of the tree.
        tree: usize,
    },
    /// A child does not come after its parent, is not there, or has another parent too.
    #[error("node {node} of tree {tree} has node {child} as a child, which cannot be")]
    Child {
        /// Index of the tree.
        tree: usize,
        /// Index of the parent.
        node: usize,
        /// Index of the child.
        child: usize,
    },
    /// A node cannot be reached from the root.
    #[error("tree {tree} has {n_nodes} nodes of which only {n_reached} are reached")]
    Unreached {
        /// Index of the tree.
        tree: usize,
        /// Number of nodes of the tree.
        n_nodes: usize,
        /// Number of nodes below the root, itself included.
        n_reached: usize,
    },
    /// A cut is on a feature that the forest does not have.
    #[error("node {node} of tree {tree} cuts feature {feature} of {n_features}")]
    Feature {
        /// Index of the tree.
        tree: usize,
        /// Index of the node.
        node: usize,
        /// Index of the feature.
        feature: usize,
        /// Number of features of the forest.
        n_features: usize,
    },
    /// A cut is at no number.
    #[error("the threshold of node {node} of tree {tree} is not finite")]
    Threshold {
        /// Index of the tree.
        tree: usize,
        /// Index of the node.
        node: usize,
    },
    /// The leaves hold more samples than a tree can be grown from.
    #[error("the leaves of tree {tree} hold more than {} samples", crate::Params::SAMPLE_SIZE_MAX)]
    Size {
        /// Index of the tree.
        tree: usize,
    },
    /// The paths are so long that their sum could not be held.
    #[error("the paths of the forest are too long to be added up")]
    TooDeep,
}

/// A tree of cuts.
///
/// Invariant: nodes are in breadth-first order, so the two children of a node are adjacent and
/// come after it, and a walk from the root ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct IsolationTree {
    nodes: Vec<Node>,
    /// Number of samples of every node; the children's add up to their parent's.
    sizes: Vec<u32>,
    /// The path length to be expected of a point that has come to a node: the cuts so far, and
    /// c(n) for the n samples of the node. At a leaf, this is h(x).
    expected_lengths: Vec<PathSum>,
    height: u32,
    /// Whether any node sends missing values right.
    nan_right: bool,
}

/// A node as it is walked. A leaf is its own child, whatever the value, so that walks of different
/// lengths may go on side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    threshold: f64,
    /// Index of the left child; the right one follows it.
    first_child: u32,
    feature: u16,
    nan_right: bool,
}

impl Node {
    fn leaf(index: usize) -> Self {
        Self { threshold: f64::INFINITY, first_child: index as u32, feature: 0, nan_right: false }
    }

    /// The child that a value goes to. `NAN_RIGHT` says whether any node sends missing values
    /// right; asking each node only where one does makes all other walks a third faster.
    fn child<const NAN_RIGHT: bool>(&self, value: f64) -> usize {
        let goes_right = (value > self.threshold) | (NAN_RIGHT && self.nan_right & value.is_nan());
        self.first_child as usize + usize::from(goes_right)
    }

    fn is_leaf(&self, index: usize) -> bool {
        self.first_child as usize == index
    }
}

impl IsolationTree {
    /// Lays out a tree that is written down, and checks all that a walk relies on.
    ///
    /// `average_path_lengths` holds c(n) for every n up to the sum of the leaf sizes.
    pub(crate) fn from_nodes(
        source: &[TreeNode],
        n_features: usize,
        average_path_lengths: &[f64],
    ) -> Result<Self, InvalidNode> {
        if source.is_empty() {
            return Err(InvalidNode::EmptyTree);
        }
        // Position i of the new order holds node `order[i]` of the source, `depths[i]` cuts down.
        let mut order = vec![0];
        let mut depths = vec![0];
        let mut is_reached = vec![false; source.len()];
        let mut nodes = Vec::with_capacity(source.len());
        let mut sizes = vec![0; source.len()];
        while let Some(&index) = order.get(nodes.len()) {
            let position = nodes.len();
            match source[index] {
                TreeNode::Split { feature, threshold, left, right, nan_right } => {
                    if feature >= n_features {
                        return Err(InvalidNode::Feature { node: index, feature });
                    }
                    if !threshold.is_finite() {
                        return Err(InvalidNode::Threshold { node: index });
                    }
                    for child in [left, right] {
                        if child <= index || child >= source.len() || is_reached[child] {
                            return Err(InvalidNode::Child { node: index, child });
                        }
                        is_reached[child] = true;
                    }
                    nodes.push(Node {
                        threshold,
                        first_child: order.len() as u32,
                        feature: feature as u16,
                        nan_right,
                    });
                    order.extend([left, right]);
                    depths.extend([depths[position] + 1; 2]);
                }
                TreeNode::Leaf { size } => {
                    nodes.push(Node::leaf(position));
                    sizes[position] = size;
                }
            }
        }
        if nodes.len() < source.len() {
            return Err(InvalidNode::Unreached { n_reached: nodes.len() });
        }

        add_up_sizes(&nodes, &mut sizes);
        let expected_lengths = depths
            .iter()
            .zip(&sizes)
            .map(|(&depth, &size)| {
                PathSum::from_length(f64::from(depth) + average_path_lengths[size as usize])
            })
            .collect();
        let height = depths.iter().copied().max().unwrap_or(0);
        let nan_right = nodes.iter().any(|node| node.nan_right);
        Ok(Self { nodes, sizes, expected_lengths, height, nan_right })
    }

    /// The tree as it is written down.
    pub(crate) fn to_nodes(&self) -> impl ExactSizeIterator<Item = TreeNode> {
        self.nodes.iter().zip(&self.sizes).enumerate().map(|(index, (node, &size))| {
            if node.is_leaf(index) {
                TreeNode::Leaf { size }
            } else {
                TreeNode::Split {
                    feature: usize::from(node.feature),
                    threshold: node.threshold,
                    left: node.first_child as usize,
                    right: node.first_child as usize + 1,
                    nan_right: node.nan_right,
                }
            }
        })
    }

    /// h(x): the number of cuts that isolate `x`, and the expected number below its leaf.
    pub(crate) fn path_length(&self, x: &[f64]) -> PathSum {
        let [index] = self.leaves(&[x]);
        self.expected_lengths[index]
    }

    /// Adds h(x) of each of `LANES` rows to its sum.
    pub(crate) fn add_path_lengths<const LANES: usize>(
        &self,
        rows: &[&[f64]; LANES],
        sums: &mut [PathSum; LANES],
    ) {
        for (sum, index) in sums.iter_mut().zip(self.leaves(rows)) {
            *sum = sum.plus(self.expected_lengths[index]);
        }
    }

    /// The leaf that each row comes to.
    fn leaves<const LANES: usize>(&self, rows: &[&[f64]; LANES]) -> [usize; LANES] {
        if self.nan_right {
            self.walk::<true, LANES>(rows)
        } else {
            self.walk::<false, LANES>(rows)
        }
    }

    /// Walks side by side: while one waits for its next node, the others are served.
    fn walk<const NAN_RIGHT: bool, const LANES: usize>(
        &self,
        rows: &[&[f64]; LANES],
    ) -> [usize; LANES] {
        let mut indices = [0; LANES];
        for _ in 0..self.height {
            for (index, x) in indices.iter_mut().zip(rows) {
                let node = &self.nodes[*index];
                *index = node.child::<NAN_RIGHT>(x[usize::from(node.feature)]);
            }
        }
        indices
    }

    /// Calls `visit` with every cut that `x` passes: its feature, and the path length that was to
    /// be expected before and after it.
    pub(crate) fn visit_cuts(&self, x: &[f64], mut visit: impl FnMut(usize, PathSum, PathSum)) {
        let mut index = 0;
        while !self.nodes[index].is_leaf(index) {
            let node = &self.nodes[index];
            let feature = usize::from(node.feature);
            let child = node.child::<true>(x[feature]);
            visit(feature, self.expected_lengths[index], self.expected_lengths[child]);
            index = child;
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Number of samples the tree was grown from.
    pub(crate) fn size(&self) -> u32 {
        self.sizes[0]
    }

    /// No path is expected to be longer, wherever it has come to.
    pub(crate) fn longest_path(&self) -> PathSum {
        self.expected_lengths.iter().copied().max().unwrap_or(PathSum::ZERO)
    }
}

/// What is wrong with a tree; [`InvalidForest`] says with which.
#[derive(Debug)]
pub(crate) enum InvalidNode {
    EmptyTree,
    Child { node: usize, child: usize },
    Unreached { n_reached: usize },
    Feature { node: usize, feature: usize },
    Threshold { node: usize },
}

impl InvalidNode {
    pub(crate) fn of_tree(self, tree: usize, n_nodes: usize, n_features: usize) -> InvalidForest {
        match self {
            Self::EmptyTree => InvalidForest::EmptyTree { tree },
            Self::Child { node, child } => InvalidForest::Child { tree, node, child },
            Self::Unreached { n_reached } => InvalidForest::Unreached { tree, n_nodes, n_reached },
            Self::Feature { node, feature } => {
                InvalidForest::Feature { tree, node, feature, n_features }
            }
            Self::Threshold { node } => InvalidForest::Threshold { tree, node },
        }
    }
}

/// Gives every split the samples of its children.
fn add_up_sizes(nodes: &[Node], sizes: &mut [u32]) {
    for (index, node) in nodes.iter().enumerate().rev() {
        if !node.is_leaf(index) {
            let first_child = node.first_child as usize;
            sizes[index] = sizes[first_child] + sizes[first_child + 1];
        }
    }
}
