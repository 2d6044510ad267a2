//! `GET /ui/stations/{station_id}`: how one station went, and what is the matter with it.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use detector::FeatureMeta;
use figures::{Mark, Marker, Panel, Panels, Point, Threshold};
use sensor::{Alarm, StationId, timestamp};
use serde::Serialize;
use store::{Bucket, EventQuery, Extent, SeriesQuery, StoredPrediction};
use wording::rounded;

use crate::alarm::{self, Action, actions};
use crate::anomaly_rows::{self, AnomalyRow};
use crate::assets::Links;
use crate::shell::{Policy, Root, page};
use crate::values::ValueCell;
use crate::words::{
    Age, Moment, Run, alarm_words, in_url, of_last, sensor_fault_words, state_word, symbol,
    tally_words,
};
use http_door::ApiError;
use http_door::query::{self, Query, QueryFaultKind};
use pipeline::Pipeline;
use stations::{StationNow, StationState};
use wire::SeriesBody;

/// The header of a script that keeps a page up to date.
const REFRESH: HeaderName = HeaderName::from_static("x-refresh");
/// Parts of the time in the drawing that needs no script.
const DRAWN_BUCKETS: u32 = 240;
const ANOMALIES_SHOWN: usize = 10;
/// The number of the last anomalies to arrive, among which the last to be measured are looked for.
const ANOMALIES_READ: u32 = 100;
const EVENTS_SHOWN: u32 = 10;

#[derive(Template)]
#[template(path = "station.html")]
struct StationPage {
    root: Root,
    links: &'static Links,
    station_id: String,
    path: String,
    now: Option<Now>,
    /// The alarm in time order, in words; empty where the station is not watched.
    alarm: String,
    /// Its alarms beside its budget, in words; empty where the station is not watched.
    tally: String,
    /// The sensor that fails, in words; empty where none does.
    sensor_fault: String,
    /// The actions that are offered.
    actions: Vec<Action>,
    /// The action that has led here, in words; empty if none has.
    done: &'static str,
    windows: Vec<WindowLink>,
    /// The window and the first feature that the page is about, for links that keep them.
    window: &'static str,
    first: usize,
    chart: String,
    drawing: String,
    more_features: Vec<FeatureLink>,
    has_no_baseline: bool,
    is_of_other_model: bool,
    anomalies: Vec<AnomalyRow>,
    features: Vec<String>,
    events: Vec<EventRow>,
}

/// The present state of the station.
struct Now {
    state: &'static str,
    words: &'static str,
    is_silent: bool,
    symbol: &'static str,
    run: Option<Run>,
    recent: String,
    ago: Age,
}

struct WindowLink {
    name: &'static str,
    label: &'static str,
    is_shown: bool,
}

/// A link to other features of the same station.
struct FeatureLink {
    label: String,
    first: usize,
    is_shown: bool,
}

struct EventRow {
    measured: Moment,
    values: Vec<ValueCell>,
    score: String,
    is_anomaly: bool,
}

/// The data that the script draws from.
#[derive(Serialize)]
struct Chart<'a> {
    /// The address of its numbers.
    series: String,
    /// The names of its features as a JSON array.
    names: String,
    since_ms: i64,
    until_ms: i64,
    /// `true` if the window ends now.
    is_live: bool,
    threshold: f64,
    features: Vec<ChartFeature<'a>>,
}

#[derive(Serialize)]
struct ChartFeature<'a> {
    name: &'a str,
    title: String,
    /// The range of 98 % of the training values.
    normal: Option<(f64, f64)>,
    /// The range of all training values.
    seen: Option<(f64, f64)>,
}

/// A part of the past.
struct Window {
    name: &'static str,
    label: &'static str,
    /// `None` for everything.
    us: Option<i64>,
}

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
const WINDOWS: [Window; 6] = [
    Window { name: "15m", label: "15 minutes", us: Some(HOUR_US / 4) },
    Window { name: "1h", label: "hour", us: Some(HOUR_US) },
    Window { name: "6h", label: "6 hours", us: Some(6 * HOUR_US) },
    Window { name: "1d", label: "day", us: Some(DAY_US) },
    Window { name: "7d", label: "week", us: Some(7 * DAY_US) },
    Window { name: "all", label: "everything", us: None },
];
const WINDOW_DEFAULT: usize = 1;

