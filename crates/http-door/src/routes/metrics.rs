//! `GET /metrics`: for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text;

use crate::api::Api;
use crate::query::NoQuery;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted and measured, in the format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((
        status = 200,
        description = "OpenMetrics, or the text format 0.0.4 where `Accept` asks for `text/plain`",
        content((String = "application/openmetrics-text"), (String = "text/plain"))
    ))
)]
pub(crate) async fn metrics(State(api): State<Api>, _: NoQuery) -> Response {
    api.pipeline.update_gauges().await;
    let mut out = String::new();
    text::encode(&mut out, &api.registry).expect("a string can be written to");
    ([(CONTENT_TYPE, OPEN_METRICS)], out).into_response()
}
