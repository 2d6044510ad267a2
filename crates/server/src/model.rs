//! The model that events are judged by, and how another takes its place.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use detector::{ARTEFACT_FILE, AlarmRule, Detector, Engine, EngineError, LoadError, Params};
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

/// Where a model is loaded from, and what it scores with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelFiles {
    /// The folder of `isoforest.bin` and `model_meta.json`.
    pub dir: PathBuf,
    /// The engine to score with.
    pub engine: Engine,
}

impl ModelFiles {
    /// Names the model of a folder, to be scored with the fastest engine.
    pub fn of(dir: PathBuf) -> Self {
        Self { dir, engine: Engine::fastest() }
    }

    /// Loads the model of the folder; `None` when there is none.
    fn load(&self, now_us: i64) -> Result<Option<Model>, UnusableModel> {
        let Some(detector) = Detector::load(&self.dir)? else { return Ok(None) };
        let detector = detector.with_engine(self.engine)?;
        Ok(Some(Model { detector, origin: Origin::File, loaded_us: now_us }))
    }
}

/// Why a model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableModel {
    /// Its files cannot be read, are damaged, or do not belong together.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// This machine cannot run the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl Model {
    /// Loads the model of a folder, or trains a starter model where there is none.
    ///
    /// # Errors
    ///
    /// Fails when the files are damaged or do not belong together, and when there is no model and
    /// one is required.
    pub fn load(files: &ModelFiles, is_required: bool, now_us: i64) -> anyhow::Result<Self> {
        let dir = files.dir.as_path();
        let loaded = files.load(now_us).with_context(|| {
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
            .context("cannot learn from the simulated plant")?
            .with_engine(files.engine)?;
        Ok(Self { detector, origin: Origin::Starter, loaded_us: now_us })
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
    files: ModelFiles,
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
    Unusable(#[from] UnusableModel),
}

impl ModelSlot {
    pub(crate) fn new(model: Model, files: ModelFiles, clock: Clock) -> Self {
        Self { current: ArcSwap::from_pointee(model), files, clock }
    }

    /// The model in use. Whoever holds it goes on with it when another takes its place.
    pub(crate) fn current(&self) -> Arc<Model> {
        self.current.load_full()
    }

    /// Loads the folder's model and lets it take the place of the one in use, if it is sound.
    ///
    /// This reads files and lays out trees: not for async code.
    pub(crate) fn reload(&self) -> Result<(), ReloadError> {
        let model = self.files.load((self.clock)())?;
        let model = model.ok_or_else(|| ReloadError::NoModel { dir: self.files.dir.clone() })?;
        tracing::info!(
            model.version = model.version(),
            previous.version = self.current().version(),
            "the model of the folder is in use"
        );
        self.current.store(Arc::new(model));
        Ok(())
    }
}
