//! Tests of the crate through its public face.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod explaining;
mod files;
mod format;
mod judging;
mod learning;
mod lessons;
mod machine;
mod stations;

use detector::{Detector, Params};
use sensor::{FeatureSchema, SensorEvent, StationId};

/// 2026-11-22T12:00:00Z.
const NOW_US: i64 = 1_795_348_800_000_000;

/// `count` events of three sensors that hang together, from a generator too simple to change.
fn events(count: u64, seed: u64) -> Vec<SensorEvent> {
    let schema = FeatureSchema::default();
    let station = StationId::parse("station_001").unwrap();
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut noise = || -> f64 {
        let mut sum = 0.0;
        for _ in 0..12 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            sum += (state >> 40) as f64 / (1_u64 << 24) as f64;
        }
        sum - 6.0
    };
    (0..count)
        .map(|sequence| {
            let load = noise();
            let values = [70.0 + load + noise(), 45.0 - load + noise(), 66.0 + load + noise()];
            schema.event(station.clone(), sequence, NOW_US, &values).unwrap()
        })
        .collect()
}

fn fit(events: &[SensorEvent], params: &Params) -> Detector {
    Detector::fit(&FeatureSchema::default(), events, params, NOW_US).unwrap()
}
