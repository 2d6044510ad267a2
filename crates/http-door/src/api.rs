//! The state that the routes share.

use std::ops::Deref;
use std::sync::Arc;

use pipeline::{Pipeline, Shutdown};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;

use crate::limits::{BODIES_KIB_MAX, STREAMS_MAX};
use crate::metrics::Metrics;

/// The state that the routes share. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Api(Arc<Shared>);

/// The contents of an [`Api`].
#[derive(Debug)]
pub struct Shared {
    /// The pipeline that takes events.
    pub pipeline: Pipeline,
    /// The metrics of `/metrics`.
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    /// Memory for large bodies, in KiB.
    pub(crate) body_memory: Arc<Semaphore>,
    /// Places for clients that watch.
    pub(crate) streams: Arc<Semaphore>,
    /// Ends the streams, which would not end otherwise.
    pub(crate) shutdown: Shutdown,
}

impl Api {
    /// Brings together what the routes share. `registry` has the metrics of all rooms; those of this
    /// one are added.
    pub fn new(pipeline: Pipeline, mut registry: Registry, shutdown: Shutdown) -> Self {
        let metrics = Arc::new(Metrics::register(&mut registry));
        Self(Arc::new(Shared {
            pipeline,
            registry,
            metrics,
            body_memory: Arc::new(Semaphore::new(BODIES_KIB_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            shutdown,
        }))
    }

    /// Returns the metrics of this room.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
