//! Machines with sensors that hang together.

use sensor::{Feature, FeatureSchema};

/// Draws that depend on nothing but the seed.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn uniform(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f64 / (1_u64 << 24) as f64
    }

    pub(crate) fn gaussian(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }
}

/// A machine: each feature is a level, one or two causes that all share, and noise of half a deviation.
pub(crate) struct Machine {
    pub(crate) levels: Vec<f64>,
    weights: Vec<[f64; 2]>,
    draws: Draws,
}

impl Machine {
    pub(crate) fn new(n_features: usize, seed: u64) -> Self {
        let mut draws = Draws::new(seed);
        let levels = (0..n_features).map(|_| 100.0 * draws.gaussian()).collect();
        let weights = (0..n_features).map(|_| [draws.gaussian(), draws.gaussian()]).collect();
        Self { levels, weights, draws }
    }

    pub(crate) fn row(&mut self) -> Vec<f64> {
        let causes = [self.draws.gaussian(), self.draws.gaussian()];
        let mut value = |(level, weights): (&f64, &[f64; 2])| {
            let size = weights[0].hypot(weights[1]).max(0.1);
            level
                + (causes[0] * weights[0] + causes[1] * weights[1]) / size
                + self.draws.gaussian() / 2.0
        };
        self.levels.iter().zip(&self.weights).map(&mut value).collect()
    }

    pub(crate) fn rows(&mut self, n_rows: usize) -> Vec<Vec<f64>> {
        (0..n_rows).map(|_| self.row()).collect()
    }
}

pub(crate) fn schema(n_features: usize) -> FeatureSchema {
    let feature = |index| Feature { optional: true, ..Feature::named(&format!("x{index}")) };
    FeatureSchema::new((0..n_features).map(feature).collect()).unwrap()
}
