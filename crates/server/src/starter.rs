//! The model to begin with: the trained one, or a starter model of the simulated plant.

use anyhow::{Context as _, bail};
use detector::{ARTEFACT_FILE, Detector, Params};
use pipeline::{Model, ModelFiles, Origin, UnusableModel};
use sensor::FeatureSchema;

/// Loads the model of a folder, or trains a starter model when there is none.
///
/// # Errors
///
/// Fails when the files cannot be used, and when there is no model and one is required.
pub fn load_or_train(files: &ModelFiles, is_required: bool, now_us: i64) -> anyhow::Result<Model> {
    let dir = files.dir.display();
    let loaded = files.load(now_us).map_err(|error| {
        let advice = match error {
            UnusableModel::FalseAlarmRate(_) => {
                format!("the model in `{dir}` cannot tell this --false-alarm-rate")
            }
            _ => format!(
                "the model in `{dir}` cannot be used; retrain with `train`, restore both files of one training, \
                 or choose another folder with --model-dir"
            ),
        };
        anyhow::Error::from(error).context(advice)
    })?;
    if let Some(model) = loaded {
        tracing::info!(
            model.version = %model.version(),
            engine = %model.detector.engine(),
            "loaded the model"
        );
        return Ok(model);
    }
    if is_required {
        bail!(
            "there is no `{}`, and --require-model refuses to start without it; train one with `train`",
            files.dir.join(ARTEFACT_FILE).display()
        );
    }
    tracing::warn!(
        "there is no model in `{dir}`: serving a starter model of the simulated plant, which does not know your \
         machines; train one with `train`"
    );
    let params = Params::default();
    let events = plant::normal_events(plant::TRAINING_EVENTS, params.forest.seed);
    let detector = Detector::fit(&FeatureSchema::default(), &events, &params, now_us)
        .context("cannot learn from the simulated plant")?;
    let detector = files.as_asked(detector)?;
    Ok(Model { detector, origin: Origin::Starter, loaded_us: now_us })
}
