//! `GET /model` and `POST /model/reload`: by what events are judged.

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use crate::api_error::{ApiError, Problem};
use crate::query::NoQuery;
use crate::state::AppState;
use crate::wire::{JsonLine, ModelBody};

/// The model in use
#[utoipa::path(get, path = "/model", tag = "model", responses((status = 200, body = ModelBody<'static>)))]
pub(crate) async fn model(State(state): State<AppState>, _: NoQuery) -> Response {
    JsonLine(ModelBody::of(&state.models.current())).into_response()
}

/// Takes over the model that is in the folder now
///
/// It is checked first. Events that are being judged keep the model that they began with; when the
/// new one cannot be used, the one before goes on.
#[utoipa::path(
    post,
    path = "/model/reload",
    tag = "model",
    responses(
        (status = 200, description = "The model that is in use now", body = ModelBody<'static>),
        (status = 409, description = "The files cannot be used, and nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reload(
    State(state): State<AppState>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let model = state.models.reload().await?;
    Ok(JsonLine(ModelBody::of(&model)).into_response())
}
