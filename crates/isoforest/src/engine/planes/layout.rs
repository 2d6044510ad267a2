//! The layout of a forest for walks over codes.

use super::Aligned;
use crate::conventions::InputPrecision;
use crate::engine::narrow::narrowed;
use crate::engine::treetop::{EXITS, LEVELS, Treetop};
use crate::path_sum::PathSum;
use crate::tree::IsolationTree;

/// The most distinct thresholds of a feature in a group: ranks are 0 to 255.
const THRESHOLDS_MAX: usize = 255;
/// The ordinal of the second column of a level. It is recognised by its highest bit alone, which AVX-512
/// does on an execution port that lookups and comparisons do not need.
pub(super) const SECOND_COLUMN: u8 = 1 << 7;
/// The code of a threshold that no value is above.
const NO_CUT: u8 = u8::MAX;
/// The most trees of a tile: the exits of all stay in the first-level cache until they are added.
const TREES_PER_TILE: usize = 16;
/// The most distinct lengths of a tile, the zero included: as many as a register has bytes.
const LENGTHS_MAX: usize = 64;

/// A forest laid out for a [`Kernel`](super::Kernel).
#[derive(Debug)]
pub(in crate::engine) struct Planes {
    pub(super) groups: Vec<Group>,
}

/// Trees of which no feature has more than [`THRESHOLDS_MAX`] distinct thresholds.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) columns: Vec<Column>,
    pub(super) tiles: Vec<Tile>,
}

/// A feature that the trees of a group cut.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) feature: usize,
    pub(super) ranks: Ranks,
}

/// The thresholds of a column, to rank values among.
#[derive(Debug)]
pub(super) enum Ranks {
    /// All are `f32`.
    Narrow(Box<RankTable>),
    /// In ascending order.
    Wide(Vec<f64>),
}

/// Thresholds to rank values among, by whichever search is the faster: infinite where there are not
/// so many.
#[derive(Debug)]
pub(in crate::engine) struct RankTable {
    /// As a complete binary search tree: a walk goes right where the threshold is below the value,
    /// and its turns, read from the first to the last, are the rank. The levels lie one after
    /// another, and in each the turns that lead to a threshold; 16 places for each level up to the
    /// one of 16 thresholds, and from there as many places as thresholds.
    pub(super) by_turns: Aligned<[f32; Self::LEN]>,
    /// Number of levels of that tree, 1 to 8.
    pub(super) n_levels: u32,
    /// In ascending order.
    pub(super) ascending: Aligned<[f32; 256]>,
    /// The last of each 16 in ascending order.
    pub(super) every_16th: Aligned<[f32; 16]>,
}

/// Trees that are walked one after another before their lengths are added.
#[derive(Debug)]
pub(super) struct Tile {
    /// Index of the first tree in the forest.
    pub(super) first_tree: usize,
    pub(super) trees: Vec<TreeCodes>,
    pub(super) ends: Ends,
}

/// The destinations of the exits of the trees of a tile.
#[derive(Debug)]
pub(super) enum Ends {
    /// To leaves of few distinct lengths: the exits are mapped to codes for these.
    Codes(Box<LengthPlanes>),
    /// To leaves: for every tree and exit, the place of the length in a list.
    Lengths { places: Vec<[u8; EXITS]>, lengths: Box<[PathSum; EXITS]> },
    /// To nodes from which some walks go on: for every tree and exit, the node.
    Nodes(Vec<[u16; EXITS]>),
}

/// A treetop over codes.
///
/// A walk is known by the turns it took: bit l of a byte is set when it went right at level l. This
/// takes fewer instructions than positions in a heap, and a level is looked up as well by either.
#[derive(Debug)]
pub(in crate::engine) struct TreeCodes {
    /// The code of the threshold at each place.
    pub(super) thresholds: LevelTables,
    /// Which of the columns of its level is compared at each place, counted from 0; but
    /// [`SECOND_COLUMN`] for the second.
    pub(super) ordinals: LevelTables,
    /// The columns of the first level, of the second, and so on; at least one of each.
    pub(super) columns: Vec<u16>,
    /// Number of columns of each level.
    pub(super) n_columns: [u8; LEVELS as usize],
    /// If the tile has codes for lengths, the one at each exit.
    pub(super) length_codes: Option<Aligned<[u8; EXITS]>>,
}

/// A byte for each place in a treetop: the levels one after another, and in each the turns that lead
/// there. The first seven levels take 64 bytes each, the last one 128.
pub(in crate::engine) type LevelTables = Aligned<[u8; 9 * 64]>;

