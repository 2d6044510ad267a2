//! The exits of treetops.

use super::treetop::{EXITS, LEVELS, Treetop};
use crate::path_sum::PathSum;
use crate::tree::{IsolationTree, walk_on};

/// The exits of a forest's treetops, in 16 bits each.
#[derive(Debug)]
pub(super) enum Exits {
    /// As nodes of their trees, from which walks may go on.
    Nodes,
    /// As places in a list of the distinct path lengths: no tree is higher than its treetop.
    Lengths(LengthList),
}

impl Exits {
    pub(super) fn of(trees: &[IsolationTree]) -> Self {
        if trees.iter().any(|tree| tree.height() > LEVELS) {
            return Self::Nodes;
        }
        let mut list = LengthList::new();
        let all_fit =
            trees.iter().flat_map(IsolationTree::leaf_lengths).all(|length| list.add(length));
        if all_fit { Self::Lengths(list) } else { Self::Nodes }
    }

    /// Returns the notes of the exits of a tree.
    pub(super) fn notes(&self, tree: &IsolationTree, treetop: &Treetop) -> [u16; EXITS] {
        match self {
            Self::Nodes => treetop.exits,
            Self::Lengths(list) => treetop.lengths(tree).map(|length| list.place(length)),
        }
    }

    /// Returns the sum of the lengths of one event's paths, which have come to these exits of several trees.
    #[inline]
    pub(super) fn sum<const N: usize>(
        &self,
        trees: &[IsolationTree; N],
        x: &[f64],
        notes: [u16; N],
    ) -> PathSum {
        match self {
            Self::Lengths(list) => {
                let lengths = notes.map(|place| list.lengths[usize::from(place)]);
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
            Self::Lengths(list) => {
                for (sum, place) in sums.iter_mut().zip(notes) {
                    *sum = sum.plus(list.lengths[usize::from(place)]);
                }
            }
            Self::Nodes => add_from(tree, rows, notes, sums),
        }
    }
}

/// Distinct path lengths, the first of which is 0.
#[derive(Debug)]
pub(super) struct LengthList {
    lengths: Vec<PathSum>,
    /// The place of each length: a table with open addressing, at most half full.
    places: Box<[u16; 2 * Self::LEN_MAX]>,
}

impl LengthList {
    /// Forests grown from 256 samples have about a hundred distinct lengths.
    const LEN_MAX: usize = 512;
    const EMPTY: u16 = u16::MAX;

    fn new() -> Self {
        let mut list =
            Self { lengths: Vec::new(), places: Box::new([Self::EMPTY; 2 * Self::LEN_MAX]) };
        list.add(PathSum::ZERO);
        list
    }

    /// Adds a length unless it is there; false if the list is full.
    fn add(&mut self, length: PathSum) -> bool {
        let slot = self.slot(length);
        if self.places[slot] == Self::EMPTY {
            if self.lengths.len() == Self::LEN_MAX {
                return false;
            }
            self.places[slot] = self.lengths.len() as u16;
            self.lengths.push(length);
        }
        true
    }

    /// Returns the place of a length that was added.
    fn place(&self, length: PathSum) -> u16 {
        self.places[self.slot(length)]
    }

    /// Returns the slot that holds the place of a length, or that will.
    fn slot(&self, length: PathSum) -> usize {
        // 2^64 divided by the golden ratio (Knuth, vol. 3, 6.4).
        let hash = length.to_bits().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut slot = (hash >> (u64::BITS - (2 * Self::LEN_MAX).trailing_zeros())) as usize;
        loop {
            match self.places[slot] {
                Self::EMPTY => return slot,
                place if self.lengths[usize::from(place)] == length => return slot,
                _ => slot = (slot + 1) % self.places.len(),
            }
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
