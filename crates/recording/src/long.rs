//! Tables of tags: a row for each value, as historians export them, into a row for each moment.
//!
//! The values of a tag come when they come. Rows are made at the moments of a grid, and each has the last value of every tag,
//! unless it is too old.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

use sensor::{FeatureSchema, StationId, timestamp};
use tempfile::NamedTempFile;
use wording::{counted, listed};

use crate::columns::{Long, Role};
use crate::error::{BadRow, CellFault, OpenError};
use crate::file::Recording;
use crate::interval::Interval;
use crate::profile::{Missing, Profile};
use crate::row::Row;
use crate::rows::Rows;
use crate::stations::Stations;

/// More rows than values are hardly meant, where they are so many.
const ROWS_MANY: i64 = 10_000_000;
/// A value is kept as long as all but one of so many pauses of its tag last.
const PAUSES_FOR_LONG: usize = 100;

/// A table with a column for each tag.
pub(crate) struct Wide {
    /// The rows: the time, the station where rows name one, and the values.
    pub(crate) csv: NamedTempFile,
    pub(crate) has_stations: bool,
    pub(crate) tags: Vec<String>,
    /// The way in which it was made, for people.
    pub(crate) in_words: String,
}

/// A value, of the tag and of the station with these numbers.
struct Sample {
    station: usize,
    time_us: i64,
    tag: usize,
    value: f64,
}

/// All values of a table.
struct Samples {
    stations: Vec<StationId>,
    tags: Vec<String>,
    values: Vec<Sample>,
    /// Tags without any number.
    without_numbers: Vec<String>,
}

impl Wide {
    /// Reads a recording whose rows hold one value each.
    ///
    /// # Errors
    ///
    /// Fails when rows do not say when they were measured, when one is bad, and when the profile asks for more rows than
    /// there can be.
    pub(crate) fn of(
        recording: &Recording,
        rows: Rows,
        profile: &Profile,
    ) -> Result<Self, OpenError> {
        let path = || recording.path().to_owned();
        let columns = recording.columns();
        let Long { columns: [tag, value], .. } =
            columns.long().expect("the profile names the columns");
        let names = [tag, value].map(|column| columns.names()[column].clone());
        recording.check_times()?;
        if columns.time().is_empty() {
            return Err(OpenError::LongWithoutTime { path: path() });
        }
        if let Some(label) = columns.telling(Role::Label) {
            let label = columns.names()[label].clone();
            return Err(OpenError::LongWithLabels { path: path(), label });
        }
        let has_stations = recording.has_stations();
        let samples = Samples::read(recording, rows, [tag, value])?;
        let (every, carry) = samples.pace(profile);
        if samples.is_too_fine(every, carry) {
            return Err(OpenError::GridTooFine { path: path(), every });
        }
        let keeps_gaps = profile.missing == Some(Missing::Allow);
        let unwritten = |source| OpenError::Read { path: path(), source };
        let mut csv = NamedTempFile::new().map_err(unwritten)?;
        let mut out = BufWriter::new(&mut csv);
        let counts =
            samples.write(&mut out, [every, carry], has_stations, keeps_gaps).map_err(unwritten)?;
        out.flush().map_err(unwritten)?;
        drop(out);
        if counts.n_rows == 0 {
            return Err(OpenError::NoWholeRow { path: path(), n_rows: counts.n_gaps, carry });
        }
        let in_words = samples.in_words(&names, [every, carry], counts.n_gaps);
        Ok(Self { csv, has_stations, tags: samples.tags, in_words })
    }
}

