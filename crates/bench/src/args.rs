//! The command-line arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the server from outside.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// The subject to measure
    #[command(subcommand)]
    pub subject: Subject,
}

/// The subjects that can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Subject {
    /// Events a second, how long they wait, and what it takes of memory
    Serve(ServeArgs),
    /// The delay that readers cause to senders, with ten thousand stations
    Readers(ReadersArgs),
    /// The time until a page is visible, with a thousand stations and a million events
    Pages(PagesArgs),
}

/// Options of the measurement of the server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// A minute's run that writes no file, without the comparison with Flask
    #[arg(long)]
    pub quick: bool,

    /// The file whose section on serving is replaced
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    pub output: PathBuf,
}

/// Options of the measurement of readers.
#[derive(Debug, Clone, clap::Args)]
pub struct ReadersArgs {
    /// Write no file, and take fewer rounds
    #[arg(long)]
    pub quick: bool,

    /// The file whose section on readers is replaced
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    pub output: PathBuf,

    /// A server to measure instead of the one in this workspace
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
}

/// Options of the measurement of pages, which needs Chromium.
#[derive(Debug, Clone, clap::Args)]
pub struct PagesArgs {
    /// Write no file
    #[arg(long)]
    pub quick: bool,

    /// The file whose section on pages is replaced
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    pub output: PathBuf,

    /// The folder of the programs
    #[arg(long, value_name = "FOLDERS", env = "PATH", hide_env_values = true)]
    pub search_path: OsString,
}
