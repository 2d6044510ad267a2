//! The program that scores a file: rows in, scores out.
//!
//! [`run`] reads a CSV or a raw matrix in blocks, on a thread of its own; while the next block is
//! read, all cores score the one before and put it into words. In time order, rows are judged one after
//! another instead, each station a stream of its own.

mod args;
mod compare;
mod evaluate;
mod in_time_order;
mod input;
mod measures;
mod output;
mod timing;

use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use detector::Detector;
use files::AtomicFile;
use indicatif::{ProgressBar, ProgressStyle};
use recording::BadRow;
use wording::listed;

use crate::input::{Block, Input};
use crate::timing::Timing;

pub use args::{Args, Command, Format};
pub use compare::CompareArgs;

/// Blocks that wait to be scored: one is enough, so that reading and scoring overlap.
const BLOCKS_WAITING: usize = 1;

/// Scores as the arguments say. `-` means `stdin` and `stdout`, and timings go to
/// `stdout`; what else there is to tell goes to `stderr`.
///
/// # Errors
///
/// Fails when the model or the input cannot be read, when a row is bad and none may be, and when the
/// output cannot be written; then an older output stays.
pub fn run(
    args: &Args,
    stdin: impl Read + Send + 'static,
    stdout: &mut (dyn Write + Send),
    stderr: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    if let Some(Command::Compare(args)) = &args.command {
        return compare::compare(args, stdout);
    }
    if args.in_time_order {
        return in_time_order::score(args, stdin, stdout, stderr);
    }
    let mut detector = loaded(&args.model_dir)?.with_engine(args.engine)?;
    if let Some(rate) = args.false_alarm_rate {
        detector = detector.with_false_alarm_rate(rate)?;
    }
    check_output(args)?;
    let wide = detector.wide_features();
    if !wide.is_empty() {
        let names = listed(&wide);
        writeln!(
            stderr,
            "note: 32 bits do not tell the values of these apart, so that scoring takes longer: {names}"
        )?;
    }
    // One for each core is what 0 asks for.
    let n_threads = args.threads.unwrap_or(u16::from(args.one));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(usize::from(n_threads))
        .build()
        .context("cannot start threads")?;
    pool.install(|| {
        let started = Instant::now();
        let counts = if let Some(n_times) = args.repeat {
            return time(args, &detector, stdin, n_times, stdout);
        } else if args.evaluate {
            evaluate::evaluate(args, &detector, stdin, stdout, stderr)?
        } else {
            score(args, &detector, stdin, stdout, stderr)?
        };
        counts.tell(&detector, started.elapsed(), stderr)
    })
}

/// Loads the model of a folder.
fn loaded(dir: &Path) -> anyhow::Result<Detector> {
    match Detector::load(dir)? {
        Some(detector) => Ok(detector),
        None => bail!(
            "there is no model in `{}`: train one, or name its folder with --model-dir",
            dir.display()
        ),
    }
}

fn time(
    args: &Args,
    detector: &Detector,
    stdin: impl Read + Send + 'static,
    n_times: u32,
    stdout: &mut dyn Write,
) -> anyhow::Result<()> {
    let path = args.only_input()?;
    let mut input = Input::open(args.reading(path), path, detector, stdin)?;
    let Timing { median_ns, min_ns } = Timing::measure(detector, &mut input, n_times, args.one)?;
    writeln!(
        stdout,
        "scoring: median {median_ns:.1} ns/row, min {min_ns:.1} ns/row, engine {}, threads {}",
        detector.engine(),
        rayon::current_num_threads(),
    )?;
    Ok(())
}

fn score(
    args: &Args,
    detector: &Detector,
    stdin: impl Read + Send + 'static,
    stdout: &mut (dyn Write + Send),
    stderr: &mut (dyn Write + Send),
) -> anyhow::Result<Counts> {
    let path = args.only_input()?;
    let input = Input::open(args.reading(path), path, detector, stdin)?;
    let repeated = if args.append { input.columns() } else { Vec::new() };
    if let Some(name) = repeated.iter().find(|name| output::is_ours(name, detector)) {
        bail!("`{}` has a column `{name}`, as the scores have: leave out --append", path.display());
    }
    if let Some(read_as) = input.in_words() {
        writeln!(stderr, "read as: {read_as}")?;
    }
    write_output(args, stdout, |out| {
        output::write_header(out, &repeated, detector).with_context(|| cannot_write(args))?;
        pump(input, |block| {
            for text in output::score(detector, block).with_context(|| cannot_write(args))? {
                out.write_all(&text).with_context(|| cannot_write(args))?;
            }
            Ok(())
        })
    })
}

