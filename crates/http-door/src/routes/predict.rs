//! `POST /predict`: checked, judged, kept, and only then answered.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use pipeline::{Explain, Receipt};
use wire::{PredictionBody, ProblemBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::body::EventBody;
use crate::json::JsonLine;
use crate::query::{self, Query};
use crate::shares::Client;

/// Judges one event
///
/// The answer comes after the commit. An event that is sent again is stored once and gets its first
/// answer.
#[utoipa::path(
    post,
    path = "/predict",
    tag = "events",
    params(("explain" = Option<bool>, Query, description = "Whether to explain a normal event, too")),
    request_body = wire::EventBody<'static>,
    responses(
        (status = 200, description = "The prediction, which is stored", body = PredictionBody<'static>),
        (status = 400, description = "Not well-formed JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "Another event has its key", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "Larger than an event of this model may be", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Not said to be JSON", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Not an event, or a parameter cannot be used; every fault is named", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not stored, or `outcome` says that this is not known; send it again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn predict(
    State(api): State<Api>,
    client: Client,
    mut query: Query,
    EventBody(body): EventBody,
) -> Result<Response, ApiError> {
    let explain = query.take("explain", query::explain).unwrap_or(Explain::Anomalies);
    query.finish()?;

    let receipt = api.pipeline.submit(&body.bytes, explain, &api.share(client)).await?;
    Ok(JsonLine(answer(&receipt)).into_response())
}

/// Describes a receipt to the sender of its event.
pub(super) fn answer(receipt: &Receipt) -> PredictionBody<'_> {
    PredictionBody {
        attributions: receipt.attributions().into(),
        ..PredictionBody::answer(receipt.prediction(), receipt.is_duplicate())
    }
}
