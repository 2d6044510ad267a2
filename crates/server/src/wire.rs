//! What answers look like in JSON.

use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use sensor::{Attribution, FeatureValues, Prediction, timestamp};
use serde::Serialize;

/// A body of JSON that ends its line, for terminals and logs.
pub(crate) struct JsonLine<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        let mut text = serde_json::to_string(&self.0).expect("names, numbers and texts are JSON");
        text.push('\n');
        let mut response = text.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}

/// A prediction on the wire.
#[derive(Debug, Serialize)]
pub(crate) struct PredictionBody {
    station_id: String,
    sequence: u64,
    timestamp: String,
    /// Only where the client does not know them.
    #[serde(skip_serializing_if = "Option::is_none")]
    features: Option<FeatureValues>,
    anomaly_score: f64,
    threshold: f64,
    is_anomaly: bool,
    label: &'static str,
    p_value: f64,
    model_version: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributions: Vec<Attribution>,
    #[serde(skip_serializing_if = "is_false")]
    duplicate: bool,
}

/// `GET /latest_anomalies`.
#[derive(Debug, Serialize)]
pub(crate) struct AnomaliesBody {
    pub(crate) anomalies: Vec<PredictionBody>,
    /// What to ask for with `before` to see those that came earlier; null when there is none.
    pub(crate) next: Option<i64>,
}

/// `GET /health` when all is well.
#[derive(Debug, Serialize)]
pub(crate) struct HealthBody {
    pub(crate) status: &'static str,
    pub(crate) version: &'static str,
    pub(crate) model: ModelBody,
    pub(crate) store: StoreBody,
    pub(crate) uptime_s: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ModelBody {
    pub(crate) version: String,
    pub(crate) trained_at: String,
    pub(crate) features: Vec<String>,
    pub(crate) threshold: f64,
    pub(crate) origin: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct StoreBody {
    pub(crate) events: u64,
    pub(crate) anomalies: u64,
}

/// `GET /health` when events cannot be taken.
#[derive(Debug, Serialize)]
pub(crate) struct UnavailableBody {
    pub(crate) status: &'static str,
    pub(crate) reason: String,
}

impl PredictionBody {
    /// The answer to whoever sent the event.
    pub(crate) fn answer(prediction: Prediction, duplicate: bool) -> Self {
        Self { features: None, duplicate, ..Self::listed(prediction) }
    }

    /// An entry of a list, for whoever did not.
    pub(crate) fn listed(prediction: Prediction) -> Self {
        Self {
            label: prediction.label(),
            station_id: String::from(prediction.station_id.as_str()),
            sequence: prediction.sequence,
            timestamp: timestamp::format(prediction.timestamp_us),
            features: Some(prediction.features),
            anomaly_score: prediction.anomaly_score,
            threshold: prediction.threshold,
            is_anomaly: prediction.is_anomaly,
            p_value: prediction.p_value,
            model_version: String::from(&*prediction.model_version),
            attributions: prediction.attributions,
            duplicate: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}
