//! The upper levels of a tree, spread out as a complete binary heap.

use super::narrow::narrowed;
use crate::conventions::InputPrecision;
use crate::path_sum::PathSum;
use crate::tree::IsolationTree;

/// Number of levels of a treetop: a position in it fits a byte.
///
/// Trees grown from up to 256 samples are no higher, so they are treetops throughout.
pub(super) const LEVELS: u32 = 8;
/// Number of exits of a treetop, and of its positions.
pub(super) const EXITS: usize = 1 << LEVELS;

/// The upper levels of a tree.
///
/// Position 1 is the root, and the children of position p are 2p and 2p + 1, as in any binary heap.
/// From a leaf on, walks keep to the left. So eight steps lead every walk to one of 256 exits,
/// numbered as if they were the positions 256 to 511.
#[derive(Debug)]
pub(super) struct Treetop {
    /// The threshold at each position; infinite where there is no cut: no value is above.
    pub(super) thresholds: [f64; EXITS],
    pub(super) features: [u16; EXITS],
    /// The node of the tree that each exit leads to; 0 for exits that no walk comes to.
    ///
    /// Nodes are in breadth-first order, so that no more than 511 of them are so high up.
    pub(super) exits: [u16; EXITS],
}

impl Treetop {
    pub(super) fn of(tree: &IsolationTree) -> Self {
        // The node at each position; 0, the root, where none is.
        let mut nodes = [0_u16; 2 * EXITS];
        let mut thresholds = [f64::INFINITY; EXITS];
        let mut features = [0; EXITS];
        for position in 1..EXITS {
            let node = nodes[position];
            if node == 0 && position > 1 {
                continue;
            }
            match tree.cut(u32::from(node)) {
                Some(cut) => {
                    thresholds[position] = cut.threshold;
                    features[position] = cut.feature;
                    nodes[2 * position] = cut.first_child as u16;
                    nodes[2 * position + 1] = cut.first_child as u16 + 1;
                }
                None => nodes[2 * position] = node,
            }
        }
        let exits = std::array::from_fn(|exit| nodes[EXITS + exit]);
        Self { thresholds, features, exits }
    }

    /// Returns the thresholds as the `f32` that can take their places, if such can.
    pub(super) fn narrowed(&self, precision: InputPrecision) -> Option<[f32; EXITS]> {
        let mut narrow = [f32::INFINITY; EXITS];
        for (narrow, &threshold) in narrow.iter_mut().zip(&self.thresholds) {
            *narrow = narrowed(threshold, precision)?;
        }
        Some(narrow)
    }

    /// Returns the cuts by position: the feature and the threshold.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn cuts(&self) -> impl Iterator<Item = (usize, u16, f64)> {
        let positions = self.features.iter().zip(&self.thresholds).enumerate();
        positions
            .filter(|(_, (_, threshold))| threshold.is_finite())
            .map(|(position, (&feature, &threshold))| (position, feature, threshold))
    }

    /// Returns the path length to be expected at each exit; 0 at those that no walk comes to.
    pub(super) fn lengths(&self, tree: &IsolationTree) -> [PathSum; EXITS] {
        std::array::from_fn(|exit| match self.exits[exit] {
            0 if exit > 0 => PathSum::ZERO,
            node => tree.expected_length(u32::from(node)),
        })
    }
}
