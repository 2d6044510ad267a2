//! Forests of random cuts whose nodes keep their boxes, so that the score rises further outside of the data.
//!
//! A plain isolation forest is flat beyond the last cut: a point a little outside and one far away end
//! in the same leaf. Here each node knows the box around its samples, and a point outside of it is
//! parted from them with the probability that a cut of the larger box would do so, before the cut of
//! the node is asked. Cuts are drawn by the rule of robust random cut forests (Guha, Mishra, Roy and
//! Schrijvers, 2016): a feature in proportion to the width of the box, and a place uniform in it.
//!
//! Points lie on a grid of small integers, and a weight of each feature says how long a unit is. Boxes are a
//! quarter as large as those of floating-point numbers, and most of a point is compared eight features at a time.

use crate::prefetch::prefetch;
use crate::rng::SplitMix64;

/// A point that is still in the tree with less probability is walked no further.
const PROBABILITY_MIN: f64 = 1e-4;
/// The feature of a leaf.
const LEAF: u16 = u16::MAX;
/// With the digits of the reference, which the golden streams are from.
const EULER_GAMMA: f64 = 0.577_215_664_9;
/// The seed of each tree is that of the forest times this, and its number.
const SEED_FACTOR: u64 = 1_000_003;
/// Trees that are walked at once.
const TREES_AT_ONCE: usize = 10;
/// Features that are compared at once; points and boxes are filled up to a multiple.
const LANES: usize = 8;

/// The parameters of a forest of random cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RandomCutParams {
    /// Number of trees.
    pub n_trees: usize,
    /// Number of samples of each tree, up to 255; all where there are fewer.
    pub sample_size: u8,
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
    /// The length of a unit of each feature, filled up with zeros.
    weights: Vec<f64>,
    n_features: usize,
    /// The mean depth of a point among as many as a leaf has, by their number.
    depths: Vec<f64>,
    trees: Vec<Tree>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Tree {
    nodes: Vec<Node>,
    /// For each node the lowest values of its samples, then the highest, filled up with zeros.
    boxes: Vec<i16>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// The sum of the lengths of the box.
    width: f64,
    /// The feature that is cut; [`LEAF`] at a leaf.
    feature: u16,
    /// Points with a higher value go right.
    cut: i16,
    /// The left child; the root is no child.
    left: u16,
    right: u16,
    n_samples: u8,
}

/// The walk of a point through a tree, to the expected depth at which a random cut parts it from the samples.
#[derive(Debug, Clone, Copy)]
struct Walk {
    node: u16,
    depth: f64,
    /// The probability that the point is still in the tree.
    probability: f64,
    /// The part of the mean depth that is known.
    mean: f64,
    has_ended: bool,
}

impl Default for Walk {
    fn default() -> Self {
        Self { node: 0, depth: 0.0, probability: 1.0, mean: 0.0, has_ended: false }
    }
}

impl RandomCutForest {
    /// Grows trees from samples: one after another, with a value for each weight. A weight is the length of a unit of
    /// its feature.
    ///
    /// # Panics
    ///
    /// Panics when there are fewer than two samples or more than 2^32, when the last is not whole, when there are no features or
    /// more than 65,534, and when there are to be no trees, or trees of fewer than two samples.
    pub fn fit(samples: &[i16], weights: &[f64], params: &RandomCutParams) -> Self {
        let n_features = weights.len();
        assert!(n_features > 0 && n_features < usize::from(LEAF), "a number of features");
        assert_eq!(samples.len() % n_features, 0, "samples are whole");
        let n_samples = samples.len() / n_features;
        assert!(n_samples >= 2 && u32::try_from(n_samples).is_ok(), "a number of samples");
        assert!(params.n_trees > 0 && params.sample_size >= 2, "a forest of trees with samples");
        let sample_size = usize::from(params.sample_size).min(n_samples);
        let seed = params.seed.wrapping_mul(SEED_FACTOR);
        let trees = (0..params.n_trees as u64).map(|tree| {
            let mut rng = SplitMix64(seed.wrapping_add(tree));
            let mut drawn = rng.distinct(sample_size, n_samples);
            let mut growing = Growing { samples, weights, params, rng, tree: Tree::default() };
            growing.grow(&mut drawn, 0);
            growing.tree
        });
        let trees = trees.collect();
        let mut weights = weights.to_vec();
        weights.resize(n_features.next_multiple_of(LANES), 0.0);
        let depths = (0..=sample_size).map(mean_depth_among).collect();
        Self { weights, n_features, depths, trees }
    }

