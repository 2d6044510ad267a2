//! The inner loops in AVX-512: a register holds a byte for each of 64 rows.

#![expect(unsafe_code, reason = "instructions are unsafe to run where a processor may lack them")]

#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics have a prefix of their own")
)]
use std::arch::x86_64::*;

use super::layout::{LengthPlanes, LevelTables, RankTable, TreeCodes};
use super::{BLOCK, Bytes, Kernel, Values, take_rows_portably};
use crate::engine::loads::{Avx512, load_rounded_up};
use crate::path_sum::PathSum;

impl Kernel for Avx512 {
    const HAS_LENGTH_CODES: bool = true;

    fn take_rows(self, rows: &[&[f64]], columns: &mut [Values]) {
        let (sixteens, rest) = rows.as_chunks::<FLOATS>();
        for (index, rows) in sixteens.iter().enumerate() {
            // SAFETY: `self` exists only where the processor has these instructions.
            unsafe { transpose(rows, columns, index * FLOATS) };
        }
        take_rows_portably(rest, columns, sixteens.len() * FLOATS);
    }

    fn rank(self, table: &RankTable, values: &Values, codes: &mut Bytes) {
        // SAFETY: `self` exists only where the processor has these instructions.
        unsafe { rank(table, values, codes) }
    }

    fn walk(self, tree: &TreeCodes, codes: &[Bytes], exits: &mut [Bytes]) {
        // SAFETY: `self` exists only where the processor has these instructions.
        unsafe { walk(tree, codes, exits) }
    }

    fn add_lengths(
        self,
        planes: &LengthPlanes,
        codes: &[Bytes],
        n_blocks: usize,
        sums: &mut [PathSum; BLOCK],
    ) {
        // SAFETY: `self` exists only where the processor has these instructions.
        unsafe { add_lengths(planes, codes, n_blocks, sums) }
    }
}

/// Bytes of a register.
const BYTES: usize = 64;
/// Registers that hold a byte for each row of a block.
const PARTS: usize = BLOCK / BYTES;
/// `f32` values of a register.
const FLOATS: usize = 16;

