//! Every alert of `deploy` fires in a real Prometheus when its reason is there.
//!
//! Without Prometheus, the test passes and says so; with `REQUIRE_PROMETHEUS=1` it fails.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::exchange;
use crate::{HOT, skip_without};

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_addr() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server without a model, whose log cannot be written, and with few connections for an address.
fn server(dir: &Path, addr: SocketAddr) -> Process {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_server"))
        .args(["--addr", &addr.to_string(), "--connections-per-address-max", "20"])
        .args(["--queue-len-max", "20000", "--model-dir"])
        .arg(dir.join("models"))
        .arg("--data-dir")
        .arg(dir)
        .stderr(full)
        .spawn()
        .unwrap();
    Process(child)
}

/// Prometheus with the rules of `deploy`, whose times are shortened to seconds.
fn prometheus(dir: &Path, addr: SocketAddr, server: SocketAddr) -> Option<Process> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
    let mut rules = fs::read_to_string(deploy.join("prometheus-rules.yml")).unwrap();
    for minutes in ["1m", "2m", "5m", "10m", "15m"] {
        rules = rules
            .replace(&format!("[{minutes}]"), "[8s]")
            .replace(&format!("for: {minutes}"), "for: 1s");
    }
    fs::write(dir.join("prometheus-rules.yml"), rules.replace("interval: 30s", "interval: 1s"))
        .unwrap();
    let config = fs::read_to_string(deploy.join("prometheus.yml")).unwrap();
    let config = config
        .replace("127.0.0.1:5000", &server.to_string())
        .replace("scrape_interval: 10s", "scrape_interval: 500ms")
        .replace("evaluation_interval: 30s", "evaluation_interval: 1s");
    fs::write(dir.join("prometheus.yml"), config).unwrap();
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", dir.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", dir.join("series").display()))
        .arg(format!("--web.listen-address={addr}"))
        .stderr(Stdio::null())
        .spawn();
    match child {
        Ok(child) => Some(Process(child)),
        Err(error) => {
            skip_without("prometheus", "REQUIRE_PROMETHEUS", &error);
            None
        }
    }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(2);
    while !is_there() {
        assert!(Instant::now() < deadline, "{what}");
        thread::park_timeout(Duration::from_millis(100));
    }
}

/// Returns the names of the alerts that fire.
fn firing(prometheus: SocketAddr) -> BTreeSet<String> {
    let answer = exchange(prometheus, "GET", "/api/v1/alerts", "text/plain", "");
    let answer = answer.unwrap_or_default();
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let alerts = body["data"]["alerts"].as_array().cloned().unwrap_or_default();
    let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
    firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().into()).collect()
}

fn batch(n_events: u64, first: u64) -> String {
    (first..first + n_events).fold(String::new(), |mut lines, sequence| {
        let event = HOT.replace(r#""sequence":2"#, &format!(r#""sequence":{sequence}"#));
        writeln!(lines, "{event}").unwrap();
        lines
    })
}

/// Events of a station that learns, and whose sensors are stuck from event 500 on.
fn stuck(range: std::ops::Range<u64>) -> String {
    range.fold(String::new(), |mut lines, sequence| {
        let noise = if sequence < 500 { sequence * 7919 % 101 } else { 50 };
        let [heat, rest] = [400 + noise, 600 + noise * 7 % 101].map(|tenths| tenths as f64 / 10.0);
        let head = r#""station_id":"stuck","timestamp":"2026-01-02T03:04:05Z""#;
        let values = format!(r#""temperature_c":{heat},"humidity_pct":{heat},"sound_db":{rest}"#);
        writeln!(lines, r#"{{{head},"sequence":{sequence},{values}}}"#).unwrap();
        lines
    })
}

/// Seen to fail with counters that appear with their first count, and with a count of anomalies that has
/// a series for each station only.
#[test]
fn every_alert_fires_in_a_real_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let (at, prometheus_at) = (free_addr(), free_addr());
    let Some(_prometheus) = prometheus(dir.path(), prometheus_at, at) else { return };
    let server = server(dir.path(), at);
    let post = |content_type: &str, path: &str, body: &str| {
        // Most alerts are about requests that are refused or not answered.
        let _ = exchange(at, "POST", path, content_type, body);
    };
    wait_for("the server does not start", || TcpStream::connect(at).is_ok());
    wait_for("prometheus does not start", || TcpStream::connect(prometheus_at).is_ok());
    let rules = fs::read_to_string(dir.path().join("prometheus-rules.yml")).unwrap();
    let alerts: BTreeSet<String> =
        rules.split("- alert: ").skip(1).map(|rule| rule.lines().next().unwrap().into()).collect();
    let mut seen = BTreeSet::new();
    let mut wait_for_alerts = |expected: &[&str], act: &mut dyn FnMut()| {
        wait_for(&format!("not all of these fire: {expected:?}"), || {
            act();
            seen.extend(firing(prometheus_at));
            expected.iter().all(|alert| seen.contains(*alert))
        });
    };

    wait_for_alerts(&["A starter model serves", "No events arrive"], &mut || ());
    // Anomalies of stations that had none before, events that are none, and reloads of nothing.
    let mut sequence = 0;
    let expected = [
        "There are many anomalies",
        "A station is sick",
        "Many events are refused",
        "A model was refused",
        "Lines of the log are dropped",
    ];
    wait_for_alerts(&expected, &mut || {
        sequence += 10;
        let new = batch(1, sequence).replace("station_001", &format!("new-{sequence}"));
        post("application/x-ndjson", "/predict/batch", &(batch(5, sequence) + &new));
        (0..5).for_each(|_| post("application/json", "/predict", "{}"));
        post("application/json", "/model/reload", "");
    });
    post("application/x-ndjson", "/predict/batch", &stuck(0..600));
    let mut n_stuck = 600;
    wait_for_alerts(&["A sensor fails"], &mut || {
        n_stuck += 1;
        post("application/x-ndjson", "/predict/batch", &stuck(n_stuck - 1..n_stuck));
    });
    // Another program locks the database: first for a moment, and then for longer than anyone waits.
    let database = rusqlite::Connection::open(dir.path().join("events.db")).unwrap();
    wait_for_alerts(&["The disk is slow", "Answers are slow"], &mut || {
        sequence += 1;
        let event = batch(1, sequence);
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        thread::scope(|scope| {
            scope.spawn(|| post("application/json", "/predict", event.trim()));
            thread::park_timeout(Duration::from_millis(1_200));
            database.execute_batch("ROLLBACK").unwrap();
        });
    });
    let expected = ["Events wait for the disk", "Events are not stored", "Transactions fail"];
    wait_for_alerts(&expected, &mut || {
        sequence += 100_000;
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        thread::scope(|scope| {
            for part in 0..10 {
                let lines = batch(1_000, sequence + part * 1_000);
                scope.spawn(move || post("application/x-ndjson", "/predict/batch", &lines));
            }
            thread::park_timeout(Duration::from_secs(8));
            database.execute_batch("ROLLBACK").unwrap();
        });
    });
    let mut connections = Vec::new();
    wait_for_alerts(&["Connections are refused"], &mut || {
        connections.retain(|stream: &TcpStream| stream.peer_addr().is_ok());
        connections.extend((0..30).filter_map(|_| TcpStream::connect(at).ok()));
        thread::park_timeout(Duration::from_millis(300));
        connections.clear();
    });
    drop(server);
    wait_for_alerts(&["The server does not answer"], &mut || ());
    assert_eq!(seen, alerts);
}
