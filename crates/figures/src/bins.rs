//! Numbers in bins.

/// Bins of one width, side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Bins {
    // Invariant: two at least, ascending.
    edges: Vec<f64>,
}

impl Bins {
    /// Makes `n` bins from one number to another; around a single number they get some room.
    ///
    /// # Panics
    ///
    /// Panics when there is no bin.
    pub fn new(low: f64, high: f64, n: u32) -> Self {
        assert!(n > 0, "there is a bin");
        let (low, high) = if high > low {
            (low, high)
        } else {
            let room = f64::max(low.abs() * 1e-3, 1.0);
            let high = (low + room).min(f64::MAX);
            (low.min(high - room), high)
        };
        let edge = |index: u32| {
            let share = f64::from(index) / f64::from(n);
            // Not by the difference of the ends, which may be too large to be a number.
            low * (1.0 - share) + high * share
        };
        Self { edges: (0..=n).map(edge).collect() }
    }

    /// Returns the beginnings of the bins, and the end of the last one.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Returns the share of each bin; what lies outside counts for the outermost. All 0 when there is no number.
    pub fn shares(&self, numbers: impl Iterator<Item = f64>) -> Vec<f64> {
        let last = self.edges.len() - 2;
        let mut counts = vec![0_u32; last + 1];
        for number in numbers {
            let n_begun = self.edges.partition_point(|edge| *edge <= number);
            counts[n_begun.saturating_sub(1).min(last)] += 1;
        }
        let n: u32 = counts.iter().sum();
        counts.into_iter().map(|count| f64::from(count) / f64::from(n.max(1))).collect()
    }

    /// Returns the share of each bin, of numbers of which it is known what share is below any.
    pub fn shares_of(&self, share_below: impl Fn(f64) -> f64) -> Vec<f64> {
        self.edges.windows(2).map(|bin| share_below(bin[1]) - share_below(bin[0])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_one_bin() {
        let bins = Bins::new(0.0, 4.0, 4);
        assert_eq!(bins.edges(), [0.0, 1.0, 2.0, 3.0, 4.0]);
        let shares = bins.shares([-1.0, 0.5, 1.0, 3.9, 4.0, 9.0, 3.0, 3.0].into_iter());
        assert_eq!(shares, [0.25, 0.125, 0.0, 0.625]);
        assert_eq!(bins.shares([].into_iter()), [0.0; 4]);
        assert_eq!(bins.shares_of(|number| number / 4.0), [0.25; 4]);
    }

    #[test]
    fn bins_have_room_and_ends_whatever_the_numbers() {
        for (low, high) in
            [(5.0, 5.0), (-1e300, -1e300), (f64::MAX, f64::MAX), (f64::MIN, f64::MAX), (0.0, 0.0)]
        {
            let bins = Bins::new(low, high, 3);
            assert!(bins.edges().is_sorted_by(|a, b| a < b), "{bins:?}");
            assert!(bins.edges().iter().all(|edge| edge.is_finite()), "{bins:?}");
        }
    }
}
