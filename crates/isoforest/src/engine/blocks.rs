//! One event in AVX-512: all nodes of four levels are compared at once.
//!
//! A treetop is cut into blocks of four levels, one at the top and sixteen below it. The comparisons
//! of a block's fifteen nodes make a mask, and a walk through the mask, bit by bit, is quick for
//! sixteen trees together. So all trees pass their upper block, and then all their lower one.

#![expect(unsafe_code, reason = "instructions are unsafe to run where a processor may lack them")]

#[cfg_attr(
    not(test),
    expect(clippy::wildcard_imports, reason = "intrinsics have a prefix of their own")
)]
use std::arch::x86_64::*;

use super::exits::Exits;
use super::loads::{Avx512, load_rounded_up};
use super::treetop::{EXITS, Treetop};
use crate::conventions::InputPrecision;
use crate::path_sum::PathSum;
use crate::tree::IsolationTree;

/// The most features that the registers of an event hold.
const N_FEATURES_MAX: usize = 128;
/// Places of a block, of which the first is not used.
const PLACES: usize = 16;
/// Trees that are taken down together, so that nothing waits for what was just stored.
const TREES: usize = 128;

/// A forest's treetops in blocks.
#[derive(Debug)]
pub(super) struct Blocks {
    kernel: Avx512,
    /// For each tree, its upper block.
    upper: Vec<Nodes>,
    /// For each tree, its sixteen lower blocks.
    lower: Vec<[LowerBlock; PLACES]>,
    exits: Exits,
}

/// Four levels as a heap: node 1 is the root, and the children of node n are 2n and 2n + 1.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(16))]
struct Nodes {
    /// Infinite where there is no cut: no value is above.
    thresholds: [f32; PLACES],
    features: [u8; PLACES],
}

/// Two cache lines.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(128))]
struct LowerBlock {
    nodes: Nodes,
    /// The destinations of the sixteen ways through the block, as [`Exits`] notes them.
    exits: [u16; PLACES],
}

impl Blocks {
    /// Lays out a forest; `None` where bytes or `f32` are too narrow for it.
    pub(super) fn of(
        kernel: Avx512,
        trees: &[IsolationTree],
        n_features: usize,
        precision: InputPrecision,
    ) -> Option<Self> {
        if n_features > N_FEATURES_MAX {
            return None;
        }
        let exits = Exits::of(trees);
        let mut upper = Vec::with_capacity(trees.len());
        let mut lower = Vec::with_capacity(trees.len());
        for tree in trees {
            let treetop = Treetop::of(tree);
            let thresholds = treetop.narrowed(precision)?;
            let features = treetop.features.map(|feature| feature as u8);
            let nodes = |root| Nodes::of(&thresholds, &features, root);
            let notes = exits.notes(tree, &treetop);
            let (notes, _) = notes.as_chunks();
            upper.push(nodes(1));
            lower.push(std::array::from_fn(|index| LowerBlock {
                nodes: nodes(PLACES + index),
                exits: notes[index],
            }));
        }
        Some(Self { kernel, upper, lower, exits })
    }

    /// Returns the path sum of one event.
    pub(super) fn path_sum(&self, trees: &[IsolationTree], x: &[f64]) -> PathSum {
        let mut sum = PathSum::ZERO;
        let chunks = self.upper.chunks(TREES).zip(self.lower.chunks(TREES));
        for ((upper, lower), trees) in chunks.zip(trees.chunks(TREES)) {
            let ways = ways_down(self.kernel, upper, lower, x);
            sum = sum.plus(self.add_up(lower, &ways, trees, x));
        }
        sum
    }

    /// Adds the lengths at the ends of the ways.
    ///
    /// Not in AVX-512: compilers make gathers of these lookups there, which are slow.
    fn add_up(
        &self,
        lower: &[[LowerBlock; PLACES]],
        ways: &Ways,
        trees: &[IsolationTree],
        x: &[f64],
    ) -> PathSum {
        const LANES: usize = 8;
        let exit = |tree: usize| {
            let block = &lower[tree][ways.blocks[tree] as usize % PLACES];
            block.exits[ways.exits[tree] as usize % PLACES]
        };
        let mut sum = PathSum::ZERO;
        let (eights, rest) = trees.as_chunks::<LANES>();
        for (index, trees) in eights.iter().enumerate() {
            let exits = std::array::from_fn(|lane| exit(index * LANES + lane));
            sum = sum.plus(self.exits.sum(trees, x, exits));
        }
        for (index, tree) in rest.iter().enumerate() {
            let exit = exit(eights.len() * LANES + index);
            sum = sum.plus(self.exits.sum(std::array::from_ref(tree), x, [exit]));
        }
        sum
    }
}

impl Nodes {
    /// Returns the nodes of four levels from a position of a treetop on.
    fn of(thresholds: &[f32; EXITS], features: &[u8; EXITS], root: usize) -> Self {
        let mut nodes = Self { thresholds: [f32::INFINITY; PLACES], features: [0; PLACES] };
        for level in 0..4 {
            let (len, first) = (1 << level, root << level);
            nodes.thresholds[len..2 * len].copy_from_slice(&thresholds[first..first + len]);
            nodes.features[len..2 * len].copy_from_slice(&features[first..first + len]);
        }
        nodes
    }
}

