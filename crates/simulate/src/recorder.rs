//! Tells a person how a run goes, and remembers it for the report.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sensor::timestamp;

use crate::args::Args;
use crate::client::{Delivery, Outcome, Undelivered};
use crate::report::{LatencyMs, Report};
use crate::source::Message;

/// Longer runs show a progress bar instead of a line an event.
const LINES_MAX: u64 = 1_000;
/// More values would not fit a line.
const VALUES_SHOWN: usize = 4;

/// A message that is through with, one way or the other.
pub(crate) struct Delivered {
    pub(crate) message: Message,
    pub(crate) result: Result<Delivery, Undelivered>,
    /// Time from when it was sent, or due.
    pub(crate) took: Duration,
}

pub(crate) struct Recorder<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
    lines: bool,
    progress: ProgressBar,
    report: Report,
    took_us: Vec<u64>,
    /// Why the first event that could not be delivered was not.
    gone: Option<anyhow::Error>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(
        args: &Args,
        n_messages: u64,
        out: &'a mut (dyn Write + Send),
    ) -> anyhow::Result<Self> {
        let is_long = n_messages > LINES_MAX;
        let target =
            if is_long { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style =
            ProgressStyle::with_template("{wide_bar} {pos} of {len} events, {per_sec}, {eta} left")
                .context("the progress bar has no such field")?;
        Ok(Self {
            out,
            json: args.json,
            lines: !is_long && !args.json && !args.quiet,
            progress: ProgressBar::with_draw_target(Some(n_messages), target).with_style(style),
            report: Report::default(),
            took_us: Vec::new(),
            gone: None,
        })
    }

    pub(crate) fn write_titles(&mut self, features: &[String]) -> anyhow::Result<()> {
        if self.lines {
            let shown = features
                .iter()
                .take(VALUES_SHOWN)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("  ");
            writeln!(
                self.out,
                "{:<27}  {:<12}  {shown:<39}  {:<6}  {:<7}  truth",
                "time", "station", "score", "label"
            )?;
        }
        Ok(())
    }

    /// Whether nothing more is to be sent.
    pub(crate) fn is_over(&self) -> bool {
        self.report.interrupted || self.gone.is_some()
    }

    pub(crate) fn interrupt(&mut self) -> anyhow::Result<()> {
        self.report.interrupted = true;
        if !self.json {
            self.progress.suspend(|| {
                writeln!(self.out, "interrupted; the report is about what was sent until then")
            })?;
        }
        Ok(())
    }

    pub(crate) fn note(&mut self, delivered: Delivered) -> anyhow::Result<()> {
        let Delivered { message, result, took } = delivered;
        self.progress.inc(1);
        match result {
            Ok(delivery) => {
                self.took_us.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                self.report.note(&message, &delivery);
                if self.lines {
                    writeln!(self.out, "{}", line(&message, &delivery.outcome))?;
                }
            }
            Err(Undelivered { n_tries, error }) => {
                self.report.note_failure(n_tries);
                self.gone.get_or_insert(error);
            }
        }
        Ok(())
    }

    /// Writes the report, of a run that had to leave `n_unanswered` events.
    pub(crate) fn finish(mut self, n_unanswered: u64, took: Duration) -> anyhow::Result<Report> {
        self.progress.finish_and_clear();
        for _ in 0..n_unanswered {
            self.report.note_failure(1);
        }
        self.report.seconds = took.as_secs_f64();
        self.report.latency_ms = LatencyMs::of(&mut self.took_us);
        if self.json {
            let text =
                serde_json::to_string_pretty(&self.report).context("cannot write the report")?;
            writeln!(self.out, "{text}")?;
        } else {
            write!(self.out, "{}", self.report)?;
        }
        if self.report.sent > 0 && self.report.refused == self.report.sent {
            bail!(
                "the server refused every event; see its reason above, and whether --url ends with /predict"
            );
        }
        match self.gone {
            None => Ok(self.report),
            Some(error) => Err(error.context(
                "stopped for want of an answer; what failed may be stored or not, and what came before is in the report",
            )),
        }
    }
}

/// One line about one event: time, station, values, score, label, and what was the matter.
fn line(message: &Message, outcome: &Outcome) -> String {
    let time = message.timestamp_us.map(timestamp::format).unwrap_or_default();
    let mut values: Vec<String> = message
        .features
        .0
        .iter()
        .take(VALUES_SHOWN)
        .map(|(name, value)| {
            let text = value.map_or(String::from("-"), |value| format!("{value:.2}"));
            format!("{text:>width$}", width = name.len())
        })
        .collect();
    if message.features.0.len() > VALUES_SHOWN {
        values.push(String::from("..."));
    }
    let answer = match outcome {
        Outcome::Answered { anomaly_score, is_anomaly, duplicate } => {
            let label = if *is_anomaly { "ANOMALY" } else { "normal" };
            let repeated = if *duplicate { " (sent before)" } else { "" };
            format!("{anomaly_score:.4}  {label:<7}{repeated}")
        }
        Outcome::Refused { status, code } => format!("refused: {status} {code}"),
    };
    let cause = message.cause.as_deref().unwrap_or("");
    let values = values.join("  ");
    let text =
        format!("{time:<27}  {:<12}  {values:<39}  {answer}  {cause}", message.station_id.as_str());
    String::from(text.trim_end())
}