/// Up to 64 lengths, byte by byte: plane p holds the byte of weight 256^p of each.
///
/// The first length is 0: it stands for trees that a tile does not have.
#[derive(Debug)]
pub(in crate::engine) struct LengthPlanes {
    pub(super) planes: [Aligned<[u8; LENGTHS_MAX]>; Self::N_PLANES],
}

impl Planes {
    /// Lays out a forest; `with_length_codes` where the kernel adds lengths by their codes.
    pub(in crate::engine) fn of(
        trees: &[IsolationTree],
        n_features: usize,
        precision: InputPrecision,
        with_length_codes: bool,
    ) -> Self {
        let mut groups = Vec::new();
        let mut draft = GroupDraft::new(0, n_features);
        for (index, tree) in trees.iter().enumerate() {
            let treetop = Treetop::of(tree);
            let cuts = sorted_cuts(&treetop, precision);
            if !draft.has_room_for(&cuts) {
                groups.push(draft.finish(trees, precision, with_length_codes));
                draft = GroupDraft::new(index, n_features);
            }
            draft.add(treetop, &cuts);
        }
        groups.push(draft.finish(trees, precision, with_length_codes));
        Self { groups }
    }
}

/// Returns the threshold as values are compared with it: every narrow one is an `f32`.
fn comparable(threshold: f64, precision: InputPrecision) -> f64 {
    narrowed(threshold, precision).map_or(threshold, f64::from)
}

/// Returns the distinct features and thresholds of a treetop, in ascending order.
fn sorted_cuts(treetop: &Treetop, precision: InputPrecision) -> Vec<(u16, f64)> {
    let mut cuts: Vec<_> = treetop
        .cuts()
        .map(|(_, feature, threshold)| (feature, comparable(threshold, precision)))
        .collect();
    cuts.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    cuts.dedup();
    cuts
}

/// A group that trees are still added to.
struct GroupDraft {
    first_tree: usize,
    treetops: Vec<Treetop>,
    /// The distinct thresholds of each feature, in ascending order.
    thresholds: Vec<Vec<f64>>,
}

impl GroupDraft {
    /// A limit for trees that hardly cut anything.
    const TREES_MAX: usize = 256;

    fn new(first_tree: usize, n_features: usize) -> Self {
        Self { first_tree, treetops: Vec::new(), thresholds: vec![Vec::new(); n_features] }
    }

    /// Returns `true` if no feature would have too many thresholds.
    fn has_room_for(&self, cuts: &[(u16, f64)]) -> bool {
        self.treetops.len() < Self::TREES_MAX
            && cuts.chunk_by(|a, b| a.0 == b.0).all(|of_feature| {
                let known = &self.thresholds[usize::from(of_feature[0].0)];
                let n_new = of_feature.iter().filter(|cut| rank_of(known, cut.1).is_err()).count();
                known.len() + n_new <= THRESHOLDS_MAX
            })
    }

    fn add(&mut self, treetop: Treetop, cuts: &[(u16, f64)]) {
        for &(feature, threshold) in cuts {
            let known = &mut self.thresholds[usize::from(feature)];
            if let Err(place) = rank_of(known, threshold) {
                known.insert(place, threshold);
            }
        }
        self.treetops.push(treetop);
    }

    fn finish(
        self,
        trees: &[IsolationTree],
        precision: InputPrecision,
        with_length_codes: bool,
    ) -> Group {
        let Self { first_tree, treetops, mut thresholds } = self;
        if thresholds.iter().all(Vec::is_empty) {
            // Walks need a column to look at, even where every tree is a leaf.
            thresholds[0].push(0.0);
        }
        let mut column_of_feature = vec![0; thresholds.len()];
        let mut columns = Vec::new();
        for (feature, thresholds) in thresholds.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
            column_of_feature[feature] = columns.len() as u16;
            columns.push(Column { feature, ranks: Ranks::of(thresholds) });
        }
        let codes_of = |treetop: &Treetop| {
            TreeCodes::of(treetop, |feature, threshold| {
                let column = column_of_feature[usize::from(feature)];
                let known = &thresholds[usize::from(feature)];
                let rank = rank_of(known, comparable(threshold, precision))
                    .expect("the thresholds of all trees were added");
                (column, columns[usize::from(column)].ranks.code(rank))
            })
        };

