//! Predictions, alone and in lists.

use std::borrow::Cow;

use sensor::{Attribution, Baseline, Evidence, Excess, FeatureValues, Prediction, timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PredictionBody<'a> {
    /// The name of the station.
    #[serde(borrow)]
    pub station_id: Cow<'a, str>,
    /// The number of the event at its station.
    pub sequence: u64,
    /// When the event was measured, RFC 3339.
    pub timestamp: String,
    /// The measured values by name; only in lists, since the sender knows them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<std::collections::BTreeMap<String, Option<f64>>>)]
    pub features: Option<Cow<'a, FeatureValues>>,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// The score above which the forest alone calls an event anomalous.
    pub threshold: f64,
    /// `true` if the event is called anomalous, by whatever evidence.
    pub is_anomaly: bool,
    /// `normal` or `anomaly`.
    #[serde(borrow)]
    pub label: Cow<'a, str>,
    /// Share of normal events that are as strange.
    pub p_value: f64,
    /// The evidence that speaks most for an anomaly: `forest`, `outside` (a value at the end of what training has seen, or
    /// beyond) or `relation` (a value that does not fit the others). Absent in predictions of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<EvidenceBody>)]
    pub evidence: Option<Evidence>,
    /// The values outside of what training has seen: at this station or in its group, where it has a baseline.
    #[serde(default, skip_serializing_if = "<[Excess]>::is_empty")]
    #[schema(value_type = Vec<ExcessBody>)]
    pub outside: Cow<'a, [Excess]>,
    /// Number of values that are missing.
    #[serde(default)]
    pub n_missing: usize,
    /// The events that the values were compared with: those of this `station`, of its `group` of stations, or of the whole
    /// `fleet`, since the model has no baseline for this station. Absent when all stations share one baseline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BaselineBody>)]
    pub baseline: Option<Baseline>,
    /// The model that judged the event.
    #[serde(borrow)]
    pub model_version: Cow<'a, str>,
    /// The contribution of each value to the evidence, the largest first.
    #[serde(default, skip_serializing_if = "<[Attribution]>::is_empty")]
    #[schema(value_type = Vec<AttributionBody>)]
    pub attributions: Cow<'a, [Attribution]>,
    /// `true` if the event had been stored before; this is the earlier prediction.
    #[serde(default, skip_serializing_if = "is_false")]
    pub duplicate: bool,
}

/// A kind of evidence.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the JSON of an evidence")]
pub(crate) enum EvidenceBody {
    Forest,
    Outside,
    Relation,
}

/// A baseline.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the JSON of a baseline")]
pub(crate) enum BaselineBody {
    Station,
    Group,
    Fleet,
}

/// A direction of values.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the JSON of a direction")]
pub(crate) enum DirectionBody {
    High,
    Low,
}

/// A value outside of what training has seen.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the JSON of an excess")]
pub(crate) struct ExcessBody {
    /// The name of the feature.
    feature: String,
    /// The end of the range that the value lies beyond.
    side: DirectionBody,
    /// The distance from it, in widths of the range in training; null when the feature was constant there.
    by_ranges: Option<f64>,
}

/// The contribution of a value to the evidence.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the JSON of an attribution")]
pub struct AttributionBody {
    /// The name of the feature.
    feature: String,
    /// Its value; null for a missing one.
    value: Option<f64>,
    /// Positive towards anomalous. Of the evidence `forest`, the score is 2^(sum of contributions - 1); of
    /// `outside`, -ln of the share of training values that lie as far out; of `relation`, the distance, in
    /// conditional deviations, from the value that the others predict.
    contribution: f64,
    /// The direction in which the value is unusual; absent for a missing one.
    direction: Option<DirectionBody>,
}

/// Anomalies, the last to arrive first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AnomaliesBody<'a> {
    /// The anomalies.
    #[serde(borrow)]
    pub anomalies: Vec<PredictionBody<'a>>,
    /// The value of `before` for the next page; null on the last.
    pub next: Option<i64>,
}

/// Predictions by station, the last to be measured first.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct EventsBody<'a> {
    /// The predictions.
    pub events: Vec<PredictionBody<'a>>,
    /// The value of `cursor` for the next page; null on the last.
    pub next: Option<String>,
}

/// Stations in the order of their names.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StationsBody<'a> {
    /// The stations.
    pub stations: Vec<StationBody<'a>>,
    /// The value of `after` for the next page; null on the last.
    pub next: Option<&'a str>,
}

/// A station that has sent events.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StationBody<'a> {
    /// Its name.
    pub station_id: &'a str,
    /// The event that was measured last.
    pub latest: PredictionBody<'a>,
    /// The anomaly that arrived last.
    pub latest_anomaly: Option<PredictionBody<'a>>,
}

impl<'a> PredictionBody<'a> {
    /// Describes a prediction to the sender of its event.
    pub fn answer(prediction: &'a Prediction, duplicate: bool) -> Self {
        Self { features: None, duplicate, ..Self::listed(prediction) }
    }

    /// Describes a prediction in a list.
    pub fn listed(prediction: &'a Prediction) -> Self {
        Self {
            station_id: prediction.station_id.as_str().into(),
            sequence: prediction.sequence,
            timestamp: timestamp::format(prediction.timestamp_us),
            features: Some(Cow::Borrowed(&prediction.features)),
            anomaly_score: prediction.anomaly_score,
            threshold: prediction.threshold,
            is_anomaly: prediction.is_anomaly,
            label: prediction.label().into(),
            p_value: prediction.p_value,
            evidence: prediction.evidence,
            outside: Cow::Borrowed(&prediction.outside),
            n_missing: prediction.features.n_missing(),
            baseline: prediction.baseline,
            model_version: prediction.model_version.as_str().into(),
            attributions: Cow::Borrowed(&prediction.attributions),
            duplicate: false,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use sensor::Direction;

    use super::*;

    #[test]
    fn a_client_reads_what_the_server_writes() {
        let prediction = Prediction {
            station_id: sensor::StationId::parse("press_1").unwrap(),
            sequence: 7,
            timestamp_us: 1_767_323_045_000_000,
            features: serde_json::from_str(r#"{"temperature_c":70.5,"flow":null}"#).unwrap(),
            anomaly_score: 0.1 + 0.2,
            threshold: 0.6,
            is_anomaly: false,
            p_value: 1.0 / 3.0,
            evidence: Some(Evidence::Outside),
            outside: vec![Excess {
                feature: "temperature_c".into(),
                side: Direction::High,
                by_ranges: None,
            }],
            baseline: Some(Baseline::Fleet),
            model_version: "2026-11-22-0123456789ab".into(),
            attributions: vec![Attribution {
                feature: "temperature_c".into(),
                value: Some(70.5),
                contribution: 0.1,
                direction: Some(Direction::High),
            }],
        };
        for body in [PredictionBody::listed(&prediction), PredictionBody::answer(&prediction, true)]
        {
            let json = crate::line(&body);
            assert_eq!(serde_json::from_str::<PredictionBody<'_>>(&json).unwrap(), body);
        }
    }
}
