//! The door itself: a socket, and the application that is served on it.

use axum::Router;
use pipeline::{Door, Pipeline, Shutdown};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::api::Api;
use crate::base_path::BasePath;
use crate::hosts::Hosts;
use crate::listen::{Accepting, ConnectionLimits};

/// A socket, and the application that is served on it.
#[derive(Debug)]
pub struct HttpDoor {
    /// The socket.
    pub listener: TcpListener,
    /// The largest numbers of connections.
    pub limits: ConnectionLimits,
    /// The names under which the server may be asked.
    pub hosts: Hosts,
    /// The path under which a proxy shows the application.
    pub base_path: BasePath,
    /// The metrics of all rooms, for `/metrics`.
    pub registry: Registry,
    /// Makes the routes of the application.
    pub app: fn(Api) -> Router,
}

impl Door for HttpDoor {
    async fn run(self, pipeline: Pipeline, shutdown: Shutdown) {
        let Self { listener, limits, hosts, base_path, registry, app } = self;
        let api = Api::new(pipeline, hosts, registry, shutdown.clone());
        let accepting = Accepting { listener, limits, metrics: api.metrics() };
        accepting.serve(base_path.hold(app(api)), shutdown).await;
    }
}
