//! The power fails between any two writes.
//!
//! The server runs over a shim that records what it writes, syncs and answers, in order. From a
//! prefix of that record, files are made as a power cut could leave them, and opened. The same record
//! read as if the log were synced only before it is brought into the database, which is what
//! `synchronous=NORMAL` does, has to lose events: else the images would show nothing.
//!
//! Seen to fail with a store that asks for `synchronous=NORMAL`, and with a writer that answers before
//! it commits.

use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail, ensure};
use rand::RngExt as _;
use rig::compile_shim;

use crate::Verdict;
use crate::disk_image::{Disk, Unsynced};
use crate::load::Load;
use crate::record::{Operation, Record};
use crate::stage::Stage;
use crate::stored::{self, DATABASE_FILE};

const RECORD_SHIM: &str = include_str!("../shim/record.c");
/// Enough that the log is brought into the database a few times.
const N_EVENTS: u64 = 4_000;
/// Images of the weakened record: enough to lose something.
const N_WEAK_IMAGES: u64 = 100;

pub(crate) fn cause(stage: &Stage, n_images: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let shim = match compile_shim(RECORD_SHIM, "record", folder.path()) {
        Ok(shim) => shim,
        Err(error) => return Ok(Verdict::Skipped(format!("{error:#}"))),
    };
    let record = record(stage, &shim, folder.path())?;
    let n_writes =
        record.operations.iter().filter(|op| matches!(op, Operation::Write { .. })).count();
    let is_to_database = |op: &&Operation| matches!(op, Operation::Write { file, .. } if record.files[*file] == DATABASE_FILE);
    let n_database_writes = record.operations.iter().filter(is_to_database).count();
    ensure!(n_database_writes > 100, "the log was never brought into the database");
    let n_acknowledged =
        record.operations.iter().filter(|op| matches!(op, Operation::Acknowledge { .. })).count();
    ensure!(n_acknowledged > 1_000, "only {n_acknowledged} events were acknowledged");

    let tally = look(stage, &record, n_images)?;
    if tally.n_lost > 0 || tally.n_damaged > 0 {
        bail!(
            "{} of {n_images} images lost acknowledged events, {} were damaged; the first: {}",
            tally.n_lost,
            tally.n_damaged,
            tally.first
        );
    }
    let weak = look(stage, &weakened(&record), N_WEAK_IMAGES)?;
    ensure!(weak.n_lost > 0, "without syncs nothing was lost either, so the images show nothing");
    Ok(Verdict::Kept(format!(
        "{n_images} images of {n_writes} writes and {n_acknowledged} acknowledged events: none lost, none damaged; with \
         the syncs of synchronous=NORMAL, {} of {N_WEAK_IMAGES} lost some",
        weak.n_lost
    )))
}

/// Runs a server under load, and gives what it did.
fn record(stage: &Stage, shim: &Path, folder: &Path) -> anyhow::Result<Record> {
    let data = folder.join("data");
    std::fs::create_dir(&data).context("cannot make a folder")?;
    let to = folder.join("record");
    let mut server = stage
        .launch(&data)
        .with_env("LD_PRELOAD", &shim.display().to_string())
        .with_env("RECORD_DIR", &data.display().to_string())
        .with_env("RECORD_TO", &to.display().to_string())
        .start()?;
    let load = Load::default();
    let addr = server.addr();
    thread::scope(|scope| {
        let clients = scope.spawn(|| load.run(addr, 4));
        while load.n_sent() < N_EVENTS && !clients.is_finished() {
            thread::yield_now();
        }
        load.stop();
        clients.join().expect("clients do not panic");
    });
    server.kill()?;
    Record::read(&std::fs::read(&to).context("cannot read the record")?)
}

/// Returns the record as it would be with `synchronous=NORMAL`: a sync of the log counts only when the next
/// write goes to the database.
fn weakened(record: &Record) -> Record {
    let is_log = |file: usize| record.files[file].ends_with("-wal");
    let is_before_checkpoint = |index: usize| {
        let next = record.operations[index + 1..].iter().find_map(|op| match op {
            Operation::Write { file, .. } if record.files[*file].ends_with("-mark") => None,
            Operation::Write { file, .. } => Some(*file),
            _ => None,
        });
        next.is_some_and(|file| record.files[file] == DATABASE_FILE)
    };
    let is_kept = |(index, operation): &(usize, &Operation)| match operation {
        Operation::Sync { file } if is_log(*file) => is_before_checkpoint(*index),
        _ => true,
    };
    let operations = record.operations.iter().enumerate().filter(is_kept);
    Record {
        files: record.files.clone(),
        operations: operations.map(|(_, operation)| operation.clone()).collect(),
    }
}

#[derive(Debug, Default)]
struct Tally {
    n_lost: u64,
    n_damaged: u64,
    /// The first failure.
    first: String,
}

/// Makes images and opens each.
fn look(stage: &Stage, record: &Record, n_images: u64) -> anyhow::Result<Tally> {
    let folder = stage.folder()?;
    let mut rng = stage.rng();
    // Cuts come after the first event, in the order of the record.
    let is_acknowledgement = |op: &Operation| matches!(op, Operation::Acknowledge { .. });
    let begin = record.operations.iter().position(is_acknowledgement).unwrap_or_default();
    let mut cuts: Vec<usize> =
        (0..n_images).map(|_| rng.random_range(begin..record.operations.len())).collect();
    cuts.sort_unstable();

    let mut disk = Disk::new(record);
    let mut acknowledged = BTreeSet::new();
    let mut n_applied = 0;
    let mut tally = Tally::default();
    for (number, cut) in cuts.into_iter().enumerate() {
        while n_applied <= cut {
            disk.apply(n_applied);
            if let Operation::Acknowledge { sequence } = record.operations[n_applied] {
                acknowledged.insert(sequence);
            }
            n_applied += 1;
        }
        let unsynced = Unsynced::ALL[number % Unsynced::ALL.len()];
        let image = folder.path().join(format!("{number}"));
        std::fs::create_dir(&image).context("cannot make a folder")?;
        for (name, content) in disk.after_power_cut(unsynced, &mut rng) {
            std::fs::write(image.join(name), content).context("cannot write an image")?;
        }
        let told = |what: String| {
            format!("cut after operation {cut}, what was not synced {unsynced:?}: {what}")
        };
        match stored::sequences(&image) {
            Ok(stored) => {
                let n_lost = acknowledged.difference(&stored).count();
                if n_lost > 0 {
                    tally.n_lost += 1;
                    tally.tell(told(format!("{n_lost} of {} are lost", acknowledged.len())));
                }
            }
            Err(error) => {
                tally.n_damaged += 1;
                tally.tell(told(format!("{error:#}")));
            }
        }
        std::fs::remove_dir_all(&image).context("cannot remove an image")?;
    }
    Ok(tally)
}

impl Tally {
    fn tell(&mut self, what: String) {
        if self.first.is_empty() {
            self.first = what;
        }
    }
}
