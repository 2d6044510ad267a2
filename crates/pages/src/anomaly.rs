//! `GET /ui/anomalies/{id}`: one anomaly, and all that is known about why.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use detector::{Change, Counterfactual, FeatureMeta};
use figures::{Bar, Bars};
use sensor::{Attribution, Baseline, Evidence, Prediction};
use store::{EventKey, StoredPrediction};
use wire::EventBody;
use wording::{percent, readable, rounded};

use crate::assets::Links;
use crate::shell::{Policy, Root, page};
use crate::values::ValueCell;
use crate::words::{Moment, anomaly_link, station_link};
use http_door::ApiError;
use http_door::NoQuery;
use pipeline::Pipeline;

/// Events before and after that are shown.
const NEIGHBOURS_EACH: u32 = 6;
/// Attributions that are drawn and listed.
const ATTRIBUTIONS_SHOWN: usize = 16;
/// Features of the neighbours.
const NEIGHBOUR_FEATURES: usize = 6;

#[derive(Template)]
#[template(path = "anomaly.html")]
struct AnomalyPage {
    root: Root,
    links: &'static Links,
    station_id: String,
    station_link: String,
    measured: Moment,
    reason: String,
    score: String,
    threshold: String,
    chance: String,
    evidence: Option<&'static str>,
    baseline: Option<&'static str>,
    model_version: String,
    is_present_model: bool,
    bars: String,
    values: Vec<ValueRow>,
    n_left_out: usize,
    would_be_normal: Vec<String>,
    neighbour_features: Vec<String>,
    neighbours: Vec<NeighbourRow>,
    event: String,
}

/// A value beside what it was in training.
struct ValueRow {
    name: String,
    value: String,
    normal: String,
    seen: String,
    contribution: String,
    is_usual: bool,
}

struct NeighbourRow {
    link: Option<String>,
    measured: Moment,
    values: Vec<ValueCell>,
    score: String,
    is_anomaly: bool,
    is_itself: bool,
}

pub(crate) async fn anomaly(
    State(pipeline): State<Pipeline>,
    root: Root,
    Path(id): Path<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let id: i64 = id.parse().map_err(|_| ApiError::NotFound)?;
    let not_kept = "there is no such anomaly; perhaps it is older than anomalies are kept";
    let stored = pipeline.store.anomaly(id).await?.ok_or(ApiError::NotStored(not_kept))?;
    let prediction = &stored.prediction;
    let key = EventKey {
        station_id: prediction.station_id.clone(),
        timestamp_us: prediction.timestamp_us,
        sequence: prediction.sequence,
    };
    let around = pipeline.store.neighbours(key, NEIGHBOURS_EACH).await?;
    let model = pipeline.models.current();
    let detector = &model.detector;
    let meta = detector.meta();
    let is_present_model = meta.model_version.judges_like(&prediction.model_version);
    let features = detector.features_of(prediction.station_id.as_str());
    let known = |name: &str| FeatureMeta::named(&features, name).filter(|_| is_present_model);

    let shown = prediction.attributions.iter().take(ATTRIBUTIONS_SHOWN);
    let bars: Vec<Bar> = shown.clone().map(|pushed| bar(pushed, known(&pushed.feature))).collect();
    let (title, sides) = words_of(prediction.evidence);
    let bars = Bars { title, sides, bars: &bars };
    let neighbour_features: Vec<(&str, Option<&FeatureMeta>)> = shown
        .clone()
        .take(NEIGHBOUR_FEATURES)
        .map(|pushed| (&*pushed.feature, known(&pushed.feature)))
        .collect();
    let title = |(name, known): &(&str, Option<&FeatureMeta>)| {
        known.map_or_else(|| String::from(*name), FeatureMeta::title)
    };
    let itself = std::iter::once(&stored);
    let in_order = around.before.iter().chain(itself).chain(&around.after);
    let counterfactual = match detector.row(&prediction.features).filter(|_| is_present_model) {
        Some(values) => {
            // Hundreds of walks through the forest: not for a thread that others wait for.
            let model = Arc::clone(&model);
            let station = prediction.station_id.clone();
            let find = move || model.detector.counterfactual(station.as_str(), &values);
            pipeline.processors.run(&pipeline.turns_of_pages, find).await?
        }
        None => None,
    };
    Ok(page(
        &AnomalyPage {
            root,
            links: Links::get(),
            station_id: prediction.station_id.to_string(),
            station_link: station_link(&prediction.station_id),
            measured: Moment::of(prediction.timestamp_us),
            reason: detector.reasons(prediction),
            score: rounded(prediction.anomaly_score, 4),
            threshold: rounded(prediction.threshold, 4),
            chance: percent_of_normal(prediction.p_value),
            evidence: prediction.evidence.map(evidence_words),
            baseline: prediction.baseline.map(baseline_words),
            model_version: prediction.model_version.to_string(),
            is_present_model,
            bars: bars.svg(),
            values: shown.map(|pushed| ValueRow::new(pushed, known(&pushed.feature))).collect(),
            n_left_out: prediction.attributions.len().saturating_sub(ATTRIBUTIONS_SHOWN),
            would_be_normal: counterfactual
                .map_or(Vec::new(), |found| sentences(&features, &found)),
            neighbour_features: neighbour_features.iter().map(title).collect(),
            neighbours: in_order
                .map(|neighbour| NeighbourRow::new(neighbour, id, &neighbour_features))
                .collect(),
            event: event_text(prediction),
        },
        Policy::Strict,
    ))
}

