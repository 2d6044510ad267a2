//! `GET /ui/model`: by what events are judged, and whether that still fits.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use detector::{AlarmRule, Detector, DriftDegree, FeatureMeta};
use figures::{Bins, Compared, Histogram};
use sensor::timestamp;
use store::{SampleQuery, Sampled};
use wording::{grouped, percent, rounded, significant};

use crate::assets::Links;
use crate::shell::{Policy, Root, page};
use crate::words::{Moment, lasting, origin_words};
use http_door::ApiError;
use http_door::query::{self, Query, QueryFaultKind};
use pipeline::{Model, Origin, OtherFeatures, Pipeline, ReloadError};

/// Events that the last day is judged by, and values of all features together.
const SAMPLE_LEN: u32 = 10_000;
const VALUES_MAX: u32 = 1_000_000;
/// Features whose distributions are drawn.
const FEATURES_DRAWN: usize = 12;
/// Widths of histograms in the page, so that their text is as large as its.
const WIDTH: f64 = 640.0;
const SMALL_WIDTH: f64 = 400.0;
const SCORE_BINS: u32 = 50;
const FEATURE_BINS: u32 = 30;
const DAY_US: i64 = 86_400_000_000;

#[derive(Template)]
#[template(path = "model.html")]
struct ModelPage {
    root: Root,
    links: &'static Links,
    version: String,
    origin: &'static str,
    is_starter: bool,
    age: String,
    /// `true` if a reload has led here.
    is_reloaded: bool,
    trained: Option<Moment>,
    loaded: Moment,
    facts: Vec<(&'static str, String)>,
    n_sampled: String,
    sampled_until: Option<Moment>,
    pools_stations: bool,
    scores: String,
    scores_sentence: String,
    drifts: Vec<DriftRow>,
    drawn: Vec<(String, String)>,
    n_not_drawn: usize,
}

/// The answer to a reload that was refused. It reads nothing: a reload takes no turn of the pages.
#[derive(Template)]
#[template(path = "reload_refused.html")]
struct ReloadRefused {
    root: Root,
    links: &'static Links,
    reason: String,
    /// `true` if the model may take over all the same.
    can_be_forced: bool,
}

struct DriftRow {
    title: String,
    degree: &'static str,
    symbol: &'static str,
    then: String,
    now: String,
    psi: String,
    ks: String,
    outside: String,
    sentence: String,
}

pub(crate) async fn model(
    State(pipeline): State<Pipeline>,
    root: Root,
    mut query: Query,
) -> Result<Response, ApiError> {
    let is_done = |text: &str| (text == "done").then_some(true).ok_or(QueryFaultKind::Choice);
    let is_reloaded = query.take("reload", is_done).unwrap_or(false);
    query.finish()?;
    let shown = ModelPage { is_reloaded, ..show(&pipeline, root).await? };
    Ok(page(&shown, Policy::Strict))
}

/// Replaces the model with the one in the folder, and shows the outcome.
pub(crate) async fn reload(
    State(pipeline): State<Pipeline>,
    root: Root,
    mut query: Query,
) -> Result<Response, ApiError> {
    let force = query.take("force", query::boolean).unwrap_or(false);
    query.finish()?;
    let other_features = if force { OtherFeatures::Accept } else { OtherFeatures::Refuse };
    let Err(error) = pipeline.models.reload(other_features).await else {
        let target = format!("{root}ui/model?reload=done");
        return Ok(Redirect::to(&target).into_response());
    };
    let (reason, can_be_forced) = match &*error {
        ReloadError::OtherFeatures { difference } => (
            format!(
                "The model in the folder has other features ({difference}): events like those of now would be refused \
                 or judged without some of their values."
            ),
            true,
        ),
        ReloadError::NoModel | ReloadError::Unusable(_) => {
            (format!("The model in the folder cannot be used: {}", error.reason()), false)
        }
        ReloadError::Panic(_) => return Err(error.into()),
    };
    let refused = ReloadRefused { root, links: Links::get(), reason, can_be_forced };
    Ok((StatusCode::CONFLICT, page(&refused, Policy::Strict)).into_response())
}

async fn show(pipeline: &Pipeline, root: Root) -> Result<ModelPage, ApiError> {
    let model = pipeline.models.current();
    let now_us = (pipeline.clock)();
    // The day before now, or the last day of a recording.
    let newest_us = pipeline.fleet.now().await.newest_us;
    let until_us = newest_us.map_or(now_us, |newest_us| (newest_us + 1).min(now_us));
    let features = &model.detector.meta().features;
    let len_max = VALUES_MAX / u32::try_from(features.len()).unwrap_or(u32::MAX).max(1);
    let sampled = pipeline
        .store
        .sample(SampleQuery {
            since_us: until_us - DAY_US,
            until_us,
            len_max: len_max.min(SAMPLE_LEN),
            features: features.iter().map(|feature| Arc::from(feature.name.as_str())).collect(),
        })
        .await?;
    // Thousands of values are sorted and counted: not for a thread that others wait for.
    let made = pipeline.processors.run(&pipeline.turns_of_pages, move || {
        let judged = Judged { sampled, until_us, now_us };
        ModelPage { root, ..ModelPage::of(&model, &judged) }
    });
    Ok(made.await?)
}

/// The recent judgements of the model.
struct Judged {
    sampled: Vec<Sampled>,
    /// The end of the day that the sample is from.
    until_us: i64,
    now_us: i64,
}

impl ModelPage {
    fn of(model: &Model, judged: &Judged) -> Self {
        let Judged { sampled, until_us, now_us } = judged;
        let detector = &model.detector;
        let meta = detector.meta();
        let column = |index: usize| {
            sampled.iter().map(move |sampled| sampled.values[index].unwrap_or(f64::NAN))
        };
        let features = meta.features.iter().enumerate();
        let drifts = features.clone().map(|(index, feature)| DriftRow::new(feature, column(index)));
        let drawn = features.clone().take(FEATURES_DRAWN);
        let drawn = drawn.filter_map(|(index, feature)| {
            Some((feature_histogram(feature, column(index))?, feature.title()))
        });
        let (scores, scores_sentence) = score_histogram(detector, sampled);
        let trained_us = timestamp::parse(&meta.trained_at).ok();
        Self {
            root: Root::default(),
            links: Links::get(),
            is_starter: model.origin == Origin::Starter,
            version: meta.model_version.to_string(),
            origin: origin_words(model.origin),
            age: trained_us.map_or(String::new(), |us| lasting(us, *now_us)),
            is_reloaded: false,
            trained: trained_us.map(Moment::of),
            loaded: Moment::of(model.loaded_us),
            facts: facts(model),
            n_sampled: grouped(sampled.len() as f64),
            pools_stations: meta.baselines.is_some(),
            sampled_until: (!sampled.is_empty()).then(|| Moment::of(*until_us)),
            scores,
            scores_sentence,
            drifts: drifts.collect(),
            drawn: drawn.collect(),
            n_not_drawn: meta.features.len().saturating_sub(FEATURES_DRAWN),
        }
    }
}

fn facts(model: &Model) -> Vec<(&'static str, String)> {
    let meta = model.detector.meta();
    let forest = &meta.parameters;
    let rule = match model.detector.alarm_rule() {
        AlarmRule::FalseAlarmRate(rate) => {
            format!("{} of normal events may be called anomalous", percent(rate))
        }
        AlarmRule::Contamination(share) => {
            format!("{} of the training events are anomalies", percent(share))
        }
    };
    let mut facts = vec![("From", format!("{} events", grouped(meta.training_rows as f64)))];
    if let Some(baselines) = &meta.baselines {
        facts.push(("Baselines", baselines.in_words()));
    }
    facts.extend([
        (
            "Forest",
            format!(
                "{} trees of {} samples, {} features",
                grouped(forest.n_trees as f64),
                grouped(forest.sample_size as f64),
                meta.features.len()
            ),
        ),
        ("Seed", meta.seed.to_string()),
        ("Alarms", rule),
        ("Threshold", format!("{} of the forest", rounded(model.detector.threshold(), 4))),
        ("Scores with", model.detector.engine().to_string()),
        ("Checksum", meta.sha256.clone()),
    ]);
    facts
}

/// Scores of the training beside those of the last day.
fn score_histogram(detector: &Detector, sampled: &[Sampled]) -> (String, String) {
    let meta = detector.meta();
    let of_model = |sampled: &&Sampled| meta.model_version.judges_like(&sampled.model_version);
    let recent: Vec<f64> =
        sampled.iter().filter(of_model).map(|sampled| sampled.anomaly_score).collect();
    let threshold = detector.threshold();
    let (low, high) = detector.calibration().score_range();
    let high = recent.iter().copied().fold(high.max(threshold), f64::max);
    let bins = Bins::new(low, high, SCORE_BINS);
    let now = bins.shares(recent.iter().copied());
    let histogram = Histogram {
        width: WIDTH,
        title: "Scores of the training, and of the last day",
        unit: "anomaly score",
        edges: bins.edges(),
        shares: &bins.shares_of(|score| detector.calibration().share_below(score)),
        compared: last_day(&now),
        marks: &[(threshold, "threshold")],
    };
    let sentence = if recent.is_empty() {
        String::from("Nothing was judged by this model in the last day.")
    } else {
        let n_above = recent.iter().filter(|score| **score >= threshold).count();
        format!(
            "{} of the last day's events reach the threshold of the forest; all evidence together calls {} of normal \
             events anomalous.",
            percent(n_above as f64 / recent.len() as f64),
            percent(detector.alarm_rule().share())
        )
    };
    (histogram.svg(), sentence)
}

/// Values of the training beside those of the last day.
fn feature_histogram(feature: &FeatureMeta, recent: impl Iterator<Item = f64>) -> Option<String> {
    let quantiles = feature.quantiles.as_ref()?;
    let recent: Vec<f64> = recent.filter(|value| value.is_finite()).collect();
    let low = recent.iter().copied().fold(quantiles.min, f64::min);
    let high = recent.iter().copied().fold(quantiles.max, f64::max);
    let bins = Bins::new(low, high, FEATURE_BINS);
    let title = format!("{} in training, and in the last day", feature.plain_name());
    // Without percentiles nothing is known of the training.
    feature.percentiles.as_ref()?;
    let share_below = |value| feature.share_up_to(value).unwrap_or_default();
    let now = bins.shares(recent.iter().copied());
    let histogram = Histogram {
        width: SMALL_WIDTH,
        title: &title,
        unit: &feature.title(),
        edges: bins.edges(),
        shares: &bins.shares_of(share_below),
        compared: last_day(&now),
        marks: &[],
    };
    Some(histogram.svg())
}

/// Returns the last day as an outline, if anything was measured.
fn last_day(shares: &[f64]) -> Option<Compared<'_>> {
    let is_empty = shares.iter().all(|share| *share == 0.0);
    (!is_empty).then_some(Compared { bars: "training", outline: "last day", shares })
}

