//! What all requests share.

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use store::Store;
use tokio::sync::Semaphore;

use crate::api_error::ApiError;
use crate::body::BODIES_KIB_MAX;
use crate::metrics::Metrics;
use crate::model::{Model, ModelSlot};

/// Tells the time, in microseconds since 1970 (UTC).
pub type Clock = fn() -> i64;

/// What all requests share. Cloning is cheap: there is one of it.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// What [`AppState`] points at.
#[derive(Debug)]
pub struct Shared {
    pub(crate) models: Models,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    /// Room for large bodies, in KiB.
    pub(crate) body_room: Arc<Semaphore>,
    pub(crate) clock: Clock,
    pub(crate) started_us: i64,
}

/// The model in use, and how to take over another one. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Models {
    slot: Arc<ModelSlot>,
    metrics: Arc<Metrics>,
    /// Reloads take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl AppState {
    /// Brings the parts together; the server counts as started now.
    ///
    /// `model_dir` is where another model is loaded from when one is asked for.
    pub fn new(model: Model, model_dir: PathBuf, store: Store, clock: Clock) -> Self {
        Self::with_metrics(Arc::new(Metrics::new()), model, model_dir, store, clock)
    }

    pub(crate) fn with_metrics(
        metrics: Arc<Metrics>,
        model: Model,
        model_dir: PathBuf,
        store: Store,
        clock: Clock,
    ) -> Self {
        metrics.model_in_use(&model);
        let slot = Arc::new(ModelSlot::new(model, model_dir, clock));
        let models = Models { slot, metrics: Arc::clone(&metrics), turn: Arc::default() };
        let body_room = Arc::new(Semaphore::new(BODIES_KIB_MAX));
        Self(Arc::new(Shared { models, store, metrics, body_room, clock, started_us: clock() }))
    }
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Models {
    /// The model in use.
    pub(crate) fn current(&self) -> Arc<Model> {
        self.slot.current()
    }

    /// Takes over the model that is in the folder now, and gives it. One that cannot be used is
    /// refused, and the one before goes on.
    ///
    /// # Errors
    ///
    /// Fails when there is no model, or a damaged one.
    pub async fn reload(&self) -> Result<Arc<Model>, ApiError> {
        // It goes on to its end also when nobody waits for it any more.
        let models = self.clone();
        tokio::spawn(async move { models.reload_in_turn().await }).await?
    }

    async fn reload_in_turn(&self) -> Result<Arc<Model>, ApiError> {
        let _turn = self.turn.lock().await;
        let slot = Arc::clone(&self.slot);
        let reloaded = tokio::task::spawn_blocking(move || slot.reload()).await?;
        self.metrics.model_reloaded(&reloaded);
        if let Err(error) = reloaded {
            let reason = format!("{:#}", anyhow::Error::from(error));
            tracing::error!(reason, "the model was not replaced; the one before goes on");
            return Err(ApiError::ModelUnusable(reason));
        }
        let model = self.current();
        self.metrics.model_in_use(&model);
        Ok(model)
    }
}
