//! `GET /live` over a socket: the messages that watchers get.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::socket::{self, Running};
use crate::{GOOD, HOT};

/// Somebody who watches.
struct Stream {
    stream: TcpStream,
    text: String,
}

/// A message of a stream.
#[derive(Debug)]
struct Message {
    kind: String,
    id: String,
    data: Value,
}

impl Stream {
    async fn open(addr: SocketAddr, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self { stream, text: String::new() }
    }

    /// Reads on; says whether there was anything.
    async fn read(&mut self) -> bool {
        let mut bytes = [0; 4_096];
        let n_read =
            timeout(Duration::from_secs(20), self.stream.read(&mut bytes)).await.unwrap().unwrap();
        self.text += std::str::from_utf8(&bytes[..n_read]).unwrap();
        n_read > 0
    }

    async fn next(&mut self) -> Message {
        loop {
            if let Some(begin) = self.text.find("event: ")
                && let Some(len) = self.text.get(begin..).unwrap().find("\n\n")
            {
                let message: String = self.text.drain(..begin + len + 2).skip(begin).collect();
                let field = |name: &str| {
                    let line = message.lines().find_map(|line| line.strip_prefix(name));
                    String::from(line.unwrap())
                };
                let data = serde_json::from_str(&field("data: ")).unwrap();
                return Message { kind: field("event: "), id: field("id: "), data };
            }
            assert!(self.read().await, "the stream ended: {}", self.text);
        }
    }

    /// The next message that names a station.
    async fn next_about(&mut self, station: &str) -> Message {
        loop {
            let message = self.next().await;
            if message.data["changed"]
                .as_array()
                .unwrap()
                .iter()
                .any(|changed| changed["station_id"] == station)
            {
                return message;
            }
        }
    }
}

async fn predict(running: &Running, event: &str) {
    assert!(
        socket::talk(
            running.addr,
            &socket::post(&format!("Content-Length: {}", event.len()), event)
        )
        .await
        .contains("200 OK")
    );
}

#[tokio::test]
async fn a_watcher_gets_a_snapshot_and_then_changes() {
    let dir = tempfile::tempdir().unwrap();
    let running = socket::start_now(dir.path()).await;
    predict(&running, HOT).await;
    let mut stream = Stream::open(running.addr, "/live", "").await;
    let first = stream.next().await;
    assert_eq!((first.kind.as_str(), &first.data["stations"]["anomaly"]), ("snapshot", &1.into()));
    assert_eq!(first.data["changed"][0]["station_id"], "station_001");
    assert_eq!(first.data["changed"][0]["since"], "2026-01-02T03:04:05Z");

    predict(&running, &HOT.replace("station_001", "station_002")).await;
    let second = stream.next_about("station_002").await;
    assert_eq!(
        (second.kind.as_str(), second.data["changed"].as_array().unwrap().len()),
        ("update", 1)
    );
    assert_eq!(second.data["store"]["anomalies"], 2);

    // Who comes back hears what was missed, and nothing else.
    drop(stream);
    predict(&running, &HOT.replace("station_001", "station_003")).await;
    let again = format!("Last-Event-ID: {}\r\n", second.id);
    let mut stream = Stream::open(running.addr, "/live", &again).await;
    let missed = stream.next_about("station_003").await;
    assert_eq!(
        (missed.kind.as_str(), missed.data["changed"].as_array().unwrap().len()),
        ("update", 1)
    );

    // What another server said is not known here.
    let mut stream = Stream::open(running.addr, "/live", "Last-Event-ID: 12-1\r\n").await;
    let snapshot = stream.next().await;
    assert_eq!(
        (snapshot.kind.as_str(), snapshot.data["changed"].as_array().unwrap().len()),
        ("snapshot", 3)
    );
    drop(stream);
    running.stop().await;
}

#[tokio::test]
async fn a_watcher_of_one_station_hears_of_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let running = socket::start_now(dir.path()).await;
    predict(&running, GOOD).await;
    let mut stream = Stream::open(running.addr, "/live?station_id=station_001", "").await;
    assert_eq!(stream.next().await.kind, "snapshot");
    // Another station turns to anomaly, which others hear of.
    let mut all = Stream::open(running.addr, "/live", "").await;
    predict(&running, &HOT.replace("station_001", "station_002")).await;
    all.next_about("station_002").await;
    predict(&running, HOT).await;
    let message = stream.next().await;
    let changed = message.data["changed"].as_array().unwrap();
    assert_eq!((message.kind.as_str(), changed.len()), ("update", 1));
    assert_eq!(changed[0]["station_id"], "station_001");
    drop(stream);
    assert!(
        socket::talk(
            running.addr,
            "GET /live?station_id=%20 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .await
        .contains(" 422 ")
    );
    running.stop().await;
}

#[tokio::test]
async fn streams_are_bounded_and_end_when_the_server_stops() {
    /// Of one address.
    const STREAMS_MAX: usize = 48;
    let dir = tempfile::tempdir().unwrap();
    let running = socket::start_now(dir.path()).await;
    let mut streams = Vec::new();
    for _ in 0..STREAMS_MAX {
        let mut stream = Stream::open(running.addr, "/live", "").await;
        stream.next().await;
        streams.push(stream);
    }
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let refused = socket::talk(running.addr, &get("/live")).await;
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("too_many_streams"),
        "{refused}"
    );
    assert!(socket::talk(running.addr, &get("/metrics")).await.contains("iot_streams 48\n"));
    // One goes, and there is room again; the keep-alive line would notice it, an update does sooner.
    drop(streams.pop());
    predict(&running, HOT).await;
    while socket::talk(running.addr, &get("/metrics")).await.contains("iot_streams 48\n") {
        tokio::task::yield_now().await;
    }

    let begun = std::time::Instant::now();
    running.stop().await;
    for mut stream in streams {
        while stream.read().await {}
    }
    assert!(
        begun.elapsed() < Duration::from_secs(8),
        "they are not waited for until they are cut off"
    );
}
