//! Values and scores of the training over time, and its strangest rows.

use figures::{Panel, Panels, Point, Threshold};
use sensor::{SensorEvent, StationId};
use wording::{percent, rounded, significant};

use crate::summary::Summary;

/// Features that are drawn over time.
const FEATURES: usize = 5;
/// Moments of a drawing.
const MOMENTS: usize = 400;
/// Rows among which the strangest are looked for, spread over the training.
const LOOKED_AT: usize = 200_000;
/// Rows that are listed.
const LISTED: usize = 10;
/// The rates of the table.
const RATES: [f64; 6] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03];

impl Summary<'_> {
    /// Draws the first features and the score of the station with the most events over time; `None` where the data has no times.
    pub(super) fn courses(&self) -> Option<(String, String)> {
        self.timeline.as_ref()?;
        let (station, events) = self.largest_station()?;
        let (since_us, until_us) = (events.first()?.timestamp_us(), events.last()?.timestamp_us());
        let scores = self.detector.judge_events(&events);
        let len = events.len().div_ceil(MOMENTS);
        let panel = |name: String, value: &dyn Fn(usize) -> f64, threshold: Option<f64>| {
            let point = |first: usize| {
                let values = (first..events.len().min(first + len)).map(value);
                let present = values.filter(|value| value.is_finite());
                let both = present.fold(None, |both: Option<(f64, f64)>, value| {
                    let (min, max) = both.unwrap_or((value, value));
                    Some((min.min(value), max.max(value)))
                });
                both.map(|(min, max)| Point { time_us: events[first].timestamp_us(), min, max })
            };
            Panel {
                name,
                points: (0..events.len()).step_by(len).map(point).collect(),
                band: None,
                thresholds: threshold
                    .map(|value| Threshold { since_us, until_us, value })
                    .into_iter()
                    .collect(),
                markers: Vec::new(),
            }
        };
        let features = self.detector.meta().features.iter().take(FEATURES).enumerate();
        let mut panels: Vec<Panel> = features
            .map(|(index, feature)| {
                panel(feature.title(), &|row| events[row].values()[index], None)
            })
            .collect();
        let threshold = self.detector.threshold_of(station.as_str());
        panels.push(panel(
            String::from("score"),
            &|row| scores[row].anomaly_score,
            Some(threshold),
        ));
        let title = format!("{station}: the first features, and the score of the forest");
        let drawn = Panels { title: &title, since_us, until_us, panels: &panels, marks: &[] };
        Some((drawn.svg(), title.clone()))
    }

    /// Returns the station with the most events, and these in order of time.
    fn largest_station(&self) -> Option<(&StationId, Vec<&SensorEvent>)> {
        let mut events: Vec<&SensorEvent> = self.data.events.iter().collect();
        events.sort_by_key(|event| (event.station_id(), event.timestamp_us()));
        let of_stations = events.chunk_by(|a, b| a.station_id() == b.station_id());
        let largest = of_stations.max_by_key(|events| events.len())?;
        Some((largest[0].station_id(), largest.to_vec()))
    }

    /// Returns a row for each of several false-alarm rates, as far as the training has enough events for it.
    pub(super) fn rates(&self) -> Vec<Vec<String>> {
        let an_hour = self.events_an_hour();
        let row = |rate: f64| {
            let detector = self.detector.clone().with_false_alarm_rate(rate).ok()?;
            let per_hour = |events_an_hour: f64| rounded(rate * events_an_hour, 2);
            Some(vec![
                percent(rate),
                rounded(detector.threshold(), 4),
                per_hour(3_600.0),
                an_hour.map_or(String::from("-"), per_hour),
            ])
        };
        RATES.into_iter().filter_map(row).collect()
    }

    /// Returns the strangest rows of the training, with the reasons.
    pub(super) fn strangest_rows(&self) -> Vec<Vec<String>> {
        let events = &self.data.events;
        let n = events.len().min(LOOKED_AT);
        let looked_at: Vec<usize> = (0..n).map(|index| index * events.len() / n).collect();
        let judged = self
            .detector
            .judge_events(&looked_at.iter().map(|row| &events[*row]).collect::<Vec<_>>());
        let mut strangest: Vec<_> = looked_at.into_iter().zip(judged).collect();
        strangest.sort_by(|(_, a), (_, b)| {
            a.p_value.total_cmp(&b.p_value).then(b.anomaly_score.total_cmp(&a.anomaly_score))
        });
        let listed = strangest.into_iter().take(LISTED).map(|(row, score)| {
            let event = &events[row];
            let prediction = self.detector.assess(event);
            vec![
                self.data.place(row + 1),
                event.station_id().to_string(),
                rounded(score.anomaly_score, 4),
                significant(score.p_value),
                self.detector.reasons(&prediction),
            ]
        });
        listed.collect()
    }
}
