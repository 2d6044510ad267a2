//! The truth about a recording, in a file of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sensor::StationId;

use crate::columns::{self, Role};
use crate::error::{BadRow, CellFault, CellFaultKind, OpenError};
use crate::file::Recording;
use crate::profile::Profile;
use crate::row::Row;
use crate::stations::Stations;

/// Names of the columns of the begin and of the end of a window.
const BEGINS: [&str; 10] = [
    "start",
    "start_time",
    "begin",
    "begin_time",
    "from",
    "since",
    "onset",
    "anfang",
    "beginn",
    "von",
];
const ENDS: [&str; 10] =
    ["end", "end_time", "stop", "stop_time", "to", "until", "finish", "ende", "bis", "stop_at"];

/// The truth about the rows of a recording.
#[derive(Debug, Clone)]
pub struct Labels {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The times in which rows are anomalous, both ends included: of a station, or of all.
    Windows(BTreeMap<Option<StationId>, Vec<(i64, i64)>>),
    /// The label of each time: of a station, or of all.
    Times(BTreeMap<Option<StationId>, BTreeMap<i64, bool>>),
    /// The label of each row.
    Rows(Vec<Option<bool>>),
}

impl Labels {
    /// Reads a file of windows, which has the columns `start` and `end`; of times and labels; or of a label for each row.
    ///
    /// # Errors
    ///
    /// Fails when the file is none of these, and at the first row that is not understood.
    pub fn open(path: &Path, profile: &Profile) -> Result<Self, OpenError> {
        let profile = Profile {
            time_format: profile.time_format.clone(),
            timezone: profile.timezone,
            ..Profile::default()
        };
        let recording = Recording::open(path, &profile)?;
        let named = |names: &[&str]| {
            let columns = recording.columns().names();
            let is_one =
                |column: &&String| names.iter().any(|name| columns::is_called(column, name));
            columns.iter().find(is_one).cloned()
        };
        let kind = match (named(&BEGINS), named(&ENDS)) {
            (Some(begin), Some(end)) => windows(path, &profile, [begin, end])?,
            _ if recording.columns().telling(Role::Label).is_none() => {
                return Err(OpenError::NoLabels { path: path.to_owned() });
            }
            _ if recording.has_times() => {
                recording.check_times()?;
                let mut times = BTreeMap::<_, BTreeMap<i64, bool>>::new();
                each_row(&recording, |row, time| {
                    if let Some(label) = row.label()? {
                        let (station_id, time_us) = time;
                        times.entry(station_id).or_default().insert(time_us, label);
                    }
                    Ok(())
                })?;
                Kind::Times(times)
            }
            _ => {
                let mut labels = Vec::new();
                each_row(&recording, |row, _| {
                    labels.push(row.label()?);
                    Ok(())
                })?;
                Kind::Rows(labels)
            }
        };
        Ok(Self { path: path.to_owned(), kind })
    }

    /// Returns the label of a row: its number from 0, its station, and when it was measured; `None` where there is no label.
    pub fn of(&self, row: u64, station_id: &StationId, time_us: Option<i64>) -> Option<bool> {
        match &self.kind {
            Kind::Windows(windows) => {
                let time_us = time_us?;
                let of_station = [windows.get(&Some(station_id.clone())), windows.get(&None)];
                let mut windows = of_station.into_iter().flatten().flatten();
                Some(windows.any(|&(begin_us, end_us)| (begin_us..=end_us).contains(&time_us)))
            }
            Kind::Times(times) => {
                let of_station = [times.get(&Some(station_id.clone())), times.get(&None)];
                of_station.into_iter().flatten().find_map(|times| times.get(&time_us?)).copied()
            }
            Kind::Rows(labels) => *labels.get(usize::try_from(row).ok()?)?,
        }
    }

    /// Returns `true` if rows have to say when they were measured.
    pub fn needs_times(&self) -> bool {
        !matches!(self.kind, Kind::Rows(_))
    }

    /// Fails when there is not a label for each of so many rows, where labels are those of rows.
    ///
    /// # Errors
    ///
    /// Fails with both numbers.
    pub fn check_number(&self, n_rows: u64) -> Result<(), OpenError> {
        match &self.kind {
            Kind::Rows(labels) if labels.len() as u64 != n_rows => {
                let n_labels = labels.len() as u64;
                Err(OpenError::OtherNumber { path: self.path.clone(), n_labels, n_rows })
            }
            _ => Ok(()),
        }
    }
}

/// Reads each row twice: for its begin and for its end.
fn windows(path: &Path, profile: &Profile, names: [String; 2]) -> Result<Kind, OpenError> {
    let [begins, ends] = names.map(|name| {
        let recording =
            Recording::open(path, &Profile { time_column: vec![name], ..profile.clone() })?;
        recording.check_times()?;
        let mut times = Vec::new();
        each_row(&recording, |_, time| {
            times.push(time);
            Ok(())
        })?;
        Ok::<_, OpenError>(times)
    });
    let mut windows = BTreeMap::<_, Vec<(i64, i64)>>::new();
    for (index, ((station_id, begin_us), (_, end_us))) in begins?.into_iter().zip(ends?).enumerate()
    {
        if end_us < begin_us {
            return Err(OpenError::WindowBackwards { path: path.to_owned(), number: index + 1 });
        }
        windows.entry(station_id).or_default().push((begin_us, end_us));
    }
    Ok(Kind::Windows(windows))
}

/// Calls with each row, the station that it names, and its time, 0 where it has none.
fn each_row(
    recording: &Recording,
    mut take: impl FnMut(&Row<'_>, (Option<StationId>, i64)) -> Result<(), CellFault>,
) -> Result<(), OpenError> {
    let mut stations = Stations::of_file(recording.path());
    let mut clock = recording.clock();
    let mut rows = recording.reader()?;
    let mut record = csv::ByteRecord::new();
    while rows.read(&mut record).map_err(|error| recording.read_error(error))? {
        let line = rows.line(&record);
        let mut taken = || {
            let row = Row::new(&record, recording)
                .map_err(|kind: CellFaultKind| CellFault { column: None, kind })?;
            let station_id = stations.of_row(&row)?.clone();
            let time_us = row.timestamp_us(&mut clock, &station_id)?.unwrap_or_default();
            take(&row, (recording.has_stations().then_some(station_id), time_us))
        };
        taken().map_err(|fault| {
            let path = recording.path().to_owned();
            OpenError::Row(BadRow { path, line, faults: vec![fault] })
        })?;
    }
    Ok(())
}
