//! The inner loops in AVX2: a register holds a byte for each of 32 rows.

#![expect(unsafe_code, reason = "instructions are unsafe to run where a processor may lack them")]

#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics have a prefix of their own")
)]
use std::arch::x86_64::*;

use super::layout::{LevelTables, RankTable, SECOND_COLUMN, TreeCodes};
use super::{Bytes, Kernel, Values};
use crate::engine::Engine;

/// The right to run AVX2: it exists where the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Avx2(());

impl Avx2 {
    pub(in crate::engine) fn new() -> Option<Self> {
        Engine::Avx2.is_available().then_some(Self(()))
    }
}

impl Kernel for Avx2 {
    const HAS_LENGTH_CODES: bool = false;

    fn rank(self, table: &RankTable, values: &Values, codes: &mut Bytes) {
        // SAFETY: `self` exists only where the processor has these instructions.
        unsafe { rank(table, values, codes) }
    }

    fn walk(self, tree: &TreeCodes, codes: &[Bytes], exits: &mut [Bytes]) {
        // SAFETY: `self` exists only where the processor has these instructions.
        unsafe { walk(tree, codes, exits) }
    }
}

/// Bytes of a register.
const BYTES: usize = 32;
/// `f32` values of a register.
const FLOATS: usize = 8;
/// Registers of rows that go down a tree together.
const PARTS: usize = 2;

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; BYTES]) -> __m256i {
    // SAFETY: as many bytes as a register has may be read.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(register: __m256i, bytes: &mut [u8; BYTES]) {
    // SAFETY: as many bytes as a register has may be written.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_floats(values: &[f32; FLOATS]) -> __m256 {
    // SAFETY: as many values as a register has may be read.
    unsafe { _mm256_loadu_ps(values.as_ptr()) }
}

/// Loads 16 bytes, twice: lookups do not cross the halves of a register.
#[inline]
#[target_feature(enable = "avx2")]
fn load_twice(bytes: &[u8; 16]) -> __m256i {
    // SAFETY: 16 bytes may be read.
    let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
    _mm256_broadcastsi128_si256(bytes)
}

/// Counts the thresholds below each value: first among every 16th, then among the 16 before that.
#[target_feature(enable = "avx2,popcnt")]
fn rank(table: &RankTable, values: &Values, codes: &mut Bytes) {
    let (sixteens, _) = table.ascending.0.as_chunks::<16>();
    let shift = u8::BITS - table.n_levels;
    for (&x, code) in values.0.iter().zip(&mut codes.0) {
        let x = _mm256_set1_ps(x);
        let sixteen = count_below(&table.every_16th.0, x);
        let rank = 16 * sixteen + count_below(&sixteens[sixteen as usize & 15], x);
        *code = (rank << shift) as u8;
    }
}

/// Counts how many of 16 thresholds are below a value, which all lanes hold.
#[inline]
#[target_feature(enable = "avx2,popcnt")]
fn count_below(thresholds: &[f32; 16], x: __m256) -> u32 {
    let (halves, _) = thresholds.as_chunks();
    let lower = _mm256_cmp_ps::<_CMP_LT_OQ>(load_floats(&halves[0]), x);
    let upper = _mm256_cmp_ps::<_CMP_LT_OQ>(load_floats(&halves[1]), x);
    let both = _mm256_packs_epi32(_mm256_castps_si256(lower), _mm256_castps_si256(upper));
    // Two bytes for each threshold.
    _mm256_movemask_epi8(both).count_ones() / 2
}

#[target_feature(enable = "avx2")]
fn walk(tree: &TreeCodes, codes: &[Bytes], exits: &mut [Bytes]) {
    let n_columns = codes.len() / exits.len();
    for (codes, exits) in codes.chunks_exact(n_columns).zip(exits) {
        let (parts, _) = exits.0.as_chunks_mut::<BYTES>();
        let (parts, _) = parts.as_chunks_mut::<PARTS>();
        for (index, exits) in parts.iter_mut().enumerate() {
            let mut walks = Walks {
                tree,
                codes,
                first_part: index * PARTS,
                columns_below: &tree.columns,
                turns: [_mm256_setzero_si256(); PARTS],
            };
            walks.turn::<0, 1>();
            walks.turn::<1, 1>();
            walks.turn::<2, 1>();
            walks.turn::<3, 1>();
            walks.turn::<4, 1>();
            walks.turn::<5, 2>();
            walks.turn::<6, 4>();
            walks.turn::<7, 8>();
            for (turns, exits) in walks.turns.into_iter().zip(exits) {
                store(turns, exits);
            }
        }
    }
}

