//! The model that events are judged by, and its replacement while the server runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use detector::{ARTEFACT_FILE, Detector, Engine, EngineError, FitError, LoadError};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use sensor::{Clock, Feature, ModelVersion};
use tokio::task::JoinError;

use crate::live_fleet::LiveFleet;
use crate::metrics::Metrics;

/// A detector and its origin.
#[derive(Debug, Clone)]
pub struct Model {
    /// The detector, which judges events.
    pub detector: Detector,
    /// Its origin.
    pub origin: Origin,
    /// When it was loaded, in microseconds since 1970 (UTC).
    pub loaded_us: i64,
}

/// The origin of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The files of a training.
    File,
    /// The simulated plant: there were no files at the start.
    Starter,
}

impl Model {
    /// Returns the share of events like those of the training that are called anomalous.
    pub fn alarm_rate(&self) -> f64 {
        self.detector.alarm_rule().share()
    }

    /// Returns the name of the model.
    pub fn version(&self) -> &ModelVersion {
        &self.detector.meta().model_version
    }
}

impl Origin {
    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Starter => "starter",
        }
    }
}

/// The folder of a model, and how to use it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelFiles {
    /// The folder of `isoforest.bin` and `model_meta.json`.
    pub dir: PathBuf,
    /// The engine to score with.
    pub engine: Engine,
    /// The false-alarm rate, where it is not that of the training.
    pub false_alarm_rate: Option<f64>,
}

/// An error that occurs when the files of a model are used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableModel {
    /// They cannot be read, are damaged, or do not belong together.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// This machine cannot run the engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The model cannot tell the false-alarm rate that is asked for.
    #[error(transparent)]
    FalseAlarmRate(#[from] FitError),
}

impl ModelFiles {
    /// Names the model of a folder, to be scored with the fastest engine.
    pub fn of(dir: PathBuf) -> Self {
        Self { dir, engine: Engine::fastest(), false_alarm_rate: None }
    }

    /// Returns a detector with the engine and the rate that are asked for.
    ///
    /// # Errors
    ///
    /// Fails when this machine cannot run the engine, or the detector cannot tell the rate.
    pub fn as_asked(&self, detector: Detector) -> Result<Detector, UnusableModel> {
        let detector = detector.with_engine(self.engine)?;
        Ok(match self.false_alarm_rate {
            Some(rate) => detector.with_false_alarm_rate(rate)?,
            None => detector,
        })
    }

    /// Loads the model; `None` when there is none in the folder.
    ///
    /// # Errors
    ///
    /// Fails when its files cannot be used.
    pub fn load(&self, now_us: i64) -> Result<Option<Model>, UnusableModel> {
        let Some(detector) = Detector::load(&self.dir)? else { return Ok(None) };
        let detector = self.as_asked(detector)?;
        Ok(Some(Model { detector, origin: Origin::File, loaded_us: now_us }))
    }

    /// Loads the model in the folder, or returns the current one if it is of these files: requests that hang would hold a copy for
    /// each reload, and a second model beside the first takes memory that there may not be.
    fn load_other(
        &self,
        current: &Arc<Model>,
        now_us: i64,
    ) -> Result<Option<Arc<Model>>, UnusableModel> {
        if current.origin == Origin::File && current.detector.is_loaded_from(&self.dir) {
            return Ok(Some(Arc::clone(current)));
        }
        Ok(self.load(now_us)?.map(Arc::new))
    }
}

/// The reason why the current model was kept.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// There is nothing to load.
    #[error("there is no `{ARTEFACT_FILE}` in the folder of the model")]
    NoModel,
    /// The files cannot be used.
    #[error(transparent)]
    Unusable(#[from] UnusableModel),
    /// The model has other features than the current one: stations that send what they sent before
    /// would be refused.
    #[error(
        "the model in the folder has other features than the current one ({difference}), so events like those of now \
         would be refused or judged without some of their values; reload with force=true if the stations send the new \
         features"
    )]
    OtherFeatures {
        /// The features that are missing and those that are new.
        difference: FeatureDifference,
    },
    /// Loading panicked.
    #[error("a task has panicked")]
    Panic(#[from] JoinError),
}

impl ReloadError {
    /// Returns the reason with all its causes.
    pub fn reason(&self) -> String {
        wording::chain(self)
    }
}

/// The features in which a model differs from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureDifference {
    /// Features that only the current model has.
    pub missing: Vec<String>,
    /// Features that only the other model has.
    pub added: Vec<String>,
    /// Features of both of which the other model accepts fewer values.
    pub stricter: Vec<String>,
}

impl FeatureDifference {
    /// Compares the features of two models; `None` when they are the same.
    fn between(current: &Model, other: &Model) -> Option<Self> {
        let only_in = |model: &Model, other: &Model| -> Vec<String> {
            let names = model.detector.schema().names().iter();
            let is_missing = |name: &&Arc<str>| other.detector.meta().feature(name).is_none();
            names.filter(is_missing).map(ToString::to_string).collect()
        };
        let features = |model: &Model| model.detector.schema().features().to_vec();
        let others = features(other);
        let stricter = features(current).into_iter().filter(|feature| {
            others.iter().any(|other| other.name == feature.name && is_stricter(other, feature))
        });
        let difference = Self {
            missing: only_in(current, other),
            added: only_in(other, current),
            stricter: stricter.map(|feature| feature.name.to_string()).collect(),
        };
        let lists = [&difference.missing, &difference.added, &difference.stricter];
        lists.iter().any(|list| !list.is_empty()).then_some(difference)
    }
}

