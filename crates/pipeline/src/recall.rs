//! The past of the stations, read from the database at the start.

use std::time::Instant;

use sensor::{Arrival, Glance, StationId};
use stations::{Fleet, RECENT_LEN, Strip};
use store::{ReadError, SeriesQuery, StationQuery, Store};

use crate::limits::RECALL_TIMEOUT;
use crate::live_fleet::{LiveFleet, Recalled, RecalledPart};

/// Stations read at once.
const PAGE_LEN: u32 = 200;
/// Events among which the beginning of a run of anomalies is searched.
const RUN_LEN_MAX: u32 = 50_000;

/// Reads the last events of the stations, before anything else arrives.
///
/// # Errors
///
/// Fails when the database cannot be read; what was read until then is known.
pub(crate) async fn recall(store: &Store, fleet: &LiveFleet, now_us: i64) -> Result<(), ReadError> {
    let begun = Instant::now();
    let since_us = Fleet::remembered_since_us(now_us);
    let mut after: Option<StationId> = None;
    let mut n_read = 0;
    // Of too many, the fleet keeps those that were heard of last.
    while begun.elapsed() < RECALL_TIMEOUT {
        let page = StationQuery { limit: PAGE_LEN, after: after.take() };
        let rest = RECALL_TIMEOUT.saturating_sub(begun.elapsed());
        let found = tokio::time::timeout(rest, store.glances(page, RECENT_LEN)).await;
        let Ok(found) = found else { break };
        let found = found?;
        n_read += found.len();
        after = found.last().map(|(station_id, _)| station_id.clone());
        for (station_id, glances) in &found {
            if glances.iter().any(|glance| glance.received_us > since_us) {
                let in_order = glances.iter().rev();
                let arrival = |&glance: &Glance| Arrival { station_id: station_id.clone(), glance };
                fleet.note(in_order.map(arrival).collect());
            }
        }
        if found.len() < PAGE_LEN as usize {
            return Ok(());
        }
    }
    tracing::info!(n_stations = n_read, "there are more stations; the pages start without them");
    fleet.set_has_more();
    Ok(())
}

/// Reads the last hour of each station and the beginning of its present run of anomalies, one station
/// after the other, while events arrive.
pub(crate) async fn recall_details(store: &Store, fleet: &LiveFleet) {
    for station in &fleet.now().await.stations {
        let has_anomalies = station.n_recent_anomalies > 0;
        match recall_station(store, &station.station_id, has_anomalies, &station.strip).await {
            Ok(recalled) => fleet.recalled(recalled),
            Err(error) => {
                tracing::debug!(%error, station.id = %station.station_id, "cannot read the last hour of a station");
            }
        }
    }
}

async fn recall_station(
    store: &Store,
    station_id: &StationId,
    has_anomalies: bool,
    strip: &Strip,
) -> Result<Recalled, ReadError> {
    let (since_us, until_us) = strip.span();
    let query = SeriesQuery {
        station_id: station_id.clone(),
        since_us,
        until_us,
        // As many buckets as the strip has cells, so that they have the same edges.
        n_buckets: Strip::N_CELLS,
        features: Vec::new(),
    };
    let buckets = store.series(query).await?.into_iter();
    let since_us = if has_anomalies {
        run_begun_us(&store.past(station_id.clone(), RUN_LEN_MAX).await?)
    } else {
        None
    };
    let part = |bucket: store::Bucket| RecalledPart {
        timestamp_us: bucket.first_us,
        max_score: bucket.score.max,
        n_anomalies: bucket.n_anomalies,
    };
    Ok(Recalled { station_id: station_id.clone(), parts: buckets.map(part).collect(), since_us })
}

/// Returns when the run of anomalies began that no long row of normal events separates from the last
/// event. `past` has the last event first.
fn run_begun_us(past: &[Glance]) -> Option<i64> {
    let mut begun_us = None;
    let mut n_calm = 0;
    for glance in past {
        if glance.is_anomaly {
            begun_us = Some(glance.timestamp_us);
            n_calm = 0;
        } else {
            n_calm += 1;
            if n_calm == RECENT_LEN {
                break;
            }
        }
    }
    begun_us
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_anomalies_begins_after_many_normal_events() {
        let past = |anomalies: &[i64]| -> Vec<Glance> {
            let glance = |time_us: i64| Glance {
                timestamp_us: time_us,
                received_us: time_us,
                anomaly_score: 0.5,
                is_anomaly: anomalies.contains(&time_us),
                alarm: None,
            };
            (0..100).rev().map(glance).collect()
        };
        assert_eq!(run_begun_us(&past(&[10, 40, 59, 78, 97])), Some(40));
        assert_eq!(run_begun_us(&past(&[10])), None, "that is over");
        assert_eq!(run_begun_us(&past(&[])), None);
        assert_eq!(run_begun_us(&[]), None);
    }
}
