//! The model that events are judged by, and how another takes its place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use detector::{ARTEFACT_FILE, AlarmRule, Detector, Engine, LoadError, Params};
use sensor::FeatureSchema;

use crate::clock::Clock;

/// A detector, and where it comes from.
#[derive(Debug, Clone)]
pub struct Model {
    /// What judges events.
    pub detector: Detector,
    /// Where it comes from.
    pub origin: Origin,
    /// When it was taken into use, in microseconds since 1970 (UTC).
    pub loaded_us: i64,
}

/// Where a model comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Somebody trained it.
    File,
    /// Nobody did, so it was trained on the simulated plant at the start.
    Starter,
}

impl Model {
    /// Loads the model of a folder, or trains a starter model where there is none.
    ///
    /// # Errors
    ///
    /// Fails when the files are damaged or do not belong together, and when there is no model and
    /// one is required.
    pub fn load(dir: &Path, is_required: bool, now_us: i64) -> anyhow::Result<Self> {
        Engine::selected().context(Engine::VARIABLE)?;
        let loaded = Self::from_files(dir, now_us).with_context(|| {
            format!(
                "the model in `{}` cannot be used; train anew with `cargo run -p train`, put both files of one \
                 training back, or choose another folder with --model-dir",
                dir.display()
            )
        })?;
        if let Some(model) = loaded {
            tracing::info!(
                model.version = model.version(),
                engine = %model.detector.engine(),
                "loaded the model"
            );
            return Ok(model);
        }
        if is_required {
            bail!(
                "there is no `{}`, and --require-model refuses to start without it; train one with \
                 `cargo run -p train`",
                dir.join(ARTEFACT_FILE).display()
            );
        }
        tracing::warn!(
            "there is no model in `{}`: serving a starter model of the simulated plant, which knows nothing of your \
             machines; train one with `cargo run -p train`",
            dir.display()
        );
        let params = Params::default();
        let events = plant::normal_events(plant::TRAINING_EVENTS, params.forest.seed);
        let detector = Detector::fit(&FeatureSchema::default(), &events, &params, now_us)
            .context("cannot learn from the simulated plant")?;
        Ok(Self { detector, origin: Origin::Starter, loaded_us: now_us })
    }

    fn from_files(dir: &Path, now_us: i64) -> Result<Option<Self>, LoadError> {
        let loaded = Detector::load(dir)?;
        Ok(loaded.map(|detector| Self { detector, origin: Origin::File, loaded_us: now_us }))
    }

    /// Share of events like those of the training that are called anomalous.
    pub(crate) fn alarm_rate(&self) -> f64 {
        match self.detector.alarm_rule() {
            AlarmRule::FalseAlarmRate(rate) | AlarmRule::Contamination(rate) => rate,
        }
    }

    /// The name of the model.
    pub fn version(&self) -> &str {
        &self.detector.meta().model_version
    }
}

impl Origin {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Starter => "starter",
        }
    }

    /// What it is, for people.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::File => "trained",
            Self::Starter => "a starter that knows only the simulated plant",
        }
    }
}

/// The model in use, and the folder that another one comes from.
#[derive(Debug)]
pub(crate) struct ModelSlot {
    current: ArcSwap<Model>,
    dir: PathBuf,
    clock: Clock,
}

/// Why the model in use goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReloadError {
    /// There is nothing to load.
    #[error("there is no `{ARTEFACT_FILE}` in `{}`", dir.display())]
    NoModel { dir: PathBuf },
    /// What there is cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl ModelSlot {
    pub(crate) fn new(model: Model, dir: PathBuf, clock: Clock) -> Self {
        Self { current: ArcSwap::from_pointee(model), dir, clock }
    }

    /// The model in use. Whoever holds it goes on with it when another takes its place.
    pub(crate) fn current(&self) -> Arc<Model> {
        self.current.load_full()
    }

    /// Loads the folder's model and lets it take the place of the one in use, if it is sound.
    ///
    /// This reads files and lays out trees: not for async code.
    pub(crate) fn reload(&self) -> Result<(), ReloadError> {
        let model = Model::from_files(&self.dir, (self.clock)())?
            .ok_or_else(|| ReloadError::NoModel { dir: self.dir.clone() })?;
        tracing::info!(
            model.version = model.version(),
            previous.version = self.current().version(),
            "the model of the folder is in use"
        );
        self.current.store(Arc::new(model));
        Ok(())
    }
}
