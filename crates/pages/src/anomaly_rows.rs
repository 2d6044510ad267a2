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
            reason: model.detector.reasons(prediction),
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
    Ok(pipeline.store.latest_anomalies(query).await?.entries)
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
    rows(measured, model)
}

/// Makes rows of anomalies, the last to be measured first, and marks those that came after one that was
/// measured later.
fn rows(measured: Vec<&StoredPrediction>, model: &Model) -> Vec<AnomalyRow> {
    /// A shorter delay is not worth a remark.
    const LATE_FROM_US: i64 = 60_000_000;
    let mut first_id = i64::MAX;
    let row = |stored: &StoredPrediction| {
        let measured_us = stored.prediction.timestamp_us;
        let is_late = stored.id > first_id && stored.received_us - measured_us >= LATE_FROM_US;
        first_id = first_id.min(stored.id);
        let late_by = is_late.then(|| lasting(measured_us, stored.received_us));
        AnomalyRow { late_by, ..AnomalyRow::new(stored, model) }
    };
    measured.into_iter().map(row).collect()
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
    let (measured, n_others): (Vec<_>, Vec<_>) = counts.into_iter().unzip();
    let rows = rows(measured, model).into_iter().zip(n_others);
    rows.map(|(row, n_others)| AnomalyRow { n_others, ..row }).collect()
}