        let mut tiles = Vec::new();
        let mut trees_done = 0;
        while trees_done < treetops.len() {
            let first_tree = first_tree + trees_done;
            let rest = treetops[trees_done..].iter().zip(&trees[first_tree..]);
            let draft = TileDraft::of(rest, with_length_codes);
            let n_trees = draft.exits.len();
            let codes = treetops[trees_done..][..n_trees].iter().map(codes_of).collect();
            tiles.push(draft.finish(first_tree, codes));
            trees_done += n_trees;
        }
        Group { columns, tiles }
    }
}

/// The destinations of the exits of a tile's trees, while trees are added.
struct TileDraft {
    kind: EndsKind,
    /// For every tree, the nodes at its exits.
    exits: Vec<[u16; EXITS]>,
    /// For every tree, the lengths at its exits.
    lengths: Vec<[PathSum; EXITS]>,
    /// The distinct lengths of the tile, as far as they matter to its kind; the first of codes is 0.
    distinct: Vec<PathSum>,
}

/// Which of the [`Ends`] a tree has.
#[derive(Clone, Copy, PartialEq)]
enum EndsKind {
    Codes,
    Lengths,
    Nodes,
}

impl TileDraft {
    /// Takes as many of the trees as one tile can hold, and at least one.
    fn of<'a>(
        trees: impl Iterator<Item = (&'a Treetop, &'a IsolationTree)>,
        with_length_codes: bool,
    ) -> Self {
        let mut draft = Self {
            kind: EndsKind::Nodes,
            exits: Vec::new(),
            lengths: Vec::new(),
            distinct: Vec::new(),
        };
        for (treetop, tree) in trees.take(TREES_PER_TILE) {
            let lengths = treetop.lengths(tree);
            let kind = if tree.height() > LEVELS {
                EndsKind::Nodes
            } else if with_length_codes
                && with_added(&[PathSum::ZERO], &lengths, EndsKind::Codes).is_some()
            {
                EndsKind::Codes
            } else {
                EndsKind::Lengths
            };
            if draft.exits.is_empty() {
                draft.kind = kind;
                if kind == EndsKind::Codes {
                    draft.distinct.push(PathSum::ZERO);
                }
            }
            if kind != draft.kind {
                break;
            }
            if kind != EndsKind::Nodes {
                match with_added(&draft.distinct, &lengths, kind) {
                    Some(distinct) => draft.distinct = distinct,
                    None => break,
                }
            }
            draft.exits.push(by_turns(&treetop.exits));
            draft.lengths.push(by_turns(&lengths));
        }
        draft
    }

    fn finish(self, first_tree: usize, mut trees: Vec<TreeCodes>) -> Tile {
        let place = |length| {
            let place = self.distinct.iter().position(|&known| known == length);
            place.expect("the lengths of all trees were added") as u8
        };
        let ends = match self.kind {
            EndsKind::Nodes => Ends::Nodes(self.exits),
            EndsKind::Lengths => {
                let mut list = Box::new([PathSum::ZERO; EXITS]);
                list[..self.distinct.len()].copy_from_slice(&self.distinct);
                let places = self.lengths.iter().map(|lengths| lengths.map(place)).collect();
                Ends::Lengths { places, lengths: list }
            }
            EndsKind::Codes => {
                for (tree, lengths) in trees.iter_mut().zip(&self.lengths) {
                    tree.length_codes = Some(Aligned(lengths.map(place)));
                }
                Ends::Codes(Box::new(LengthPlanes::of(&self.distinct)))
            }
        };
        Tile { first_tree, trees, ends }
    }
}

/// Returns the destinations of the exits, in the order of the turns to them.
fn by_turns<T: Copy>(by_exit: &[T; EXITS]) -> [T; EXITS] {
    std::array::from_fn(|turns| by_exit[from_turns(turns, LEVELS)])
}

/// Returns a list of distinct lengths with others added, unless ends of this kind could not hold them.
fn with_added(distinct: &[PathSum], lengths: &[PathSum], kind: EndsKind) -> Option<Vec<PathSum>> {
    let fits_planes = |length: PathSum| length.to_bits() >> (8 * LengthPlanes::N_PLANES) == 0;
    let len_max = if kind == EndsKind::Codes { LENGTHS_MAX } else { EXITS };
    let mut distinct = distinct.to_vec();
    for &length in lengths {
        if !distinct.contains(&length) {
            if distinct.len() == len_max || (kind == EndsKind::Codes && !fits_planes(length)) {
                return None;
            }
            distinct.push(length);
        }
    }
    Some(distinct)
}

impl LengthPlanes {
    /// Lengths up to 2^48, which is 256 cuts, can be distinguished.
    pub(super) const N_PLANES: usize = 6;

