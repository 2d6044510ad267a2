//! The command-line arguments.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::bail;
use clap::{Parser, ValueEnum};
use plant::{Plant, PlantParams, WornStation};
use recording::ProfileArgs;
use wording::percent;

/// Sends events of a simulated plant to the server, and reports what was caught and missed.
#[derive(Debug, Clone, Parser)]
#[command(version, allow_negative_numbers = true)]
pub struct Args {
    /// The URL to send events to
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:5000/predict",
        env = "PREDICT_URL"
    )]
    pub url: String,

    /// The number of events to send [default: 30, or all of a recording]
    #[arg(long, value_name = "N")]
    pub count: Option<u64>,

    /// Seconds from one event to the next, 0 for as fast as answers come [default: 0.2, or 0 for a recording]
    #[arg(long, value_name = "SECONDS", conflicts_with = "rate")]
    pub interval: Option<f64>,

    /// Events a second, whether answers come or not; latency is then counted from when an event was due
    #[arg(long, value_name = "EVENTS")]
    pub rate: Option<f64>,

    /// The number of events that may wait for their answer [default: 1, or 64 with --rate]
    #[arg(long, value_name = "N")]
    pub concurrency: Option<usize>,

    /// Number of stations, which take turns [default: 4]
    #[arg(long, value_name = "N", conflicts_with = "replay")]
    pub stations: Option<u32>,

    /// Share of events that are measured under a fault, 0 to 0.9 [default: 0.1]
    #[arg(long, value_name = "SHARE", conflicts_with = "replay")]
    pub anomaly_rate: Option<f64>,

    /// Seed of noise and faults [default: 115]
    #[arg(long, value_name = "N", conflicts_with = "replay")]
    pub seed: Option<u64>,

    /// Number of a station one of whose bearings wears out, for good
    #[arg(long, value_name = "STATION", conflicts_with = "replay", value_parser = clap::value_parser!(u32).range(1..))]
    pub worn_station: Option<u32>,

    /// The number of healthy events that this station sends first
    #[arg(long, value_name = "N", default_value_t = 100, requires = "worn_station")]
    pub worn_after: u64,

    /// Let stations change as real ones do: drift until they are maintained, make one product after another, run at reduced load
    /// every seventh day; with --backfill, some events also come late or twice
    #[arg(long, conflicts_with = "replay")]
    pub changing: bool,

    /// Start in the past, such as 90s, 30m or 1h ago: those events are sent at once, later ones in real time
    #[arg(long, value_name = "TIME", conflicts_with_all = ["replay", "rate"], value_parser = time_span)]
    pub backfill: Option<Duration>,

    /// Send the rows of a recording instead: CSV, plain or packed with gzip or zstd, a workbook, or Parquet
    #[arg(long, value_name = "FILE.csv")]
    pub replay: Option<PathBuf>,

    /// Print nothing while events are sent, only the report
    #[arg(long, short)]
    pub quiet: bool,

    /// The view: live, or a line for each event; by default, a live view on a
    /// terminal and lines elsewhere
    #[arg(long, value_name = "VIEW", value_enum, default_value_t = View::Auto, conflicts_with_all = ["quiet", "json"])]
    pub view: View,

    /// Also write the report as one HTML file, with the truth beside what was called an anomaly over time
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// Print the report as JSON, and nothing else
    #[arg(long)]
    pub json: bool,

    /// The way to read the file.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// The view of events while they are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// The view that suits the output
    Auto,
    /// A view that stays in its place, on standard error
    Live,
    /// A line an event
    Lines,
}

impl View {
    /// Returns the view to use, given whether the output is a terminal.
    #[must_use]
    pub fn on_terminal(self, is_terminal: bool) -> Self {
        match self {
            Self::Auto if is_terminal => Self::Live,
            Self::Auto => Self::Lines,
            view => view,
        }
    }
}

