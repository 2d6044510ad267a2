//! One command for a newcomer: trains, serves, simulates, and shows what was found.
//!
//! [`run`] does with the libraries of the three programs what a person would do with the programs,
//! in a folder that is gone afterwards.

use std::future::Future;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Parser;
use server::Server;
use simulate::View;
use terminal::style::TITLE;
use tokio::sync::oneshot;
use wire::{AnomaliesBody, PredictionBody};
use wording::{grouped, readable};

/// Trains a model, serves it, sends events of a simulated plant with faults, and shows what was
/// found.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// Keep the plant running until Ctrl-C, with one failing station, for a look at the pages of the server
    #[arg(long)]
    pub keep: bool,

    /// The number of events to send; a week of all stations has 7,000
    #[arg(long, value_name = "N", default_value_t = 7_000, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "keep")]
    pub count: u64,

    /// Also write the report of the simulation as one HTML file
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// Print the report of the simulation as JSON, and nothing else
    #[arg(long, conflicts_with = "view")]
    pub json: bool,

    /// The view of events while they are sent; by default, a view on a terminal and nothing elsewhere
    #[arg(long, value_name = "VIEW", value_enum, default_value_t = View::Auto)]
    pub view: View,
}

/// Events of all eight stations in a day of the plant.
const EVENTS_A_DAY: f64 = 8.0 * plant::EVENTS_A_DAY as f64;
const SECONDS_A_DAY: f64 = 86_400.0;
/// More events come closer together: a simulation begins within the last year.
const PAST_S_MAX: f64 = 365.0 * SECONDS_A_DAY;
/// The number of the latest anomalies that are shown.
const ANOMALIES_SHOWN: usize = 8;

/// Shows the system at work, and ends after the last event or, with `--keep`, when `stop` is done.
///
/// # Errors
///
/// Fails when one of the programs does.
pub async fn run(
    args: &Args,
    clock: fn() -> i64,
    out: &mut (dyn Write + Send),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
    let mut voice = Voice { out, nowhere: io::sink(), is_json: args.json };
    title(voice.words(), "train: learns what is normal from a simulated plant")?;
    train::run(&train_args(scratch.path()), clock(), voice.words())?;

    let server = Server::bind(&server_args(scratch.path()), clock).await?;
    let url = format!("http://{}", server.addr()?);
    let (stop_server, stopped) = oneshot::channel();
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));
    title(voice.words(), &format!("server: listening on {url}"))?;

    if args.keep {
        let what = "eight stations since an hour ago, and a bearing of one wears out";
        let hint = format!("open {url} in a browser; Ctrl-C ends it");
        title(voice.words(), &format!("simulate: {what}\n\n   {hint}"))?;
        simulate::run(&endless_args(args, &url), clock, voice.out, stop).await?;
    } else {
        let days = readable(args.count as f64 / EVENTS_A_DAY, 2);
        let what =
            format!("{} events of eight stations in {days} days", grouped(args.count as f64));
        let why = "They drift, are maintained and make other products; some events are of a fault, come late or come twice.\n   \
                   Single events look stranger day by day; alarms in time order follow the plant and keep a budget.";
        title(voice.words(), &format!("simulate: {what}\n\n   {why}"))?;
        simulate::run(&simulate_args(args, &url), clock, voice.out, stop).await?;
        title(voice.words(), "latest anomalies, and why")?;
        let listed = latest_anomalies(&url).await?;
        let AnomaliesBody { anomalies, .. } = serde_json::from_slice(&listed)
            .context("the server lists anomalies in another form")?;
        for anomaly in &anomalies {
            writeln!(voice.words(), "{}", anomaly_lines(anomaly))?;
        }
        writeln!(voice.words(), "\nTo see the pages of the server: cargo demo --keep")?;
    }
    // The server may have ended on its own, and then says why.
    let _ = stop_server.send(());
    server.await.context("the server panicked")?
}

/// The outputs of the demo: programs get the report alone.
struct Voice<'a> {
    out: &'a mut (dyn Write + Send),
    nowhere: io::Sink,
    is_json: bool,
}