impl Samples {
    fn read(
        recording: &Recording,
        mut rows: Rows,
        [tag, value]: [usize; 2],
    ) -> Result<Self, OpenError> {
        let mut numbers = BTreeMap::<String, usize>::new();
        let mut of_stations = BTreeMap::<StationId, usize>::new();
        let mut stations = Stations::of_file(recording.path());
        // Each name has rows of its own at a time that a clock shows twice.
        let mut clocks = Vec::new();
        let mut samples = Vec::new();
        // The first cell of each tag that is no number.
        let mut others = BTreeMap::<usize, BadRow>::new();
        let mut record = csv::ByteRecord::new();
        while rows.read(&mut record).map_err(|error| recording.read_error(error))? {
            let line = rows.line(&record);
            let bad_row =
                |fault| BadRow { path: recording.path().to_owned(), line, faults: vec![fault] };
            let row = Row::new(&record, recording);
            let row =
                row.map_err(|kind| OpenError::Row(bad_row(CellFault { column: None, kind })))?;
            let read = |fault| OpenError::Row(bad_row(fault));
            let name = row.cell(tag).map_err(read)?;
            if name.is_empty() {
                continue;
            }
            let number = numbers.get(name).copied().unwrap_or_else(|| {
                let next = numbers.len();
                numbers.insert(String::from(name), next);
                clocks.push(recording.clock());
                next
            });
            if numbers.len() > FeatureSchema::LEN_MAX {
                return Err(OpenError::TooManyTags { path: recording.path().to_owned() });
            }
            let value = match row.number(value) {
                Ok(value) if value.is_nan() => continue,
                Ok(value) => value,
                Err(fault) => {
                    others.entry(number).or_insert_with(|| bad_row(fault));
                    continue;
                }
            };
            let station_id = stations.of_row(&row).map_err(read)?;
            let time_us = row
                .timestamp_us(&mut clocks[number], station_id)
                .map_err(read)?
                .unwrap_or_default();
            let station = of_stations.get(station_id).copied().unwrap_or_else(|| {
                let next = of_stations.len();
                of_stations.insert(station_id.clone(), next);
                next
            });
            samples.push(Sample { station, time_us, tag: number, value });
        }
        Self::new(numbers, of_stations, samples, others)
    }

    /// Numbers tags and stations in the order of their names.
    fn new(
        numbers: BTreeMap<String, usize>,
        of_stations: BTreeMap<StationId, usize>,
        mut samples: Vec<Sample>,
        mut others: BTreeMap<usize, BadRow>,
    ) -> Result<Self, OpenError> {
        let mut has_numbers = vec![false; numbers.len()];
        for sample in &samples {
            has_numbers[sample.tag] = true;
        }
        if let Some((_, bad_row)) = others.extract_if(.., |tag, _| has_numbers[*tag]).next() {
            return Err(OpenError::Row(bad_row));
        }
        let (with, without): (Vec<_>, Vec<_>) =
            numbers.into_iter().partition(|(_, number)| has_numbers[*number]);
        let mut new_tags = vec![0; has_numbers.len()];
        for (new, (_, old)) in with.iter().enumerate() {
            new_tags[*old] = new;
        }
        let mut new_stations = vec![0; of_stations.len()];
        for (new, old) in of_stations.values().enumerate() {
            new_stations[*old] = new;
        }
        for sample in &mut samples {
            sample.tag = new_tags[sample.tag];
            sample.station = new_stations[sample.station];
        }
        samples.sort_by_key(|sample| (sample.station, sample.time_us));
        let names = |tags: Vec<(String, usize)>| tags.into_iter().map(|(name, _)| name).collect();
        Ok(Self {
            stations: of_stations.into_keys().collect(),
            tags: names(with),
            values: samples,
            without_numbers: names(without),
        })
    }

    /// Returns the step of the grid and the age up to which a value stands: as the profile says, else as the values come.
    fn pace(&self, profile: &Profile) -> (Interval, Interval) {
        let mut last = BTreeMap::new();
        let mut pauses = vec![Vec::new(); self.tags.len()];
        for Sample { station, time_us, tag, .. } in &self.values {
            if let Some(before) = last.insert((station, tag), time_us) {
                pauses[*tag].extend((time_us > before).then_some(time_us - before));
            }
        }
        pauses.retain(|pauses| !pauses.is_empty());
        for pauses in &mut pauses {
            pauses.sort_unstable();
        }
        let mut usual: Vec<i64> = pauses.iter().map(|pauses| pauses[pauses.len() / 2]).collect();
        usual.sort_unstable();
        let usual_us = usual.get(usual.len() / 2).copied().unwrap_or(1);
        let every = profile.every.unwrap_or_else(|| Interval::of_us(usual_us));
        let long = |pauses: &Vec<i64>| pauses[pauses.len() - 1 - pauses.len() / PAUSES_FOR_LONG];
        let longest_us = pauses.iter().map(long).max().unwrap_or(1);
        let carry = profile.carry.unwrap_or_else(|| Interval::of_us(longest_us).max(every));
        (every, carry)
    }

