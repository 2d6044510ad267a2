//! The agreement of the scores of a file with its labels.
//!
//! Rows are ranked twice: as the model judges them, by the p-value and then by the score of the forest, and by the score alone.
//! Labelled rows that follow each other at a station are a fault, and rows called anomalous that follow each other are an episode,
//! which is false when none of them is labelled.

mod page;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};

use anyhow::{Context as _, bail};
use detector::{Detector, RowScore};
use files::write_atomically;
use recording::Labels;
use sensor::{Evidence, StationId};
use serde::Serialize;
use wording::{counted, grouped, percent};

use crate::args::Args;
use crate::input::{Block, Input, Told};
use crate::measures::{Cut, Measured, Ranking, Row, Strangeness, strangeness};
use crate::{Counts, cannot_write, pump, write_output};

/// The false-alarm rates of the table.
const RATES: [f64; 7] = [0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1];
const DAY_US: f64 = 86_400e6;
/// A pause is a gap from so many times the mean one on.
const GAP_FROM: f64 = 20.0;
/// Normal rows that are drawn together, since neighbours are alike.
const NORMAL_BLOCK_LEN: usize = 50;

/// The labelled rows of recordings, as the model judges them.
#[derive(Debug, Default)]
pub(crate) struct Evaluation {
    /// The names of the recordings.
    recordings: Vec<String>,
    /// The rows of each station of each recording, in their order.
    stations: BTreeMap<(usize, StationId), Vec<Judged>>,
    n_unlabelled: u64,
    /// The stations whose last row had no label.
    gaps: BTreeSet<StationId>,
}

#[derive(Debug, Clone, Copy)]
struct Judged {
    /// Its number in the recording, from 0.
    row: u64,
    evidence: Evidence,
    strangeness: Strangeness,
    anomaly_score: f64,
    is_called: bool,
    is_anomalous: bool,
    /// `true` if the row before has no label.
    is_after_gap: bool,
    timestamp_us: Option<i64>,
}

/// The outcome.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    source: String,
    /// The reports of the recordings, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recordings: Vec<Report>,
    /// The recordings that have rows of one kind alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    of_one_kind: Vec<String>,
    rows: usize,
    unlabelled_rows: u64,
    anomalous_rows: usize,
    stations: usize,
    faults: usize,
    /// The time that the rows cover at the pace of their stations; `None` where they do not say when they were measured.
    days: Option<f64>,
    judged: Ranked,
    forest: Ranked,
    /// With the threshold of the model.
    at_threshold: Called,
    /// With those that keep to a rate in this file.
    at_rates: Vec<AtRate>,
}

/// A ranking in numbers.
#[derive(Debug, Serialize)]
struct Ranked {
    auroc: Measured,
    average_precision: Measured,
    best_f1: Cut,
}

#[derive(Debug, Serialize)]
struct AtRate {
    false_alarm_rate: f64,
    #[serde(flatten)]
    called: Called,
}

/// The rows that are called anomalous, and the truth about them.
#[derive(Debug, Clone, Serialize)]
struct Called {
    precision: Option<f64>,
    recall: f64,
    /// The share of the normal rows that are called anomalous.
    false_alarms: f64,
    faults_found: usize,
    /// Those that as many false alarms anywhere would find.
    faults_by_chance: f64,
    /// Rows from the begin of a fault to the first that is called anomalous, the median of those found.
    delay_rows: Option<usize>,
    false_episodes: usize,
    false_episodes_a_day: Option<f64>,
}

/// Compares the scores of all inputs with the labels of their rows, and writes how well they agree.
pub(crate) fn evaluate(
    args: &Args,
    detector: &Detector,
    stdin: impl Read + Send + 'static,
    stdout: &mut (dyn Write + Send),
    stderr: &mut (dyn Write + Send),
) -> anyhow::Result<Counts> {
    let labels = args.labels.as_ref().map(|path| Labels::open(path, &args.reading.profile()));
    let labels = labels.transpose()?;
    if labels.as_ref().is_some_and(|labels| !labels.needs_times()) && args.input.len() > 1 {
        bail!(
            "--labels has a label for each row of one file, and there are several: say when the labels apply, or evaluate one file"
        );
    }
    let mut stdin: Option<Box<dyn Read + Send>> = Some(Box::new(stdin));
    let mut pooled = Evaluation::default();
    let mut counts = Counts::default();
    let (mut recordings, mut of_one_kind) = (Vec::new(), Vec::new());
    for path in &args.input {
        let stdin = stdin.take().unwrap_or_else(|| Box::new(std::io::empty()));
        let input =
            Input::open(args.reading(path), path, detector, stdin)?.with_truth(labels.as_ref())?;
        if let Some(read_as) = input.in_words() {
            writeln!(stderr, "read as: {read_as}")?;
        }
        let mut evaluation = Evaluation::of(path.display().to_string());
        let of_input = pump(input, |block| {
            evaluation.add(&detector.judge_rows_by(&block.baselines, &block.values), block);
            Ok(())
        })?;
        if let Some(labels) = &labels {
            labels.check_number(of_input.n_scored + of_input.n_bad)?;
        }
        counts.add(of_input);
        if args.input.len() > 1 {
            match evaluation.report() {
                Ok(report) => recordings.push(report),
                Err(_) => of_one_kind.push(path.display().to_string()),
            }
        }
        pooled.merge(evaluation);
    }
    let report = Report { recordings, of_one_kind, ..pooled.report()? };
    if let Some(path) = &args.report {
        write_atomically(path, pooled.page(&report, detector).as_bytes())?;
    }
    write_output(args, stdout, |out| {
        report.write(args.json, out).with_context(|| cannot_write(args))
    })?;
    Ok(counts)
}