/// The walks of some rows of a block down a tree.
struct Walks<'a> {
    tree: &'a TreeCodes,
    /// The codes of the block, column by column.
    codes: &'a [Bytes],
    /// Which registers of a block's rows these are.
    first_part: usize,
    /// The columns of the levels still to come.
    columns_below: &'a [u16],
    turns: [__m256i; PARTS],
}

impl Walks<'_> {
    /// Takes one step down, from a level whose places take `N` lookups of 16 bytes.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn turn<const LEVEL: usize, const N: usize>(&mut self) {
        let n_columns = usize::from(self.tree.n_columns[LEVEL]);
        let (columns, columns_below) = self.columns_below.split_at(n_columns);
        self.columns_below = columns_below;

        let mut values = [_mm256_setzero_si256(); PARTS];
        if let [column] = columns {
            values = self.load_codes(*column);
        } else {
            let mut ordinals = [_mm256_setzero_si256(); PARTS];
            for (ordinal, &turns) in ordinals.iter_mut().zip(&self.turns) {
                *ordinal = lookup::<LEVEL, N>(&self.tree.ordinals, turns);
            }
            for (ordinal, &column) in (0_u8..).zip(columns) {
                let this = if ordinal == 1 { SECOND_COLUMN } else { ordinal };
                let this = _mm256_set1_epi8(this.cast_signed());
                let candidates = self.load_codes(column);
                for part in 0..PARTS {
                    let is_this = _mm256_cmpeq_epi8(ordinals[part], this);
                    let value = _mm256_and_si256(candidates[part], is_this);
                    values[part] = _mm256_or_si256(values[part], value);
                }
            }
        }

        let right = _mm256_set1_epi8((1_u8 << LEVEL).cast_signed());
        for (value, turns) in values.into_iter().zip(&mut self.turns) {
            let threshold = lookup::<LEVEL, N>(&self.tree.thresholds, *turns);
            let goes_left = _mm256_cmpeq_epi8(_mm256_min_epu8(value, threshold), value);
            *turns = _mm256_or_si256(*turns, _mm256_andnot_si256(goes_left, right));
        }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_codes(&self, column: u16) -> [__m256i; PARTS] {
        let (parts, _) = self.codes[usize::from(column)].0.as_chunks::<BYTES>();
        let (parts, _) = parts[self.first_part..].as_chunks::<PARTS>();
        [load(&parts[0][0]), load(&parts[0][1])]
    }
}

/// Returns the bytes of a level that turns lead to.
#[inline]
#[target_feature(enable = "avx2")]
fn lookup<const LEVEL: usize, const N: usize>(tables: &LevelTables, turns: __m256i) -> __m256i {
    let (tables, _) = tables.0.as_chunks::<16>();
    let mut candidates = [_mm256_setzero_si256(); N];
    for (candidate, table) in candidates.iter_mut().zip(&tables[4 * LEVEL..]) {
        *candidate = _mm256_shuffle_epi8(load_twice(table), turns);
    }
    // Turn 4 halves the candidates, turn 5 halves those, and so on; a turn decides as a sign.
    let mut n_left = N;
    let mut sign = 3;
    while n_left > 1 {
        n_left /= 2;
        let turned = _mm256_sll_epi16(turns, _mm_cvtsi32_si128(sign));
        for i in 0..n_left {
            let (left, right) = (candidates[2 * i], candidates[2 * i + 1]);
            candidates[i] = _mm256_blendv_epi8(left, right, turned);
        }
        sign -= 1;
    }
    candidates[0]
}