/// Fails when something that is written would replace something that is read.
fn check_output(args: &Args) -> anyhow::Result<()> {
    let canonical = |path: &PathBuf| path.canonicalize().ok();
    let written: Vec<PathBuf> =
        std::iter::once(&args.output).chain(&args.report).filter_map(canonical).collect();
    let mut read = args.input.iter().chain(&args.labels);
    match read.find(|path| canonical(path).is_some_and(|path| written.contains(&path))) {
        Some(path) => {
            bail!("`{}` would be replaced: choose another file to write", path.display())
        }
        None => Ok(()),
    }
}

/// Writes the output, a file completely or not at all.
fn write_output<T>(
    args: &Args,
    stdout: &mut (dyn Write + Send),
    write: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if args.output == Path::new("-") {
        let mut out = BufWriter::new(stdout);
        let written = write(&mut out)?;
        out.flush().with_context(|| cannot_write(args))?;
        return Ok(written);
    }
    let mut out = BufWriter::new(AtomicFile::create(&args.output)?);
    let written = write(&mut out)?;
    let file = out.into_inner().map_err(std::io::IntoInnerError::into_error);
    file.with_context(|| cannot_write(args))?.commit()?;
    Ok(written)
}

fn cannot_write(args: &Args) -> String {
    match args.output.to_str() {
        Some("-") => String::from("cannot write to standard output"),
        _ => format!("cannot write `{}`", args.output.display()),
    }
}

/// Numbers of rows.
#[derive(Default)]
struct Counts {
    n_scored: u64,
    n_bad: u64,
    first_bad: Option<BadRow>,
    /// Those of stations without a baseline, where others have one, and the first of these.
    n_without_baseline: u64,
    without_baseline: Option<String>,
}

impl Counts {
    /// Takes those of another file.
    fn add(&mut self, other: Self) {
        self.n_scored += other.n_scored;
        self.n_bad += other.n_bad;
        self.first_bad = self.first_bad.take().or(other.first_bad);
        self.n_without_baseline += other.n_without_baseline;
        self.without_baseline = self.without_baseline.take().or(other.without_baseline);
    }

    /// Says how many rows were scored, how fast, and which were not as they should be.
    fn tell(
        &self,
        detector: &Detector,
        took: Duration,
        stderr: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let Self { n_scored, n_bad, first_bad, n_without_baseline, without_baseline } = self;
        let seconds = took.as_secs_f64();
        if let Some(first_bad) = first_bad {
            writeln!(
                stderr,
                "note: bad rows, which have no scores: {n_bad}; the first is {first_bad}"
            )?;
        }
        if let Some(station) = without_baseline {
            writeln!(
                stderr,
                "note: rows of stations without a baseline, which are judged by the values of all stations: \
                 {n_without_baseline}; the first is of `{station}`"
            )?;
        }
        writeln!(
            stderr,
            "scored {n_scored} rows in {seconds:.3} s ({:.0} rows/s, engine {})",
            *n_scored as f64 / seconds,
            detector.engine(),
        )?;
        Ok(())
    }
}

/// Reads all blocks, on a thread of its own, and returns the number of rows.
fn pump(
    mut input: Input<'_>,
    mut take: impl FnMut(&Block) -> anyhow::Result<()>,
) -> anyhow::Result<Counts> {
    let progress = ProgressBar::no_length().with_style(
        ProgressStyle::with_template("{spinner} {human_pos} rows {elapsed} ({per_sec})")
            .context("the progress bar has no such field")?,
    );
    std::thread::scope(|scope| {
        let (sender, blocks) = mpsc::sync_channel::<anyhow::Result<Block>>(BLOCKS_WAITING);
        scope.spawn(move || {
            while let Some(block) = input.read().transpose() {
                let is_last = block.is_err();
                // The receiver is gone when writing has failed.
                if sender.send(block).is_err() || is_last {
                    break;
                }
            }
        });
        let mut counts = Counts::default();
        for block in blocks {
            let mut block = block?;
            take(&block)?;
            let n_good = block.is_good.iter().filter(|&&is_good| is_good).count();
            counts.n_scored += n_good as u64;
            counts.n_bad += (block.is_good.len() - n_good) as u64;
            counts.first_bad = counts.first_bad.or_else(|| block.first_bad.take());
            counts.n_without_baseline += block.n_without_baseline;
            counts.without_baseline =
                counts.without_baseline.or_else(|| block.without_baseline.take());
            progress.set_position(counts.n_scored + counts.n_bad);
        }
        progress.finish_and_clear();
        Ok(counts)
    })
}
