//! A recording on the disk: its layout and its columns now, its rows on demand.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead as _, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono_tz::Tz;
use encoding_rs::{Encoding, UTF_8};
use sensor::FeatureSchema;
use tempfile::NamedTempFile;
use wording::{counted, listed};

use crate::clock::Clock;
use crate::columns::{Columns, Long, Role};
use crate::error::{OpenError, ReadError};
use crate::layout::{Layout, LayoutTrouble, SampleCells};
use crate::long::Wide;
use crate::number::{self, DecimalMark};
use crate::profile::Profile;
use crate::rows::Rows;
use crate::tables::{self, Converted};
use crate::text::{self, Opened, Text};

/// The path that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// A beginning without a line feed names no columns.
const HEADER_LEN_MAX: usize = 1 << 20;
/// The beginning from which a file is recognised, in bytes, or as many lines of a file of very long ones.
const START_LEN: usize = 128 << 10;
const START_LINES: usize = 4;
/// The cells of a first row without names that are named.
const CELLS_TOLD: usize = 4;

/// A CSV file.
#[derive(Debug, Clone)]
pub struct Recording {
    path: PathBuf,
    /// The content of a stream, which cannot be read again.
    copy: Option<Arc<NamedTempFile>>,
    encoding: &'static Encoding,
    layout: Layout,
    columns: Columns,
    /// More cells that mean that there is no value.
    na_values: Vec<String>,
    /// The place of the clocks; `None` for UTC.
    timezone: Option<Tz>,
    /// The kind of table that it is, where it is no text.
    table: Option<String>,
    /// The way in which the table was made of another one, for people.
    made_of: Option<String>,
}

impl Recording {
    /// Recognises the layout and the columns of a file, as far as the profile does not tell; `-` is standard input.
    ///
    /// It is read several times, so that a pipe is first written to a temporary file.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, has no header, or lacks a column that the profile names.
    pub fn open(path: &Path, profile: &Profile) -> Result<Self, OpenError> {
        let unreadable = |source| OpenError::Read { path: path.to_owned(), source };
        let mut copy = copy_of_stream(path).map_err(unreadable)?;
        let source = copy.as_ref().map_or(path, |copy| copy.path());
        let table = tables::converted(source, profile.sheet.as_deref()).map_err(unreadable)?;
        let opened = match table {
            None => text::open(source, profile.encoding),
            Some(Converted { csv, in_words }) => {
                let opened = text::open(csv.path(), Some(UTF_8));
                copy = Some(csv);
                opened.map(|opened| Opened { table: Some(in_words), ..opened })
            }
        };
        let name =
            if path == Path::new(STANDARD_INPUT) { Path::new("standard input") } else { path };
        let (recording, _) = Self::begin(name, opened.map_err(unreadable)?, profile)?;
        let copy = recording.copy.clone().or(copy.map(Arc::new));
        Ok(Self { copy, ..recording })
    }

    /// Recognises a text by its beginning, and gives the text back as if nothing had been read.
    pub(crate) fn begin(
        path: &Path,
        Opened { mut text, encoding, table }: Opened,
        profile: &Profile,
    ) -> Result<(Self, Text), OpenError> {
        let path = path.to_owned();
        let n_columns = profile.long.len();
        if n_columns != 0 && n_columns != 2 {
            return Err(OpenError::NotTwoColumns { n_columns });
        }
        let unreadable = |source| OpenError::Read { path: path.clone(), source };
        let (start, is_whole) = start_of(&mut text).map_err(unreadable)?;
        if start.len() >= HEADER_LEN_MAX && !start[..HEADER_LEN_MAX].contains(&b'\n') {
            return Err(OpenError::HeaderTooLong { path });
        }
        let (layout, sample) = match Layout::of(&start, is_whole, profile.layout()) {
            Ok(found) => found,
            Err(LayoutTrouble::Empty) => return Err(OpenError::Empty { path }),
            Err(LayoutTrouble::NoHeader { mut first }) => {
                first.truncate(CELLS_TOLD);
                return Err(OpenError::NoHeader { path, first });
            }
            Err(LayoutTrouble::DecimalMark { example }) => {
                return Err(OpenError::DecimalMark { path, example });
            }
        };
        let columns = match Columns::new(&sample, profile) {
            Ok(columns) => columns,
            Err(name) => {
                return Err(OpenError::NoColumn { path, name, columns: sample.names });
            }
        };
        let text = Box::new(io::Cursor::new(start).chain(text));
        let na_values = profile.na_values.clone();
        let recording = Self {
            path,
            copy: None,
            encoding,
            layout,
            columns,
            na_values,
            timezone: profile.timezone,
            table,
            made_of: None,
        };
        if profile.long.is_empty() {
            Ok((recording, text))
        } else {
            recording.widened(text, profile)
        }
    }

