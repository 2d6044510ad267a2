//! Tells of a training: to people, to programs, or hardly at all.

use std::io::{self, Write};

use serde::Serialize;
use terminal::LogFormat;
use terminal::style::WARNING;

use crate::args::Args;
use crate::summary::Summary;
use crate::{REPORT_FILE, SAMPLE_FILE};

/// The output of a training.
pub(crate) struct Teller<'a> {
    args: &'a Args,
    pub(crate) out: &'a mut dyn Write,
}

/// A warning for programs.
#[derive(Serialize)]
struct Warning<'a> {
    level: &'static str,
    message: &'a str,
}

/// The summary of a training for programs.
#[derive(Serialize)]
struct Trained<'a> {
    level: &'static str,
    message: &'static str,
    model_version: &'a str,
    rows: usize,
    left_out_rows: usize,
    bad_rows: usize,
    threshold: f64,
    /// Share of the last fifth that is called anomalous by a model of what came before.
    stability_rate: Option<f64>,
    /// Alarms that open in time order in the last fifth, in a day at each station.
    alarms_a_day: Option<f64>,
    files: Vec<String>,
    duration_s: f64,
}

impl<'a> Teller<'a> {
    pub(crate) fn new(args: &'a Args, out: &'a mut dyn Write) -> Self {
        Self { args, out }
    }

    /// Tells what somebody should know.
    pub(crate) fn warn(&mut self, message: &str) -> io::Result<()> {
        match self.args.log_format {
            LogFormat::Text => {
                writeln!(self.out, "{WARNING}warning:{WARNING:#} {message}")
            }
            LogFormat::Json => self.line(&Warning { level: "WARN", message }),
        }
    }

    /// Prints the summary, unless output is off.
    pub(crate) fn tell(&mut self, summary: &Summary<'_>) -> io::Result<()> {
        match (self.args.quiet, self.args.log_format) {
            (true, _) => {}
            (false, LogFormat::Text) => summary.write(self.out)?,
            (false, LogFormat::Json) => self.line(&self.trained(summary))?,
        }
        match summary.trial.and_then(crate::StabilityTrial::warning) {
            Some(warning) => self.warn(&warning),
            None => Ok(()),
        }
    }

    fn trained<'b>(&self, summary: &'b Summary<'_>) -> Trained<'b> {
        let meta = summary.detector.meta();
        let files = if self.args.dry_run { Vec::new() } else { self.files() };
        Trained {
            level: "INFO",
            message: "trained a model",
            model_version: meta.model_version.as_str(),
            rows: meta.training_rows,
            left_out_rows: meta.left_out_rows,
            bad_rows: summary.data.n_bad_rows,
            threshold: meta.threshold,
            stability_rate: summary.trial.map(crate::StabilityTrial::measured),
            alarms_a_day: summary.alarm_trial.map(|trial| trial.a_day()),
            files,
            duration_s: summary.took.as_secs_f64(),
        }
    }

    fn files(&self) -> Vec<String> {
        let Args { model_dir, data_dir, .. } = self.args;
        let mut files =
            vec![model_dir.join(detector::ARTEFACT_FILE), model_dir.join(detector::META_FILE)];
        if !self.args.no_report {
            files.push(model_dir.join(REPORT_FILE));
        }
        files.push(data_dir.join(SAMPLE_FILE));
        files.into_iter().map(|path| path.display().to_string()).collect()
    }

    fn line(&mut self, value: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        writeln!(self.out)
    }
}
