//! Rows judged in their order, each station a stream of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{Read, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use recording::{BadRow, Recording, ValueRows};
use sensor::{Feature, FeatureSchema};
use stream::{Model, Params, Step, WarmUpError, WarmedUp, Watch};
use wording::{counted, grouped, listed};

use crate::args::{Args, Format, Missing};
use crate::{cannot_write, check_output, write_output};

/// The surprise of rows of which nothing is known, which is the least that there is.
const UNKNOWN: f64 = -1.0;
const HEADER: [&str; 6] = ["row", "surprise", "threshold", "alarm", "view", "feature"];

/// A station, by what it has sent so far.
#[derive(Default)]
struct Station {
    /// The values of the rows that teach, one after another, and the numbers of these rows.
    values: Vec<f64>,
    rows: Vec<u64>,
    /// The lesson of these rows; `None` while there are too few.
    taught: Option<Result<Box<Watched>, WarmUpError>>,
}

/// A station whose rows are judged.
struct Watched {
    model: Model,
    watch: Watch,
    is_alarm: bool,
}

/// The answer to a row.
enum Said {
    /// Nothing yet.
    Waits,
    /// It is one of those that teach, or bad.
    Surprise(f64),
    Judged(Step),
}

/// Lines in the order of the rows, from the first that waits on.
struct Lines<'a, W: Write> {
    names: &'a [Arc<str>],
    writer: csv::Writer<W>,
    n_written: u64,
    waiting: VecDeque<Said>,
}

/// Facts for the end.
#[derive(Default)]
struct Counts {
    n_judged: u64,
    n_alarms: u64,
    n_bad: u64,
    first_bad: Option<BadRow>,
}

/// Judges the rows of a file in their order.
pub(crate) fn score(
    args: &Args,
    stdin: impl Read + Send + 'static,
    stdout: &mut (dyn Write + Send),
    stderr: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let started = Instant::now();
    let params = Params { budget: args.budget, ..Params::default() };
    params.check(args.warm_up)?;
    if args.format() != Format::Csv {
        bail!("--in-time-order reads CSV, whose columns have names");
    }
    check_output(args)?;
    let schema = schema(args)?;
    let path = args.input.as_path();
    let (path, bytes): (&Path, Box<dyn Read + Send>) = if path == Path::new("-") {
        (Path::new("standard input"), Box::new(stdin))
    } else {
        let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        (path, Box::new(file))
    };
    let rows = ValueRows::begin(bytes, path, &schema)?;
    let mut stations = BTreeMap::new();
    let counts = write_output(args, stdout, |out| judge(args, &params, rows, &mut stations, out))?;
    let Counts { n_judged, n_alarms, n_bad, first_bad } = counts;
    if let Some(first_bad) = first_bad {
        writeln!(
            stderr,
            "note: bad rows, which are passed over: {n_bad}; the first is {first_bad}"
        )?;
    }
    let short = stations.iter().filter(|(_, station)| station.taught.is_none());
    let short: Vec<&String> = short.map(|(name, _)| name).collect();
    for (name, station) in &stations {
        if let Some(Err(error)) = &station.taught {
            writeln!(stderr, "note: nothing of `{name}` is judged: {error}")?;
        }
    }
    if !short.is_empty() {
        let n_rows = grouped(args.warm_up as f64);
        let named = listed(&short);
        writeln!(
            stderr,
            "note: fewer than the {n_rows} rows that teach, so nothing is judged: {named}"
        )?;
    }
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        stderr,
        "judged {n_judged} rows of {} in {seconds:.3} s ({:.0} rows/s): {}",
        counted(stations.len() as u64, "station"),
        n_judged as f64 / seconds,
        counted(n_alarms, "alarm"),
    )?;
    Ok(())
}

/// Returns the features that are named, else all columns of numbers.
fn schema(args: &Args) -> anyhow::Result<FeatureSchema> {
    let names = match &args.features {
        Some(names) => names.clone(),
        None if args.input == Path::new("-") => {
            bail!("standard input is read once: name its columns with --features");
        }
        None => {
            let recording = Recording::open(&args.input)?;
            let names = recording.numeric_columns()?;
            if names.is_empty() {
                bail!("`{}` has no column with a number", args.input.display());
            }
            names
        }
    };
    let optional = args.missing == Missing::Allow;
    let feature = |name: &String| Feature { optional, ..Feature::named(name.trim()) };
    FeatureSchema::new(names.iter().map(feature).collect()).context("cannot use the features")
}