    /// Makes a recording that has columns of these names, and no text.
    pub(crate) fn of_columns(path: &Path, names: Vec<String>) -> Self {
        let profile = Profile::default();
        let columns = Columns::new(&SampleCells::of_names(names), &profile);
        Self {
            path: path.to_owned(),
            copy: None,
            encoding: UTF_8,
            columns: columns.expect("the profile names no column"),
            layout: Layout::plain(),
            na_values: Vec::new(),
            timezone: None,
            table: None,
            made_of: None,
        }
    }

    /// Makes a table with a column for each tag, and returns its text.
    fn widened(self, text: Text, profile: &Profile) -> Result<(Self, Text), OpenError> {
        let Wide { csv, has_stations, tags, in_words } =
            Wide::of(&self, self.reader_of(text)?, profile)?;
        let made_of = format!("{}; {in_words}", self.in_words());
        let wide = Self {
            columns: Columns::of_tags(tags, has_stations),
            path: self.path,
            copy: Some(Arc::new(csv)),
            encoding: UTF_8,
            layout: Layout::plain(),
            na_values: Vec::new(),
            timezone: None,
            table: None,
            made_of: Some(made_of),
        };
        let text = wide.text()?;
        Ok((wide, text))
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the columns that can be features: all but time, sequence, station, label and those without a
    /// name.
    pub fn feature_columns(&self) -> Vec<&str> {
        self.columns.features().map(|index| self.columns.names()[index].as_str()).collect()
    }

    /// Returns a cell of a column that holds something, if there is one in the first rows.
    pub fn example(&self, column: &str) -> Option<&str> {
        self.columns.example(column)
    }

    /// Returns `true` if the rows say when they were measured.
    pub fn has_times(&self) -> bool {
        !self.columns.time().is_empty()
    }

    /// Returns `true` if the rows name their stations.
    pub fn has_stations(&self) -> bool {
        self.columns.telling(Role::StationId).is_some()
    }

    /// Describes how the file is read, where that is not obvious.
    pub fn in_words(&self) -> String {
        if let Some(made_of) = &self.made_of {
            return made_of.clone();
        }
        let Layout { delimiter, decimal, n_preamble, between, .. } = &self.layout;
        let names = self.columns.names();
        let named = |columns: &[usize]| {
            let names: Vec<String> =
                columns.iter().map(|&column| format!("`{}`", names[column])).collect();
            listed(&names)
        };
        let mut parts = Vec::new();
        if let Some(Ok(format)) = self.columns.time_format() {
            let place = self.timezone.map_or_else(String::new, |zone| format!(", {zone}"));
            parts.push(format!("times from {} ({format}{place})", named(self.columns.time())));
        }
        let roles = [
            (Role::StationId, "stations"),
            (Role::Sequence, "sequence numbers"),
            (Role::Label, "labels"),
        ];
        for (role, what) in roles {
            parts.extend(
                self.columns
                    .telling(role)
                    .map(|column| format!("{what} from {}", named(&[column]))),
            );
        }
        let separator = match *delimiter {
            b'\t' => "tabs",
            b'|' => "`|`",
            b';' => "`;`",
            _ => "commas",
        };
        let mark = match decimal {
            DecimalMark::Point => "",
            DecimalMark::Comma => ", decimal commas",
            DecimalMark::CommaAfterPoints => ", decimal commas and points between thousands",
        };
        parts.push(match &self.table {
            Some(table) => table.clone(),
            None => format!("separated by {separator}{mark}"),
        });
        if self.encoding != UTF_8 {
            parts.push(format!("text in {}", self.encoding.name()));
        }
        if *n_preamble > 0 {
            parts.push(format!("{} before the header", counted(*n_preamble as u64, "row")));
        }
        parts
            .extend(between.iter().map(|row| format!("`{row}` between the header and the values")));
        parts.join("; ")
    }

    /// Returns the names of the columns of the name and of the value, where each row holds one value of something that it names, as
    /// historians write it.
    ///
    /// This reads the file where its first rows do not tell.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn long_format(&self) -> Result<Option<[&str; 2]>, ReadError> {
        let Some(Long { columns, is_sure }) = self.columns.long() else { return Ok(None) };
        let is_long = is_sure || self.has_names_again(columns[0])?;
        Ok(is_long.then(|| columns.map(|column| self.columns.names()[column].as_str())))
    }

