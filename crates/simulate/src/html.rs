//! The report of a run as one HTML file: the truth beside what was called an anomaly.

use std::collections::BTreeMap;

use figures::number::{grouped, percent, rounded};
use figures::{Level, Report as Page, Strip};
use sensor::{StationId, timestamp};

use crate::report::Report;

/// Parts of a strip.
const N_CELLS: usize = 240;
/// Stations that are drawn.
const STATIONS_DRAWN: usize = 60;

/// What is remembered of every event, for its place in the picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) timestamp_us: i64,
    /// Where it is known.
    pub(crate) is_anomalous: Option<bool>,
    pub(crate) is_called: bool,
}

/// Events of a run by station.
#[derive(Debug, Default)]
pub(crate) struct History(BTreeMap<StationId, Vec<Seen>>);

impl History {
    pub(crate) fn note(&mut self, station_id: &StationId, seen: Seen) {
        self.0.entry(station_id.clone()).or_default().push(seen);
    }

    /// The report with its timelines as HTML.
    pub(crate) fn page(&self, report: &Report, url: &str) -> String {
        let mut page = Page::new("Simulation: truth and detection");
        page.facts([
            ("server", String::from(url)),
            (
                "events",
                format!(
                    "{} sent, {} stored",
                    grouped(report.sent as f64),
                    grouped(report.stored as f64)
                ),
            ),
            ("took", format!("{} s", rounded(report.seconds, 1))),
        ]);
        if report.interrupted {
            page.warning("The run was interrupted; this is about what was sent until then.");
        }
        let share = |share: Option<f64>| share.map_or(String::from("\u{2013}"), percent);
        page.heading("Truth and detection");
        page.table(&["", "called anomalies", "called normal"], report.confusion_rows());
        page.facts([
            ("precision", share(report.precision)),
            ("recall", share(report.recall)),
            ("false-alarm rate", share(report.false_alarm_rate)),
        ]);
        page.heading("By cause");
        page.table(&["cause", "events", "caught", "missed"], report.cause_rows());

        page.heading("Over time");
        match self.span() {
            Some((first_us, last_us)) => {
                page.paragraph(&format!(
                    "From {} to {}, measured. Of each station, the upper strip is the truth and the lower one what the \
                     server called an anomaly: full height in red. A red part above without one below was missed, one \
                     below alone is a false alarm.",
                    timestamp::format(first_us),
                    timestamp::format(last_us)
                ));
                page.rows(self.strips(first_us, last_us));
                if self.0.len() > STATIONS_DRAWN {
                    let n_more = self.0.len() - STATIONS_DRAWN;
                    page.paragraph(&format!("{n_more} more stations are not drawn."));
                }
            }
            None => page.paragraph("Nothing was answered."),
        }
        page.heading("Answers");
        let latency = report.latency_ms;
        page.facts([
            ("half were faster than", format!("{} ms", rounded(latency.p50, 2))),
            ("95 of 100", format!("{} ms", rounded(latency.p95, 2))),
            ("99 of 100", format!("{} ms", rounded(latency.p99, 2))),
        ]);
        page.end()
    }

    fn span(&self) -> Option<(i64, i64)> {
        let times = || self.0.values().flatten().map(|seen| seen.timestamp_us);
        times().min().zip(times().max())
    }

    /// Two strips a station.
    fn strips(&self, first_us: i64, last_us: i64) -> Vec<(String, String)> {
        let drawn = self.0.iter().take(STATIONS_DRAWN);
        let strips = drawn.flat_map(|(station_id, seen)| {
            let strip = |what: &str, is_high: fn(&Seen) -> bool| {
                let cells = cells(seen, (first_us, last_us), is_high);
                let n_high = seen.iter().filter(|seen| is_high(seen)).count();
                let title = format!("{station_id}, {what}: {n_high} of {} events", seen.len());
                Strip { title: &title, cells: &cells }.svg()
            };
            let truth = strip("truth", |seen| seen.is_anomalous == Some(true));
            let called = strip("called", |seen| seen.is_called);
            [(format!("{station_id} truth"), truth), (String::from("called"), called)]
        });
        strips.collect()
    }
}

fn cells(seen: &[Seen], (first_us, last_us): (i64, i64), is_high: fn(&Seen) -> bool) -> Vec<Level> {
    let mut cells = vec![Level::default(); N_CELLS];
    let width_us = (last_us - first_us).max(1) as f64;
    for seen in seen {
        let share = (seen.timestamp_us - first_us) as f64 / width_us;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a few"
        )]
        let index = ((share * N_CELLS as f64) as usize).min(N_CELLS - 1);
        let level = if is_high(seen) { Level::Alarming } else { Level::Usual };
        cells[index] = cells[index].max(level);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_stands_above_what_was_called() {
        let mut history = History::default();
        let station_id = StationId::parse("press").unwrap();
        for second in 0..240 {
            let seen = Seen {
                timestamp_us: second * 1_000_000,
                is_anomalous: Some((100..120).contains(&second)),
                is_called: (110..121).contains(&second),
            };
            history.note(&station_id, seen);
        }
        let html = history.page(&Report::default(), "http://x");
        let strips: Vec<&str> = html.split("<svg").skip(1).collect();
        assert_eq!(strips.len(), 2);
        assert!(strips[0].contains("press, truth: 20 of 240 events"));
        let high = |strip: &str| strip.matches("class=\"alarming\"").count();
        assert_eq!((high(strips[0]), high(strips[1])), (1, 1), "one run each");
        assert!(strips[1].contains("called: 11 of 240"));
    }
}
