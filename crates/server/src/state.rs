//! What all requests share.

use std::sync::Arc;

use store::Store;

use crate::model::Model;

/// Tells the time, in microseconds since 1970 (UTC).
pub type Clock = fn() -> i64;

/// What all requests share. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct AppState {
    pub(crate) model: Arc<Model>,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) started_us: i64,
}

impl AppState {
    /// Brings the parts together; the server counts as started now.
    pub fn new(model: Arc<Model>, store: Store, clock: Clock) -> Self {
        Self { model, store, clock, started_us: clock() }
    }
}