    /// Returns the mean depth at which a random cut would part a point from the samples, as a share of
    /// the depth that is usual: about 1 within the samples, towards 0 far away from them.
    ///
    /// `x` is filled up to a multiple of eight values here, so that its capacity may grow.
    ///
    /// # Panics
    ///
    /// Panics when the point has another number of values than the samples.
    pub fn relative_depth(&self, x: &mut Vec<i16>) -> f64 {
        assert_eq!(x.len(), self.n_features, "a point has a value for each feature");
        x.resize(self.weights.len(), 0);
        let mut sum = 0.0;
        for tree in &self.trees {
            tree.prefetch(0, x.len());
        }
        for trees in self.trees.chunks(TREES_AT_ONCE) {
            let mut walks = [Walk::default(); TREES_AT_ONCE];
            // Step by step in all of them: the memory of a next step comes while the others take theirs.
            let mut is_under_way = true;
            while is_under_way {
                is_under_way = false;
                for (tree, walk) in trees.iter().zip(&mut walks) {
                    is_under_way |= self.step(tree, walk, x);
                }
            }
            for walk in &walks[..trees.len()] {
                sum += walk.mean;
            }
        }
        x.truncate(self.n_features);
        sum / self.trees.len() as f64 / self.depths[self.depths.len() - 1]
    }

    /// Takes a step towards a leaf. Returns `true` unless the walk has ended.
    fn step(&self, tree: &Tree, walk: &mut Walk, x: &[i16]) -> bool {
        if walk.has_ended {
            return false;
        }
        let index = usize::from(walk.node);
        let node = &tree.nodes[index];
        let (low, high) = tree.bounds(index, x.len()).split_at(x.len());
        let outside = self.distance_outside(low, x, high);
        if outside > 0.0 {
            let parted = outside / (outside + node.width);
            walk.mean += walk.probability * parted * walk.depth;
            walk.probability *= 1.0 - parted;
            walk.has_ended = walk.probability < PROBABILITY_MIN;
        }
        if !walk.has_ended && node.feature == LEAF {
            let below = self.depths[usize::from(node.n_samples)];
            walk.mean += walk.probability * (walk.depth + below);
            walk.has_ended = true;
        }
        if !walk.has_ended {
            let is_left = x[usize::from(node.feature)] <= node.cut;
            walk.node = if is_left { node.left } else { node.right };
            walk.depth += 1.0;
            tree.prefetch(usize::from(walk.node), x.len());
        }
        !walk.has_ended
    }

    /// Returns the distance of a point from a box, summed over the features.
    fn distance_outside(&self, low: &[i16], x: &[i16], high: &[i16]) -> f64 {
        let [low, x, high] = [low, x, high].map(|values| values.as_chunks::<LANES>().0);
        let mut sums = [0.0; LANES];
        for (((low, x), high), weights) in
            low.iter().zip(x).zip(high).zip(self.weights.as_chunks::<LANES>().0)
        {
            let mut beyond = [0_i16; LANES];
            for lane in 0..LANES {
                let below = low[lane].saturating_sub(x[lane]);
                let above = x[lane].saturating_sub(high[lane]);
                beyond[lane] = below.max(above).max(0);
            }
            for lane in 0..LANES {
                sums[lane] += f64::from(beyond[lane]) * weights[lane];
            }
        }
        sums.iter().sum()
    }
}

impl Tree {
    /// Returns the lowest values of the samples of a node, then the highest.
    fn bounds(&self, index: usize, len: usize) -> &[i16] {
        &self.boxes[index * 2 * len..][..2 * len]
    }

    /// Asks for a node that will be read soon.
    fn prefetch(&self, index: usize, len: usize) {
        prefetch(&self.nodes[index..=index]);
        prefetch(self.bounds(index, len));
    }
}

/// A tree that grows.
struct Growing<'a> {
    samples: &'a [i16],
    weights: &'a [f64],
    params: &'a RandomCutParams,
    rng: SplitMix64,
    tree: Tree,
}

