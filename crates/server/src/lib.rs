//! The program that serves: it validates events, scores them, keeps every prediction and answers.
//!
//! [`Server::bind`] loads the model, opens the database and takes the port; [`Server::run`] serves
//! until it is told to stop, answers what it has accepted, and closes the database. [`router`] is
//! the same without a socket. [`verify()`] looks at the database instead.
//!
//! The way of an event: `body` reads it within its bounds, `intake` has it checked, judged and kept,
//! and the answer goes out after the commit. Everything that is refused leaves through [`ApiError`],
//! as one kind of document. `gate` is what every request passes, in and out. `floor` remembers how
//! the stations are; `page` shows it to people.
//!
//! What it does not do: it knows no trees, no request waits for a disk in async code, and nobody is
//! asked who they are.

mod api_error;
mod args;
mod body;
mod clock;
mod deadline;
mod floor;
mod framing;
mod gate;
mod intake;
mod latency;
mod limits;
mod listen;
mod metrics;
mod model;
mod page;
mod query;
mod retention;
mod routes;
mod state;
mod verify;
mod wire;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use store::Writer;
use tokio::net::TcpListener;

use crate::listen::ConnectionLimits;
use crate::retention::Retentions;

pub use api_error::ApiError;
pub use args::{Args, Command, CorruptAction, DATABASE_FILE, Retention, ServeArgs, VerifyArgs};
pub use clock::Clock;
pub use model::{Model, ModelFiles, Origin, UnusableModel};
pub use routes::router;
pub use state::{AppState, Models, Parts};
pub use verify::verify;

/// A server that has its port, its model and its database, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: ConnectionLimits,
    retentions: Retentions,
    state: AppState,
    writer: Writer,
}

impl Server {
    /// Loads the model, opens the database and takes the port.
    ///
    /// # Errors
    ///
    /// Fails when any of them cannot be had as the arguments say.
    pub async fn bind(args: &ServeArgs, clock: Clock) -> anyhow::Result<Self> {
        limits::survive_file_size_limit().context("cannot watch for a limit on files")?;
        limits::allow_open_files(args.connections_max);
        let model_files = ModelFiles { dir: args.model_dir.clone(), engine: args.engine };
        let model = Model::load(&model_files, args.require_model, clock())?;
        let parts = Parts {
            model,
            model_files,
            database: &args.data_dir.join(DATABASE_FILE),
            store_params: &args.store_params(),
            clock,
        };
        let (state, writer) = AppState::open(parts)
            .context("cannot keep predictions; choose another folder with --data-dir")?;
        if let Err(error) = state.floor.recall(&state.store, clock()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "the pages begin without what was kept before: it could not be read"
            );
        }
        let listener = listen::bind(args.addr).with_context(|| {
            format!(
                "cannot listen on {}; stop the program that does, if there is one, or choose another with --addr",
                args.addr
            )
        })?;
        let addr = listener.local_addr().context("cannot tell the own address")?;
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "everyone who reaches this address can send events and read anomalies: nobody is asked who they are");
        }
        let limits = ConnectionLimits {
            total: args.connections_max,
            per_address: args.connections_per_address_max(),
        };
        let retentions = Retentions { normal: args.retain, anomalies: args.retain_anomalies };
        Ok(Self { listener, limits, retentions, state, writer })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    ///
    /// Fails when the system does not tell.
    pub fn addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle to take over another model with, while the server runs.
    pub fn models(&self) -> Models {
        self.state.models.clone()
    }

    /// Serves until `shutdown` is done, answers what was accepted, and closes the database.
    ///
    /// # Errors
    ///
    /// Fails when the writer of the database has panicked: a server that cannot store ends.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, limits, retentions, state, mut writer } = self;
        let (metrics, floor) = (Arc::clone(&state.metrics), Arc::clone(&state.floor));
        {
            let (store, clock) = (state.store.clone(), state.clock);
            let sweeping = retention::keep_sweeping(store.clone(), retentions, clock);
            let recalling = async {
                floor.recall_details(&store).await;
                std::future::pending::<Infallible>().await
            };
            let beating = floor.keep_beating(clock);
            let shutdown = async {
                shutdown.await;
                // Streams would go on for ever.
                floor.stop();
            };
            // The router takes a handle of the store with it, and the block the others: without any,
            // the writer ends.
            let serving = listen::serve(listener, router(state), limits, metrics, shutdown);
            tokio::pin!(sweeping, recalling, beating, serving);
            tokio::select! {
                () = &mut serving => {}
                never = &mut sweeping => match never {},
                never = &mut recalling => match never {},
                never = &mut beating => match never {},
                () = writer.ended() => {
                    bail!("the writer of the database has panicked; start the server again");
                }
            }
        }
        tokio::task::spawn_blocking(move || writer.join())
            .await
            .context("the writer could not be waited for")?
            .context("the database was not closed")?;
        tracing::info!("stopped; everything that was acknowledged is stored");
        Ok(())
    }
}
