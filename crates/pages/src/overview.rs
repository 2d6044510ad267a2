//! `GET /`: all stations at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use detector::AlarmRule;
use sensor::{StationId, timestamp};
use store::{KeepError, Trouble};
use wording::{bytes, grouped, rounded};

use crate::anomaly_rows::{self, AnomalyRow};
use crate::assets::Links;
use crate::shell::{Policy, page};
use crate::strip;
use crate::words::{
    Moment, Run, ago, in_url, lasting, origin_words, state_word, station_link, symbol,
};
use http_door::ApiError;
use http_door::query::{self, LIST_LIMIT_MAX, Query, QueryFaultKind};
use pipeline::Pipeline;
use pipeline::{LatencyNow, Model};
use stations::{Counts, STRIP_US, Snapshot, StationNow, StationState};

/// Stations in the table, when nobody asks for more.
const ROWS_DEFAULT: u32 = 50;
/// Sick stations that are put first, with their reasons.
const CARDS_MAX: usize = 6;
/// Anomalies that the list is made of, and stations in it.
const ANOMALIES_READ: u32 = 200;
const ANOMALIES_SHOWN: usize = 10;
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

/// A sick station.
struct Card {
    station_id: String,
    link: String,
    run: Option<Run>,
    n_anomalies: u32,
    n_events: u32,
    n_calm: u32,
    is_silent: bool,
    last: Option<AnomalyRow>,
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
    /// How it looks: what may be chance is no alarm.
    class: &'static str,
    symbol: &'static str,
    detail: String,
    strip: String,
    score: String,
    ago: String,
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

    /// The same with as many stations as there may be.
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
    let known = StationState::ALL;
    if text.is_empty() {
        return Ok(None);
    }
    known.into_iter().find(|state| state.name() == text).map(Some).ok_or(QueryFaultKind::Choice)
}

pub(crate) async fn overview(
    State(pipeline): State<Pipeline>,
    mut query: Query,
) -> Result<Response, ApiError> {
    let filter = Filter::read(&mut query);
    query.finish()?;
    let fleet = pipeline.fleet.now().await;
    let now_us = fleet.taken_us;
    let model = pipeline.models.current();
    let is_shown = |station: &&StationNow| station.is_sick || filter.finds(station);
    let mut shown: Vec<&StationNow> = fleet.stations.iter().filter(is_shown).collect();
    shown.sort_by_key(|station| needs_a_look(station));
    let latest = anomaly_rows::latest(&pipeline, None, ANOMALIES_READ).await?;

    let sick: Vec<&StationNow> = shown.iter().copied().filter(|station| station.is_sick).collect();
    let mut cards = Vec::new();
    for station in sick.iter().take(CARDS_MAX) {
        let is_of_it = |id: &StationId| *id == station.station_id;
        let mut last =
            latest.iter().find(|stored| is_of_it(&stored.prediction.station_id)).cloned();
        if last.is_none() {
            let station_id = Some(station.station_id.clone());
            last = anomaly_rows::latest(&pipeline, station_id, 1).await?.pop();
        }
        let last = last.map(|stored| AnomalyRow::new(&stored, &model));
        cards.push(Card::new(station, last, now_us));
    }
    let (strip_until_us, is_recording) = strip_end(&fleet, now_us);
    let found: Vec<&StationNow> =
        shown.iter().copied().filter(|station| filter.finds(station)).collect();
    let rows = found.iter().take(filter.limit as usize).map(|station| {
        let cells = station.strip.before(strip_until_us);
        Row::new(station, strip::drawn(&cells, model.detector.threshold()), now_us)
    });
    let headline = match pipeline.store.failure() {
        Some(failure) => Headline::of_failure(failure),
        None => Headline::new(&fleet, &sick),
    };
    Ok(page(
        &Overview {
            links: Links::get(),
            headline,
            cards,
            tiles: tiles(&pipeline, &fleet, &model, now_us).await?,
            rows: rows.collect(),
            n_found: found.len(),
            has_more: fleet.has_more,
            strip_end: Moment::of(strip_until_us),
            is_recording,
            anomalies: anomaly_rows::by_station(&latest, &model, ANOMALIES_SHOWN),
            filter,
        },
        Policy::Strict,
    ))
}

/// The order of stations: who needs a look comes first.
fn needs_a_look(station: &StationNow) -> (u8, std::cmp::Reverse<u32>) {
    let rank = match station.state {
        _ if station.is_sick => 0,
        StationState::Anomaly => 1,
        StationState::Silent => 2,
        StationState::Normal => 3,
    };
    (rank, std::cmp::Reverse(station.n_recent_anomalies))
}

