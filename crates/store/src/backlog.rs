//! How much waits for the writer, and the most that may.

use std::sync::atomic::{AtomicUsize, Ordering};

/// What all waiting predictions may take of memory.
const BYTES_MAX: usize = 32 << 20;

/// Counts what waits.
#[derive(Debug)]
pub(crate) struct Backlog {
    len: AtomicUsize,
    bytes: AtomicUsize,
    len_max: usize,
}

impl Backlog {
    pub(crate) fn new(len_max: usize) -> Self {
        Self { len: AtomicUsize::new(0), bytes: AtomicUsize::new(0), len_max }
    }

    /// How many predictions wait.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is no room for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.len_max
    }

    /// Makes room for predictions of so many bytes; says whether there was any. Where nothing waits,
    /// there is room for as many as there are.
    pub(crate) fn add(&self, len: usize, bytes: usize) -> bool {
        let len_before = self.len.fetch_add(len, Ordering::Relaxed);
        let bytes_before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let fits = len_before + len <= self.len_max && bytes_before + bytes <= BYTES_MAX;
        if !fits && len_before > 0 {
            self.remove(len, bytes);
        }
        fits || len_before == 0
    }

    /// What was added waits no more.
    pub(crate) fn remove(&self, len: usize, bytes: usize) {
        self.len.fetch_sub(len, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}
