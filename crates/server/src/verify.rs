//! `server verify`: looks at every stored prediction, and tells what is not as it was written.

use std::io::Write;

use anyhow::{Context as _, bail};

use crate::args::{DATABASE_FILE, VerifyArgs};

/// Looks at the database of a folder, which a server may be using, and writes what it found.
///
/// # Errors
///
/// Fails when something is wrong, or the database cannot be read.
pub fn verify(args: &VerifyArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = args.data_dir.join(DATABASE_FILE);
    let found = store_sqlite::verify(&path, |n_predictions| {
        if n_predictions.is_multiple_of(1_000_000) && n_predictions > 0 {
            tracing::info!(n_predictions, "looking");
        }
    })
    .context("cannot verify; name the folder with --data-dir")?;
    writeln!(out, "{} predictions in `{}`", found.n_predictions, path.display())?;
    if found.n_without_hash > 0 {
        writeln!(
            out,
            "{} of them are older than row hashes, and were only read",
            found.n_without_hash
        )?;
    }
    for fault in &found.faults {
        writeln!(out, "fault: {fault}")?;
    }
    let n_untold = found.n_faults - found.faults.len() as u64;
    if n_untold > 0 {
        writeln!(out, "and {n_untold} more")?;
    }
    if found.n_faults > 0 {
        bail!(
            "faults: {}; put a back-up in place of the database, or save what can be read with `sqlite3 {} .recover`",
            found.n_faults,
            path.display()
        );
    }
    writeln!(out, "all of them are as they were written")?;
    Ok(())
}
