//! Any query is answered with a list, or with a refusal that says why.

#![no_main]

use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Uri};
use detector::{Detector, Params};
use libfuzzer_sys::fuzz_target;
use pipeline::{Model, ModelFiles, Origin, Parts};
use sensor::FeatureSchema;
use server::DATABASE_FILE;
use store_sqlite::SqliteParams;
use tower::ServiceExt as _;

/// 2026-11-22T12:00:00Z.
const NOW_US: i64 = 1_795_348_800_000_000;

static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let dir = tempfile::tempdir().unwrap().keep();
    let events = plant::normal_events(4_000, 1);
    let detector =
        Detector::fit(&FeatureSchema::default(), &events, &Params::default(), NOW_US).unwrap();
    let model = Model { detector, origin: Origin::File, loaded_us: NOW_US };
    let database = dir.join(DATABASE_FILE);
    let parts = Parts {
        model,
        model_files: ModelFiles::of(dir),
        clock: || NOW_US,
        earliest_us: 0,
        alarms: None,
        alarm_budgets: Vec::new(),
        alarm_memory_kib: 0,
    };
    let (router, _writer) = server::open_app(parts, &database, &SqliteParams::default()).unwrap();
    router
});

fuzz_target!(|query: &str| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for path in ["/events", "/latest_anomalies", "/stations", "/stations/fuzz/series"] {
        let Ok(uri) = format!("{path}?{query}").parse::<Uri>() else { return };
        let request = Request::get(uri).header("host", "fuzz").body(Body::empty()).unwrap();
        let response = runtime.block_on(ROUTER.clone().oneshot(request)).unwrap();
        assert!([200, 414, 422].contains(&response.status().as_u16()), "{}", response.status());
    }
});
