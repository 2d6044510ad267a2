//! What can be asked of the program.

#![expect(
    clippy::doc_markdown,
    reason = "doc comments are shown as help, where backticks are noise"
)]

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use clap::builder::FalseyValueParser;
use store::StoreParams;
use tracing_subscriber::filter::LevelFilter;

/// Answers POST /predict, GET /health and GET /latest_anomalies, and keeps every prediction.
#[derive(Debug, Clone, Parser)]
#[command(version, allow_negative_numbers = true)]
pub struct Args {
    /// Address and port to listen on; nobody is asked who they are, so leave it on loopback
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:5000", env = "SERVER_ADDR")]
    pub addr: SocketAddr,

    /// Where isoforest.bin and model_meta.json are
    #[arg(long, value_name = "DIR", default_value = "models", env = "MODEL_DIR")]
    pub model_dir: PathBuf,

    /// Where events.db is or will be
    #[arg(long, value_name = "DIR", default_value = "data", env = "DATA_DIR")]
    pub data_dir: PathBuf,

    /// Refuse to start without a trained model, instead of training a starter model on the simulated plant
    #[arg(long, env = "SERVER_REQUIRE_MODEL", value_parser = FalseyValueParser::new())]
    pub require_model: bool,

    /// How many predictions may wait for the disk; more are refused with 503
    #[arg(long, value_name = "N", default_value_t = StoreParams::default().queue_len_max, env = "SERVER_QUEUE_LEN_MAX",
          value_parser = positive)]
    pub queue_len_max: usize,

    /// How many connections may be open; more wait to be accepted
    #[arg(long, value_name = "N", default_value_t = 1_024, env = "SERVER_CONNECTIONS_MAX", value_parser = positive)]
    pub connections_max: usize,

    /// What to log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "SERVER_LOG")]
    pub log: LevelFilter,
}

/// A number of things that there must be at least one of, and not absurdly many.
fn positive(text: &str) -> Result<usize, String> {
    const MOST: usize = 1_000_000;
    match text.parse() {
        Ok(number) if (1..=MOST).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from 1 to {MOST}")),
    }
}
