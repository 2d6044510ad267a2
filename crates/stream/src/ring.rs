//! The last rows of a stream.

use serde::{Deserialize, Serialize};

use crate::statistics;

/// The last rows, of which each new one takes the place of the oldest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ring<T> {
    width: usize,
    /// Rows in order from the oldest, which is at `oldest`, and around the end.
    values: Vec<T>,
    oldest: usize,
}

impl<T: Copy + Default> Ring<T> {
    /// Makes a ring of `n_rows` rows of zeros.
    pub(crate) fn zeros(n_rows: usize, width: usize) -> Self {
        Self { width, values: vec![T::default(); n_rows * width], oldest: 0 }
    }

    /// Returns `true` if it holds so many rows of this width, as one that was read must.
    pub(crate) fn is_of(&self, n_rows: usize, width: usize) -> bool {
        self.width == width && self.values.len() == n_rows * width && self.oldest < n_rows
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Replaces the oldest row.
    pub(crate) fn push(&mut self, row: &[T]) {
        self.values[self.oldest * self.width..][..self.width].copy_from_slice(row);
        self.oldest = (self.oldest + 1) % self.len();
    }

    /// Returns a row by its age, 0 for the newest.
    pub(crate) fn row(&self, age: usize) -> &[T] {
        &self.values[self.begin(age)..][..self.width]
    }

    /// Returns a row by its age, to be changed.
    pub(crate) fn row_mut(&mut self, age: usize) -> &mut [T] {
        let begin = self.begin(age);
        &mut self.values[begin..][..self.width]
    }

    /// Returns where a row begins.
    fn begin(&self, age: usize) -> usize {
        (self.oldest + self.len() - 1 - age) % self.len() * self.width
    }

    /// Returns a column, the oldest value first.
    pub(crate) fn column(&self, column: usize) -> impl Iterator<Item = T> + Clone {
        let (after, before) = self.values.split_at(self.oldest * self.width);
        let [before, after] =
            [before, after].map(|rows| statistics::column(rows, self.width, column));
        before.chain(after)
    }

    /// Returns the rows, the oldest first.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[T]> {
        let (after, before) = self.values.split_at(self.oldest * self.width);
        before.chunks_exact(self.width).chain(after.chunks_exact(self.width))
    }
}
