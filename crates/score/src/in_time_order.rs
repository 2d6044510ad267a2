//! Rows judged in their order, each station a stream of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use recording::{Missing, Profile, Recording, ValueRows};
use sensor::{Feature, FeatureSchema, StationId};
use stream::{
    Model, NATS_MIN, Params, SensorFault, SensorRules, SensorWatch, Step, WarmUpError, WarmedUp,
    Watch,
};
use wording::{counted, grouped, listed};

use crate::args::{Args, Format};
use crate::input::open;
use crate::{cannot_write, check_output, write_output};

/// Memory of all models: 4,500 stations of eight features, or 36 of a thousand.
const MODELS_BYTES_MAX: usize = 2 << 30;
/// Lines that wait for their station to have learnt; the first of more are written without a surprise.
const WAITING_MAX: usize = 1_000_000;
/// A server watches stations with up to so many features.
const FEATURES_MANY: usize = 256;
const HEADER: [&str; 6] = ["row", "surprise", "threshold", "alarm", "view", "feature"];
const HEADER_OF_FAULTS: [&str; 2] = ["sensor_fault", "faulty_feature"];

/// A station, by what it has sent so far.
#[derive(Default)]
struct Station {
    /// The values of the rows of the warm-up, one after another, and the numbers of these rows.
    values: Vec<f64>,
    rows: Vec<u64>,
    /// The result of the warm-up; `None` while it lasts.
    learnt: Option<Result<Box<Watched>, WarmUpError>>,
}

/// A station whose rows are judged.
struct Watched {
    model: Model,
    watch: Watch,
    is_alarm: bool,
    rules: SensorRules,
    sensors: SensorWatch,
    /// The sensors that fail.
    faults: Vec<SensorFault>,
}

/// The line of a row.
enum Line {
    /// Its station is still in its warm-up.
    Waits,
    Bad,
    /// It is of the warm-up, or of a station that cannot be watched.
    WarmUp(f64),
    Judged(Step, Option<SensorFault>),
}

/// Lines in the order of the rows, from the first that waits on.
struct Lines<'a, W: Write> {
    names: &'a [Arc<str>],
    with_faults: bool,
    writer: csv::Writer<W>,
    n_written: u64,
    waiting: VecDeque<Line>,
}

/// Facts for the end.
#[derive(Default)]
struct Counts {
    n_judged: u64,
    n_alarms: u64,
    n_faults: u64,
    n_bad: u64,
    first_bad: Option<String>,
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
    let input = args.only_input()?;
    if args.format(input) != Format::Csv {
        bail!("--in-time-order reads CSV, whose columns have names");
    }
    check_output(args)?;
    let profile = args.reading.profile();
    let schema = schema(args, input, &profile)?;
    if schema.len() > FEATURES_MANY {
        writeln!(
            stderr,
            "note: the time for a row grows with the square of the features, of which there are {}: name those that matter with --features",
            grouped(schema.len() as f64)
        )?;
    }
    let (path, bytes) = open(input, stdin)?;
    let rows = ValueRows::begin(bytes, path, &schema, &profile)?;
    let mut stations = BTreeMap::new();
    let counts = write_output(args, stdout, |out| judge(args, &params, rows, &mut stations, out))?;
    let Counts { n_judged, n_alarms, n_faults, n_bad, first_bad } = counts;
    if let Some(first_bad) = first_bad {
        writeln!(stderr, "note: skipped {}; the first is {first_bad}", counted(n_bad, "bad row"))?;
    }
    let failed = stations.iter().filter_map(|(name, station)| match &station.learnt {
        Some(Err(error)) => Some((name, error)),
        _ => None,
    });
    if let Some((name, error)) = failed.clone().next() {
        let n_failed = counted(failed.count() as u64, "station");
        writeln!(stderr, "note: cannot score {n_failed}; the first is `{name}`: {error}")?;
    }
    let short = stations.iter().filter(|(_, station)| station.learnt.is_none());
    let short: Vec<&str> = short.map(|(name, _)| name.as_str()).collect();
    if !short.is_empty() {
        let n_rows = grouped(args.warm_up as f64);
        writeln!(stderr, "note: not scored, fewer than {n_rows} warm-up rows: {}", listed(&short))?;
    }
    let seconds = started.elapsed().as_secs_f64();
    let faults = match n_faults {
        0 => String::new(),
        _ => format!(", {}", counted(n_faults, "sensor fault")),
    };
    writeln!(
        stderr,
        "judged {n_judged} rows of {} in {seconds:.3} s ({:.0} rows/s): {}{faults}",
        counted(stations.len() as u64, "station"),
        n_judged as f64 / seconds,
        counted(n_alarms, "alarm"),
    )?;
    Ok(())
}

