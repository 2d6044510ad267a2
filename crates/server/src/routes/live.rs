//! `GET /live`: tells those who watch how the stations are, as it changes.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use sensor::{StationId, timestamp};
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::api_error::{ApiError, Problem};
use crate::floor::{Beat, State as StationState, StationNow};
use crate::query::{self, Query};
use crate::state::{AppState, STREAMS_MAX};
use crate::wire::{HealthStoreBody, LiveBody, LiveCounts, LiveStation, StationName};

/// Who has missed more beats than this, at four a second at most, begins anew.
const MISSED_MAX: u64 = 240;
/// Stations that a message names.
const CHANGED_MAX: usize = 1_000;
/// Something goes out so often at least, so that either side notices when the other has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

/// How the stations are, as it changes
///
/// Server-sent events. A `snapshot` names all stations that are not normal, an `update` those whose
/// state has changed since the message before, or since the one that `Last-Event-ID` names. Who has
/// missed too much gets a snapshot. Numbers that always change come once a second, anomalies at once.
/// A `ping` comes when there is nothing else for fifteen seconds.
#[utoipa::path(
    get,
    path = "/live",
    tag = "events",
    params(("station_id" = inline(Option<StationName>), Query, description = "Of this station only, and only when it has sent something")),
    responses(
        (status = 200, body = LiveBody, content_type = "text/event-stream"),
        (status = 503, description = "As many watch as may", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn live(
    State(state): State<AppState>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let station_id = query.take("station_id", query::station_id);
    query.finish()?;
    let streams = std::sync::Arc::clone(&state.streams);
    let permit =
        streams.try_acquire_owned().map_err(|_| ApiError::TooManyStreams { most: STREAMS_MAX })?;
    let last_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let seen = last_id.and_then(|id| beat_of(id, state.floor.started_us()));
    let watcher = Watcher::new(state, station_id, seen, permit);
    // An event, not a comment: scripts do not hear of comments.
    let ping = Event::default().event("ping").data("{}");
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).event(ping);
    Ok(Sse::new(watcher.messages()).keep_alive(keep_alive).into_response())
}

/// Somebody who watches.
struct Watcher {
    state: AppState,
    bell: watch::Receiver<Beat>,
    /// Only this station is told of, and only when it has sent something.
    station_id: Option<StationId>,
    /// The beat that the client knows; `None` when it knows nothing.
    seen: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

impl Watcher {
    fn new(
        state: AppState,
        station_id: Option<StationId>,
        seen: Option<u64>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        state.metrics.stream_opened();
        let bell = state.floor.watch();
        Self { state, bell, station_id, seen, _permit: permit }
    }

    /// Messages until the server stops.
    fn messages(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watcher| async move {
            let message = watcher.next().await?;
            Some((Ok(message), watcher))
        })
    }

    /// The next message; `None` when there will be none.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if *self.bell.borrow_and_update() == Beat::Stop {
                return None;
            }
            if let Some(message) = self.look() {
                return Some(message);
            }
            self.bell.changed().await.ok()?;
        }
    }

    /// What there is to tell now.
    fn look(&mut self) -> Option<Event> {
        let floor = &self.state.floor;
        let beat = floor.last_beat();
        let seen = self.seen.filter(|seen| can_go_on(*seen, beat));
        if seen == Some(beat) {
            return None;
        }
        self.seen = Some(beat);
        let is_watched = |station: &StationNow| {
            self.station_id.as_ref().is_none_or(|id| *id == station.station_id)
        };
        let is_news = |station: &StationNow| match seen {
            Some(seen) => station.changed > seen,
            None => station.state != StationState::Normal,
        };
        let now_us = (self.state.clock)();
        if let (Some(station_id), Some(seen)) = (&self.station_id, seen) {
            let station = floor.station(station_id, now_us)?;
            if station.arrived.max(station.changed) <= seen {
                return None;
            }
        }
        let now = floor.now(now_us, |station| is_watched(station) && is_news(station));
        let totals = self.state.store.totals();
        let body = LiveBody {
            stations: LiveCounts {
                normal: now.counts.normal,
                anomaly: now.counts.anomaly,
                silent: now.counts.silent,
            },
            events_per_second: now.rates.events_per_second,
            anomalies_per_minute: now.rates.anomalies_per_minute,
            store: HealthStoreBody { events: totals.events, anomalies: totals.anomalies },
            has_more: now.has_more || now.stations.len() > CHANGED_MAX,
            changed: now.stations.iter().take(CHANGED_MAX).map(told).collect(),
        };
        let id = format!("{}-{beat}", floor.started_us());
        let kind = if seen.is_some() { "update" } else { "snapshot" };
        let message = Event::default().event(kind).id(id).json_data(body);
        Some(message.expect("names and numbers are JSON"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.state.metrics.stream_closed();
    }
}

fn told(station: &StationNow) -> LiveStation {
    LiveStation {
        station_id: String::from(station.station_id.as_str()),
        state: station.state.name(),
        since: station.since_us.map(timestamp::format),
        recent_anomalies: station.n_recent_anomalies,
    }
}

/// The beat that an id of this server names.
fn beat_of(id: &str, started_us: i64) -> Option<u64> {
    let (started, beat) = id.split_once('-')?;
    (started.parse() == Ok(started_us)).then(|| beat.parse().ok())?
}

/// Whether a client that knows everything up to a beat needs no snapshot.
fn can_go_on(seen: u64, beat: u64) -> bool {
    (beat.saturating_sub(MISSED_MAX)..=beat).contains(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_from_this_server_only() {
        assert_eq!(beat_of("1795348800000000-17", 1_795_348_800_000_000), Some(17));
        for id in ["1795348800000001-17", "17", "1795348800000000-", "-17", "x-1", ""] {
            assert_eq!(beat_of(id, 1_795_348_800_000_000), None, "{id}");
        }
    }

    #[test]
    fn who_has_missed_too_much_begins_anew() {
        assert!(can_go_on(0, 0) && can_go_on(0, MISSED_MAX) && can_go_on(5, 5));
        assert!(!can_go_on(0, MISSED_MAX + 1), "too late");
        assert!(!can_go_on(6, 5), "not yet");
    }
}
