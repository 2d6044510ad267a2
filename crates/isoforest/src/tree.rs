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
        /// Where a missing value goes.
        missing: Missing,
    },
    /// An end, with the number of samples that were not separated any further.
    Leaf {
        /// Number of samples.
        size: u32,
    },
}

/// Where a missing value goes at a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Both ways, weighted by the share of training samples on each side. Forests fitted here use this
    /// one: on either side alone, normal rows with a missing value would look strange.
    Both,
}

/// An error that occurs when nodes are assembled to a forest.
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
    /// The number of samples of a tree is 0 or too large.
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
    /// `true` if missing values go left at every node, as a plain comparison sends them.
    sends_missing_left: bool,
}

/// A node as it is walked. A leaf is its own child, whatever the value, so that walks of different
/// lengths may go on side by side.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    threshold: f64,
    /// Index of the left child; the right one follows it.
    first_child: u32,
    feature: u16,
    missing: Missing,
}

/// A cut as the engines lay it out: values above the threshold go right, all others left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cut {
    pub(crate) feature: u16,
    pub(crate) threshold: f64,
    /// Index of the left child; the right one follows it.
    pub(crate) first_child: u32,
}

/// Where a row goes at a cut: one way, or two where a missing value goes both.
struct Split {
    feature: usize,
    first: Way,
    second: Option<Way>,
}

struct Way {
    child: u32,
    /// The share of the row that goes this way.
    share: f64,
}

impl Node {
    fn leaf(index: usize) -> Self {
        let first_child = index as u32;
        Self { threshold: f64::INFINITY, first_child, feature: 0, missing: Missing::Left }
    }

    /// Returns the child that a value goes to, which is the left one for a missing value.
    fn child(&self, value: f64) -> u32 {
        self.first_child + u32::from(value > self.threshold)
    }

    fn is_leaf(&self, index: u32) -> bool {
        self.first_child == index
    }
}

