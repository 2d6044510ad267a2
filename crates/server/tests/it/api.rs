//! Every route and every status, without a socket.

use axum::body::Body;
use axum::http::Request;
use pipeline::{Model, ModelFiles, Parts};
use serde_json::{Value, json};

use crate::{Answer, GOOD, HOT, NOW_US, TestApp, model, model_per_station, router};

#[track_caller]
fn check_problem(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    assert_eq!(answer.body["status"], status);
    assert_eq!(answer.body["code"], code, "{answer:?}");
    assert_eq!(answer.body["request_id"], answer.headers["x-request-id"].to_str().unwrap());
    for key in ["type", "title", "detail"] {
        assert!(
            answer.body[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_normal_event_is_answered_in_full() {
    let app = TestApp::new();
    let answer = app.predict(GOOD).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/json");
    let detector = model(42).detector;
    let event = detector.schema().parse(GOOD.as_bytes(), crate::NOW_US).unwrap();
    let expected = detector.assess(&event);
    assert_eq!(
        answer.body,
        json!({
            "station_id": "station_001",
            "sequence": 1,
            "timestamp": "2026-01-02T03:04:05Z",
            "anomaly_score": expected.anomaly_score,
            "threshold": detector.threshold(),
            "is_anomaly": false,
            "label": "normal",
            "p_value": expected.p_value,
            "evidence": "forest",
            "n_missing": 0,
            "model_version": detector.meta().model_version,
        })
    );
}

#[tokio::test]
async fn an_anomaly_comes_with_its_reasons_and_is_listed() {
    let app = TestApp::new();
    let answer = app.predict(HOT).await;
    assert_eq!(
        (&answer.body["is_anomaly"], &answer.body["label"]),
        (&json!(true), &json!("anomaly"))
    );
    let attributions = answer.body["attributions"].as_array().unwrap();
    assert_eq!(attributions.len(), 3);
    assert_eq!(attributions[0]["feature"], "temperature_c");
    assert_eq!(attributions[0]["value"], 90.5);

    app.predict(GOOD).await;
    let listed = app.get("/latest_anomalies").await;
    assert_eq!(listed.status, 200);
    let mut expected = answer.body;
    expected["features"] = json!({"temperature_c": 90.5, "humidity_pct": 44.7, "sound_db": 66.1});
    assert_eq!(listed.body, json!({"anomalies": [expected], "next": null}));
}

#[tokio::test]
async fn a_normal_event_is_explained_on_request() {
    let app = TestApp::new();
    let explained = app.predict_at("/predict?explain=true", GOOD).await;
    assert_eq!(explained.body["attributions"].as_array().unwrap().len(), 3);
    // Also when it comes again.
    let again = app.predict_at("/predict?explain=true", GOOD).await;
    assert_eq!(again.body["duplicate"], true);
    assert_eq!(again.body["attributions"], explained.body["attributions"]);
    assert_eq!(app.predict(GOOD).await.body.get("attributions"), None);
    check_problem(&app.predict_at("/predict?explain=perhaps", GOOD).await, 422, "invalid_query");
    check_problem(&app.predict_at("/predict?explian=true", GOOD).await, 422, "invalid_query");
}

#[tokio::test]
async fn an_event_sent_twice_is_stored_once() {
    let app = TestApp::new();
    let first = app.predict(GOOD).await;
    let spelled_otherwise = GOOD.replace("05Z", "05.0000009+00:00").replace("70.2", "7.02e1");
    let second = app.predict(&spelled_otherwise).await;
    assert_eq!(second.status, 200);
    let mut expected = first.body;
    expected["duplicate"] = json!(true);
    assert_eq!(second.body, expected);
    assert_eq!(app.get("/health").await.body["store"], json!({"events": 1, "anomalies": 0}));

    let conflict = app.predict(&GOOD.replace("70.2", "70.3")).await;
    check_problem(&conflict, 409, "sequence_conflict");
}

#[tokio::test]
async fn a_repetition_gets_its_first_answer_also_from_another_model() {
    let first_app = TestApp::new();
    let first = first_app.predict(GOOD).await;
    let TestApp { router: old, dir, writer } = first_app;
    drop(old);
    writer.join().unwrap();

    let (router, writer) = router(dir.path(), &model(43));
    let app = TestApp { router, dir, writer };
    let again = app.predict(GOOD).await;
    assert_eq!(again.body["model_version"], first.body["model_version"]);
    assert_eq!(again.body["duplicate"], true);
    assert_ne!(app.get("/health").await.body["model"]["version"], first.body["model_version"]);
}

#[tokio::test]
async fn every_fault_of_an_event_is_named_and_nothing_is_echoed() {
    let app = TestApp::new();
    let answer = app
        .predict(r#"{"station_id":"","sequence":-7766,"humidity_pct":101.5,"sound_db":66.1}"#)
        .await;
    check_problem(&answer, 422, "invalid_event");
    assert_eq!(
        answer.body["errors"],
        json!([
            {"pointer": "/station_id", "code": "station_id_empty", "detail": "must not be empty"},
            {"pointer": "/sequence", "code": "sequence_negative", "detail": "must not be negative"},
            {"pointer": "/timestamp", "code": "missing_field", "detail": "is missing"},
            {"pointer": "/temperature_c", "code": "missing_field", "detail": "is missing"},
            {"pointer": "/humidity_pct", "code": "out_of_range", "detail": "must be between 0 and 100"},
        ])
    );
    let text = answer.body.to_string();
    assert!(!text.contains("7766") && !text.contains("101.5"), "{text}");
    assert_eq!(app.get("/health").await.body["store"]["events"], 0);
}

#[tokio::test]
async fn invalid_json_is_400() {
    let app = TestApp::new();
    for (body, code) in [
        ("", "empty_body"),
        ("{", "json_syntax"),
        ("{} {}", "json_trailing"),
        (&GOOD.replace("station_001", r"\ud800"), "lone_surrogate"),
        (&GOOD.replace("66.1", "1e999"), "number_out_of_range"),
        // Whatever else is wrong with it.
        (&GOOD.replace("66.1", "1e999").replace("station_001", ""), "number_out_of_range"),
    ] {
        check_problem(&app.predict(body).await, 400, code);
    }
    check_problem(&app.predict("[]").await, 422, "invalid_event");
}

#[tokio::test]
async fn other_bodies_are_refused_unread() {
    let app = TestApp::new();
    let post = |content_type: Option<&str>, encoding: Option<&str>, len: usize| {
        let mut request = Request::post("/predict").header("host", "test");
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        if let Some(encoding) = encoding {
            request = request.header("content-encoding", encoding);
        }
        request.body(Body::from(format!("{GOOD:len$}"))).unwrap()
    };
    check_problem(&app.send(post(None, None, 0)).await, 415, "content_type");
    check_problem(&app.send(post(Some("text/plain"), None, 0)).await, 415, "content_type");
    check_problem(
        &app.send(post(Some("application/json"), Some("gzip"), 0)).await,
        415,
        "content_encoding",
    );
    check_problem(
        &app.send(post(Some("application/json"), None, 16_385)).await,
        413,
        "body_too_large",
    );
    for content_type in
        ["application/json; charset=utf-8", "APPLICATION/JSON", "application/cloudevents+json"]
    {
        assert_eq!(
            app.send(post(Some(content_type), None, 16_384)).await.status,
            200,
            "{content_type}"
        );
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let app = TestApp::new();
    check_problem(&app.get("/nope").await, 404, "not_found");
    check_problem(&app.get("/predict/").await, 404, "not_found");
    let answer = app.get("/predict").await;
    check_problem(&answer, 405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "POST");
    check_problem(&app.get(&format!("/health?{}", "x".repeat(3_000))).await, 414, "uri_too_long");
    let no_host = Request::get("/health").body(Body::empty()).unwrap();
    check_problem(&app.send(no_host).await, 400, "host_required");
    let two_hosts = Request::get("/health")
        .header("host", "a")
        .header("host", "b")
        .body(Body::empty())
        .unwrap();
    check_problem(&app.send(two_hosts).await, 400, "host_duplicate");
}

#[tokio::test]
async fn parameters_of_a_query_are_checked_all_at_once() {
    let app = TestApp::new();
    let codes = async |query: &str| -> Vec<String> {
        let answer = app.get(&format!("/latest_anomalies?{query}")).await;
        check_problem(&answer, 422, "invalid_query");
        let errors = answer.body["errors"].as_array().unwrap().clone();
        errors
            .iter()
            .map(|error| {
                format!(
                    "{} {}",
                    error["pointer"].as_str().unwrap(),
                    error["code"].as_str().unwrap()
                )
            })
            .collect()
    };
    for query in ["limit=0", "limit=-1", "limit=1001", "limit=99999999999"] {
        assert_eq!(codes(query).await, ["/limit limit_range"], "{query}");
    }
    for query in [
        "limit=",
        "limit=abc",
        "limit=1.5",
        "limit=1e9",
        "limit=+5",
        "limit=%205",
        "limit=%zz",
        "limit=%2B5",
        "limit=99999999999999999999",
    ] {
        assert_eq!(codes(query).await, ["/limit not_integer"], "{query}");
    }
    assert_eq!(codes("limit=1&limit=1").await, ["/limit duplicate_parameter"]);
    assert_eq!(codes("LIMIT=5").await, ["/LIMIT unknown_parameter"]);
    let unknown = app.get("/latest_anomalies?LIMIT=5").await;
    assert_eq!(
        unknown.body["errors"][0]["detail"],
        "is unknown; the parameters here are limit, station_id, since and before"
    );
    assert_eq!(
        codes("station_id=%27&since=yesterday&before=x&%FF=1").await,
        [
            "/station_id station_id_charset",
            "/since timestamp_format",
            "/before not_integer",
            " unknown_parameter"
        ]
    );
    assert_eq!(codes("since=2026-01-01T00:00:00").await, ["/since timezone_required"]);
    assert_eq!(
        app.get("/latest_anomalies?limit=%31&since=2026-01-01T00:00:00Z&before=9").await.status,
        200
    );
    check_problem(&app.get("/health?verbose=1").await, 422, "invalid_query");
}

#[tokio::test]
async fn anomalies_are_read_page_by_page() {
    let app = TestApp::new();
    for sequence in 0..7 {
        app.predict(&HOT.replace(r#""sequence":2"#, &format!(r#""sequence":{sequence}"#))).await;
    }
    let mut seen = Vec::new();
    let mut path = String::from("/latest_anomalies?limit=3");
    loop {
        let page = app.get(&path).await.body;
        seen.extend(
            page["anomalies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|anomaly| anomaly["sequence"].as_u64().unwrap()),
        );
        match page["next"].as_i64() {
            Some(next) => path = format!("/latest_anomalies?limit=3&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
}

#[tokio::test]
async fn health_reports_the_model_and_the_store() {
    let app = TestApp::new();
    app.predict(HOT).await;
    let answer = app.get("/health").await;
    let meta = model(42).detector.meta().clone();
    assert_eq!(
        answer.body,
        json!({
            "status": "ok",
            "version": env!("CARGO_PKG_VERSION"),
            "model": {
                "version": meta.model_version,
                "trained_at": meta.trained_at,
                "features": ["temperature_c", "humidity_pct", "sound_db"],
                "threshold": meta.threshold,
                "origin": "file",
            },
            "store": {"events": 1, "anomalies": 1},
            "uptime_s": 0,
        })
    );
    let head = Request::head("/health").header("host", "test").body(Body::empty()).unwrap();
    let answer = app.send(head).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, serde_json::Value::Null));
}

#[tokio::test]
async fn a_store_that_does_not_take_events_makes_503_until_it_does() {
    let app = TestApp::new();
    let sql = |text: &str| {
        rusqlite::Connection::open(app.dir.path().join("events.db")).unwrap().execute_batch(text)
    };
    sql("ALTER TABLE totals RENAME TO hidden_totals; ALTER TABLE predictions RENAME TO hidden")
        .unwrap();
    let answer = app.predict(GOOD).await;
    check_problem(&answer, 503, "store_unavailable");
    assert_eq!(answer.headers["retry-after"], "5");
    assert!(
        !answer.body.to_string().contains("predictions"),
        "the inside is for the log: {answer:?}"
    );
    let health = app.get("/health").await;
    assert_eq!((health.status.as_u16(), &health.body["status"]), (503, &json!("unavailable")));
    check_problem(&app.get("/latest_anomalies").await, 503, "store_unavailable");

    sql("ALTER TABLE hidden_totals RENAME TO totals; ALTER TABLE hidden RENAME TO predictions")
        .unwrap();
    assert_eq!(app.get("/health").await.status, 200);
    assert_eq!(app.predict(GOOD).await.status, 200);
}

#[tokio::test]
async fn more_events_than_may_wait_are_refused_with_503() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let params =
        store_sqlite::SqliteParams { queue_len_max: 1, ..store_sqlite::SqliteParams::default() };
    let parts = Parts {
        model: model(42),
        model_files: ModelFiles::of(dir.path().to_owned()),
        clock: || NOW_US,
        earliest_us: server::BUILT_US,
        alarms: None,
        alarm_budgets: Vec::new(),
        alarm_memory_kib: 0,
    };
    let (router, writer) = server::open_app(parts, &path, &params).unwrap();
    let app = std::sync::Arc::new(TestApp { router, dir, writer });

    // Another program holds the database, so nothing can be written for the moment.
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let clients = (10..40).map(|sequence| {
        let app = std::sync::Arc::clone(&app);
        let event = GOOD.replace(r#""sequence":1"#, &format!(r#""sequence":{sequence}"#));
        tokio::spawn(async move { app.predict(&event).await })
    });
    let clients: Vec<_> = clients.collect();
    tokio::task::yield_now().await;
    blocker.execute_batch("ROLLBACK").unwrap();
    let mut n_stored = 0;
    let mut n_refused = 0;
    for client in clients {
        let answer = client.await.unwrap();
        if answer.status == 200 {
            n_stored += 1;
        } else {
            check_problem(&answer, 503, "overloaded");
            assert_eq!(answer.headers["retry-after"], "1");
            n_refused += 1;
        }
    }
    assert!(n_stored > 0 && n_refused > 0, "{n_stored} stored, {n_refused} refused");
    assert_eq!(app.get("/health").await.body["store"]["events"], n_stored);
}

#[tokio::test]
async fn another_false_alarm_rate_stays_across_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let trained = model(42);
    trained.detector.save(dir.path()).unwrap();
    let rate = 0.2;
    let files =
        ModelFiles { false_alarm_rate: Some(rate), ..ModelFiles::of(dir.path().to_owned()) };
    let parts = Parts {
        model: files.load(NOW_US).unwrap().unwrap(),
        model_files: files,
        clock: || NOW_US,
        earliest_us: server::BUILT_US,
        alarms: None,
        alarm_budgets: Vec::new(),
        alarm_memory_kib: 0,
    };
    let path = dir.path().join("events.db");
    let params = store_sqlite::SqliteParams::default();
    let (router, writer) = server::open_app(parts, &path, &params).unwrap();
    let app = TestApp { router, dir, writer };
    let expected = trained.detector.with_false_alarm_rate(rate).unwrap().threshold();
    for answer in [app.get("/model").await, app.predict_at("/model/reload", "").await] {
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["false_alarm_rate"], rate);
        assert_eq!(answer.body["threshold"], expected);
        assert_eq!(answer.body["metadata"]["false_alarm_rate"], 0.01);
    }
}

#[tokio::test]
async fn predictions_say_whose_baseline_their_values_were_compared_with() {
    let app = TestApp::with_model(&model_per_station());
    let judged = async |station: &str, sequence: u64, temperature: f64| {
        let event = json!({"station_id": station, "sequence": sequence, "timestamp": "2026-11-22T11:59:00Z",
                           "temperature_c": temperature, "humidity_pct": 45.0, "sound_db": 66.0});
        let answer = app.predict(&event.to_string()).await.body;
        (answer["baseline"].clone(), answer["is_anomaly"].clone())
    };
    assert_eq!(judged("station_001", 1, 70.0).await, (json!("station"), json!(false)));
    assert_eq!(judged("station_002", 1, 70.0).await, (json!("station"), json!(true)));
    assert_eq!(judged("unknown", 1, 130.0).await, (json!("fleet"), json!(true)));
    assert_eq!(judged("station_002", 2, 90.0).await, (json!("station"), json!(false)));
    let listed = app.get("/latest_anomalies").await.body;
    let baselines: Vec<&Value> = listed["anomalies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|anomaly| &anomaly["baseline"])
        .collect();
    assert_eq!(baselines, [&json!("fleet"), &json!("station")]);
    let model = app.get("/model").await.body;
    assert_eq!(model["metadata"]["baselines"]["group_by"], "station");
}

#[tokio::test]
async fn metrics_come_in_the_format_that_was_asked_for() {
    let app = TestApp::new();
    app.predict(GOOD).await;
    let metrics = async |accept: &str| {
        let request = Request::get("/metrics").header("host", "test").header("accept", accept);
        app.send(request.body(Body::empty()).unwrap()).await
    };
    for accept in [
        "text/plain; version=0.0.4",
        "*/*",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.1,text/plain",
    ] {
        let text = metrics(accept).await;
        assert_eq!(text.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        assert!(text.text.contains("\n# TYPE iot_predictions_total counter\n"), "{}", text.text);
        assert!(!text.text.contains("# EOF") && !text.text.contains("# UNIT"));
    }
    let prometheus =
        "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    for accept in [prometheus, "application/openmetrics-text"] {
        let open = metrics(accept).await;
        assert!(
            open.headers["content-type"].to_str().unwrap().starts_with("application/openmetrics")
        );
        assert!(open.text.contains("\n# TYPE iot_predictions counter\n"));
        assert!(open.text.ends_with("# EOF\n"));
    }
}

#[tokio::test]
async fn answers_announce_the_idle_timeout() {
    let answer = TestApp::new().get("/livez").await;
    let told = answer.headers["keep-alive"].to_str().unwrap();
    let seconds: u64 = told.strip_prefix("timeout=").unwrap().parse().unwrap();
    assert!(seconds < http_door::limits::HEADER_TIMEOUT.as_secs(), "{told}");
}

#[tokio::test]
async fn a_model_of_many_features_is_served() {
    let names: Vec<String> =
        (0..700).map(|index| format!("a_sensor_with_number_{index:04}")).collect();
    let features = names.iter().map(|name| sensor::Feature::named(name)).collect();
    let schema = sensor::FeatureSchema::new(features).unwrap();
    let events: Vec<_> = (0..200_u32)
        .map(|row| {
            let values: Vec<f64> =
                (0..700).map(|index| f64::from((row * 7 + index) % 50) / 3.0).collect();
            let station_id = sensor::StationId::parse("wide").unwrap();
            schema.event(station_id, row.into(), NOW_US + i64::from(row), &values).unwrap()
        })
        .collect();
    let params = detector::Params {
        alarms: detector::AlarmRule::FalseAlarmRate(0.05),
        ..detector::Params::default()
    };
    let detector = detector::Detector::fit(&schema, &events, &params, NOW_US).unwrap();
    let app = TestApp::with_model(&Model { detector, ..model(1) });
    let values: Vec<String> = names.iter().map(|name| format!("\"{name}\":7.123456789")).collect();
    let event = format!(
        r#"{{"station_id":"wide","sequence":1,"timestamp":"2026-01-02T03:04:05Z",{}}}"#,
        values.join(",")
    );
    assert!(event.len() > 16 * 1024);
    assert_eq!(app.predict(&event).await.status, 200);
    let too_large = format!("{event}{}", " ".repeat(64 * 1024));
    check_problem(&app.predict(&too_large).await, 413, "body_too_large");
}
