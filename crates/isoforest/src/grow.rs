//! How a tree is grown from its samples.

use crate::rng::TreeRng;
use crate::samples::Samples;
use crate::tree::TreeNode;

/// Grows a tree from the rows `drawn`, cutting no deeper than `height_limit`.
///
/// Alg. 2 of Liu et al. 2008, breadth first. A cut is on a feature that varies within the node, so
/// a constant feature costs no cut, and between its lowest and highest value there, so both sides
/// hold a sample. `features` are those that this tree may cut.
pub(crate) fn grow(
    samples: &Samples<'_>,
    drawn: &[u32],
    features: &[u32],
    rng: &mut TreeRng,
) -> Vec<TreeNode> {
    // The height limit of the paper: ceil(log2 ψ), the mean height of a balanced tree.
    let height_limit = drawn.len().next_power_of_two().trailing_zeros();
    let mut grower = Grower {
        columns: features
            .iter()
            .map(|&feature| Column::gather(samples, drawn, feature as usize))
            .collect(),
        rows: (0..drawn.len() as u32).collect(),
        candidates: Vec::with_capacity(features.len()),
    };

    // Node i holds the samples `spans[i]` of `grower.rows`.
    let mut spans = vec![Span { start: 0, end: drawn.len(), depth: 0 }];
    let mut nodes = Vec::with_capacity(2 * drawn.len());
    while let Some(&span) = spans.get(nodes.len()) {
        let cut = if span.depth < height_limit { grower.draw_cut(span, rng) } else { None };
        nodes.push(match cut {
            None => TreeNode::Leaf { size: span.len() as u32 },
            Some(cut) => {
                let middle = grower.partition(span, cut);
                let left = spans.len();
                spans.push(Span { end: middle, depth: span.depth + 1, ..span });
                spans.push(Span { start: middle, depth: span.depth + 1, ..span });
                TreeNode::Split {
                    feature: grower.columns[cut.column].feature,
                    threshold: cut.threshold,
                    left,
                    right: left + 1,
                    nan_right: false,
                }
            }
        });
    }
    nodes
}

/// The samples of a tree while it is grown.
struct Grower {
    columns: Vec<Column>,
    /// The samples, those of one node side by side.
    rows: Vec<u32>,
    /// Columns not yet found constant in the node at hand; kept to save its allocation.
    candidates: Vec<usize>,
}

/// The values of one feature for the samples of a tree.
struct Column {
    feature: usize,
    values: Vec<f64>,
}

/// The samples of a node: a range of [`Grower::rows`].
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    depth: u32,
}

#[derive(Clone, Copy)]
struct Cut {
    column: usize,
    threshold: f64,
}

impl Span {
    fn len(&self) -> usize {
        self.end - self.start
    }
}

impl Column {
    fn gather(samples: &Samples<'_>, drawn: &[u32], feature: usize) -> Self {
        Self {
            feature,
            values: drawn.iter().map(|&row| samples.row(row as usize)[feature]).collect(),
        }
    }
}

impl Grower {
    /// Draws a cut of the node, uniformly among the features that vary in it; `None` if none does.
    fn draw_cut(&mut self, span: Span, rng: &mut TreeRng) -> Option<Cut> {
        if span.len() < 2 {
            return None;
        }
        self.candidates.clear();
        self.candidates.extend(0..self.columns.len());
        while !self.candidates.is_empty() {
            let column = self.candidates.swap_remove(rng.below(self.candidates.len()));
            let (lowest, highest) = self.range(span, column);
            if lowest < highest {
                return Some(Cut {
                    column,
                    threshold: threshold_between(lowest, highest, rng.unit()),
                });
            }
        }
        None
    }

    /// The lowest and the highest value in the node; missing values have none.
    fn range(&self, span: Span, column: usize) -> (f64, f64) {
        let values = &self.columns[column].values;
        self.rows[span.start..span.end]
            .iter()
            .map(|&row| values[row as usize])
            .filter(|value| !value.is_nan())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
    }

    /// Moves the samples above the threshold to the end of the node and says where they begin.
    fn partition(&mut self, span: Span, cut: Cut) -> usize {
        let values = &self.columns[cut.column].values;
        let rows = &mut self.rows[span.start..span.end];
        let mut n_left = 0;
        for i in 0..rows.len() {
            // Not `<=`: a missing value goes left.
            let goes_right = values[rows[i] as usize] > cut.threshold;
            if !goes_right {
                rows.swap(i, n_left);
                n_left += 1;
            }
        }
        span.start + n_left
    }
}

/// The point of [lowest, highest) that is `unit` of the way between them.
fn threshold_between(lowest: f64, highest: f64, unit: f64) -> f64 {
    // Weighted, since the difference of two finite values can be infinite. Rounding must not
    // reach `highest`, or the right side would be empty.
    let threshold = lowest * (1.0 - unit) + highest * unit;
    if threshold >= lowest && threshold < highest { threshold } else { lowest }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grow_from(values: &[f64], n_features: usize, seed: u64) -> Vec<TreeNode> {
        let samples = Samples::new(values, n_features).unwrap();
        let drawn: Vec<u32> = (0..samples.len() as u32).collect();
        let features: Vec<u32> = (0..n_features as u32).collect();
        grow(&samples, &drawn, &features, &mut TreeRng::new(seed, 0))
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
    fn the_widest_range_has_a_finite_cut() {
        for seed in 0..50 {
            let nodes = grow_from(&[f64::MIN, f64::MAX], 1, seed);
            assert!(matches!(nodes[0], TreeNode::Split { threshold, .. } if threshold.is_finite()));
        }
    }

    #[test]
    fn missing_values_go_left_and_never_make_a_cut() {
        assert_eq!(grow_from(&[f64::NAN, 1.0, f64::NAN, 1.0], 1, 0), [TreeNode::Leaf { size: 4 }]);
        let nodes = grow_from(&[f64::NAN, 1.0, 2.0, f64::NAN], 1, 0);
        assert_eq!(nodes[1..], [TreeNode::Leaf { size: 3 }, TreeNode::Leaf { size: 1 }]);
    }
}