/// When strips end: now, or with the last event of recordings that are from another time.
fn strip_end(fleet: &Snapshot, now_us: i64) -> (i64, bool) {
    match fleet.newest_us {
        Some(newest_us) if newest_us < now_us - STRIP_US => (newest_us + 1, true),
        _ => (now_us, false),
    }
}

impl Headline {
    /// Whatever stations do is not known when events cannot be kept.
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
                    "Stations are told to send again, because {failure}. What is shown of them is from before that."
                ),
            ),
        };
        let symbol = symbol(StationState::Anomaly);
        Self { tone: "alarm", symbol, text: text.into(), detail }
    }

    fn new(fleet: &Snapshot, sick: &[&StationNow]) -> Self {
        use StationState::{Anomaly, Normal, Silent};

        let Counts { normal, anomaly, silent, sick: n_sick } = fleet.counts;
        let total = fleet.counts.total();
        let all_are = |state: &str| match total {
            _ if fleet.has_more => format!("The {} stations followed are {state}", count(total)),
            1 => format!("The station is {state}"),
            _ => format!("All {} stations are {state}", count(total)),
        };
        let some_are = |n: usize, state: &str| match n {
            1 => format!("1 station is {state}"),
            _ => format!("{} stations are {state}", count(n)),
        };
        let (tone, state, text) = match sick {
            [station] => ("alarm", Anomaly, format!("{} is sick", station.station_id)),
            [_, ..] => ("alarm", Anomaly, some_are(n_sick, "sick")),
            [] if total == 0 => ("empty", Silent, String::from("No station has sent anything yet")),
            [] if silent == total => ("caution", Silent, all_are("silent")),
            [] if silent > 0 => ("caution", Silent, some_are(silent, "silent")),
            [] if anomaly > 0 => ("calm", Normal, String::from("No station is sick")),
            [] => ("calm", Normal, all_are("normal")),
        };
        let parts = [
            (n_sick, "sick"),
            (anomaly - n_sick, "with an anomaly lately"),
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
            n_anomalies: station.n_recent_anomalies,
            n_events: station.n_recent,
            n_calm: station.n_calm,
            is_silent: station.is_silent,
            last,
        }
    }
}

async fn tiles(
    pipeline: &Pipeline,
    fleet: &Snapshot,
    model: &Model,
    now_us: i64,
) -> Result<Vec<Tile>, ApiError> {
    let totals = pipeline.store.totals();
    let meta = model.detector.meta();
    let trained_us = timestamp::parse(&meta.trained_at).ok();
    let ms = |seconds: f64| format!("{} ms", rounded(seconds * 1e3, 1));
    let latency = pipeline.latency();
    let n_of_minute = fleet.rates.events_per_minute as f64;
    Ok(vec![
        Tile {
            name: "Events a second",
            value: rounded(fleet.rates.events_per_second, 1),
            detail: String::from("over the last 10 s"),
        },
        Tile {
            name: "Anomalies a minute",
            value: grouped(fleet.rates.anomalies_per_minute as f64),
            detail: match model.detector.alarm_rule() {
                AlarmRule::FalseAlarmRate(rate) => format!(
                    "of {} events; {} would be chance",
                    grouped(n_of_minute),
                    rounded(n_of_minute * rate, 1)
                ),
                AlarmRule::Contamination(_) => format!("of {} events", grouped(n_of_minute)),
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
                bytes(pipeline.store.size_bytes().await?)
            ),
        },
        Tile {
            name: "Model",
            value: match trained_us {
                Some(trained_us) => format!("{} old", lasting(trained_us, now_us)),
                None => String::from("of unknown age"),
            },
            detail: format!("{}, {}", meta.model_version, origin_words(model.origin)),
        },
    ])
}

impl Row {
    fn new(station: &StationNow, strip: String, now_us: i64) -> Self {
        Self {
            station_id: station.station_id.to_string(),
            link: station_link(&station.station_id),
            state: state_word(station),
            class: match station.state {
                StationState::Anomaly if !station.is_sick => "recent",
                state => state.name(),
            },
            symbol: symbol(station.state),
            detail: match station.n_recent_anomalies {
                _ if station.is_sick && station.is_silent => String::from("now silent"),
                0 => String::new(),
                n => format!("{n} of its last {}", station.n_recent),
            },
            strip,
            score: format!("{:.2}", station.latest.anomaly_score),
            ago: ago(station.latest.received_us, now_us),
        }
    }
}
