//! The training as a file for people: what was learnt, from what, and what to expect of it.

mod courses;

use std::collections::BTreeSet;
use std::path::Path;

use detector::{BaselinesMeta, Detector, FeatureMeta};
use figures::{Bins, Dot, Histogram, Report, Scatter};
use wording::{counted, grouped, percent, rounded, significant};

use crate::data::TrainingData;
use crate::stability::StabilityTrial;
use crate::summary::Summary;

/// Events that are drawn as dots.
const DOTS: usize = 1_500;
/// Pairs of features that are drawn.
const PAIRS: usize = 6;
/// Features that pairs are looked for among: all pairs of more would take long.
const PAIRED_FEATURES: usize = 24;
/// Features whose distribution is drawn.
const DISTRIBUTIONS: usize = 24;
const N_BINS: u32 = 40;
/// Rows left out that are listed.
const LEFT_OUT_LISTED: usize = 50;
/// Baselines that are listed, and features of each.
const BASELINES_LISTED: usize = 50;
const BASELINE_FEATURES: usize = 8;
/// The width of histograms: three fit beside each other.
const WIDTH: f64 = 330.0;

impl Summary<'_> {
    /// Returns the report as HTML.
    pub(crate) fn report(&self) -> String {
        let meta = self.detector.meta();
        let mut report = Report::new(&format!("Model {}", meta.model_version));
        report.paragraph(&format!(
            "An isolation forest that has learnt what is normal from {}, with two views beside it: values outside of what \
             training has seen, and values that do not fit the others. An event is called an anomaly when one of the three \
             finds it stranger than almost all normal events; the forest does so from a score of {} on.",
            self.data.source,
            rounded(meta.threshold, 4)
        ));
        for warning in &self.data.warnings {
            report.warning(warning);
        }
        if let Some(warning) = self.trial.and_then(StabilityTrial::warning) {
            report.warning(&warning);
        }
        report.facts(self.facts());

        report.heading("Scores and false alarms");
        let mut expectations = self.expectations();
        if let Some(threshold) = expectations.first_mut() {
            threshold.insert_str(0, &format!("{} ", rounded(meta.threshold, 4)));
        }
        let names = ["threshold", "false alarms", ""];
        let alarms = self.alarm_words().map(|words| ("alarms", words));
        report.facts(names.into_iter().zip(expectations).chain(alarms));
        report.figures([(score_histogram(self.detector), String::from(
            "Scores of the training events, each by trees that have not learnt it: what a normal event of later gets.",
        ))]);

        report.paragraph("Another rate needs no other training: train rethreshold --false-alarm-rate RATE sets it.");
        report.table(
            &[
                "false-alarm rate",
                "threshold",
                "an hour, at one event a second",
                "an hour, at the pace of the data",
            ],
            self.rates(),
        );
        if let Some(courses) = self.courses() {
            report.heading("Over time");
            report.figures([courses]);
        }

        self.tell_features(&mut report);
        if let Some(baselines) = &meta.baselines {
            self.tell_baselines(&mut report, baselines);
        }

        if meta.left_out_rows > 0 {
            report.heading("Rows left out");
            report.paragraph(&format!(
                "{} with a value {}; the first are listed.",
                counted(meta.left_out_rows as u64, "row"),
                meta.left_out_in_words()
            ));
            let listed = meta.left_out.iter().take(LEFT_OUT_LISTED).map(|row| {
                vec![self.data.place(row.row), row.feature.clone(), significant(row.value)]
            });
            report.table(&["row", "feature", "value"], listed);
        }

        report.heading("The strangest rows");
        report.paragraph(
            "Rows that were learnt as normal and look least so: if one of them is a fault, leave it out and train again.",
        );
        let titles = ["row", "station", "score", "p-value", "reasons"];
        report.table(&titles, self.strangest_rows());

        let pairs = pairs(self.data);
        if !pairs.is_empty() {
            report.heading("Pairs of features");
            let n_dots = grouped(self.data.events.len().min(DOTS) as f64);
            report.paragraph(&format!(
                "{n_dots} events, spread over the training: each is a dot, the darker the higher its score, or a cross \
                 where the model would call it an anomaly. Of many features, the pairs that hang together most are \
                 shown.",
            ));
            report.figures(self.scatters(&pairs));
        }

        report.heading("The same again");
        report.paragraph("Equal data, parameters and seed give an equal model, on any machine:");
        report.code(&self.args.command_line());
        report.facts([
            ("checksum", meta.sha256.clone()),
            ("program", meta.versions.program.clone()),
            ("format", meta.versions.format.to_string()),
        ]);
        self.without_folders(report.end())
    }

    /// Leaves out where the files are on this machine, since a report may be given away.
    fn without_folders(&self, html: String) -> String {
        let files = self.data.files.iter().map(|(_, path)| path).chain(&self.args.input);
        let folders = files.chain(&self.args.schema).filter_map(|path| path.parent());
        let folders: BTreeSet<&Path> = folders.filter(|folder| folder.is_absolute()).collect();
        // The longest first, which begins with others.
        folders.iter().rev().fold(html, |html, folder| {
            html.replace(&figures::escaped(&format!("{}/", folder.display())), "")
        })
    }

    fn tell_features(&self, report: &mut Report) {
        let meta = self.detector.meta();
        report.heading("Features");
        let titles = [
            "feature",
            "mean",
            "deviation",
            "lowest",
            "1 %",
            "median",
            "99 %",
            "highest",
            "missing",
            "importance",
        ];
        let features = meta.features.iter().enumerate();
        let importance = self.importance();
        let row = |(index, feature)| {
            let mut row = self.row(index, feature);
            row.push(percent(importance[index]));
            row
        };
        report.table(&titles, features.clone().map(row));
        report.paragraph(
            "The importance of a feature is its share of all that moves the scores of the training events, by the forest alone.",
        );
        let drawn = features.take(DISTRIBUTIONS).filter_map(|(index, feature)| {
            Some((distribution(self.data, index, feature)?, feature.title()))
        });
        report.figures(drawn);
        if meta.features.len() > DISTRIBUTIONS {
            let n_more = meta.features.len() - DISTRIBUTIONS;
            report.paragraph(&format!("{n_more} more features are in the table only."));
        }
    }

    fn tell_baselines(&self, report: &mut Report, baselines: &BaselinesMeta) {
        report.heading("Baselines");
        let n_groups = baselines.groups.len();
        report.paragraph(&format!(
            "{}. Values are compared with the median of their own baseline, in its scale; what is normal around it was learnt \
             from all together. Where all values of a feature were equal, its scale is what is usual for the others. Stations \
             without a baseline are judged by the values of all, as they were measured.{}",
            self.baselines(baselines),
            if n_groups > BASELINES_LISTED {
                format!(" The first {BASELINES_LISTED} are listed.")
            } else {
                String::new()
            }
        ));
        let features = &self.detector.meta().features;
        let listed = baselines.groups.iter().take(BASELINES_LISTED).flat_map(|group| {
            let named = features.iter().take(BASELINE_FEATURES).zip(&group.features);
            named.map(|(feature, of_group)| {
                let quantiles = of_group.quantiles.as_ref();
                vec![
                    group.name.clone(),
                    grouped(group.training_rows as f64),
                    feature.title(),
                    significant(of_group.median),
                    significant(of_group.scale),
                    number(quantiles.map(|quantiles| quantiles.min)),
                    number(quantiles.map(|quantiles| quantiles.max)),
                ]
            })
        });
        let titles = ["baseline", "events", "feature", "median", "scale", "lowest", "highest"];
        report.table(&titles, listed);
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let meta = self.detector.meta();
        let mut facts = vec![
            ("trained", meta.trained_at.clone()),
            (
                "rows",
                format!(
                    "{} learnt, {} left out, {} bad",
                    grouped(meta.training_rows as f64),
                    grouped(meta.left_out_rows as f64),
                    grouped(self.data.n_bad_rows as f64)
                ),
            ),
        ];
        if let Some(timeline) = &self.timeline {
            facts.push(("measured", timeline.span()));
            facts.push(("stations", grouped(timeline.n_stations as f64)));
        }
        let forest = &meta.parameters;
        facts.push((
            "forest",
            format!(
                "{} trees of {} samples, seed {}",
                grouped(forest.n_trees as f64),
                grouped(forest.sample_size as f64),
                meta.seed
            ),
        ));
        facts
    }

    /// Returns the importance of each feature over events from the whole length of the training.
    fn importance(&self) -> Vec<f64> {
        let events = &self.data.events;
        let n_drawn = events.len().min(DOTS);
        let drawn = (0..n_drawn).map(|index| &events[index * events.len() / n_drawn]);
        self.detector.importance(&drawn.collect::<Vec<_>>())
    }

    fn row(&self, index: usize, feature: &FeatureMeta) -> Vec<String> {
        let quantiles = feature.quantiles.as_ref();
        let n_missing = column(self.data, index).filter(|value| value.is_nan()).count();
        vec![
            feature.title(),
            number(feature.mean),
            number(feature.standard_deviation),
            number(quantiles.map(|quantiles| quantiles.min)),
            number(quantiles.map(|quantiles| quantiles.p01)),
            number(quantiles.map(|quantiles| quantiles.p50)),
            number(quantiles.map(|quantiles| quantiles.p99)),
            number(quantiles.map(|quantiles| quantiles.max)),
            grouped(n_missing as f64),
        ]
    }

    fn scatters(&self, pairs: &[(usize, usize)]) -> Vec<(String, String)> {
        let events = &self.data.events;
        let n_dots = events.len().min(DOTS);
        let drawn = (0..n_dots).map(|dot| &events[dot * events.len() / n_dots]);
        let judged = self.detector.judge_events(&drawn.clone().collect::<Vec<_>>());
        let threshold = self.detector.threshold();
        let lowest = judged.iter().map(|row| row.anomaly_score).fold(threshold, f64::min);
        let features = &self.detector.meta().features;
        let scatter = |&(x, y): &(usize, usize)| {
            let dots: Vec<Dot> = drawn
                .clone()
                .zip(&judged)
                .map(|(event, judged)| Dot {
                    x: event.values()[x],
                    y: event.values()[y],
                    weight: (judged.anomaly_score - lowest) / f64::max(threshold - lowest, 1e-9),
                    is_marked: judged.is_anomaly,
                })
                .collect();
            let [x_unit, y_unit] = [x, y].map(|index| features[index].title());
            let title = format!("{y_unit} over {x_unit}");
            let svg =
                Scatter { title: &title, x_unit: &x_unit, y_unit: &y_unit, dots: &dots }.svg();
            (svg, title)
        };
        pairs.iter().map(scatter).collect()
    }
}

