//! Predictions, alone and in lists.

use std::borrow::Cow;

use sensor::{
    Alarm, AlarmState, AlarmView, Attribution, Baseline, Direction, Evidence, Excess,
    FeatureValues, Prediction, SensorFaultKind, timestamp,
};
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
    /// The alarm of the station in time order. Absent where the station is not watched, and in predictions of earlier
    /// versions.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmBody<'a>>,
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

/// The alarm of a station after an event, by all events before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlarmBody<'a> {
    /// `learning`: its first events only teach. `watching`: no alarm is open. `open`: an alarm is. `accepted`: one has ended,
    /// and its values have not returned. `budget_spent`: so many alarms opened
    /// that none can open for a while. `late`: the event was measured before another that had arrived, and is judged alone.
    #[schema(value_type = AlarmStateBody)]
    pub state: AlarmState,
    /// Events that the station has learnt from, while it learns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_learnt: Option<u32>,
    /// Events that it needs to learn from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events_to_learn: Option<u32>,
    /// The rarity of the like of the event when the station learnt, in nats, from -1 to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surprise: Option<f64>,
    /// The surprise above which an event counts towards an alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// The view that says most: `joint` (values and their changes together), `relation` (what the events before did not
    /// forecast) or `shape` (of the last values).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<AlarmViewBody>)]
    pub view: Option<AlarmView>,
    /// The feature that this view finds strangest.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub feature: Option<Cow<'a, str>>,
    /// Where its value lies from the level that it followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<DirectionBody>)]
    pub direction: Option<Direction>,
    /// When the event was measured that opened the alarm, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opened_at: Option<String>,
    /// The number of the alarm at its station, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub episode_id: Option<u32>,
    /// The sensor that began to fail last, if one fails: a fault of the measurement, not of the machine.
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    pub sensor_fault: Option<SensorFaultBody<'a>>,
}

/// The alarm of a station after an action of an operator.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StationAlarmBody<'a> {
    /// The station.
    pub station_id: &'a str,
    /// Its alarm.
    pub alarm: AlarmBody<'a>,
}

/// A sensor that fails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SensorFaultBody<'a> {
    /// The feature that it measures.
    #[serde(borrow)]
    pub feature: Cow<'a, str>,
    /// `stuck`: its value stays for much longer than usual. `silent`: its value is missing for much longer than usual. `moves`:
    /// it was constant and has other values. `at_limit`: its value stays outside of the usual range. `dropout`: its value
    /// stays far below the usual range.
    #[schema(value_type = SensorFaultKindBody)]
    pub kind: SensorFaultKind,
    /// When the first event that shows it was measured, RFC 3339.
    pub since: String,
    /// The number of features whose sensors fail, with this one.
    pub n_features: u32,
}

/// A way in which a sensor fails.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the JSON of a kind")]
pub(crate) enum SensorFaultKindBody {
    Stuck,
    Silent,
    Moves,
    AtLimit,
    Dropout,
}

/// The state of a station in time order.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes the JSON of a state")]
pub(crate) enum AlarmStateBody {
    Learning,
    Watching,
    Open,
    Accepted,
    BudgetSpent,
    Late,
}

/// A view of an event in time order.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "describes the JSON of a view")]
pub(crate) enum AlarmViewBody {
    Joint,
    Relation,
    Shape,
}

impl<'a> AlarmBody<'a> {
    /// Describes an alarm.
    pub fn of(alarm: &'a Alarm) -> Self {
        let Alarm { state, lesson, surprise, episode, sensor_fault } = alarm;
        Self {
            state: *state,
            events_learnt: lesson.map(|lesson| lesson.events_learnt),
            events_to_learn: lesson.map(|lesson| lesson.events_to_learn),
            surprise: surprise.as_ref().map(|said| said.surprise),
            threshold: surprise.as_ref().map(|said| said.threshold),
            view: surprise.as_ref().map(|said| said.view),
            feature: surprise.as_ref().map(|said| Cow::Borrowed(&*said.feature)),
            direction: surprise.as_ref().map(|said| said.direction),
            opened_at: episode.map(|episode| timestamp::format(episode.opened_us)),
            episode_id: episode.map(|episode| episode.episode_id),
            sensor_fault: sensor_fault.as_ref().map(|fault| SensorFaultBody {
                feature: Cow::Borrowed(&*fault.feature),
                kind: fault.kind,
                since: timestamp::format(fault.since_us),
                n_features: fault.n_features,
            }),
        }
    }
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
            alarm: prediction.alarm.as_deref().map(AlarmBody::of),
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
    use sensor::{Episode, Lesson, SensorFault, Surprise};

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
            alarm: Some(Box::new(Alarm {
                state: AlarmState::BudgetSpent,
                lesson: Some(Lesson { events_learnt: 1, events_to_learn: 400 }),
                surprise: Some(Surprise {
                    surprise: 1.0 / 3.0,
                    threshold: 5.5,
                    view: AlarmView::Joint,
                    feature: "temperature_c".into(),
                    direction: Direction::Low,
                }),
                episode: Some(Episode { episode_id: 2, opened_us: 1_767_323_045_000_000 }),
                sensor_fault: Some(SensorFault {
                    feature: "flow".into(),
                    kind: SensorFaultKind::Silent,
                    since_us: 1_767_323_045_000_000,
                    n_features: 1,
                }),
            })),
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