    /// Returns `true` if a grid has many more rows than there are values.
    fn is_too_fine(&self, every: Interval, carry: Interval) -> bool {
        let pairs = self.values.windows(2).filter(|pair| pair[0].station == pair[1].station);
        let pauses = pairs.map(|pair| (pair[1].time_us - pair[0].time_us).min(carry.us()));
        let n_rows: i64 = pauses.map(|pause_us| pause_us / every.us()).sum();
        n_rows > ROWS_MANY.max(i64::try_from(self.values.len()).unwrap_or(i64::MAX))
    }

    /// Writes the rows of the grid.
    fn write(
        &self,
        out: &mut dyn Write,
        [every, carry]: [Interval; 2],
        has_stations: bool,
        keeps_gaps: bool,
    ) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let step_us = every.us();
        let next_step = |time_us: i64| {
            time_us.div_euclid(step_us) * step_us
                + if time_us.rem_euclid(step_us) == 0 { 0 } else { step_us }
        };
        let mut writer = csv::Writer::from_writer(out);
        for samples in self.values.chunk_by(|a, b| a.station == b.station) {
            let station = self.stations[samples[0].station].as_str();
            let mut last: Vec<Option<(i64, f64)>> = vec![None; self.tags.len()];
            let mut coming = samples.iter().peekable();
            let mut now_us = next_step(samples[0].time_us);
            loop {
                while let Some(sample) = coming.next_if(|sample| sample.time_us <= now_us) {
                    last[sample.tag] = Some((sample.time_us, sample.value));
                }
                let value_of = |(time_us, value): (i64, f64)| {
                    (now_us - time_us <= carry.us()).then_some(value)
                };
                let values: Vec<Option<f64>> =
                    last.iter().map(|last| last.and_then(value_of)).collect();
                let n_values = values.iter().flatten().count();
                if n_values == values.len() || n_values > 0 && keeps_gaps {
                    writer.write_field(timestamp::format(now_us))?;
                    if has_stations {
                        writer.write_field(station)?;
                    }
                    for value in values {
                        writer.write_field(
                            value.map_or_else(String::new, |value| value.to_string()),
                        )?;
                    }
                    writer.write_record(None::<&[u8]>)?;
                    counts.n_rows += 1;
                } else if n_values > 0 {
                    counts.n_gaps += 1;
                }
                let Some(next) = coming.peek() else { break };
                // Behind a long pause, the grid begins again where there is something.
                now_us = if n_values > 0 { now_us + step_us } else { next_step(next.time_us) };
            }
        }
        writer.flush()?;
        Ok(counts)
    }

    fn in_words(
        &self,
        [tag, value]: &[String; 2],
        [every, carry]: [Interval; 2],
        n_gaps: u64,
    ) -> String {
        let n_tags = counted(self.tags.len() as u64, "name");
        let mut parts = vec![
            format!("a column for each of {n_tags} in `{tag}`, with the numbers in `{value}`"),
            format!(
                "a row every {every} (--every), in which a value stands for at most {carry} (--carry)"
            ),
        ];
        if n_gaps > 0 {
            parts.push(format!("{} left out that lack a value", counted(n_gaps, "row")));
        }
        if !self.without_numbers.is_empty() {
            parts.push(format!("left out, without numbers: {}", listed(&self.without_numbers)));
        }
        parts.join("; ")
    }
}

/// Rows of the grid.
#[derive(Default)]
struct Counts {
    n_rows: u64,
    /// Those left out since a tag has no value.
    n_gaps: u64,
}