    /// Returns `true` if a column holds different names, each of them about twice or more often.
    fn has_names_again(&self, column: usize) -> Result<bool, ReadError> {
        let mut names = BTreeSet::new();
        let mut n_names = 0;
        let mut reader = self.reader()?;
        let mut record = csv::ByteRecord::new();
        while names.len() <= FeatureSchema::LEN_MAX
            && reader.read(&mut record).map_err(|error| self.read_error(error))?
        {
            let name = record.get(column).unwrap_or_default();
            if !name.is_empty() {
                n_names += 1;
                names.insert(name.to_vec());
            }
            if names.len() > 1 && n_names >= 2 * names.len() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Returns the feature columns that hold a number somewhere; what else they hold is a fault of its row.
    ///
    /// This reads the file, as far as it has to.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read, when two of these columns have one name, and where each row holds one value of something
    /// that it names.
    pub fn numeric_columns(&self) -> Result<Vec<String>, OpenError> {
        if let Some([tag, value]) = self.long_format()?.map(|names| names.map(String::from)) {
            return Err(OpenError::LongFormat { path: self.path.clone(), tag, value });
        }
        let mut candidates: Vec<usize> = self.columns.features().collect();
        let mut numeric = Vec::new();
        let mut record = csv::ByteRecord::new();
        let mut reader = self.reader()?;
        while !candidates.is_empty()
            && reader.read(&mut record).map_err(|error| self.read_error(error))?
        {
            numeric.extend(candidates.extract_if(.., |index| {
                let cell = record.get(*index).and_then(|cell| std::str::from_utf8(cell).ok());
                let cell = cell.map(str::trim).filter(|cell| !self.is_na_value(cell));
                cell.is_some_and(|cell| self.layout.decimal.read(cell).is_some())
            }));
        }
        numeric.sort_unstable();
        let mut names: Vec<String> = Vec::new();
        for name in numeric.into_iter().map(|index| self.columns.names()[index].clone()) {
            if names.contains(&name) {
                return Err(OpenError::DuplicateColumn { path: self.path.clone(), name });
            }
            names.push(name);
        }
        Ok(names)
    }

    /// Fails when the times are not understood.
    pub(crate) fn check_times(&self) -> Result<(), OpenError> {
        let Some(Err(trouble)) = self.columns.time_format() else { return Ok(()) };
        let named = |&column: &usize| format!("{} ({})", column + 1, self.columns.names()[column]);
        let columns: Vec<String> = self.columns.time().iter().map(named).collect();
        let (path, column) = (self.path.clone(), listed(&columns));
        Err(OpenError::Time { path, column, trouble: trouble.clone() })
    }

    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    /// Returns `true` for a file that is text, with separators and marks of its own.
    pub(crate) fn is_text(&self) -> bool {
        self.table.is_none()
    }

    /// Returns the clock of the file's rows.
    pub(crate) fn clock(&self) -> Clock {
        Clock::new(self.timezone)
    }

    pub(crate) fn decimal(&self) -> DecimalMark {
        self.layout.decimal
    }

    /// Returns `true` if a cell says that there is no value.
    pub(crate) fn is_missing(&self, cell: &str) -> bool {
        number::is_missing(cell) || self.is_na_value(cell)
    }

    /// Returns `true` for a cell that the profile names, or another spelling of the same number.
    fn is_na_value(&self, cell: &str) -> bool {
        let read = |text: &str| self.layout.decimal.read(text).or_else(|| text.parse().ok());
        let is_named = |word: &String| {
            word == cell || read(word).is_some_and(|number| read(cell) == Some(number))
        };
        self.na_values.iter().any(is_named)
    }

    pub(crate) fn read_error(&self, source: io::Error) -> ReadError {
        ReadError { path: self.path.clone(), source }
    }

    pub(crate) fn reader(&self) -> Result<Rows, ReadError> {
        self.reader_of(self.text()?)
    }

    fn text(&self) -> Result<Text, ReadError> {
        let source = self.copy.as_ref().map_or(self.path.as_path(), |copy| copy.path());
        let text = text::open(source, Some(self.encoding));
        text.map(|opened| opened.text).map_err(|source| self.read_error(source))
    }

    pub(crate) fn reader_of(&self, text: Text) -> Result<Rows, ReadError> {
        Rows::new(text, &self.layout).map_err(|source| self.read_error(source))
    }

    /// Returns the columns of the features of a schema.
    pub(crate) fn columns_of(&self, schema: &FeatureSchema) -> Result<Vec<usize>, OpenError> {
        let column_of = |name: &str| {
            let (path, name) = (self.path.clone(), String::from(name));
            match self.columns.position(&name) {
                Err(()) => Err(OpenError::DuplicateColumn { path, name }),
                Ok(None) => {
                    Err(OpenError::NoColumn { path, name, columns: self.columns.names().to_vec() })
                }
                Ok(Some(index)) if self.columns.role(index) == Role::Label => {
                    Err(OpenError::LabelAsFeature { path, name })
                }
                Ok(Some(index)) => Ok(index),
            }
        };
        schema.features().iter().map(|feature| column_of(&feature.name)).collect()
    }
}

/// Writes standard input, a pipe or a device to a temporary file; returns `None` for a path that can be read again and again.
fn copy_of_stream(path: &Path) -> io::Result<Option<NamedTempFile>> {
    let copy = |stream: &mut dyn Read| {
        let mut copy = NamedTempFile::new()?;
        io::copy(stream, &mut copy)?;
        copy.flush()?;
        Ok(Some(copy))
    };
    if path == Path::new(STANDARD_INPUT) {
        return copy(&mut io::stdin().lock());
    }
    let is_stream = fs::metadata(path).is_ok_and(|file| !file.is_file() && !file.is_dir());
    if is_stream { copy(&mut File::open(path)?) } else { Ok(None) }
}

/// Reads the beginning of a text, and tells whether that is all.
fn start_of(text: &mut Text) -> io::Result<(Vec<u8>, bool)> {
    let mut start = Vec::new();
    let mut n_lines = 0;
    while start.len() < START_LEN || n_lines < START_LINES && start.len() < 4 * HEADER_LEN_MAX {
        let read = text.fill_buf()?;
        if read.is_empty() {
            return Ok((start, true));
        }
        n_lines += read.split(|&byte| byte == b'\n').count() - 1;
        start.extend_from_slice(read);
        let n_read = read.len();
        text.consume(n_read);
    }
    Ok((start, false))
}
