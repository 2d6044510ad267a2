//! Two models on the same rows.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use detector::{Detector, RowScore};
use recording::ProfileArgs;
use serde::Serialize;
use wording::{counted, grouped, percent, rounded};

use crate::args::Format;
use crate::evaluate::{Evaluation, Measures};
use crate::input::{Input, Reading};
use crate::measures::{rank_correlation, strangeness};
use crate::{Counts, loaded, pump};

/// Anomalies of one model alone that are listed.
const LISTED: usize = 5;

/// Compares two models on the rows of a file: where they agree, and where only one sees an anomaly, and why
///
/// Where rows are labelled, it also says which model agrees more with the labels.
#[derive(Debug, Clone, Args)]
pub struct CompareArgs {
    /// The folder of the first model
    #[arg(value_name = "MODEL_A")]
    pub a: PathBuf,

    /// The folder of the second model
    #[arg(value_name = "MODEL_B")]
    pub b: PathBuf,

    /// The rows: a file with the columns of both models
    #[arg(long, value_name = "FILE", required = true)]
    pub input: PathBuf,

    /// Leave bad rows out instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,

    /// As a JSON object
    #[arg(long)]
    pub json: bool,

    /// The way to read the file.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// The rows of a file as one model judges them.
struct Judged {
    detector: Detector,
    /// By the number of the row, from 0.
    scores: BTreeMap<u64, RowScore>,
    /// The agreement with the labels, where there are any of both kinds.
    measures: Option<Measures>,
}

/// The outcome.
#[derive(Debug, Serialize)]
struct Comparison {
    rows: usize,
    both: usize,
    a_alone: usize,
    b_alone: usize,
    neither: usize,
    /// The share of rows that both call the same.
    agreement: f64,
    /// The agreement beyond chance: 1 where they always agree, 0 where as much as by chance; `None` where both call all rows the same.
    kappa: Option<f64>,
    /// The rank correlation of the strangeness; `None` where all rows are as strange.
    rank_correlation: Option<f64>,
    a: Side,
    b: Side,
}

#[derive(Debug, Serialize)]
struct Side {
    model_version: String,
    /// The strangest rows that this model alone calls anomalous.
    alone: Vec<Alone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    measures: Option<Measures>,
}

#[derive(Debug, Clone, Serialize)]
struct Alone {
    /// The number of the row, from 1.
    row: u64,
    station_id: String,
    timestamp: Option<String>,
    p_value: f64,
    reasons: String,
}

/// Judges all rows by both models, and writes where these agree.
pub(crate) fn compare(args: &CompareArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    if args.input == Path::new("-") {
        bail!(
            "both models read the rows, so that standard input cannot be compared: save it as a file"
        );
    }
    let [a, b] = [&args.a, &args.b].map(|dir| Judged::read(args, loaded(dir)?));
    let comparison = Comparison::of(args, &a?, &b?)?;
    if args.json {
        serde_json::to_writer(&mut *out, &comparison)?;
        writeln!(out)?;
    } else {
        comparison.write(out)?;
    }
    Ok(())
}

impl CompareArgs {
    fn open<'a>(&self, detector: &'a Detector) -> anyhow::Result<Input<'a>> {
        let reading = Reading {
            format: Format::Csv,
            profile: self.reading.profile(),
            skips_bad: self.skip_bad,
            keeps_cells: false,
        };
        Input::open(reading, &self.input, detector, io::empty())?.with_truth_if_any()
    }
}

impl Judged {
    fn read(args: &CompareArgs, detector: Detector) -> anyhow::Result<Self> {
        let mut scores = BTreeMap::new();
        let mut evaluation = Evaluation::of(args.input.display().to_string());
        let _: Counts = pump(args.open(&detector)?, |block| {
            let judged = detector.judge_rows_by(&block.baselines, &block.values);
            evaluation.add(&judged, block);
            scores.extend(block.told.iter().map(|told| told.row).zip(judged));
            Ok(())
        })?;
        // Without labels of both kinds there is nothing to measure.
        let measures = evaluation.report().ok().map(|report| report.measures());
        Ok(Self { detector, scores, measures })
    }

    fn calls(&self, row: u64) -> bool {
        self.scores.get(&row).is_some_and(|score| score.is_anomaly)
    }

