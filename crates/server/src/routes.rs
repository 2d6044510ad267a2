//! All routes.

mod health;
mod latest_anomalies;
mod predict;

use axum::Router;
use axum::middleware::from_fn;
use axum::routing::{get, post};

use crate::api_error::{ApiError, with_request_id};
use crate::framing;
use crate::state::AppState;

/// The routes, without a socket.
pub fn router(state: AppState) -> Router {
    Router::new()
        .route("/predict", post(predict::predict))
        .route("/health", get(health::health))
        .route("/latest_anomalies", get(latest_anomalies::latest_anomalies))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(from_fn(framing::check))
        .layer(from_fn(with_request_id))
        .with_state(state)
}
