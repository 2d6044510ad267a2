//! What answers look like in JSON.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use detector::ModelMeta;
use sensor::{Attribution, FeatureValues, Prediction, timestamp};
use serde::Serialize;
use store::{Bucket, Extent};
use utoipa::ToSchema;

use crate::model::Model;

pub(crate) const JSON: &str = "application/json";

/// A body of JSON that ends its line, for terminals and logs.
pub(crate) struct JsonLine<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        json_text(line(&self.0))
    }
}

/// A value as a line of JSON.
pub(crate) fn line(value: &impl Serialize) -> String {
    let mut text = Vec::with_capacity(LINE_LEN);
    serde_json::to_writer(&mut text, value).expect("names, numbers and texts are JSON");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is text")
}

/// Bytes that most answers fit in.
const LINE_LEN: usize = 512;

/// An answer whose JSON is written already.
pub(crate) fn json_text(text: String) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A prediction.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PredictionBody<'a> {
    station_id: &'a str,
    sequence: u64,
    /// When it was measured, RFC 3339.
    timestamp: String,
    /// What was measured, by name; only where the client does not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Option<f64>>>)]
    features: Option<&'a FeatureValues>,
    /// In (0, 1]; higher is more anomalous.
    anomaly_score: f64,
    /// The lowest score that is called anomalous.
    threshold: f64,
    is_anomaly: bool,
    /// `normal` or `anomaly`.
    label: &'static str,
    /// Share of normal events that score as high.
    p_value: f64,
    model_version: &'a str,
    /// What pushed the score, largest push towards anomalous first.
    #[serde(skip_serializing_if = "<[Attribution]>::is_empty")]
    #[schema(value_type = Vec<AttributionBody>)]
    attributions: &'a [Attribution],
    /// The event was kept before; this is the prediction of that time.
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
}

/// What a station can be called.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "says what the JSON of a station's name looks like")]
#[schema(min_length = 1, max_length = 64, pattern = "^[A-Za-z0-9][A-Za-z0-9._:-]*$")]
pub(crate) struct StationName(String);

/// An event as stations send it.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "says what the JSON of an event looks like")]
#[schema(example = json!({
    "station_id": "station_001", "sequence": 1, "timestamp": "2026-01-02T03:04:05Z",
    "temperature_c": 70.2, "humidity_pct": 44.7, "sound_db": 66.1,
}))]
pub(crate) struct SensorEventBody {
    #[schema(inline)]
    station_id: StationName,
    /// Rises with each event of the station, over restarts, too.
    #[schema(maximum = 9_223_372_036_854_775_807_u64)]
    sequence: u64,
    /// When it was measured, RFC 3339.
    #[schema(format = DateTime)]
    timestamp: String,
    /// A number for every feature of the model, and `null` for an optional one that is missing; what
    /// else there is, is counted and ignored.
    #[serde(flatten)]
    values: std::collections::BTreeMap<String, serde_json::Value>,
}

/// How much a feature pushed a score.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "says what the JSON of an attribution looks like")]
pub(crate) struct AttributionBody {
    feature: String,
    value: Option<f64>,
    /// Positive towards anomalous: the score is 2^(sum of contributions - 1).
    contribution: f64,
}

/// Anomalies, the last to arrive first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnomaliesBody<'a> {
    pub(crate) anomalies: Vec<PredictionBody<'a>>,
    /// What to ask for with `before` to see those that came earlier; null when there is none.
    pub(crate) next: Option<i64>,
}

/// Predictions by station, the last to be measured first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsBody<'a> {
    pub(crate) events: Vec<PredictionBody<'a>>,
    /// What to ask for with `cursor` to see those that come after; null when there is none.
    pub(crate) next: Option<String>,
}

/// Stations in the order of their names.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StationsBody<'a> {
    pub(crate) stations: Vec<StationBody<'a>>,
    /// What to ask for with `after` to see those that follow; null when there is none.
    pub(crate) next: Option<&'a str>,
}

/// A station that has sent events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StationBody<'a> {
    pub(crate) station_id: &'a str,
    /// The event that was measured last.
    pub(crate) latest: PredictionBody<'a>,
    /// The anomaly that arrived last.
    pub(crate) latest_anomaly: Option<PredictionBody<'a>>,
}

/// How a station went over a time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeriesBody<'a> {
    pub(crate) station_id: &'a str,
    /// From here on, RFC 3339.
    pub(crate) since: String,
    /// Up to here.
    pub(crate) until: String,
    /// The features of `values`, in its order.
    pub(crate) features: Vec<&'a str>,
    /// Parts of the time in which anything was measured, in order.
    pub(crate) buckets: Vec<BucketBody>,
}

impl SeriesBody<'_> {
    /// Features of an answer, and of a chart.
    pub(crate) const FEATURES_MAX: usize = 8;
}

