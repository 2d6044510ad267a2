//! The base of all faults: programs, models, and folders to break things in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use rig::{Launch, Programs};
use tempfile::TempDir;

use crate::args::Args;

pub(crate) struct Stage {
    programs: Programs,
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
            programs,
            scratch,
            seed: args.seed,
        };
        stage.programs.train(&stage.models(), 42)?;
        stage.programs.train(&stage.other_models(), 43)?;
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

    /// Trains a model of many features, and returns its folder.
    pub(crate) fn wide_models(&self, n_features: usize) -> anyhow::Result<PathBuf> {
        let dir = self.scratch.path().join(format!("models-{n_features}"));
        let names = (0..n_features).map(|index| format!("sensor_{index:04}_mean_temperature"));
        let mut csv = names.collect::<Vec<_>>().join(",") + "\n";
        let mut rng = self.rng();
        for _ in 0..300 {
            let values = (0..n_features).map(|_| format!("{:.3}", rng.random_range(0.0..1.0)));
            csv.push_str(&(values.collect::<Vec<_>>().join(",") + "\n"));
        }
        let path = self.scratch.path().join("wide.csv");
        std::fs::write(&path, csv).context("cannot write a CSV")?;
        self.programs.train_on(&path, &dir)?;
        Ok(dir)
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

    /// Returns the seed of all draws.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}
