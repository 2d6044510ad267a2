//! The base of all AVX-512 code: the proof that it may run, and the loading of values.

#![expect(unsafe_code, reason = "instructions are unsafe to run where a processor may lack them")]

use std::arch::x86_64::{
    __m256, __mmask8, _MM_FROUND_NO_EXC, _MM_FROUND_TO_POS_INF, _mm512_cvt_roundpd_ps,
    _mm512_maskz_loadu_pd,
};

use super::Engine;

/// The right to run AVX-512: it exists where the processor has the instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Avx512(());

impl Avx512 {
    pub(super) fn new() -> Option<Self> {
        Engine::Avx512.is_available().then_some(Self(()))
    }
}

/// Returns the first of up to eight values, rounded up to `f32`; zeros follow.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load_rounded_up(values: &[f64]) -> __m256 {
    const UP: i32 = _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC;
    let n_values = values.len().min(8);
    let is_there = ((1_u32 << n_values) - 1) as __mmask8;
    // SAFETY: only the values that the mask takes are read.
    let values = unsafe { _mm512_maskz_loadu_pd(is_there, values.as_ptr()) };
    _mm512_cvt_roundpd_ps::<UP>(values)
}
