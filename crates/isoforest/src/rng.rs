//! The generator of a fit, and every draw made from it.
//!
//! A model is promised to be the same for ever, and library samplers may change between versions,
//! so these few lines are ours and golden vectors hold them.

/// One stream of random numbers: xoshiro256++ 1.0 (Blackman and Vigna, 2019).
#[derive(Debug)]
pub(crate) struct TreeRng {
    state: [u64; 4],
}

impl TreeRng {
    /// Returns the stream of one tree.
    ///
    /// Streams of neighbouring seeds and trees are unrelated: the seed is mixed before the tree is
    /// added, and their sum again.
    pub(crate) fn new(seed: u64, tree_index: usize) -> Self {
        let mixed_seed = SplitMix64(seed).next();
        let mut seeder = SplitMix64(mixed_seed.wrapping_add(tree_index as u64));
        Self { state: std::array::from_fn(|_| seeder.next()) }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s0.wrapping_add(*s3).rotate_left(23).wrapping_add(*s0);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// Returns a uniform draw from [0, 1), a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// Returns a uniform draw from `0..bound`, without bias (Lemire, 2019).
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            // The remainder is below the bound, and a division is slow.
            if product as u64 >= bound || product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// Draws `count` distinct numbers of `0..n`, every subset as likely as any other.
    ///
    /// Floyd's algorithm (Bentley and Floyd, "A Sample of Brilliance", 1987): `count` draws,
    /// however large `n` is.
    pub(crate) fn distinct(&mut self, count: usize, n: usize) -> Vec<u32> {
        debug_assert!(count <= n && u32::try_from(n).is_ok());
        let mut drawn = NumberSet::with_capacity(count);
        (n - count..n)
            .map(|last| {
                let candidate = self.below(last + 1) as u32;
                if drawn.insert(candidate) {
                    return candidate;
                }
                // `last` has not been in reach of any draw before.
                drawn.insert(last as u32);
                last as u32
            })
            .collect()
    }
}

/// A set of numbers below 2^32 - 1: a table with open addressing, at most a quarter full.
struct NumberSet {
    places: Vec<u32>,
    /// Leaves as many bits of a 32-bit hash as a place has.
    shift: u32,
}

impl NumberSet {
    const EMPTY: u32 = u32::MAX;

    fn with_capacity(capacity: usize) -> Self {
        let len = (4 * capacity).next_power_of_two().max(2);
        Self { places: vec![Self::EMPTY; len], shift: u32::BITS - len.trailing_zeros() }
    }

    /// Adds a number; false if it was there.
    fn insert(&mut self, number: u32) -> bool {
        // 2^32 divided by the golden ratio: neighbours land far apart (Knuth, vol. 3, 6.4).
        let mut place = (number.wrapping_mul(0x9E37_79B9) >> self.shift) as usize;
        loop {
            match self.places[place] {
                Self::EMPTY => {
                    self.places[place] = number;
                    return true;
                }
                known if known == number => return false,
                _ => place = (place + 1) % self.places.len(),
            }
        }
    }
}

/// Returns a number of [0, 1), a multiple of 2^-53.
fn unit(drawn: u64) -> f64 {
    const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
    (drawn >> 11) as f64 * STEP
}

/// `SplitMix64` (Steele, Lea and Flood, 2014): turns any seed into a well mixed state.
#[derive(Debug)]
pub(crate) struct SplitMix64(pub(crate) u64);

impl SplitMix64 {
    /// Returns a uniform draw from [0, 1), a multiple of 2^-53.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// Draws `count` distinct numbers of `0..n`, in the order drawn.
    pub(crate) fn distinct(&mut self, count: usize, n: usize) -> Vec<u32> {
        let mut all: Vec<u32> = (0..n as u32).collect();
        for index in 0..count {
            #[expect(clippy::cast_sign_loss, reason = "a draw is not negative")]
            let other = index + (self.unit() * (n - index) as f64) as usize;
            all.swap(index, other);
        }
        all.truncate(count);
        all
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        let mut rng = TreeRng { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..5).map(|_| rng.next_u64()).collect();
        assert_eq!(
            drawn,
            [
                41_943_041,
                58_720_359,
                3_588_806_011_781_223,
                3_591_011_842_654_386,
                9_228_616_714_210_784_205
            ]
        );

        let mut seeder = SplitMix64(1_234_567);
        let seeded: Vec<u64> = (0..3).map(|_| seeder.next()).collect();
        assert_eq!(
            seeded,
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn streams_of_neighbouring_trees_and_seeds_differ() {
        let first = |seed, tree_index| TreeRng::new(seed, tree_index).next_u64();
        let drawn = [first(0, 0), first(0, 1), first(1, 0), first(1, 1)];
        for (i, a) in drawn.iter().enumerate() {
            assert!(!drawn[..i].contains(a));
        }
    }

    #[test]
    fn draws_below_a_bound_are_uniform() {
        let mut rng = TreeRng::new(1, 0);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[rng.below(6)] += 1;
        }
        // Five standard deviations of a binomial count.
        assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 457), "{counts:?}");
    }

    #[test]
    fn a_sample_is_distinct_and_every_row_is_as_likely() {
        let mut counts = [0_u32; 10];
        for tree_index in 0..10_000 {
            let mut sample = TreeRng::new(3, tree_index).distinct(4, 10);
            for &row in &sample {
                counts[row as usize] += 1;
            }
            sample.sort_unstable();
            sample.dedup();
            assert_eq!(sample.len(), 4);
        }
        assert!(counts.iter().all(|&count| count.abs_diff(4_000) < 245), "{counts:?}");

        let mut all = TreeRng::new(3, 0).distinct(10, 10);
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<u32>>());
    }

    #[test]
    fn draws_keep_their_golden_values() {
        let mut rng = TreeRng::new(42, 7);
        let below: Vec<usize> = (0..6).map(|_| rng.below(1_000)).collect();
        let unit = rng.unit();
        let distinct = rng.distinct(5, 100);
        assert_eq!(below, [324, 20, 940, 798, 491, 723]);
        assert_eq!(unit, 0.563_353_604_910_114_8);
        assert_eq!(distinct, [79, 39, 87, 40, 91]);
    }
}
