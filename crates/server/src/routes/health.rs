//! `GET /health`: whether events are taken, and by what they are judged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api_error::ApiError;
use crate::query::Query;
use crate::state::AppState;
use crate::wire::{HealthBody, JsonLine, ModelBody, StoreBody, UnavailableBody};

pub(crate) async fn health(
    State(state): State<AppState>,
    query: Query,
) -> Result<Response, ApiError> {
    query.finish()?;
    let totals = match state.store.check().await {
        Ok(totals) => totals,
        Err(error) => {
            let body = UnavailableBody { status: "unavailable", reason: error.to_string() };
            return Ok((StatusCode::SERVICE_UNAVAILABLE, JsonLine(body)).into_response());
        }
    };
    let meta = state.model.detector.meta();
    let body = HealthBody {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        model: ModelBody {
            version: meta.model_version.clone(),
            trained_at: meta.trained_at.clone(),
            features: meta.features.iter().map(|feature| feature.name.clone()).collect(),
            threshold: state.model.detector.threshold(),
            origin: state.model.origin.name(),
        },
        store: StoreBody { events: totals.events, anomalies: totals.anomalies },
        uptime_s: ((state.clock)() - state.started_us) / 1_000_000,
    };
    Ok(JsonLine(body).into_response())
}
