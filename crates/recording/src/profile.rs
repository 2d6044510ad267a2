//! The words of a user about a file. Everything else is recognised.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::fs;

use chrono_tz::Tz;
use clap::{Args, ValueEnum};
use encoding_rs::Encoding;
use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::layout::LayoutWish;
use crate::number::DecimalMark;
use crate::time::TimeFormat;

/// The way to read a file, where it is not recognised as it is meant.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(try_from = "Words", into = "Words")]
#[command(next_help_heading = "How the file is read, where it is not recognised")]
pub struct Profile {
    /// The sheet of a workbook, where several have cells
    #[arg(long, value_name = "NAME")]
    pub sheet: Option<String>,

    /// The encoding of its text, such as utf-8, utf-16 or windows-1252
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    pub encoding: Option<&'static Encoding>,

    /// The separator of cells: a comma, a semicolon, | or tab
    #[arg(long, value_name = "CHARACTER", value_parser = separator)]
    pub separator: Option<u8>,

    /// The decimal mark: point, comma, or comma-after-points, where points stand between thousands
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

    /// The time zone of the clocks, such as Europe/Berlin, for times that do not say their offset [default: UTC]
    #[arg(long, value_name = "ZONE", value_parser = timezone)]
    pub timezone: Option<Tz>,

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

    /// The columns of the names and of the values, where each row holds one value: there is then a column for each name
    #[arg(long, value_name = "NAMES,VALUES", value_delimiter = ',')]
    pub long: Vec<String>,

    /// With --long: the time from one row to the next, such as 1s or 5min [default: as the values come]
    #[arg(long, value_name = "TIME")]
    pub every: Option<Interval>,

    /// With --long: the age up to which a value stands in a row [default: as long as nearly all pauses]
    #[arg(long, value_name = "TIME")]
    pub carry: Option<Interval>,

    /// The meaning of a cell without a value, where no schema and no model says it [default: refuse]
    #[arg(long, value_enum)]
    pub missing: Option<Missing>,
}

/// The arguments of a program about the way to read a file: a saved profile, and flags that go before it.
#[derive(Debug, Clone, Default, PartialEq, Args)]
#[command(next_help_heading = "How the file is read, where it is not recognised")]
pub struct ProfileArgs {
    /// The way to read the file as `train inspect --save` wrote it; what a flag says replaces what the profile says
    #[arg(long = "profile", value_name = "FILE.toml", value_parser = saved)]
    saved: Option<Profile>,

    /// The flags.
    #[command(flatten)]
    given: Profile,
}

impl ProfileArgs {
    /// Returns the profile of all arguments together.
    pub fn profile(&self) -> Profile {
        let Self { saved, given } = self.clone();
        let saved = saved.unwrap_or_default();
        let list = |given: Vec<String>, saved| if given.is_empty() { saved } else { given };
        Profile {
            sheet: given.sheet.or(saved.sheet),
            encoding: given.encoding.or(saved.encoding),
            separator: given.separator.or(saved.separator),
            decimal: given.decimal.or(saved.decimal),
            header: given.header.or(saved.header),
            time_column: list(given.time_column, saved.time_column),
            time_format: given.time_format.or(saved.time_format),
            timezone: given.timezone.or(saved.timezone),
            station_column: given.station_column.or(saved.station_column),
            sequence_column: given.sequence_column.or(saved.sequence_column),
            label_column: given.label_column.or(saved.label_column),
            ignore: list(given.ignore, saved.ignore),
            na_values: list(given.na_values, saved.na_values),
            long: list(given.long, saved.long),
            every: given.every.or(saved.every),
            carry: given.carry.or(saved.carry),
            missing: given.missing.or(saved.missing),
        }
    }

    /// Returns `true` if there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Profile {
    /// The name that stands for no column.
    pub(crate) const NONE: &'static str = "none";

    /// Reads what [`Self::to_toml`] wrote, or somebody.
    ///
    /// # Errors
    ///
    /// Fails with the name of what is not known or not understood.
    pub fn from_toml(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// Returns it as TOML: the names of the flags, with `_` for `-`, and their values.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("words and lists of words are TOML")
    }

    /// Returns the flags that say the same, with their values.
    pub fn flags(&self) -> Vec<(String, String)> {
        let words = toml::Table::try_from(self).expect("words and lists of words are TOML");
        let flags = words.into_iter().flat_map(|(name, value)| {
            let flag = name.replace('_', "-");
            let values = match value {
                toml::Value::Array(values) if flag == "time-column" => values,
                toml::Value::Array(values) => {
                    let values: Vec<String> = values.into_iter().map(word).collect();
                    vec![toml::Value::String(values.join(","))]
                }
                value => vec![value],
            };
            values.into_iter().map(move |value| (flag.clone(), word(value)))
        });
        flags.collect()
    }

    pub(crate) fn layout(&self) -> LayoutWish {
        let Self { separator: delimiter, decimal, header: has_header, .. } = *self;
        LayoutWish { delimiter, decimal, has_header }
    }
}

/// A profile as it is saved: every value as its flag has it.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Words {
    sheet: Option<String>,
    encoding: Option<String>,
    separator: Option<String>,
    decimal: Option<String>,
    header: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    time_column: Vec<String>,
    time_format: Option<String>,
    timezone: Option<String>,
    station_column: Option<String>,
    sequence_column: Option<String>,
    label_column: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignore: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    na_values: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    long: Vec<String>,
    every: Option<String>,
    carry: Option<String>,
    missing: Option<String>,
}

