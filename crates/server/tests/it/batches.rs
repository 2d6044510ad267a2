//! `POST /predict/batch`.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::{Answer, GOOD, HOT, TestApp};

async fn post(app: &TestApp, content_type: &str, body: String) -> Answer {
    let request =
        Request::post("/predict/batch").header("host", "test").header("content-type", content_type);
    app.send(request.body(Body::from(body)).unwrap()).await
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_event_of_a_batch_is_answered_by_itself_and_in_order() {
    let app = TestApp::new();
    let single = app.predict(GOOD).await.body;
    let cold = HOT.replace("90.5", "-500");
    let conflict = GOOD.replace("70.2", "70.3");
    let events = [HOT, "{\"station", GOOD, &cold, &conflict];

    let answer = post(&app, "application/x-ndjson", events.join("\n") + "\n\n").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let by_line = lines(&answer);
    assert_eq!(by_line.len(), events.len());
    assert_eq!(by_line[0]["is_anomaly"], true);
    assert_eq!(by_line[0]["attributions"][0]["feature"], "temperature_c");
    assert_eq!((&by_line[1]["status"], &by_line[1]["code"]), (&json!(400), &json!("json_syntax")));
    assert_eq!(by_line[2]["duplicate"], true);
    assert_eq!(by_line[2]["anomaly_score"], single["anomaly_score"]);
    assert_eq!(by_line[3]["errors"][0]["pointer"], "/temperature_c");
    assert_eq!(by_line[4]["code"], "sequence_conflict");
    assert_eq!(app.get("/health").await.body["store"]["events"], 2);

    // An array says the same, but that what is not JSON has no place in it.
    let events = [HOT, "7", GOOD, &cold, &conflict];
    let answer = post(&app, "application/json", format!("[{}]", events.join(", "))).await;
    assert_eq!(answer.headers["content-type"], "application/json");
    let by_element = answer.body.as_array().unwrap();
    assert_eq!(by_element[0]["duplicate"], true);
    assert_eq!(by_element[1]["errors"][0]["code"], "not_an_object");
    assert_eq!(by_element[2..], by_line[2..]);
}

#[tokio::test]
async fn a_batch_of_more_than_one_transaction_is_answered_whole() {
    let app = TestApp::new();
    let events: Vec<String> = (0..2_500)
        .map(|sequence| GOOD.replace(r#""sequence":1"#, &format!(r#""sequence":{sequence}"#)))
        .collect();
    let answer = post(&app, "application/x-ndjson", events.join("\n")).await;
    let sequences: Vec<u64> =
        lines(&answer).iter().map(|line| line["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (0..2_500).collect::<Vec<_>>());
    assert_eq!(app.get("/health").await.body["store"]["events"], 2_500);
}

#[tokio::test]
async fn batches_have_their_bounds() {
    let app = TestApp::new();
    let empty = post(&app, "application/json", "[]".into()).await;
    assert_eq!((empty.status.as_u16(), &empty.body), (200, &json!([])));
    let cases = [
        ("application/json", GOOD.to_owned(), 400, "not_a_batch"),
        ("application/json", format!("[{GOOD}"), 400, "not_a_batch"),
        ("text/plain", GOOD.to_owned(), 415, "content_type"),
        ("application/x-ndjson", "{}\n".repeat(10_001), 413, "too_many_events"),
        ("application/x-ndjson", " ".repeat(4 * 1024 * 1024 + 1), 413, "body_too_large"),
    ];
    for (content_type, body, status, code) in cases {
        let answer = post(&app, content_type, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert_eq!(answer.body["code"], code);
    }
    assert_eq!(app.get("/health").await.body["store"]["events"], 0);
}

#[tokio::test]
async fn a_batch_that_cannot_be_stored_is_refused_whole() {
    let app = TestApp::new();
    let database = rusqlite::Connection::open(app.dir.path().join("events.db")).unwrap();
    database.execute_batch("ALTER TABLE predictions RENAME TO hidden").unwrap();
    let answer = post(&app, "application/json", format!("[{GOOD},{HOT}]")).await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body["outcome"], "not_stored");
}
