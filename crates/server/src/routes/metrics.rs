//! `GET /metrics`: for Prometheus.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::query::NoQuery;
use crate::state::AppState;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted and measured, in the format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"))
)]
pub(crate) async fn metrics(State(state): State<AppState>, _: NoQuery) -> Response {
    let stations = state.floor.now((state.clock)(), |_| false).counts;
    let text = state.metrics.encode(&state.store, stations);
    ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response()
}