/// Returns the features that are named, else all columns of numbers.
fn schema(args: &Args, input: &Path, profile: &Profile) -> anyhow::Result<FeatureSchema> {
    let names = match &args.features {
        Some(names) => names.clone(),
        None if input == Path::new("-") => {
            bail!("standard input is read once: name its columns with --features");
        }
        None => {
            let recording = Recording::open(input, profile)?;
            let names = recording.numeric_columns()?;
            if names.is_empty() {
                bail!("`{}` has no column with a number", input.display());
            }
            names
        }
    };
    let optional = profile.missing == Some(Missing::Allow);
    let feature = |name: &String| Feature { optional, ..Feature::named(name.trim()) };
    FeatureSchema::new(names.iter().map(feature).collect()).context("cannot use the features")
}

/// Judges all rows and writes a line for each.
fn judge(
    args: &Args,
    params: &Params,
    mut rows: ValueRows<'_>,
    stations: &mut BTreeMap<StationId, Station>,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut writer = csv::Writer::from_writer(out);
    let with_faults = args.sensor_faults;
    let header_of_faults = HEADER_OF_FAULTS.into_iter().filter(|_| with_faults);
    let header = HEADER.into_iter().chain(header_of_faults);
    writer.write_record(header).with_context(|| cannot_write(args))?;
    let names = rows.schema().names();
    let mut lines = Lines { names, with_faults, writer, n_written: 0, waiting: VecDeque::new() };
    let n_stations_max = MODELS_BYTES_MAX / Model::size_of(rows.schema().len());
    let mut values = Vec::with_capacity(rows.schema().len());
    for row in 0.. {
        values.clear();
        let Some(read) = rows.read(&mut values)? else { break };
        let station_id = read.and_then(|()| rows.station().cloned());
        match station_id {
            Err(fault) if !args.skip_bad => bail!(
                "{fault}; --missing allow takes empty cells for missing values, --skip-bad skips bad rows"
            ),
            Err(fault) => {
                counts.n_bad += 1;
                counts.first_bad.get_or_insert(fault.to_string());
                lines.waiting.push_back(Line::Bad);
            }
            Ok(station_id) => {
                let station = stations.entry(station_id).or_default();
                lines.waiting.push_back(station.advance(row, &values, &mut counts));
                if station.rows.len() == args.warm_up {
                    for (row, surprise) in station.learn(params) {
                        lines.set(row, Line::WarmUp(surprise));
                    }
                }
            }
        }
        if stations.len() > n_stations_max {
            bail!(
                "more than {n_stations_max} stations of {} features take too much memory: split the file",
                rows.schema().len()
            );
        }
        lines.write(false).with_context(|| cannot_write(args))?;
    }
    lines.write(true).with_context(|| cannot_write(args))?;
    lines.writer.flush().with_context(|| cannot_write(args))?;
    Ok(counts)
}

