//! Schema, forest and calibration as one value: the same numbers in training and in serving.
//!
//! [`Detector::fit`] learns from events, [`Detector::assess`] judges one. Between them lies a file:
//! [`Detector::save`] and [`Detector::load`] keep the pair of `isoforest.bin`, which is the
//! detector, and `model_meta.json` ([`ModelMeta`]), which tells people and tools about it.
//!
//! A detector has three kinds of evidence: the forest, values outside of what training has seen, and
//! values that do not fit the others. It is calibrated on its training data: every event is judged
//! by what has not learnt it, so no data has to be set aside. The share of them that look as
//! strange as a new event is its p-value, and an [`AlarmRule`] cuts there.
//!
//! Judgements are explained in words here, too: [`Detector::reasons`] says why an event is an
//! anomaly, [`Detector::counterfactual`] what would have been normal, and [`FeatureMeta::drift`] how
//! far values have moved since the training.
//!
//! It keeps nothing between two events, reads no clock, and starts no thread
//! of its own.

mod artefact;
mod baselines;
mod calibration;
mod column;
mod counterfactual;
mod detector;
mod drift;
mod group_pattern;
mod judge;
mod learning;
mod lessons;
mod meta;
mod model_files;
mod params;
mod reasons;
mod scorer;
mod summary;

pub use artefact::{ArtefactError, DETECTOR_KIND, DETECTOR_VERSION};
pub use baselines::StationBaseline;
pub use calibration::AlarmRule;
pub use counterfactual::{Change, Counterfactual};
pub use detector::{CalibrationScores, Detector, RowScore};
pub use drift::{DriftDegree, FeatureDrift};
pub use group_pattern::{GroupPattern, InvalidGroupPattern};
pub use isoforest::{Engine, EngineError, IsolationForest, Params as ForestParams, Samples};
pub use learning::FitError;
pub use lessons::{LessonsMeta, StationLesson};
pub use meta::{
    BaselinesMeta, DataMeta, FeatureMeta, ForestMeta, GroupFeatureMeta, GroupMeta, LeftOutMeta,
    ModelMeta, Versions,
};
pub use model_files::{ARTEFACT_FILE, LoadError, META_FILE};
pub use params::Params;
pub use summary::{FeatureSummary, Quantiles};
