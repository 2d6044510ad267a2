//! `GET /`: all stations at a glance.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use detector::{AlarmRule, Detector};
use http_door::ApiError;
use http_door::limits::LIST_LEN_MAX;
use http_door::query::{Query, QueryFaultKind, limit};
use pipeline::{LatencyNow, Model, Origin, Pipeline, RefusedEvent, RefusedEvents};
use sensor::{StationId, timestamp};
use stations::{Concern, Counts, STRIP_US, Snapshot, StationNow, StationState};
use store::{KeepError, StoredPrediction, Totals, Trouble};
use wording::{bytes, counted, grouped, listed, rounded};

use crate::anomaly_rows::{self, AnomalyRow};
use crate::assets::Links;
use crate::shell::{Policy, Root, page};
use crate::strip;
use crate::words::{
    Age, Moment, Run, ago, fault_words, in_url, lasting, of_last, origin_words, state_word,
    station_link, symbol,
};

/// Stations in the table by default.
const ROWS_DEFAULT: u32 = 50;
/// Sick stations that are shown first, with their reasons.
const CARDS_MAX: usize = 6;
/// Anomalies that the list is made of, and stations in it.
const ANOMALIES_READ: u32 = 200;
const ANOMALIES_SHOWN: usize = 10;
/// Refused events in the list.
const REFUSED_SHOWN: usize = 10;
/// Refused events older than this are no longer shown: an hour.
const REFUSED_SHOWN_US: i64 = 3_600_000_000;
/// The longest text to search for in names.
const SEARCH_LEN_MAX: usize = StationId::LEN_MAX;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    root: Root,
    links: &'static Links,
    headline: Headline,
    is_starter: bool,
    /// The stations without a baseline, where others have one.
    without_baseline: String,
    baseline_events_min: usize,
    cards: Vec<Card>,
    tiles: Vec<Tile>,
    filter: Filter,
    rows: Vec<Row>,
    n_found: usize,
    has_more: bool,
    strip_end: Moment,
    is_recording: bool,
    anomalies: Vec<AnomalyRow>,
    refused: Vec<RefusedRow>,
}

/// The one sentence that is read from afar.
struct Headline {
    tone: &'static str,
    symbol: &'static str,
    text: String,
    detail: String,
}

/// A sick station.
struct Card {
    station_id: String,
    link: String,
    run: Option<Run>,
    recent: String,
    calm: String,
    is_silent: bool,
    last: Option<AnomalyRow>,
}

/// A number and its name.
struct Tile {
    name: &'static str,
    value: String,
    detail: String,
}

struct Row {
    station_id: String,
    link: String,
    state: &'static str,
    /// The look: what may be chance is no alarm.
    class: &'static str,
    symbol: &'static str,
    detail: String,
    strip: String,
    score: String,
    ago: Age,
}

/// An event that was refused.
struct RefusedRow {
    received: Moment,
    station_id: String,
    code: &'static str,
    reason: String,
}

/// The stations that are shown.
struct Filter {
    search: String,
    state: StateFilter,
    limit: u32,
}

/// The states that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StateFilter {
    All,
    OfConcern(Concern),
    Only(StationState),
}

impl StateFilter {
    /// Reads a filter by its name; the empty name means all.
    fn named(text: &str) -> Result<Self, QueryFaultKind> {
        let only = StationState::ALL.into_iter().map(Self::Only);
        let of_concern = Concern::ALL.into_iter().map(Self::OfConcern);
        let mut all = std::iter::once(Self::All).chain(only).chain(of_concern);
        all.find(|filter| filter.name() == text).ok_or(QueryFaultKind::Choice)
    }

    fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::OfConcern(concern) => concern.name(),
            Self::Only(state) => state.name(),
        }
    }

    fn finds(self, station: &StationNow) -> bool {
        match self {
            Self::All => true,
            Self::OfConcern(concern) => station.concern == Some(concern),
            Self::Only(state) => station.state == state,
        }
    }
}

impl Filter {
    fn read(query: &mut Query) -> Self {
        let search = |text: &str| {
            let is_short = text.len() <= SEARCH_LEN_MAX;
            is_short.then(|| String::from(text.trim())).ok_or(QueryFaultKind::Choice)
        };
        let limit = query.take("limit", |text| limit(text, LIST_LEN_MAX));
        Self {
            search: query.take("q", search).unwrap_or_default(),
            state: query.take("state", StateFilter::named).unwrap_or(StateFilter::All),
            limit: limit.unwrap_or(ROWS_DEFAULT),
        }
    }

