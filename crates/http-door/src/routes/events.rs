//! `GET /events`: everything that is kept, page by page.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::{EventKey, EventQuery, Listed};
use wire::{EventsBody, PredictionBody, ProblemBody, StationName};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::limits::LIST_LEN_MAX;
use crate::query::{self, Query, QueryFaultKind};
use crate::shares::Client;

const LIMIT_DEFAULT: u32 = 100;

/// Stored predictions, station by station, the last to be measured first
#[utoipa::path(
    get,
    path = "/events",
    tag = "events",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "The largest number of events, 1 to 1,000; the default is 100"),
        ("station_id" = inline(Option<StationName>), Query, description = "Of this station only"),
        ("since" = Option<String>, Query, format = DateTime, description = "Measured at this time or later, RFC 3339"),
        ("until" = Option<String>, Query, format = DateTime, description = "Measured before this time, RFC 3339"),
        ("is_anomaly" = Option<bool>, Query, description = "Anomalies only, or only others"),
        ("cursor" = Option<String>, Query, description = "The `next` of the answer before"),
    ),
    responses(
        (status = 200, description = "A page of predictions", body = EventsBody<'static>),
        (status = 503, description = "It would take too long; ask for a shorter time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(
    State(api): State<Api>,
    client: Client,
    mut query: Query,
) -> Result<Response, ApiError> {
    let limit =
        query.take("limit", |text| query::limit(text, LIST_LEN_MAX)).unwrap_or(LIMIT_DEFAULT);
    let station_id = query.take("station_id", query::station_id);
    let since_us = query.take("since", query::time);
    let until_us = query.take("until", query::time);
    let is_anomaly = query.take("is_anomaly", query::boolean);
    let after = query.take("cursor", query::cursor);
    let is_of_another =
        |after: &EventKey| station_id.as_ref().is_some_and(|id| *id != after.station_id);
    if after.as_ref().is_some_and(is_of_another) {
        query.refuse("cursor", QueryFaultKind::Cursor);
    }
    query.finish()?;

    let wanted = EventQuery { limit, station_id, since_us, until_us, is_anomaly, after };
    let Listed { entries: found, has_more } =
        api.read(client, move |store| async move { store.events(wanted).await }).await?;
    let next = found.last().filter(|_| has_more).map(|last| {
        query::cursor_text(&EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        })
    });
    let events = found.iter().map(|stored| PredictionBody::listed(&stored.prediction)).collect();
    Ok(JsonLine(EventsBody { events, next }).into_response())
}
