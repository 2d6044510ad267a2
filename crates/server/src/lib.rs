//! The program that serves: it validates events, scores them, keeps every prediction and answers.
//!
//! [`Server::bind`] loads the model, opens the database and takes the port; [`Server::run`] serves
//! until it is told to stop, answers what it has accepted, and closes the database. [`router`] is
//! the same without a socket.
//!
//! The way of an event: `body` reads it within its bounds, the detector's schema checks it,
//! `routes/predict` has it judged and kept, and the answer goes out after the commit. Everything
//! that is refused leaves through [`ApiError`], as one kind of document.
//!
//! What it does not do: it knows no trees, no request waits for a disk in async code, and nobody is
//! asked who they are.

mod api_error;
mod args;
mod body;
mod framing;
mod listen;
mod model;
mod query;
mod routes;
mod state;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use store::{Store, StoreParams, Writer};
use tokio::net::TcpListener;

pub use api_error::ApiError;
pub use args::Args;
pub use model::{Model, Origin};
pub use routes::router;
pub use state::{AppState, Clock};

/// A server that has its port, its model and its database, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    connections_max: usize,
    state: AppState,
    writer: Writer,
}

/// The file in the data folder that predictions are kept in.
pub const DATABASE_FILE: &str = "events.db";

impl Server {
    /// Loads the model, opens the database and takes the port.
    ///
    /// # Errors
    ///
    /// Fails when any of them cannot be had as the arguments say.
    pub async fn bind(args: &Args, clock: Clock) -> anyhow::Result<Self> {
        let model = Model::load(&args.model_dir, args.require_model, clock())?;
        let path = args.data_dir.join(DATABASE_FILE);
        let (store, writer) =
            Store::open(&path, &StoreParams { queue_len_max: args.queue_len_max })
                .context("cannot keep predictions; choose another folder with --data-dir")?;
        let listener = TcpListener::bind(args.addr).await.with_context(|| {
            format!(
                "cannot listen on {}; stop the program that does, if there is one, or choose another with --addr",
                args.addr
            )
        })?;
        let addr = listener.local_addr().context("cannot tell the own address")?;
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "everyone who reaches this address can send events and read anomalies: nobody is asked who they are");
        }
        let state = AppState::new(Arc::new(model), store, clock);
        Ok(Self { listener, connections_max: args.connections_max, state, writer })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// Fails when the system does not tell.
    pub fn addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is done, answers what was accepted, and closes the database.
    ///
    /// # Errors
    ///
    /// Fails when the writer of the database has panicked.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, connections_max, state, writer } = self;
        // The router takes the last handle of the store with it, and so lets the writer end.
        listen::serve(listener, router(state), connections_max, shutdown).await;
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .context("the writer could not be waited for")?
            .context("the database was not closed")?;
        tracing::info!("stopped; everything that was acknowledged is stored");
        Ok(())
    }
}
