//! Anomalies in a list, with their reasons.

use sensor::StationId;
use store::{AnomalyQuery, StoredPrediction};
use wording::rounded;

use super::words::{Moment, anomaly_link, station_link};
use crate::api_error::ApiError;
use crate::model::Model;
use crate::state::AppState;

/// An anomaly in a list.
pub(super) struct AnomalyRow {
    pub(super) link: String,
    pub(super) measured: Moment,
    pub(super) station_id: String,
    pub(super) station_link: String,
    pub(super) score: String,
    pub(super) reason: String,
    /// Earlier anomalies that it stands for, as far as was looked.
    pub(super) n_others: usize,
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
            n_others: 0,
        }
    }
}

/// The anomalies that arrived last, of a station or of all.
pub(super) async fn latest(
    state: &AppState,
    station_id: Option<StationId>,
    limit: u32,
) -> Result<Vec<StoredPrediction>, ApiError> {
    let query = AnomalyQuery { limit, station_id, since_us: None, before_id: None };
    Ok(state.store.latest_anomalies(query).await?)
}

/// Of some latest anomalies the last of each station, which stands for the earlier ones: a station that
/// is sick would fill a list.
pub(super) fn by_station(
    latest: &[StoredPrediction],
    model: &Model,
    len_max: usize,
) -> Vec<AnomalyRow> {
    let mut counts: Vec<(&StoredPrediction, usize)> = Vec::new();
    for stored in latest {
        let station_id = &stored.prediction.station_id;
        let known = counts.iter_mut().find(|(last, _)| last.prediction.station_id == *station_id);
        match known {
            Some((_, n_others)) => *n_others += 1,
            None => counts.push((stored, 0)),
        }
    }
    let row = |(last, n_others)| AnomalyRow { n_others, ..AnomalyRow::new(last, model) };
    counts.into_iter().take(len_max).map(row).collect()
}
