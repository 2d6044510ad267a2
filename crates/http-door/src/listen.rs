//! The accept loop: connections are bounded in number, in total and by address, and have deadlines.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use pipeline::Shutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::deadline::DeadlineStream;
use crate::limits::{
    ACCEPT_PAUSE, BACKLOG_LEN, DRAIN_TIMEOUT, HEADER_BYTES_MAX, HEADER_TIMEOUT, HEADERS_MAX,
};
use crate::metrics::Metrics;
use crate::shares::{Client, Shares};

/// The answer to a connection that is one too many of its address.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: application/problem+json\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\"status\":503,\
    \"detail\":\"this address has as many connections as it may; close some\",\"code\":\"too_many_connections\",\"errors\":[]}\n";

/// Binds a socket and begins to listen.
///
/// # Errors
///
/// Fails when the address cannot be bound.
pub fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // On Windows, this would let two servers share a port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG_LEN)
}

/// The largest numbers of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// In all; more wait to be accepted.
    pub total: usize,
    /// From one address; more are refused.
    pub per_address: usize,
}

/// A socket that accepts connections within their limits.
pub(crate) struct Accepting {
    pub(crate) listener: TcpListener,
    pub(crate) limits: ConnectionLimits,
    pub(crate) metrics: Arc<Metrics>,
}

impl Accepting {
    /// Serves until `shutdown` is requested, then answers what was begun.
    pub(crate) async fn serve(self, router: Router, mut shutdown: Shutdown) {
        let Self { listener, limits, metrics } = self;
        let permits = Arc::new(Semaphore::new(limits.total));
        let shares = Shares::new(limits.per_address);
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX);

        loop {
            let accept = async {
                let permit = Arc::clone(&permits)
                    .acquire_owned()
                    .await
                    .expect("the semaphore is never closed");
                (accept(&listener).await, permit)
            };
            tokio::select! {
                ((stream, addr), permit) = accept => {
                    let client = Client::of(addr.ip());
                    let Some(share) = shares.try_take(client) else {
                        metrics.connection_refused();
                        tracing::debug!(?client, "refused a connection: the address has its share");
                        refuse(&stream);
                        continue;
                    };
                    let open = OpenConnection::of(&metrics);
                    let routes = TowerToHyperService::new(router.clone());
                    let service = service_fn(move |mut request: Request<Incoming>| {
                        request.extensions_mut().insert(client);
                        routes.call(request)
                    });
                    let connection = graceful.watch(http.serve_connection(TokioIo::new(DeadlineStream::new(stream)), service));
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            tracing::debug!(%error, "a connection ended early");
                        }
                        drop((open, share, permit));
                    });
                }
                Some(_) = connections.join_next() => {}
                () = shutdown.requested() => break,
            }
        }

        drop(listener);
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                timeout_s = DRAIN_TIMEOUT.as_secs(),
                "some clients did not take their answer in time"
            );
        }
        connections.shutdown().await;
    }
}

/// A connection that counts as open for as long as this lives.
struct OpenConnection(Arc<Metrics>);

impl OpenConnection {
    fn of(metrics: &Arc<Metrics>) -> Self {
        metrics.connection_opened();
        Self(Arc::clone(metrics))
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}

/// Says that there are too many, if it can be said at once.
fn refuse(stream: &TcpStream) {
    if let Err(error) = stream.try_write(TOO_MANY) {
        tracing::debug!(%error, "a refused connection was not told");
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                // Answers are small and should not wait for more of them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection keeps its delay");
                }
                return (stream, addr);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