impl IsolationTree {
    /// Lays out a tree that is written down, and checks all that a walk relies on.
    ///
    /// `average_path_lengths` holds c(n) for every n up to the sum of the leaf sizes.
    pub(crate) fn from_nodes(
        source: &[TreeNode],
        n_features: usize,
        average_path_lengths: &[PathSum],
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
                TreeNode::Split { feature, threshold, left, right, missing } => {
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
                        missing,
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
            .map(|(&depth, &size)| expected_length(depth, size, average_path_lengths))
            .collect();
        let height = depths.iter().copied().max().unwrap_or(0);
        let sends_missing_left = nodes.iter().all(|node| node.missing == Missing::Left);
        Ok(Self { nodes, sizes, expected_lengths, height, sends_missing_left })
    }

    /// Returns the tree as it is written down.
    pub(crate) fn to_nodes(&self) -> impl ExactSizeIterator<Item = TreeNode> {
        self.nodes.iter().zip(&self.sizes).enumerate().map(|(index, (node, &size))| {
            if node.is_leaf(index as u32) {
                TreeNode::Leaf { size }
            } else {
                TreeNode::Split {
                    feature: usize::from(node.feature),
                    threshold: node.threshold,
                    left: node.first_child as usize,
                    right: node.first_child as usize + 1,
                    missing: node.missing,
                }
            }
        })
    }

    /// Returns h(x): the number of cuts that isolate `x`, and the expected number below its leaf.
    pub(crate) fn path_length(&self, x: &[f64]) -> PathSum {
        if !self.sends_missing_left && has_missing(x) {
            return self.path_length_with_missing(x, &mut Vec::new());
        }
        let [leaf] = walk_on([self], [x], [0]);
        self.expected_length(leaf)
    }

    /// Returns h(x) of a row with missing values: where these go both ways, the mean over the leaves that
    /// they lead to, weighted by the shares of training samples. `branches` is room to work in.
    pub(crate) fn path_length_with_missing(
        &self,
        x: &[f64],
        branches: &mut Vec<(u32, f64)>,
    ) -> PathSum {
        let mut mean = 0.0;
        branches.push((0, 1.0));
        while let Some((mut index, mut weight)) = branches.pop() {
            while let Some(Split { first, second, .. }) = self.split(index, x) {
                if let Some(second) = second {
                    branches.push((second.child, weight * second.share));
                }
                index = first.child;
                weight *= first.share;
            }
            mean += weight * self.expected_length(index).to_length();
        }
        PathSum::from_length(mean)
    }

    /// Returns where a row goes at a node; `None` at a leaf.
    fn split(&self, index: u32, x: &[f64]) -> Option<Split> {
        let node = &self.nodes[index as usize];
        if node.is_leaf(index) {
            return None;
        }
        let feature = usize::from(node.feature);
        let value = x[feature];
        let only = |child| Split { feature, first: Way { child, share: 1.0 }, second: None };
        Some(match node.missing {
            Missing::Right if value.is_nan() => only(node.first_child + 1),
            Missing::Both if value.is_nan() => {
                let way = |child: u32| Way { child, share: self.share(child, index) };
                let [left, right] = [node.first_child, node.first_child + 1].map(way);
                Split { feature, first: left, second: Some(right) }
            }
            _ => only(node.child(value)),
        })
    }

    /// Returns the share of a node's samples that went to this child.
    fn share(&self, child: u32, node: u32) -> f64 {
        match self.sizes[node as usize] {
            0 => 0.5,
            size => f64::from(self.sizes[child as usize]) / f64::from(size),
        }
    }

    /// Returns the path length that is to be expected of a point that has come to a node.
    pub(crate) fn expected_length(&self, node: u32) -> PathSum {
        self.expected_lengths[node as usize]
    }

    /// Returns the path lengths that end at the leaves.
    pub(crate) fn leaf_lengths(&self) -> impl Iterator<Item = PathSum> {
        let nodes = self.nodes.iter().zip(&self.expected_lengths).enumerate();
        nodes
            .filter(|(index, (node, _))| node.is_leaf(*index as u32))
            .map(|(_, (_, &length))| length)
    }

    /// Returns the cut at a node; `None` at a leaf.
    pub(crate) fn cut(&self, node: u32) -> Option<Cut> {
        let Node { threshold, first_child, feature, .. } = self.nodes[node as usize];
        (first_child != node).then_some(Cut { feature, threshold, first_child })
    }

    /// Returns all cuts.
    pub(crate) fn cuts(&self) -> impl Iterator<Item = Cut> {
        (0..self.nodes.len() as u32).filter_map(|node| self.cut(node))
    }

    /// Returns the length of the longest path, in cuts.
    pub(crate) fn height(&self) -> u32 {
        self.height
    }

    /// Returns `true` if missing values go left at every node, as a plain comparison sends them.
    pub(crate) fn sends_missing_left(&self) -> bool {
        self.sends_missing_left
    }

    /// Calls `visit` with every cut that `x` passes: its feature, and by how much it shortens the path
    /// that is to be expected, weighted by the share of `x` that passes it. `whole_length` is what
    /// was to be expected before the first cut.
    pub(crate) fn visit_cuts(
        &self,
        x: &[f64],
        whole_length: PathSum,
        mut visit: impl FnMut(usize, i64),
    ) {
        // Of a row without missing values there is one branch, and no list is needed.
        let mut branches = Vec::new();
        let mut branch = Some((0, 1.0, whole_length));
        while let Some((index, weight, expected)) = branch.take().or_else(|| branches.pop()) {
            let Some(Split { feature, first, second }) = self.split(index, x) else { continue };
            let mut pass = |way: Way| {
                let share = weight * way.share;
                let after = self.expected_length(way.child);
                visit(feature, expected.shortened_to(after, share));
                (way.child, share, after)
            };
            branches.extend(second.map(&mut pass));
            branch = Some(pass(first));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Returns the number of samples the tree was grown from.
    pub(crate) fn size(&self) -> u32 {
        self.sizes[0]
    }

    /// No path is expected to be longer, wherever it has come to.
    pub(crate) fn longest_path(&self) -> PathSum {
        self.expected_lengths.iter().copied().max().unwrap_or(PathSum::ZERO)
    }
}

/// A tree while it is grown, breadth first.
pub(crate) struct TreeBuilder<'a> {
    tree: IsolationTree,
    /// c(n) for every n up to the number of samples.
    average_path_lengths: &'a [PathSum],
    /// The place of the children of the next split.
    next_child: u32,
}

impl<'a> TreeBuilder<'a> {
    /// `n_nodes` is a guess.
    pub(crate) fn with_capacity(n_nodes: usize, average_path_lengths: &'a [PathSum]) -> Self {
        let tree = IsolationTree {
            nodes: Vec::with_capacity(n_nodes),
            sizes: Vec::with_capacity(n_nodes),
            expected_lengths: Vec::with_capacity(n_nodes),
            height: 0,
            sends_missing_left: true,
        };
        Self { tree, average_path_lengths, next_child: 1 }
    }

    /// Returns the number of nodes so far.
    pub(crate) fn len(&self) -> usize {
        self.tree.nodes.len()
    }

    pub(crate) fn push_leaf(&mut self, size: u32, depth: u32) {
        self.push(Node::leaf(self.len()), size, depth);
    }

    /// Two more nodes have to follow, after those of earlier splits.
    pub(crate) fn push_split(&mut self, feature: u16, threshold: f64, size: u32, depth: u32) {
        let first_child = self.next_child;
        self.next_child += 2;
        self.tree.sends_missing_left = false;
        self.push(Node { threshold, first_child, feature, missing: Missing::Both }, size, depth);
    }

    fn push(&mut self, node: Node, size: u32, depth: u32) {
        let expected_length = expected_length(depth, size, self.average_path_lengths);
        self.tree.nodes.push(node);
        self.tree.sizes.push(size);
        self.tree.expected_lengths.push(expected_length);
        self.tree.height = depth;
    }

    pub(crate) fn finish(mut self) -> IsolationTree {
        debug_assert_eq!(self.next_child as usize, self.len());
        self.tree.nodes.shrink_to_fit();
        self.tree.sizes.shrink_to_fit();
        self.tree.expected_lengths.shrink_to_fit();
        self.tree
    }
}

/// Returns the cuts so far, and c(n) for the n samples of a node.
fn expected_length(depth: u32, size: u32, average_path_lengths: &[PathSum]) -> PathSum {
    PathSum::from_cuts(depth).plus(average_path_lengths[size as usize])
}

/// Walks side by side, each down its own tree with its own row, from the nodes `at` to the leaves.
/// Missing values go left.
///
/// While one walk waits for its next node, the others are served.
pub(crate) fn walk_on<const LANES: usize>(
    trees: [&IsolationTree; LANES],
    rows: [&[f64]; LANES],
    mut at: [u32; LANES],
) -> [u32; LANES] {
    /// Steps between two looks at whether all have arrived.
    const STRIDE: usize = 4;
    let nodes = trees.map(|tree| tree.nodes.as_slice());
    while !(0..LANES).all(|lane| nodes[lane][at[lane] as usize].is_leaf(at[lane])) {
        for _ in 0..STRIDE {
            for lane in 0..LANES {
                let node = &nodes[lane][at[lane] as usize];
                at[lane] = node.child(rows[lane][usize::from(node.feature)]);
            }
        }
    }
    at
}

/// Returns `true` if a value of the row is missing.
pub(crate) fn has_missing(x: &[f64]) -> bool {
    x.iter().any(|value| value.is_nan())
}

/// A fault of a tree; [`InvalidForest`] says of which.
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
        if !node.is_leaf(index as u32) {
            let first_child = node.first_child as usize;
            sizes[index] = sizes[first_child] + sizes[first_child + 1];
        }
    }
}
