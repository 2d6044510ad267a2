//! Forests of random cuts whose nodes keep their boxes, so that the score rises further outside of the data.
//!
//! A plain isolation forest is flat beyond the last cut: a point a little outside and one far away end
//! in the same leaf. Here each node knows the box around its samples, and a point outside of it is
//! parted from them with the probability that a cut of the larger box would do so, before the cut of
//! the node is asked. Cuts are drawn by the rule of robust random cut forests (Guha, Mishra, Roy and
//! Schrijvers, 2016): a feature in proportion to the width of the box, and a place uniform in it.

use crate::rng::SplitMix64;
use crate::samples::Samples;

/// A point that is still in the tree with less probability is walked no further.
const PROBABILITY_MIN: f64 = 1e-4;
/// A box with less width in all is one point.
const WIDTH_MIN: f64 = 1e-12;
/// The feature of a leaf.
const LEAF: u32 = u32::MAX;
/// With the digits of the reference, which the golden streams are from.
const EULER_GAMMA: f64 = 0.577_215_664_9;
/// The seed of each tree is that of the forest times this, and its number.
const SEED_FACTOR: u64 = 1_000_003;

/// The parameters of a forest of random cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomCutParams {
    /// Number of trees.
    pub n_trees: usize,
    /// Number of samples of each tree; all where there are fewer.
    pub sample_size: usize,
    /// Nodes this far from the root are not cut.
    pub depth_max: u32,
    /// Equal data, parameters and seed give an equal forest.
    pub seed: u64,
}

impl Default for RandomCutParams {
    fn default() -> Self {
        Self { n_trees: 20, sample_size: 64, depth_max: 12, seed: 0 }
    }
}

/// A forest of random cuts whose nodes keep their boxes.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomCutForest {
    n_features: usize,
    /// The mean depth of a point among as many as a tree has.
    usual_depth: f64,
    trees: Vec<Tree>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Tree {
    nodes: Vec<Node>,
    /// For each node the lowest values of its samples, then the highest.
    boxes: Vec<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// The feature that is cut; [`LEAF`] at a leaf.
    feature: u32,
    /// The left child; the root is no child.
    left: u32,
    right: u32,
    cut: f64,
    /// The sum of the widths of the box.
    width: f64,
    /// The mean depth at which a point is found among the samples of a leaf.
    depth_below: f64,
}

impl RandomCutForest {
    /// Grows trees from samples without missing values.
    ///
    /// # Panics
    ///
    /// Panics when there are fewer than two samples or more than 2^32, and when there are to be no trees, or trees of fewer
    /// than two samples.
    pub fn fit(samples: &Samples<'_>, params: &RandomCutParams) -> Self {
        assert!(samples.len() >= 2 && u32::try_from(samples.len()).is_ok(), "a number of samples");
        assert!(params.n_trees > 0 && params.sample_size >= 2, "a forest of trees with samples");
        let sample_size = params.sample_size.min(samples.len());
        let seed = params.seed.wrapping_mul(SEED_FACTOR);
        let trees = (0..params.n_trees as u64).map(|tree| {
            let mut rng = SplitMix64(seed.wrapping_add(tree));
            let mut drawn = rng.distinct(sample_size, samples.len());
            let mut growing = Growing { samples, params, rng, tree: Tree::default() };
            growing.grow(&mut drawn, 0);
            growing.tree
        });
        Self {
            n_features: samples.n_features(),
            usual_depth: mean_depth_among(sample_size),
            trees: trees.collect(),
        }
    }

    /// Returns the mean depth at which a random cut would part a point from the samples, as a share of
    /// the depth that is usual: about 1 within the samples, towards 0 far away from them.
    ///
    /// # Panics
    ///
    /// Panics when the point has another number of values than the samples.
    pub fn relative_depth(&self, x: &[f64]) -> f64 {
        assert_eq!(x.len(), self.n_features, "a point has a value for each feature");
        let sum: f64 = self.trees.iter().map(|tree| tree.depth_of(x)).sum();
        sum / self.trees.len() as f64 / self.usual_depth
    }
}

impl Tree {
    /// Returns the expected depth at which a random cut parts `x` from the samples of the tree.
    fn depth_of(&self, x: &[f64]) -> f64 {
        let (mut probability, mut depth, mut mean) = (1.0, 0.0, 0.0);
        let mut index = 0;
        loop {
            let node = &self.nodes[index];
            let outside = self.distance_outside(index, x);
            if outside > 0.0 {
                let parted = outside / (outside + node.width);
                mean += probability * parted * depth;
                probability *= 1.0 - parted;
                if probability < PROBABILITY_MIN {
                    return mean;
                }
            }
            if node.feature == LEAF {
                return mean + probability * (depth + node.depth_below);
            }
            let is_left = x[node.feature as usize] <= node.cut;
            index = if is_left { node.left } else { node.right } as usize;
            depth += 1.0;
        }
    }

