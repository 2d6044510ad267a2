//! Errors of a file and of its rows.

use std::fmt;
use std::io;
use std::path::PathBuf;

use sensor::{FaultKind, InvalidStationId, StationId};

use crate::interval::Interval;
use crate::time::TimeTrouble;

/// An error that occurs when a recording is opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// There is no row.
    #[error("`{}` is empty; its first row should name the columns", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// There is no header.
    #[error("`{}`: the first row is `{}`, which has values and names no columns; say --header no to call them column_1, column_2 and so on, or \
             --header yes if these are the names", path.display(), first.join(", "))]
    NoHeader {
        /// The file.
        path: PathBuf,
        /// The first cells of the row.
        first: Vec<String>,
    },
    /// The decimal mark is not clear.
    #[error("`{}`: `{example}` may have decimals or thousands; say --decimal comma or --decimal point", path.display())]
    DecimalMark {
        /// The file.
        path: PathBuf,
        /// A number.
        example: String,
    },
    /// The times are not understood.
    #[error("`{}`: column {column} {trouble}", path.display())]
    Time {
        /// The file.
        path: PathBuf,
        /// The number and the name of the column, or of both.
        column: String,
        /// The reason.
        trouble: TimeTrouble,
    },
    /// The first line names no columns.
    #[error("`{}`: the first line is longer than a megabyte; it should name the columns", path.display())]
    HeaderTooLong {
        /// The file.
        path: PathBuf,
    },
    /// Two columns share a name.
    #[error("`{}`: two columns are called `{name}`; choose others with --features, or leave both out with --ignore '{name}'", path.display())]
    DuplicateColumn {
        /// The file.
        path: PathBuf,
        /// The name.
        name: String,
    },
    /// Each row holds one value of something that it names, as historians write it.
    #[error("each row of `{}` holds one value, and `{tag}` says of what: `{value}` would mix them; say --long '{tag},{value}' for a \
             column for each of them, or take them together all the same with --features {value}", path.display())]
    LongFormat {
        /// The file.
        path: PathBuf,
        /// The column of the names.
        tag: String,
        /// The column of the values.
        value: String,
    },
    /// The columns of a table of tags are not two.
    #[error(
        "--long needs the column of the names and that of the values, such as --long tag,value, not {n_columns}"
    )]
    NotTwoColumns {
        /// Number of columns that are named.
        n_columns: usize,
    },
    /// A table of tags does not say when its rows were measured.
    #[error("`{}` does not say when its values were measured, so that they cannot be put beside each other; name the column of the \
             time with --time-column", path.display())]
    LongWithoutTime {
        /// The file.
        path: PathBuf,
    },
    /// A table of tags has labels.
    #[error("`{}`: column `{label}` labels single values, and rows are made of several; leave it out with --label-column none, leave out \
             what is anomalous yourself, and evaluate with --labels", path.display())]
    LongWithLabels {
        /// The file.
        path: PathBuf,
        /// The name of the column.
        label: String,
    },
    /// A window ends before it begins.
    #[error("`{}`: window {number} ends before it begins", path.display())]
    WindowBackwards {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        number: usize,
    },
    /// A table of tags has more of them than there can be features.
    #[error("`{}` has more than {} different names of values; does --long name the right column?", path.display(), sensor::FeatureSchema::LEN_MAX)]
    TooManyTags {
        /// The file.
        path: PathBuf,
    },
    /// The rows made of a table of tags would be many more than its values.
    #[error("`{}`: a row every {every} would make many more rows than there are values; choose a longer --every", path.display())]
    GridTooFine {
        /// The file.
        path: PathBuf,
        /// The step.
        every: Interval,
    },
    /// No row made of a table of tags has a value in each column.
    #[error("`{}`: in none of {} is there a value for each name; keep values longer than {carry} with --carry, or take rows that \
             lack some with --missing allow", path.display(), wording::counted(*n_rows, "row"))]
    NoWholeRow {
        /// The file.
        path: PathBuf,
        /// Number of rows that lack a value.
        n_rows: u64,
        /// The age up to which values stand.
        carry: Interval,
    },
    /// A file of labels has none.
    #[error("`{}` has no labels: it needs the columns start and end, of times in which rows are anomalous, or one of labels", path.display())]
    NoLabels {
        /// The file.
        path: PathBuf,
    },
    /// There are more or fewer labels than rows.
    #[error("`{}` has {n_labels} labels, for {}: give each row its label, or say when the labels apply", path.display(), wording::counted(*n_rows, "row"))]
    OtherNumber {
        /// The file.
        path: PathBuf,
        /// Number of labels.
        n_labels: u64,
        /// Number of rows of the recording.
        n_rows: u64,
    },
    /// A row without which the file cannot be understood.
    #[error(transparent)]
    Row(BadRow),
    /// A feature is a column that tells the truth.
    #[error("`{}`: column `{name}` tells whether a row is anomalous, so it cannot be a feature", path.display())]
    LabelAsFeature {
        /// The file.
        path: PathBuf,
        /// The name of the column.
        name: String,
    },
    /// A feature has no column.
    #[error("`{}` has no column `{name}`; it has {}", path.display(), wording::listed(columns))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The name of the feature.
        name: String,
        /// The names of all columns.
        columns: Vec<String>,
    },
}

