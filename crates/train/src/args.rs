//! The command-line arguments.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use detector::{AlarmRule, Engine, GroupPattern, Params};
use recording::{Profile, ProfileArgs};
use terminal::LogFormat;

use crate::data::Files;
use crate::inspect::InspectArgs;
use crate::rethreshold::RethresholdArgs;

/// Learns what is normal and writes the model that the server uses.
///
/// Without arguments it learns from 10,000 events of a simulated plant.
#[derive(Debug, Clone, Parser)]
#[command(version, allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct Args {
    /// A command instead of a training.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// A table of normal events to learn from: CSV, plain or packed with gzip or zstd, a workbook, or Parquet; several of them, a
    /// folder, or - for standard input
    ///
    /// The roles of its columns are recognised by their names and cells, and named; all but the time, the sequence number, the
    /// station and the truth can be features. Of a folder, the files that end with .csv, .csv.gz, .csv.zst, .xlsx or .parquet are
    /// read in the order of their names. A file that does not name the stations is one station, called as the file is.
    #[arg(long, value_name = "FILE.csv", num_args = 1..)]
    pub input: Vec<PathBuf>,

    /// Columns to learn from [default: those of the schema, else all that hold numbers]
    ///
    /// The time, the sequence and the station are only learnt from when they are named here; columns
    /// with the truth, such as a label, never are.
    #[arg(long, value_name = "A,B,C", value_delimiter = ',', requires = "input")]
    pub features: Option<Vec<String>>,

    /// Units, physical ranges and optional features, as TOML
    ///
    /// For each feature a table `[[feature]]` with name = "pressure_bar", and where known unit =
    /// "bar", minimum = 0, maximum = 16, optional = true. Columns that it does not name are left out.
    /// Ranges are physics: they are never taken from the data, since an unusual value is what the
    /// model is for.
    #[arg(long, value_name = "FILE.toml", requires = "input")]
    pub schema: Option<PathBuf>,

    /// The number of bad rows to leave out before giving up
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_bad_rows: usize,

    /// Rows that a label calls anomalous: leave them out, or learn from them as well [default: exclude, or include with
    /// --contamination]
    #[arg(long, value_enum)]
    pub labelled: Option<Labelled>,

    /// Number of trees
    #[arg(long, alias = "n-estimators", value_name = "N", default_value_t = Params::default().forest.n_trees)]
    pub trees: usize,

    /// Number of events that each tree is grown from, at most half of all
    #[arg(long, alias = "max-samples", value_name = "N", default_value_t = Params::default().forest.sample_size)]
    pub sample_size: usize,

    /// Number of features that each tree may cut [default: all]
    #[arg(long, value_name = "N")]
    pub max_features: Option<usize>,

    /// Seed of all that is random: equal data, parameters and seed give an equal model
    #[arg(long, alias = "random-state", value_name = "N", default_value_t = Params::default().forest.seed)]
    pub seed: u64,

    /// Share of normal events that may be called anomalous
    #[arg(long, value_name = "SHARE", default_value_t = default_false_alarm_rate(), value_parser = AlarmRule::parse_rate, conflicts_with = "contamination")]
    pub false_alarm_rate: f64,

    /// Share of the training events that are anomalous themselves, as scikit-learn understands it
    #[arg(long, value_name = "SHARE")]
    pub contamination: Option<f64>,

    /// Learn a baseline for each station: what is normal for it, in its own ranges
    ///
    /// Use it where stations differ, such as two machines that run at 60 and at 75 °C. The values of each are then
    /// compared with its own median and spread. A station needs 100 events for that; others, and those that the model
    /// does not know, are judged by the values of all stations, and only what would be strange at any of them is found.
    #[arg(long, conflicts_with = "group_by")]
    pub per_station: bool,

    /// Learn a baseline for each group of stations, by a pattern of their names such as site.line.*
    ///
    /// Words stand for any text, and stations that differ only where the pattern has a * have a baseline in common:
    /// with site.line.*, berlin.3.press and berlin.3.saw have that of berlin.3.*. Parts end with . _ : or - as
    /// the pattern says, and with any of these where it has a /; the last takes all that is left, and a name with fewer
    /// parts is a group of its own.
    #[arg(long, value_name = "PATTERN")]
    pub group_by: Option<GroupPattern>,

    /// Learn also from rows with a value far beyond all others, which are left out otherwise
    #[arg(long)]
    pub keep_all_rows: bool,

    /// The folder to write isoforest.bin and model_meta.json to
    #[arg(long, value_name = "DIR", default_value = "models", env = "MODEL_DIR")]
    pub model_dir: PathBuf,

    /// The folder to write training_sample.csv to
    #[arg(long, value_name = "DIR", default_value = "data", env = "DATA_DIR")]
    pub data_dir: PathBuf,

    /// Instructions to score with: auto, portable, avx2 or avx512; all give the same scores
    #[arg(long, value_name = "ENGINE", default_value = "auto", env = "ISOFOREST_ENGINE", value_parser = Engine::choose)]
    pub engine: Engine,

    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Only measure how long it takes to grow the forest, several times; write nothing
    #[arg(long)]
    pub time: bool,

    /// Write no report.html beside the model
    #[arg(long)]
    pub no_report: bool,

    /// Print nothing but warnings
    #[arg(long, short)]
    pub quiet: bool,

    /// The format of the summary: text for people, or a JSON object a line for programs
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// Learn and report, but write nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Write nothing and fail when there is a warning
    #[arg(long)]
    pub strict: bool,

    /// The way to read the file.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// A command instead of a training.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    #[expect(missing_docs, reason = "the help is that of its arguments")]
    Inspect(InspectArgs),
    #[expect(missing_docs, reason = "the help is that of its arguments")]
    Rethreshold(RethresholdArgs),
}

