//! The command-line arguments.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Breaks the server from outside, and shows that it keeps its promises.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// The fault to inject
    #[command(subcommand)]
    pub fault: Fault,

    /// Seed of everything that is drawn; the same draws break at the same places
    #[arg(long, value_name = "N", default_value_t = 42, global = true)]
    pub seed: u64,

    /// Another server program than the one of this workspace, such as one that is broken on purpose
    #[arg(long, value_name = "PATH", global = true)]
    pub server: Option<PathBuf>,
}

/// A way to break the server.
#[derive(Debug, Clone, Subcommand)]
pub enum Fault {
    /// Kills it under load, again and again: what was acknowledged is stored, once
    Kill9 {
        /// The number of repetitions
        #[arg(long, value_name = "N", default_value_t = 200)]
        loops: u64,
    },
    /// Cuts the power between any two writes: what was acknowledged is on the disk
    Powercut {
        /// The number of disk states to check
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        images: u64,
    },
    /// Lets every sync, write and open fail once: nothing is acknowledged without a row
    Nthfail {
        /// Look at every Nth call only
        #[arg(long, value_name = "N", default_value_t = 1)]
        stride: u64,
    },
    /// Fills its disk: events are refused, and taken again when there is room
    Diskfull,
    /// Asks for large answers, on many connections that do not read them: memory stays bounded
    Answers,
    /// Sends the past of stations at once, an hour from event to event: memory stays bounded
    History,
    /// Asks for pages of a large floor on many connections: memory stays bounded, and events are stored
    Pages,
    /// Takes its log away, fills it or leaves it unread: events are stored all the same
    Log,
    /// Stops it under load: it answers what it began, loses nothing, and keeps others away
    Sigterm {
        /// The number of repetitions
        #[arg(long, value_name = "N", default_value_t = 50)]
        loops: u64,
    },
    /// Replaces its model under load: every answer names a model that there was
    Reload {
        /// The number of repetitions
        #[arg(long, value_name = "N", default_value_t = 100)]
        loops: u64,
    },
    /// Damages a model file: it is refused, or is what it was
    Model {
        /// The number of damaged files to try
        #[arg(long, value_name = "N", default_value_t = 10_000)]
        mutations: u64,
    },
    /// Sends one event from 64 clients at once: it is stored once
    Race {
        /// The number of events
        #[arg(long, value_name = "N", default_value_t = 200)]
        rounds: u64,
    },
    /// Sends a byte a second on 2,000 connections: they are closed, and others do not suffer
    Slowloris {
        /// The number of connections
        #[arg(long, value_name = "N", default_value_t = 2_000)]
        connections: usize,
    },
    /// Combines all of these at random: nothing acknowledged is lost or altered, and the server answers
    Chaos {
        /// The number of random schedules; each takes some seconds, and has the seed after the one before
        #[arg(long, value_name = "N", default_value_t = 200)]
        schedules: u64,
    },
    /// All of them, one after another
    All {
        /// Two minutes' worth
        #[arg(long)]
        quick: bool,
    },
}

impl Fault {
    /// Returns all of them with their defaults, or a short version.
    pub(crate) fn all(quick: bool) -> Vec<Self> {
        let few = |many, few| if quick { few } else { many };
        vec![
            Self::Kill9 { loops: few(200, 10) },
            Self::Powercut { images: few(10_000, 300) },
            Self::Nthfail { stride: few(1, 7) },
            Self::Diskfull,
            Self::Log,
            Self::Answers,
            Self::History,
            Self::Pages,
            Self::Sigterm { loops: few(50, 5) },
            Self::Reload { loops: few(100, 20) },
            Self::Model { mutations: few(10_000, 1_000) },
            Self::Race { rounds: few(200, 20) },
            Self::Slowloris { connections: 2_000 },
            Self::Chaos { schedules: few(200, 12) },
        ]
    }

    /// Returns the word for it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kill9 { .. } => "kill9",
            Self::Powercut { .. } => "powercut",
            Self::Nthfail { .. } => "nthfail",
            Self::Diskfull => "diskfull",
            Self::Log => "log",
            Self::Answers => "answers",
            Self::History => "history",
            Self::Pages => "pages",
            Self::Sigterm { .. } => "sigterm",
            Self::Reload { .. } => "reload",
            Self::Model { .. } => "model",
            Self::Race { .. } => "race",
            Self::Slowloris { .. } => "slowloris",
            Self::Chaos { .. } => "chaos",
            Self::All { .. } => "all",
        }
    }
}
