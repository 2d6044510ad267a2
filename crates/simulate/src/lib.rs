//! The program that sends: a simulated plant, or a recording once more.
//!
//! [`run`] asks the server what its model wants to know, sends [`Message`]s at the
//! pace that is asked for, and compares every answer with the truth. At the end there is a
//! [`Report`]: what was stored, what was caught and missed, and how long answers took.

mod args;
mod client;
mod pace;
mod report;
mod source;

use std::future::Future;
use std::io::Write;
use std::sync::Arc;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::{Client, Delivery, Outcome};
use crate::pace::Pace;
use crate::source::Message;

pub use args::Args;
pub use client::http_client;
pub use report::{Confusion, Detection, LatencyMs, Report};

/// Longer runs show a progress bar instead of a line an event.
const LINES_MAX: u64 = 1_000;

/// Sends events as the arguments say, until they are all sent or `stop` is done, and reports.
///
/// `clock` tells the time in microseconds since 1970: simulated events are measured when they are
/// sent.
///
/// # Errors
///
/// Fails when the arguments contradict each other, the server cannot be reached or wants to know
/// what there is not, and when a recording cannot be read.
pub async fn run(
    args: &Args,
    clock: fn() -> i64,
    out: &mut (dyn Write + Send),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<Report> {
    args.check()?;
    let client = Arc::new(Client::new(&args.url)?);
    let health = client.health().await?;
    let messages = source::messages(args, &health.model.features)?;
    let pace = Pace::new(args);
    let mut recorder = Recorder::new(args, messages.len, out)?;
    recorder.write_titles(&health.model.features)?;

    let mut deliveries = JoinSet::new();
    let started = Instant::now();
    tokio::pin!(stop);
    for (index, mut message) in (0..).zip(messages) {
        let due = pace.due(started, index);
        let may_send = async {
            tokio::time::sleep_until(due).await;
            pace.permit().await
        };
        tokio::pin!(may_send);
        let permit = loop {
            tokio::select! {
                biased;
                () = &mut stop => break None,
                Some(delivery) = deliveries.join_next() => recorder.note(delivery.context("a delivery panicked")?)?,
                permit = &mut may_send => break Some(permit),
            }
        };
        let Some(permit) = permit else {
            recorder.say("interrupted; the report is about what was sent until then")?;
            break;
        };
        let sent = if args.rate.is_some() { due } else { Instant::now() };
        let timestamp_us = *message.timestamp_us.get_or_insert_with(clock);
        let client = Arc::clone(&client);
        deliveries.spawn(async move {
            let delivery = client.deliver(&message.body(timestamp_us)).await;
            drop(permit);
            Delivered { message, delivery, took: sent.elapsed() }
        });
    }
    while let Some(delivery) = deliveries.join_next().await {
        recorder.note(delivery.context("a delivery panicked")?)?;
    }
    recorder.finish(started.elapsed())
}

/// A message that is through with, one way or the other.
struct Delivered {
    message: Message,
    delivery: anyhow::Result<Delivery>,
    took: std::time::Duration,
}

/// Tells a person how it goes, and remembers it for the report.
struct Recorder<'a> {
    out: &'a mut (dyn Write + Send),
    json: bool,
    lines: bool,
    progress: ProgressBar,
    report: Report,
    took_us: Vec<u64>,
}

impl<'a> Recorder<'a> {
    fn new(args: &Args, n_messages: u64, out: &'a mut (dyn Write + Send)) -> anyhow::Result<Self> {
        let is_long = n_messages > LINES_MAX;
        let progress =
            ProgressBar::with_draw_target(Some(n_messages), ProgressDrawTarget::stderr())
                .with_style(
                    ProgressStyle::with_template(
                        "{wide_bar} {pos} of {len} events, {per_sec}, {eta} left",
                    )
                    .context("the progress bar has no such field")?,
                );
        if !is_long {
            progress.set_draw_target(ProgressDrawTarget::hidden());
        }
        Ok(Self {
            out,
            json: args.json,
            lines: !is_long && !args.json && !args.quiet,
            progress,
            report: Report::default(),
            took_us: Vec::new(),
        })
    }

    fn write_titles(&mut self, features: &[String]) -> anyhow::Result<()> {
        if self.lines {
            let shown = features
                .iter()
                .take(VALUES_SHOWN)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join("  ");
            writeln!(
                self.out,
                "{:<27}  {:<12}  {shown:<39}  {:<6}  {:<7}  cause",
                "time", "station", "score", "label"
            )?;
        }
        Ok(())
    }

    fn note(&mut self, delivered: Delivered) -> anyhow::Result<()> {
        let Delivered { message, delivery, took } = delivered;
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(error) => {
                self.report.sent += 1;
                self.report.failed += 1;
                self.progress.abandon();
                self.write_report()?;
                return Err(
                    error.context("the server is gone; what was sent before is in the report")
                );
            }
        };
        self.took_us.push(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.report.note(&message, &delivery);
        self.progress.inc(1);
        if self.lines {
            writeln!(self.out, "{}", line(&message, &delivery.outcome))?;
        }
        Ok(())
    }

    fn say(&mut self, text: &str) -> anyhow::Result<()> {
        if !self.json {
            self.progress.suspend(|| writeln!(self.out, "{text}"))?;
        }
        Ok(())
    }

    fn finish(mut self, took: std::time::Duration) -> anyhow::Result<Report> {
        self.progress.finish_and_clear();
        self.report.seconds = took.as_secs_f64();
        self.report.latency_ms = LatencyMs::of(&mut self.took_us);
        self.write_report()?;
        Ok(self.report)
    }

    fn write_report(&mut self) -> anyhow::Result<()> {
        if self.json {
            let text =
                serde_json::to_string_pretty(&self.report).context("cannot write the report")?;
            writeln!(self.out, "{text}")?;
        } else {
            write!(self.out, "{}", self.report)?;
        }
        Ok(())
    }
}

/// More values would not fit a line.
const VALUES_SHOWN: usize = 4;

/// One line about one event: time, station, values, score, label, and what was the matter.
fn line(message: &Message, outcome: &Outcome) -> String {
    let time = message.timestamp_us.map(sensor::timestamp::format).unwrap_or_default();
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
    format!(
        "{time:<27}  {:<12}  {:<39}  {answer}  {cause}",
        message.station_id.as_str(),
        values.join("  ")
    )
    .trim_end()
    .into()
}
