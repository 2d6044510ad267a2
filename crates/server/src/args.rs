//! The command-line arguments.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use detector::{AlarmRule, Engine};
use http_door::{BasePath, HostName};
use pipeline::{AlarmParams, Retention, Retentions, StationBudget};
use sensor::{StationId, timestamp};
use store_sqlite::{OnCorrupt, SqliteParams};
use terminal::LogFormat;
use tracing_subscriber::filter::LevelFilter;

/// The file in the data folder that predictions are kept in.
pub const DATABASE_FILE: &str = "events.db";

/// Judges events that stations send, keeps every prediction, and answers over HTTP; GET /docs describes the API.
#[derive(Debug, Clone, Parser)]
#[command(version, allow_negative_numbers = true, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// The command; without one, the server starts
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The options of the server
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// The commands of the program besides serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Checks every stored prediction, and tells which are not as they were written
    Verify(VerifyArgs),
    /// Copies the database into a file, while the server runs or not
    Backup(BackupArgs),
    /// Replaces the database with a backup and keeps the old one beside it; stop the server first
    Restore(RestoreArgs),
    /// Writes what can be read of a damaged database to a new one
    Recover(RecoverArgs),
    /// Writes stored events as CSV, for spreadsheets or for another training, while the server runs or not
    Export(ExportArgs),
}

/// The folder of the database.
#[derive(Debug, Clone, clap::Args)]
pub struct DataDir {
    /// The folder of events.db; serving and restoring create it
    #[arg(long, value_name = "DIR", default_value = "data", env = "DATA_DIR")]
    pub data_dir: PathBuf,
}

/// Which database to check.
#[derive(Debug, Clone, clap::Args)]
pub struct VerifyArgs {
    /// A backup to check, instead of the database of the server
    #[arg(value_name = "FILE")]
    pub backup: Option<PathBuf>,

    /// The database
    #[command(flatten)]
    pub data: DataDir,
}

/// The events to write, and where.
#[derive(Debug, Clone, clap::Args)]
pub struct ExportArgs {
    /// The file to write, - for standard output, as for `train --input -`
    #[arg(long, value_name = "FILE.csv", default_value = "-")]
    pub output: PathBuf,

    /// Only events that were measured at this time or later, such as 2026-01-22T06:00:00Z
    #[arg(long, value_name = "TIME", value_parser = timestamp::parse)]
    pub since: Option<i64>,

    /// Only events that were measured before this time
    #[arg(long, value_name = "TIME", value_parser = timestamp::parse)]
    pub until: Option<i64>,

    /// Only events of this station
    #[arg(long, value_name = "NAME", value_parser = StationId::parse)]
    pub station: Option<StationId>,

    /// Leave out events that were called anomalies
    #[arg(long)]
    pub exclude_anomalies: bool,

    /// Add the columns of the scores, and of the model that gave them
    #[arg(long)]
    pub scores: bool,

    /// The database
    #[command(flatten)]
    pub data: DataDir,
}

/// The file to copy the database to.
#[derive(Debug, Clone, clap::Args)]
pub struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    pub backup: PathBuf,

    /// The database
    #[command(flatten)]
    pub data: DataDir,
}

/// Which database to recover.
#[derive(Debug, Clone, clap::Args)]
pub struct RecoverArgs {
    /// The damaged database, such as data/events.db.corrupt-1; it is not changed
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,

    /// Folder for the new database; it must not contain a database
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// Which backup to restore.
#[derive(Debug, Clone, clap::Args)]
pub struct RestoreArgs {
    /// A file that `server backup` wrote
    #[arg(value_name = "FILE")]
    pub backup: PathBuf,

    /// The database
    #[command(flatten)]
    pub data: DataDir,
}

/// The options of the server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Address and port to listen on; there is no authentication, so keep it on loopback
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000", env = "SERVER_ADDR")]
    pub addr: SocketAddr,

    /// A name under which the server is reached, such as plant.example; may be repeated. Loopback names, the address
    /// listened on and names without a dot need not be listed; other names are refused with 421
    #[arg(long = "host", value_name = "NAME", env = "SERVER_HOSTS", value_delimiter = ',')]
    pub hosts: Vec<HostName>,

    /// The path under which a proxy shows the server, such as /plant; not needed when the proxy takes it away
    #[arg(long, value_name = "PATH", default_value = "/", env = "SERVER_BASE_PATH")]
    pub base_path: BasePath,

    /// The folder of isoforest.bin and model_meta.json
    #[arg(long, value_name = "DIR", default_value = "models", env = "MODEL_DIR")]
    pub model_dir: PathBuf,

    /// The database
    #[command(flatten)]
    pub data: DataDir,

    /// Refuse to start without a trained model, instead of training a starter model on the simulated plant
    #[arg(long, env = "SERVER_REQUIRE_MODEL", value_parser = FalseyValueParser::new())]
    pub require_model: bool,

    /// Share of normal events that may be called anomalous [default: that of the training]
    #[arg(long, value_name = "SHARE", env = "SERVER_FALSE_ALARM_RATE", value_parser = AlarmRule::parse_rate)]
    pub false_alarm_rate: Option<f64>,