/// Writes how many normal events look as unusual.
fn percent_of_normal(p_value: f64) -> String {
    if p_value >= 0.001 {
        format!("{} of normal events are as strange", percent(p_value))
    } else {
        format!("1 in {} normal events is as strange", wording::grouped(1.0 / p_value))
    }
}

/// Returns the title of the contributions to an evidence, and the meanings of bars to the left and right.
fn words_of(evidence: Option<Evidence>) -> (&'static str, (&'static str, &'static str)) {
    match evidence {
        None | Some(Evidence::Forest) => {
            ("How much each value pushed the score of the forest", ("more usual", "more anomalous"))
        }
        Some(Evidence::Outside) => {
            ("How rare each value is, in powers of e: 7 is one in a thousand", ("", "rarer"))
        }
        Some(Evidence::Relation) => (
            "How far each value is from what the others predict, in deviations",
            ("", "further off"),
        ),
    }
}

/// Names what the values were compared with.
fn baseline_words(baseline: Baseline) -> &'static str {
    match baseline {
        Baseline::Station => "what is normal for this station",
        Baseline::Group => "what is normal for its group of stations",
        Baseline::Fleet => {
            "what is normal for all stations together: the model has no baseline for this one"
        }
    }
}

/// Names what speaks most for the anomaly.
fn evidence_words(evidence: Evidence) -> &'static str {
    match evidence {
        Evidence::Forest => "the forest: few cuts set this event apart",
        Evidence::Outside => "a value at the end of what training has seen, or beyond",
        Evidence::Relation => "a value that does not fit the others",
    }
}

fn bar(pushed: &Attribution, known: Option<&FeatureMeta>) -> Bar {
    let name =
        known.map_or_else(|| String::from(&*pushed.feature), |known| known.plain_name().into());
    Bar { name, size: pushed.contribution }
}

impl ValueRow {
    fn new(pushed: &Attribution, known: Option<&FeatureMeta>) -> Self {
        let range = |ends: Option<(f64, f64)>| match (known, ends) {
            (Some(known), Some((low, high))) => {
                format!("{} to {}", known.value_text(low), known.value_text(high))
            }
            _ => String::from("\u{2013}"),
        };
        let quantiles = known.and_then(|known| known.quantiles.as_ref());
        let plain = |value: Option<f64>| {
            value.map_or_else(|| String::from("missing"), |value| readable(value, 4))
        };
        Self {
            name: known.map_or_else(|| String::from(&*pushed.feature), FeatureMeta::title),
            value: known.map_or_else(
                || plain(pushed.value),
                |known| match pushed.value {
                    Some(value) => known.value_text(value),
                    None => String::from("missing"),
                },
            ),
            normal: range(known.and_then(FeatureMeta::normal_range)),
            seen: range(quantiles.map(|quantiles| (quantiles.min, quantiles.max))),
            contribution: format!("{:+.3}", pushed.contribution),
            is_usual: known.is_none_or(|known| known.is_usual(pushed)),
        }
    }
}

impl NeighbourRow {
    fn new(stored: &StoredPrediction, id: i64, features: &[(&str, Option<&FeatureMeta>)]) -> Self {
        let prediction = &stored.prediction;
        let cell = |(name, known): &(&str, Option<&FeatureMeta>)| {
            ValueCell::new(&prediction.features, name, *known)
        };
        let is_itself = stored.id == id;
        Self {
            link: (prediction.is_anomaly && !is_itself).then(|| anomaly_link(stored.id)),
            measured: Moment::of(prediction.timestamp_us),
            values: features.iter().map(cell).collect(),
            score: rounded(prediction.anomaly_score, 3),
            is_anomaly: prediction.is_anomaly,
            is_itself,
        }
    }
}

/// Writes the values that would have been normal, a sentence for each change.
fn sentences(features: &[FeatureMeta], found: &Counterfactual) -> Vec<String> {
    let sentence = |change: &Change| {
        let feature = FeatureMeta::named(features, &change.feature)?;
        let name = feature.plain_name();
        let unit = feature.unit.as_deref().map_or(String::new(), |unit| format!(" {unit}"));
        let (low, high) = feature.range_within(change.low, change.high);
        Some(if low == high {
            format!("{name} at {low}{unit}")
        } else {
            format!("{name} between {low} and {high}{unit}")
        })
    };
    found.changes.iter().filter_map(sentence).collect()
}

/// Writes the event as it was sent, without unknown keys.
fn event_text(prediction: &Prediction) -> String {
    let Prediction { station_id, sequence, timestamp_us, features, .. } = prediction;
    let event = EventBody::new(station_id, *sequence, *timestamp_us, features);
    serde_json::to_string_pretty(&event).expect("names, numbers and texts are JSON")
}
