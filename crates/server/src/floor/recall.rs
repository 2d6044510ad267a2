//! What was before the start, read from the database.

use std::time::{Duration, Instant};

use sensor::StationId;
use store::{Arrival, ReadError, SeriesQuery, StationQuery, Store};

use super::station::RECENT_LEN;
use super::strip::{N_CELLS, STRIP_US};
use super::{Floor, STATIONS_MAX};

/// Stations that are read at once.
const PAGE_LEN: u32 = 200;
/// A start does not wait longer than this for the past.
const RECALL_TIMEOUT: Duration = Duration::from_secs(1);

impl Floor {
    /// Reads how stations were when they sent last, before anything else arrives.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be read.
    pub(crate) async fn recall(&self, store: &Store) -> Result<(), ReadError> {
        let begun = Instant::now();
        let mut after: Option<StationId> = None;
        let mut n_known = 0;
        while n_known < STATIONS_MAX && begun.elapsed() < RECALL_TIMEOUT {
            let page = StationQuery { limit: PAGE_LEN, after: after.take() };
            let found = store.glances(page, RECENT_LEN).await?;
            n_known += found.len();
            after = found.last().map(|(station_id, _)| station_id.clone());
            for (station_id, glances) in &found {
                let in_order = glances.iter().rev();
                let arrivals: Vec<Arrival<'_>> =
                    in_order.map(|&glance| Arrival { station_id, glance }).collect();
                self.note(&arrivals);
            }
            if found.len() < PAGE_LEN as usize {
                return Ok(());
            }
        }
        tracing::info!(
            n_stations = n_known,
            "there are more stations; the pages begin without them"
        );
        self.lock().has_more = true;
        Ok(())
    }

    /// Reads the last hour of each station, one after the other, while others send.
    pub(crate) async fn recall_strips(&self, store: &Store) {
        let stations: Vec<(StationId, i64)> = {
            let known = self.lock();
            let latest = known.by_id.iter().map(|(id, past)| (id.clone(), past.latest_us()));
            latest.collect()
        };
        for (station_id, latest_us) in stations {
            let query = SeriesQuery {
                station_id: station_id.clone(),
                since_us: latest_us.saturating_sub(STRIP_US),
                until_us: latest_us.saturating_add(1),
                n_buckets: N_CELLS.into(),
                features: Vec::new(),
            };
            match store.series(query).await {
                Ok(buckets) => {
                    let mut known = self.lock();
                    let Some(past) = known.by_id.get_mut(&station_id) else { continue };
                    for bucket in buckets {
                        past.recall(bucket.last_us, bucket.score.max, bucket.n_anomalies > 0);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, station.id = %station_id, "its last hour is not shown");
                }
            }
        }
    }
}
