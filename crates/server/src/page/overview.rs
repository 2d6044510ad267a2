//! `GET /`: all stations at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use figures::number::{bytes, grouped, rounded};
use figures::{Level, Strip};
use sensor::{StationId, timestamp};
use store::{AnomalyQuery, StoredPrediction};

use super::assets::Links;
use super::words::{Moment, Run, ago, anomaly_link, in_url, lasting, station_link};
use super::{Policy, page};
use crate::api_error::ApiError;
use crate::floor::{Counts, FloorNow, STRIP_US, State as StationState, StationNow, StripCells};
use crate::latency::LatencyNow;
use crate::model::Model;
use crate::query::{self, LIST_LIMIT_MAX, Query, QueryFaultKind};
use crate::state::AppState;

/// Stations in the table, when nobody asks for more.
const ROWS_DEFAULT: u32 = 50;
/// Sick stations that are put first, with their reasons.
const CARDS_MAX: usize = 6;
/// Anomalies in the list.
const ANOMALIES_SHOWN: u32 = 10;
/// The longest text to look for in names.
const SEARCH_LEN_MAX: usize = StationId::LEN_MAX;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    links: &'static Links,
    headline: Headline,
    cards: Vec<Card>,
    tiles: Vec<Tile>,
    filter: Filter,
    rows: Vec<Row>,
    n_found: usize,
    has_more: bool,
    strip_end: Moment,
    is_recording: bool,
    anomalies: Vec<AnomalyRow>,
}

/// The one sentence that is read from afar.
struct Headline {
    tone: &'static str,
    symbol: &'static str,
    text: String,
    detail: String,
}

/// A station that somebody should look at.
struct Card {
    station_id: String,
    link: String,
    run: Option<Run>,
    n_anomalies: u32,
    n_events: u32,
    is_silent: bool,
    reason: Option<(String, String)>,
}

/// A number, and what it is.
struct Tile {
    name: &'static str,
    value: String,
    detail: String,
}

struct Row {
    station_id: String,
    link: String,
    state: &'static str,
    symbol: &'static str,
    detail: String,
    strip: String,
    score: String,
    ago: String,
}

/// An anomaly in a list.
pub(super) struct AnomalyRow {
    pub(super) link: String,
    pub(super) measured: Moment,
    pub(super) station_id: String,
    pub(super) station_link: String,
    pub(super) score: String,
    pub(super) reason: String,
}

impl AnomalyRow {
    pub(super) fn new(stored: &StoredPrediction, model: &Model) -> Self {
        let prediction = &stored.prediction;
        Self {
            link: anomaly_link(stored.id),
            measured: Moment::of(prediction.timestamp_us),
            station_id: prediction.station_id.to_string(),
            station_link: station_link(&prediction.station_id),
            score: rounded(prediction.anomaly_score, 3),
            reason: model.detector.meta().reasons(prediction),
        }
    }
}

/// Which stations are shown.
struct Filter {
    search: String,
    state: Option<StationState>,
    limit: u32,
}

impl Filter {
    fn read(query: &mut Query) -> Self {
        let search = |text: &str| {
            let is_short = text.len() <= SEARCH_LEN_MAX;
            is_short.then(|| String::from(text.trim())).ok_or(QueryFaultKind::Choice)
        };
        let limit = query.take("limit", |text| query::limit(text, LIST_LIMIT_MAX));
        Self {
            search: query.take("q", search).unwrap_or_default(),
            state: query.take("state", state_named).flatten(),
            limit: limit.unwrap_or(ROWS_DEFAULT),
        }
    }

    fn finds(&self, station: &StationNow) -> bool {
        self.state.is_none_or(|state| state == station.state)
            && station.station_id.as_str().contains(&self.search)
    }

    /// The same with up to a thousand stations.
    fn with_all(&self) -> String {
        let state = self.state.map_or("", StationState::name);
        format!("/?limit={LIST_LIMIT_MAX}&state={state}&q={}", in_url(&self.search))
    }

    fn is(&self, name: &str) -> bool {
        self.state.is_some_and(|state| state.name() == name)
    }
}

/// A state by its name; the empty name stands for all.
fn state_named(text: &str) -> Result<Option<StationState>, QueryFaultKind> {
    let known = [StationState::Normal, StationState::Anomaly, StationState::Silent];
    if text.is_empty() {
        return Ok(None);
    }
    known.into_iter().find(|state| state.name() == text).map(Some).ok_or(QueryFaultKind::Choice)
}

