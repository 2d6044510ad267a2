//! `GET /health`, `/livez` and `/readyz`: whether events are taken, and by what they are judged.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use store::{KeepError, Totals};

use crate::query::NoQuery;
use crate::state::AppState;
use crate::wire::{
    HealthBody, HealthModelBody, HealthStoreBody, JsonLine, StatusBody, UnavailableBody,
};

/// Whether events are taken, and by what they are judged
#[utoipa::path(
    get,
    path = "/health",
    tag = "health",
    responses(
        (status = 200, description = "Events are taken", body = HealthBody),
        (status = 503, description = "Events cannot be stored", body = UnavailableBody),
    )
)]
pub(crate) async fn health(State(state): State<AppState>, _: NoQuery) -> Response {
    let Totals { events, anomalies } = match state.store.check().await {
        Ok(totals) => totals,
        Err(error) => return unavailable(error),
    };
    let body = HealthBody {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        model: HealthModelBody::of(&state.models.current()),
        store: HealthStoreBody { events, anomalies },
        uptime_s: ((state.clock)() - state.started_us) / 1_000_000,
    };
    JsonLine(body).into_response()
}

/// Whether the process answers at all
///
/// One that does not should be started anew.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = StatusBody)))]
pub(crate) async fn livez(_: NoQuery) -> Response {
    JsonLine(StatusBody { status: "ok" }).into_response()
}

/// Whether events can be judged and stored
///
/// One that does not say so should not be sent events for a while.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "Events are taken", body = StatusBody),
        (status = 503, description = "Events cannot be stored", body = UnavailableBody),
    )
)]
pub(crate) async fn readyz(State(state): State<AppState>, _: NoQuery) -> Response {
    match state.store.check().await {
        Ok(_) => JsonLine(StatusBody { status: "ok" }).into_response(),
        Err(error) => unavailable(error),
    }
}

fn unavailable(error: KeepError) -> Response {
    let body = UnavailableBody { status: "unavailable", reason: error.to_string() };
    (StatusCode::SERVICE_UNAVAILABLE, JsonLine(body)).into_response()
}
