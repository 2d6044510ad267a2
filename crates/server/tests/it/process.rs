//! The program as a process: how it dies, and how it stops.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// A server in its own process, and the address that it told its log.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) addr: String,
}

impl Process {
    fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_server"))
            .args(["--addr", "127.0.0.1:0", "--model-dir"])
            .arg(dir)
            .arg("--data-dir")
            .arg(dir)
            .args(args)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let addr = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "the server ended before it listened");
            if let Some((_, addr)) = line.trim_end().split_once("listening on http://") {
                break String::from(addr);
            }
        };
        // The rest is discarded: a full pipe must not stop the server.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, addr }
    }
}

/// Kills it, also when a test fails.
impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a request on a connection of its own and returns the whole answer.
pub(crate) fn exchange(
    addr: impl ToSocketAddrs,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Posts an event and says whether it was acknowledged.
fn post(addr: &str, sequence: u64) -> bool {
    let body = crate::GOOD.replace(r#""sequence":1"#, &format!(r#""sequence":{sequence}"#));
    exchange(addr, "POST", "/predict", "application/json", &body)
        .is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("}\n"))
}

fn stored_sequences(dir: &Path) -> Vec<u64> {
    let connection = rusqlite::Connection::open(dir.join("events.db")).unwrap();
    let mut statement =
        connection.prepare("SELECT sequence FROM predictions ORDER BY sequence").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

/// Sends events from four threads until the server is gone, and gives the acknowledged ones.
fn load_until_gone(addr: &str, n_sent: &AtomicU64) -> Vec<u64> {
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut acknowledged = Vec::new();
                    loop {
                        let sequence = n_sent.fetch_add(1, Ordering::Relaxed);
                        if !post(addr, sequence) {
                            return acknowledged;
                        }
                        acknowledged.push(sequence);
                    }
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

/// Kills a server under load and compares what it had acknowledged with what is stored.
fn check_kill(signal: &str, loops: u64) {
    let dir = tempfile::tempdir().unwrap();
    crate::model(42).detector.save(dir.path()).unwrap();
    let n_sent = AtomicU64::new(0);
    let mut acknowledged = Vec::new();
    for round in 1..=loops {
        let mut process = Process::start(dir.path());
        let pid = process.child.id().to_string();
        thread::scope(|scope| {
            let load = scope.spawn(|| load_until_gone(&process.addr, &n_sent));
            let enough = n_sent.load(Ordering::Relaxed) + 40 * round;
            while n_sent.load(Ordering::Relaxed) < enough {
                thread::yield_now();
            }
            assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
            acknowledged.extend(load.join().unwrap());
        });
        let status = process.child.wait().unwrap();
        assert_eq!(status.success(), signal == "-TERM", "{status}");
    }

    let stored = stored_sequences(dir.path());
    assert!(stored.windows(2).all(|pair| pair[0] < pair[1]), "an event is stored twice");
    acknowledged.sort_unstable();
    assert!(acknowledged.len() > 40, "the load was too light to show anything");
    let lost: Vec<_> =
        acknowledged.iter().filter(|sequence| stored.binary_search(sequence).is_err()).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");

    let connection = rusqlite::Connection::open(dir.path().join("events.db")).unwrap();
    let counted: u64 =
        connection.query_row("SELECT events FROM totals", [], |row| row.get(0)).unwrap();
    assert_eq!(counted, stored.len() as u64);
}

/// Seen to fail with a writer that answers before it commits.
#[test]
fn no_acknowledged_event_is_lost_when_the_server_is_killed() {
    check_kill("-KILL", 5);
}

#[test]
fn a_server_that_is_stopped_loses_nothing_and_exits_with_0() {
    check_kill("-TERM", 3);
}

/// Runs the program and returns whether it succeeded and what it printed.
fn run(arguments: &[&str], dir: &Path) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_server"))
        .args(arguments)
        .arg("--data-dir")
        .arg(dir)
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(printed).unwrap())
}

#[test]
fn events_are_exported_while_the_server_runs() {
    let dir = tempfile::tempdir().unwrap();
    crate::model(42).detector.save(dir.path()).unwrap();
    let (is_done, printed) = run(&["export"], dir.path());
    assert!(!is_done && printed.contains("cannot export"), "{printed}");
    let process = Process::start(dir.path());
    let (is_done, printed) = run(&["export"], dir.path());
    assert!(!is_done && printed.contains("has no event as asked for"), "{printed}");
    assert!((1..=3).all(|sequence| post(&process.addr, sequence)));
    let csv = dir.path().join("events.csv");
    let csv = csv.to_str().unwrap();
    let (is_done, printed) = run(&["export", "--scores", "--output", csv], dir.path());
    assert!(is_done && printed.starts_with("exported 3 events to `"), "{printed}");
    let exported = std::fs::read_to_string(csv).unwrap();
    let rows: Vec<Vec<&str>> = exported.lines().map(|row| row.split(',').collect()).collect();
    let names = "timestamp,station_id,sequence,humidity_pct,sound_db,temperature_c,anomaly_score,p_value,is_anomaly,evidence,model_version";
    assert_eq!(rows[0].join(","), names);
    assert_eq!(rows[1..].iter().map(|row| row[2]).collect::<Vec<_>>(), ["1", "2", "3"]);
    let (is_done, printed) = run(&["export", "--station", "another"], dir.path());
    assert!(!is_done && printed.contains("has no event as asked for"), "{printed}");
    let (is_done, printed) = run(&["export", "--until", rows[1][0]], dir.path());
    assert!(!is_done && printed.contains("has no event as asked for"), "{printed}");
    let (is_done, printed) = run(&["export", "--since", rows[1][0]], dir.path());
    assert!(is_done && printed.contains(&rows[1][..6].join(",")), "{printed}");
}

#[test]
fn a_backup_is_made_while_the_server_runs_and_restored_while_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    crate::model(42).detector.save(dir.path()).unwrap();
    let backup = dir.path().join("backup.db");
    let backup = backup.to_str().unwrap();
    let mut process = Process::start(dir.path());
    assert!(post(&process.addr, 1));
    let (is_done, printed) = run(&["backup", backup], dir.path());
    assert!(is_done && printed.starts_with("backed up 1 prediction from `"), "{printed}");
    assert!(post(&process.addr, 2));
    let (is_done, printed) = run(&["restore", backup], dir.path());
    assert!(!is_done && printed.contains("is in use by another server"), "{printed}");
    let pid = process.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert!(process.child.wait().unwrap().success());
    assert_eq!(stored_sequences(dir.path()), [1, 2]);

    let (is_done, printed) = run(&["restore", backup], dir.path());
    assert!(is_done && printed.contains("events.db.replaced-1"), "{printed}");
    assert_eq!(stored_sequences(dir.path()), [1]);
    let (is_done, printed) = run(&["verify", backup], dir.path());
    assert!(is_done && printed.contains("all of them are as they were written"), "{printed}");
    let (is_done, printed) = run(&["backup", backup], dir.path());
    assert!(!is_done && printed.contains("exists already"), "{printed}");
}
