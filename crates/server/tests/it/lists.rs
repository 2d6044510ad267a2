//! `GET /events`, `/stations`, `/model` and `/metrics`, and the replacement of a model.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::{Answer, GOOD, HOT, TestApp, model};

fn event(station: &str, sequence: u64) -> String {
    GOOD.replace("station_001", station)
        .replace(r#""sequence":1"#, &format!(r#""sequence":{sequence}"#))
        .replace("05Z", &format!("{sequence:02}Z"))
}

fn sequences(answer: &Answer) -> Vec<u64> {
    let events = answer.body["events"].as_array().unwrap();
    events.iter().map(|event| event["sequence"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn events_are_listed_page_by_page() {
    let app = TestApp::new();
    for sequence in 1..=5 {
        app.predict(&event("b:1.x", sequence)).await;
    }
    app.predict(&event("a", 7)).await;

    let first = app.get("/events?limit=4").await;
    assert_eq!(sequences(&first), [7, 5, 4, 3]);
    assert_eq!(first.body["events"][0]["features"]["sound_db"], 66.1);
    let next = first.body["next"].as_str().unwrap();
    let rest = app.get(&format!("/events?limit=4&cursor={next}")).await;
    assert_eq!((sequences(&rest), &rest.body["next"]), (vec![2, 1], &Value::Null));

    let between = "/events?station_id=b:1.x&since=2026-01-02T03:04:02Z&until=2026-01-02T03:04:04Z";
    assert_eq!(sequences(&app.get(between).await), [3, 2]);
    assert_eq!(sequences(&app.get("/events?is_anomaly=true").await), [0; 0]);
    for hostile in ["cursor=1.2", "cursor=x", "limit=0", "is_anomaly=1", "page=2", "since=now"] {
        assert_eq!(app.get(&format!("/events?{hostile}")).await.status, 422, "{hostile}");
    }
}

#[tokio::test]
async fn stations_are_listed_with_what_they_sent_last() {
    let app = TestApp::new();
    app.predict(HOT).await;
    app.predict(&event("station_001", 7)).await;
    app.predict(&event("station_002", 1)).await;
    let first = app.get("/stations?limit=1").await;
    let station = &first.body["stations"][0];
    assert_eq!(station["station_id"], "station_001");
    assert_eq!(station["latest"]["sequence"], 7);
    assert_eq!(station["latest_anomaly"]["sequence"], 2);
    assert_eq!(first.body["next"], "station_001");
    let rest = app.get("/stations?after=station_001").await;
    assert_eq!(rest.body["stations"][0]["latest_anomaly"], Value::Null);
    assert_eq!(rest.body["next"], Value::Null);
}

async fn reload(app: &TestApp) -> Answer {
    let request = Request::post("/model/reload").header("host", "test");
    app.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_sound_model_takes_over_and_a_damaged_one_does_not() {
    let app = TestApp::new();
    let before = app.predict(GOOD).await.body["model_version"].clone();
    assert_eq!(app.get("/model").await.body["version"], before);
    let missing = reload(&app).await;
    assert_eq!((missing.status.as_u16(), &missing.body["code"]), (409, &json!("model_unusable")));

    let other = model(43).detector;
    other.save(app.dir.path()).unwrap();
    let artefact = app.dir.path().join("isoforest.bin");
    let sound = std::fs::read(&artefact).unwrap();
    let mut damaged = sound.clone();
    damaged[500] ^= 1;
    std::fs::write(&artefact, damaged).unwrap();
    let refused = reload(&app).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(app.get("/model").await.body["version"], before);

    std::fs::write(&artefact, sound).unwrap();
    let taken = reload(&app).await;
    assert_eq!(taken.status, 200);
    let version = other.meta().model_version.as_str();
    assert_eq!(taken.body["version"], version);
    assert_eq!(taken.body["metadata"]["features"][0]["name"], "temperature_c");
    assert_eq!(app.predict(HOT).await.body["model_version"], version);
    // What was answered before stays as it was.
    assert_eq!(app.predict(GOOD).await.body["model_version"], before);
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("iot_model_reloads_total{outcome=\"refused\"} 2\n"), "{metrics}");
    assert!(metrics.contains("iot_model_reloads_total{outcome=\"replaced\"} 1\n"), "{metrics}");
    assert!(metrics.contains(&format!("iot_model_info{{version=\"{version}\"")), "{metrics}");
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let app = TestApp::new();
    app.predict(GOOD).await;
    app.predict(GOOD).await;
    app.predict(&HOT.replace("sequence\":2", "sequence\":2,\"colour\":3")).await;
    app.predict(&HOT.replace("90.5", "-500")).await;
    app.get("/nothing/of/the/kind").await;
    let answer = app.get("/metrics").await;
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    for line in [
        "iot_predictions_total{outcome=\"stored\"} 2",
        "iot_predictions_total{outcome=\"duplicate\"} 1",
        "iot_events_refused_total{code=\"out_of_range\"} 1",
        "iot_ignored_keys_total 1",
        "iot_anomalies_total{station_id=\"station_001\"} 1",
        "iot_anomaly_score_count 2",
        "iot_stored_predictions 2",
        "iot_stored_anomalies 1",
        "iot_store_queue_predictions 0",
        "iot_http_requests_total{route=\"/predict\",method=\"POST\",code=\"200\"} 3",
        "iot_http_requests_total{route=\"none\",method=\"GET\",code=\"404\"} 1",
        "iot_http_request_seconds_count{route=\"/predict\"} 4",
    ] {
        assert!(answer.text.lines().any(|found| found == line), "{line}\n{}", answer.text);
    }
}

#[tokio::test]
async fn stations_with_a_series_of_their_own_are_bounded() {
    let app = TestApp::new();
    let lines: Vec<String> =
        (0..1_100).map(|number| HOT.replace("station_001", &format!("station_{number}"))).collect();
    let request = Request::post("/predict/batch")
        .header("host", "test")
        .header("content-type", "application/x-ndjson");
    let answer = app.send(request.body(Body::from(lines.join("\n"))).unwrap()).await;
    assert_eq!(answer.status, 200);
    let metrics = app.get("/metrics").await.text;
    let series = metrics.lines().filter(|line| line.starts_with("iot_anomalies_total{"));
    // The other half is for stations that have sent more.
    assert_eq!(series.count(), 501);
    assert!(metrics.contains("iot_anomalies_total{station_id=\"(other)\"} 600\n"), "{metrics}");
    let press = HOT.replace("station_001", "press");
    for sequence in 100..121 {
        let event = press.replace(r#""sequence":2"#, &format!(r#""sequence":{sequence}"#));
        app.predict(&event).await;
    }
    app.get("/metrics").await;
    app.predict(&press).await;
    let metrics = app.get("/metrics").await.text;
    assert!(metrics.contains("iot_anomalies_total{station_id=\"press\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn health_routes_give_short_answers() {
    let app = TestApp::new();
    assert_eq!(app.get("/livez").await.body, json!({"status": "ok"}));
    assert_eq!(app.get("/readyz").await.body, json!({"status": "ok"}));
    let database = rusqlite::Connection::open(app.dir.path().join("events.db")).unwrap();
    database.execute_batch("ALTER TABLE predictions RENAME TO hidden").unwrap();
    app.predict(GOOD).await;
    database.execute_batch("ALTER TABLE totals RENAME TO hidden_totals").unwrap();
    assert_eq!(app.get("/livez").await.status, 200);
    let answer = app.get("/readyz").await;
    assert_eq!((answer.status.as_u16(), &answer.body["status"]), (503, &json!("unavailable")));
}