/// For each of [`TREES`] trees, which lower block its walk comes to, and which exit of that.
struct Ways {
    blocks: [u32; TREES],
    exits: [u32; TREES],
}

/// Returns the ways of an event down up to [`TREES`] trees.
fn ways_down(_kernel: Avx512, upper: &[Nodes], lower: &[[LowerBlock; PLACES]], x: &[f64]) -> Ways {
    // SAFETY: the kernel exists only where the processor has these instructions.
    unsafe {
        match x.len() {
            0..=16 => ways::<1>(upper, lower, x),
            17..=32 => ways::<2>(upper, lower, x),
            33..=64 => ways::<4>(upper, lower, x),
            _ => ways::<8>(upper, lower, x),
        }
    }
}

/// `N` registers hold the values of the event.
#[target_feature(enable = "avx512f,avx512dq")]
fn ways<const N: usize>(upper: &[Nodes], lower: &[[LowerBlock; PLACES]], x: &[f64]) -> Ways {
    let mut registers = [_mm512_setzero_ps(); N];
    for (register, values) in registers.iter_mut().zip(x.chunks(PLACES)) {
        let (first, second) = values.split_at(values.len().min(PLACES / 2));
        let first = _mm512_castps256_ps512(load_rounded_up(first));
        *register = _mm512_insertf32x8::<1>(first, load_rounded_up(second));
    }
    let mut ways = Ways { blocks: [0; TREES], exits: [0; TREES] };
    let mut masks = [0; TREES];
    for (mask, nodes) in masks.iter_mut().zip(upper) {
        *mask = compare(nodes, &registers);
    }
    follow(&masks, &mut ways.blocks);
    for ((mask, blocks), &block) in masks.iter_mut().zip(lower).zip(&ways.blocks) {
        *mask = compare(&blocks[block as usize % PLACES].nodes, &registers);
    }
    follow(&masks, &mut ways.exits);
    ways
}

/// Returns a mask of the nodes that send the event right.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn compare<const N: usize>(nodes: &Nodes, x: &[__m512; N]) -> __mmask16 {
    // SAFETY: 16 bytes and 16 values of 32 bits may be read.
    let (features, thresholds) = unsafe {
        let features = _mm_loadu_si128(nodes.features.as_ptr().cast());
        (_mm512_cvtepu8_epi32(features), _mm512_loadu_ps(nodes.thresholds.as_ptr()))
    };
    let values = lookup(x, features);
    _mm512_cmp_ps_mask::<_CMP_GT_OQ>(values, thresholds)
}

/// Returns the values of features.
#[inline]
#[target_feature(enable = "avx512f,avx512dq")]
fn lookup(x: &[__m512], features: __m512i) -> __m512 {
    let among_32 = |x: &[__m512]| _mm512_permutex2var_ps(x[0], features, x[1]);
    let among_64 = |x: &[__m512]| {
        let is_upper = _mm512_movepi32_mask(_mm512_slli_epi32::<26>(features));
        _mm512_mask_blend_ps(is_upper, among_32(&x[..2]), among_32(&x[2..]))
    };
    match x.len() {
        1 => _mm512_permutexvar_ps(features, x[0]),
        2 => among_32(x),
        4 => among_64(x),
        _ => {
            let is_upper = _mm512_movepi32_mask(_mm512_slli_epi32::<25>(features));
            _mm512_mask_blend_ps(is_upper, among_64(&x[..4]), among_64(&x[4..]))
        }
    }
}

/// Follows the walks through the masks of their blocks, to the exits 0 to 15.
#[inline]
#[target_feature(enable = "avx512f")]
fn follow(masks: &[__mmask16; TREES], exits: &mut [u32; TREES]) {
    let one = _mm512_set1_epi32(1);
    let (masks, _) = masks.as_chunks::<16>();
    let (exits, _) = exits.as_chunks_mut::<16>();
    for (masks, exits) in masks.iter().zip(exits) {
        // SAFETY: 16 masks of 16 bits may be read.
        let masks = _mm512_cvtepu16_epi32(unsafe { _mm256_loadu_si256(masks.as_ptr().cast()) });
        let mut node = one;
        for _ in 0..4 {
            /// `a | (b & c)`
            const OR_AND: i32 = 0xf8;
            let goes_right = _mm512_srlv_epi32(masks, node);
            node =
                _mm512_ternarylogic_epi32::<OR_AND>(_mm512_add_epi32(node, node), goes_right, one);
        }
        let exit = _mm512_sub_epi32(node, _mm512_set1_epi32(16));
        // SAFETY: 16 numbers of 32 bits may be written.
        unsafe { _mm512_storeu_si512(exits.as_mut_ptr().cast(), exit) };
    }
}