impl Growing<'_> {
    fn row(&self, sample: u32) -> &[i16] {
        &self.samples[sample as usize * self.weights.len()..][..self.weights.len()]
    }

    /// Adds a node with these samples and all below it, and returns its number.
    fn grow(&mut self, drawn: &mut [u32], depth: u32) -> u16 {
        let (mut low, mut high) = (self.row(drawn[0]).to_vec(), self.row(drawn[0]).to_vec());
        for &sample in &drawn[1..] {
            for ((low, high), &x) in low.iter_mut().zip(&mut high).zip(self.row(sample)) {
                *low = x.min(*low);
                *high = x.max(*high);
            }
        }
        let length = |((low, high), weight): ((&i16, &i16), &f64)| {
            (f64::from(*high) - f64::from(*low)) * weight
        };
        let widths: Vec<f64> = low.iter().zip(&high).zip(self.weights).map(length).collect();
        let width: f64 = widths.iter().sum();
        let index = self.tree.nodes.len();
        let n_samples = u8::try_from(drawn.len()).expect("a tree has at most 255 samples");
        let leaf = Node { width, feature: LEAF, cut: 0, left: 0, right: 0, n_samples };
        self.tree.nodes.push(leaf);
        for bound in [&low, &high] {
            self.tree.boxes.extend(bound);
            self.tree.boxes.resize(self.tree.boxes.len().next_multiple_of(LANES), 0);
        }
        if drawn.len() > 1 && width > 0.0 && depth < self.params.depth_max {
            let feature = self.drawn_feature(&widths, width);
            let reach = f64::from(high[feature]) - f64::from(low[feature]);
            #[expect(clippy::cast_possible_truncation, reason = "between two of its kind")]
            let cut = (f64::from(low[feature]) + self.rng.unit() * reach).floor() as i16;
            let value = |sample: u32| self.row(sample)[feature];
            // In their order, so that sums and draws below do not depend on how they were parted.
            drawn.sort_by_key(|&sample| value(sample) > cut);
            let n_left = drawn.partition_point(|&sample| value(sample) <= cut);
            if n_left > 0 && n_left < drawn.len() {
                let (left, right) = drawn.split_at_mut(n_left);
                let (left, right) = (self.grow(left, depth + 1), self.grow(right, depth + 1));
                let feature = feature as u16;
                self.tree.nodes[index] = Node { feature, cut, left, right, ..leaf };
            }
        }
        u16::try_from(index).expect("255 samples have few nodes")
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

    /// A cloud around 0 in as many features, 100 units a deviation.
    fn cloud(n_rows: usize, n_features: usize) -> Vec<i16> {
        let mut rng = SplitMix64(7);
        let mut gaussian = || (0..12).map(|_| rng.unit()).sum::<f64>() - 6.0;
        #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
        let values = (0..n_rows * n_features).map(|_| (100.0 * gaussian()) as i16);
        values.collect()
    }

    #[test]
    fn the_farther_away_the_sooner_parted() {
        for n_features in [1, 3, 8, 33] {
            let weights = vec![0.01; n_features];
            let samples = cloud(400, n_features);
            let forest = RandomCutForest::fit(&samples, &weights, &RandomCutParams::default());
            let depths = [0, 300, 600, 1_200, 10_000, 32_000]
                .map(|distance| forest.relative_depth(&mut vec![distance; n_features]));
            assert!(depths.is_sorted_by(|a, b| a > b), "{n_features}: {depths:?}");
            assert!(depths[0] > 0.8 && depths[5] < 0.1, "{n_features}: {depths:?}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_forests() {
        let samples = cloud(300, 4);
        let fit = |seed| {
            let params = RandomCutParams { seed, ..RandomCutParams::default() };
            RandomCutForest::fit(&samples, &[0.01; 4], &params)
        };
        assert_eq!(fit(3), fit(3));
        assert_ne!(fit(3), fit(4));
    }

    #[test]
    fn equal_samples_are_a_leaf() {
        let forest = RandomCutForest::fit(&[2; 60], &[1.0; 3], &RandomCutParams::default());
        assert_eq!(forest.trees[0].nodes.len(), 1);
        assert!((forest.relative_depth(&mut vec![2; 3]) - 1.0).abs() < 1e-12);
        assert_eq!(forest.relative_depth(&mut vec![3; 3]), 0.0);
    }
}
