//! An evaluation as a page: curves, scores over time with the truth, and the worst errors.

use std::path::Path;

use detector::Detector;
use figures::{Curve, Panel, Panels, Point};
use sensor::{Evidence, StationId};
use wording::{counted, grouped, percent, readable, rounded};

use super::words::with_interval;
use super::{Evaluation, Judged, Report, runs};
use crate::measures::Ranking;

/// Errors of each kind that are listed.
const LISTED: usize = 20;
/// Stations whose scores are drawn.
const DRAWN: usize = 6;
/// Moments of a drawing.
const MOMENTS: usize = 400;
/// Points of a curve.
const POINTS: usize = 500;

/// Some rows of a station, and where they are.
struct Run<'a> {
    recording: &'a str,
    station_id: &'a StationId,
    rows: &'a [Judged],
}

impl Evaluation {
    /// Returns the page as HTML.
    pub(super) fn page(&self, report: &Report, detector: &Detector) -> String {
        let version = detector.meta().model_version.as_str();
        let mut page =
            figures::Report::new(&format!("Model {version} on {}", file_name(&report.source)));
        page.facts([
            (
                "rows",
                format!(
                    "{} in {}",
                    grouped(report.rows as f64),
                    counted(report.stations as u64, "station")
                ),
            ),
            (
                "anomalous",
                format!(
                    "{} in {}",
                    counted(report.anomalous_rows as u64, "row"),
                    counted(report.faults as u64, "fault")
                ),
            ),
            ("ROC AUC", with_interval(report.judged.auroc)),
            ("average precision", with_interval(report.judged.average_precision)),
            (
                "faults found",
                format!(
                    "{} of {} with the threshold of the model, {} by chance",
                    report.at_threshold.faults_found,
                    report.faults,
                    rounded(report.at_threshold.faults_by_chance, 1)
                ),
            ),
        ]);
        page.paragraph(
            "Labelled rows that follow each other are a fault; it is found when one of them is called anomalous. Intervals draw whole \
             faults again and again: 95 of 100 such draws lie within.",
        );
        tell_recordings(&mut page, report);
        tell_rates(&mut page, report);
        page.heading("Curves");
        page.figures(self.curves(report));
        page.heading("Scores over time");
        page.paragraph(
            "The strangeness of each moment in nats, -ln of the share of normal events that are as strange, above the share of its rows \
             that are labelled anomalous.",
        );
        for course in self.courses(detector) {
            page.figures([course]);
        }
        let (misses, false_alarms) = (self.misses(), self.false_alarms());
        page.heading("Worst misses");
        tell(
            &mut page,
            &misses,
            "Every fault is found.",
            "faults of which no row is called anomalous, the least strange first",
        );
        page.heading("Worst false alarms");
        tell(
            &mut page,
            &false_alarms,
            "There is none.",
            "times in which rows are called anomalous and none is labelled, the strangest first",
        );
        page.end()
    }

    fn curves(&self, report: &Report) -> [(String, String); 2] {
        let ranking = Ranking::new(self.ranked(|row| row.strangeness));
        let steps = ranking.steps();
        let (n_anomalous, n_normal) = (ranking.n_anomalous() as f64, ranking.n_normal() as f64);
        let every = steps.len().div_ceil(POINTS).max(1);
        let last = steps.len() - 1;
        let drawn =
            steps.iter().enumerate().filter(|(index, _)| index % every == 0 || *index == last);
        let drawn: Vec<(f64, f64)> = drawn.map(|(_, step)| *step).collect();
        let roc: Vec<(f64, f64)> = std::iter::once((0.0, 0.0))
            .chain(drawn.iter().map(|(n_true, n_false)| (n_false / n_normal, n_true / n_anomalous)))
            .collect();
        let precisions: Vec<(f64, f64)> = drawn
            .iter()
            .map(|(n_true, n_false)| (n_true / n_anomalous, n_true / (n_true + n_false)))
            .collect();
        let called = &report.at_threshold;
        let share = n_anomalous / (n_anomalous + n_normal);
        let roc = Curve {
            title: "ROC curve: the share of anomalous rows found over that of normal rows called anomalous",
            x_unit: "normal rows called anomalous",
            y_unit: "anomalous rows found",
            points: &roc,
            compared: (0.0, 1.0),
            marked: Some((called.false_alarms, called.recall)),
        };
        let precision = Curve {
            title: "Precision over recall",
            x_unit: "recall: anomalous rows found",
            y_unit: "precision",
            points: &precisions,
            compared: (share, share),
            marked: called.precision.map(|precision| (called.recall, precision)),
        };
        [
            (
                roc.svg(),
                String::from(
                    "ROC curve; the straight line is chance, the cross the threshold of the model.",
                ),
            ),
            (precision.svg(), String::from("Precision over recall; the straight line is chance.")),
        ]
    }

