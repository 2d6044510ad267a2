//! What was before the start, read from the database.

use std::time::{Duration, Instant};

use sensor::StationId;
use store::{Arrival, Glance, ReadError, SeriesQuery, StationQuery, Store};

use super::station::RECENT_LEN;
use super::strip::N_CELLS;
use super::{FORGOTTEN_AFTER_US, Floor, STATIONS_MAX};

/// Stations that are read at once.
const PAGE_LEN: u32 = 200;
/// A start does not wait longer than this for the past.
const RECALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Events that the beginning of a row of anomalies is looked for among.
const RUN_LEN_MAX: u32 = 50_000;

impl Floor {
    /// Reads how stations were when they sent last, before anything else arrives.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read; what was read until then is known.
    pub(crate) async fn recall(&self, store: &Store, now_us: i64) -> Result<(), ReadError> {
        let begun = Instant::now();
        let mut after: Option<StationId> = None;
        let mut n_read = 0;
        while n_read < STATIONS_MAX && begun.elapsed() < RECALL_TIMEOUT {
            let page = StationQuery { limit: PAGE_LEN, after: after.take() };
            let found = store.glances(page, RECENT_LEN).await?;
            n_read += found.len();
            after = found.last().map(|(station_id, _)| station_id.clone());
            for (station_id, glances) in &found {
                let is_current = |glance: &Glance| glance.received_us > now_us - FORGOTTEN_AFTER_US;
                let in_order = glances.iter().rev();
                let arrivals: Vec<Arrival<'_>> =
                    in_order.map(|&glance| Arrival { station_id, glance }).collect();
                if glances.iter().any(is_current) {
                    self.note(&arrivals);
                }
            }
            if found.len() < PAGE_LEN as usize {
                return Ok(());
            }
        }
        tracing::info!(
            n_stations = n_read,
            "there are more stations; the pages begin without them"
        );
        self.lock().has_more = true;
        Ok(())
    }

    /// Reads the last hour of each station, and since when anomalies go on, one station after the
    /// other, while others send.
    pub(crate) async fn recall_details(&self, store: &Store) {
        let stations: Vec<(StationId, bool, (i64, i64))> = {
            let known = self.lock();
            let stations = known.by_id.iter();
            stations
                .map(|(id, past)| (id.clone(), past.has_recent_anomalies(), past.strip_span()))
                .collect()
        };
        for (station_id, has_anomalies, span) in stations {
            let recalled = self.recall_station(store, &station_id, has_anomalies, span).await;
            if let Err(error) = recalled {
                tracing::debug!(%error, station.id = %station_id, "its last hour is not shown");
            }
        }
    }

    async fn recall_station(
        &self,
        store: &Store,
        station_id: &StationId,
        has_anomalies: bool,
        (since_us, until_us): (i64, i64),
    ) -> Result<(), ReadError> {
        let query = SeriesQuery {
            station_id: station_id.clone(),
            since_us,
            until_us,
            // As many as the strip has parts, so that they have the same edges.
            n_buckets: N_CELLS.into(),
            features: Vec::new(),
        };
        let buckets = store.series(query).await?;
        let begun_us = if has_anomalies {
            run_begun_us(&store.past(station_id.clone(), RUN_LEN_MAX).await?)
        } else {
            None
        };
        if let Some(past) = self.lock().by_id.get_mut(station_id) {
            for bucket in buckets {
                past.recall_part(bucket.first_us, bucket.score.max, bucket.n_anomalies);
            }
            if let Some(begun_us) = begun_us {
                past.recall_since(begun_us);
            }
        }
        Ok(())
    }
}

/// When the first anomaly was measured of those that no long row of normal events separates from the
/// last; the last event to be measured comes first.
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
    fn a_row_of_anomalies_begins_after_many_normal_events() {
        let past = |anomalies: &[i64]| -> Vec<Glance> {
            let glance = |time_us: i64| Glance {
                timestamp_us: time_us,
                received_us: time_us,
                anomaly_score: 0.5,
                is_anomaly: anomalies.contains(&time_us),
            };
            (0..100).rev().map(glance).collect()
        };
        assert_eq!(run_begun_us(&past(&[10, 40, 59, 78, 97])), Some(40));
        assert_eq!(run_begun_us(&past(&[10])), None, "that is over");
        assert_eq!(run_begun_us(&past(&[])), None);
        assert_eq!(run_begun_us(&[]), None);
    }
}
