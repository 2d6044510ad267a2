//! `/openapi.json` and `/docs`.

use axum::body::Body;
use axum::http::Request;
use serde_json::Value;

use crate::TestApp;

/// Every route, and its method.
const ROUTES: [(&str, &str); 24] = [
    ("/events", "get"),
    ("/health", "get"),
    ("/latest_anomalies", "get"),
    ("/live", "get"),
    ("/livez", "get"),
    ("/metrics", "get"),
    ("/model", "get"),
    ("/model/reload", "post"),
    ("/predict", "post"),
    ("/predict/batch", "post"),
    ("/readyz", "get"),
    ("/refusals", "get"),
    ("/stations", "get"),
    ("/stations/{station_id}/alarm/{action}", "post"),
    ("/stations/{station_id}/series", "get"),
    ("/v2", "get"),
    ("/v2/health/live", "get"),
    ("/v2/health/ready", "get"),
    ("/v2/models/{name}", "get"),
    ("/v2/models/{name}/infer", "post"),
    ("/v2/models/{name}/ready", "get"),
    ("/v2/models/{name}/versions/{version}", "get"),
    ("/v2/models/{name}/versions/{version}/infer", "post"),
    ("/v2/models/{name}/versions/{version}/ready", "get"),
];

#[tokio::test]
async fn the_document_describes_every_route_and_no_other() {
    let app = TestApp::new();
    let document = app.get("/openapi.json").await.body;
    let described: Vec<(&str, &str)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(|method| (path.as_str(), method.as_str()))
        })
        .collect();
    let mut sorted = described.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, ROUTES);

    for (path, method) in ROUTES {
        let operation = &document["paths"][path][method];
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
        assert!(operation["responses"]["422"]["content"].is_object(), "{path}");
        // It is served, and by this method only: it refuses an unknown parameter.
        let path = path
            .replace("{station_id}", "press")
            .replace("{action}", "settle")
            .replace("{name}", "isoforest")
            .replace("{version}", "none");
        let ask = async |method: &str| {
            let uri = format!("{path}?no_such_parameter=1");
            let request = Request::builder().method(method).uri(uri).header("host", "test");
            let request = request.header("content-type", "application/json");
            app.send(request.body(Body::from("{}")).unwrap()).await.status.as_u16()
        };
        assert_eq!(ask(&method.to_uppercase()).await, 422, "{method} {path}");
        assert_eq!(ask("DELETE").await, 405, "{path}");
    }
}

#[tokio::test]
async fn numbers_may_be_as_large_as_the_document_says() {
    let app = TestApp::new();
    let document = app.get("/openapi.json").await.body;
    let mut n_bounded = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{station_id}", "press");
        for parameter in operations["get"]["parameters"].as_array().into_iter().flatten() {
            let Some(most) = parameter["schema"]["maximum"].as_u64() else { continue };
            let ask = async |number: u64| {
                let name = parameter["name"].as_str().unwrap();
                app.get(&format!("{path}?{name}={number}")).await.status.as_u16()
            };
            assert_eq!((ask(most).await, ask(most + 1).await), (200, 422), "{path}");
            n_bounded += 1;
        }
    }
    assert_eq!(n_bounded, 5);
}

#[tokio::test]
async fn every_reference_within_the_document_leads_somewhere() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = TestApp::new().get("/openapi.json").await.body;
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_documents_are_shown_without_asking_anyone_else() {
    let app = TestApp::new();
    let page = app.get("/docs/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("swagger-ui") && !page.text.contains("https://"), "{}", page.text);
    for asset in ["swagger-ui-bundle.js", "swagger-ui.css", "swagger-initializer.js"] {
        assert_eq!(app.get(&format!("/docs/{asset}")).await.status, 200, "{asset}");
    }
}
