//! Benchmarks of growing and scoring: `cargo bench -p isoforest`.
//!
//! Rows are Gaussian, drawn outside of the timed loops. Scoring is timed on one thread, and for
//! every engine that this machine has.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use isoforest::{Engine, IsolationForest, Params, Samples};

const N_ROWS: usize = 20_000;

/// Gaussian values: sums of twelve uniform ones, from a multiplicative generator.
fn gaussian(n_values: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        f64::from((state >> 32) as u32) / f64::from(u32::MAX)
    };
    (0..n_values).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
}

fn fit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fit 100 trees of 256 samples");
    for n_features in [3, 32] {
        let values = gaussian(N_ROWS * n_features);
        let samples = Samples::new(&values, n_features).expect("rows are whole");
        group.bench_function(BenchmarkId::from_parameter(format!("{n_features} features")), |b| {
            on_one_thread(|| {
                b.iter(|| IsolationForest::fit(black_box(&samples), &Params::default()));
            });
        });
    }
    group.finish();
}

fn score(criterion: &mut Criterion) {
    for (n_features, sample_size) in [(3, 256), (32, 256), (100, 256), (3, 4_096)] {
        let values = gaussian(N_ROWS * n_features);
        let samples = Samples::new(&values, n_features).expect("rows are whole");
        let params = Params { sample_size, ..Params::default() };
        let forest = IsolationForest::fit(&samples, &params).expect("there are rows").forest;
        let name = format!("{n_features} features, {sample_size} samples a tree");

        let mut group = criterion.benchmark_group(format!("batch, {name}"));
        group.throughput(Throughput::Elements(N_ROWS as u64));
        for engine in Engine::available() {
            let forest = forest.clone().with_engine(engine).expect("the engine is available");
            group.bench_function(BenchmarkId::from_parameter(engine), |b| {
                on_one_thread(|| b.iter(|| forest.score_samples(black_box(&samples))));
            });
        }
        group.finish();

        let mut group = criterion.benchmark_group(format!("one event, {name}"));
        for engine in Engine::available() {
            let forest = forest.clone().with_engine(engine).expect("the engine is available");
            let mut rows = (0..samples.len()).cycle().map(|index| samples.row(index));
            group.bench_function(BenchmarkId::from_parameter(engine), |b| {
                b.iter(|| rows.next().map(|row| forest.score_one(black_box(row))));
            });
        }
        group.finish();
    }
}

fn on_one_thread(f: impl FnOnce() + Send) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    pool.expect("a thread can be started").install(f);
}

criterion_group!(benches, fit, score);
criterion_main!(benches);
