//! `POST /stations/{station_id}/alarm/{action}`: what an operator knows of a station.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use pipeline::AlarmAction;
use sensor::StationId;
use wire::{AlarmBody, ProblemBody, StationAlarmBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::query::{self, Query};

/// Settle the alarm of a station, or steer what it learns
///
/// `settle`: an alarm that is open or was accepted ends, the present level counts as usual, and the budget is as if it had not
/// opened. `learn`: what is known of the station is forgotten, and its next events teach. `extend`: a station that learns does so
/// up to `events`. `approve`: it begins to watch with what it has learnt. The change is stored before the answer, and shown on
/// pages with the next event.
#[utoipa::path(
    post,
    path = "/stations/{station_id}/alarm/{action}",
    tag = "events",
    params(
        ("station_id" = String, Path, description = "The station"),
        ("action" = String, Path, description = "`settle`, `learn`, `extend` or `approve`"),
        ("events" = Option<u32>, Query, minimum = 160, maximum = 10_000, description = "With `learn` and `extend`: events to learn from; the default is `--events-to-learn`, and twice as many"),
    ),
    responses(
        (status = 200, description = "The alarm as it is now", body = StationAlarmBody<'static>),
        (status = 404, description = "There is no such station or action", body = ProblemBody, content_type = "application/problem+json"),
        (status = 403, description = "A browser sent it for a page of another site", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The station is in no state for it; nothing has changed", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The change cannot be stored", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn act(
    State(api): State<Api>,
    Path((station_id, action)): Path<(String, String)>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let mut action = AlarmAction::named(&action).ok_or(ApiError::NotFound)?;
    if let AlarmAction::Learn { n_events } | AlarmAction::Extend { n_events } = &mut action {
        *n_events = query.take("events", query::events_to_learn);
    }
    query.finish()?;
    let station_id = StationId::parse(&station_id).map_err(|_| ApiError::NotFound)?;
    let alarm = api.pipeline.act_on_alarm(station_id.clone(), action).await?;
    let body = StationAlarmBody { station_id: station_id.as_str(), alarm: AlarmBody::of(&alarm) };
    Ok(JsonLine(body).into_response())
}