    fn finds(&self, station: &StationNow) -> bool {
        self.state.finds(station) && station.station_id.as_str().contains(&self.search)
    }

    /// Returns `true` if a person has asked for some of the stations: these come first on the page.
    fn is_active(&self) -> bool {
        !self.search.is_empty() || self.state != StateFilter::All || self.limit != ROWS_DEFAULT
    }

    /// Returns the query of the same filter with as many stations as possible.
    fn with_all(&self) -> String {
        format!("?limit={LIST_LEN_MAX}&state={}&q={}", self.state.name(), in_url(&self.search))
    }

    fn is(&self, name: &str) -> bool {
        self.state.name() == name
    }
}

/// The data that the page is made of.
struct Seen {
    fleet: Arc<Snapshot>,
    model: Arc<Model>,
    /// The latest anomalies of all stations, the last to arrive first.
    latest: Vec<StoredPrediction>,
    /// The last anomalies of the first sick stations.
    last_of_sick: Vec<Option<StoredPrediction>>,
    failure: Option<KeepError>,
    totals: Totals,
    size_bytes: u64,
    latency: Option<LatencyNow>,
    refused: RefusedEvents,
}

pub(crate) async fn overview(
    State(pipeline): State<Pipeline>,
    root: Root,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = Filter::read(&mut query);
    query.finish()?;
    let seen = Seen::read(&pipeline).await?;
    Ok(page(&Overview::new(&seen, filter, root), Policy::Strict))
}

impl Seen {
    async fn read(pipeline: &Pipeline) -> Result<Self, ApiError> {
        let fleet = pipeline.fleet.now().await;
        let latest = anomaly_rows::latest(pipeline, None, ANOMALIES_READ).await?;
        let mut last_of_sick = Vec::new();
        for station in sick(&fleet).into_iter().take(CARDS_MAX) {
            let is_of_it =
                |stored: &&StoredPrediction| stored.prediction.station_id == station.station_id;
            let mut last = latest.iter().find(is_of_it).cloned();
            if last.is_none() {
                let station_id = Some(station.station_id.clone());
                last = anomaly_rows::latest(pipeline, station_id, 1).await?.pop();
            }
            last_of_sick.push(last);
        }
        Ok(Self {
            model: pipeline.models.current(),
            latest,
            last_of_sick,
            failure: pipeline.store.failure(),
            totals: pipeline.totals(),
            size_bytes: pipeline.store.size_bytes().await?,
            latency: pipeline.latency(),
            refused: pipeline.refused(),
            fleet,
        })
    }
}

/// Returns the sick stations, those with the most anomalies first.
fn sick(fleet: &Snapshot) -> Vec<&StationNow> {
    let mut sick: Vec<&StationNow> =
        fleet.stations.iter().filter(|station| station.is_sick()).collect();
    sick.sort_by_key(|station| needs_a_look(station));
    sick
}

/// Returns the rank of a station in the table: those that need a look come first.
fn needs_a_look(station: &StationNow) -> (u8, Option<Concern>, std::cmp::Reverse<u32>) {
    let rank = match station.state {
        StationState::Anomaly => 0,
        StationState::Silent => 1,
        StationState::Normal => 2,
    };
    (rank, station.concern, std::cmp::Reverse(station.n_recent_anomalies))
}

/// Returns when strips end: now, or with the last event of recordings from another time.
fn strip_end(fleet: &Snapshot) -> (i64, bool) {
    match fleet.newest_us {
        Some(newest_us) if newest_us < fleet.taken_us - STRIP_US => (newest_us + 1, true),
        _ => (fleet.taken_us, false),
    }
}