impl DriftRow {
    fn new(feature: &FeatureMeta, values: impl Iterator<Item = f64> + Clone) -> Self {
        let (mut sum, mut n) = (0.0, 0.0);
        for value in values.clone().filter(|value| !value.is_nan()) {
            (sum, n) = (sum + value, n + 1.0);
        }
        let nothing = || String::from("\u{2013}");
        let drift = feature.drift(values);
        let degree = drift.map(|drift| drift.degree());
        let has_values = drift.filter(|drift| drift.n_values > 0);
        Self {
            title: feature.title(),
            degree: degree.map_or("unknown", DriftDegree::name),
            symbol: match degree {
                Some(DriftDegree::Stable) => "\u{25cf}",
                Some(DriftDegree::Moderate) => "\u{25c6}",
                Some(DriftDegree::Large) => "\u{25b2}",
                Some(DriftDegree::Unknown) | None => "\u{25cb}",
            },
            then: feature.mean.map_or_else(nothing, significant),
            now: if n > 0.0 { significant(sum / n) } else { nothing() },
            psi: has_values.map_or_else(nothing, |drift| format!("{:.3}", drift.psi)),
            ks: has_values.map_or_else(nothing, |drift| format!("{:.2}", drift.ks)),
            outside: has_values.map_or_else(nothing, |drift| percent(drift.outside)),
            sentence: degree.map_or_else(
                || String::from("The model was trained before distributions were stored: retrain to compare."),
                |degree| degree.to_string(),
            ),
        }
    }
}