impl Evaluation {
    /// Begins with the first rows of a recording.
    pub(crate) fn of(recording: String) -> Self {
        Self { recordings: vec![recording], ..Self::default() }
    }

    /// Takes the rows of other recordings.
    fn merge(&mut self, other: Self) {
        let n_before = self.recordings.len();
        let stations = other.stations.into_iter();
        self.stations.extend(
            stations.map(|((recording, station), rows)| ((n_before + recording, station), rows)),
        );
        self.recordings.extend(other.recordings);
        self.n_unlabelled += other.n_unlabelled;
    }

    /// Takes the rows of a block of the last recording, as they are judged.
    pub(crate) fn add(&mut self, scores: &[RowScore], block: &Block) {
        for (score, told) in scores.iter().zip(&block.told) {
            let Told { row, station_id, timestamp_us, label } = told;
            let Some(is_anomalous) = *label else {
                self.n_unlabelled += 1;
                self.gaps.insert(station_id.clone());
                continue;
            };
            let judged = Judged {
                row: *row,
                evidence: score.evidence,
                strangeness: strangeness(score),
                anomaly_score: score.anomaly_score,
                is_called: score.is_anomaly,
                is_anomalous,
                is_after_gap: self.gaps.remove(station_id),
                timestamp_us: *timestamp_us,
            };
            let recording = self.recordings.len() - 1;
            self.stations.entry((recording, station_id.clone())).or_default().push(judged);
        }
    }

    /// Measures all rows.
    ///
    /// # Errors
    ///
    /// Fails when the labels do not tell two kinds of rows apart.
    pub(crate) fn report(&self) -> anyhow::Result<Report> {
        let source = match self.recordings.as_slice() {
            [only] => only.clone(),
            all => counted(all.len() as u64, "recording"),
        };
        let judged = Ranking::new(self.ranked(|row| row.strangeness));
        let (n_anomalous, n_normal) = (judged.n_anomalous(), judged.n_normal());
        if n_anomalous == 0 || n_normal == 0 {
            bail!(
                "`{source}` has {} labelled normal and {} labelled anomalous, and both are needed; --label-column names the column of \
                 the labels",
                counted(n_normal as u64, "row"),
                grouped(n_anomalous as f64)
            );
        }
        let forest = Ranking::new(self.ranked(|row| [row.anomaly_score, 0.0]));
        let days = self.days();
        let at_rate = |false_alarm_rate: f64| {
            let [first, second] = judged.threshold_for(false_alarm_rate);
            let is_called = |row: &Judged| {
                let [a, b] = row.strangeness;
                a > first || a == first && b >= second
            };
            AtRate { false_alarm_rate, called: self.called(is_called, days) }
        };
        // With fewer rows, a rate is no different from none.
        let rates = RATES.into_iter().filter(|rate| rate * n_normal as f64 >= 1.0);
        Ok(Report {
            source,
            recordings: Vec::new(),
            of_one_kind: Vec::new(),
            rows: n_anomalous + n_normal,
            unlabelled_rows: self.n_unlabelled,
            anomalous_rows: n_anomalous,
            stations: self.stations.len(),
            faults: self.faults().count(),
            days,
            at_threshold: self.called(|row| row.is_called, days),
            at_rates: rates.map(at_rate).collect(),
            judged: Ranked::of(&judged),
            forest: Ranked::of(&forest),
        })
    }

    /// Returns the rows of each fault.
    fn faults(&self) -> impl Iterator<Item = &[Judged]> {
        self.runs(|row| row.is_anomalous).filter(|run| run[0].is_anomalous)
    }

