//! `GET /health`, `/livez` and `/readyz`: whether events are taken, and by what they are judged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use pipeline::{Model, Refusal};
use store::Totals;
use wire::{HealthBody, HealthModelBody, StatusBody, TotalsBody, UnavailableBody};

use crate::api::Api;
use crate::json::JsonLine;
use crate::query::NoQuery;

/// Report whether events are accepted, and the model in use
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    responses(
        (status = 200, description = "Events are taken", body = HealthBody),
        (status = 503, description = "Events cannot be stored", body = UnavailableBody),
    )
)]
pub(crate) async fn health(State(api): State<Api>, _: NoQuery) -> Response {
    let Totals { events, anomalies } = match api.pipeline.check().await {
        Ok(totals) => totals,
        Err(error) => return unavailable(&error),
    };
    let body = HealthBody {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        model: in_short(&api.pipeline.models.current()),
        store: TotalsBody { events, anomalies },
        alarms_per_day: api.pipeline.alarms_per_day(),
        uptime_s: api.pipeline.uptime().as_secs(),
    };
    JsonLine(body).into_response()
}

/// Report that the process answers
///
/// Restart it if it does not answer.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "The process answers", body = StatusBody)))]
pub(crate) async fn livez(_: NoQuery) -> Response {
    JsonLine(StatusBody { status: "ok" }).into_response()
}

/// Report whether events can be judged and stored
///
/// When it answers 503, do not send events for a while.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Events are taken", body = StatusBody),
        (status = 503, description = "Events cannot be stored", body = UnavailableBody),
    )
)]
pub(crate) async fn readyz(State(api): State<Api>, _: NoQuery) -> Response {
    match api.pipeline.check().await {
        Ok(_) => JsonLine(StatusBody { status: "ok" }).into_response(),
        Err(error) => unavailable(&error),
    }
}

fn in_short(model: &Model) -> HealthModelBody {
    let meta = model.detector.meta();
    HealthModelBody {
        version: meta.model_version.to_string(),
        trained_at: meta.trained_at.clone(),
        features: meta.features.iter().map(|feature| feature.name.clone()).collect(),
        threshold: model.detector.threshold(),
        origin: model.origin.name().into(),
    }
}

fn unavailable(error: &Refusal) -> Response {
    let body = UnavailableBody { status: "unavailable", reason: error.to_string() };
    (StatusCode::SERVICE_UNAVAILABLE, JsonLine(body)).into_response()
}
