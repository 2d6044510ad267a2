//! Benchmarks of time order: `cargo bench -p stream`.
//!
//! A row of stations in turn, each with a model of its own, on one thread; with many, no model is in the cache when its row comes.
//! Rows wander, and are drawn outside of the timed loops.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use stream::{Model, Params, WarmedUp};

const N_WARM_UP: usize = 400;
/// Rows of each station that are taken again and again.
const N_ROWS: usize = 100;

/// Draws rows of sensors that wander.
fn rows(n_rows: usize, n_sensors: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let mut gaussian = || -> f64 {
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            f64::from((state >> 32) as u32) / f64::from(u32::MAX)
        };
        (0..12).map(|_| uniform()).sum::<f64>() - 6.0
    };
    let mut values = vec![0.0; n_sensors];
    let mut row = || {
        for value in &mut values {
            *value = 0.9 * *value + 0.4 * gaussian();
        }
        values.clone()
    };
    (0..n_rows).flat_map(|_| row()).collect()
}

fn advance(criterion: &mut Criterion) {
    for n_sensors in [3, 8, 32] {
        let mut group = criterion.benchmark_group(format!("one row, {n_sensors} sensors"));
        for n_stations in [1, 100, 1_000] {
            let mut stations: Vec<_> = (0..n_stations)
                .map(|station| {
                    let all = rows(N_WARM_UP + N_ROWS, n_sensors, station);
                    let (warm_up, rows) = all.split_at(N_WARM_UP * n_sensors);
                    let learnt = Model::learn(warm_up, n_sensors, &Params::default());
                    let WarmedUp { model, watch, .. } = learnt.expect("there are rows enough");
                    (model, watch, rows.to_vec())
                })
                .collect();
            let (mut station, mut row) = (0, 0);
            group.bench_function(BenchmarkId::new("stations", n_stations), |b| {
                b.iter(|| {
                    let (model, watch, rows) = &mut stations[station];
                    let values = &rows[row * n_sensors..][..n_sensors];
                    let step = watch.advance(model, black_box(values));
                    station = (station + 1) % stations.len();
                    row = if station == 0 { (row + 1) % N_ROWS } else { row };
                    step
                });
            });
        }
        group.finish();
    }
}

fn learn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("learn from 400 rows");
    group.sample_size(10);
    for n_sensors in [3, 8, 32, 200] {
        let rows = rows(N_WARM_UP, n_sensors, 0);
        group.bench_function(BenchmarkId::new("sensors", n_sensors), |b| {
            b.iter(|| Model::learn(black_box(&rows), n_sensors, &Params::default()));
        });
    }
    group.finish();
}

criterion_group!(benches, advance, learn);
criterion_main!(benches);
