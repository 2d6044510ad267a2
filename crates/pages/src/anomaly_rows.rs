//! Anomalies in a list, with their reasons.

use sensor::StationId;
use store::{AnomalyQuery, StoredPrediction};
use wording::rounded;

use crate::words::{Moment, anomaly_link, lasting, station_link};
use http_door::ApiError;
use pipeline::Model;
use pipeline::Pipeline;

/// An anomaly in a list.
pub(crate) struct AnomalyRow {
    pub(crate) link: String,
    pub(crate) measured: Moment,
    pub(crate) station_id: String,
    pub(crate) station_link: String,
    pub(crate) score: String,
    pub(crate) reason: String,
    /// The delay after its measurement, if an event that was measured later arrived before it.
    pub(crate) late_by: Option<String>,
    /// The number of earlier anomalies of the same station, among those that were read.
    pub(crate) n_others: usize,
}

impl AnomalyRow {
    pub(crate) fn new(stored: &StoredPrediction, model: &Model) -> Self {
        let prediction = &stored.prediction;
        Self {
            link: anomaly_link(stored.id),
            measured: Moment::of(prediction.timestamp_us),
            station_id: prediction.station_id.to_string(),
            station_link: station_link(&prediction.station_id),
            score: rounded(prediction.anomaly_score, 3),
            reason: model.detector.meta().reasons(prediction),
            late_by: None,
            n_others: 0,
        }
    }
}

/// Returns the anomalies that arrived last, of a station or of all.
pub(crate) async fn latest(
    pipeline: &Pipeline,
    station_id: Option<StationId>,
    limit: u32,
) -> Result<Vec<StoredPrediction>, ApiError> {
    let query = AnomalyQuery { limit, station_id, since_us: None, before_id: None };
    Ok(pipeline.store.latest_anomalies(query).await?)
}

/// Returns the last anomalies of a station to be measured, among those that arrived last: a backlog that
/// arrives late is not what happens now.
pub(crate) fn by_time(
    latest: &[StoredPrediction],
    model: &Model,
    len_max: usize,
) -> Vec<AnomalyRow> {
    let mut measured: Vec<&StoredPrediction> = latest.iter().collect();
    measured.sort_by_key(|stored| {
        std::cmp::Reverse((stored.prediction.timestamp_us, stored.prediction.sequence))
    });
    measured.truncate(len_max);
    let mut first_id = i64::MAX;
    let rows = measured.into_iter().map(|stored| {
        let is_late = stored.id > first_id;
        first_id = first_id.min(stored.id);
        let late_by = is_late.then(|| lasting(stored.prediction.timestamp_us, stored.received_us));
        AnomalyRow { late_by, ..AnomalyRow::new(stored, model) }
    });
    rows.collect()
}

/// Returns the last anomaly of each station, with the number of the earlier ones: a station that
/// is sick would fill a list.
pub(crate) fn by_station(
    latest: &[StoredPrediction],
    model: &Model,
    len_max: usize,
) -> Vec<AnomalyRow> {
    let mut counts: Vec<(&StoredPrediction, usize)> = Vec::new();
    for stored in latest {
        let station_id = &stored.prediction.station_id;
        let known = counts.iter_mut().find(|(last, _)| last.prediction.station_id == *station_id);
        match known {
            Some((last, n_others)) => {
                *n_others += 1;
                if stored.prediction.timestamp_us > last.prediction.timestamp_us {
                    *last = stored;
                }
            }
            None => counts.push((stored, 0)),
        }
    }
    counts.truncate(len_max);
    // By the time of measurement, as the column says.
    counts.sort_by_key(|(stored, _)| std::cmp::Reverse(stored.prediction.timestamp_us));
    let row = |(last, n_others)| AnomalyRow { n_others, ..AnomalyRow::new(last, model) };
    counts.into_iter().map(row).collect()
}
