//! From a row to an event.

use std::fmt;

use sensor::{FeatureSchema, InvalidEvent, SensorEvent, StationId};

use crate::clock::Clock;
use crate::columns::Role;
use crate::error::{BadRow, CellFault, CellFaultKind, OpenError, ReadError};
use crate::file::Recording;
use crate::rows::Rows;
use crate::stations::Stations;

/// A row that is an event.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedEvent {
    /// The event.
    pub event: SensorEvent,
    /// `true` if the recording calls it anomalous; `None` where it does not say. What it says may not
    /// be understood, which does not matter to callers that ignore it.
    pub is_anomaly: Result<Option<bool>, BadRow>,
    /// The line that it begins on, from 1.
    pub line: u64,
}

/// The rows of a recording as events, in order. A bad row does not end it.
pub struct Events<'s> {
    recording: Recording,
    schema: &'s FeatureSchema,
    /// The column of each feature.
    features: Vec<usize>,
    reader: Rows,
    record: csv::ByteRecord,
    /// Rows read so far, good and bad.
    n_rows: u64,
    stations: Stations,
    clock: Clock,
}

impl Recording {
    /// Returns the rows as events of a schema, whose features are columns of the file.
    ///
    /// # Errors
    ///
    /// Fails when a feature has no column or one that tells the truth, when the times are not understood, and when the file
    /// cannot be opened again.
    pub fn events<'s>(&self, schema: &'s FeatureSchema) -> Result<Events<'s>, OpenError> {
        let features = self.columns_of(schema)?;
        self.check_times()?;
        let reader = self.reader()?;
        Ok(Events::new(self.clone(), schema, features, reader))
    }
}

impl Recording {
    /// Returns the faults of an event by column.
    pub(crate) fn faults_of(&self, invalid: &InvalidEvent) -> Vec<CellFault> {
        let faults = invalid.faults().iter().map(|fault| CellFault {
            column: fault.key().and_then(|key| self.column_of_key(&key)),
            kind: CellFaultKind::Event(fault.kind.clone()),
        });
        let n_unlisted = invalid.n_faults() - invalid.faults().len();
        let more = CellFault { column: None, kind: CellFaultKind::More(n_unlisted) };
        faults.chain((n_unlisted > 0).then_some(more)).collect()
    }

    /// Returns the column that a key of an event was read from.
    fn column_of_key(&self, key: &str) -> Option<(usize, String)> {
        let columns = self.columns();
        let index = match key {
            "timestamp" => columns.telling(Role::Timestamp),
            "sequence" => columns.telling(Role::Sequence),
            name => columns.position(name).ok().flatten(),
        }?;
        Some((index + 1, columns.names()[index].clone()))
    }
}

impl<'s> Events<'s> {
    fn new(
        recording: Recording,
        schema: &'s FeatureSchema,
        features: Vec<usize>,
        reader: Rows,
    ) -> Self {
        let stations = Stations::of_file(recording.path());
        let clock = recording.clock();
        Self {
            recording,
            schema,
            features,
            reader,
            record: csv::ByteRecord::new(),
            n_rows: 0,
            stations,
            clock,
        }
    }

    fn event(&mut self) -> Result<RecordedEvent, BadRow> {
        let line = self.reader.line(&self.record);
        let index = self.n_rows;
        self.n_rows += 1;
        let bad_row = |faults| BadRow { path: self.recording.path().to_owned(), line, faults };

        let row = Row::new(&self.record, &self.recording)
            .map_err(|kind| bad_row(vec![CellFault { column: None, kind }]))?;
        let mut faults = Vec::new();
        let station = self.stations.of_row(&row).cloned().map_err(|fault| faults.push(fault)).ok();
        // Two thousand and so on: old enough for every row to be in the past.
        let made_up_us = sensor::timestamp::EARLIEST_US + index.cast_signed() * 1_000_000;
        let of_file = self.stations.of_file_itself();
        let timestamp_us = row
            .timestamp_us(&mut self.clock, station.as_ref().unwrap_or(of_file))
            .map_err(|fault| faults.push(fault))
            .ok();
        let timestamp_us = timestamp_us.map(|told_us| told_us.unwrap_or(made_up_us));
        let sequence = row.sequence(index).map_err(|fault| faults.push(fault)).ok();
        let is_anomaly = row.label().map_err(|fault| bad_row(vec![fault]));
        let mut values = Vec::with_capacity(self.features.len());
        faults.extend(row.take_values(&self.features, self.schema, &mut values));
        let (true, Some(station_id), Some(timestamp_us), Some(sequence)) =
            (faults.is_empty(), station, timestamp_us, sequence)
        else {
            return Err(bad_row(faults));
        };

        let event = self
            .schema
            .event(station_id, sequence, timestamp_us, &values)
            .map_err(|invalid| bad_row(self.recording.faults_of(&invalid)))?;
        Ok(RecordedEvent { event, is_anomaly, line })
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Result<RecordedEvent, BadRow>, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.reader.read(&mut self.record) {
            Ok(false) => None,
            Ok(true) => Some(Ok(self.event())),
            Err(error) => Some(Err(self.recording.read_error(error))),
        }
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("recording", &self.recording)
            .field("n_rows", &self.n_rows)
            .finish_non_exhaustive()
    }
}

