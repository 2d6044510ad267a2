//! `GET /live`: the stations as they change, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, Stream};
use pipeline::Shutdown;
use sensor::{StationId, timestamp};
use stations::{Concern, Snapshot, StationNow, StationState};
use tokio::sync::watch;
use wire::{LiveBody, LiveCounts, LiveStation, ProblemBody, StationName, TotalsBody};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::limits::{STREAM_CHANGED_MAX, STREAM_PING, STREAMS_MAX};
use crate::query::{self, Query};
use crate::shares::{Client, Part};

/// A client that has missed more snapshots than this, at four a second, gets a new snapshot.
const MISSED_MAX: u64 = 240;
const LAST_EVENT_ID: &str = "last-event-id";

/// The stations as they change
///
/// Server-sent events. A `snapshot` names all stations that are not normal, an `update` those whose
/// state has changed since the previous message, or since the one in `Last-Event-ID`. A client that
/// lags too far gets a snapshot. Counts and rates come once a second, anomalies at once. After five
/// seconds without news comes a `ping`.
#[utoipa::path(
    get,
    path = "/live",
    tag = "events",
    params(("station_id" = inline(Option<StationName>), Query, description = "Only this station, and only when it has sent something")),
    responses(
        (status = 200, description = "A stream of messages", body = LiveBody, content_type = "text/event-stream"),
        (status = 503, description = "Too many clients watch", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn live(
    State(api): State<Api>,
    client: Client,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, ApiError> {
    let station_id = query.take("station_id", query::station_id);
    query.finish()?;
    let place = api.streams.try_take(client, 1);
    let place = place.ok_or(ApiError::TooManyStreams { n_streams_max: STREAMS_MAX })?;
    let last_id = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let seen = last_id.and_then(|id| number_of(id, api.pipeline.started_us));
    let watcher = Watcher::new(api, station_id, seen, place);
    // An event, not a comment: scripts do not see comments.
    let ping = Event::default().event("ping").data("{}");
    let keep_alive = KeepAlive::new().interval(STREAM_PING).event(ping);
    // A proxy that buffers would hold messages back.
    let unbuffered = (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(([unbuffered], Sse::new(watcher.messages()).keep_alive(keep_alive)).into_response())
}

/// A client that watches.
struct Watcher {
    published: watch::Receiver<Arc<Snapshot>>,
    shutdown: Shutdown,
    api: Api,
    /// The only station of interest.
    station_id: Option<StationId>,
    /// The number of the snapshot that the client knows; `None` when it knows nothing.
    seen: Option<u64>,
    /// `true` if the first message is still to come.
    is_new: bool,
    _place: Part,
}

impl Watcher {
    fn new(api: Api, station_id: Option<StationId>, seen: Option<u64>, place: Part) -> Self {
        api.metrics.stream_opened();
        Self {
            published: api.pipeline.fleet.watch(),
            shutdown: api.shutdown.clone(),
            api,
            station_id,
            seen,
            is_new: true,
            _place: place,
        }
    }

    /// Returns messages until the server stops.
    fn messages(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut watcher| async move {
            let message = watcher.next().await?;
            Some((Ok(message), watcher))
        })
    }

    /// Waits for the next message. Returns `None` when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let snapshot = if std::mem::take(&mut self.is_new) {
                self.api.pipeline.fleet.now().await
            } else {
                tokio::select! {
                    changed = self.published.changed() => changed.ok()?,
                    () = self.shutdown.requested() => return None,
                }
                let published = Arc::clone(&self.published.borrow_and_update());
                // It may have been published before the first message was written.
                if Some(published.number) <= self.seen {
                    continue;
                }
                published
            };
            if let Some(message) = self.message(&snapshot) {
                return Some(message);
            }
        }
    }

    /// Tells what is new in a snapshot, if anything is.
    fn message(&mut self, snapshot: &Snapshot) -> Option<Event> {
        let number = snapshot.number;
        let seen = self.seen.filter(|seen| can_go_on(*seen, number));
        if seen == Some(number) {
            return None;
        }
        self.seen = Some(number);
        if let (Some(station_id), Some(seen)) = (&self.station_id, seen) {
            let station = snapshot.station(station_id)?;
            if station.arrived.max(station.changed) <= seen {
                return None;
            }
        }
        let is_watched = |station: &StationNow| {
            self.station_id.as_ref().is_none_or(|id| *id == station.station_id)
        };
        let is_news = |station: &StationNow| match seen {
            Some(seen) => station.changed > seen,
            None => station.state != StationState::Normal,
        };
        let is_told = |station: &&StationNow| is_news(station) && is_watched(station);
        let mut news = snapshot.stations.iter().filter(is_told);
        let changed = news.by_ref().take(STREAM_CHANGED_MAX).map(live_station).collect();
        let totals = self.api.pipeline.totals();
        let body = LiveBody {
            stations: LiveCounts {
                normal: snapshot.counts.normal,
                anomaly: snapshot.counts.anomaly,
                silent: snapshot.counts.silent,
                sick: snapshot.counts.sick,
                sensor_fault: snapshot.counts.sensor_fault,
                changed: snapshot.counts.changed,
            },
            events_per_second: snapshot.rates.events_per_second,
            anomalies_per_minute: snapshot.rates.anomalies_per_minute,
            store: TotalsBody { events: totals.events, anomalies: totals.anomalies },
            changed,
            has_more: snapshot.has_more || news.next().is_some(),
        };
        let id = format!("{}-{number}", self.api.pipeline.started_us);
        let kind = if seen.is_some() { "update" } else { "snapshot" };
        let message = Event::default().event(kind).id(id).json_data(body);
        Some(message.expect("names and numbers are JSON"))
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.api.metrics.stream_closed();
    }
}

fn live_station(station: &StationNow) -> LiveStation {
    LiveStation {
        station_id: String::from(station.station_id.as_str()),
        state: station.state.name(),
        concern: station.concern.map(Concern::name),
        alarm: station.alarm.map(|alarm| alarm.state),
        opened_at: station.alarm.and_then(|alarm| alarm.opened_us).map(timestamp::format),
        since: station.since_us.map(timestamp::format),
        recent_anomalies: station.n_recent_anomalies,
    }
}

/// Returns the number of the snapshot that an id of this server names.
fn number_of(id: &str, started_us: i64) -> Option<u64> {
    let (started, number) = id.split_once('-')?;
    (started.parse() == Ok(started_us)).then(|| number.parse().ok())?
}

/// Returns `true` if a client that knows the snapshot `seen` needs only what has changed since.
fn can_go_on(seen: u64, number: u64) -> bool {
    (number.saturating_sub(MISSED_MAX)..=number).contains(&seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_other_servers_are_ignored() {
        assert_eq!(number_of("1795348800000000-17", 1_795_348_800_000_000), Some(17));
        for id in ["1795348800000001-17", "17", "1795348800000000-", "-17", "x-1", ""] {
            assert_eq!(number_of(id, 1_795_348_800_000_000), None, "{id}");
        }
    }

    #[test]
    fn a_client_that_lags_too_far_gets_a_snapshot() {
        assert!(can_go_on(0, 0) && can_go_on(0, MISSED_MAX) && can_go_on(5, 5));
        assert!(!can_go_on(0, MISSED_MAX + 1), "too late");
        assert!(!can_go_on(6, 5), "not yet");
    }
}
