//! A model file is not what was written.
//!
//! Half of the files have a bit, a number or a length changed, or are cut or continued; the other half
//! are forged: their checksums are right, so that the decoder has to look at everything itself.
//!
//! Seen to fail without the checksum.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use detector::{ARTEFACT_FILE, Detector, LoadError, META_FILE};
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

use crate::Verdict;
use crate::largest_allocation;
use crate::stage::Stage;

/// The offsets of the length and the checksum of the payload in the envelope.
const LEN_AT: usize = 12;
const SHA256_AT: usize = 20;
const PAYLOAD_AT: usize = 52;
/// Memory that a loader needs besides the file: buffers, the metadata, the layouts of small forests.
const ALLOWANCE: usize = 1 << 20;

pub(crate) fn cause(stage: &Stage, n_mutations: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let dir = folder.path();
    let original = fs::read(stage.models().join(ARTEFACT_FILE)).context("cannot read the model")?;
    let meta =
        fs::read_to_string(stage.models().join(META_FILE)).context("cannot read the metadata")?;
    let sha256 = hex(&original);
    ensure!(meta.contains(&sha256), "the metadata do not name the checksum");
    let mut rng = stage.rng();
    let (mut n_refused, mut n_equal, mut largest) = (0_u64, 0_u64, 0);
    for number in 0..n_mutations {
        let mut bytes = mutate(&original, &mut rng);
        let is_forged = number % 2 == 1;
        let meta = if is_forged {
            forge(&mut bytes);
            let forged = hex(&bytes);
            let short = |digest: &str| digest.chars().take(12).collect::<String>();
            meta.replace(&sha256, &forged).replace(&short(&sha256), &short(&forged))
        } else {
            meta.clone()
        };
        write(dir, &bytes, &meta)?;
        let limit = 2 * bytes.len().max(original.len()) + ALLOWANCE;
        let (loaded, asked_for) =
            largest_allocation::during(|| catch_unwind(AssertUnwindSafe(|| load(dir))));
        largest = largest.max(asked_for);
        ensure!(asked_for <= limit, "file {number}: {asked_for} bytes were asked for at once");
        match loaded {
            Err(_) => bail!("file {number}: the loader panicked"),
            Ok(Err(_)) => n_refused += 1,
            Ok(Ok(None)) => bail!("file {number}: it was overlooked"),
            Ok(Ok(Some(detector))) => {
                ensure!(
                    *detector.encode() == *bytes,
                    "file {number}: what was loaded is not what is in it"
                );
                ensure!(is_forged || bytes == original, "file {number}: a change was not noticed");
                n_equal += 1;
            }
        }
    }
    ensure!(n_refused > n_mutations / 2, "only {n_refused} were refused");
    Ok(Verdict::Kept(format!(
        "{n_mutations} files: {n_refused} refused, {n_equal} loaded as they stand; the largest piece of memory was {:.1} \
         times a file",
        largest as f64 / original.len() as f64
    )))
}

/// Loads a model and asks it once, which goes through all of its trees.
fn load(dir: &Path) -> Result<Option<Detector>, LoadError> {
    let loaded = Detector::load(dir)?;
    if let Some(detector) = &loaded {
        detector.judge_row(&vec![50.0; detector.schema().len()]);
    }
    Ok(loaded)
}

fn write(dir: &Path, bytes: &[u8], meta: &str) -> anyhow::Result<()> {
    fs::write(dir.join(ARTEFACT_FILE), bytes)
        .and_then(|()| fs::write(dir.join(META_FILE), meta))
        .context("cannot write a model")
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).expect("it has four bits");
    Sha256::digest(bytes).iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// Returns a file with one thing changed.
fn mutate(original: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = original.to_vec();
    // The beginning says most about the rest.
    let end = if rng.random_bool(0.5) { bytes.len().min(600) } else { bytes.len() };
    let place = rng.random_range(0..end);
    match rng.random_range(0..6) {
        0 => bytes[place] ^= 1 << rng.random_range(0..8),
        1 => bytes[place] = rng.random(),
        2 => {
            let number =
                [0, 1, u64::MAX, u64::MAX / 2, 1 << 32, rng.random()][rng.random_range(0..6)];
            let place = place.min(bytes.len() - 8);
            bytes[place..place + 8].copy_from_slice(&number.to_le_bytes());
        }
        3 => bytes.truncate(place),
        4 => bytes.extend(std::iter::repeat_n(rng.random::<u8>(), rng.random_range(1..100))),
        _ => {
            let len = rng.random_range(1..200).min(bytes.len() - place);
            let from = rng.random_range(0..=bytes.len() - len);
            bytes.copy_within(from..from + len, place);
        }
    }
    bytes
}

/// Puts the length and the checksum right, as far as there is a payload.
fn forge(bytes: &mut [u8]) {
    if bytes.len() < PAYLOAD_AT {
        return;
    }
    let len = (bytes.len() - PAYLOAD_AT) as u64;
    let digest = Sha256::digest(&bytes[PAYLOAD_AT..]);
    bytes[LEN_AT..SHA256_AT].copy_from_slice(&len.to_le_bytes());
    bytes[SHA256_AT..PAYLOAD_AT].copy_from_slice(&digest);
}
