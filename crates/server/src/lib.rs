//! The program that serves: it wires the rooms together and runs them until it is stopped.
//!
//! [`Server::bind`] loads the model, opens the database and takes the port; [`Server::run`] opens the
//! doors until a stop is requested, answers what was accepted, and closes the database. [`open_app`] is
//! the application without a socket. [`verify()`], [`back_up`], [`restore`] and [`recover()`] look after the database, and [`export()`] gives
//! its events away.
//!
//! It judges nothing, stores nothing and answers nothing itself.

mod args;
mod database;
mod export;
mod log;
mod rlimit;
mod starter;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use http_door::{Api, BasePath, ConnectionLimits, Hosts, HttpDoor};
use pipeline::{Door as _, ModelFiles, Models, Parts, Pipeline, Retentions, Shutdown, StopSignal};
use prometheus_client::registry::Registry;
use sensor::Clock;
use store::Writer;
use store_sqlite::{OpenError, SqliteParams};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub use args::{
    Args, BackupArgs, Command, CorruptAction, DATABASE_FILE, DataDir, ExportArgs, RecoverArgs,
    RestoreArgs, ServeArgs, VerifyArgs,
};
pub use database::{back_up, recover, restore, verify};
pub use export::export;
pub use log::Log;
pub use starter::load_or_train;

/// 2026-01-01T00:00:00Z: this program is newer, so a clock that shows an earlier time is not set.
pub const BUILT_US: i64 = 1_767_225_600_000_000;

/// A clock that is further behind the newest stored event is worth a warning: an hour.
const BEHIND_US_MAX: i64 = 3_600 * 1_000_000;

/// The longest wait for the database to be closed at a stop.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(50);

/// A server that has its port, its model and its database, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    limits: ConnectionLimits,
    hosts: Hosts,
    base_path: BasePath,
    retentions: Retentions,
    registry: Registry,
    pipeline: Pipeline,
    writer: Writer,
}

impl Server {
    /// Loads the model, opens the database and takes the port.
    ///
    /// # Errors
    ///
    /// Fails when any of them is not available as the arguments say.
    pub async fn bind(args: &ServeArgs, clock: Clock) -> anyhow::Result<Self> {
        if args.alarms().is_none() && !args.station_alarms_per_day.is_empty() {
            bail!(
                "--alarms-per-day 0 watches no station: leave it out, or --station-alarms-per-day"
            );
        }
        rlimit::survive_file_size_limit().context("cannot watch for the limit on file sizes")?;
        rlimit::allow_open_files(args.connections_max);
        let model_files = ModelFiles {
            dir: args.model_dir.clone(),
            engine: args.engine,
            false_alarm_rate: args.false_alarm_rate,
        };
        let model = load_or_train(&model_files, args.require_model, clock())?;
        let parts = Parts {
            model,
            model_files,
            clock,
            earliest_us: BUILT_US,
            alarms: args.alarms(),
            alarm_budgets: args.station_alarms_per_day.clone(),
            alarm_memory_kib: args.alarm_memory_mib as usize * 1024,
        };
        if clock() < BUILT_US {
            tracing::warn!(
                "the clock is not set, so events are refused with 503 until it is; check the time service of this machine"
            );
        }
        let database = args.data.database();
        let (pipeline, registry, writer) =
            open_pipeline(parts, &database, &args.sqlite_params())
                .context("cannot keep predictions; choose another folder with --data-dir")?;
        pipeline.recall().await;
        let newest_us = pipeline.fleet.now().await.newest_us.unwrap_or_default();
        let behind_us = newest_us.saturating_sub(clock());
        if behind_us > BEHIND_US_MAX {
            tracing::warn!(
                hours = behind_us / 3_600_000_000,
                "the clock is hours behind the newest stored event: if it was set back, set it right, since events of now \
                 are refused as from the future"
            );
        }
        let listener = http_door::bind(args.addr).with_context(|| {
            format!(
                "cannot listen on {}; stop the program that does, or choose another address with --addr",
                args.addr
            )
        })?;
        let addr = listener.local_addr().context("cannot read the local address")?;
        if !addr.ip().is_loopback() {
            tracing::warn!(%addr, "anyone who reaches this address can send events and read anomalies: there is no authentication");
        }
        let limits = ConnectionLimits {
            total: args.connections_max,
            per_address: args.connections_per_address_max(),
        };
        let retentions = args.retentions();
        let base_path = args.base_path.clone();
        let hosts = Hosts::new(addr.ip(), args.hosts.iter().cloned());
        Ok(Self { listener, limits, hosts, base_path, retentions, registry, pipeline, writer })
    }