    fn of(lengths: &[PathSum]) -> Self {
        let mut planes = [Aligned([0; LENGTHS_MAX]); Self::N_PLANES];
        for (code, length) in lengths.iter().enumerate() {
            for (plane, byte) in planes.iter_mut().zip(length.to_bits().to_le_bytes()) {
                plane.0[code] = byte;
            }
        }
        Self { planes }
    }
}

/// Returns the place of a threshold among others, or the one where it belongs.
fn rank_of(thresholds: &[f64], threshold: f64) -> Result<usize, usize> {
    let place = thresholds.partition_point(|&known| known < threshold);
    if thresholds.get(place) == Some(&threshold) { Ok(place) } else { Err(place) }
}

impl Ranks {
    fn of(thresholds: &[f64]) -> Self {
        if thresholds.iter().any(|&threshold| f64::from(threshold as f32) != threshold) {
            return Self::Wide(thresholds.to_vec());
        }
        Self::Narrow(Box::new(RankTable::of(thresholds)))
    }

    /// Returns the code of a rank: where there are few ranks, they are spread over all codes.
    fn code(&self, rank: usize) -> u8 {
        match self {
            Self::Narrow(table) => (rank << (u8::BITS - table.n_levels)) as u8,
            Self::Wide(_) => rank as u8,
        }
    }
}

impl RankTable {
    /// Of eight levels.
    const LEN: usize = 5 * 16 + 32 + 64 + 128;

    /// `thresholds` are `f32` values in ascending order.
    fn of(thresholds: &[f64]) -> Self {
        // A tree of n levels holds 2^n - 1 thresholds.
        let n_levels = usize::BITS - thresholds.len().leading_zeros();
        let mut ascending = [f32::INFINITY; 256];
        for (narrow, &threshold) in ascending.iter_mut().zip(thresholds) {
            *narrow = threshold as f32;
        }
        let mut by_turns = [f32::INFINITY; Self::LEN];
        for level in 0..n_levels {
            let places = &mut by_turns[Self::first_place(level)..][..1 << level];
            for (turns, place) in places.iter_mut().enumerate() {
                // Half way through what the turns leave.
                let rank = ((2 * from_turns(turns, level) + 1) << (n_levels - 1 - level)) - 1;
                *place = ascending[rank];
            }
        }
        Self {
            by_turns: Aligned(by_turns),
            n_levels,
            ascending: Aligned(ascending),
            every_16th: Aligned(std::array::from_fn(|sixteen| ascending[16 * sixteen + 15])),
        }
    }

    /// Returns the beginning of a level among the thresholds.
    const fn first_place(level: u32) -> usize {
        match level {
            0..=4 => 16 * level as usize,
            _ => 4 * 16 + (1 << level) - 16,
        }
    }
}

/// Returns the number whose bits are the turns of the levels, the first turn being its highest bit.
fn from_turns(turns: usize, n_levels: u32) -> usize {
    if n_levels == 0 { 0 } else { turns.reverse_bits() >> (usize::BITS - n_levels) }
}

impl TreeCodes {
    /// `column_and_code` tells those of a feature and a threshold.
    fn of(treetop: &Treetop, column_and_code: impl Fn(u16, f64) -> (u16, u8)) -> Self {
        let mut thresholds = Aligned([NO_CUT; 9 * 64]);
        let mut ordinals = Aligned([0; 9 * 64]);
        let mut columns = Vec::new();
        let mut n_columns = [0; LEVELS as usize];
        let mut cuts = treetop.cuts().peekable();
        for (level, n_columns) in (0..).zip(&mut n_columns) {
            let first = columns.len();
            let (first_position, end) = (1 << level, 2 << level);
            while let Some((position, feature, threshold)) =
                cuts.next_if(|&(position, ..)| position < end)
            {
                let (column, code) = column_and_code(feature, threshold);
                let known = columns[first..].iter().position(|&known| known == column);
                let ordinal = known.unwrap_or_else(|| {
                    columns.push(column);
                    columns.len() - 1 - first
                });
                let place = 64 * level as usize + from_turns(position - first_position, level);
                thresholds.0[place] = code;
                ordinals.0[place] = if ordinal == 1 { SECOND_COLUMN } else { ordinal as u8 };
            }
            if columns.len() == first {
                columns.push(0);
            }
            *n_columns = (columns.len() - first) as u8;
        }
        // The first level is not looked up: whatever is read there is its one threshold.
        let root = thresholds.0[0];
        thresholds.0[..64].fill(root);
        Self { thresholds, ordinals, columns, n_columns, length_codes: None }
    }
}
