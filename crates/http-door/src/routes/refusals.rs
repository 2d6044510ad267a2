//! `GET /refusals`: the last events that were refused.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use pipeline::RefusedEvent;
use sensor::timestamp;
use wire::{RefusalBody, RefusalsBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::limits::LIST_LEN_MAX;
use crate::query::{self, Query};

const LIMIT_DEFAULT: u32 = 100;

/// The last events that were refused, the latest first
///
/// Of the last 100 since the start: a station that is wired wrongly is found here.
#[utoipa::path(
    get,
    path = "/refusals",
    tag = "events",
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1_000, description = "At most this many, 1 to 1,000; 100 by default")),
    responses((status = 200, description = "The refusals", body = RefusalsBody))
)]
pub(crate) async fn refusals(
    State(api): State<Api>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let limit =
        query.take("limit", |text| query::limit(text, LIST_LEN_MAX)).unwrap_or(LIMIT_DEFAULT);
    query.finish()?;
    let refused = api.pipeline.refused();
    let listed = refused.latest.into_iter().take(limit as usize);
    let body = RefusalsBody { total: refused.n_total, refusals: listed.map(body).collect() };
    Ok(JsonLine(body).into_response())
}

fn body(refused: RefusedEvent) -> RefusalBody {
    RefusalBody {
        received_at: timestamp::format(refused.received_us),
        station_id: refused.station_id.map(|station_id| station_id.to_string()),
        code: refused.code,
        detail: refused.reason,
    }
}