pub(crate) async fn station(
    State(pipeline): State<Pipeline>,
    root: Root,
    Path(station_id): Path<String>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let window = query.take("window", window_named).unwrap_or(&WINDOWS[WINDOW_DEFAULT]);
    let first = query.take("first", query::index).unwrap_or(0);
    let done = query.take("done", alarm::done);
    query.finish()?;
    let station_id = StationId::parse(&station_id).map_err(|_| ApiError::NotFound)?;
    let events =
        pipeline.store.events(EventQuery::of_station(&station_id, EVENTS_SHOWN)).await?.entries;
    let Some(newest) = events.first() else {
        return Err(ApiError::NotStored("nothing is kept of this station"));
    };

    let now_us = (pipeline.clock)();
    let newest_us = newest.prediction.timestamp_us;
    let model = pipeline.models.current();
    let detector = &model.detector;
    let anomalies =
        anomaly_rows::latest(&pipeline, Some(station_id.clone()), ANOMALIES_READ).await?;
    let of_station = detector.features_of(station_id.as_str());
    let all = features(&of_station, events.iter().chain(&anomalies), &anomalies);
    let first = first.min(all.len().saturating_sub(1)) / SeriesBody::FEATURES_MAX
        * SeriesBody::FEATURES_MAX;
    let shown = &all[first..all.len().min(first + SeriesBody::FEATURES_MAX)];
    let names: Vec<Arc<str>> = shown.iter().map(|feature| Arc::from(feature.name)).collect();

    // A recording ends when it does; a station that sends ends now, or when its clock says.
    let is_live = window.us.is_some_and(|us| newest_us > now_us - us);
    let until_us = if is_live { now_us.max(newest_us + 1) } else { newest_us + 1 };
    let since_us = match window.us {
        Some(us) => until_us - us,
        None => oldest_us(&pipeline, &station_id).await?.unwrap_or(newest_us),
    };
    // A script that keeps the page up to date draws its own chart.
    let is_drawn = !headers.contains_key(REFRESH);
    let buckets = if is_drawn {
        let wanted = SeriesQuery {
            station_id: station_id.clone(),
            since_us,
            until_us,
            n_buckets: DRAWN_BUCKETS,
            features: names.clone(),
        };
        pipeline.store.series(wanted).await?
    } else {
        Vec::new()
    };

    let chart = Chart {
        series: format!("{root}stations/{}/series", in_url(station_id.as_str())),
        names: serde_json::to_string(&names).expect("names are JSON"),
        since_ms: since_us.div_euclid(1_000),
        // Whole milliseconds are what scripts have, and the last event lies before this.
        until_ms: until_us.div_euclid(1_000) + 1,
        is_live,
        threshold: detector.threshold_of(station_id.as_str()),
        features: shown.iter().map(ChartFeature::new).collect(),
    };
    let title = format!("Values and scores of {station_id}");
    let panels = panels(shown, &buckets);
    let marks = changes_of_model(&buckets);
    let drawing = Panels { title: &title, since_us, until_us, panels: &panels, marks: &marks };
    let fleet = pipeline.fleet.now().await;
    let now = fleet.station(&station_id);
    let (alarm_now, tally) = pipeline.alarm_now(&station_id).unzip();
    // The last event says more, unless an action or the end of a lesson came after it.
    let last = last_alarm(&events);
    let is_newer = |now: &&Alarm| {
        let facts =
            |alarm: &Alarm| (alarm.state, alarm.lesson, alarm.episode, alarm.sensor_fault.clone());
        last.is_none_or(|last| facts(last) != facts(now))
    };
    let alarm = alarm_now.as_ref().filter(is_newer).or(last);
    let sensor_fault = alarm.and_then(|alarm| alarm.sensor_fault.as_ref());
    Ok(page(
        &StationPage {
            root,
            links: Links::get(),
            path: in_url(station_id.as_str()),
            now: now.map(|station| Now::new(station, fleet.taken_us)),
            alarm: alarm.map(alarm_words).unwrap_or_default(),
            tally: tally.flatten().map(tally_words).unwrap_or_default(),
            sensor_fault: sensor_fault.map(sensor_fault_words).unwrap_or_default(),
            actions: alarm.map(actions).unwrap_or_default(),
            done: done.map_or("", alarm::done_words),
            windows: WINDOWS.iter().map(|known| known.link(window)).collect(),
            window: window.name,
            chart: serde_json::to_string(&chart).expect("names and numbers are JSON"),
            drawing: if is_drawn { drawing.svg() } else { String::new() },
            first,
            has_no_baseline: detector.baseline_of(station_id.as_str()).is_of_fleet(),
            is_of_other_model: !model.version().judges_like(&newest.prediction.model_version),
            more_features: feature_links(&all, first),
            anomalies: anomaly_rows::by_time(&anomalies, &model, ANOMALIES_SHOWN),
            features: shown.iter().map(Shown::title).collect(),
            events: events.iter().map(|stored| EventRow::new(stored, shown)).collect(),
            station_id: station_id.to_string(),
        },
        Policy::Charts,
    ))
}