impl Overview {
    fn new(seen: &Seen, filter: Filter, root: Root) -> Self {
        let Seen { fleet, model, .. } = seen;
        let now_us = fleet.taken_us;
        let sick = sick(fleet);
        let cards = sick.iter().zip(&seen.last_of_sick).map(|(station, last)| {
            let last = last.as_ref().map(|stored| AnomalyRow::new(stored, model));
            Card::new(station, last, now_us)
        });
        let (strip_until_us, is_recording) = strip_end(fleet);
        let mut found: Vec<&StationNow> =
            fleet.stations.iter().filter(|station| filter.finds(station)).collect();
        found.sort_by_key(|station| needs_a_look(station));
        let detector = &model.detector;
        let is_without =
            |station: &&StationNow| detector.baseline_of(station.station_id.as_str()).is_of_fleet();
        let without_baseline = fleet.stations.iter().filter(is_without);
        let without_baseline: Vec<&str> =
            without_baseline.map(|station| station.station_id.as_str()).collect();
        let rows = found.iter().take(filter.limit as usize).map(|station| {
            let cells = station.strip.before(strip_until_us);
            let threshold = detector.threshold_of(station.station_id.as_str());
            Row::new(station, strip::drawn(&cells, threshold), now_us)
        });
        let is_recent = |refused: &&RefusedEvent| refused.received_us > now_us - REFUSED_SHOWN_US;
        let refused = seen.refused.latest.iter().filter(is_recent).take(REFUSED_SHOWN);
        Self {
            root,
            links: Links::get(),
            headline: match seen.failure {
                Some(failure) => Headline::of_failure(failure),
                None => Headline::new(fleet, &sick),
            },
            is_starter: model.origin == Origin::Starter,
            without_baseline: listed(&without_baseline),
            baseline_events_min: Detector::BASELINE_EVENTS_MIN,
            cards: cards.collect(),
            tiles: tiles(seen),
            rows: rows.collect(),
            n_found: found.len(),
            has_more: fleet.has_more,
            strip_end: Moment::of(strip_until_us),
            is_recording,
            anomalies: anomaly_rows::by_station(&seen.latest, model, ANOMALIES_SHOWN),
            refused: refused.map(RefusedRow::new).collect(),
            filter,
        }
    }
}

impl Headline {
    /// When events cannot be stored, nothing is known of the stations.
    fn of_failure(failure: KeepError) -> Self {
        let (text, detail) = match failure {
            KeepError::NotStored(Trouble::Corrupt) | KeepError::Unknown(Trouble::Corrupt) => (
                "The database is damaged",
                String::from(
                    "Some events may not be stored; the log of the server says what to do.",
                ),
            ),
            _ => (
                "Events cannot be stored",
                format!(
                    "Stations are asked to send again, because {failure}. The page shows the state before that."
                ),
            ),
        };
        let symbol = symbol(StationState::Anomaly);
        Self { tone: "alarm", symbol, text: text.into(), detail }
    }

    fn new(fleet: &Snapshot, sick: &[&StationNow]) -> Self {
        use StationState::{Anomaly, Normal, Silent};

        let Counts { normal, anomaly, silent, sick: n_sick, sensor_fault, changed } = fleet.counts;
        let total = fleet.counts.total();
        let all_are = |state: &str| match total {
            _ if fleet.has_more => {
                format!("The {} stations followed are {state}", count(total))
            }
            1 => format!("The station is {state}"),
            2 => format!("Both stations are {state}"),
            _ => format!("All {} stations are {state}", count(total)),
        };
        let some_are = |n: usize, state: &str| match n {
            1 => format!("1 station is {state}"),
            _ => format!("{} stations are {state}", count(n)),
        };
        let have_fault = |n: usize| match n {
            1 => String::from("1 station has a sensor fault"),
            _ => format!("{} stations have a sensor fault", count(n)),
        };
        let have_changed = |n: usize| match n {
            1 => String::from("1 station has changed"),
            _ => format!("{} stations have changed", count(n)),
        };
        let (tone, state, text) = match sick {
            [station] => ("alarm", Anomaly, format!("{} is sick", station.station_id)),
            [_, ..] => ("alarm", Anomaly, some_are(n_sick, "sick")),
            [] if total == 0 => ("empty", Silent, String::from("No station has sent anything yet")),
            [] if silent == total => ("caution", Silent, all_are("silent")),
            [] if silent > 0 => ("caution", Silent, some_are(silent, "silent")),
            [] if sensor_fault > 0 => ("caution", Anomaly, have_fault(sensor_fault)),
            [] if changed > 0 => ("caution", Anomaly, have_changed(changed)),
            [] if anomaly > 0 => ("calm", Normal, String::from("No station is sick")),
            [] => ("calm", Normal, all_are("normal")),
        };
        let parts = [
            (n_sick, "sick"),
            (sensor_fault, "with a sensor fault"),
            (changed, "changed"),
            (anomaly - n_sick - sensor_fault - changed, "with a recent anomaly"),
            (silent, "silent"),
            (normal, "normal"),
        ];
        let parts = parts.into_iter().filter(|(n, _)| *n > 0);
        let parts: Vec<String> = parts.map(|(n, name)| format!("{} {name}", count(n))).collect();
        Self { tone, symbol: symbol(state), text, detail: parts.join(", ") }
    }
}

