//! The model that events are judged by.

use std::path::Path;

use anyhow::{Context as _, bail};
use detector::{ARTEFACT_FILE, Detector, Engine, Params};
use sensor::FeatureSchema;

/// A detector, and where it comes from.
#[derive(Debug, Clone)]
pub struct Model {
    /// What judges events.
    pub detector: Detector,
    /// Where it comes from.
    pub origin: Origin,
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
        let loaded = Detector::load(dir).with_context(|| {
            format!(
                "the model in `{}` cannot be used; train anew with `cargo run -p train`, put both files of one \
                 training back, or choose another folder with --model-dir",
                dir.display()
            )
        })?;
        if let Some(detector) = loaded {
            tracing::info!(
                model.version = detector.meta().model_version,
                engine = %detector.engine(),
                "loaded the model"
            );
            return Ok(Self { detector, origin: Origin::File });
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
        Ok(Self { detector, origin: Origin::Starter })
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
}
