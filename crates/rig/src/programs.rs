//! The programs, and the small libraries that are put between them and the system.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

/// The programs of this workspace, built for release.
#[derive(Debug, Clone)]
pub struct Programs {
    dir: PathBuf,
}

impl Programs {
    /// Builds the programs, which takes a while the first time, and finds them beside the one that
    /// runs.
    ///
    /// # Errors
    ///
    /// Fails when they cannot be built.
    pub fn build() -> anyhow::Result<Self> {
        let own = std::env::current_exe().context("cannot tell where this program is")?;
        let dir = own.parent().context("this program is in no folder")?.to_owned();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let packages = ["server", "train", "simulate"].into_iter().flat_map(|name| ["-p", name]);
        let status = Command::new("cargo")
            .args(["build", "--release", "--quiet"])
            .args(packages)
            .current_dir(root)
            .status()
            .context("cannot run cargo")?;
        if !status.success() {
            bail!("the programs could not be built");
        }
        Ok(Self { dir })
    }

    /// Returns the path of a program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name).with_extension(std::env::consts::EXE_EXTENSION)
    }

    /// Trains a model on the simulated plant into a folder.
    ///
    /// # Errors
    ///
    /// Fails when the training does.
    pub fn train(&self, dir: &Path, seed: u64) -> anyhow::Result<()> {
        self.run_train(dir, &["--seed", &seed.to_string()])
    }

    /// Trains a model on a CSV into a folder.
    ///
    /// # Errors
    ///
    /// Fails when the training does.
    pub fn train_on(&self, csv: &Path, dir: &Path) -> anyhow::Result<()> {
        self.run_train(dir, &["--no-report", "--input", &csv.display().to_string()])
    }

    fn run_train(&self, dir: &Path, args: &[&str]) -> anyhow::Result<()> {
        let trained = Command::new(self.path("train"))
            .args(args)
            .arg("--model-dir")
            .arg(dir)
            .arg("--data-dir")
            .arg(dir)
            .output()
            .context("cannot run train")?;
        if !trained.status.success() {
            bail!("train failed: {}", String::from_utf8_lossy(&trained.stderr));
        }
        Ok(())
    }
}

/// A library between a program and its disk, which makes syncs slow and calls fail; the source says
/// which variables it heeds.
pub const DISK_SHIM: &str = include_str!("../shim/disk.c");

/// Compiles C into a library that a program can be made to load before others, into a folder.
///
/// # Errors
///
/// Fails when there is no C compiler, or it does not take the source.
pub fn compile_shim(source: &str, name: &str, dir: &Path) -> anyhow::Result<PathBuf> {
    let (from, to) = (dir.join(name).with_extension("c"), dir.join(name).with_extension("so"));
    std::fs::write(&from, source).with_context(|| format!("cannot write `{}`", from.display()))?;
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-o"])
        .arg(&to)
        .arg(&from)
        .args(["-ldl", "-lpthread"])
        .output()
        .context("cannot run cc")?;
    if !compiled.status.success() {
        bail!("cc failed: {}", String::from_utf8_lossy(&compiled.stderr));
    }
    Ok(to)
}
