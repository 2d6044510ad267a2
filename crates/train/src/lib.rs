//! The program that learns: from a CSV of one's own, or from the simulated plant.
//!
//! [`run`] reads the [training data](TrainingData), drops what cannot teach anything, fits a
//! [`Detector`], tries whether what is normal stays normal, writes the model, a sample and a report,
//! and says in plain words what it found.

mod alarm_trial;
mod apart;
mod args;
mod data;
mod doubtful;
mod inspect;
mod report;
mod rethreshold;
mod sentinel;
mod stability;
mod summary;
mod teller;
mod timeline;
mod timing;

use std::io::Write;
use std::path::Path;
use std::time::Instant;
use std::{fs, io};

use anyhow::{Context as _, bail};
use detector::{AlarmRule, Detector, ForestParams, Params};
use files::write_atomically;
use indicatif::ProgressBar;
use sensor::timestamp;

use crate::summary::Summary;
use crate::teller::Teller;
use crate::timing::Timing;

pub use alarm_trial::AlarmTrial;
pub use args::{Args, Command};
pub use data::TrainingData;
pub use inspect::{InspectArgs, inspect};
pub use rethreshold::{RethresholdArgs, rethreshold};
pub use stability::StabilityTrial;
pub use timeline::Timeline;

/// Some of the events learnt from, for people: a CSV that [`run`] writes to the data folder.
pub const SAMPLE_FILE: &str = "training_sample.csv";

/// The report of a training for people: a page that [`run`] writes beside the model.
pub const REPORT_FILE: &str = "report.html";

/// Number of rows of the sample.
const SAMPLE_ROWS: usize = 200;

/// Learns a model as the arguments say, at the time `now_us`, and reports to `out`.
///
/// # Errors
///
/// Fails when the data cannot be read or has too many bad rows, when nothing can be learnt from it
/// as asked, and when a file cannot be written.
pub fn run(args: &Args, now_us: i64, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
    match &args.command {
        Some(Command::Inspect(args)) => return inspect(args, now_us, out),
        Some(Command::Rethreshold(args)) => return rethreshold(args, out),
        None => {}
    }
    let n_threads = args.threads.map_or(0, usize::from);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(n_threads)
        .build()
        .context("cannot start threads")?;
    pool.install(|| learn(args, now_us, out))
}

fn learn(args: &Args, now_us: i64, out: &mut dyn Write) -> anyhow::Result<()> {
    let started = Instant::now();
    let progress = if args.quiet { ProgressBar::hidden() } else { terminal::spinner("rows") };
    progress.set_message("reading the data");
    let mut data = TrainingData::read(args, &progress)?;
    let timeline = data.timeline();
    data.warnings.extend(data.doubts(args.grouping().as_ref(), timeline.as_ref(), now_us));
    let mut teller = Teller::new(args, out);
    for warning in &data.warnings {
        progress.suspend(|| teller.warn(warning))?;
    }

    progress.set_style(terminal::spinner_without_count());
    progress.set_message("growing the forest");
    let params = Params { keeps_lessons: data.has_times, ..params(args) };
    if args.time {
        let Timing { median_ms, min_ms } = Timing::measure(&data, &params.forest)?;
        progress.finish_and_clear();
        let n_threads = rayon::current_num_threads();
        writeln!(
            teller.out,
            "fit: median {median_ms:.3} ms, min {min_ms:.3} ms, threads {n_threads}"
        )?;
        return Ok(());
    }
    let detector = Detector::fit(&data.schema, &data.events, &params, now_us)
        .with_context(|| format!("cannot learn from {}", data.source))?
        .with_engine(args.engine)?
        .with_data(data.meta(&args.reading.profile()));
    if let Some(warning) = data.left_out_warning(detector.meta()) {
        progress.suspend(|| teller.warn(&warning))?;
        data.warnings.push(warning);
    }
    if let Some(warning) = data.ungrouped_warning(args.group_by.as_ref()) {
        progress.suspend(|| teller.warn(&warning))?;
        data.warnings.push(warning);
    }
    if !detector.relates_values() && data.schema.len() > Detector::RELATED_MAX {
        let warning = String::from(
            "so many features vary that they are not compared with each other: a value that is usual and does not fit \
             the others is not found; name those that belong together with --features",
        );
        progress.suspend(|| teller.warn(&warning))?;
        data.warnings.push(warning);
    }
    progress.set_message("judging the last fifth");
    let trial = StabilityTrial::measure(&data, &params);
    let alarm_trial = AlarmTrial::measure(&data, &detector);
    progress.finish_and_clear();

    let summary = Summary {
        args,
        data: &data,
        timeline,
        detector: &detector,
        trial: trial.as_ref(),
        alarm_trial,
        took: started.elapsed(),
    };
    if args.strict && summary.has_warnings() {
        if let Some(warning) = trial.as_ref().and_then(StabilityTrial::warning) {
            teller.warn(&warning)?;
        }
        bail!("nothing is written, since there are warnings and --strict does not allow any");
    }
    if !args.dry_run {
        let sample = sample(&data).context("cannot put the sample into words")?;
        write_atomically(&args.data_dir.join(SAMPLE_FILE), &sample)?;
        let report = args.model_dir.join(REPORT_FILE);
        // The file there is about another model.
        remove(&report).with_context(|| format!("cannot remove `{}`", report.display()))?;
        detector.save(&args.model_dir)?;
        if !args.no_report {
            write_atomically(&report, summary.report().as_bytes())
                .context("the model is written, but not its report")?;
        }
    }
    teller.tell(&summary).context("cannot write the summary")
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn params(args: &Args) -> Params {
    let alarms = match args.contamination {
        Some(share) => AlarmRule::Contamination(share),
        None => AlarmRule::FalseAlarmRate(args.false_alarm_rate),
    };
    let forest = ForestParams {
        n_trees: args.trees,
        sample_size: args.sample_size,
        max_features: args.max_features,
        seed: args.seed,
    };
    let group_by = args.grouping();
    Params { forest, alarms, keep_all_rows: args.keep_all_rows, group_by, ..Params::default() }
}

/// Rows from the whole length of the data, evenly spaced, as CSV.
fn sample(data: &TrainingData) -> anyhow::Result<Vec<u8>> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let features = data.schema.features().iter().map(|feature| &*feature.name);
    writer.write_record(["timestamp", "station_id", "sequence"].into_iter().chain(features))?;
    let n_rows = data.events.len().min(SAMPLE_ROWS);
    for row in 0..n_rows {
        let event = &data.events[row * data.events.len() / n_rows];
        writer.write_field(timestamp::format(event.timestamp_us()))?;
        writer.write_field(event.station_id().as_str())?;
        writer.write_field(event.sequence().to_string())?;
        for value in event.values() {
            writer.write_field(if value.is_nan() { String::new() } else { value.to_string() })?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    Ok(writer.into_inner()?)
}
