//! Benchmarks of judging: `cargo bench -p detector`.
//!
//! The forest alone beside the whole judge, for events with and without a missing value, on one thread. Rows
//! have two causes and noise, and are drawn outside of the timed loops.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use detector::{Detector, Params};
use sensor::{Feature, FeatureSchema, SensorEvent, StationId};

const N_ROWS: usize = 5_000;

/// Rows of as many features, each the sum of two causes and noise.
fn rows(n_features: usize) -> Vec<Vec<f64>> {
    let mut state = 1_u64;
    let mut gaussian = || -> f64 {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from((state >> 32) as u32) / f64::from(u32::MAX)
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    };
    let weights: Vec<[f64; 2]> = (0..n_features).map(|_| [gaussian(), gaussian()]).collect();
    let mut row = || {
        let causes = [gaussian(), gaussian()];
        let value = |weights: &[f64; 2]| causes[0] * weights[0] + causes[1] * weights[1];
        weights.iter().map(|weights| value(weights) + gaussian() / 2.0).collect()
    };
    (0..N_ROWS).map(|_| row()).collect()
}

fn learn(n_features: usize, rows: &[Vec<f64>]) -> Detector {
    let features = (0..n_features).map(|index| Feature::named(&format!("x{index}")));
    let schema = FeatureSchema::new(features.collect()).expect("names differ");
    let station = StationId::parse("station").expect("a name");
    let event = |(sequence, row): (usize, &Vec<f64>)| {
        schema.event(station.clone(), sequence as u64, sensor::timestamp::EARLIEST_US, row)
    };
    let events: Result<Vec<SensorEvent>, _> = rows.iter().enumerate().map(event).collect();
    let events = events.expect("values are finite");
    Detector::fit(&schema, &events, &Params::default(), 0).expect("there are rows enough")
}

fn judge(criterion: &mut Criterion) {
    for n_features in [3, 8, 32, 200] {
        let rows = rows(n_features);
        let detector = learn(n_features, &rows);
        let with_hole = |row: &Vec<f64>| {
            let mut row = row.clone();
            row[1] = f64::NAN;
            row
        };
        let holes: Vec<Vec<f64>> = rows.iter().map(with_hole).collect();
        let mut group = criterion.benchmark_group(format!("one event, {n_features} features"));
        for (name, rows) in [("whole", &rows), ("one missing", &holes)] {
            let mut next = rows.iter().cycle();
            group.bench_function(BenchmarkId::new("forest", name), |b| {
                b.iter(|| next.next().map(|row| detector.forest().path_sum(black_box(row))));
            });
            group.bench_function(BenchmarkId::new("judge", name), |b| {
                b.iter(|| next.next().map(|row| detector.judge_row(black_box(row))));
            });
        }
        group.finish();
    }
}

fn fit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit, 5,000 rows");
    group.sample_size(10);
    for n_features in [3, 32, 200] {
        let rows = rows(n_features);
        group.bench_function(BenchmarkId::from_parameter(format!("{n_features} features")), |b| {
            b.iter(|| learn(n_features, black_box(&rows)));
        });
    }
    group.finish();
}

criterion_group!(benches, judge, fit);
criterion_main!(benches);