fn count(n: usize) -> String {
    grouped(n as f64)
}

impl Card {
    fn new(station: &StationNow, last: Option<AnomalyRow>, now_us: i64) -> Self {
        Self {
            station_id: station.station_id.to_string(),
            link: station_link(&station.station_id),
            run: Run::of(station, now_us),
            recent: of_last(station),
            calm: match station.n_calm {
                0 => String::new(),
                1 => String::from(", the last one normal"),
                n => format!(", the last {n} normal"),
            },
            is_silent: station.is_silent,
            last,
        }
    }
}

fn tiles(seen: &Seen) -> Vec<Tile> {
    let Seen { fleet, model, totals, latency, refused, .. } = seen;
    let meta = model.detector.meta();
    let trained_us = timestamp::parse(&meta.trained_at).ok();
    let ms = |seconds: f64| format!("{} ms", rounded(seconds * 1e3, 1));
    let n_of_minute = fleet.rates.events_per_minute;
    vec![
        Tile {
            name: "Events per second",
            value: rounded(fleet.rates.events_per_second, 1),
            detail: String::from("over the last 10 s"),
        },
        Tile {
            name: "Anomalies per minute",
            value: grouped(fleet.rates.anomalies_per_minute as f64),
            detail: match model.detector.alarm_rule() {
                AlarmRule::FalseAlarmRate(rate) => format!(
                    "of {}; {} expected by chance",
                    counted(n_of_minute, "event"),
                    rounded(n_of_minute as f64 * rate, 1)
                ),
                AlarmRule::Contamination(_) => format!("of {}", counted(n_of_minute, "event")),
            },
        },
        Tile {
            name: "Answer time",
            value: latency.map_or(String::from("\u{2013}"), |LatencyNow { p50_s, .. }| ms(p50_s)),
            detail: latency.map_or(String::from("no single events recently"), |latency| {
                format!("median; p99 {}", ms(latency.p99_s))
            }),
        },
        Tile {
            name: "Refused events",
            value: grouped(refused.n_total as f64),
            detail: match refused.latest.first() {
                None => String::from("since the start"),
                Some(last) => {
                    format!("since the start; the last {}", ago(last.received_us, fleet.taken_us))
                }
            },
        },
        Tile {
            name: "Stored events",
            value: grouped(totals.events as f64),
            detail: format!(
                "{} and {} on disk",
                counted_anomalies(totals.anomalies),
                bytes(seen.size_bytes)
            ),
        },
        Tile {
            name: "Model",
            value: match trained_us {
                Some(trained_us) => format!("{} old", lasting(trained_us, fleet.taken_us)),
                None => String::from("of unknown age"),
            },
            detail: format!("{}, {}", meta.model_version, origin_words(model.origin)),
        },
    ]
}

fn counted_anomalies(n: u64) -> String {
    match n {
        1 => String::from("1 anomaly"),
        n => format!("{} anomalies", grouped(n as f64)),
    }
}

impl Row {
    fn new(station: &StationNow, strip: String, now_us: i64) -> Self {
        let sensor_fault = station.alarm.and_then(|alarm| alarm.sensor_fault);
        Self {
            station_id: station.station_id.to_string(),
            link: station_link(&station.station_id),
            state: state_word(station),
            class: match station.state {
                StationState::Anomaly if !station.is_sick() => "recent",
                state => state.name(),
            },
            symbol: symbol(station.state),
            detail: match (sensor_fault, station.n_recent_anomalies) {
                _ if station.is_sick() && station.is_silent => String::from("now silent"),
                (Some(kind), _) => format!("a sensor {}", fault_words(kind)),
                (None, 0) => String::new(),
                (None, n) => format!("{n} of its last {}", station.n_recent),
            },
            strip,
            score: format!("{:.2}", station.latest.anomaly_score),
            ago: Age::of(station.latest.received_us, now_us),
        }
    }
}

impl RefusedRow {
    fn new(refused: &RefusedEvent) -> Self {
        let RefusedEvent { received_us, station_id, code, reason } = refused;
        Self {
            received: Moment::of(*received_us),
            station_id: station_id.as_ref().map_or(String::from("unknown"), ToString::to_string),
            code,
            reason: reason.clone(),
        }
    }
}
