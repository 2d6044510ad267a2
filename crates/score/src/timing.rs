//! The timing of the scoring alone.

use std::hint::black_box;
use std::time::Instant;

use anyhow::bail;
use detector::{Detector, Samples};

use crate::input::Input;

/// Nanoseconds a row, of several runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timing {
    /// The run in the middle.
    pub(crate) median_ns: f64,
    /// The fastest run.
    pub(crate) min_ns: f64,
}

impl Timing {
    /// Scores all rows as often as asked, in memory, after once to warm up: all at once on the
    /// current rayon pool, or one by one on this thread.
    pub(crate) fn measure(
        detector: &Detector,
        input: &mut Input<'_>,
        n_times: u32,
        one_by_one: bool,
    ) -> anyhow::Result<Self> {
        let mut values = Vec::new();
        while let Some(block) = input.read()? {
            values.extend(block.values);
        }
        let n_features = detector.schema().len();
        let n_rows = values.len() / n_features;
        if n_rows == 0 {
            bail!("there are no rows to score");
        }
        let forest = detector.forest();
        let samples = Samples::new(&values, n_features)?;
        let score = || {
            if one_by_one {
                for row in values.chunks_exact(n_features) {
                    black_box(forest.score_one(black_box(row)));
                }
            } else {
                black_box(forest.score_samples(black_box(&samples)));
            }
        };
        score();
        let mut times: Vec<f64> = (0..n_times)
            .map(|_| {
                let started = Instant::now();
                score();
                started.elapsed().as_secs_f64() * 1e9 / n_rows as f64
            })
            .collect();
        times.sort_by(f64::total_cmp);
        Ok(Self { median_ns: times[times.len() / 2], min_ns: times[0] })
    }
}
