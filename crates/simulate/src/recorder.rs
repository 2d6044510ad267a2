//! Tells a person how a run goes, and remembers it for the report.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail};
use sensor::timestamp;
use terminal::style::ANOMALY;
use tokio::sync::OwnedSemaphorePermit;

use crate::args::{Args, View};
use crate::client::{Delivery, Outcome, Undelivered};
use crate::html::{History, Seen};
use crate::live_view::LiveView;
use crate::report::{LatencyMs, Report};
use crate::source::Message;

/// More names would not fit a line.
const NAMES_SHOWN: usize = 4;

/// A message that is through with, one way or the other.
pub(crate) struct Delivered {
    pub(crate) message: Message,
    pub(crate) result: Result<Delivery, Undelivered>,
    /// Time from when it was sent, or due.
    pub(crate) took: Duration,
    /// Released after the event is recorded, so that events sent one at a time are recorded in order.
    pub(crate) permit: OwnedSemaphorePermit,
}

pub(crate) struct Recorder<'a> {
    args: &'a Args,
    out: &'a mut (dyn Write + Send),
    view: Option<LiveView>,
    report: Report,
    /// Kept for the report as a file, with what was run.
    history: Option<History>,
    facts: Vec<(&'static str, String)>,
    took_us: Vec<u64>,
    /// The reason why the first undelivered event was not delivered.
    gone: Option<anyhow::Error>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(
        args: &'a Args,
        n_messages: u64,
        facts: Vec<(&'static str, String)>,
        out: &'a mut (dyn Write + Send),
    ) -> Self {
        let is_silent = args.quiet || args.json;
        // Where the past comes at once and the present as time goes by, the duration is unknown.
        let has_eta = args.backfill.is_none();
        Self {
            args,
            out,
            view: (args.view == View::Live && !is_silent)
                .then(|| LiveView::new(n_messages, has_eta)),
            facts,
            report: Report::default(),
            history: args.report.as_ref().map(|_| History::default()),
            took_us: Vec::new(),
            gone: None,
        }
    }

    /// Notes how many alarms may open at a station in a day, where the server says so.
    pub(crate) fn note_budget(&mut self, alarms_per_day: Option<f64>) {
        self.report.alarms.allowed_a_day = alarms_per_day;
    }

    /// Returns `true` if events are printed line by line.
    fn has_lines(&self) -> bool {
        self.view.is_none() && !self.args.quiet && !self.args.json
    }

    /// Writes to the output, without running into the view.
    fn write(&mut self, text: &str) -> anyhow::Result<()> {
        let out = &mut self.out;
        let mut write = || writeln!(out, "{text}").context("cannot write to standard output");
        match &self.view {
            Some(view) => view.suspend(write),
            None => write(),
        }
    }

    pub(crate) fn write_titles(&mut self, features: &[String]) -> anyhow::Result<()> {
        if !self.has_lines() {
            return Ok(());
        }
        let shown: Vec<&str> = features.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        self.write(&format!(
            "{:<27}  {:<12}  {:<39}  {:<6}  {:<7}  truth",
            "time",
            "station",
            shown.join("  "),
            "score",
            "label"
        ))
    }

    /// Returns `true` if nothing more is to be sent.
    pub(crate) fn is_over(&self) -> bool {
        self.report.interrupted || self.gone.is_some()
    }

    pub(crate) fn interrupt(&mut self) -> anyhow::Result<()> {
        self.report.interrupted = true;
        if self.args.json {
            return Ok(());
        }
        self.write("interrupted; the report is about what was sent until then")
    }

    pub(crate) fn note(&mut self, delivered: Delivered) -> anyhow::Result<()> {
        let Delivered { message, result, took, permit: _until_noted } = delivered;
        match &result {
            Ok(delivery) => {
                self.took_us.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
                self.report.note(&message, delivery);
                self.remember(&message, &delivery.outcome);
                if self.has_lines() {
                    self.write(&line(&message, &delivery.outcome))?;
                }
            }
            Err(Undelivered { n_tries, .. }) => self.report.note_failure(*n_tries),
        }
        let outcome = result.as_ref().ok().map(|delivery| &delivery.outcome);
        if let Some(view) = &mut self.view {
            view.note(&message, outcome, &self.report);
        }
        if let Err(Undelivered { error, .. }) = result {
            self.gone.get_or_insert(error);
        }
        Ok(())
    }

    fn remember(&mut self, message: &Message, outcome: &Outcome) {
        let (Some(history), Outcome::Answered { is_anomaly, .. }) = (&mut self.history, outcome)
        else {
            return;
        };
        let seen = Seen {
            timestamp_us: message.timestamp_us.unwrap_or_default(),
            is_anomalous: message.is_anomaly,
            is_called: *is_anomaly,
        };
        history.note(&message.station_id, seen);
    }

    /// Writes the report, of a run that had to leave `n_unanswered` events.
    pub(crate) fn finish(mut self, n_unanswered: u64, took: Duration) -> anyhow::Result<Report> {
        if let Some(view) = &self.view {
            view.end();
        }
        for _ in 0..n_unanswered {
            self.report.note_failure(1);
        }
        self.report.alarms.end();
        self.report.seconds = took.as_secs_f64();
        self.report.latency_ms = LatencyMs::of(&mut self.took_us);
        if self.args.json {
            let text =
                serde_json::to_string_pretty(&self.report).context("cannot write the report")?;
            writeln!(self.out, "{text}")?;
        } else {
            write!(self.out, "{}", self.report)?;
        }
        self.write_page()?;
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

impl Recorder<'_> {
    /// Writes the report as a file, if it is wanted.
    fn write_page(&mut self) -> anyhow::Result<()> {
        let (Some(path), Some(history)) = (&self.args.report, &self.history) else {
            return Ok(());
        };
        let page = history.page(&self.report, &self.facts);
        files::write_atomically(path, page.as_bytes())?;
        if !self.args.json {
            writeln!(self.out, "report       {}", path.display())?;
        }
        Ok(())
    }
}

/// Writes a line about one event: time, station, values, score, label, and the cause.
fn line(message: &Message, outcome: &Outcome) -> String {
    let time = message.timestamp_us.map(timestamp::format).unwrap_or_default();
    let (shown, has_more) = message.shown();
    let aligned = |(name, value): &(&str, String)| format!("{value:>width$}", width = name.len());
    let mut values: Vec<String> = shown.iter().map(aligned).collect();
    if has_more {
        values.push(String::from("..."));
    }
    let answer = match outcome {
        Outcome::Answered { anomaly_score, is_anomaly, duplicate, .. } => {
            let label = if *is_anomaly {
                format!("{ANOMALY}ANOMALY{ANOMALY:#}")
            } else {
                String::from("normal ")
            };
            let repeated = if *duplicate { " (sent before)" } else { "" };
            format!("{anomaly_score:.4}  {label}{repeated}")
        }
        Outcome::Refused { status, code } => format!("refused: {status} {code}"),
    };
    let cause = message.cause.as_deref().unwrap_or("");
    let values = values.join("  ");
    let text =
        format!("{time:<27}  {:<12}  {values:<39}  {answer}  {cause}", message.station_id.as_str());
    String::from(text.trim_end())
}