/// Writes a number, or a dash where there is none.
fn number(value: Option<f64>) -> String {
    value.map_or(String::from("\u{2013}"), significant)
}

/// Values of a feature, in the order of the events.
fn column(data: &TrainingData, index: usize) -> impl Iterator<Item = f64> + '_ {
    data.events.iter().map(move |event| event.values()[index])
}

fn score_histogram(detector: &Detector) -> String {
    let (low, high) = detector.calibration().score_range();
    let bins = Bins::new(low, high.max(detector.threshold()), N_BINS);
    Histogram {
        width: 2.0 * WIDTH,
        title: "Scores of the training events",
        unit: "anomaly score",
        edges: bins.edges(),
        shares: &bins.shares_of(|score| detector.calibration().share_below(score)),
        compared: None,
        marks: &[(detector.threshold(), "threshold")],
    }
    .svg()
}

fn distribution(data: &TrainingData, index: usize, feature: &FeatureMeta) -> Option<String> {
    let quantiles = feature.quantiles.as_ref()?;
    let bins = Bins::new(quantiles.min, quantiles.max, N_BINS);
    let shares = bins.shares(column(data, index).filter(|value| !value.is_nan()));
    Some(
        Histogram {
            width: WIDTH,
            title: &format!("Values of {} in training", feature.plain_name()),
            unit: &feature.title(),
            edges: bins.edges(),
            shares: &shares,
            compared: None,
            marks: &[],
        }
        .svg(),
    )
}

