//! The base of all faults: programs, models, and folders to break things in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rig::{Launch, Programs};
use tempfile::TempDir;

use crate::args::Args;

pub(crate) struct Stage {
    server: PathBuf,
    scratch: TempDir,
    seed: u64,
}

impl Stage {
    pub(crate) fn set(args: &Args) -> anyhow::Result<Self> {
        let programs = Programs::build()?;
        let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
        let stage = Self {
            server: args.server.clone().unwrap_or_else(|| programs.path("server")),
            scratch,
            seed: args.seed,
        };
        programs.train(&stage.models(), 42)?;
        programs.train(&stage.other_models(), 43)?;
        Ok(stage)
    }

    /// Returns a folder with a trained model.
    pub(crate) fn models(&self) -> PathBuf {
        self.scratch.path().join("models")
    }

    /// Returns a folder with another one.
    pub(crate) fn other_models(&self) -> PathBuf {
        self.scratch.path().join("other-models")
    }

    /// Returns a new folder for a fault.
    pub(crate) fn folder(&self) -> anyhow::Result<TempDir> {
        TempDir::new_in(self.scratch.path()).context("cannot make a folder to work in")
    }

    /// Returns a server with the trained model and a database in a folder.
    pub(crate) fn launch(&self, data_dir: &Path) -> Launch {
        Launch::new(self.server.clone(), &self.models(), data_dir)
    }

    /// Draws of a fault, the same for the same seed.
    pub(crate) fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }
}
