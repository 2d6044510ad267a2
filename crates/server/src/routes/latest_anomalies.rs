//! `GET /latest_anomalies`: what an operator wants to see first.

use axum::extract::State;
use store::AnomalyQuery;

use crate::api_error::ApiError;
use crate::query::{self, Query};
use crate::state::AppState;
use crate::wire::{AnomaliesBody, JsonLine, PredictionBody};

const LIMIT_DEFAULT: u32 = 10;
const LIMIT_MAX: u32 = 1_000;

pub(crate) async fn latest_anomalies(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<JsonLine<AnomaliesBody>, ApiError> {
    let limit = query.take("limit", |text| query::limit(text, LIMIT_MAX)).unwrap_or(LIMIT_DEFAULT);
    let station_id = query.take("station_id", query::station_id);
    let since_us = query.take("since", query::time);
    let before_id = query.take("before", query::integer);
    query.finish()?;

    // One more than asked for tells whether there are more.
    let wanted = AnomalyQuery { limit: limit + 1, station_id, since_us, before_id };
    let mut found =
        tokio::task::spawn_blocking(move || state.store.latest_anomalies(&wanted)).await??;
    let has_more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next = found.last().map(|last| last.id).filter(|_| has_more);
    let anomalies =
        found.into_iter().map(|stored| PredictionBody::listed(stored.prediction)).collect();
    Ok(JsonLine(AnomaliesBody { anomalies, next }))
}
