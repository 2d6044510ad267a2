//! The Open Inference Protocol.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::{Answer, GOOD, HOT, TestApp, model};

async fn infer(app: &TestApp, request: &Value) -> Answer {
    let builder = Request::post("/v2/models/isoforest/infer")
        .header("host", "test")
        .header("content-type", "application/json");
    app.send(builder.body(Body::from(request.to_string())).unwrap()).await
}

fn whole(data: &Value, shape: [usize; 2]) -> Value {
    json!({"id": "7", "inputs": [{"name": "features", "shape": shape, "datatype": "FP64", "data": data}]})
}

#[tokio::test]
async fn rows_are_judged_as_events_are_and_not_stored() {
    let app = TestApp::new();
    let rows = json!([[70.2, 44.7, 66.1], [90.5, 44.7, 66.1]]);
    let answer = infer(&app, &whole(&rows, [2, 3])).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(app.get("/health").await.body["store"]["events"], 0);

    let (normal, hot) = (app.predict(GOOD).await.body, app.predict(HOT).await.body);
    let output = |name: &str| {
        let outputs = answer.body["outputs"].as_array().unwrap();
        outputs.iter().find(|output| output["name"] == name).unwrap()["data"].clone()
    };
    for name in ["anomaly_score", "p_value", "is_anomaly"] {
        assert_eq!(output(name), json!([normal[name], hot[name]]), "{name}");
    }
    assert_eq!(answer.body["id"], "7");
    assert_eq!(answer.body["model_version"], normal["model_version"]);

    // The same values flat, and as a tensor for each feature in another order.
    let flat = infer(&app, &whole(&json!([70.2, 44.7, 66.1, 90.5, 44.7, 66.1]), [2, 3])).await;
    assert_eq!(flat.body, answer.body);
    let tensor = |name: &str, data: Value| json!({"name": name, "shape": [2], "datatype": "FP64", "data": data});
    let columns = json!({
        "inputs": [
            tensor("sound_db", json!([66.1, 66.1])),
            tensor("temperature_c", json!([70.2, 90.5])),
            tensor("humidity_pct", json!([44.7, 44.7])),
        ],
        "outputs": [{"name": "anomaly_score"}],
    });
    let by_column = infer(&app, &columns).await;
    assert_eq!(by_column.body["outputs"].as_array().unwrap().len(), 1);
    assert_eq!(by_column.body["outputs"][0]["data"], output("anomaly_score"));
}

#[tokio::test]
async fn requests_that_cannot_be_judged_say_why() {
    let app = TestApp::new();
    let tensor = |datatype: &str, data: Value| json!({"inputs": [{"name": "features", "shape": [1, 3], "datatype": datatype, "data": data}]});
    let cases = [
        (json!({}), "not an inference request"),
        (whole(&json!([[1.0, 2.0]]), [1, 2]), "[rows, 3]"),
        (whole(&json!([[1.0, 2.0]]), [1, 3]), "as many as its shape says"),
        (whole(&json!([[[1.0, 2.0, 3.0]]]), [1, 3]), "are numbers"),
        (whole(&json!([["1.0", 2.0, 3.0]]), [1, 3]), "not an inference request"),
        (whole(&json!(7.0), [1, 3]), "not an inference request"),
        (whole(&json!([[1.0, 200.0, 3.0]]), [1, 3]), "row 0: humidity_pct"),
        (whole(&json!([[1.0, null, 3.0]]), [1, 3]), "row 0: humidity_pct"),
        (whole(&json!([[1.0, 2.0], [3.0, 4.0, 5.0, 6.0]]), [2, 3]), "as many as its shape says"),
        (tensor("INT64", json!([[1.5, 2.0, 3.0]])), "whole numbers"),
        (whole(&json!([]), [usize::MAX, 3]), "up to 100,000 rows"),
        (tensor("BYTES", json!([1.0, 2.0, 3.0])), "FP64"),
        (json!({"inputs": []}), "one tensor for the feature"),
    ];
    for (request, expected) in cases {
        let answer = infer(&app, &request).await;
        assert_eq!(answer.status, 400, "{request}: {answer:?}");
        assert!(answer.body["error"].as_str().unwrap().contains(expected), "{answer:?}");
    }
}

#[tokio::test]
async fn the_model_is_known_by_its_name_and_version() {
    let app = TestApp::new();
    let version = model(42).detector.meta().model_version.clone();
    assert_eq!(app.get("/v2/health/ready").await.body, json!({"ready": true}));
    let metadata = app.get("/v2/models/isoforest").await.body;
    assert_eq!(metadata["versions"], json!([version]));
    assert_eq!(metadata["inputs"][0]["shape"], json!([-1, 3]));
    let of_version = format!("/v2/models/isoforest/versions/{version}");
    assert_eq!(app.get(&of_version).await.body, metadata);
    assert_eq!(app.get(&format!("{of_version}/ready")).await.body["ready"], true);
    for unknown in ["/v2/models/other", "/v2/models/isoforest/versions/1/ready"] {
        assert_eq!(app.get(unknown).await.status, 404, "{unknown}");
    }
}
