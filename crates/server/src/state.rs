//! What all requests share.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use store::{OpenError, Store, StoreParams, Writer};
use tokio::sync::Semaphore;

use crate::api_error::ApiError;
use crate::clock::Clock;
use crate::floor::Floor;
use crate::metrics::Metrics;
use crate::model::{Model, ModelFiles, ModelSlot};

/// What all bodies of batches and documents may take of memory at once, in KiB.
const BODIES_KIB_MAX: usize = 32 * 1024;
/// How many may watch at once.
pub(crate) const STREAMS_MAX: usize = 64;

/// What all requests share. Cloning is cheap: there is one of it.
#[derive(Debug, Clone)]
pub struct AppState(Arc<Shared>);

/// What an [`AppState`] is made of.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What judges events at first.
    pub model: Model,
    /// Where another model is loaded from when one is asked for.
    pub model_files: ModelFiles,
    /// The file that predictions are kept in.
    pub database: &'a Path,
    /// How it is opened.
    pub store_params: &'a StoreParams,
    /// Tells the time.
    pub clock: Clock,
}

/// What [`AppState`] points at.
#[derive(Debug)]
pub struct Shared {
    pub(crate) models: Models,
    pub(crate) store: Store,
    pub(crate) floor: Arc<Floor>,
    pub(crate) metrics: Arc<Metrics>,
    /// Room for large bodies, in KiB.
    pub(crate) body_room: Arc<Semaphore>,
    /// Room for those who watch.
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) clock: Clock,
    pub(crate) started_us: i64,
}

/// The model in use, and how to take over another one. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Models {
    slot: Arc<ModelSlot>,
    metrics: Arc<Metrics>,
    floor: Arc<Floor>,
    /// Reloads take turns.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl AppState {
    /// Opens the database and brings the parts together; the server counts as started now.
    ///
    /// # Errors
    ///
    /// Fails when the database cannot be opened.
    pub fn open(parts: Parts<'_>) -> Result<(Self, Writer), OpenError> {
        let Parts { model, model_files, database, store_params, clock } = parts;
        let metrics = Arc::new(Metrics::new());
        metrics.model_in_use(&model);
        let started_us = clock();
        let floor = Arc::new(Floor::new(started_us));
        floor.judged_at(model.alarm_rate());
        let (counted, noted) = (Arc::clone(&metrics), Arc::clone(&floor));
        let (store, writer) = Store::open(database, store_params, move |report| {
            counted.committed(report);
            noted.note(&report.arrivals);
        })?;
        let slot = Arc::new(ModelSlot::new(model, model_files, clock));
        let models = Models {
            slot,
            metrics: Arc::clone(&metrics),
            floor: Arc::clone(&floor),
            turn: Arc::default(),
        };
        let body_room = Arc::new(Semaphore::new(BODIES_KIB_MAX));
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let shared =
            Shared { models, store, floor, metrics, body_room, streams, clock, started_us };
        Ok((Self(Arc::new(shared)), writer))
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
        self.floor.judged_at(model.alarm_rate());
        Ok(model)
    }
}