/// The cells of a row as text.
pub(crate) struct Row<'a> {
    record: &'a csv::ByteRecord,
    recording: &'a Recording,
}

impl<'a> Row<'a> {
    pub(crate) fn new(
        record: &'a csv::ByteRecord,
        recording: &'a Recording,
    ) -> Result<Self, CellFaultKind> {
        let expected = recording.columns().names().len();
        // Cells behind the last column are left out where there is nothing in them.
        let is_too_long = record.iter().skip(expected).any(|cell| !cell.trim_ascii().is_empty());
        if record.len() < expected || is_too_long {
            return Err(CellFaultKind::Width { expected, found: record.len() });
        }
        Ok(Self { record, recording })
    }

    pub(crate) fn fault(&self, column: usize, kind: CellFaultKind) -> CellFault {
        CellFault {
            column: Some((column + 1, self.recording.columns().names()[column].clone())),
            kind,
        }
    }

    /// Returns the text of a cell, which is only looked at where it is used.
    pub(crate) fn cell(&self, column: usize) -> Result<&'a str, CellFault> {
        std::str::from_utf8(&self.record[column])
            .map(str::trim)
            .map_err(|_| self.fault(column, CellFaultKind::NotUtf8))
    }

    /// Returns the text of the column with a role; `None` when there is no such column.
    pub(crate) fn of_role(&self, role: Role) -> Result<Option<(usize, &'a str)>, CellFault> {
        let column = self.recording.columns().telling(role);
        column.map(|column| Ok((column, self.cell(column)?))).transpose()
    }

    /// Returns when it was measured, in microseconds since 1970 (UTC); `None` where rows do not say, or not in a way that is
    /// understood.
    ///
    /// The clock has to be asked about each row of a station once, in their order.
    pub(crate) fn timestamp_us(
        &self,
        clock: &mut Clock,
        station_id: &StationId,
    ) -> Result<Option<i64>, CellFault> {
        let columns = self.recording.columns();
        let Some(Ok(format)) = columns.time_format() else { return Ok(None) };
        let read = match *columns.time() {
            [column] => format.read(self.cell(column)?),
            [date, time] => format.read(&format!("{} {}", self.cell(date)?, self.cell(time)?)),
            _ => None,
        };
        let fault = |kind| self.fault(columns.time()[0], kind);
        let time = read.ok_or_else(|| fault(CellFaultKind::NotATime))?;
        let timestamp_us = clock.utc_us(time, station_id);
        timestamp_us.map(Some).ok_or_else(|| fault(CellFaultKind::SkippedTime))
    }

    fn sequence(&self, made_up: u64) -> Result<u64, CellFault> {
        match self.of_role(Role::Sequence)? {
            Some((column, text)) if !self.recording.is_missing(text) => {
                // Data frames write them as 7.0 where one is missing.
                let whole = text.strip_suffix(".0").unwrap_or(text);
                whole.parse().map_err(|_| self.fault(column, CellFaultKind::NotASequence))
            }
            _ => Ok(made_up),
        }
    }

    pub(crate) fn label(&self) -> Result<Option<bool>, CellFault> {
        let Some((column, text)) = self.of_role(Role::Label)? else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "0" | "0.0" | "false" | "no" | "normal" | "ok" => Ok(Some(false)),
            "1" | "1.0" | "true" | "yes" | "anomaly" | "anomalous" | "fault" | "faulty" => {
                Ok(Some(true))
            }
            _ if self.recording.is_missing(text) => Ok(None),
            _ => Err(self.fault(column, CellFaultKind::NotALabel)),
        }
    }

    /// Appends the values of the features of a schema, as far as they are numbers, and gives the
    /// faults of those that are none.
    pub(crate) fn take_values(
        &self,
        columns: &[usize],
        schema: &FeatureSchema,
        values: &mut Vec<f64>,
    ) -> Vec<CellFault> {
        let mut faults = Vec::new();
        for (&column, feature) in columns.iter().zip(schema.features()) {
            match self.number(column) {
                Ok(value) if value.is_nan() && !feature.optional => {
                    faults.push(self.fault(column, CellFaultKind::Empty));
                }
                Ok(value) => values.push(value),
                Err(fault) => faults.push(fault),
            }
        }
        faults
    }

    /// Returns the number in a cell; NaN when there is none.
    pub(crate) fn number(&self, column: usize) -> Result<f64, CellFault> {
        match self.cell(column)? {
            text if self.recording.is_missing(text) => Ok(f64::NAN),
            text => self
                .recording
                .decimal()
                .read(text)
                .ok_or_else(|| self.fault(column, CellFaultKind::NotANumber)),
        }
    }
}