impl From<Profile> for Words {
    fn from(profile: Profile) -> Self {
        let separator =
            |byte| if byte == b'\t' { "tab".into() } else { char::from(byte).to_string() };
        let decimal = |mark| match mark {
            DecimalMark::Point => String::from("point"),
            DecimalMark::Comma => String::from("comma"),
            DecimalMark::CommaAfterPoints => String::from("comma-after-points"),
        };
        let yes_or_no = |yes| String::from(if yes { "yes" } else { "no" });
        let missing = |missing| match missing {
            Missing::Refuse => String::from("refuse"),
            Missing::Allow => String::from("allow"),
        };
        Self {
            sheet: profile.sheet,
            encoding: profile.encoding.map(|encoding| encoding.name().to_ascii_lowercase()),
            separator: profile.separator.map(separator),
            decimal: profile.decimal.map(decimal),
            header: profile.header.map(yes_or_no),
            time_column: profile.time_column,
            time_format: profile.time_format.map(|format| format.flag()),
            timezone: profile.timezone.map(|zone| String::from(zone.name())),
            station_column: profile.station_column,
            sequence_column: profile.sequence_column,
            label_column: profile.label_column,
            ignore: profile.ignore,
            na_values: profile.na_values,
            long: profile.long,
            every: profile.every.map(|every| every.to_string()),
            carry: profile.carry.map(|carry| carry.to_string()),
            missing: profile.missing.map(missing),
        }
    }
}

impl TryFrom<Words> for Profile {
    type Error = String;

    fn try_from(words: Words) -> Result<Self, String> {
        fn read<T>(
            key: &str,
            word: Option<String>,
            read: impl Fn(&str) -> Result<T, String>,
        ) -> Result<Option<T>, String> {
            let read = |word: String| read(&word).map_err(|why| format!("{key} `{word}` {why}"));
            word.map(read).transpose()
        }
        let missing = |word: &str| Missing::from_str(word, false);
        Ok(Self {
            sheet: words.sheet,
            encoding: read("encoding", words.encoding, encoding)?,
            separator: read("separator", words.separator, separator)?,
            decimal: read("decimal", words.decimal, decimal)?,
            header: read("header", words.header, yes_or_no)?,
            time_column: words.time_column,
            time_format: read("time_format", words.time_format, str::parse)?,
            timezone: read("timezone", words.timezone, timezone)?,
            station_column: words.station_column,
            sequence_column: words.sequence_column,
            label_column: words.label_column,
            ignore: words.ignore,
            na_values: words.na_values,
            long: words.long,
            every: read("every", words.every, str::parse)?,
            carry: read("carry", words.carry, str::parse)?,
            missing: read("missing", words.missing, missing)?,
        })
    }
}

/// Returns a value without quotes.
fn word(value: toml::Value) -> String {
    match value {
        toml::Value::String(word) => word,
        value => value.to_string(),
    }
}

fn saved(path: &str) -> Result<Profile, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    Profile::from_toml(&text).map_err(|error| error.to_string())
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

fn timezone(text: &str) -> Result<Tz, String> {
    text.parse().map_err(|_| {
        String::from("is no time zone of the IANA list, such as Europe/Berlin, America/New_York or Asia/Tokyo")
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
        "comma-after-points" => Ok(DecimalMark::CommaAfterPoints),
        _ => Err(String::from("must be point, comma, or comma-after-points")),
    }
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(String::from("must be yes or no")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        reading: ProfileArgs,
    }

    fn profile(flags: &[&str]) -> Profile {
        Program::parse_from(["program"].iter().chain(flags)).reading.profile()
    }

    #[test]
    fn a_profile_is_saved_and_said_in_the_same_words() {
        let flags = [
            "--sheet=Tabelle 1",
            "--encoding=windows-1252",
            "--separator=tab",
            "--decimal=comma-after-points",
            "--header=no",
            "--time-column=Datum",
            "--time-column=Uhr zeit",
            "--time-format=%d.%m.%Y %H:%M",
            "--timezone=Europe/Berlin",
            "--station-column=Pumpe",
            "--sequence-column=none",
            "--label-column=defekt",
            "--ignore=a,b",
            "--na-values=-9999,x",
            "--long=tag,value",
            "--every=90s",
            "--carry=1h",
            "--missing=allow",
        ];
        let all = profile(&flags);
        assert_eq!(Profile::from_toml(&all.to_toml()).unwrap(), all);
        let again: Vec<String> =
            all.flags().iter().map(|(flag, value)| format!("--{flag}={value}")).collect();
        let mut expected = flags.map(String::from);
        expected.sort();
        assert_eq!(again, expected);
        assert_eq!(Profile::default().to_toml(), "");
    }

    #[test]
    fn flags_go_before_a_saved_profile() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plant.toml");
        fs::write(
            &path,
            "separator = \";\"\nignore = [\"a, in °C\"]\ntime_column = [\"Datum\", \"Zeit\"]\n",
        )
        .unwrap();
        let path = path.to_str().unwrap();
        let read = profile(&["--profile", path, "--separator", "tab", "--time-column", "when"]);
        assert_eq!((read.separator, read.time_column), (Some(b'\t'), vec![String::from("when")]));
        assert_eq!(read.ignore, ["a, in °C"]);
    }

    #[test]
    fn a_saved_profile_that_is_not_understood_is_refused() {
        for (text, part) in [
            ("seperator = \";\"", "seperator"),
            ("separator = \"x\"", "must be a comma"),
            ("time_format = \"sometimes\"", "time_format `sometimes`"),
            ("every = \"5\"", "unit"),
            ("missing = \"perhaps\"", "missing"),
        ] {
            let error = Profile::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = Program::try_parse_from(["program", "--profile", "nowhere.toml"]).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }
}
