//! Batches: 128 rows walk down a tree at once, a byte each.
//!
//! Trees are taken in groups of which each feature has at most 255 distinct thresholds. There, the
//! rank of a value among the thresholds says all about it: it is above the threshold of rank j
//! exactly when more than j thresholds are below it. So values become codes of one byte, thresholds
//! too, a level of a treetop fits a few registers, and a walk never touches memory but for codes.
//!
//! This module lays the work out; a [`Kernel`] does it with the instructions of one engine.

use super::exits::add_from;
use super::narrow::round_up;
use super::treetop::EXITS;
use crate::path_sum::PathSum;
use crate::tree::IsolationTree;
use layout::{Column, Ends, LengthPlanes, RankTable, Ranks, Tile, TreeCodes};

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod layout;

pub(super) use layout::Planes;

/// Number of rows that a kernel is handed at a time.
pub(super) const BLOCK: usize = 128;
/// The most blocks for which codes are made before trees are walked: with the exits of a tile they
/// fit a first-level cache.
const BLOCKS_MAX: usize = 8;
/// Fewer blocks are taken together when they would hold more values than these: a few megabytes.
const VALUES_MAX: usize = 1 << 20;

/// A layout for registers, which begins at a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Aligned<T>(pub(super) T);

/// A byte for each row of a block.
type Bytes = Aligned<[u8; BLOCK]>;
/// The values of one feature for the rows of a block.
type Values = Aligned<[f32; BLOCK]>;

/// The inner loops, in the instructions of one engine.
pub(super) trait Kernel: Copy {
    /// `true` if there is a [`Kernel::add_lengths`], faster than looking lengths up row by row.
    const HAS_LENGTH_CODES: bool;

    /// Rounds the values of up to a block of rows up to `f32`, and stores them by feature.
    fn take_rows(self, rows: &[&[f64]], columns: &mut [Values]) {
        take_rows_portably(rows, columns, 0);
    }

    /// Writes the code of each value among the thresholds of a column.
    fn rank(self, table: &RankTable, values: &Values, codes: &mut Bytes);

    /// Writes the exit that each row of each block comes to, or the code of its length where the tree has
    /// such codes. The codes of a block lie side by side, one column after another.
    fn walk(self, tree: &TreeCodes, codes: &[Bytes], exits: &mut [Bytes]);

    /// Adds the lengths that codes stand for to the sums of a block. The codes of the block in the
    /// first tree are at 0, in the second at `n_blocks`, and so on; trees come in fours.
    ///
    /// Asked only of kernels that have length codes.
    fn add_lengths(
        self,
        _planes: &LengthPlanes,
        _codes: &[Bytes],
        _n_blocks: usize,
        _sums: &mut [PathSum; BLOCK],
    ) {
        unreachable!("trees are laid out with length codes for kernels that have them");
    }
}

impl Planes {
    /// Adds to the path sum of every row.
    pub(super) fn add_path_sums<K: Kernel>(
        &self,
        kernel: K,
        trees: &[IsolationTree],
        rows: &[&[f64]],
        sums: &mut [PathSum],
    ) {
        let n_features = rows.first().map_or(1, |row| row.len());
        let n_rows = BLOCK * (VALUES_MAX / BLOCK / n_features).clamp(1, BLOCKS_MAX);
        let mut scratch = Scratch::default();
        for (rows, sums) in rows.chunks(n_rows).zip(sums.chunks_mut(n_rows)) {
            scratch.take_rows(kernel, rows);
            for group in &self.groups {
                scratch.rank(kernel, &group.columns, rows);
                for tile in &group.tiles {
                    scratch.walk(kernel, tile);
                    scratch.add_lengths(kernel, tile, trees, rows);
                }
            }
            for (sum, &added) in sums.iter_mut().zip(scratch.sums.as_flattened()) {
                *sum = sum.plus(added);
            }
        }
    }
}

/// The states of a chunk of rows on its way, block by block. Where the last block has too few rows,
/// it continues with values of earlier rows, whose sums are not used.
#[derive(Default)]
struct Scratch {
    n_blocks: usize,
    /// For every block and feature, the values.
    values: Vec<Values>,
    /// For every block and column of the group, the codes.
    codes: Vec<Bytes>,
    /// For every tree of the tile and block, the exits, or the codes of their lengths.
    exits: Vec<Bytes>,
    /// For every block, the sums so far.
    sums: Vec<[PathSum; BLOCK]>,
}

impl Scratch {
    fn take_rows<K: Kernel>(&mut self, kernel: K, rows: &[&[f64]]) {
        let n_features = rows.first().map_or(0, |row| row.len());
        self.n_blocks = rows.len().div_ceil(BLOCK);
        self.values.resize(self.n_blocks * n_features, Aligned([0.0; BLOCK]));
        for (rows, columns) in rows.chunks(BLOCK).zip(self.values.chunks_exact_mut(n_features)) {
            kernel.take_rows(rows, columns);
        }
        self.sums.clear();
        self.sums.resize(self.n_blocks, [PathSum::ZERO; BLOCK]);
    }

