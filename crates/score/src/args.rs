//! The command-line arguments.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::{Parser, Subcommand, ValueEnum};
use detector::{AlarmRule, Engine};
use recording::ProfileArgs;

use crate::compare::CompareArgs;
use crate::input::Reading;

/// Scores the rows of a file with a trained model.
///
/// Writes a CSV with a line for each row: its number, its anomaly score (0 to 1, higher is more
/// anomalous), its p-value (the share of normal events that are as strange), whether it is an anomaly,
/// and the evidence that speaks most for one: forest, outside or relation. With a model of several
/// baselines, a last column says which a row was judged by: that of its station, of its group of
/// stations, or the values of the fleet, for a station that has none; the station is found in a column such as
/// station_id, otherwise it is the name of the file.
///
/// With --in-time-order it needs no model: the first rows of each station teach what is usual, and each
/// later row gets its surprise (in nats: about -ln of how rare its like was), the threshold that this is compared
/// with, whether an alarm is open, and the view and the feature that speak most for one.
#[derive(Debug, Clone, Parser)]
#[command(
    version,
    allow_negative_numbers = true,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true
)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Args {
    /// A command instead of scoring.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The folder with isoforest.bin and model_meta.json
    #[arg(long, value_name = "DIR", default_value = "models", env = "MODEL_DIR")]
    pub model_dir: PathBuf,

    /// The input, - for standard input: CSV, plain or packed with gzip or zstd, a workbook, Parquet, or a raw matrix: rows of values in
    /// the order of the model's features
    ///
    /// With --evaluate, there may be several.
    #[arg(long, value_name = "FILE", num_args = 1.., required = true)]
    pub input: Vec<PathBuf>,

    /// The format of the input [default: by the ending of its name, otherwise csv]
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// The output, - for standard output
    #[arg(long, value_name = "FILE", default_value = "-", conflicts_with = "repeat")]
    pub output: PathBuf,

    /// Repeat the columns of the input before the scores
    #[arg(long, conflicts_with = "repeat")]
    pub append: bool,

    /// Leave the scores of a bad row empty instead of stopping at it
    #[arg(long)]
    pub skip_bad: bool,

    /// Share of normal events that may be called anomalous [default: that of the training]
    #[arg(long, value_name = "SHARE", value_parser = AlarmRule::parse_rate)]
    pub false_alarm_rate: Option<f64>,

    /// Number of threads [default: one for each core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,

    /// Instructions to score with: auto, portable, avx2 or avx512; all give the same scores
    #[arg(long, value_name = "ENGINE", default_value = "auto", env = "ISOFOREST_ENGINE", value_parser = Engine::choose)]
    pub engine: Engine,

    /// Measure the scoring instead of writing scores: all rows, in memory, this many times
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: Option<u32>,

    /// Print how well the scores agree with the labels of the rows, instead of the scores
    #[arg(long, conflicts_with_all = ["append", "repeat", "in_time_order"])]
    pub evaluate: bool,

    /// With --evaluate: a file with the labels: the columns start and end, of times in which rows are anomalous; times and their
    /// labels; or a label for each row
    #[arg(long, value_name = "FILE", requires = "evaluate")]
    pub labels: Option<PathBuf>,

    /// With --evaluate: also write a page with curves, scores over time and the worst errors
    #[arg(long, value_name = "FILE.html", requires = "evaluate")]
    pub report: Option<PathBuf>,

    /// With --evaluate: as a JSON object
    #[arg(long, requires = "evaluate")]
    pub json: bool,

    /// With --repeat: one row after another, as events come
    #[arg(long, requires = "repeat", conflicts_with = "threads")]
    pub one: bool,

    /// Judge the rows of each station in their order, with alarms that keep a budget; no model is read
    #[arg(long, conflicts_with_all = ["append", "false_alarm_rate", "repeat", "one", "threads"])]
    pub in_time_order: bool,

    /// With --in-time-order: rows of each station that only teach what is usual; 1,000 and more are better
    #[arg(long, value_name = "ROWS", default_value_t = 400, requires = "in_time_order")]
    pub warm_up: usize,

    /// With --in-time-order: the features, separated by commas [default: all columns of numbers]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', requires = "in_time_order")]
    pub features: Option<Vec<String>>,

    /// With --in-time-order: alarms that may open for each row; 0.0001 is 8.6 a day at a row a second
    #[arg(long, value_name = "SHARE", default_value_t = stream::Params::default().budget, requires = "in_time_order")]
    pub budget: f64,

    /// With --in-time-order: add the columns `sensor_fault` and `faulty_feature`: how the sensor fails that began to do so last
    #[arg(long, requires = "in_time_order")]
    pub sensor_faults: bool,

    /// The way to read the file.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// A command instead of scoring.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    #[expect(missing_docs, reason = "the help is that of its arguments")]
    Compare(CompareArgs),
}

/// The format of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, such as CSV
    Csv,
    /// Little-endian floats of 32 bits, row by row
    F32,
    /// Little-endian floats of 64 bits, row by row
    F64,
}

impl Args {
    /// Returns the only input.
    ///
    /// # Errors
    ///
    /// Fails when there are several.
    pub(crate) fn only_input(&self) -> anyhow::Result<&Path> {
        match self.input.as_slice() {
            [input] => Ok(input),
            _ => bail!("several files can be evaluated with --evaluate; score one after the other"),
        }
    }

    /// Returns the way to read an input.
    pub(crate) fn reading(&self, input: &Path) -> Reading {
        Reading {
            format: self.format(input),
            profile: self.reading.profile(),
            skips_bad: self.skip_bad,
            keeps_cells: self.append,
        }
    }

    /// Returns the format of an input.
    pub(crate) fn format(&self, input: &Path) -> Format {
        let ending = input.extension().and_then(|ending| ending.to_str());
        self.format.unwrap_or(match ending {
            Some("f32") => Format::F32,
            Some("f64") => Format::F64,
            _ => Format::Csv,
        })
    }
}
