//! The report of a run as one HTML file: the truth beside what was called an anomaly.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use figures::{Level, Report as Page, Strip};
use sensor::{StationId, timestamp};
use wording::{grouped, percent, rounded};

use crate::report::Report;

/// Parts of a strip.
const N_CELLS: usize = 240;
/// Stations that are drawn.
const STATIONS_DRAWN: usize = 60;

/// The data of an event that its place in the figure needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seen {
    pub(crate) timestamp_us: i64,
    /// The truth, if it is known.
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

    /// Returns the report with its timelines as HTML; `facts` say what was run.
    pub(crate) fn page(&self, report: &Report, facts: &[(&'static str, String)]) -> String {
        let mut page = Page::new(if report.has_truth() {
            "Truth and detection"
        } else {
            "What was called an anomaly"
        });
        let mut counts = format!(
            "{} sent, {} stored",
            grouped(report.sent as f64),
            grouped(report.stored as f64)
        );
        for (count, what) in [
            (report.duplicates, "duplicates"),
            (report.refused, "refused"),
            (report.failed, "failed"),
        ] {
            if count > 0 {
                write!(counts, ", {} {what}", grouped(count as f64))
                    .expect("a string takes everything");
            }
        }
        page.facts(facts.iter().cloned().chain([
            ("events", counts),
            ("anomalies", report.called_words()),
            ("took", format!("{} s", rounded(report.seconds, 1))),
        ]));
        if report.interrupted {
            page.warning("The run was interrupted; this is about what was sent until then.");
        }
        if report.has_truth() {
            let share = |share: Option<f64>| share.map_or(String::from("\u{2013}"), percent);
            page.heading("Truth and detection");
            page.table(&["truth", "called anomalies", "called normal"], report.confusion_rows());
            page.facts([
                ("precision", share(report.precision)),
                ("recall", share(report.recall)),
                ("false-alarm rate", share(report.false_alarm_rate)),
            ]);
        }
        if !report.detection.is_empty() {
            page.heading("By cause");
            page.table(&["cause", "events", "caught", "missed"], report.cause_rows());
            if let Some(hidden) = report.hidden_words() {
                page.paragraph(&hidden);
            }
        }
        for words in report.alarms.in_words(report.has_truth()) {
            page.paragraph(&words);
        }

        page.heading("Over time");
        match self.span() {
            Some((first_us, last_us)) => {
                let span = [first_us, last_us].map(timestamp::format).join(" to ");
                page.paragraph(&if report.has_truth() {
                    format!(
                        "From {span}, measured. Of each station, the upper strip is the truth and the lower one what \
                         the server called an anomaly: full height in red. A red part above without one below was \
                         missed, one below alone is a false alarm."
                    )
                } else {
                    format!("From {span}, measured. What the server called an anomaly has full height, in red.")
                });
                page.rows(self.strips((first_us, last_us), report.has_truth()));
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

    /// Returns a strip a station, and above it one of the truth where that is known.
    fn strips(&self, span_us: (i64, i64), has_truth: bool) -> Vec<(String, String)> {
        let strip =
            |station_id: &StationId, seen: &[Seen], what: &str, is_high: fn(&Seen) -> bool| {
                let cells = cells(seen, span_us, is_high);
                let n_high = seen.iter().filter(|seen| is_high(seen)).count();
                let title = format!("{station_id}, {what}: {n_high} of {} events", seen.len());
                Strip { title: &title, cells: &cells }.svg()
            };
        let mut strips = Vec::new();
        for (station_id, seen) in self.0.iter().take(STATIONS_DRAWN) {
            let called = strip(station_id, seen, "called", |seen| seen.is_called);
            if has_truth {
                let truth =
                    strip(station_id, seen, "truth", |seen| seen.is_anomalous == Some(true));
                strips.push((format!("{station_id} truth"), truth));
                strips.push((String::from("called"), called));
            } else {
                strips.push((station_id.to_string(), called));
            }
        }
        strips
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
    fn the_truth_is_drawn_above_the_calls() {
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
        let mut report = Report::default();
        report.confusion.true_positives = 10;
        let html = history.page(&report, &[]);
        let strips: Vec<&str> = html.split("<svg").skip(1).collect();
        assert_eq!(strips.len(), 2);
        assert!(strips[0].contains("press, truth: 20 of 240 events"));
        let high = |strip: &str| strip.matches("class=\"alarming\"").count();
        assert_eq!((high(strips[0]), high(strips[1])), (1, 1), "one run each");
        assert!(strips[1].contains("called: 11 of 240"));

        let html = history.page(&Report::default(), &[("server", String::from("http://x"))]);
        assert_eq!(html.matches("<svg").count(), 1, "of what has no truth, none is drawn");
        assert!(html.contains("http://x") && !html.contains("recall"), "{html}");
    }
}