/// Judges all rows and writes a line for each.
fn judge(
    args: &Args,
    params: &Params,
    mut rows: ValueRows<'_>,
    stations: &mut BTreeMap<String, Station>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(HEADER).with_context(|| cannot_write(args))?;
    let mut lines =
        Lines { names: rows.schema().names(), writer, n_written: 0, waiting: VecDeque::new() };
    let mut values = Vec::with_capacity(rows.schema().len());
    for row in 0.. {
        values.clear();
        match rows.read(&mut values)? {
            None => break,
            Some(Err(bad_row)) if !args.skip_bad => {
                bail!(
                    "{bad_row}; --missing allow takes empty cells for missing values, --skip-bad passes bad rows over"
                );
            }
            Some(Err(bad_row)) => {
                counts.n_bad += 1;
                counts.first_bad.get_or_insert(bad_row);
                lines.waiting.push_back(Said::Surprise(UNKNOWN));
            }
            Some(Ok(())) => {
                let name = rows.station();
                if !stations.contains_key(name) {
                    stations.insert(name.into(), Station::default());
                }
                let station = stations.get_mut(name).expect("it was put there");
                let said = station.advance(row, &values, &mut counts);
                lines.waiting.push_back(said);
                if station.rows.len() == args.warm_up {
                    for (row, surprise) in station.learn(params) {
                        lines.say(row, Said::Surprise(surprise));
                    }
                }
            }
        }
        lines.write(false).with_context(|| cannot_write(args))?;
    }
    lines.write(true).with_context(|| cannot_write(args))?;
    lines.writer.flush().with_context(|| cannot_write(args))?;
    Ok(counts)
}

impl Station {
    /// Takes the next row.
    fn advance(&mut self, row: u64, values: &[f64], counts: &mut Counts) -> Said {
        let watched = match &mut self.taught {
            Some(Ok(watched)) => watched,
            Some(Err(_)) => return Said::Surprise(UNKNOWN),
            None => {
                self.values.extend_from_slice(values);
                self.rows.push(row);
                return Said::Waits;
            }
        };
        let step = watched.watch.advance(&watched.model, values);
        counts.n_judged += 1;
        counts.n_alarms += u64::from(step.is_alarm && !watched.is_alarm);
        watched.is_alarm = step.is_alarm;
        Said::Judged(step)
    }

    /// Learns from the rows that teach; returns their numbers and surprises.
    fn learn(&mut self, params: &Params) -> impl Iterator<Item = (u64, f64)> + use<> {
        let (rows, values) = (mem::take(&mut self.rows), mem::take(&mut self.values));
        let learnt = Model::learn(&values, values.len() / rows.len(), params);
        let (taught, surprises) = match learnt {
            Ok(WarmedUp { model, watch, surprises }) => {
                (Ok(Box::new(Watched { model, watch, is_alarm: false })), surprises)
            }
            Err(error) => (Err(error), vec![UNKNOWN; rows.len()]),
        };
        self.taught = Some(taught);
        rows.into_iter().zip(surprises)
    }
}

impl<W: Write> Lines<'_, W> {
    /// Says something of a row that waits.
    fn say(&mut self, row: u64, said: Said) {
        #[expect(clippy::cast_possible_truncation, reason = "rows that wait are in memory")]
        let place = (row - self.n_written) as usize;
        self.waiting[place] = said;
    }

    /// Writes lines up to the first of which nothing was said, or all.
    fn write(&mut self, is_last: bool) -> csv::Result<()> {
        while let Some(said) = self.waiting.front() {
            let row = self.n_written.to_string();
            let none = String::new;
            let line = match said {
                Said::Waits if !is_last => break,
                Said::Waits => {
                    [row, UNKNOWN.to_string(), none(), false.to_string(), none(), none()]
                }
                Said::Surprise(surprise) => {
                    [row, surprise.to_string(), none(), false.to_string(), none(), none()]
                }
                Said::Judged(step) => [
                    row,
                    step.surprise.to_string(),
                    step.threshold.to_string(),
                    step.is_alarm.to_string(),
                    step.view.name().into(),
                    self.names[step.sensor].to_string(),
                ],
            };
            self.writer.write_record(line)?;
            self.waiting.pop_front();
            self.n_written += 1;
        }
        Ok(())
    }
}
