//! Bringing memory into the cache of the processor before it is read.

/// Bytes that come at once.
#[cfg(target_arch = "x86_64")]
const LINE_LEN: usize = 64;

/// Asks for values to be brought into the cache, which changes nothing else. On processors other than x86, it does nothing.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the instruction takes an address")]
#[inline]
pub(crate) fn prefetch<T>(values: &[T]) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};

    let bytes = values.as_ptr_range();
    let start = bytes.start.cast::<i8>();
    let mut line = start.wrapping_sub(start.addr() % LINE_LEN);
    while line < bytes.end.cast() {
        // SAFETY: the instruction reads nothing that a program could see, and no address makes it fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
        line = line.wrapping_add(LINE_LEN);
    }
}

/// Does nothing.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn prefetch<T>(_values: &[T]) {}
