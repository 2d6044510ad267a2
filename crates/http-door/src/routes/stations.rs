//! `GET /stations`: the stations that have sent events, and their states.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use store::{Listed, StationQuery};
use wire::{PredictionBody, StationBody, StationName, StationsBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::limits::LIST_LEN_MAX;
use crate::query::{self, Query};
use crate::shares::Client;

const LIMIT_DEFAULT: u32 = 100;

/// Stations in the order of their names, with their latest event and anomaly
#[utoipa::path(
    get,
    path = "/stations",
    tag = "events",
    params(
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "The largest number of stations, 1 to 1,000; the default is 100"),
        ("after" = inline(Option<StationName>), Query, description = "The `next` of the answer before"),
    ),
    responses(
        (status = 200, description = "A page of stations", body = StationsBody<'static>),
    )
)]
pub(crate) async fn stations(
    State(api): State<Api>,
    client: Client,
    mut query: Query,
) -> Result<Response, ApiError> {
    let limit =
        query.take("limit", |text| query::limit(text, LIST_LEN_MAX)).unwrap_or(LIMIT_DEFAULT);
    let after = query.take("after", query::station_id);
    query.finish()?;

    let Listed { entries: found, has_more } =
        api.read(client, move |store| async move {
            store.stations(StationQuery { limit, after }).await
        })
        .await?;
    let next = found.last().filter(|_| has_more).map(|last| last.station_id.as_str());
    let stations = found
        .iter()
        .map(|station| StationBody {
            station_id: station.station_id.as_str(),
            latest: PredictionBody::listed(&station.latest.prediction),
            latest_anomaly: station
                .latest_anomaly
                .as_ref()
                .map(|anomaly| PredictionBody::listed(&anomaly.prediction)),
        })
        .collect();
    Ok(JsonLine(StationsBody { stations, next }).into_response())
}