    /// Returns the address that it listens on.
    ///
    /// # Errors
    ///
    /// Fails when the system does not tell.
    pub fn addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Returns a handle that replaces the model while the server runs.
    pub fn models(&self) -> Models {
        self.pipeline.models.clone()
    }

    /// Serves until `shutdown` is done, answers what was accepted, and closes the database.
    ///
    /// # Errors
    ///
    /// Fails when the writer of the database has panicked: a server that cannot store ends.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, limits, hosts, base_path, retentions, registry, pipeline, mut writer } =
            self;
        let (signal, requested) = StopSignal::new();
        let mut tasks = JoinSet::new();
        let door = HttpDoor { listener, limits, hosts, base_path, registry, app };
        tasks.spawn(door.run(pipeline.clone(), requested.clone()));
        // The last handle of the store goes with the tasks; then the writer ends.
        tasks.spawn(pipeline.keep_house(retentions, requested));
        tokio::select! {
            () = shutdown => {}
            () = writer.ended() => {
                bail!("the writer of the database has panicked; start the server again");
            }
            Some(ended) = tasks.join_next() => {
                ended.context("a task has panicked; start the server again")?;
                bail!("a task has ended before the stop; start the server again");
            }
        }
        signal.stop();
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task has panicked")?;
        }
        tokio::time::timeout(CLOSE_TIMEOUT, tokio::task::spawn_blocking(move || writer.join()))
            .await
            .context(
                "the database could not be closed in time; what was acknowledged is in its files",
            )?
            .context("cannot wait for the writer")?
            .context("the database was not closed")?;
        tracing::info!("stopped; everything that was acknowledged is stored");
        Ok(())
    }
}

/// Opens a database and returns the application over it, without a socket and as if on loopback.
///
/// # Errors
///
/// Fails when the database cannot be opened.
pub fn open_app(
    parts: Parts,
    database: &Path,
    params: &SqliteParams,
) -> Result<(Router, Writer), OpenError> {
    let (pipeline, registry, writer) = open_pipeline(parts, database, params)?;
    let hosts = Hosts::new(Ipv4Addr::LOCALHOST.into(), []);
    Ok((app(Api::new(pipeline, hosts, registry, Shutdown::never())), writer))
}

fn open_pipeline(
    parts: Parts,
    database: &Path,
    params: &SqliteParams,
) -> Result<(Pipeline, Registry, Writer), OpenError> {
    let mut registry = Registry::with_prefix("iot");
    registry.register(
        "log_lines_dropped",
        "Lines that were not logged: the log was not read, could not be written, or repeated them",
        log::lines_dropped(),
    );
    let (pipeline, writer) = Pipeline::open(parts, &mut registry, |observer| {
        store_sqlite::open(database, params, observer)
    })?;
    Ok((pipeline, registry, writer))
}

/// Makes the routes of the API and of the pages, behind the gate that every request passes.
fn app(api: Api) -> Router {
    let of_pages = api.pipeline.for_pages();
    let pages = http_door::in_turn(pages::router(of_pages.clone()), api.clone());
    let pages = pages.merge(pages::forms(of_pages)).merge(pages::assets());
    let router = http_door::router(api.clone()).merge(pages);
    http_door::guarded(router, api, pages::page_of_refusal)
}