    /// Draws the strangeness and the labels of the first stations over time, where rows say it.
    fn courses(&self, detector: &Detector) -> Vec<(String, String)> {
        let threshold = -detector.alarm_rule().share().ln();
        let courses =
            self.stations.iter().take(DRAWN).filter_map(|((recording, station_id), rows)| {
                let times: Option<Vec<i64>> = rows.iter().map(|row| row.timestamp_us).collect();
                let times = times?;
                let (since_us, until_us) = (*times.iter().min()?, *times.iter().max()?);
                let moments = rows.chunks(rows.len().div_ceil(MOMENTS));
                let point = |moment: &[Judged], value: fn(&Judged) -> f64| {
                    let values = moment.iter().map(value);
                    let (min, max) = values
                        .fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), v| (a.min(v), b.max(v)));
                    Some(Point { time_us: moment[0].timestamp_us?, min, max })
                };
                let panel = |name: &str, value: fn(&Judged) -> f64, threshold: Option<f64>| Panel {
                    name: String::from(name),
                    points: moments.clone().map(|moment| point(moment, value)).collect(),
                    band: None,
                    thresholds: threshold
                        .map(|value| figures::Threshold { since_us, until_us, value })
                        .into_iter()
                        .collect(),
                    markers: Vec::new(),
                };
                let label = |row: &Judged| f64::from(u8::from(row.is_anomalous));
                let panels = [
                    panel("strangeness in nats", Judged::nats, Some(threshold)),
                    panel("labelled anomalous", label, None),
                ];
                let title = format!("{station_id} of {}", file_name(&self.recordings[*recording]));
                let drawn =
                    Panels { title: &title, since_us, until_us, panels: &panels, marks: &[] };
                Some((drawn.svg(), title.clone()))
            });
        courses.collect()
    }

    fn misses(&self) -> Vec<Run<'_>> {
        let mut misses: Vec<Run<'_>> = self
            .runs_of(|row| row.is_anomalous)
            .filter(|run| !run.rows.iter().any(|row| row.is_called))
            .collect();
        misses.sort_by(|a, b| a.strangest().total_cmp(&b.strangest()));
        misses
    }

    fn false_alarms(&self) -> Vec<Run<'_>> {
        let mut alarms: Vec<Run<'_>> = self
            .runs_of(|row| row.is_called)
            .filter(|run| !run.rows.iter().any(|row| row.is_anomalous))
            .collect();
        alarms.sort_by(|a, b| b.strangest().total_cmp(&a.strangest()));
        alarms
    }

    /// Returns the rows of one kind that follow each other.
    fn runs_of(&self, kind: impl Fn(&Judged) -> bool + Copy) -> impl Iterator<Item = Run<'_>> {
        self.stations.iter().flat_map(move |((recording, station_id), rows)| {
            runs(rows, kind).filter(move |run| kind(&run[0])).map(|rows| Run {
                recording: &self.recordings[*recording],
                station_id,
                rows,
            })
        })
    }
}

impl Run<'_> {
    /// Returns the strangeness of the strangest row in nats.
    fn strangest(&self) -> f64 {
        self.strangest_row().map_or(0.0, Judged::nats)
    }

    fn strangest_row(&self) -> Option<&Judged> {
        self.rows.iter().max_by(|a, b| {
            let ([a, a_2], [b, b_2]) = (a.strangeness, b.strangeness);
            a.total_cmp(&b).then(a_2.total_cmp(&b_2))
        })
    }

    fn cells(&self) -> Vec<String> {
        let first = &self.rows[0];
        let evidence = self.strangest_row().map_or("-", |row| Evidence::name(row.evidence));
        let time = first.timestamp_us.map_or(String::from("-"), sensor::timestamp::format);
        vec![
            file_name(self.recording),
            self.station_id.to_string(),
            grouped(first.row as f64 + 1.0),
            time,
            grouped(self.rows.len() as f64),
            rounded(self.strangest(), 2),
            String::from(evidence),
        ]
    }
}

fn tell_recordings(page: &mut figures::Report, report: &Report) {
    if report.recordings.is_empty() {
        return;
    }
    page.heading("Recordings");
    let titles = ["recording", "rows", "ROC AUC", "average precision", "faults found", "by chance"];
    let row = |of: &Report| {
        vec![
            file_name(&of.source),
            grouped(of.rows as f64),
            with_interval(of.judged.auroc),
            with_interval(of.judged.average_precision),
            format!("{} of {}", of.at_threshold.faults_found, of.faults),
            rounded(of.at_threshold.faults_by_chance, 1),
        ]
    };
    page.table(&titles, report.recordings.iter().map(row));
}

fn tell_rates(page: &mut figures::Report, report: &Report) {
    page.heading("Rates");
    page.table(
        &["false-alarm rate", "rows found", "faults found", "by chance", "false episodes", "a day"],
        report.rates().map(|(name, called)| {
            vec![
                name,
                percent(called.recall),
                format!("{} of {}", called.faults_found, report.faults),
                rounded(called.faults_by_chance, 1),
                grouped(called.false_episodes as f64),
                called.false_episodes_a_day.map_or(String::from("-"), |a_day| readable(a_day, 2)),
            ]
        }),
    );
}

/// Returns the name of a file without its folders.
fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn tell(page: &mut figures::Report, runs: &[Run<'_>], none: &str, what: &str) {
    if runs.is_empty() {
        page.paragraph(none);
        return;
    }
    page.paragraph(&format!("{} {what}.", grouped(runs.len() as f64)));
    let titles = ["recording", "station", "row", "time", "rows", "nats", "evidence"];
    page.table(&titles, runs.iter().take(LISTED).map(Run::cells));
}