/// An error that ends reading before the end of the file.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// The error of the system or of the format.
    pub source: io::Error,
}

impl From<ReadError> for OpenError {
    fn from(ReadError { path, source }: ReadError) -> Self {
        Self::Read { path, source }
    }
}

/// A row that is no event, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct BadRow {
    /// The file.
    pub path: PathBuf,
    /// The line that the row begins on, from 1; in a raw matrix, the row.
    pub line: u64,
    /// Everything that is wrong with it.
    pub faults: Vec<CellFault>,
}

/// One fault of a row.
#[derive(Debug, Clone, PartialEq)]
pub struct CellFault {
    /// The column, from 1, and its name; `None` for the row as a whole.
    pub column: Option<(usize, String)>,
    /// The fault.
    pub kind: CellFaultKind,
}

/// A fault of a cell or of a row.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CellFaultKind {
    /// The row has too few or too many cells.
    #[error("the row has {found} cells, the header has {expected}")]
    Width {
        /// Number of columns.
        expected: usize,
        /// Number of cells.
        found: usize,
    },
    /// The cell is not text.
    #[error(
        "is not UTF-8 text; if it is of an older encoding, say which, such as --encoding windows-1252"
    )]
    NotUtf8,
    /// The cell is no number.
    #[error("is not a number")]
    NotANumber,
    /// The cell is empty, and the feature is not optional.
    #[error("is empty")]
    Empty,
    /// The cell is no time.
    #[error(
        "is no time between 1990 and 2100 in the format of the others, or of which day is not clear; --time-format says how times are written"
    )]
    NotATime,
    /// A clock of the place never shows this time.
    #[error(
        "is a time that does not exist in the time zone, where clocks are put forward then; if these clocks keep one time all year, give \
         its zone, such as --timezone Etc/GMT-1 for UTC+1"
    )]
    SkippedTime,
    /// The cell is no sequence number.
    #[error("is not a whole number from 0")]
    NotASequence,
    /// The cell is no station.
    #[error("{0}")]
    StationId(InvalidStationId),
    /// Two stations would have one name.
    #[error("is `{text}`, and `{other}` would have the same name as a station, {station_id}")]
    SameStation {
        /// The station as it is written.
        text: String,
        /// The other one.
        other: String,
        /// The name of both.
        station_id: StationId,
    },
    /// The cell says neither normal nor anomalous.
    #[error(
        "is neither 0 nor 1, nor a word such as normal or anomaly, so the truth about the row is not known"
    )]
    NotALabel,
    /// The schema does not take the value.
    #[error("{0}")]
    Event(FaultKind),
    /// The number of further faults, which are not listed.
    #[error("and {0} more")]
    More(usize),
}

impl std::error::Error for BadRow {}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.path.display(), self.line)?;
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some((number, name)) => write!(f, "column {number} ({name}) {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}