/// Returns the alarm after the last event that was not late.
fn last_alarm(events: &[StoredPrediction]) -> Option<&Alarm> {
    let on_time = events.iter().find(|stored| stored.prediction.advances());
    on_time.and_then(|stored| stored.prediction.alarm.as_deref())
}

fn window_named(text: &str) -> Result<&'static Window, QueryFaultKind> {
    WINDOWS.iter().find(|window| window.name == text).ok_or(QueryFaultKind::Choice)
}

/// Returns when the first stored event of a station was measured.
async fn oldest_us(pipeline: &Pipeline, station_id: &StationId) -> Result<Option<i64>, ApiError> {
    let beginning = store::EventKey {
        station_id: station_id.clone(),
        timestamp_us: timestamp::EARLIEST_US - 1,
        sequence: 0,
    };
    // A few, since the first may be damaged.
    let found = pipeline.store.neighbours(beginning, 8).await?;
    Ok(found.after.first().map(|stored| stored.prediction.timestamp_us))
}

impl Window {
    fn link(&self, shown: &Self) -> WindowLink {
        WindowLink { name: self.name, label: self.label, is_shown: self.name == shown.name }
    }
}

impl Now {
    fn new(station: &StationNow, now_us: i64) -> Self {
        Self {
            state: match station.state {
                StationState::Anomaly if !station.is_sick() => "caution",
                state => state.name(),
            },
            words: state_word(station),
            is_silent: station.is_silent,
            symbol: symbol(station.state),
            run: Run::of(station, now_us),
            recent: of_last(station),
            ago: Age::of(station.latest.received_us, now_us),
        }
    }
}

/// A feature of the current model, or one that only stored events have.
struct Shown<'a> {
    name: &'a str,
    known: Option<&'a FeatureMeta>,
}

impl Shown<'_> {
    fn title(&self) -> String {
        self.known.map_or_else(|| String::from(self.name), FeatureMeta::title)
    }

    fn normal_range(&self) -> Option<(f64, f64)> {
        self.known?.normal_range()
    }
}

/// Returns all features of a station: those of the model, and after them those that only its stored
/// events have. Where they need several pages, those come first that matter.
fn features<'a>(
    of_model: &'a [FeatureMeta],
    stored: impl Iterator<Item = &'a StoredPrediction>,
    anomalies: &[StoredPrediction],
) -> Vec<Shown<'a>> {
    let mut all: Vec<Shown<'a>> = of_model
        .iter()
        .map(|feature| Shown { name: feature.name.as_str(), known: Some(feature) })
        .collect();
    let mut known: BTreeSet<&str> = all.iter().map(|feature| feature.name).collect();
    for (name, _) in stored.flat_map(|stored| stored.prediction.features.iter()) {
        if known.insert(name) {
            all.push(Shown { name, known: None });
        }
    }
    if all.len() > SeriesBody::FEATURES_MAX {
        let raised = raised(anomalies);
        let of = |shown: &Shown<'_>| raised.get(shown.name).copied().unwrap_or(0.0);
        all.sort_by(|a, b| of(b).total_cmp(&of(a)));
    }
    all
}

/// Returns the share of each feature in the anomalies: evidence of different kinds has different units.
fn raised(anomalies: &[StoredPrediction]) -> HashMap<&str, f64> {
    let mut raised = HashMap::new();
    for stored in anomalies {
        let attributions = &stored.prediction.attributions;
        let pushes = attributions.iter().map(|pushed| pushed.contribution.max(0.0));
        let total: f64 = pushes.clone().sum();
        for (pushed, push) in attributions.iter().zip(pushes) {
            *raised.entry(&*pushed.feature).or_insert(0.0) += push / total.max(f64::MIN_POSITIVE);
        }
    }
    raised
}

impl<'a> ChartFeature<'a> {
    fn new(feature: &Shown<'a>) -> Self {
        let quantiles = feature.known.and_then(|known| known.quantiles.as_ref());
        Self {
            name: feature.name,
            title: feature.title(),
            normal: feature.normal_range(),
            seen: quantiles.map(|quantiles| (quantiles.min, quantiles.max)),
        }
    }
}

