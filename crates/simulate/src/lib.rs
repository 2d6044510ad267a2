//! The program that sends: a simulated plant, or a recording once more.
//!
//! [`run`] asks the server what its model wants to know, sends messages at the
//! pace that is asked for, and compares every answer with the truth. At the end there is a
//! [`Report`]: what was stored, what was caught and missed, and how long answers took.

mod alarms;
mod args;
mod client;
mod html;
mod live_view;
mod pace;
mod recorder;
mod report;
mod source;

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sensor::timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::client::Client;
use crate::pace::Pace;
use crate::recorder::{Delivered, Recorder};

pub use args::{Args, View};
pub use client::http_client;
pub use report::{Confusion, Detection, LatencyMs, Report};

/// Time for answers that are still missing when a run ends early.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends events as the arguments say, until they are all sent or `stop` is done, and reports.
///
/// `clock` tells the time in microseconds since 1970: simulated events are measured when they are
/// sent.
///
/// # Errors
///
/// Fails when the arguments contradict each other, the server cannot be reached or needs features
/// that the source lacks, when a recording cannot be read, and, after the report, when the server went
/// away.
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
    let facts = vec![
        ("begun", timestamp::format(clock())),
        ("server", args.url.clone()),
        ("model", health.model.version),
        ("source", args.source_words()),
    ];
    let mut recorder = Recorder::new(args, messages.len, facts, out);
    recorder.note_budget(health.alarms_per_day);
    recorder.write_titles(&health.model.features)?;

    let mut deliveries: JoinSet<Delivered> = JoinSet::new();
    let (started, started_us) = (Instant::now(), clock());
    tokio::pin!(stop);
    for (index, mut message) in (0..).zip(messages) {
        let place = message.place.unwrap_or(index);
        let due = pace.due(started, place);
        let may_send = async {
            tokio::time::sleep_until(due).await;
            pace.permit().await
        };
        tokio::pin!(may_send);
        let permit = loop {
            tokio::select! {
                biased;
                () = &mut stop => {
                    recorder.interrupt()?;
                    break None;
                }
                Some(delivered) = deliveries.join_next() => {
                    recorder.note(delivered.context("a delivery panicked")?)?;
                    if recorder.is_over() {
                        break None;
                    }
                }
                permit = &mut may_send => break Some(permit),
            }
        };
        let Some(permit) = permit else { break };
        let sent = if args.rate.is_some() { due } else { Instant::now() };
        let measured_us =
            || pace.measured_us(place).map_or_else(clock, |measured_us| started_us + measured_us);
        let timestamp_us = *message.timestamp_us.get_or_insert_with(measured_us);
        let client = Arc::clone(&client);
        deliveries.spawn(async move {
            let result = client.deliver(&message.body(timestamp_us)).await;
            Delivered { message, result, took: sent.elapsed(), permit }
        });
    }

    if !recorder.is_over() {
        tokio::select! {
            drained = drain(&mut deliveries, &mut recorder) => drained?,
            () = stop => {}
        }
        if !deliveries.is_empty() {
            recorder.interrupt()?;
        }
    }
    if let Ok(drained) =
        tokio::time::timeout(DRAIN_TIMEOUT, drain(&mut deliveries, &mut recorder)).await
    {
        drained?;
    }
    recorder.finish(deliveries.len() as u64, started.elapsed())
}

async fn drain(
    deliveries: &mut JoinSet<Delivered>,
    recorder: &mut Recorder<'_>,
) -> anyhow::Result<()> {
    while let Some(delivered) = deliveries.join_next().await {
        recorder.note(delivered.context("a delivery panicked")?)?;
    }
    Ok(())
}