/// Returns the pairs of features that hang together most, by the size of their correlation.
fn pairs(data: &TrainingData) -> Vec<(usize, usize)> {
    let n_features = data.schema.len().min(PAIRED_FEATURES);
    let mut pairs: Vec<(usize, usize)> =
        (0..n_features).flat_map(|y| (0..y).map(move |x| (x, y))).collect();
    pairs.sort_by(|a, b| {
        let size = |&(x, y): &(usize, usize)| correlation(data, x, y).abs();
        size(b).total_cmp(&size(a))
    });
    pairs.truncate(PAIRS);
    pairs
}

/// Returns Pearson's correlation of two features where both are present; 0 where there is none.
fn correlation(data: &TrainingData, x: usize, y: usize) -> f64 {
    let both = || {
        let pairs = column(data, x).zip(column(data, y));
        // As many as tell which pairs hang together.
        let step = (data.events.len() / DOTS).max(1);
        pairs.step_by(step).filter(|(x, y)| x.is_finite() && y.is_finite())
    };
    let n = both().count() as f64;
    let (mean_x, mean_y) = both().fold((0.0, 0.0), |(a, b), (x, y)| (a + x / n, b + y / n));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in both() {
        let (dx, dy) = (x - mean_x, y - mean_y);
        (xx, yy, xy) = (xx + dx * dx, yy + dy * dy, xy + dx * dy);
    }
    let correlation = xy / (xx * yy).sqrt();
    if correlation.is_finite() { correlation } else { 0.0 }
}
