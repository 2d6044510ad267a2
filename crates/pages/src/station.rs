//! `GET /ui/stations/{station_id}`: how one station went, and what is the matter with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::Response;
use detector::FeatureMeta;
use figures::{Marker, Panel, Panels, Point};
use sensor::{StationId, timestamp};
use serde::Serialize;
use store::{Bucket, EventQuery, Extent, SeriesQuery, StoredPrediction};
use wording::rounded;

use crate::anomaly_rows::{self, AnomalyRow};
use crate::assets::Links;
use crate::shell::{Policy, Root, page};
use crate::values::ValueCell;
use crate::words::{Age, Moment, Run, in_url, of_last, state_word, symbol};
use http_door::ApiError;
use http_door::query::{self, Query, QueryFaultKind};
use pipeline::Pipeline;
use stations::StationNow;
use wire::SeriesBody;

/// What a script says that keeps a page up to date.
const REFRESH: HeaderName = HeaderName::from_static("x-refresh");
/// Parts of the time in the drawing that needs no script.
const DRAWN_BUCKETS: u32 = 240;
const ANOMALIES_SHOWN: u32 = 10;
const EVENTS_SHOWN: u32 = 10;

#[derive(Template)]
#[template(path = "station.html")]
struct StationPage {
    root: Root,
    links: &'static Links,
    station_id: String,
    path: String,
    now: Option<Now>,
    windows: Vec<WindowLink>,
    /// The window and the first feature that the page is about, for links that keep them.
    window: &'static str,
    first: usize,
    chart: String,
    drawing: String,
    more_features: Vec<FeatureLink>,
    is_of_other_model: bool,
    anomalies: Vec<AnomalyRow>,
    features: Vec<String>,
    events: Vec<EventRow>,
}

/// How the station is.
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

/// What the script draws from.
#[derive(Serialize)]
struct Chart<'a> {
    /// Where its numbers are.
    series: String,
    /// Indices of its features, with commas between.
    indices: String,
    since_ms: i64,
    until_ms: i64,
    /// Whether the window goes on to now.
    is_live: bool,
    threshold: f64,
    features: Vec<ChartFeature<'a>>,
}

#[derive(Serialize)]
struct ChartFeature<'a> {
    name: &'a str,
    title: String,
    /// What 98 of 100 values in training were.
    normal: Option<(f64, f64)>,
    /// What all values in training were.
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
    query.finish()?;
    let station_id = StationId::parse(&station_id).map_err(|_| ApiError::NotFound)?;
    let events = pipeline.store.events(of_station(&station_id, EVENTS_SHOWN)).await?;
    let Some(newest) = events.first() else {
        return Err(ApiError::NotStored("nothing is kept of this station"));
    };

    let now_us = (pipeline.clock)();
    let newest_us = newest.prediction.timestamp_us;
    let model = pipeline.models.current();
    let detector = &model.detector;
    let all = &detector.meta().features;
    let anomalies =
        anomaly_rows::latest(&pipeline, Some(station_id.clone()), ANOMALIES_SHOWN).await?;
    // All fit one page, or those come first that matter.
    let order = if all.len() > SeriesBody::FEATURES_MAX {
        by_push(all, &anomalies)
    } else {
        (0..all.len()).collect()
    };
    let first = first.min(all.len().saturating_sub(1)) / SeriesBody::FEATURES_MAX
        * SeriesBody::FEATURES_MAX;
    let indices = &order[first..all.len().min(first + SeriesBody::FEATURES_MAX)];
    let shown: Vec<&FeatureMeta> = indices.iter().map(|&index| &all[index]).collect();

    // A recording ends when it does; a station that sends ends now, or when its clock says.
    let is_live = window.us.is_some_and(|us| newest_us > now_us - us);
    let until_us = if is_live { now_us.max(newest_us + 1) } else { newest_us + 1 };
    let since_us = match window.us {
        Some(us) => until_us - us,
        None => oldest_us(&pipeline, &station_id).await?.unwrap_or(newest_us),
    };
    // A script that keeps the page up to date draws by itself.
    let is_drawn = !headers.contains_key(REFRESH);
    let buckets = if is_drawn {
        let wanted = SeriesQuery {
            station_id: station_id.clone(),
            since_us,
            until_us,
            n_buckets: DRAWN_BUCKETS,
            features: shown.iter().map(|feature| Arc::from(feature.name.as_str())).collect(),
        };
        pipeline.store.series(wanted).await?
    } else {
        Vec::new()
    };

    let chart = Chart {
        series: format!("{root}stations/{}/series", in_url(station_id.as_str())),
        indices: indices.iter().map(usize::to_string).collect::<Vec<_>>().join(","),
        since_ms: since_us.div_euclid(1_000),
        // Whole milliseconds are what scripts have, and the last event lies before this.
        until_ms: until_us.div_euclid(1_000) + 1,
        is_live,
        threshold: detector.threshold(),
        features: shown.iter().map(|feature| ChartFeature::new(feature)).collect(),
    };
    let title = format!("Values and scores of {station_id}");
    let panels = panels(&shown, &buckets, detector.threshold());
    let drawing = Panels { title: &title, since_us, until_us, panels: &panels };
    let fleet = pipeline.fleet.now().await;
    let now = fleet.station(&station_id);
    Ok(page(
        &StationPage {
            root,
            links: Links::get(),
            path: in_url(station_id.as_str()),
            now: now.map(|station| Now::new(station, fleet.taken_us)),
            windows: WINDOWS.iter().map(|known| known.link(window)).collect(),
            window: window.name,
            chart: serde_json::to_string(&chart).expect("names and numbers are JSON"),
            drawing: if is_drawn { drawing.svg() } else { String::new() },
            first,
            is_of_other_model: !model.version().judges_like(&newest.prediction.model_version),
            more_features: feature_links(all, &order, first),
            anomalies: anomalies.iter().map(|stored| AnomalyRow::new(stored, &model)).collect(),
            features: shown.iter().map(|feature| feature.title()).collect(),
            events: events.iter().map(|stored| EventRow::new(stored, &shown)).collect(),
            station_id: station_id.to_string(),
        },
        Policy::Charts,
    ))
}

