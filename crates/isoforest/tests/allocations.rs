//! The memory of a forest, and the absence of allocations for a single event.
//!
//! Alone in its program: it counts every allocation there is.

#![expect(unsafe_code, reason = "an allocator is unsafe by nature")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use isoforest::{Conventions, Engine, Harmonic, InputPrecision, IsolationForest, Params, Samples};

/// The system's allocator, with a count of what is asked for and of what is held.
struct Counting;

static N_ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        N_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as this was called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as this was called.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Sums of twelve uniform values, from a multiplicative generator.
fn gaussian(n_values: usize) -> Vec<f64> {
    let mut state = 1_u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    (0..n_values).map(|_| (0..12).map(|_| uniform()).sum::<f64>() - 6.0).collect()
}

/// One test, since the counts are those of the whole program.
#[test]
fn a_single_event_allocates_nothing_and_a_forest_is_small() {
    // What threads hold is not the forest's.
    rayon::broadcast(|_| ());
    for n_features in [3, 32, 128] {
        let values = gaussian(n_features * 5_000);
        let samples = Samples::new(&values, n_features).unwrap();
        let fitted = IsolationForest::fit(&samples, &Params::default()).unwrap().forest;
        let as_f32 = Conventions {
            harmonic: Harmonic::Logarithm,
            input_precision: InputPrecision::F32,
            ..*fitted.conventions()
        };
        let imported = IsolationForest::from_trees(&fitted.to_trees(), as_f32).unwrap();
        for engine in Engine::available() {
            for forest in [&fitted, &imported] {
                let forest = forest.clone().with_engine(engine).unwrap();
                let before = N_ALLOCATIONS.load(Ordering::Relaxed);
                for x in samples.rows().take(100) {
                    assert!(forest.score_one(x) > 0.0);
                }
                assert_eq!(N_ALLOCATIONS.load(Ordering::Relaxed), before, "{engine}");
            }

            let held_before = HELD.load(Ordering::Relaxed);
            let trees = fitted.to_trees();
            let held_by_nodes: usize = trees.iter().map(|nodes| nodes.len() * (16 + 4 + 8)).sum();
            drop(trees);
            let forest = fitted.clone().with_engine(engine).unwrap();
            drop(forest.path_sums(&samples));
            let held_by_layouts = HELD.load(Ordering::Relaxed) - held_before - held_by_nodes;
            println!(
                "{engine}, {n_features} features: {held_by_layouts} B beside {held_by_nodes} B of nodes"
            );
            if n_features <= 32 {
                assert!(held_by_layouts < 700_000, "{engine}, {n_features}: {held_by_layouts}");
            }
        }
    }
}
