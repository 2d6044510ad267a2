//! The server as its clients meet it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod alarms;
#[cfg(target_os = "linux")]
mod alerts;
mod api;
mod batches;
mod documents;
mod inference;
mod lists;
mod live;
mod openapi;
mod operations;
mod pages;
#[cfg(unix)]
mod process;
#[cfg(unix)]
mod proxy;
mod socket;

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use detector::{Detector, ForestParams, GroupPattern, Params};
use pipeline::{Model, ModelFiles, Origin, Parts};
use sensor::{FeatureSchema, SensorEvent};
use serde_json::Value;
use store::Writer;
use store_sqlite::SqliteParams;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// 2026-11-22T12:00:00Z.
const NOW_US: i64 = 1_795_348_800_000_000;

const GOOD: &str = r#"{"station_id":"station_001","sequence":1,"timestamp":"2026-01-02T03:04:05Z","temperature_c":70.2,"humidity_pct":44.7,"sound_db":66.1}"#;
/// A temperature that no normal event has.
const HOT: &str = r#"{"station_id":"station_001","sequence":2,"timestamp":"2026-01-02T03:04:05Z","temperature_c":90.5,"humidity_pct":44.7,"sound_db":66.1}"#;

/// The routes over a store in a folder of their own.
struct TestApp {
    router: Router,
    dir: TempDir,
    writer: Writer,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    /// Null when it is not JSON.
    body: Value,
    text: String,
}

impl TestApp {
    fn new() -> Self {
        Self::with_model(&model(42))
    }

    fn with_model(model: &Model) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (router, writer) = router(dir.path(), model);
        Self { router, dir, writer }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer { status: parts.status, headers: parts.headers, body, text }
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).header("host", "test").body(Body::empty()).unwrap()).await
    }

    async fn predict(&self, json: &str) -> Answer {
        self.predict_at("/predict", json).await
    }

    async fn predict_at(&self, path: &str, json: &str) -> Answer {
        let request =
            Request::post(path).header("host", "test").header("content-type", "application/json");
        self.send(request.body(Body::from(String::from(json))).unwrap()).await
    }
}

fn router(dir: &Path, model: &Model) -> (Router, Writer) {
    let parts = Parts {
        model: model.clone(),
        model_files: ModelFiles::of(dir.to_owned()),
        clock: || NOW_US,
        earliest_us: server::BUILT_US,
        alarms: None,
        alarm_budgets: Vec::new(),
        alarm_memory_kib: 0,
    };
    server::open_app(parts, &dir.join("events.db"), &SqliteParams::default()).unwrap()
}

/// Says that a test is skipped for want of a program, or fails where `variable` demands the program.
#[expect(clippy::print_stdout, reason = "who reads the output of the tests must know")]
#[expect(clippy::disallowed_methods, reason = "how CI asks for the program")]
fn skip_without(program: &str, variable: &str, error: &std::io::Error) {
    assert!(std::env::var_os(variable).is_none(), "cannot run `{program}`: {error}");
    println!("skipped: `{program}` is not installed");
}

/// A model that is trained in a moment.
fn model(seed: u64) -> Model {
    let forest = ForestParams { n_trees: 50, sample_size: 1_024, seed, ..ForestParams::default() };
    let params = Params { forest, ..Params::default() };
    let events = plant::normal_events(4_000, 1);
    let detector = Detector::fit(&FeatureSchema::default(), &events, &params, NOW_US).unwrap();
    Model { detector, origin: Origin::File, loaded_us: NOW_US }
}

/// The plant's stations, `station_002` 20 degrees hotter than the others.
fn model_per_station() -> Model {
    let schema = FeatureSchema::default();
    let events = plant::normal_events(4_000, 1);
    let events = events.iter().map(|event| {
        let mut values = event.values().to_vec();
        if event.station_id().as_str() == "station_002" {
            values[0] += 20.0;
        }
        let station = event.station_id().clone();
        schema.event(station, event.sequence(), event.timestamp_us(), &values).unwrap()
    });
    let events: Vec<SensorEvent> = events.collect();
    let params = Params { group_by: Some(GroupPattern::per_station()), ..Params::default() };
    let detector = Detector::fit(&schema, &events, &params, NOW_US).unwrap();
    Model { detector, origin: Origin::File, loaded_us: NOW_US }
}
