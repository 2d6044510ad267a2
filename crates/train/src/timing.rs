//! The timing of the growing alone.

use std::hint::black_box;
use std::time::Instant;

use detector::{ForestParams, IsolationForest, Samples};
use sensor::SensorEvent;

use crate::data::TrainingData;

/// Often enough for a median.
const N_FITS: usize = 31;

/// Milliseconds, of several fits of the forest alone, without its calibration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Timing {
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
}

impl Timing {
    pub(crate) fn measure(data: &TrainingData, params: &ForestParams) -> anyhow::Result<Self> {
        let values: Vec<f64> = data.events.iter().flat_map(SensorEvent::values).copied().collect();
        let samples = Samples::new(&values, data.schema.len())?;
        let mut times = Vec::with_capacity(N_FITS);
        for _ in 0..N_FITS {
            let started = Instant::now();
            black_box(IsolationForest::fit(black_box(&samples), params)?);
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        Ok(Self { median_ms: times[N_FITS / 2], min_ms: times[0] })
    }
}
