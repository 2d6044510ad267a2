//! What treetops lead to.

use super::treetop::{EXITS, LEVELS, Treetop};
use crate::path_sum::PathSum;
use crate::tree::{IsolationTree, walk_on};

/// What the exits of a forest's treetops are noted as, in 16 bits each.
#[derive(Debug)]
pub(super) enum Exits {
    /// As nodes of their trees, from which walks may go on.
    Nodes,
    /// As places in a list of the distinct path lengths: no tree is higher than its treetop.
    Lengths(Vec<PathSum>),
}

impl Exits {
    /// The most distinct lengths that are listed. Forests grown from 256 samples have about a
    /// hundred of them; a longer list would take too long to make.
    const LENGTHS_MAX: usize = 512;

    pub(super) fn of(trees: &[IsolationTree]) -> Self {
        if trees.iter().any(|tree| tree.height() > LEVELS) {
            return Self::Nodes;
        }
        let mut lengths = vec![PathSum::ZERO];
        for length in trees.iter().flat_map(IsolationTree::leaf_lengths) {
            if !lengths.contains(&length) {
                if lengths.len() == Self::LENGTHS_MAX {
                    return Self::Nodes;
                }
                lengths.push(length);
            }
        }
        Self::Lengths(lengths)
    }

    /// The notes of the exits of a tree.
    pub(super) fn notes(&self, tree: &IsolationTree, treetop: &Treetop) -> [u16; EXITS] {
        match self {
            Self::Nodes => treetop.exits,
            Self::Lengths(lengths) => treetop.lengths(tree).map(|length| {
                let place = lengths.iter().position(|&known| known == length);
                place.expect("the lengths of all leaves are listed") as u16
            }),
        }
    }

    /// The sum of the lengths of one event's paths, which have come to these exits of several trees.
    #[inline]
    pub(super) fn sum<const N: usize>(
        &self,
        trees: &[IsolationTree; N],
        x: &[f64],
        notes: [u16; N],
    ) -> PathSum {
        match self {
            Self::Lengths(lengths) => {
                let lengths = notes.map(|place| lengths[usize::from(place)]);
                lengths.into_iter().fold(PathSum::ZERO, PathSum::plus)
            }
            Self::Nodes => {
                let leaves = walk_on(trees.each_ref(), [x; N], notes.map(u32::from));
                let lengths =
                    trees.iter().zip(leaves).map(|(tree, leaf)| tree.expected_length(leaf));
                lengths.fold(PathSum::ZERO, PathSum::plus)
            }
        }
    }

    /// Adds the lengths of several rows' paths, which have come to these exits of one tree.
    #[inline]
    pub(super) fn add<const N: usize>(
        &self,
        tree: &IsolationTree,
        rows: &[&[f64]; N],
        notes: [u16; N],
        sums: &mut [PathSum; N],
    ) {
        match self {
            Self::Lengths(lengths) => {
                for (sum, place) in sums.iter_mut().zip(notes) {
                    *sum = sum.plus(lengths[usize::from(place)]);
                }
            }
            Self::Nodes => add_from(tree, rows, notes, sums),
        }
    }
}

/// Adds the lengths of several rows' paths, which have come to these nodes of a tree.
#[inline]
pub(super) fn add_from<const N: usize>(
    tree: &IsolationTree,
    rows: &[&[f64]; N],
    nodes: [u16; N],
    sums: &mut [PathSum; N],
) {
    let leaves = walk_on([tree; N], *rows, nodes.map(u32::from));
    for (sum, leaf) in sums.iter_mut().zip(leaves) {
        *sum = sum.plus(tree.expected_length(leaf));
    }
}