/// What was measured in a part of the time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BucketBody {
    /// When the first of its events was measured, in milliseconds since 1970.
    first_ms: f64,
    /// When the last was measured.
    last_ms: f64,
    events: u32,
    anomalies: u32,
    /// False when there are more events than were read.
    is_whole: bool,
    /// The lowest and the highest score.
    score: [f64; 2],
    /// The lowest and the highest value of each feature; null where all are missing.
    values: Vec<Option<[f64; 2]>>,
}

impl From<Bucket> for BucketBody {
    fn from(bucket: Bucket) -> Self {
        let ends = |extent: Extent| [extent.min, extent.max];
        Self {
            first_ms: bucket.first_us as f64 / 1e3,
            last_ms: bucket.last_us as f64 / 1e3,
            events: bucket.n_events,
            anomalies: bucket.n_anomalies,
            is_whole: bucket.is_whole,
            score: ends(bucket.score),
            values: bucket.values.into_iter().map(|extent| extent.map(ends)).collect(),
        }
    }
}

/// What those who watch are told: all that is not normal in a `snapshot`, what has changed since in
/// an `update`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveBody {
    /// How many stations are how.
    pub(crate) stations: LiveCounts,
    /// Over the last ten seconds.
    pub(crate) events_per_second: f64,
    /// Over the last minute.
    pub(crate) anomalies_per_minute: u64,
    pub(crate) store: HealthStoreBody,
    pub(crate) changed: Vec<LiveStation>,
    /// Whether `changed` had to be cut off.
    pub(crate) has_more: bool,
}

/// How many stations are how.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveCounts {
    pub(crate) normal: usize,
    pub(crate) anomaly: usize,
    pub(crate) silent: usize,
}

/// How a station is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveStation {
    pub(crate) station_id: String,
    /// `normal`, `anomaly` or `silent`.
    pub(crate) state: &'static str,
    /// When the first of the anomalies was measured that hang together, RFC 3339.
    pub(crate) since: Option<String>,
    /// Anomalies among its last twenty events.
    pub(crate) recent_anomalies: u32,
}

/// All is well.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthBody {
    pub(crate) status: &'static str,
    pub(crate) version: &'static str,
    pub(crate) model: HealthModelBody,
    pub(crate) store: HealthStoreBody,
    pub(crate) uptime_s: i64,
}

/// The model in use, in short.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthModelBody {
    version: String,
    trained_at: String,
    features: Vec<String>,
    threshold: f64,
    origin: &'static str,
}

/// How much is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthStoreBody {
    pub(crate) events: u64,
    pub(crate) anomalies: u64,
}

/// Events cannot be taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct UnavailableBody {
    pub(crate) status: &'static str,
    pub(crate) reason: String,
}

/// One word.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    pub(crate) status: &'static str,
}

/// The model in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelBody<'a> {
    version: &'a str,
    /// `file`, or `starter` where nobody trained one.
    origin: &'static str,
    /// What scores on this machine.
    engine: String,
    /// When it was taken into use.
    loaded_at: String,
    threshold: f64,
    /// Everything that `model_meta.json` says.
    #[schema(value_type = Object)]
    metadata: &'a ModelMeta,
}

impl<'a> PredictionBody<'a> {
    /// The answer to whoever sent the event.
    pub(crate) fn answer(prediction: &'a Prediction, duplicate: bool) -> Self {
        Self { features: None, duplicate, ..Self::listed(prediction) }
    }

    /// An entry of a list, for whoever did not.
    pub(crate) fn listed(prediction: &'a Prediction) -> Self {
        Self {
            station_id: prediction.station_id.as_str(),
            sequence: prediction.sequence,
            timestamp: timestamp::format(prediction.timestamp_us),
            features: Some(&prediction.features),
            anomaly_score: prediction.anomaly_score,
            threshold: prediction.threshold,
            is_anomaly: prediction.is_anomaly,
            label: prediction.label(),
            p_value: prediction.p_value,
            model_version: &prediction.model_version,
            attributions: &prediction.attributions,
            duplicate: false,
        }
    }
}

impl HealthModelBody {
    pub(crate) fn of(model: &Model) -> Self {
        let meta = model.detector.meta();
        Self {
            version: meta.model_version.clone(),
            trained_at: meta.trained_at.clone(),
            features: meta.features.iter().map(|feature| feature.name.clone()).collect(),
            threshold: model.detector.threshold(),
            origin: model.origin.name(),
        }
    }
}

impl<'a> ModelBody<'a> {
    pub(crate) fn of(model: &'a Model) -> Self {
        Self {
            version: model.version(),
            origin: model.origin.name(),
            engine: model.detector.engine().to_string(),
            loaded_at: timestamp::format(model.loaded_us),
            threshold: model.detector.threshold(),
            metadata: model.detector.meta(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}