/// Returns `true` if `new` refuses values that `old` accepts.
fn is_stricter(new: &Feature, old: &Feature) -> bool {
    let lowest = |feature: &Feature| feature.minimum.unwrap_or(f64::NEG_INFINITY);
    let highest = |feature: &Feature| feature.maximum.unwrap_or(f64::INFINITY);
    (old.optional && !new.optional) || lowest(new) > lowest(old) || highest(new) < highest(old)
}

impl fmt::Display for FeatureDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("without ", &self.missing),
            ("with ", &self.added),
            ("with fewer values allowed for ", &self.stricter),
        ];
        let parts = parts.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> =
            parts.map(|(words, names)| format!("{words}{}", wording::listed(names))).collect();
        f.write_str(&parts.join(", "))
    }
}

/// The decision about a model with other features.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherFeatures {
    /// It is refused, unless the current model is only a starter.
    Refuse,
    /// It takes over.
    Accept,
}

/// The model in use, and how to replace it. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Models(Arc<Slot>);

#[derive(Debug)]
struct Slot {
    current: ArcSwap<Model>,
    files: ModelFiles,
    clock: Clock,
    observers: Observers,
    /// Reloads take turns. Holds why the last one failed.
    turn: tokio::sync::Mutex<Option<String>>,
    /// The reloads that wait for their turn: at most one that refuses other features, and one that
    /// accepts them.
    waiting: Mutex<Vec<(OtherFeatures, Reload)>>,
}

/// The outcome of a reload, shared by all that requested it.
type Reload = Shared<BoxFuture<'static, Result<Arc<Model>, Arc<ReloadError>>>>;

/// The parts that are updated when the model changes.
#[derive(Debug, Clone)]
pub(crate) struct Observers {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) fleet: LiveFleet,
}

impl Models {
    pub(crate) fn new(model: Model, files: ModelFiles, clock: Clock, observers: Observers) -> Self {
        observers.model_in_use(&model);
        let current = ArcSwap::from_pointee(model);
        Self(Arc::new(Slot {
            current,
            files,
            clock,
            observers,
            turn: tokio::sync::Mutex::default(),
            waiting: Mutex::default(),
        }))
    }

    /// Returns the current model. It stays valid for its holder when another takes its place.
    pub fn current(&self) -> Arc<Model> {
        self.0.current.load_full()
    }

    /// Replaces the model with the one in the folder, and returns it.
    ///
    /// At most one reload runs and one waits; further requests join the one that waits.
    ///
    /// # Errors
    ///
    /// Fails when there is no model, when it cannot be used, or has other features and must not; the
    /// current one then stays in use.
    pub async fn reload(
        &self,
        other_features: OtherFeatures,
    ) -> Result<Arc<Model>, Arc<ReloadError>> {
        self.waiting_reload(other_features).await
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<(OtherFeatures, Reload)>> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the reload that waits for its turn, which may be a new one.
    fn waiting_reload(&self, other_features: OtherFeatures) -> Reload {
        let mut waiting = self.waiting();
        if let Some((_, reload)) = waiting.iter().find(|(kind, _)| *kind == other_features) {
            return reload.clone();
        }
        let models = self.clone();
        // A reload finishes even if its client disconnects.
        let task = tokio::spawn(async move { models.reload_in_turn(other_features).await });
        let reload = task
            .map(|done| done.unwrap_or_else(|panic| Err(panic.into())).map_err(Arc::new))
            .boxed()
            .shared();
        waiting.push((other_features, reload.clone()));
        reload
    }

    async fn reload_in_turn(
        &self,
        other_features: OtherFeatures,
    ) -> Result<Arc<Model>, ReloadError> {
        let Slot { current, files, clock, observers, turn, .. } = &*self.0;
        let mut last_failure = turn.lock().await;
        // A request from now on may mean files that this reload does not see.
        self.waiting().retain(|(kind, _)| *kind != other_features);
        let (files, now_us, current_model) = (files.clone(), clock(), self.current());
        // Reads files and lays out trees: not for async code.
        let load = move || match files.load_other(&current_model, now_us) {
            Ok(Some(model)) => Ok(model),
            Ok(None) => Err(ReloadError::NoModel),
            Err(unusable) => Err(unusable.into()),
        };
        let loaded = tokio::task::spawn_blocking(load).await?;
        let loaded = loaded.and_then(|model| {
            let may_differ =
                other_features == OtherFeatures::Accept || self.current().origin == Origin::Starter;
            match FeatureDifference::between(&self.current(), &model) {
                Some(difference) if !may_differ => Err(ReloadError::OtherFeatures { difference }),
                _ => Ok(model),
            }
        });
        observers.metrics.model_reloaded(loaded.is_ok());
        match &loaded {
            Ok(model) => {
                tracing::info!(
                    model.version = %model.version(),
                    previous.version = %self.current().version(),
                    "reloaded the model"
                );
                current.store(Arc::clone(model));
                observers.model_in_use(model);
                *last_failure = None;
            }
            Err(error) => {
                let failure = Some(error.reason());
                // Every client gets the reason; the log only when it changes.
                if *last_failure != failure {
                    let dir = self.0.files.dir.display();
                    tracing::error!(
                        error = failure,
                        "cannot reload the model in `{dir}`; the current model stays active"
                    );
                }
                *last_failure = failure;
            }
        }
        loaded
    }
}

impl Observers {
    fn model_in_use(&self, model: &Model) {
        self.metrics.model_in_use(model);
        self.fleet.set_alarm_rate(model.alarm_rate());
    }
}