    fn rank<K: Kernel>(&mut self, kernel: K, columns: &[Column], rows: &[&[f64]]) {
        let n_features = self.values.len() / self.n_blocks;
        self.codes.resize(self.n_blocks * columns.len(), Aligned([0; BLOCK]));
        let blocks = self.values.chunks_exact(n_features).zip(rows.chunks(BLOCK));
        for (codes, (values, rows)) in self.codes.chunks_exact_mut(columns.len()).zip(blocks) {
            for (column, codes) in columns.iter().zip(codes) {
                match &column.ranks {
                    Ranks::Narrow(table) => kernel.rank(table, &values[column.feature], codes),
                    Ranks::Wide(thresholds) => {
                        for (code, row) in codes.0.iter_mut().zip(rows) {
                            let value = row[column.feature];
                            *code =
                                thresholds.partition_point(|&threshold| threshold < value) as u8;
                        }
                    }
                }
            }
        }
    }

    fn walk<K: Kernel>(&mut self, kernel: K, tile: &Tile) {
        // Kernels add lengths four trees at a time; trees that are not there have the code 0.
        let n_trees = tile.trees.len().next_multiple_of(4);
        self.exits.resize(n_trees * self.n_blocks, Aligned([0; BLOCK]));
        self.exits[tile.trees.len() * self.n_blocks..].fill(Aligned([0; BLOCK]));
        for (tree, exits) in tile.trees.iter().zip(self.exits.chunks_exact_mut(self.n_blocks)) {
            kernel.walk(tree, &self.codes, exits);
        }
    }

    fn add_lengths<K: Kernel>(
        &mut self,
        kernel: K,
        tile: &Tile,
        trees: &[IsolationTree],
        rows: &[&[f64]],
    ) {
        match &tile.ends {
            Ends::Codes(planes) => {
                for (block, sums) in self.sums.iter_mut().enumerate() {
                    kernel.add_lengths(planes, &self.exits[block..], self.n_blocks, sums);
                }
            }
            Ends::Lengths { places, lengths } => {
                for (block, sums) in self.sums.iter_mut().enumerate() {
                    let exits: Vec<&Bytes> =
                        self.exits[block..].iter().step_by(self.n_blocks).collect();
                    let (fours, rest) = places.as_chunks::<4>();
                    let (exits_of_fours, exits_of_rest) = exits[..places.len()].as_chunks::<4>();
                    for (places, exits) in fours.iter().zip(exits_of_fours) {
                        look_lengths_up(lengths, places, exits, sums);
                    }
                    for (places, exits) in rest.iter().zip(exits_of_rest) {
                        look_lengths_up(lengths, std::array::from_ref(places), &[*exits], sums);
                    }
                }
            }
            Ends::Nodes(nodes) => {
                let trees = &trees[tile.first_tree..];
                let exits = self.exits.chunks_exact(self.n_blocks);
                for ((tree, nodes), exits) in trees.iter().zip(nodes).zip(exits) {
                    let blocks = rows.chunks(BLOCK).zip(exits).zip(&mut self.sums);
                    for ((rows, exits), sums) in blocks {
                        walk_below(tree, rows, exits.0.map(|exit| nodes[usize::from(exit)]), sums);
                    }
                }
            }
        }
    }
}

/// Adds the lengths at the exits that rows have come to in several trees.
fn look_lengths_up<const N: usize>(
    lengths: &[PathSum; EXITS],
    places: &[[u8; EXITS]; N],
    exits: &[&Bytes; N],
    sums: &mut [PathSum; BLOCK],
) {
    for (row, sum) in sums.iter_mut().enumerate() {
        for (places, exits) in places.iter().zip(exits) {
            let place = places[usize::from(exits.0[row])];
            *sum = sum.plus(lengths[usize::from(place)]);
        }
    }
}

/// Walks on from the nodes to which rows have come, and adds the lengths.
fn walk_below(
    tree: &IsolationTree,
    rows: &[&[f64]],
    nodes: [u16; BLOCK],
    sums: &mut [PathSum; BLOCK],
) {
    const LANES: usize = 16;
    let (lanes_of_rows, rest) = rows.as_chunks::<LANES>();
    let (nodes, nodes_of_rest) = nodes[..rows.len()].as_chunks::<LANES>();
    let (sums, sums_of_rest) = sums[..rows.len()].as_chunks_mut::<LANES>();
    for ((rows, nodes), sums) in lanes_of_rows.iter().zip(nodes).zip(sums) {
        add_from(tree, rows, *nodes, sums);
    }
    for ((row, &node), sum) in rest.iter().zip(nodes_of_rest).zip(sums_of_rest) {
        add_from(tree, &[*row], [node], std::array::from_mut(sum));
    }
}

/// Implements [`Kernel::take_rows`] portably, for the rows from `first_row` of a block on.
fn take_rows_portably(rows: &[&[f64]], columns: &mut [Values], first_row: usize) {
    for (index, row) in rows.iter().enumerate() {
        for (column, &value) in columns.iter_mut().zip(*row) {
            column.0[first_row + index] = round_up(value);
        }
    }
}