pub(super) async fn overview(
    State(state): State<AppState>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = Filter::read(&mut query);
    query.finish()?;
    let now_us = (state.clock)();
    let model = state.models.current();
    let mut floor = state.floor.now(now_us, |station| station.is_sick() || filter.finds(station));
    // Who needs a look comes first.
    floor.stations.sort_by_key(|station| {
        let rank = match station.state {
            _ if station.is_sick() => 0,
            StationState::Anomaly => 1,
            StationState::Silent => 2,
            StationState::Normal => 3,
        };
        (rank, std::cmp::Reverse(station.n_recent_anomalies))
    });
    let sick: Vec<&StationNow> =
        floor.stations.iter().filter(|station| station.is_sick()).collect();
    let mut cards = Vec::new();
    for station in sick.iter().take(CARDS_MAX) {
        cards.push(card(&state, station, &model, now_us).await?);
    }
    let latest = latest_anomalies(&state, None, ANOMALIES_SHOWN).await?;

    let (strip_until_us, is_recording) = strip_end(&floor, now_us);
    let found: Vec<&StationNow> =
        floor.stations.iter().filter(|station| filter.finds(station)).collect();
    let rows = found.iter().take(filter.limit as usize).map(|station| {
        let cells = state.floor.strip(&station.station_id, strip_until_us);
        Row::new(station, &cells, model.detector.threshold(), now_us)
    });
    Ok(page(
        &Overview {
            links: Links::get(),
            headline: Headline::new(floor.counts, &sick),
            cards,
            tiles: tiles(&state, &floor, &model, now_us).await?,
            rows: rows.collect(),
            n_found: found.len(),
            has_more: floor.has_more,
            strip_end: Moment::of(strip_until_us),
            is_recording,
            anomalies: latest.iter().map(|stored| AnomalyRow::new(stored, &model)).collect(),
            filter,
        },
        Policy::Strict,
    ))
}

pub(super) async fn latest_anomalies(
    state: &AppState,
    station_id: Option<StationId>,
    limit: u32,
) -> Result<Vec<StoredPrediction>, ApiError> {
    let query = AnomalyQuery { limit, station_id, since_us: None, before_id: None };
    Ok(state.store.latest_anomalies(query).await?)
}

/// When strips end: now, or with the last event of recordings that are from another time.
fn strip_end(floor: &FloorNow, now_us: i64) -> (i64, bool) {
    match floor.newest_us {
        Some(newest_us) if newest_us < now_us - STRIP_US => (newest_us + 1, true),
        _ => (now_us, false),
    }
}

impl Headline {
    fn new(counts: Counts, sick: &[&StationNow]) -> Self {
        let Counts { normal, anomaly, silent } = counts;
        let total = counts.total();
        let (tone, state, text) = match (sick, total) {
            (_, 0) => {
                ("empty", StationState::Silent, String::from("No station has sent anything yet"))
            }
            ([], _) if silent == total => {
                ("caution", StationState::Silent, String::from("All stations are silent"))
            }
            ([], _) if silent > 0 => {
                ("caution", StationState::Silent, stations(silent, "is silent", "are silent"))
            }
            ([], 1) => ("calm", StationState::Normal, String::from("The station is normal")),
            ([], _) if anomaly == 0 => (
                "calm",
                StationState::Normal,
                format!("All {} stations are normal", grouped(total as f64)),
            ),
            ([], _) => ("calm", StationState::Normal, String::from("No station is sick")),
            ([station], _) => {
                let text = format!("{} is sick", station.station_id);
                ("alarm", StationState::Anomaly, text)
            }
            (sick, _) => (
                "alarm",
                StationState::Anomaly,
                stations(sick.len(), "is anomalous", "are anomalous"),
            ),
        };
        let parts = [(normal, "normal"), (anomaly, "with an anomaly now"), (silent, "silent")];
        let parts = parts.into_iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> =
            parts.map(|(count, name)| format!("{} {name}", grouped(count as f64))).collect();
        Self { tone, symbol: state.symbol(), text, detail: parts.join(", ") }
    }
}

fn stations(count: usize, one: &str, many: &str) -> String {
    let noun = if count == 1 { format!("station {one}") } else { format!("stations {many}") };
    format!("{} {noun}", grouped(count as f64))
}

