//! `GET /latest_anomalies`: what an operator wants to see first.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::{AnomalyQuery, Listed};
use wire::{AnomaliesBody, PredictionBody, StationName};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::limits::LIST_LEN_MAX;
use crate::query::{self, Query};
use crate::shares::Client;

const LIMIT_DEFAULT: u32 = 10;

/// The latest anomalies, the last to arrive first
#[utoipa::path(
    get,
    path = "/latest_anomalies",
    tag = "events",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "The largest number of anomalies, 1 to 1,000; the default is 10"),
        ("station_id" = inline(Option<StationName>), Query, description = "Of this station only"),
        ("since" = Option<String>, Query, format = DateTime, description = "Measured at this time or later, RFC 3339"),
        ("before" = Option<i64>, Query, description = "The `next` of the answer before"),
    ),
    responses(
        (status = 200, description = "A page of anomalies", body = AnomaliesBody<'static>),
    )
)]
pub(crate) async fn latest_anomalies(
    State(api): State<Api>,
    client: Client,
    mut query: Query,
) -> Result<Response, ApiError> {
    let limit =
        query.take("limit", |text| query::limit(text, LIST_LEN_MAX)).unwrap_or(LIMIT_DEFAULT);
    let station_id = query.take("station_id", query::station_id);
    let since_us = query.take("since", query::time);
    let before_id = query.take("before", query::integer);
    query.finish()?;

    let wanted = AnomalyQuery { limit, station_id, since_us, before_id };
    let Listed { entries: found, has_more } =
        api.read(client, move |store| async move { store.latest_anomalies(wanted).await }).await?;
    let next = found.last().map(|last| last.id).filter(|_| has_more);
    let anomalies = found.iter().map(|stored| PredictionBody::listed(&stored.prediction)).collect();
    Ok(JsonLine(AnomaliesBody { anomalies, next }).into_response())
}
