//! The words of a user about a file. Everything else is recognised.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use clap::Args;
use encoding_rs::Encoding;

use crate::layout::LayoutWish;
use crate::number::DecimalMark;
use crate::time::TimeFormat;

/// The way to read a file, where it is not recognised as it is meant.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "How the file is read, where it is not recognised")]
pub struct Profile {
    /// The encoding of its text, such as utf-8, utf-16 or windows-1252
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<&'static Encoding>,

    /// The separator of cells: a comma, a semicolon, | or tab
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub separator: Option<u8>,

    /// The decimal mark: point or comma
    #[arg(long, value_name = "MARK", value_parser = decimal)]
    pub decimal: Option<DecimalMark>,

    /// yes if the first row names the columns, whatever it holds; no if none does: they are then called
    /// column_1, column_2 and so on
    #[arg(long, value_name = "YES|NO", value_parser = yes_or_no)]
    pub header: Option<bool>,

    /// The column of the time; twice where the date and the time of day are apart; none for none
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Vec<String>,

    /// The format of times: day-first, month-first, year-first, compact, unix-s, unix-ms, unix-us, unix-ns, spreadsheet-days, seconds, or as strftime has it, such as '%d.%m.%Y %H:%M:%S'
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<TimeFormat>,

    /// The column that names the station; none for none
    #[arg(long, value_name = "COLUMN")]
    pub station_column: Option<String>,

    /// The column of the sequence number; none for none
    #[arg(long, value_name = "COLUMN")]
    pub sequence_column: Option<String>,

    /// The column that tells whether a row is anomalous; none for none
    #[arg(long, value_name = "COLUMN")]
    pub label_column: Option<String>,

    /// Columns that are not used, separated by commas
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',')]
    pub ignore: Vec<String>,

    /// More cells that mean that there is no value, separated by commas, such as -9999
    #[arg(long, value_name = "CELLS", value_delimiter = ',', allow_hyphen_values = true)]
    pub na_values: Vec<String>,
}

impl Profile {
    /// Returns the flags that say the same, with their values.
    pub fn flags(&self) -> Vec<(&'static str, String)> {
        let words = |flag, value: &Option<String>| value.clone().map(|value| (flag, value));
        let list = |flag, values: &[String]| (!values.is_empty()).then(|| (flag, values.join(",")));
        let separator =
            |byte| if byte == b'\t' { "tab".into() } else { char::from(byte).to_string() };
        let decimal = |mark| match mark {
            DecimalMark::Point => String::from("point"),
            DecimalMark::Comma | DecimalMark::CommaAfterPoints => String::from("comma"),
        };
        let yes_or_no = |yes| String::from(if yes { "yes" } else { "no" });
        let before = [
            self.encoding.map(|encoding| ("encoding", encoding.name().to_ascii_lowercase())),
            self.separator.map(|byte| ("separator", separator(byte))),
            self.decimal.map(|mark| ("decimal", decimal(mark))),
            self.header.map(|has_header| ("header", yes_or_no(has_header))),
        ];
        let after = [
            self.time_format.as_ref().map(|format| ("time-format", format.flag())),
            words("station-column", &self.station_column),
            words("sequence-column", &self.sequence_column),
            words("label-column", &self.label_column),
            list("ignore", &self.ignore),
            list("na-values", &self.na_values),
        ];
        let times = self.time_column.iter().map(|column| Some(("time-column", column.clone())));
        before.into_iter().chain(times).chain(after).flatten().collect()
    }

    /// The name that stands for no column.
    pub(crate) const NONE: &'static str = "none";

    pub(crate) fn layout(&self) -> LayoutWish {
        let Self { separator: delimiter, decimal, header: has_header, .. } = *self;
        LayoutWish { delimiter, decimal, has_header }
    }
}

/// The meaning of a cell without a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Missing {
    /// A fault of its row
    Refuse,
    /// A missing value
    Allow,
}

fn encoding(text: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(text.as_bytes()).ok_or_else(|| {
        String::from(
            "is no encoding; there are utf-8, utf-16le, windows-1252, iso-8859-15 and others",
        )
    })
}

fn separator(text: &str) -> Result<u8, String> {
    match text {
        "tab" | "\t" | "\\t" => Ok(b'\t'),
        "," | ";" | "|" => Ok(text.as_bytes()[0]),
        _ => Err(String::from("must be a comma, a semicolon, | or tab")),
    }
}

fn decimal(text: &str) -> Result<DecimalMark, String> {
    match text {
        "point" | "." => Ok(DecimalMark::Point),
        "comma" | "," => Ok(DecimalMark::Comma),
        _ => Err(String::from("must be point or comma")),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(String::from("must be yes or no")),
    }
}