    /// Alarms in time order that may open at each station in a day; 0 judges every event alone
    #[arg(long, value_name = "NUMBER", default_value_t = AlarmParams::default().alarms_per_day, env = "SERVER_ALARMS_PER_DAY",
          value_parser = alarms_per_day)]
    pub alarms_per_day: f64,

    /// Another number for stations by their names, such as press_1=0.2; * stands for any text, and the first that fits counts
    #[arg(
        long,
        value_name = "NAME=NUMBER",
        env = "SERVER_STATION_ALARMS_PER_DAY",
        value_delimiter = ','
    )]
    pub station_alarms_per_day: Vec<StationBudget>,

    /// Events from which a station learns what is usual for it, before it is watched in time order
    #[arg(long, value_name = "N", default_value_t = AlarmParams::default().events_to_learn, env = "SERVER_EVENTS_TO_LEARN",
          value_parser = clap::value_parser!(u32).range(events_to_learn()))]
    pub events_to_learn: u32,

    /// Memory for stations that are watched in time order; the events of others are judged alone
    #[arg(long, value_name = "MIB", default_value_t = 256, env = "SERVER_ALARM_MEMORY_MIB",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub alarm_memory_mib: u32,

    /// Instructions to score with: auto, portable, avx2 or avx512; all give the same scores
    #[arg(long, value_name = "ENGINE", default_value = "auto", env = "ISOFOREST_ENGINE", value_parser = Engine::choose)]
    pub engine: Engine,

    /// The number of predictions that may wait for the disk; more are refused with 503
    #[arg(long, value_name = "N", default_value_t = SqliteParams::default().queue_len_max, env = "SERVER_QUEUE_LEN_MAX",
          value_parser = positive)]
    pub queue_len_max: usize,

    /// The number of connections that may be open; more wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 4_096, env = "SERVER_CONNECTIONS_MAX", value_parser = positive)]
    pub connections_max: usize,

    /// The number of them that may come from one address; more are refused with 503 [default: three quarters of all]
    #[arg(long, value_name = "N", env = "SERVER_CONNECTIONS_PER_ADDRESS_MAX", value_parser = positive)]
    pub connections_per_address_max: Option<usize>,

    /// With a damaged database: put it aside and start a new one, or fail to start
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = CorruptAction::Quarantine, env = "SERVER_ON_CORRUPT")]
    pub on_corrupt: CorruptAction,

    /// The retention of predictions: 30d, 12h, 8w or forever
    #[arg(long, value_name = "TIME", default_value = "forever", env = "SERVER_RETAIN", value_parser = retention, allow_hyphen_values = true)]
    pub retain: Retention,

    /// The retention of anomalies
    #[arg(long, value_name = "TIME", default_value = "forever", env = "SERVER_RETAIN_ANOMALIES", value_parser = retention, allow_hyphen_values = true)]
    pub retain_anomalies: Retention,

    /// The log level: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "SERVER_LOG")]
    pub log: LevelFilter,

    /// Log warnings and errors only
    #[arg(long, short, env = "SERVER_QUIET", value_parser = FalseyValueParser::new())]
    pub quiet: bool,

    /// The log format: text for people, or a JSON object a line for programs
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, env = "SERVER_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// The treatment of a damaged database at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CorruptAction {
    /// It is put aside, and a new one begins
    Quarantine,
    /// The start fails
    Exit,
}

impl DataDir {
    /// Returns the path of the database.
    pub(crate) fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE_FILE)
    }
}

impl ServeArgs {
    /// Returns the number of connections that one address may have.
    pub(crate) fn connections_per_address_max(&self) -> usize {
        self.connections_per_address_max.unwrap_or((self.connections_max * 3 / 4).max(1))
    }

    /// Returns the lowest level that is logged.
    pub fn log_level(&self) -> LevelFilter {
        if self.quiet { self.log.min(LevelFilter::WARN) } else { self.log }
    }

    /// Returns how stations are watched in time order, if they are.
    pub(crate) fn alarms(&self) -> Option<AlarmParams> {
        let Self { alarms_per_day, events_to_learn, .. } = *self;
        let kept_us = self.retentions().shortest_us();
        (alarms_per_day > 0.0).then_some(AlarmParams { alarms_per_day, events_to_learn, kept_us })
    }

    /// Returns how long predictions are kept.
    pub(crate) fn retentions(&self) -> Retentions {
        Retentions { normal: self.retain, anomalies: self.retain_anomalies }
    }

    pub(crate) fn sqlite_params(&self) -> SqliteParams {
        SqliteParams {
            queue_len_max: self.queue_len_max,
            on_corrupt: match self.on_corrupt {
                CorruptAction::Quarantine => OnCorrupt::Quarantine,
                CorruptAction::Exit => OnCorrupt::Exit,
            },
        }
    }
}

/// Reads a number of alarms in a day.
fn alarms_per_day(text: &str) -> Result<f64, String> {
    const MOST: f64 = StationBudget::ALARMS_PER_DAY_MAX;
    match text.parse() {
        Ok(number) if (0.0..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 0 to {MOST}, such as 1 or 0.2")),
    }
}

/// Reads how long something is kept.
fn retention(text: &str) -> Result<Retention, String> {
    const DAY_S: u64 = 86_400;
    if text == "forever" {
        return Ok(Retention::Forever);
    }
    let units = [("m", 60), ("h", 3_600), ("d", DAY_S), ("w", 7 * DAY_S)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*seconds)
    });
    match read {
        Some(seconds) if (60..=36_500 * DAY_S).contains(&seconds) => {
            Ok(Retention::For(Duration::from_secs(seconds)))
        }
        _ => Err(String::from(
            "must be `forever`, or a number of minutes, hours, days or weeks such as 90m, 12h, 30d or 8w",
        )),
    }
}

/// Returns a number of things that there must be at least one of, and not absurdly many.
fn positive(text: &str) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    match text.parse() {
        Ok(number) if (1..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {MOST}")),
    }
}

/// Returns the number of events that a station may learn from.
fn events_to_learn() -> std::ops::RangeInclusive<i64> {
    let (least, most) = AlarmParams::EVENTS_TO_LEARN.into_inner();
    least.into()..=most.into()
}
