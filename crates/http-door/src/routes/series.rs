//! `GET /stations/{station_id}/series`: how a station went, in as few numbers as a picture needs.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use sensor::{ModelVersion, StationId, timestamp};
use store::{Bucket, Extent, SeriesQuery};
use wire::{BucketBody, ProblemBody, SeriesBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::JsonLine;
use crate::limits::SERIES_BUCKETS_MAX;
use crate::query::{self, Query};
use crate::shares::Client;

/// The default number of parts of the time.
const POINTS_DEFAULT: u32 = 600;

/// Return the history of a station for charts
///
/// The time is cut into equal parts; each tells its lowest and highest values. Of very many events a
/// part tells of some, among them all anomalies, and says so.
#[utoipa::path(
    get,
    path = "/stations/{station_id}/series",
    tag = "events",
    params(
        ("station_id" = String, Path, description = "The station"),
        ("since" = Option<String>, Query, format = DateTime, description = "Measured at this time or later, RFC 3339; the default is an hour before `until`"),
        ("until" = Option<String>, Query, format = DateTime, description = "Measured before this time, RFC 3339; the default is now"),
        ("points" = Option<u32>, Query, minimum = 1, maximum = 4_000, description = "Parts of the time, 1 to 4,000; the default is 600"),
        ("features" = Option<String>, Query, pattern = "^[0-9]+(,[0-9]+)*$", description = "Indices of up to 8 features of the model, from 0, separated by commas; the default is the first 8"),
        ("names" = Option<String>, Query, description = "Names of up to 8 features as a JSON array, which the current model need not have; instead of `features`"),
    ),
    responses(
        (status = 200, description = "The buckets in order of time", body = SeriesBody<'static>),
        (status = 404, description = "No station can be called so", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "It would take too long; ask for a shorter time", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn series(
    State(api): State<Api>,
    client: Client,
    Path(station_id): Path<String>,
    mut query: Query,
) -> Result<Response, ApiError> {
    const HOUR_US: i64 = 3_600_000_000;
    let model = api.pipeline.models.current();
    let n_buckets = query
        .take("points", |text| query::limit(text, SERIES_BUCKETS_MAX))
        .unwrap_or(POINTS_DEFAULT);
    let until_us = query.take("until", query::time).unwrap_or((api.pipeline.clock)());
    let since_us = query.take("since", query::time).unwrap_or(until_us - HOUR_US);
    let schema = model.detector.schema();
    let name = |index: usize| Some(Arc::clone(&schema.features().get(index)?.name));
    let features =
        query.take("features", |text| query::indices(text, schema.len(), SeriesBody::FEATURES_MAX));
    let names = query.take("names", |text| query::names(text, SeriesBody::FEATURES_MAX));
    query.finish()?;
    let indices = features.unwrap_or_else(|| (0..SeriesBody::FEATURES_MAX).collect());
    let features: Vec<Arc<str>> =
        names.unwrap_or_else(|| indices.into_iter().filter_map(name).collect());
    let station_id = StationId::parse(&station_id).map_err(|_| ApiError::NotFound)?;

    let wanted = SeriesQuery {
        station_id: station_id.clone(),
        since_us,
        until_us,
        n_buckets,
        features: features.clone(),
    };
    let buckets = api.read(client, move |store| async move { store.series(wanted).await }).await?;
    let mut models: Vec<String> = Vec::new();
    let mut model_index = |version: &ModelVersion| {
        models.iter().position(|known| known == version.as_str()).unwrap_or_else(|| {
            models.push(version.to_string());
            models.len() - 1
        })
    };
    let buckets = buckets
        .into_iter()
        .map(|bucket| {
            let model = model_index(&bucket.model_version);
            bucket_body(bucket, model)
        })
        .collect();
    Ok(JsonLine(SeriesBody {
        station_id: station_id.as_str(),
        since: timestamp::format(since_us),
        until: timestamp::format(until_us),
        features: features.iter().map(|name| &**name).collect(),
        models,
        buckets,
    })
    .into_response())
}

fn bucket_body(bucket: Bucket, model: usize) -> BucketBody {
    let ends = |extent: Extent| [extent.min, extent.max];
    BucketBody {
        first_ms: bucket.first_us as f64 / 1e3,
        last_ms: bucket.last_us as f64 / 1e3,
        events: bucket.n_events,
        anomalies: bucket.n_anomalies,
        is_whole: bucket.is_whole,
        score: ends(bucket.score),
        threshold: bucket.threshold,
        model,
        values: bucket.values.into_iter().map(|extent| extent.map(ends)).collect(),
    }
}
