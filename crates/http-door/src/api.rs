//! The state that the routes share.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use pipeline::{ClientShare, PLACES_MAX, Pipeline, Shutdown, Turns};
use prometheus_client::registry::Registry;
use store::{ReadError, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::answers::Answers;
use crate::hosts::Hosts;
use crate::limits::{BODIES_KIB_MAX, PAGES_MAX, READ_TURN_TIMEOUT, STREAMS_MAX};
use crate::metrics::Metrics;
use crate::routes::ModelText;
use crate::shares::{Budget, Client, Shares};

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
    /// The names under which the server may be asked.
    pub(crate) hosts: Hosts,
    /// Memory for large bodies, in KiB.
    pub(crate) bodies: Budget,
    /// Memory for large answers.
    pub(crate) answers: Answers,
    /// The description of the model in use.
    pub(crate) model_text: ModelText,
    /// Turns to read: one for each client at a time.
    reads: Shares,
    /// Turns to work that takes a processor.
    turns: Shares,
    /// Places in the queue of the writer, and those of them that batches may have.
    places: (Shares, Shares),
    n_places: (u32, u32),
    /// Places for inference requests that are being worked on: their values take more memory than their texts.
    pub(crate) inferences: Budget,
    /// Turns to pages: one for each client at a time, and some for all.
    page_turns: Shares,
    pages: Arc<Semaphore>,
    /// Places for clients that watch.
    pub(crate) streams: Budget,
    /// Ends the streams, which would not end otherwise.
    pub(crate) shutdown: Shutdown,
}

impl Api {
    /// Brings together what the routes share. `registry` has the metrics of all rooms; those of this
    /// one are added.
    pub fn new(
        pipeline: Pipeline,
        hosts: Hosts,
        mut registry: Registry,
        shutdown: Shutdown,
    ) -> Self {
        let metrics = Arc::new(Metrics::register(&mut registry));
        // Three quarters, as of everything that clients share, and batches half.
        let quarter = u32::try_from(pipeline.store.queue_len_max().min(PLACES_MAX) / 4);
        let n_places = (3 * quarter.expect("places are few")).max(1);
        let n_places = (n_places, (n_places / 3 * 2).max(1));
        Self(Arc::new(Shared {
            pipeline,
            registry,
            metrics,
            hosts,
            bodies: Budget::new(BODIES_KIB_MAX),
            answers: Answers::new(),
            model_text: ModelText::default(),
            reads: Shares::new(1),
            turns: Shares::new(Turns::number()),
            places: (Shares::new(n_places.0 as usize), Shares::new(n_places.1 as usize)),
            n_places,
            inferences: Budget::new(u32::try_from(2 * Turns::number()).unwrap_or(u32::MAX)),
            page_turns: Shares::new(1),
            pages: Arc::new(Semaphore::new(PAGES_MAX)),
            streams: Budget::new(STREAMS_MAX),
            shutdown,
        }))
    }

    /// Reads the database when it is the client's turn: one that asks for much must not keep others
    /// from it. Reading continues after the client has gone, and keeps the turn.
    pub(crate) async fn read<
        T: Send + 'static,
        R: Future<Output = Result<T, ReadError>> + Send + 'static,
    >(
        &self,
        client: Client,
        read: impl FnOnce(Store) -> R + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = tokio::time::timeout(READ_TURN_TIMEOUT, self.reads.take(client)).await;
        let turn = turn.map_err(|_| ReadError::Busy)?;
        let store = self.pipeline.store.clone();
        let reading = async move {
            let found = read(store).await;
            drop(turn);
            found
        };
        tokio::spawn(reading).await?
    }

    /// Returns the turns of a client to work that takes a processor.
    pub(crate) fn turns(&self, client: Client) -> Turns {
        Turns::of(self.turns.of(client))
    }

    /// Returns the parts of the pipeline that a client may have.
    pub(crate) fn share(&self, client: Client) -> ClientShare {
        ClientShare {
            turns: self.turns(client),
            places: self.places.0.of(client),
            batch_places: self.places.1.of(client),
            n_places: self.n_places,
        }
    }

    /// Waits until a page may be made for a client. Each page holds a snapshot of all stations and what it reads.
    ///
    /// # Errors
    ///
    /// Fails when other pages of the client, or of all, take too long.
    pub(crate) async fn page_turn(
        &self,
        client: Client,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), ReadError> {
        let turn = async {
            let of_client = self.page_turns.take(client).await;
            let of_all = Arc::clone(&self.pages).acquire_owned().await;
            (of_client, of_all.expect("it is never closed"))
        };
        tokio::time::timeout(READ_TURN_TIMEOUT, turn).await.map_err(|_| ReadError::Busy)
    }

    /// Returns the metrics of this room.
    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
