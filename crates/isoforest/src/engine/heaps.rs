//! The portable engine: treetops as they are, walked without a branch.
//!
//! Features, positions and exits are bytes, and what they name are arrays of 256, so that no access
//! needs a check; and several walks are under way at once, so that none is waited for.

use super::exits::Exits;
use super::narrow::round_up;
use super::treetop::{EXITS, LEVELS, Treetop};
use crate::conventions::InputPrecision;
use crate::path_sum::PathSum;
use crate::tree::IsolationTree;

/// The most features that a byte names.
pub(super) const N_FEATURES_MAX: usize = 256;
/// Trees that one event walks down side by side.
const TREES: usize = 8;
/// Rows that walk down one tree side by side.
const ROWS: usize = 16;
/// Trees whose heaps and a few hundred rows fit a first-level cache together.
const TREES_PER_TILE: usize = 8;

/// A forest's treetops.
#[derive(Debug)]
pub(super) struct Heaps {
    heaps: Vec<Heap>,
    exits: Exits,
}

/// A treetop, laid out for lookups by position.
#[derive(Debug)]
struct Heap {
    /// Infinite where there is no cut: no value is above.
    thresholds: [f32; EXITS],
    features: [u8; EXITS],
    /// As [`Exits`] notes them.
    exits: [u16; EXITS],
}

impl Heaps {
    /// Lays out a forest; `None` where bytes or `f32` are too narrow for it.
    pub(super) fn of(
        trees: &[IsolationTree],
        n_features: usize,
        precision: InputPrecision,
    ) -> Option<Self> {
        if n_features > N_FEATURES_MAX {
            return None;
        }
        let exits = Exits::of(trees);
        let heaps = trees.iter().map(|tree| Heap::of(tree, &exits, precision));
        Some(Self { heaps: heaps.collect::<Option<_>>()?, exits })
    }

    /// Returns the path sum of one event.
    pub(super) fn path_sum(&self, trees: &[IsolationTree], x: &[f64]) -> PathSum {
        let mut values = [0.0; N_FEATURES_MAX];
        for (narrow, &value) in values.iter_mut().zip(x) {
            *narrow = round_up(value);
        }
        let (heaps, rest) = self.heaps.as_chunks::<TREES>();
        let (trees, trees_of_rest) = trees.as_chunks::<TREES>();
        let mut sum = PathSum::ZERO;
        for (heaps, trees) in heaps.iter().zip(trees) {
            let exits = exits_in_trees(heaps.each_ref(), &values);
            sum = sum.plus(self.exits.sum(trees, x, exits));
        }
        for (heap, tree) in rest.iter().zip(trees_of_rest) {
            let exits = exits_in_trees([heap], &values);
            sum = sum.plus(self.exits.sum(std::array::from_ref(tree), x, exits));
        }
        sum
    }

    /// Adds to the path sum of every row.
    pub(super) fn add_path_sums(
        &self,
        trees: &[IsolationTree],
        rows: &[&[f64]],
        sums: &mut [PathSum],
    ) {
        let (blocks, rest) = rows.as_chunks::<ROWS>();
        let (sums_of_blocks, sums_of_rest) = sums.as_chunks_mut::<ROWS>();
        let columns = Columns::of(blocks);
        for (heaps, trees) in self.heaps.chunks(TREES_PER_TILE).zip(trees.chunks(TREES_PER_TILE)) {
            for (index, (rows, sums)) in blocks.iter().zip(&mut *sums_of_blocks).enumerate() {
                for (heap, tree) in heaps.iter().zip(trees) {
                    let exits = exits_of_rows(heap, columns.of_block(index));
                    self.exits.add(tree, rows, exits, sums);
                }
            }
        }
        for (x, sum) in rest.iter().zip(sums_of_rest) {
            *sum = sum.plus(self.path_sum(trees, x));
        }
    }
}

impl Heap {
    fn of(tree: &IsolationTree, exits: &Exits, precision: InputPrecision) -> Option<Self> {
        let treetop = Treetop::of(tree);
        Some(Self {
            thresholds: treetop.narrowed(precision)?,
            features: treetop.features.map(|feature| feature as u8),
            exits: exits.notes(tree, &treetop),
        })
    }

    /// Returns the position below `position` that a value goes to; an exit after the last level.
    #[inline]
    fn descend(&self, position: u8, value: impl FnOnce(u8) -> f32) -> u8 {
        let goes_right =
            value(self.features[usize::from(position)]) > self.thresholds[usize::from(position)];
        (position << 1) | u8::from(goes_right)
    }
}

/// Returns the exits of one event from several treetops.
fn exits_in_trees<const N: usize>(heaps: [&Heap; N], values: &[f32; N_FEATURES_MAX]) -> [u16; N] {
    let mut positions = [1; N];
    for _ in 0..LEVELS {
        for (position, heap) in positions.iter_mut().zip(heaps) {
            *position = heap.descend(*position, |feature| values[usize::from(feature)]);
        }
    }
    std::array::from_fn(|tree| heaps[tree].exits[usize::from(positions[tree])])
}

/// Returns the exits of several rows from a treetop.
fn exits_of_rows(heap: &Heap, columns: &[[f32; ROWS]; N_FEATURES_MAX]) -> [u16; ROWS] {
    let mut positions = [1; ROWS];
    for _ in 0..LEVELS {
        for (row, position) in positions.iter_mut().enumerate() {
            *position = heap.descend(*position, |feature| columns[usize::from(feature)][row]);
        }
    }
    positions.map(|position| heap.exits[usize::from(position)])
}

/// Blocks of rows, column by column.
struct Columns {
    n_features: usize,
    /// The columns of one block after another, and as many more as make any block look as if it
    /// had [`N_FEATURES_MAX`] of them.
    columns: Vec<[f32; ROWS]>,
}

impl Columns {
    fn of(blocks: &[[&[f64]; ROWS]]) -> Self {
        let n_features = blocks.first().map_or(0, |[row, ..]| row.len());
        let mut columns = Vec::with_capacity(blocks.len() * n_features + N_FEATURES_MAX);
        for rows in blocks {
            for feature in 0..n_features {
                columns.push(rows.map(|row| round_up(row[feature])));
            }
        }
        columns.resize(blocks.len() * n_features + N_FEATURES_MAX, [0.0; ROWS]);
        Self { n_features, columns }
    }

    fn of_block(&self, block: usize) -> &[[f32; ROWS]; N_FEATURES_MAX] {
        self.columns[block * self.n_features..]
            .first_chunk()
            .expect("a whole number of columns follows the last block")
    }
}
