//! What can be asked of the program.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Measures the server from outside.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// What to measure
    #[command(subcommand)]
    pub subject: Subject,
}

/// What can be measured.
#[derive(Debug, Clone, Subcommand)]
pub enum Subject {
    /// Events a second, how long they wait, and what it takes of memory
    Serve(ServeArgs),
    /// How much those who read delay those who send, with ten thousand stations
    Readers(ReadersArgs),
    /// How long it takes until a page is to be seen, of a thousand stations and a million events
    Pages(PagesArgs),
}

/// How to measure the server.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// A minute's run that writes no file, without the comparison with Flask
    #[arg(long)]
    pub quick: bool,

    /// The file whose section on serving is written anew
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    pub output: PathBuf,
}

/// How to measure the effect of readers.
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

/// How to measure the pages; needs Chromium.
#[derive(Debug, Clone, clap::Args)]
pub struct PagesArgs {
    /// Write no file
    #[arg(long)]
    pub quick: bool,

    /// The file whose section on pages is written anew
    #[arg(long, value_name = "FILE", default_value = "BENCHMARKS.md")]
    pub output: PathBuf,

    /// Where programs are looked for
    #[arg(long, value_name = "FOLDERS", env = "PATH", hide_env_values = true)]
    pub search_path: OsString,
}