impl Voice<'_> {
    /// Returns the output for people.
    fn words(&mut self) -> &mut (dyn Write + Send) {
        if self.is_json { &mut self.nowhere } else { self.out }
    }
}

fn title(out: &mut dyn Write, text: &str) -> std::io::Result<()> {
    writeln!(out, "\n{TITLE}== {text}{TITLE:#}\n")
}

fn train_args(scratch: &Path) -> train::Args {
    let (models, data) = (scratch.join("models"), scratch.join("data"));
    train::Args::parse_from([
        "train".as_ref(),
        "--model-dir".as_ref(),
        models.as_os_str(),
        "--data-dir".as_ref(),
        data.as_os_str(),
    ])
}

fn server_args(scratch: &Path) -> server::ServeArgs {
    let args = server::Args::parse_from(["server", "--addr", "127.0.0.1:0", "--require-model"]);
    server::ServeArgs {
        model_dir: scratch.join("models"),
        data: server::DataDir { data_dir: scratch.join("data") },
        ..args.serve
    }
}

fn simulate_args(args: &Args, url: &str) -> simulate::Args {
    let count = args.count.to_string();
    let interval_s = (SECONDS_A_DAY / EVENTS_A_DAY).min(PAST_S_MAX / args.count as f64);
    // In the past, so that all of it is sent at once.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a year")]
    let past_s = (args.count as f64 * interval_s).ceil() as u64;
    let (interval, past) = (interval_s.to_string(), format!("{past_s}s"));
    let time = ["--count", &count, "--interval", &interval, "--backfill", &past];
    plant_args(args, url, &[time.as_slice(), &["--changing", "--anomaly-rate", "0.02"]].concat())
}

/// Returns a station in eight sends every four seconds; the sick one began to wear out four minutes ago,
/// and from this seed the others stay healthy for the next half hour.
fn endless_args(args: &Args, url: &str) -> simulate::Args {
    let endless = u32::MAX.to_string();
    let past = ["--backfill", "1h", "--interval", "0.5", "--count", &endless];
    let sick = ["--worn-station", "3", "--worn-after", "840", "--anomaly-rate", "0.002"];
    let others = ["--seed", "26"];
    plant_args(args, url, &[past.as_slice(), &sick, &others].concat())
}

fn plant_args(args: &Args, url: &str, further: &[&str]) -> simulate::Args {
    let url = format!("{url}/predict");
    let common = ["simulate", "--url", &url, "--stations", "8"];
    let parsed = simulate::Args::parse_from(common.iter().chain(further));
    // Lines would be too many to be read.
    let quiet = args.view == View::Auto;
    simulate::Args {
        view: args.view,
        quiet,
        json: args.json,
        report: args.report.clone(),
        ..parsed
    }
}

/// Returns the latest anomalies as the server lists them.
async fn latest_anomalies(url: &str) -> anyhow::Result<Vec<u8>> {
    let url = format!("{url}/latest_anomalies?limit={ANOMALIES_SHOWN}");
    let response = simulate::http_client()?.get(url).send().await?.error_for_status()?;
    Ok(response.bytes().await?.into())
}

/// Describes an anomaly and its reasons in two lines.
fn anomaly_lines(anomaly: &PredictionBody<'_>) -> String {
    let number = |value: Option<f64>| value.map_or(String::from("-"), |value| value.to_string());
    let features = anomaly.features.iter().flat_map(|features| features.iter());
    let values: Vec<String> =
        features.map(|(name, value)| format!("{name} {}", number(value))).collect();
    let reason = anomaly.attributions.first().map(|first| {
        let direction = first.direction.map_or("missing", |direction| direction.name());
        format!("{}, which is {direction}", first.feature)
    });
    let evidence = anomaly.evidence.map_or("", |evidence| evidence.name());
    let time = anomaly.timestamp.split('T').nth(1).and_then(|time| time.get(..8));
    format!(
        "{}  {}  score {:.3}  p {:.4}  {}\n                       because of {} ({evidence})",
        time.unwrap_or(&anomaly.timestamp),
        anomaly.station_id,
        anomaly.anomaly_score,
        anomaly.p_value,
        values.join("  "),
        reason.unwrap_or_default()
    )
}