fn window_named(text: &str) -> Result<&'static Window, QueryFaultKind> {
    WINDOWS.iter().find(|window| window.name == text).ok_or(QueryFaultKind::Choice)
}

fn of_station(station_id: &StationId, limit: u32) -> EventQuery {
    EventQuery {
        limit,
        station_id: Some(station_id.clone()),
        since_us: None,
        until_us: None,
        is_anomaly: None,
        after: None,
    }
}

/// When the first event that is kept of a station was measured.
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
            state: station.state.name(),
            words: state_word(station),
            is_silent: station.is_silent,
            symbol: symbol(station.state),
            run: Run::of(station, now_us),
            recent: of_last(station),
            ago: Age::of(station.latest.received_us, now_us),
        }
    }
}

impl<'a> ChartFeature<'a> {
    fn new(feature: &'a FeatureMeta) -> Self {
        let quantiles = feature.quantiles.as_ref();
        Self {
            name: &feature.name,
            title: feature.title(),
            normal: feature.normal_range(),
            seen: quantiles.map(|quantiles| (quantiles.min, quantiles.max)),
        }
    }
}

/// Pages of features, where there are more than one.
fn feature_links(all: &[FeatureMeta], order: &[usize], first: usize) -> Vec<FeatureLink> {
    if all.len() <= SeriesBody::FEATURES_MAX {
        return Vec::new();
    }
    let pages = order.chunks(SeriesBody::FEATURES_MAX).enumerate().map(|(page, indices)| {
        let begin = page * SeriesBody::FEATURES_MAX;
        let name = |index: &usize| all[*index].plain_name().into_owned();
        let label = match indices {
            [first, second, _, ..] => format!("{}, {}, ...", name(first), name(second)),
            few => few.iter().map(name).collect::<Vec<_>>().join(", "),
        };
        FeatureLink { label, first: begin, is_shown: begin == first }
    });
    pages.collect()
}

/// The drawing that needs no script: features, and the score below.
fn panels(features: &[&FeatureMeta], buckets: &[Bucket], threshold: f64) -> Vec<Panel> {
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
            limit: None,
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
        limit: Some((threshold, "threshold")),
        markers: markers(&|bucket| Some(bucket.score.max)),
    });
    panels
}

/// A time without events that a line must not bridge: several times the usual one between buckets.
fn gap_us(buckets: &[Bucket]) -> i64 {
    let between = buckets.windows(2).map(|pair| pair[1].first_us - pair[0].last_us);
    let mut between: Vec<i64> = between.collect();
    between.sort_unstable();
    between.get(between.len() / 2).map_or(i64::MAX, |usual_us| usual_us.saturating_mul(5))
}

impl EventRow {
    fn new(stored: &StoredPrediction, features: &[&FeatureMeta]) -> Self {
        let prediction = &stored.prediction;
        let cell = |feature: &&FeatureMeta| {
            ValueCell::new(&prediction.features, &feature.name, Some(*feature))
        };
        Self {
            measured: Moment::of(prediction.timestamp_us),
            values: features.iter().map(cell).collect(),
            score: rounded(prediction.anomaly_score, 3),
            is_anomaly: prediction.is_anomaly,
        }
    }
}

/// Features by how much they pushed the scores of anomalies, and then in the order of the model: of
/// many, those should be seen first that matter.
fn by_push(features: &[FeatureMeta], anomalies: &[StoredPrediction]) -> Vec<usize> {
    let push = |feature: &FeatureMeta| -> f64 {
        let pushed = anomalies.iter().flat_map(|stored| &stored.prediction.attributions);
        let own = pushed.filter(|pushed| *pushed.feature == *feature.name);
        own.map(|pushed| pushed.contribution.max(0.0)).sum()
    };
    let pushes: Vec<f64> = features.iter().map(push).collect();
    let mut order: Vec<usize> = (0..features.len()).collect();
    order.sort_by(|&a, &b| pushes[b].total_cmp(&pushes[a]));
    order
}