/// 256 bytes to look up.
type Table = [__m512i; 4];

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; BYTES]) -> __m512i {
    // SAFETY: as many bytes as a register has may be read.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn store(register: __m512i, bytes: &mut [u8; BYTES]) {
    // SAFETY: as many bytes as a register has may be written.
    unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), register) }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_table(bytes: &[u8; 4 * BYTES]) -> Table {
    let (quarters, _) = bytes.as_chunks();
    [load(&quarters[0]), load(&quarters[1]), load(&quarters[2]), load(&quarters[3])]
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_floats(values: &[f32; FLOATS]) -> __m512 {
    // SAFETY: as many values as a register has may be read.
    unsafe { _mm512_loadu_ps(values.as_ptr()) }
}

/// Rounds the values of 16 rows up and stores them by column, from the row `first_row` on.
#[target_feature(enable = "avx512f,avx512dq")]
fn transpose(rows: &[&[f64]; FLOATS], columns: &mut [Values], first_row: usize) {
    const FEATURES: usize = 8;
    // Of both registers, the lower or the upper half of each 256 bits.
    let lower = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
    let upper = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
    for (index, columns) in columns.chunks_mut(FEATURES).enumerate() {
        // Row r in the lower half, row r + 8 in the upper one.
        let mut r = [_mm512_setzero_ps(); FEATURES];
        for (row, register) in r.iter_mut().enumerate() {
            let first = load_rounded_up(&rows[row][index * FEATURES..]);
            let second = load_rounded_up(&rows[row + FEATURES][index * FEATURES..]);
            *register = _mm512_insertf32x8::<1>(_mm512_castps256_ps512(first), second);
        }
        // Pairs of rows, then fours, then eights: what is side by side is of one feature.
        let mut fours = [_mm512_setzero_pd(); FEATURES];
        for half in [0, 4] {
            let early = interleave(r[half], r[half + 1]);
            let late = interleave(r[half + 2], r[half + 3]);
            fours[half] = _mm512_unpacklo_pd(early[0], late[0]);
            fours[half + 1] = _mm512_unpackhi_pd(early[0], late[0]);
            fours[half + 2] = _mm512_unpacklo_pd(early[1], late[1]);
            fours[half + 3] = _mm512_unpackhi_pd(early[1], late[1]);
        }
        for (feature, column) in columns.iter_mut().enumerate() {
            let order = if feature < 4 { lower } else { upper };
            let (early, late) = (fours[feature % 4], fours[feature % 4 + 4]);
            let values = _mm512_castpd_ps(_mm512_permutex2var_pd(early, order, late));
            let place: &mut [f32; FLOATS] = column.0[first_row..]
                .first_chunk_mut()
                .expect("16 rows fit a block where they begin at a multiple of 16");
            // SAFETY: 16 values may be written.
            unsafe { _mm512_storeu_ps(place.as_mut_ptr(), values) };
        }
    }
}

/// Returns the first and second, and the third and fourth, of each four values, those of `a` and `b` in
/// turn.
#[inline]
#[target_feature(enable = "avx512f")]
fn interleave(a: __m512, b: __m512) -> [__m512d; 2] {
    [_mm512_castps_pd(_mm512_unpacklo_ps(a, b)), _mm512_castps_pd(_mm512_unpackhi_ps(a, b))]
}

/// Walks down the table of thresholds. A register holds 16 of them, so that a level is looked up in
/// one or more registers by the lower turns, and among these by the upper ones.
#[target_feature(enable = "avx512f,avx512bw,avx512dq")]
fn rank(table: &RankTable, values: &Values, codes: &mut Bytes) {
    const WALKS: usize = 4;
    let n_levels = table.n_levels;
    let (tables, _) = table.by_turns.0.as_chunks::<FLOATS>();
    let (values, _) = values.0.as_chunks::<FLOATS>();
    let (values, _) = values.as_chunks::<WALKS>();
    let (codes, _) = codes.0.as_chunks_mut::<BYTES>();
    for (values, codes) in values.iter().zip(codes) {
        let x = [
            load_floats(&values[0]),
            load_floats(&values[1]),
            load_floats(&values[2]),
            load_floats(&values[3]),
        ];
        let mut turns = [_mm512_setzero_si512(); WALKS];
        let root = _mm512_set1_ps(tables[0][0]);
        for (turns, &x) in turns.iter_mut().zip(&x) {
            turn(turns, 0, root, x);
        }
        for level in 1..n_levels.min(5) {
            let table = load_floats(&tables[level as usize]);
            for (turns, &x) in turns.iter_mut().zip(&x) {
                turn(turns, level, _mm512_permutexvar_ps(*turns, table), x);
            }
        }
        if n_levels > 5 {
            for (turns, &x) in turns.iter_mut().zip(&x) {
                turn(turns, 5, lookup_floats(&tables[5..7], *turns), x);
            }
        }
        if n_levels > 6 {
            for (turns, &x) in turns.iter_mut().zip(&x) {
                let early = lookup_floats(&tables[7..9], *turns);
                let late = lookup_floats(&tables[9..11], *turns);
                turn(turns, 6, _mm512_mask_blend_ps(turned::<5>(*turns), early, late), x);
            }
        }
        if n_levels > 7 {
            for (turns, &x) in turns.iter_mut().zip(&x) {
                let turned_5 = turned::<5>(*turns);
                let early = lookup_floats(&tables[11..13], *turns);
                let late = lookup_floats(&tables[13..15], *turns);
                let early_half = _mm512_mask_blend_ps(turned_5, early, late);
                let early = lookup_floats(&tables[15..17], *turns);
                let late = lookup_floats(&tables[17..19], *turns);
                let late_half = _mm512_mask_blend_ps(turned_5, early, late);
                let threshold = _mm512_mask_blend_ps(turned::<6>(*turns), early_half, late_half);
                turn(turns, 7, threshold, x);
            }
        }
        store(reverse_bits(pack(turns)), codes);
    }
}

/// Turns each walk right at a level where the threshold is below the value.
#[inline]
#[target_feature(enable = "avx512f")]
fn turn(turns: &mut __m512i, level: u32, threshold: __m512, x: __m512) {
    let goes_right = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(threshold, x);
    *turns = _mm512_mask_add_epi32(*turns, goes_right, *turns, _mm512_set1_epi32(1 << level));
}

/// Returns the thresholds that the lowest five turns lead to.
#[inline]
#[target_feature(enable = "avx512f")]
fn lookup_floats(tables: &[[f32; FLOATS]], turns: __m512i) -> __m512 {
    _mm512_permutex2var_ps(load_floats(&tables[0]), turns, load_floats(&tables[1]))
}

/// Returns a mask of the walks that went right at a level. A shift and a copy of signs do not use the execution port
/// that lookups and comparisons need, as a test of the bit would.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn turned<const LEVEL: u32>(turns: __m512i) -> __mmask16 {
    _mm512_movepi32_mask(match LEVEL {
        5 => _mm512_slli_epi32::<26>(turns),
        _ => _mm512_slli_epi32::<25>(turns),
    })
}