/// Numbers beyond these are slips of the hand.
const STATIONS_MAX: u32 = 100_000;
const CONCURRENCY_MAX: usize = 10_000;
/// An event in about a day.
const RATE_MIN: f64 = 1e-5;

impl Args {
    /// Refuses what cannot be done, before anything is done.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.count == Some(0) {
            bail!("--count 0 leaves nothing to send");
        }
        if let Some(interval) = self.interval
            && !(0.0..=86_400.0).contains(&interval)
        {
            bail!("--interval must be 0 to 86,400 seconds, not {interval:?}");
        }
        if let Some(rate) = self.rate
            && !(RATE_MIN..=1e6).contains(&rate)
        {
            bail!("--rate must be {RATE_MIN} to 1,000,000 events a second, not {rate:?}");
        }
        if let Some(concurrency) = self.concurrency
            && !(1..=CONCURRENCY_MAX).contains(&concurrency)
        {
            bail!("--concurrency must be 1 to {CONCURRENCY_MAX}, not {concurrency}");
        }
        if let Some(path) = &self.report {
            // Better now than after an hour's run.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            if path.is_dir() || !folder.is_none_or(Path::is_dir) {
                bail!("--report `{}` is no file in a folder that there is", path.display());
            }
        }
        if self.backfill.is_some() && self.interval == Some(0.0) {
            bail!("--backfill needs an --interval above 0: how far events of the past are apart");
        }
        let PlantParams { n_stations, anomaly_rate, worn, .. } = self.plant();
        if let Some(WornStation { number, .. }) = worn
            && number > n_stations
        {
            bail!("--worn-station must be one of the {n_stations} stations, not {number}");
        }
        if !(1..=STATIONS_MAX).contains(&n_stations) {
            bail!("--stations must be 1 to {STATIONS_MAX}, not {n_stations}");
        }
        if !(0.0..=Plant::ANOMALY_RATE_MAX).contains(&anomaly_rate) {
            bail!(
                "--anomaly-rate must be 0 to {}, not {anomaly_rate}: stations recover between two faults",
                Plant::ANOMALY_RATE_MAX
            );
        }
        Ok(())
    }

    /// Describes the source of events for people.
    pub(crate) fn source_words(&self) -> String {
        if let Some(path) = &self.replay {
            return format!("the recording `{}`", path.display());
        }
        let PlantParams { n_stations, anomaly_rate, worn, changes, seed } = self.plant();
        let changing = if changes { ", changing from day to day" } else { "" };
        let worn = worn.map_or(String::new(), |WornStation { number, from_index }| {
            format!(", station {number} worn after {from_index} events")
        });
        let share = percent(anomaly_rate);
        format!(
            "a simulated plant of {n_stations} stations, {share} under a fault{worn}{changing}, seed {seed}"
        )
    }

    pub(crate) fn plant(&self) -> PlantParams {
        let default = PlantParams::default();
        PlantParams {
            n_stations: self.stations.unwrap_or(default.n_stations),
            anomaly_rate: self.anomaly_rate.unwrap_or(default.anomaly_rate),
            worn: self
                .worn_station
                .map(|number| WornStation { number, from_index: self.worn_after }),
            changes: self.changing,
            seed: self.seed.unwrap_or(default.seed),
        }
    }
}

/// Reads a time such as 90s, 30m or 1h.
fn time_span(text: &str) -> Result<Duration, String> {
    const DAYS_MAX: u64 = 366;
    let units = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
    let read = units.iter().find_map(|(unit, seconds)| {
        let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
        count.checked_mul(*seconds)
    });
    match read {
        Some(seconds) if (1..=DAYS_MAX * 86_400).contains(&seconds) => {
            Ok(Duration::from_secs(seconds))
        }
        _ => Err(String::from(
            "must be a number of seconds, minutes, hours or days, such as 90s, 30m, 1h or 2d, and up to 366d",
        )),
    }
}
