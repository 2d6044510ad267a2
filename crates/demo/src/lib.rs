//! One command for a newcomer: trains, serves, simulates, and shows what was found.
//!
//! [`run`] does with the libraries of the three programs what a person would do with the programs,
//! in a folder that is gone afterwards.

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::Path;

use anyhow::Context as _;
use clap::Parser;
use serde::Deserialize;
use server::Server;
use tokio::sync::oneshot;

/// Trains a model, serves it, sends events of a simulated plant with faults, and shows what was
/// found.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// Leave the server running afterwards, until Ctrl-C
    #[arg(long)]
    pub keep: bool,

    /// How many events to send
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..))]
    pub count: u64,
}

/// How many of the latest anomalies are shown.
const ANOMALIES_SHOWN: usize = 8;

/// Shows the system at work, and ends by itself or, with `--keep`, when `stop` is done.
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
    writeln!(out, "== train: learns what is normal from a simulated plant\n")?;
    train::run(&train_args(scratch.path()), clock(), out)?;

    let server = Server::bind(&server_args(scratch.path()), clock).await?;
    let url = format!("http://{}", server.addr()?);
    let (stop_server, stopped) = oneshot::channel();
    let server = tokio::spawn(server.run(async { drop(stopped.await) }));
    writeln!(out, "\n== server: listening on {url}\n")?;

    writeln!(
        out,
        "== simulate: {} events of eight stations, some of them under a fault\n",
        args.count
    )?;
    tokio::pin!(stop);
    let report = simulate::run(&simulate_args(&url, args.count), clock, out, &mut stop).await?;

    writeln!(out, "\n== latest anomalies, and what pushed their score most\n")?;
    for anomaly in latest_anomalies(&url).await? {
        writeln!(out, "{}", anomaly.line())?;
    }

    if args.keep && !report.interrupted {
        writeln!(out, "\n== the server goes on: {url}/latest_anomalies (Ctrl-C stops it)")?;
        stop.await;
    }
    // The server may have ended by itself, and then says why.
    let _ = stop_server.send(());
    server.await.context("the server panicked")?
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
        data_dir: scratch.join("data"),
        ..args.serve
    }
}

fn simulate_args(url: &str, count: u64) -> simulate::Args {
    let count = count.to_string();
    let url = format!("{url}/predict");
    simulate::Args::parse_from([
        "simulate",
        "--url",
        &url,
        "--count",
        &count,
        "--stations",
        "8",
        "--interval",
        "0",
        "--quiet",
    ])
}

/// What is of interest in `GET /latest_anomalies`.
#[derive(Debug, Deserialize)]
struct Anomalies {
    anomalies: Vec<Listed>,
}

#[derive(Debug, Deserialize)]
struct Listed {
    station_id: String,
    features: BTreeMap<String, Option<f64>>,
    anomaly_score: f64,
    p_value: f64,
    attributions: Vec<Attribution>,
}

#[derive(Debug, Deserialize)]
struct Attribution {
    feature: String,
    contribution: f64,
}

async fn latest_anomalies(url: &str) -> anyhow::Result<Vec<Listed>> {
    let request =
        simulate::http_client()?.get(format!("{url}/latest_anomalies?limit={ANOMALIES_SHOWN}"));
    let bytes = request.send().await?.error_for_status()?.bytes().await?;
    let body: Anomalies =
        serde_json::from_slice(&bytes).context("the server lists anomalies in another form")?;
    Ok(body.anomalies)
}

impl Listed {
    fn line(&self) -> String {
        let number =
            |value: Option<f64>| value.map_or(String::from("-"), |value| value.to_string());
        let values: Vec<String> = self
            .features
            .iter()
            .map(|(name, value)| format!("{name} {}", number(*value)))
            .collect();
        let reasons: Vec<String> = self
            .attributions
            .iter()
            .filter(|attribution| attribution.contribution > 0.0)
            .map(|attribution| {
                format!("{} ({:+.2})", attribution.feature, attribution.contribution)
            })
            .collect();
        format!(
            "{}  score {:.3}  p {:.4}  {}\n             because of {}",
            self.station_id,
            self.anomaly_score,
            self.p_value,
            values.join("  "),
            reasons.join(", ")
        )
    }
}