/// Returns links to pages of features, where there are more than one.
fn feature_links(all: &[Shown<'_>], first: usize) -> Vec<FeatureLink> {
    if all.len() <= SeriesBody::FEATURES_MAX {
        return Vec::new();
    }
    let pages = all.chunks(SeriesBody::FEATURES_MAX).enumerate().map(|(page, features)| {
        let begin = page * SeriesBody::FEATURES_MAX;
        let name = |feature: &Shown<'_>| match feature.known {
            Some(known) => known.plain_name().into_owned(),
            None => String::from(feature.name),
        };
        let label = match features {
            [first, second, _, ..] => format!("{}, {}, ...", name(first), name(second)),
            few => few.iter().map(name).collect::<Vec<_>>().join(", "),
        };
        FeatureLink { label, first: begin, is_shown: begin == first }
    });
    pages.collect()
}

/// Returns the moments from which on another model judged.
fn changes_of_model(buckets: &[Bucket]) -> Vec<Mark> {
    let changes = buckets.windows(2).filter(|pair| pair[0].model_version != pair[1].model_version);
    let mark = |pair: &[Bucket]| Mark {
        time_us: pair[1].first_us,
        text: format!("model {}", pair[1].model_version),
    };
    changes.map(mark).collect()
}

/// Returns the thresholds that were applied, each over its own time.
fn thresholds(buckets: &[Bucket]) -> Vec<Threshold> {
    let runs = buckets.chunk_by(|a, b| a.threshold == b.threshold);
    let mut found: Vec<Threshold> = runs
        .map(|run| Threshold {
            since_us: run[0].first_us,
            until_us: run[run.len() - 1].last_us,
            value: run[0].threshold,
        })
        .collect();
    // Each applies until the next.
    for index in 1..found.len() {
        found[index - 1].until_us = found[index].since_us;
    }
    found
}

/// Returns the drawing that needs no script: features, and the score below.
fn panels(features: &[Shown<'_>], buckets: &[Bucket]) -> Vec<Panel> {
    let gap_us = gap_us(buckets);
    let points = |extent: &dyn Fn(&Bucket) -> Option<Extent>| -> Vec<Option<Point>> {
        let point = |bucket: &Bucket| {
            let Extent { min, max } = extent(bucket)?;
            Some(Point { time_us: i64::midpoint(bucket.first_us, bucket.last_us), min, max })
        };
        let mut points = Vec::new();
        let mut last_us = None;
        for bucket in buckets {
            if last_us.is_some_and(|last_us| bucket.first_us - last_us > gap_us) {
                points.push(None);
            }
            points.push(point(bucket));
            last_us = Some(bucket.last_us);
        }
        points
    };
    let markers = |extent: &dyn Fn(&Bucket) -> Option<f64>| -> Vec<Marker> {
        let anomalous = buckets.iter().filter(|bucket| bucket.n_anomalies > 0);
        let marker = |bucket: &Bucket| {
            let time_us = i64::midpoint(bucket.first_us, bucket.last_us);
            Some(Marker { time_us, value: extent(bucket)? })
        };
        anomalous.filter_map(marker).collect()
    };
    let mut panels = Vec::new();
    for (index, feature) in features.iter().enumerate() {
        panels.push(Panel {
            name: feature.title(),
            points: points(&|bucket| bucket.values[index]),
            band: feature.normal_range(),
            thresholds: Vec::new(),
            markers: markers(&|bucket| {
                // What is farther from the usual is likelier the reason.
                let Extent { min, max } = bucket.values[index]?;
                let middle = feature.normal_range().map(|(low, high)| f64::midpoint(low, high));
                let is_low = middle.is_some_and(|middle| middle - min > max - middle);
                Some(if is_low { min } else { max })
            }),
        });
    }
    panels.push(Panel {
        name: String::from("anomaly score"),
        points: points(&|bucket| Some(bucket.score)),
        band: None,
        thresholds: thresholds(buckets),
        markers: markers(&|bucket| Some(bucket.score.max)),
    });
    panels
}

/// Returns a time without events that a line must not bridge: several times the usual one between buckets.
fn gap_us(buckets: &[Bucket]) -> i64 {
    let between = buckets.windows(2).map(|pair| pair[1].first_us - pair[0].last_us);
    let mut between: Vec<i64> = between.collect();
    between.sort_unstable();
    between.get(between.len() / 2).map_or(i64::MAX, |usual_us| usual_us.saturating_mul(5))
}

impl EventRow {
    fn new(stored: &StoredPrediction, features: &[Shown<'_>]) -> Self {
        let prediction = &stored.prediction;
        let cell =
            |feature: &Shown<'_>| ValueCell::new(&prediction.features, feature.name, feature.known);
        Self {
            measured: Moment::of(prediction.timestamp_us),
            values: features.iter().map(cell).collect(),
            score: rounded(prediction.anomaly_score, 3),
            is_anomaly: prediction.is_anomaly,
        }
    }
}
