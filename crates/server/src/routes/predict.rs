//! `POST /predict`: checked, judged, kept, and only then answered.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::KeepError;

use crate::api_error::{ApiError, Problem};
use crate::body::EventBody;
use crate::intake;
use crate::query::{self, Query};
use crate::state::AppState;
use crate::wire::{JsonLine, PredictionBody, SensorEventBody};

/// Judges one event
///
/// The answer comes after the commit. An event that is sent again is stored once and gets its first
/// answer.
#[utoipa::path(
    post,
    path = "/predict",
    tag = "events",
    params(("explain" = Option<bool>, Query, description = "Whether to explain a normal event, too")),
    request_body = SensorEventBody,
    responses(
        (status = 200, description = "The prediction, which is stored", body = PredictionBody<'static>),
        (status = 400, description = "Not well-formed JSON", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another event has its key", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "More than 16 KiB", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Not said to be JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an event, or a parameter cannot be used; every fault is named", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not stored, or `outcome` says that this is not known; send it again", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn predict(
    State(state): State<AppState>,
    mut query: Query,
    EventBody(body): EventBody,
) -> Result<Response, ApiError> {
    let explain = query.take("explain", query::boolean).unwrap_or(false);
    query.finish()?;

    // To refuse should cost less than to judge.
    if state.store.is_full() {
        state.metrics.not_kept(1);
        return Err(KeepError::Full.into());
    }
    let model = state.models.current();
    let judged = intake::judge(&model, &state.metrics, &body, (state.clock)())?;
    let mut answers = intake::keep(&state, vec![judged], explain).await?;
    let answered = answers.pop().expect("there is an answer to every event")?;
    Ok(JsonLine(answered.body()).into_response())
}