/// The use of rows that are labelled anomalous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Labelled {
    /// They teach nothing
    Exclude,
    /// They teach as the others do
    Include,
}

impl Args {
    /// Returns the files to learn from.
    pub(crate) fn files<'a>(&'a self, profile: &'a Profile) -> Files<'a> {
        let learns_by_default = self.contamination.is_some();
        Files {
            inputs: &self.input,
            profile,
            features: self.features.as_deref(),
            schema: self.schema.as_deref(),
            max_bad_rows: self.max_bad_rows,
            learns_labelled: self
                .labelled
                .map_or(learns_by_default, |labelled| labelled == Labelled::Include),
            is_grouped: self.grouping().is_some(),
        }
    }

    /// Returns the groups of stations that get a baseline of their own; `None` when all share one.
    pub(crate) fn grouping(&self) -> Option<GroupPattern> {
        let per_station = self.per_station.then(GroupPattern::per_station);
        per_station.or_else(|| self.group_by.clone())
    }

    /// Returns a command that repeats the training.
    pub(crate) fn command_line(&self) -> String {
        let mut words = vec![String::from("train")];
        let mut add = |name: &str, value: &str| {
            words.push(format!("--{name} {}", shell_word(value)));
        };
        for input in &self.input {
            add("input", &input.display().to_string());
        }
        if let Some(features) = &self.features {
            add("features", &features.join(","));
        }
        if let Some(schema) = &self.schema {
            add("schema", &schema.display().to_string());
        }
        if self.max_bad_rows > 0 {
            add("max-bad-rows", &self.max_bad_rows.to_string());
        }
        if let Some(labelled) = self.labelled {
            add("labelled", if labelled == Labelled::Include { "include" } else { "exclude" });
        }
        for (flag, value) in self.reading.profile().flags() {
            add(&flag, &value);
        }
        add("trees", &self.trees.to_string());
        add("sample-size", &self.sample_size.to_string());
        if let Some(max_features) = self.max_features {
            add("max-features", &max_features.to_string());
        }
        add("seed", &self.seed.to_string());
        match self.contamination {
            Some(share) => add("contamination", &share.to_string()),
            None => add("false-alarm-rate", &self.false_alarm_rate.to_string()),
        }
        if let Some(group_by) = &self.group_by {
            add("group-by", group_by.as_str());
        }
        let mut command = words.join(" ");
        if self.per_station {
            command.push_str(" --per-station");
        }
        if self.keep_all_rows {
            command.push_str(" --keep-all-rows");
        }
        command
    }
}

/// Returns a text as a shell of Unix takes it for one word.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/,".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        return String::from(text);
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

fn default_false_alarm_rate() -> f64 {
    match AlarmRule::default() {
        AlarmRule::FalseAlarmRate(rate) => rate,
        AlarmRule::Contamination(_) => unreachable!("the default rule is a false-alarm rate"),
    }
}
