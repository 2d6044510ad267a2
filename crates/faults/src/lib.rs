//! Breaks the server from outside, and shows that it keeps its promises.
//!
//! Each fault is a module with one function, which gives its figures when the promise was kept and
//! an error when it was not. They share a [`Stage`]: the programs, trained models, a folder to work
//! in. Every fault has been seen to fail with a server that was broken on purpose; its module says
//! how.
//!
//! It does not look into the server. It knows its socket, its signals, its
//! files, and what the system does to all three.

mod answers;
mod args;
mod chaos;
mod disk_image;
mod diskfull;
mod history;
mod kill9;
mod largest_allocation;
mod load;
mod log;
mod model;
mod nthfail;
mod open_files;
mod pages;
mod powercut;
mod race;
mod record;
mod reload;
mod sigterm;
mod slowloris;
mod stage;
mod stored;

use std::io::Write;
use std::time::Instant;

use crate::stage::Stage;

pub use args::{Args, Fault};

/// The outcome of a fault that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// The promise was kept; these are its figures.
    Kept(String),
    /// This machine cannot do it, and why.
    Skipped(String),
}

/// Does what the arguments ask for, and says whether all promises were kept.
///
/// # Errors
///
/// Fails when there is nothing to break: the programs cannot be built, or a model not trained.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<bool> {
    let faults = match args.fault {
        Fault::All { quick } => Fault::all(quick),
        ref fault => vec![fault.clone()],
    };
    writeln!(out, "seed {}", args.seed)?;
    let stage = Stage::set(args)?;
    let (mut n_passed, mut n_failed) = (0, 0);
    for fault in faults {
        write!(out, "{:<10} ", fault.name())?;
        out.flush()?;
        let begun = Instant::now();
        let verdict = cause(&fault, &stage);
        let seconds = begun.elapsed().as_secs_f64();
        match verdict {
            Ok(Verdict::Kept(figures)) => {
                n_passed += 1;
                writeln!(out, "passed   {figures} ({seconds:.1} s)")?;
            }
            Ok(Verdict::Skipped(reason)) => writeln!(out, "skipped  {reason}")?,
            Err(error) => {
                n_failed += 1;
                writeln!(out, "FAILED   {error:#} ({seconds:.1} s)")?;
            }
        }
    }
    writeln!(out, "{n_passed} passed, {n_failed} failed")?;
    Ok(n_failed == 0)
}

fn cause(fault: &Fault, stage: &Stage) -> anyhow::Result<Verdict> {
    match *fault {
        Fault::Kill9 { loops } => kill9::cause(stage, loops),
        Fault::Powercut { images } => powercut::cause(stage, images),
        Fault::Nthfail { stride } => nthfail::cause(stage, stride),
        Fault::Diskfull => diskfull::cause(stage),
        Fault::Sigterm { loops } => sigterm::cause(stage, loops),
        Fault::Reload { loops } => reload::cause(stage, loops),
        Fault::Model { mutations } => model::cause(stage, mutations),
        Fault::Race { rounds } => race::cause(stage, rounds),
        Fault::Log => log::cause(stage),
        Fault::Answers => answers::cause(stage),
        Fault::History => history::cause(stage),
        Fault::Pages => pages::cause(stage),
        Fault::Slowloris { connections } => slowloris::cause(stage, connections),
        Fault::Chaos { schedules } => chaos::cause(stage, schedules),
        Fault::All { .. } => unreachable!("it was taken apart"),
    }
}