/// Returns the lowest byte of every 32 bits of four registers.
#[inline]
#[target_feature(enable = "avx512f")]
fn pack(parts: [__m512i; 4]) -> __m512i {
    let bytes = [
        _mm512_cvtepi32_epi8(parts[0]),
        _mm512_cvtepi32_epi8(parts[1]),
        _mm512_cvtepi32_epi8(parts[2]),
        _mm512_cvtepi32_epi8(parts[3]),
    ];
    let lower = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(bytes[0]), bytes[1]);
    _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(lower, bytes[2]), bytes[3])
}

/// Returns the bits of each byte from last to first: half a byte at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn reverse_bits(bytes: __m512i) -> __m512i {
    // The bits of 0 to 15 from last to first.
    let table = _mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15);
    let table = _mm512_broadcast_i32x4(table);
    let low_halves = _mm512_set1_epi8(0x0f);
    let low = _mm512_and_si512(bytes, low_halves);
    let high = _mm512_and_si512(_mm512_srli_epi16::<4>(bytes), low_halves);
    let low = _mm512_slli_epi16::<4>(_mm512_shuffle_epi8(table, low));
    _mm512_or_si512(low, _mm512_shuffle_epi8(table, high))
}

#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn walk(tree: &TreeCodes, codes: &[Bytes], exits: &mut [Bytes]) {
    let n_columns = codes.len() / exits.len();
    for (codes, exits) in codes.chunks_exact(n_columns).zip(exits) {
        let mut walks = Walks {
            tree,
            codes,
            columns_below: &tree.columns,
            turns: [_mm512_setzero_si512(); PARTS],
        };
        walks.turn::<0>();
        walks.turn::<1>();
        walks.turn::<2>();
        walks.turn::<3>();
        walks.turn::<4>();
        walks.turn::<5>();
        walks.turn::<6>();
        walks.turn::<7>();
        let (parts, _) = exits.0.as_chunks_mut();
        for (turns, part) in walks.turns.into_iter().zip(parts) {
            let exit = match &tree.length_codes {
                Some(codes) => lookup_any(&load_table(&codes.0), turns),
                None => turns,
            };
            store(exit, part);
        }
    }
}

/// The walks of a block's rows down a tree.
struct Walks<'a> {
    tree: &'a TreeCodes,
    /// The codes of the block, column by column.
    codes: &'a [Bytes],
    /// The columns of the levels still to come.
    columns_below: &'a [u16],
    turns: [__m512i; PARTS],
}

impl Walks<'_> {
    /// Takes one step down.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn turn<const LEVEL: usize>(&mut self) {
        let n_columns = usize::from(self.tree.n_columns[LEVEL]);
        let (columns, columns_below) = self.columns_below.split_at(n_columns);
        self.columns_below = columns_below;

        let mut values = self.load_codes(columns[0]);
        if let [_, second, others @ ..] = columns {
            let ordinals = self.lookup::<LEVEL>(&self.tree.ordinals);
            let candidates = self.load_codes(*second);
            for part in 0..PARTS {
                let is_second = _mm512_movepi8_mask(ordinals[part]);
                values[part] = _mm512_mask_mov_epi8(values[part], is_second, candidates[part]);
            }
            let mut this = _mm512_set1_epi8(2);
            for &column in others {
                let candidates = self.load_codes(column);
                for part in 0..PARTS {
                    let is_this = _mm512_cmpeq_epi8_mask(ordinals[part], this);
                    values[part] = _mm512_mask_mov_epi8(values[part], is_this, candidates[part]);
                }
                this = _mm512_add_epi8(this, _mm512_set1_epi8(1));
            }
        }

        let thresholds = self.lookup::<LEVEL>(&self.tree.thresholds);
        let right = _mm512_set1_epi8((1_u8 << LEVEL).cast_signed());
        for (part, turns) in self.turns.iter_mut().enumerate() {
            let goes_right = _mm512_cmpgt_epu8_mask(values[part], thresholds[part]);
            *turns = _mm512_mask_add_epi8(*turns, goes_right, *turns, right);
        }
    }

    /// Returns the bytes of a level that the turns lead to.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn lookup<const LEVEL: usize>(&self, tables: &LevelTables) -> [__m512i; PARTS] {
        let (tables, _) = tables.0.as_chunks();
        let table = load(&tables[LEVEL]);
        let [a, b] = self.turns;
        match LEVEL {
            0 => [table; PARTS],
            7 => {
                let rest = load(&tables[8]);
                [_mm512_permutex2var_epi8(table, a, rest), _mm512_permutex2var_epi8(table, b, rest)]
            }
            _ => [_mm512_permutexvar_epi8(a, table), _mm512_permutexvar_epi8(b, table)],
        }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
    fn load_codes(&self, column: u16) -> [__m512i; PARTS] {
        let (parts, _) = self.codes[usize::from(column)].0.as_chunks();
        [load(&parts[0]), load(&parts[1])]
    }
}

