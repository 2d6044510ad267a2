//! The rows of a recording as bare numbers.

use std::fmt;
use std::io::Read;
use std::path::Path;

use sensor::{FeatureSchema, StationId};

use crate::clock::Clock;
use crate::columns::Role;
use crate::error::{BadRow, CellFault, OpenError, ReadError};
use crate::file::Recording;
use crate::profile::Profile;
use crate::row::Row;
use crate::rows::Rows;
use crate::stations::Stations;
use crate::text;

/// The values of the rows of a recording, for callers that need not know when they were measured. It is
/// read once, so that it may come from a pipe.
pub struct ValueRows<'s> {
    recording: Recording,
    schema: &'s FeatureSchema,
    /// The column of each feature.
    features: Vec<usize>,
    reader: Rows,
    record: csv::ByteRecord,
    stations: Stations,
    clock: Clock,
}

impl<'s> ValueRows<'s> {
    /// Recognises a table, which errors call `path`, as far as the profile does not tell.
    ///
    /// # Errors
    ///
    /// Fails when it cannot be read, has no header or two columns of one name, and when a feature of
    /// the schema has no column or one that tells the truth.
    pub fn begin(
        csv: impl Read + Send + 'static,
        path: &Path,
        schema: &'s FeatureSchema,
        profile: &Profile,
    ) -> Result<Self, OpenError> {
        let unreadable = |source| OpenError::Read { path: path.to_owned(), source };
        let sheet = profile.sheet.as_deref();
        let text = text::unpacked(csv, profile.encoding, sheet).map_err(unreadable)?;
        let (recording, text) = Recording::begin(path, text, profile)?;
        let features = recording.columns_of(schema)?;
        let reader = recording.reader_of(text)?;
        let stations = Stations::of_file(path);
        let (record, clock) = (csv::ByteRecord::new(), recording.clock());
        Ok(Self { recording, schema, features, reader, record, stations, clock })
    }

    /// Returns the file, as errors call it.
    pub fn path(&self) -> &Path {
        self.recording.path()
    }

    /// Returns the features.
    pub fn schema(&self) -> &'s FeatureSchema {
        self.schema
    }

    /// Describes how the file is read, where that is not obvious.
    pub fn in_words(&self) -> String {
        self.recording.in_words()
    }

    /// Fails when the rows say when they were measured in a way that is not understood.
    ///
    /// # Errors
    ///
    /// Fails with the flag that helps.
    pub fn check_times(&self) -> Result<(), OpenError> {
        self.recording.check_times()
    }

    /// Returns `true` if the rows say when they were measured.
    pub fn has_times(&self) -> bool {
        self.recording.has_times()
    }

    /// Returns `true` if the rows are labelled.
    pub fn has_labels(&self) -> bool {
        self.recording.columns().telling(Role::Label).is_some()
    }

    /// Returns the names of all columns.
    pub fn columns(&self) -> &[String] {
        self.recording.columns().names()
    }

    /// Reads a row and appends its values, in the order of the features, NaN for a missing one; a
    /// bad row appends none. `None` is the end.
    ///
    /// # Errors
    ///
    /// Fails when reading fails, after which there is no going on.
    pub fn read(&mut self, values: &mut Vec<f64>) -> Result<Option<Result<(), BadRow>>, ReadError> {
        match self.reader.read(&mut self.record) {
            Ok(false) => Ok(None),
            Ok(true) => {
                let n_before = values.len();
                let row = self.take_values(values).map_err(|faults| {
                    values.truncate(n_before);
                    self.bad_row(faults)
                });
                Ok(Some(row))
            }
            Err(error) => Err(self.recording.read_error(error)),
        }
    }

    /// Returns the cells of the row that was read last, as they are written.
    pub fn record(&self) -> &csv::ByteRecord {
        &self.record
    }

    /// Returns the station of the row that was read last: made up of the file's name where the rows name none.
    ///
    /// # Errors
    ///
    /// Fails when the row has no station.
    pub fn station(&mut self) -> Result<&StationId, BadRow> {
        let Self { recording, record, stations, reader, .. } = self;
        let row = Row::new(record, recording).map_err(|kind| CellFault { column: None, kind });
        let found = row.and_then(|row| stations.of_row(&row));
        found.map_err(|fault| {
            let line = reader.line(record);
            BadRow { path: recording.path().to_owned(), line, faults: vec![fault] }
        })
    }

    /// Returns when the row that was read last was measured, in microseconds since 1970 (UTC); `None` where the rows do not say, or
    /// not in a way that is understood. Where the clock of a place shows an hour twice, this depends on the rows that were asked
    /// about before.
    ///
    /// # Errors
    ///
    /// Fails when this row does not say it as the others do, and when it has no station.
    pub fn timestamp_us(&mut self) -> Result<Option<i64>, BadRow> {
        let Self { recording, record, stations, clock, .. } = self;
        let row = Row::new(record, recording).map_err(|kind| CellFault { column: None, kind });
        let found = row.and_then(|row| row.timestamp_us(clock, stations.of_row(&row)?));
        found.map_err(|fault| self.bad_row(vec![fault]))
    }

    /// Returns `true` if the row that was read last is labelled anomalous; `None` where it has no label.
    ///
    /// # Errors
    ///
    /// Fails when its label says neither.
    pub fn label(&self) -> Result<Option<bool>, BadRow> {
        let found = self.row().and_then(|row| row.label());
        found.map_err(|fault| self.bad_row(vec![fault]))
    }

    fn row(&self) -> Result<Row<'_>, CellFault> {
        Row::new(&self.record, &self.recording).map_err(|kind| CellFault { column: None, kind })
    }

    fn bad_row(&self, faults: Vec<CellFault>) -> BadRow {
        let line = self.reader.line(&self.record);
        BadRow { path: self.recording.path().to_owned(), line, faults }
    }

    fn take_values(&self, values: &mut Vec<f64>) -> Result<(), Vec<CellFault>> {
        let row = self.row().map_err(|fault| vec![fault])?;
        let n_before = values.len();
        let faults = row.take_values(&self.features, self.schema, values);
        if !faults.is_empty() {
            return Err(faults);
        }
        self.schema
            .check_values(&values[n_before..])
            .map_err(|invalid| self.recording.faults_of(&invalid))
    }
}

impl fmt::Debug for ValueRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValueRows").field("recording", &self.recording).finish_non_exhaustive()
    }
}
