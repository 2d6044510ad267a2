//! The same model with another false-alarm rate, without another training.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use detector::{AlarmRule, Detector, META_FILE};
use recording::{ProfileArgs, ValueRows};
use wording::{counted, grouped, rounded};

use crate::REPORT_FILE;

/// Rows that are judged at once.
const ROWS_AT_ONCE: usize = 4_096;

/// Gives the model in a folder another false-alarm rate, in milliseconds: the forest stays the same
///
/// The model becomes another version, which a server takes over as any other. With --input, it says how many rows of a recording
/// were anomalies before and are now.
#[derive(Debug, Clone, Args)]
pub struct RethresholdArgs {
    /// Share of normal events that may be called anomalous
    #[arg(long, value_name = "SHARE", value_parser = AlarmRule::parse_rate)]
    pub false_alarm_rate: f64,

    /// The folder with isoforest.bin and model_meta.json
    #[arg(long, value_name = "DIR", default_value = "models", env = "MODEL_DIR")]
    pub model_dir: PathBuf,

    /// Recordings to compare both models on
    #[arg(long, value_name = "FILE.csv", num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// Say what would change, but write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// The way to read the recordings.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// Gives a model another false-alarm rate, and writes to `out` what changes.
///
/// # Errors
///
/// Fails when there is no model, when its training had too few events for the rate, and when a file cannot be read or written.
pub fn rethreshold(args: &RethresholdArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let dir = args.model_dir.as_path();
    let before = Detector::load(dir)?.with_context(|| {
        format!(
            "there is no model in `{}`: train one, or name its folder with --model-dir",
            dir.display()
        )
    })?;
    let after =
        before.clone().rethreshold(args.false_alarm_rate).context("cannot change the rate")?;
    let [from, to] = [&before, &after].map(|detector| rounded(detector.threshold(), 4));
    writeln!(out, "threshold    {to} instead of {from}")?;
    for input in &args.input {
        let (n_rows, [n_before, n_after]) = compare(args, input, [&before, &after])?;
        writeln!(
            out,
            "anomalies    {} instead of {} in {} of `{}`",
            grouped(n_after as f64),
            grouped(n_before as f64),
            counted(n_rows as u64, "row"),
            input.display()
        )?;
    }
    let version = &after.meta().model_version;
    if args.dry_run {
        writeln!(out, "model        none written (--dry-run)")?;
        return Ok(());
    }
    after.save(dir)?;
    // The report is about the threshold of the training.
    let report = dir.join(REPORT_FILE);
    crate::remove(&report).with_context(|| format!("cannot remove `{}`", report.display()))?;
    writeln!(
        out,
        "model        {version} in `{}`; a server takes it over with POST /model/reload",
        dir.join(META_FILE).display()
    )?;
    Ok(())
}

/// Returns the number of the rows of a recording, and how many of them each model calls anomalous.
fn compare(
    args: &RethresholdArgs,
    input: &Path,
    detectors: [&Detector; 2],
) -> anyhow::Result<(usize, [usize; 2])> {
    let file = std::fs::File::open(input);
    let file = file.with_context(|| format!("cannot read `{}`", input.display()))?;
    let mut rows = ValueRows::begin(file, input, detectors[0].schema(), &args.reading.profile())?;
    let (mut n_rows, mut n_anomalies) = (0, [0; 2]);
    let (mut values, mut baselines) = (Vec::new(), [Vec::new(), Vec::new()]);
    loop {
        let row = rows.read(&mut values)?;
        let is_end = row.is_none();
        if let Some(row) = row {
            if let Err(bad_row) = row {
                bail!("{bad_row}");
            }
            let station = rows.station()?.as_str();
            for (detector, baselines) in detectors.iter().zip(&mut baselines) {
                baselines.push(detector.baseline_of(station));
            }
            n_rows += 1;
        }
        if is_end || baselines[0].len() == ROWS_AT_ONCE {
            for ((detector, baselines), n) in
                detectors.iter().zip(&mut baselines).zip(&mut n_anomalies)
            {
                let judged = detector.judge_rows_by(baselines, &values);
                *n += judged.iter().filter(|row| row.is_anomaly).count();
                baselines.clear();
            }
            values.clear();
        }
        if is_end {
            return Ok((n_rows, n_anomalies));
        }
    }
}
