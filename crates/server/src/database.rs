//! `server verify`, `server backup`, `server restore` and `server recover`: what an operator does with
//! the database besides serving it.

use std::io::Write;

use anyhow::{Context as _, bail};
use wording::counted;

use crate::args::{BackupArgs, DATABASE_FILE, RecoverArgs, RestoreArgs, VerifyArgs};

/// Checks every prediction of a database, which a server may be using, and writes what it found.
///
/// # Errors
///
/// Fails when something is wrong, or the database cannot be read.
pub fn verify(args: &VerifyArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let path = args.backup.clone().unwrap_or_else(|| args.data.database());
    let found = store_sqlite::verify(&path, |n_predictions| {
        if n_predictions.is_multiple_of(1_000_000) && n_predictions > 0 {
            tracing::info!(n_predictions, "checking");
        }
    })
    .with_context(|| match &args.backup {
        Some(backup) => format!("cannot verify `{}`", backup.display()),
        None => String::from("cannot verify; name the folder with --data-dir"),
    })?;
    writeln!(out, "{} in `{}`", counted(found.n_predictions, "prediction"), path.display())?;
    if found.n_without_hash > 0 {
        writeln!(
            out,
            "{} of them are older than row hashes, and were only read",
            found.n_without_hash
        )?;
    }
    for problem in &found.problems {
        writeln!(out, "problem: {problem}")?;
    }
    let n_untold = found.n_problems - found.problems.len() as u64;
    if n_untold > 0 {
        writeln!(out, "and {n_untold} more")?;
    }
    if found.n_problems > 0 {
        let remedy = match &args.backup {
            Some(_) => "use another backup",
            None => "restore a backup with `server restore FILE`",
        };
        bail!(
            "{} found; {remedy}, or save what can be read with `server recover --from {}`",
            counted(found.n_problems, "problem"),
            path.display()
        );
    }
    writeln!(out, "all of them are as they were written")?;
    Ok(())
}

/// Copies the database into a new file while a server may be using it.
///
/// # Errors
///
/// Fails when the file exists, or the database cannot be read or copied.
pub fn back_up(args: &BackupArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let database = args.data.database();
    let n_predictions = store_sqlite::back_up(&database, &args.backup, progress("copying"))
        .with_context(|| format!("cannot back up `{}`", database.display()))?;
    writeln!(
        out,
        "backed up {} from `{}` to `{}`",
        counted(n_predictions, "prediction"),
        database.display(),
        args.backup.display()
    )?;
    Ok(())
}

/// Replaces the database with a backup; the old one is kept beside it.
///
/// # Errors
///
/// Fails when a server uses the database, or the backup is damaged or cannot be copied.
pub fn restore(args: &RestoreArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let database = args.data.database();
    let restored = store_sqlite::restore(&args.backup, &database, progress("copying"))
        .with_context(|| format!("cannot restore `{}`", args.backup.display()))?;
    writeln!(
        out,
        "restored {} from `{}` to `{}`",
        counted(restored.n_predictions, "prediction"),
        args.backup.display(),
        database.display()
    )?;
    if let Some(previous) = restored.previous {
        writeln!(
            out,
            "the database that was there is now `{}`; delete it when you no longer need it",
            previous.display()
        )?;
    }
    Ok(())
}

/// Writes what can be read of a damaged database to a new one.
///
/// # Errors
///
/// Fails when nothing can be read, or the new database exists or cannot be written.
pub fn recover(args: &RecoverArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let new = args.data_dir.join(DATABASE_FILE);
    let recovered = store_sqlite::recover(&args.from, &new, progress("reading"))
        .with_context(|| format!("cannot recover `{}`", args.from.display()))?;
    writeln!(
        out,
        "recovered {} from `{}` to `{}`",
        counted(recovered.n_predictions, "prediction"),
        args.from.display(),
        new.display()
    )?;
    match recovered.n_counted {
        Some(n_counted) if n_counted > recovered.n_predictions => {
            let n_lost = n_counted - recovered.n_predictions;
            writeln!(out, "lost: {}", counted(n_lost, "prediction"))?;
        }
        Some(_) => writeln!(out, "lost: none")?,
        None => writeln!(out, "lost: unknown, since the counts of the database cannot be read")?,
    }
    if recovered.n_altered > 0 {
        writeln!(
            out,
            "left out: {} that are not as they were written",
            counted(recovered.n_altered, "row")
        )?;
    }
    if recovered.n_unproven > 0 {
        writeln!(
            out,
            "{} of them are older than row hashes, and may be altered",
            recovered.n_unproven
        )?;
    }
    Ok(())
}

/// Logs how far work on the pages of a database has come, at most once for each tenth.
fn progress<N: Into<u64>>(what: &'static str) -> impl FnMut(N, N) {
    let mut logged = 0;
    move |n_done, n_pages| {
        let percent = n_done.into() * 100 / n_pages.into().max(1);
        if percent / 10 > logged {
            logged = percent / 10;
            tracing::info!(percent, what);
        }
    }
}
