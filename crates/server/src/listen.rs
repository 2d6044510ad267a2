//! The accept loop: connections are bounded in number, and none may dawdle.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

/// Time to send the headers of a request, and to be idle before the next one.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of all headers.
const HEADER_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
/// Time for a client to take some of its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for open requests to be answered after a stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system could not accept, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done, then answers what was begun.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    connections_max: usize,
    shutdown: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);

    tokio::pin!(shutdown);
    loop {
        let accept = async {
            let permit =
                Arc::clone(&permits).acquire_owned().await.expect("the semaphore is never closed");
            (accept(&listener).await, permit)
        };
        tokio::select! {
            (stream, permit) = accept => {
                let service = TowerToHyperService::new(router.clone());
                let connection = graceful.watch(http.serve_connection(TokioIo::new(with_timeout(stream)), service));
                connections.spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(permit);
                });
            }
            Some(_) = connections.join_next() => {}
            () = &mut shutdown => break,
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

/// A stream that fails when the client takes nothing for [`WRITE_TIMEOUT`]. How long it may take to
/// send is limited where it is read: [`HEADER_TIMEOUT`], and the time for a body.
fn with_timeout(stream: TcpStream) -> Pin<Box<TimeoutStream<TcpStream>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    Box::pin(stream)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and should not wait for more of them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "a connection keeps its delay");
                }
                return stream;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