    /// Returns the rows of each station in parts that are alike and follow each other.
    fn runs<'a>(
        &'a self,
        kind: impl Fn(&Judged) -> bool + Copy + 'a,
    ) -> impl Iterator<Item = &'a [Judged]> {
        self.stations.values().flat_map(move |rows| runs(rows, kind))
    }

    /// Returns the rows with a strangeness and the number of their block: those of a fault belong together, and of normal rows those
    /// that follow each other.
    fn ranked<'a>(
        &'a self,
        strangeness: impl Fn(&Judged) -> Strangeness + Copy + 'a,
    ) -> impl Iterator<Item = Row> + 'a {
        let blocks = self.runs(|row| row.is_anomalous).flat_map(|run| {
            run.chunks(if run[0].is_anomalous { run.len() } else { NORMAL_BLOCK_LEN })
        });
        blocks.enumerate().flat_map(move |(block, rows)| {
            rows.iter().map(move |row| Row {
                strangeness: strangeness(row),
                is_anomalous: row.is_anomalous,
                block,
            })
        })
    }

    fn called(&self, is_called: impl Fn(&Judged) -> bool + Copy, days: Option<f64>) -> Called {
        let (mut n_true, mut n_false, mut n_anomalous, mut n_rows) =
            (0_usize, 0_usize, 0_usize, 0_usize);
        for row in self.stations.values().flatten() {
            n_rows += 1;
            n_anomalous += usize::from(row.is_anomalous);
            if is_called(row) {
                *(if row.is_anomalous { &mut n_true } else { &mut n_false }) += 1;
            }
        }
        let false_alarms = n_false as f64 / (n_rows - n_anomalous) as f64;
        let mut delays: Vec<usize> =
            self.faults().filter_map(|fault| fault.iter().position(is_called)).collect();
        delays.sort_unstable();
        let by_chance = |fault: &[Judged]| 1.0 - (1.0 - false_alarms).powf(fault.len() as f64);
        let is_false = |episode: &&[Judged]| {
            is_called(&episode[0]) && !episode.iter().any(|row| row.is_anomalous)
        };
        let false_episodes = self.runs(is_called).filter(is_false).count();
        Called {
            precision: (n_true + n_false > 0).then(|| n_true as f64 / (n_true + n_false) as f64),
            recall: n_true as f64 / n_anomalous as f64,
            false_alarms,
            faults_found: delays.len(),
            faults_by_chance: self.faults().map(by_chance).sum(),
            delay_rows: delays.get(delays.len() / 2).copied(),
            false_episodes,
            false_episodes_a_day: days.map(|days| false_episodes as f64 / days),
        }
    }

    /// Returns the days that the rows cover; a gap between two of a station counts as several times the usual pause.
    fn days(&self) -> Option<f64> {
        let mut days = 0.0;
        for rows in self.stations.values() {
            let times: Option<Vec<i64>> = rows.iter().map(|row| row.timestamp_us).collect();
            let mut times = times?;
            times.sort_unstable();
            let pauses = || times.windows(2).map(|pair| (pair[1] - pair[0]) as f64);
            let mean = |sum: f64| sum / pauses().len().max(1) as f64;
            let usual_us = mean(pauses().sum());
            let clipped_us = mean(pauses().map(|pause| pause.min(GAP_FROM * usual_us)).sum());
            days += clipped_us * rows.len() as f64 / DAY_US;
        }
        (days > 0.0).then_some(days)
    }
}

/// The measures of a model that tell it from another.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measures {
    pub(crate) auroc: Measured,
    pub(crate) average_precision: Measured,
    pub(crate) faults: usize,
    /// With the threshold of the model, as the share of the normal rows that are called anomalous.
    pub(crate) faults_found: usize,
    pub(crate) false_alarms: f64,
}

impl Judged {
    /// Returns the strangeness in nats: -ln of the share of normal events that are as strange.
    fn nats(&self) -> f64 {
        -(-self.strangeness[0]).ln()
    }
}

/// Returns the rows of a station in parts that are alike and follow each other.
fn runs(rows: &[Judged], kind: impl Fn(&Judged) -> bool + Copy) -> impl Iterator<Item = &[Judged]> {
    rows.chunk_by(move |a, b| kind(a) == kind(b) && !b.is_after_gap)
}

impl Report {
    pub(crate) fn measures(&self) -> Measures {
        Measures {
            auroc: self.judged.auroc,
            average_precision: self.judged.average_precision,
            faults: self.faults,
            faults_found: self.at_threshold.faults_found,
            false_alarms: self.at_threshold.false_alarms,
        }
    }

    /// Returns what is called anomalous with the threshold of the model and with rates, by their names.
    fn rates(&self) -> impl Iterator<Item = (String, &Called)> {
        let at_threshold = (String::from("as judged"), &self.at_threshold);
        let at_rates = self.at_rates.iter();
        let at_rates = at_rates.map(|at| (percent(at.false_alarm_rate), &at.called));
        std::iter::once(at_threshold).chain(at_rates)
    }
}

impl Ranked {
    fn of(ranking: &Ranking) -> Self {
        let [auroc, average_precision] = ranking.measured();
        Self { auroc, average_precision, best_f1: ranking.best_cut() }
    }
}
