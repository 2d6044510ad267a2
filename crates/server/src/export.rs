//! `server export`: stored events as CSV, for people and for another training.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Context as _, bail};
use files::AtomicFile;
use sensor::{Prediction, timestamp};
use store::{EventQuery, StoredPrediction};
use wording::counted;

use crate::args::ExportArgs;

/// The columns before the features.
const KEY: [&str; 3] = ["timestamp", "station_id", "sequence"];
/// The columns behind them, where they are asked for.
const JUDGEMENT: [&str; 5] =
    ["anomaly_score", "p_value", "is_anomaly", "evidence", "model_version"];

/// Writes the events of a database, which a server may be using, as CSV to a file or to `out`.
///
/// # Errors
///
/// Fails when the database cannot be read, when no event is as asked for, and when the output cannot be written.
pub fn export(args: &ExportArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let database = args.data.database();
    let query = EventQuery {
        station_id: args.station.clone(),
        since_us: args.since,
        until_us: args.until,
        is_anomaly: args.exclude_anomalies.then_some(false),
        ..EventQuery::all(0)
    };
    // Models of other features may have judged some of them.
    let mut features = BTreeSet::new();
    each(&database, &query, |stored| {
        for (name, _) in stored.prediction.features.iter() {
            if !features.contains(name) {
                features.insert(String::from(name));
            }
        }
        Ok(())
    })?;
    if features.is_empty() {
        bail!("`{}` has no event as asked for", database.display());
    }
    let features: Vec<String> = features.into_iter().collect();
    if args.output == Path::new("-") {
        let n_events = write(&database, &query, &features, args.scores, out)?;
        tracing::info!(n_events, "exported");
        return Ok(());
    }
    let file = AtomicFile::create(&args.output)?;
    let mut file = BufWriter::new(file);
    let n_events = write(&database, &query, &features, args.scores, &mut file)?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.commit()?;
    writeln!(out, "exported {} to `{}`", counted(n_events, "event"), args.output.display())?;
    Ok(())
}

/// Writes the header and all events, and returns their number.
fn write(
    database: &Path,
    query: &EventQuery,
    features: &[String],
    with_scores: bool,
    out: &mut dyn Write,
) -> anyhow::Result<u64> {
    let mut writer = csv::Writer::from_writer(BufWriter::new(out));
    let judgement = if with_scores { &JUDGEMENT[..] } else { &[] };
    let names = KEY.iter().copied().chain(features.iter().map(String::as_str));
    writer.write_record(names.chain(judgement.iter().copied()).map(harmless))?;
    let mut n_events = 0;
    each(database, query, |stored| {
        n_events += 1;
        let prediction = &stored.prediction;
        writer.write_field(timestamp::format(prediction.timestamp_us))?;
        writer.write_field(prediction.station_id.as_str())?;
        writer.write_field(prediction.sequence.to_string())?;
        for name in features {
            let value = prediction.features.get(name).flatten();
            writer.write_field(value.map_or_else(String::new, |value| value.to_string()))?;
        }
        if with_scores {
            for cell in judged(prediction) {
                writer.write_field(cell)?;
            }
        }
        writer.write_record(None::<&[u8]>)
    })?;
    writer.flush()?;
    Ok(n_events)
}

/// Returns the cells of [`JUDGEMENT`].
fn judged(prediction: &Prediction) -> [String; JUDGEMENT.len()] {
    [
        prediction.anomaly_score.to_string(),
        prediction.p_value.to_string(),
        prediction.is_anomaly.to_string(),
        prediction.evidence.map_or_else(String::new, |evidence| String::from(evidence.name())),
        String::from(prediction.model_version.as_str()),
    ]
}

/// Calls with every event that a query selects, until that fails.
fn each(
    database: &Path,
    query: &EventQuery,
    mut take: impl FnMut(&StoredPrediction) -> csv::Result<()>,
) -> anyhow::Result<()> {
    let mut taken = Ok(());
    let n_altered = store_sqlite::export(database, query, |stored| {
        taken = take(&stored);
        if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })
    .with_context(|| format!("cannot export `{}`", database.display()))?;
    taken.context("cannot write the events")?;
    if n_altered > 0 {
        tracing::warn!(n_altered, "left out: events that are not as they were written");
    }
    Ok(())
}

/// Returns a cell that no spreadsheet takes for a formula.
fn harmless(cell: &str) -> String {
    let is_formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if is_formula { format!("'{cell}") } else { String::from(cell) }
}