async fn card(
    state: &AppState,
    station: &StationNow,
    model: &Model,
    now_us: i64,
) -> Result<Card, ApiError> {
    let latest = latest_anomalies(state, Some(station.station_id.clone()), 1).await?;
    let latest = latest.first().map(|stored| AnomalyRow::new(stored, model));
    Ok(Card {
        station_id: station.station_id.to_string(),
        link: station_link(&station.station_id),
        run: Run::of(station, now_us),
        n_anomalies: station.n_recent_anomalies,
        n_events: station.n_recent,
        is_silent: station.state == StationState::Silent,
        reason: latest.map(|anomaly| (anomaly.reason, anomaly.link)),
    })
}

async fn tiles(
    state: &AppState,
    floor: &FloorNow,
    model: &Model,
    now_us: i64,
) -> Result<Vec<Tile>, ApiError> {
    let totals = state.store.totals();
    let meta = model.detector.meta();
    let trained_us = timestamp::parse(&meta.trained_at).ok();
    let ms = |seconds: f64| format!("{} ms", rounded(seconds * 1e3, 1));
    let latency = state.metrics.latency();
    Ok(vec![
        Tile {
            name: "Events a second",
            value: rounded(floor.rates.events_per_second, 1),
            detail: String::from("over the last 10 s"),
        },
        Tile {
            name: "Anomalies a minute",
            value: grouped(floor.rates.anomalies_per_minute as f64),
            detail: match meta.false_alarm_rate {
                Some(rate) => format!(
                    "{} a minute would be chance",
                    rounded(floor.rates.events_per_second * 60.0 * rate, 1)
                ),
                None => String::from("over the last minute"),
            },
        },
        Tile {
            name: "Answer time",
            value: latency.map_or(String::from("\u{2013}"), |LatencyNow { p50_s, .. }| ms(p50_s)),
            detail: latency.map_or(String::from("no single event came lately"), |latency| {
                format!("half are faster; p99 {}", ms(latency.p99_s))
            }),
        },
        Tile {
            name: "Stored events",
            value: grouped(totals.events as f64),
            detail: format!(
                "{} anomalies, {} on disk",
                grouped(totals.anomalies as f64),
                bytes(state.store.size_bytes().await?)
            ),
        },
        Tile {
            name: "Model",
            value: match trained_us {
                Some(trained_us) => format!("{} old", lasting(trained_us, now_us)),
                None => String::from("of unknown age"),
            },
            detail: format!("{}, {}", meta.model_version, model.origin.words()),
        },
    ])
}

impl Row {
    fn new(station: &StationNow, cells: &StripCells, threshold: f64, now_us: i64) -> Self {
        let has_anomaly =
            |index: usize| cells.0.get(index).is_some_and(|cell| cell.n_anomalies > 0);
        let n_anomalous = (0..cells.0.len()).filter(|&index| has_anomaly(index)).count();
        let drawn: Vec<Level> = cells
            .0
            .iter()
            .enumerate()
            .map(|(index, cell)| {
                // An anomaly without another beside it may be chance.
                let is_alone = cell.n_anomalies < 2
                    && !has_anomaly(index + 1)
                    && !index.checked_sub(1).is_some_and(has_anomaly);
                match cell.n_anomalies {
                    0 => level(cell.score(), threshold),
                    _ if is_alone => Level::Alarm,
                    _ => Level::Alarming,
                }
            })
            .collect();
        let title = match n_anomalous {
            0 => String::from("last hour: no anomaly"),
            n => format!("last hour: anomalies in {n} of 120 half-minutes"),
        };
        Self {
            station_id: station.station_id.to_string(),
            link: station_link(&station.station_id),
            state: station.state.name(),
            symbol: station.state.symbol(),
            detail: match station.n_recent_anomalies {
                0 => String::new(),
                n => format!("{n} of its last {}", station.n_recent),
            },
            strip: Strip { title: &title, cells: &drawn }.svg(),
            score: format!("{:.2}", station.latest.anomaly_score),
            ago: ago(station.latest.received_us, now_us),
        }
    }
}

/// How high a score without an anomaly is, as a part of the threshold.
fn level(score: Option<f64>, threshold: f64) -> Level {
    match score {
        None => Level::Nothing,
        Some(score) if score < 0.8 * threshold => Level::Usual,
        Some(score) if score < 0.9 * threshold => Level::Raised,
        Some(_) => Level::High,
    }
}