    /// Returns the distance of a point from the box of a node, summed over the features.
    fn distance_outside(&self, index: usize, x: &[f64]) -> f64 {
        /// Sums that are added side by side.
        const LANES: usize = 4;
        let bounds = &self.boxes[index * 2 * x.len()..][..2 * x.len()];
        let (low, high) = bounds.split_at(x.len());
        let beyond = |low: f64, x: f64, high: f64| (low - x).max(0.0) + (x - high).max(0.0);
        let (low, low_rest) = low.as_chunks::<LANES>();
        let (high, high_rest) = high.as_chunks::<LANES>();
        let (x, x_rest) = x.as_chunks::<LANES>();
        let mut sums = [0.0; LANES];
        for ((low, x), high) in low.iter().zip(x).zip(high) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                *sum += beyond(low[lane], x[lane], high[lane]);
            }
        }
        let rest = low_rest.iter().zip(x_rest).zip(high_rest);
        let rest: f64 = rest.map(|((&low, &x), &high)| beyond(low, x, high)).sum();
        sums.iter().sum::<f64>() + rest
    }
}

/// A tree that grows.
struct Growing<'a> {
    samples: &'a Samples<'a>,
    params: &'a RandomCutParams,
    rng: SplitMix64,
    tree: Tree,
}

impl Growing<'_> {
    /// Adds a node with these samples and all below it, and returns its number.
    fn grow(&mut self, drawn: &mut [u32], depth: u32) -> u32 {
        let row = |sample: u32| self.samples.row(sample as usize);
        let (mut low, mut high) = (row(drawn[0]).to_vec(), row(drawn[0]).to_vec());
        for &sample in &drawn[1..] {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(row(sample)) {
                *low = low.min(x);
                *high = high.max(x);
            }
        }
        let widths: Vec<f64> = low.iter().zip(&high).map(|(low, high)| high - low).collect();
        let width: f64 = widths.iter().sum();
        let index = self.tree.nodes.len();
        let depth_below = mean_depth_among(drawn.len());
        let leaf = Node { feature: LEAF, left: 0, right: 0, cut: 0.0, width, depth_below };
        self.tree.nodes.push(leaf);
        self.tree.boxes.extend(low.iter().chain(&high));
        if drawn.len() > 1 && width > WIDTH_MIN && depth < self.params.depth_max {
            let feature = self.drawn_feature(&widths, width);
            let cut = low[feature] + self.rng.unit() * widths[feature];
            // In their order, so that sums and draws below do not depend on how they were parted.
            let samples = self.samples;
            drawn.sort_by_key(|&sample| samples.row(sample as usize)[feature] > cut);
            let is_left = |sample: &u32| samples.row(*sample as usize)[feature] <= cut;
            let n_left = drawn.partition_point(is_left);
            if n_left > 0 && n_left < drawn.len() {
                let (left, right) = drawn.split_at_mut(n_left);
                let (left, right) = (self.grow(left, depth + 1), self.grow(right, depth + 1));
                let feature = feature as u32;
                self.tree.nodes[index] = Node { feature, left, right, cut, ..leaf };
            }
        }
        index as u32
    }

    /// Draws a feature in proportion to its width.
    fn drawn_feature(&mut self, widths: &[f64], width: f64) -> usize {
        let mut rest = self.rng.unit() * width;
        let mut feature = 0;
        while feature + 1 < widths.len() && rest > widths[feature] {
            rest -= widths[feature];
            feature += 1;
        }
        feature
    }
}

/// Returns c(n), the mean depth of an unsuccessful search among `n` points, with ln for the harmonic number.
fn mean_depth_among(n: usize) -> f64 {
    match n {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = n as f64;
            2.0 * (libm::log(n - 1.0) + EULER_GAMMA) - 2.0 * (n - 1.0) / n
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cloud around 0 in as many features.
    fn cloud(n_rows: usize, n_features: usize) -> Vec<f64> {
        let mut rng = SplitMix64(7);
        let mut gaussian = || (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
        (0..n_rows * n_features).map(|_| gaussian()).collect()
    }

    #[test]
    fn the_farther_away_the_sooner_parted() {
        for n_features in [1, 3, 6, 33] {
            let values = cloud(400, n_features);
            let samples = Samples::new(&values, n_features).unwrap();
            let forest = RandomCutForest::fit(&samples, &RandomCutParams::default());
            let depths = [0.0, 3.0, 6.0, 12.0, 100.0, 1e6]
                .map(|distance| forest.relative_depth(&vec![distance; n_features]));
            assert!(depths.is_sorted_by(|a, b| a > b), "{n_features}: {depths:?}");
            assert!(depths[0] > 0.8 && depths[5] < 0.01, "{n_features}: {depths:?}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_forests() {
        let values = cloud(300, 4);
        let samples = Samples::new(&values, 4).unwrap();
        let fit = |seed| {
            RandomCutForest::fit(&samples, &RandomCutParams { seed, ..RandomCutParams::default() })
        };
        assert_eq!(fit(3), fit(3));
        assert_ne!(fit(3), fit(4));
    }

    #[test]
    fn equal_samples_are_a_leaf() {
        let samples = Samples::new(&[2.0; 60], 3).unwrap();
        let forest = RandomCutForest::fit(&samples, &RandomCutParams::default());
        assert_eq!(forest.trees[0].nodes.len(), 1);
        assert!((forest.relative_depth(&[2.0; 3]) - 1.0).abs() < 1e-12);
        assert_eq!(forest.relative_depth(&[2.5; 3]), 0.0);
    }
}