/// Returns the bytes at any places.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn lookup_any(table: &Table, place: __m512i) -> __m512i {
    let lower = _mm512_permutex2var_epi8(table[0], place, table[1]);
    let upper = _mm512_permutex2var_epi8(table[2], place, table[3]);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(place), lower, upper)
}

/// Adds lengths byte by byte, four trees at a time: the codes of a row in four trees are brought
/// side by side, and a dot product with ones adds what they look up.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512vnni")]
fn add_lengths(
    planes: &LengthPlanes,
    codes: &[Bytes],
    n_blocks: usize,
    sums: &mut [PathSum; BLOCK],
) {
    const N_PLANES: usize = LengthPlanes::N_PLANES;
    let ones = _mm512_set1_epi8(1);
    let mut tables = [_mm512_setzero_si512(); N_PLANES];
    for (table, plane) in tables.iter_mut().zip(&planes.planes) {
        *table = load(&plane.0);
    }
    let (sums, _) = sums.as_chunks_mut::<BYTES>();
    for (part, sums) in sums.iter_mut().enumerate() {
        // By plane, and by quarter of each 16 rows.
        let mut totals = [[_mm512_setzero_si512(); 4]; N_PLANES];
        for trees in codes.chunks(4 * n_blocks) {
            let mut codes = [_mm512_setzero_si512(); 4];
            for (codes, bytes) in codes.iter_mut().zip(trees.iter().step_by(n_blocks)) {
                *codes = load(&bytes.0.as_chunks().0[part]);
            }
            let lower = [
                _mm512_unpacklo_epi8(codes[0], codes[1]),
                _mm512_unpacklo_epi8(codes[2], codes[3]),
            ];
            let upper = [
                _mm512_unpackhi_epi8(codes[0], codes[1]),
                _mm512_unpackhi_epi8(codes[2], codes[3]),
            ];
            let quarters = [
                _mm512_unpacklo_epi16(lower[0], lower[1]),
                _mm512_unpackhi_epi16(lower[0], lower[1]),
                _mm512_unpacklo_epi16(upper[0], upper[1]),
                _mm512_unpackhi_epi16(upper[0], upper[1]),
            ];
            for (totals, &table) in totals.iter_mut().zip(&tables) {
                for (total, quarter) in totals.iter_mut().zip(quarters) {
                    let bytes = _mm512_permutexvar_epi8(quarter, table);
                    *total = _mm512_dpbusd_epi32(*total, bytes, ones);
                }
            }
        }
        let (rows, _) = sums.as_chunks_mut::<4>();
        for quarter in 0..4 {
            let total = |plane: usize| totals[plane][quarter];
            // The bytes of a tile add up to less than 2^12, so that three planes fit 32 bits.
            let lower = add_planes(total(0), total(1), total(2));
            let upper = add_planes(total(3), total(4), total(5));
            // It holds this quarter of the rows 0 to 15, of 16 to 31, of 32 to 47, and of 48 to 63.
            let first = widen(_mm512_castsi512_si256(lower), _mm512_castsi512_si256(upper));
            let last =
                widen(_mm512_extracti64x4_epi64::<1>(lower), _mm512_extracti64x4_epi64::<1>(upper));
            add(&mut rows[quarter], _mm512_castsi512_si256(first));
            add(&mut rows[quarter + 4], _mm512_extracti64x4_epi64::<1>(first));
            add(&mut rows[quarter + 8], _mm512_castsi512_si256(last));
            add(&mut rows[quarter + 12], _mm512_extracti64x4_epi64::<1>(last));
        }
    }
}

/// Adds three planes of neighbouring weights.
#[inline]
#[target_feature(enable = "avx512f")]
fn add_planes(plane_0: __m512i, plane_1: __m512i, plane_2: __m512i) -> __m512i {
    let sum = _mm512_add_epi32(plane_0, _mm512_slli_epi32::<8>(plane_1));
    _mm512_add_epi32(sum, _mm512_slli_epi32::<16>(plane_2))
}

/// Puts the three lower and the three upper planes of eight lengths together.
#[inline]
#[target_feature(enable = "avx512f")]
fn widen(lower: __m256i, upper: __m256i) -> __m512i {
    let upper = _mm512_slli_epi64::<24>(_mm512_cvtepu32_epi64(upper));
    _mm512_add_epi64(_mm512_cvtepu32_epi64(lower), upper)
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(sums: &mut [PathSum; 4], lengths: __m256i) {
    let pointer = sums.as_mut_ptr().cast();
    // SAFETY: four path sums are four integers of 64 bits, which may be read and written.
    unsafe {
        let sum = _mm256_add_epi64(_mm256_loadu_si256(pointer), lengths);
        _mm256_storeu_si256(pointer, sum);
    }
}
