//! The growing of a tree from its samples.

use crate::path_sum::PathSum;
use crate::rng::TreeRng;
use crate::samples::Samples;
use crate::tree::{IsolationTree, TreeBuilder};

/// Grows one tree after another from the same samples.
pub(crate) struct Grower<'a> {
    samples: Samples<'a>,
    /// c(n) for every n up to the number of samples of a tree.
    average_path_lengths: &'a [PathSum],
    /// The rows of the tree at hand, those of one node side by side.
    rows: Vec<u32>,
    /// The spans of all nodes, in their order.
    spans: Vec<Span>,
    /// The values of one feature in the rows of the node at hand.
    values: Vec<f64>,
}

/// The rows of a node: a range of [`Grower::rows`].
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    depth: u32,
}

#[derive(Clone, Copy)]
struct Cut {
    feature: u32,
    threshold: f64,
}

impl Span {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

impl<'a> Grower<'a> {
    pub(crate) fn new(samples: Samples<'a>, average_path_lengths: &'a [PathSum]) -> Self {
        Self {
            samples,
            average_path_lengths,
            rows: Vec::new(),
            spans: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Grows a tree from the rows `drawn`.
    ///
    /// Alg. 2 of Liu et al. 2008, breadth first. A cut is on a feature that varies within the node,
    /// so a constant feature costs no cut, and between its lowest and highest value there, so both
    /// sides hold a sample. `features` are those that this tree may cut; their order changes.
    pub(crate) fn grow(
        &mut self,
        drawn: &[u32],
        features: &mut [u32],
        rng: &mut TreeRng,
    ) -> IsolationTree {
        // The height limit of the paper: ceil(log2 ψ), the mean height of a balanced tree.
        let height_limit = drawn.len().next_power_of_two().trailing_zeros();
        self.rows.clear();
        self.rows.extend_from_slice(drawn);
        self.values.resize(drawn.len(), 0.0);

        let mut tree = TreeBuilder::with_capacity(drawn.len(), self.average_path_lengths);
        self.spans.clear();
        self.spans.push(Span { start: 0, end: drawn.len(), depth: 0 });
        while let Some(&span) = self.spans.get(tree.len()) {
            let cut =
                if span.depth < height_limit { self.draw_cut(span, features, rng) } else { None };
            match cut {
                None => tree.push_leaf(span.len() as u32, span.depth),
                Some(Cut { feature, threshold }) => {
                    self.place_missing(span, threshold, rng);
                    let middle = self.partition(span, threshold);
                    tree.push_split(feature as u16, threshold, span.len() as u32, span.depth);
                    self.spans.push(Span { end: middle, depth: span.depth + 1, ..span });
                    self.spans.push(Span { start: middle, depth: span.depth + 1, ..span });
                }
            }
        }
        tree.finish()
    }

    /// Draws a cut of the node, uniformly among the features that vary in it, and leaves the values
    /// of that feature in `self.values`; `None` if none varies.
    fn draw_cut(&mut self, span: Span, features: &mut [u32], rng: &mut TreeRng) -> Option<Cut> {
        if span.len() < 2 {
            return None;
        }
        // Those that were found constant are put last.
        for n_left in (1..=features.len()).rev() {
            let drawn = rng.below(n_left);
            let feature = features[drawn];
            let (lowest, highest) = self.take_values(span, feature);
            if lowest < highest {
                let values = &self.values[..span.len()];
                let threshold = threshold_among(values, lowest, highest, rng.unit());
                return Some(Cut { feature, threshold });
            }
            features.swap(drawn, n_left - 1);
        }
        None
    }

    /// Takes the values of a feature in the node, and says which finite one is the lowest and which
    /// the highest.
    fn take_values(&mut self, span: Span, feature: u32) -> (f64, f64) {
        let column = &self.samples.values()[feature as usize..];
        let rows = &self.rows[span.start..span.end];
        let values = &mut self.values[..rows.len()];
        let (lowest, highest) = take_column(column, self.samples.n_features(), rows, values);
        if lowest == f64::NEG_INFINITY || highest == f64::INFINITY {
            let finite = values.iter().copied().filter(|value| value.is_finite());
            let nothing = (f64::INFINITY, f64::NEG_INFINITY);
            return finite.fold(nothing, |(low, high), value| (low.min(value), high.max(value)));
        }
        (lowest, highest)
    }

    /// Sends each row whose value is missing one way by chance, in the shares of the others: a side that had
    /// them all would look more crowded than it is.
    fn place_missing(&mut self, span: Span, threshold: f64, rng: &mut TreeRng) {
        let values = &mut self.values[..span.len()];
        let n_missing = values.iter().filter(|value| value.is_nan()).count();
        if n_missing == 0 {
            return;
        }
        let n_left = values.iter().filter(|&&value| value <= threshold).count();
        let left_share = n_left as f64 / (values.len() - n_missing) as f64;
        for value in values.iter_mut().filter(|value| value.is_nan()) {
            let goes_left = rng.unit() < left_share;
            *value = if goes_left { f64::NEG_INFINITY } else { f64::INFINITY };
        }
    }

    /// Moves the rows above the threshold to the end of the node and says where they begin.
    fn partition(&mut self, span: Span, threshold: f64) -> usize {
        let rows = &mut self.rows[span.start..span.end];
        span.start + partition(rows, &self.values, threshold)
    }
}

/// Takes the values of some rows from a column whose values are `stride` apart; gives the lowest and
/// the highest that is not missing.
///
/// Not inlined, and two values at a time: so that all of it stays in registers, and that a
/// comparison need not wait for the one before.
#[inline(never)]
fn take_column(column: &[f64], stride: usize, rows: &[u32], values: &mut [f64]) -> (f64, f64) {
    let mut lowest = [f64::INFINITY; 2];
    let mut highest = [f64::NEG_INFINITY; 2];
    let (pairs, last) = rows.as_chunks::<2>();
    let (value_pairs, last_value) = values.as_chunks_mut::<2>();
    for (rows, values) in pairs.iter().zip(value_pairs) {
        for lane in 0..2 {
            let value = column[rows[lane] as usize * stride];
            values[lane] = value;
            lowest[lane] = lower(value, lowest[lane]);
            highest[lane] = higher(value, highest[lane]);
        }
    }
    if let ([row], [last_value]) = (last, last_value) {
        let value = column[*row as usize * stride];
        *last_value = value;
        lowest[0] = lower(value, lowest[0]);
        highest[0] = higher(value, highest[0]);
    }
    (lower(lowest[0], lowest[1]), higher(highest[0], highest[1]))
}

/// Returns the lower of two values, the second if the first is missing: unlike `f64::min`, one instruction.
fn lower(value: f64, other: f64) -> f64 {
    if value < other { value } else { other }
}

/// Returns the higher of two values, the second if the first is missing.
fn higher(value: f64, other: f64) -> f64 {
    if value > other { value } else { other }
}

/// Moves the rows whose value is above the threshold to the end and says where they begin.
#[inline(never)]
fn partition(rows: &mut [u32], values: &[f64], threshold: f64) -> usize {
    let mut n_left = 0;
    for (index, &value) in values[..rows.len()].iter().enumerate() {
        // Always swapped, so that no branch depends on the value.
        rows.swap(index, n_left);
        n_left += usize::from(value <= threshold);
    }
    n_left
}

/// Returns a threshold that is `unit` of the way from the lowest of the values to the highest.
///
/// If an `f32` nearby separates the same values it is taken instead: engines compare those faster.
fn threshold_among(values: &[f64], lowest: f64, highest: f64, unit: f64) -> f64 {
    // Weighted, since the difference of two finite values can be infinite. Rounding must not reach
    // `highest`, or the right side would be empty.
    let drawn = lowest * (1.0 - unit) + highest * unit;
    let drawn = if drawn >= lowest && drawn < highest { drawn } else { lowest };
    let separates_the_same = |threshold: f64| {
        // Counted to the end: a loop without an early exit looks at several values at once.
        let goes_elsewhere = |value: f64| (value > threshold) != (value > drawn);
        values.iter().filter(|&&value| goes_elsewhere(value)).count() == 0
    };
    let nearest = drawn as f32;
    if separates_the_same(f64::from(nearest)) {
        return f64::from(nearest);
    }
    // The `f32` on the other side of what was drawn.
    let other = if f64::from(nearest) > drawn { nearest.next_down() } else { nearest.next_up() };
    let other = f64::from(other);
    if other.is_finite() && separates_the_same(other) { other } else { drawn }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conventions::Harmonic;
    use crate::tree::{Missing, TreeNode};

    fn grow_from(values: &[f64], n_features: usize, seed: u64) -> Vec<TreeNode> {
        let samples = Samples::new(values, n_features).unwrap();
        let drawn: Vec<u32> = (0..samples.len() as u32).collect();
        let mut features: Vec<u32> = (0..n_features as u32).collect();
        let average_path_lengths = Harmonic::Exact.average_path_lengths(samples.len());
        let mut grower = Grower::new(samples, &average_path_lengths);
        grower.grow(&drawn, &mut features, &mut TreeRng::new(seed, 0)).to_nodes().collect()
    }

    fn cut_features(nodes: &[TreeNode]) -> Vec<usize> {
        nodes
            .iter()
            .filter_map(|node| match *node {
                TreeNode::Split { feature, .. } => Some(feature),
                TreeNode::Leaf { .. } => None,
            })
            .collect()
    }

    #[test]
    fn equal_samples_make_one_leaf() {
        assert_eq!(grow_from(&[1.0; 12], 2, 0), [TreeNode::Leaf { size: 6 }]);
    }

    #[test]
    fn a_constant_feature_costs_no_cut() {
        for seed in 0..50 {
            let nodes = grow_from(&[5.0, 1.0, 5.0, 2.0, 5.0, 3.0, 5.0, 4.0], 2, seed);
            let features = cut_features(&nodes);
            assert!(
                !features.is_empty() && features.iter().all(|&feature| feature == 1),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn neighbouring_floats_are_separated() {
        let value = 1.0_f64;
        let next = value.next_up();
        for seed in 0..50 {
            let nodes = grow_from(&[value, next], 1, seed);
            assert_eq!(nodes.len(), 3);
            assert!(matches!(nodes[0], TreeNode::Split { threshold, .. } if threshold == value));
        }
    }

    #[test]
    fn an_f32_is_taken_only_where_it_separates_the_same_values() {
        // Steps of an `f32` are 128 here, and one lies between 127 and 129.
        let values: Vec<f64> = (100..227).map(|second| 1.76e9 + f64::from(second)).collect();
        let mut n_rounded = 0;
        for step in 0..100 {
            let unit = f64::from(step) / 100.0;
            let drawn = values[0] * (1.0 - unit) + values[126] * unit;
            let threshold = threshold_among(&values, values[0], values[126], unit);
            let below = |threshold: f64| values.iter().filter(|&&value| value <= threshold).count();
            assert_eq!(below(threshold), below(drawn), "{unit}");
            n_rounded += usize::from(f64::from(threshold as f32) == threshold);
        }
        assert!(n_rounded <= 1, "{n_rounded}");
        assert_eq!(threshold_among(&[0.0, 3.0], 0.0, 3.0, 0.1), f64::from(0.3_f32));
    }

    #[test]
    fn the_widest_range_has_a_finite_cut() {
        for seed in 0..50 {
            let nodes = grow_from(&[f64::MIN, f64::MAX], 1, seed);
            assert!(matches!(nodes[0], TreeNode::Split { threshold, .. } if threshold.is_finite()));
        }
    }

    #[test]
    fn infinite_values_make_no_cut_and_go_to_their_side() {
        assert_eq!(
            grow_from(&[f64::INFINITY, 1.0, f64::NEG_INFINITY], 1, 0),
            [TreeNode::Leaf { size: 3 }]
        );
        let nodes = grow_from(&[f64::INFINITY, 1.0, 2.0, f64::NEG_INFINITY], 1, 0);
        assert!(matches!(nodes[0], TreeNode::Split { threshold, .. } if threshold < 2.0));
        assert_eq!(nodes[1..], [TreeNode::Leaf { size: 2 }, TreeNode::Leaf { size: 2 }]);
    }

    #[test]
    fn missing_values_make_no_cut_and_go_both_ways_in_the_shares_of_the_others() {
        assert_eq!(grow_from(&[f64::NAN, 1.0, f64::NAN, 1.0], 1, 0), [TreeNode::Leaf { size: 4 }]);
        // A hundredth of the values are 1, the others 0 or missing.
        let values: Vec<f64> = (0..4_000)
            .map(|i| match i % 100 {
                0 => 1.0,
                i if i % 2 == 0 => f64::NAN,
                _ => 0.0,
            })
            .collect();
        let nodes = grow_from(&values, 1, 7);
        assert!(matches!(nodes[0], TreeNode::Split { missing: Missing::Both, .. }));
        let sizes = |node: &TreeNode| match node {
            TreeNode::Leaf { size } => *size,
            TreeNode::Split { .. } => 0,
        };
        let [left, right] = [sizes(&nodes[1]), sizes(&nodes[2])];
        assert_eq!(left + right, 4_000);
        // 40 of 2,040 values are 1, and as many of the 1,960 missing ones are expected to go with them.
        assert!((60..=100).contains(&right), "{right}");
    }
}