impl Station {
    /// Takes the next row.
    fn advance(&mut self, row: u64, values: &[f64], counts: &mut Counts) -> Line {
        let watched = match &mut self.learnt {
            Some(Ok(watched)) => watched,
            Some(Err(_)) => return Line::WarmUp(NATS_MIN),
            None => {
                self.values.extend_from_slice(values);
                self.rows.push(row);
                return Line::Waits;
            }
        };
        let step = watched.watch.advance(&watched.model, values);
        counts.n_judged += 1;
        counts.n_alarms += u64::from(step.is_alarm() && !watched.is_alarm);
        watched.is_alarm = step.is_alarm();
        counts.n_faults += watched.judge_sensors(row, values);
        let latest = watched.faults.iter().max_by_key(|fault| fault.since);
        Line::Judged(step, latest.copied())
    }

    /// Learns from the warm-up; returns the numbers and surprises of its rows.
    fn learn(&mut self, params: &Params) -> impl Iterator<Item = (u64, f64)> + use<> {
        let (rows, values) = (mem::take(&mut self.rows), mem::take(&mut self.values));
        let learnt = Model::learn(&values, values.len() / rows.len(), params);
        let (learnt, surprises) = match learnt {
            Ok(WarmedUp { model, watch, surprises }) => {
                let times: Vec<i64> = rows.iter().copied().map(time).collect();
                let (rules, sensors) = SensorRules::learn(&times, &values);
                let watched =
                    Watched { model, watch, is_alarm: false, rules, sensors, faults: Vec::new() };
                (Ok(Box::new(watched)), surprises)
            }
            Err(error) => (Err(error), vec![NATS_MIN; rows.len()]),
        };
        self.learnt = Some(learnt);
        rows.into_iter().zip(surprises)
    }
}

impl Watched {
    /// Takes the next row; returns the number of sensor faults that begin with it.
    fn judge_sensors(&mut self, row: u64, values: &[f64]) -> u64 {
        self.sensors.advance(&self.rules, time(row), values);
        let faults: Vec<_> = self.sensors.faults(&self.rules).collect();
        let n_new = faults.iter().filter(|fault| !self.faults.contains(fault)).count();
        self.faults = faults;
        n_new as u64
    }
}

/// Returns the time of a row: its number.
fn time(row: u64) -> i64 {
    i64::try_from(row).unwrap_or(i64::MAX)
}

impl<W: Write> Lines<'_, W> {
    /// Sets the line of a row, unless it was written.
    fn set(&mut self, row: u64, line: Line) {
        #[expect(clippy::cast_possible_truncation, reason = "rows that wait are in memory")]
        if let Some(place) = row.checked_sub(self.n_written) {
            self.waiting[place as usize] = line;
        }
    }

    /// Writes lines up to the first that waits, or all.
    fn write(&mut self, is_last: bool) -> csv::Result<()> {
        while let Some(line) = self.waiting.front() {
            let row = self.n_written.to_string();
            let none = String::new;
            let of_warm_up = |row, surprise: f64| {
                [row, surprise.to_string(), none(), false.to_string(), none(), none()]
            };
            let cells = match line {
                Line::Waits if !is_last && self.waiting.len() <= WAITING_MAX => break,
                Line::Waits => of_warm_up(row, NATS_MIN),
                Line::WarmUp(surprise) => of_warm_up(row, *surprise),
                Line::Bad => [row, none(), none(), none(), none(), none()],
                Line::Judged(step, _) => [
                    row,
                    step.surprise.to_string(),
                    step.threshold.to_string(),
                    step.is_alarm().to_string(),
                    step.view.name().into(),
                    self.names[step.sensor].to_string(),
                ],
            };
            let fault = match line {
                Line::Judged(_, Some(fault)) => [fault.kind.name(), &self.names[fault.sensor]],
                _ => ["", ""],
            };
            let of_faults = fault.into_iter().filter(|_| self.with_faults);
            self.writer.write_record(cells.iter().map(String::as_str).chain(of_faults))?;
            self.waiting.pop_front();
            self.n_written += 1;
        }
        Ok(())
    }
}