    /// Returns the side of this model: with the reasons for the strangest rows that it alone calls anomalous.
    fn side(&self, args: &CompareArgs, other: &Self) -> anyhow::Result<Side> {
        let mut alone: Vec<(u64, &RowScore)> = self
            .scores
            .iter()
            .filter(|(row, score)| {
                score.is_anomaly && other.scores.contains_key(row) && !other.calls(**row)
            })
            .map(|(row, score)| (*row, score))
            .collect();
        alone.sort_by(|(_, a), (_, b)| {
            a.p_value.total_cmp(&b.p_value).then(b.anomaly_score.total_cmp(&a.anomaly_score))
        });
        alone.truncate(LISTED);
        let mut told = BTreeMap::new();
        if !alone.is_empty() {
            let n_features = self.detector.schema().len();
            pump(args.open(&self.detector)?, |block| {
                for (row, values) in block.told.iter().zip(block.values.chunks(n_features)) {
                    if alone.iter().any(|(wanted, _)| *wanted == row.row) {
                        told.insert(row.row, self.explained(row.row, row, values)?);
                    }
                }
                Ok(())
            })?;
        }
        let alone = alone.iter().filter_map(|(row, _)| told.remove(row)).collect();
        let model_version = self.detector.meta().model_version.as_str().to_owned();
        Ok(Side { model_version, alone, measures: self.measures.clone() })
    }

    fn explained(
        &self,
        row: u64,
        told: &crate::input::Told,
        values: &[f64],
    ) -> anyhow::Result<Alone> {
        let timestamp_us = told.timestamp_us;
        let at_us = timestamp_us.unwrap_or(sensor::timestamp::EARLIEST_US);
        let event = self.detector.schema().event(told.station_id.clone(), row, at_us, values)?;
        let prediction = self.detector.assess(&event);
        Ok(Alone {
            row: row + 1,
            station_id: told.station_id.to_string(),
            timestamp: timestamp_us.map(sensor::timestamp::format),
            p_value: prediction.p_value,
            reasons: self.detector.reasons(&prediction),
        })
    }
}

impl Comparison {
    fn of(args: &CompareArgs, a: &Judged, b: &Judged) -> anyhow::Result<Self> {
        let rows = a.scores.keys().filter(|row| b.scores.contains_key(row));
        let rows: Vec<u64> = rows.copied().collect();
        if rows.is_empty() {
            bail!("`{}` has no row that both models can judge", args.input.display());
        }
        let count = |kind: [bool; 2]| {
            rows.iter().filter(|row| [a.calls(**row), b.calls(**row)] == kind).count()
        };
        let (both, a_alone, b_alone, neither) =
            (count([true; 2]), count([true, false]), count([false, true]), count([false; 2]));
        let n = rows.len() as f64;
        let agreement = (both + neither) as f64 / n;
        let [share_a, share_b] = [both + a_alone, both + b_alone].map(|called| called as f64 / n);
        let by_chance = share_a * share_b + (1.0 - share_a) * (1.0 - share_b);
        let of_model = |judged: &Judged| -> Vec<[f64; 2]> {
            rows.iter().map(|row| &judged.scores[row]).map(strangeness).collect()
        };
        Ok(Self {
            rows: rows.len(),
            both,
            a_alone,
            b_alone,
            neither,
            agreement,
            // Cohen, "A coefficient of agreement for nominal scales" (1960).
            kappa: (by_chance < 1.0).then(|| (agreement - by_chance) / (1.0 - by_chance)),
            rank_correlation: rank_correlation(&of_model(a), &of_model(b)),
            a: a.side(args, b)?,
            b: b.side(args, a)?,
        })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let number =
            |number: Option<f64>| number.map_or(String::from("-"), |number| rounded(number, 3));
        writeln!(out, "model A      {}", self.a.model_version)?;
        writeln!(out, "model B      {}", self.b.model_version)?;
        writeln!(
            out,
            "anomalies    {} of {} by both, {} by A alone, {} by B alone",
            grouped(self.both as f64),
            counted(self.rows as u64, "row"),
            grouped(self.a_alone as f64),
            grouped(self.b_alone as f64)
        )?;
        writeln!(
            out,
            "agreement    {} of the rows; {} beyond chance (Cohen's kappa, 1 is all)",
            percent(self.agreement),
            number(self.kappa)
        )?;
        writeln!(
            out,
            "order        rank correlation {} (Spearman)",
            number(self.rank_correlation)
        )?;
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            for (index, alone) in side.alone.iter().enumerate() {
                let title = if index == 0 { format!("{name} alone") } else { String::new() };
                let time =
                    alone.timestamp.as_ref().map_or(String::new(), |time| format!(", {time}"));
                writeln!(
                    out,
                    "{title:<12} row {} of {}{time}: {}",
                    alone.row, alone.station_id, alone.reasons
                )?;
            }
        }
        for (name, side) in [("A", &self.a), ("B", &self.b)] {
            let Some(measures) = &side.measures else { continue };
            writeln!(
                out,
                "labels, {name}    ROC AUC {}; average precision {}; {} of {} found, {} of the normal rows called anomalous",
                rounded(measures.auroc.value, 4),
                rounded(measures.average_precision.value, 4),
                measures.faults_found,
                counted(measures.faults as u64, "fault"),
                percent(measures.false_alarms)
            )?;
        }
        Ok(())
    }
}
