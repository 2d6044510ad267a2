//! The upper levels of a tree, spread out as a complete binary heap.

use crate::path_sum::PathSum;
use crate::tree::{Cut, IsolationTree};

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
    /// The cuts at the positions 1 to 255; `None` at leaves, below them, and at position 0.
    pub(super) cuts: [Option<Cut>; EXITS],
    /// The node of the tree that each exit leads to; 0 for exits that no walk comes to.
    ///
    /// Nodes are in breadth-first order, so that no more than 511 of them are so high up.
    pub(super) exits: [u16; EXITS],
}

impl Treetop {
    pub(super) fn of(tree: &IsolationTree) -> Self {
        const UNREACHED: u32 = u32::MAX;
        let mut nodes = [UNREACHED; 2 * EXITS];
        nodes[1] = 0;
        let mut cuts = [None; EXITS];
        for position in 1..EXITS {
            let node = nodes[position];
            if node == UNREACHED {
                continue;
            }
            cuts[position] = tree.cut(node);
            match cuts[position] {
                Some(cut) => {
                    nodes[2 * position] = cut.first_child;
                    nodes[2 * position + 1] = cut.first_child + 1;
                }
                None => nodes[2 * position] = node,
            }
        }
        let exits = std::array::from_fn(|exit| match nodes[EXITS + exit] {
            UNREACHED => 0,
            node => node as u16,
        });
        Self { cuts, exits }
    }

    /// The path length to be expected at each exit; 0 at those that no walk comes to.
    pub(super) fn lengths(&self, tree: &IsolationTree) -> [PathSum; EXITS] {
        std::array::from_fn(|exit| match self.exits[exit] {
            0 if exit > 0 => PathSum::ZERO,
            node => tree.expected_length(u32::from(node)),
        })
    }
}
