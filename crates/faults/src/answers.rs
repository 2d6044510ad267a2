//! Small requests with large answers that are not read, beside bodies that do not end.
//!
//! Seen to fail with a server that makes the answer to a batch in one piece and names every fault, with
//! one that lists the events of a batch that waits for its turn, and with one that reserves nothing for
//! bodies of 16 KiB.

use std::io::Write as _;
use std::iter;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rig::request;

use crate::Verdict;
use crate::load;
use crate::open_files::allow_open_files;
use crate::stage::Stage;

/// More memory than a server needs for all its budgets together, and less than it took when bodies of 16 KiB were in none.
const RESIDENT_KIB_MAX: u64 = 192 * 1024;
const N_EVENTS: usize = 10_000;
const N_CONNECTIONS: usize = 2_000;
/// Connections with a body that lacks its last byte.
const N_UNFINISHED: usize = 1_000;
const UNFINISHED_LEN: usize = 16 * 1024;
/// Time for the server to do what it can for clients that do not read.
const UNREAD: Duration = Duration::from_secs(3);

pub(crate) fn cause(stage: &Stage) -> anyhow::Result<Verdict> {
    allow_open_files(N_UNFINISHED + N_CONNECTIONS)?;
    let narrow = attempt(stage, 3)?;
    let wide = attempt(stage, 500)?;
    let widest = attempt(stage, 1_000)?;
    Ok(Verdict::Kept(format!(
        "{N_CONNECTIONS} clients that sent {N_EVENTS} empty events each and did not read, and {N_UNFINISHED} that did not end \
         their body: at most {narrow} MiB resident with 3 features, {wide} MiB with 500 and {widest} MiB with 1,000; one that \
         reads is answered"
    )))
}

/// Returns how much memory a server with so many features has held, in MiB.
fn attempt(stage: &Stage, n_features: usize) -> anyhow::Result<u64> {
    let folder = stage.folder()?;
    let mut launch = stage.launch(folder.path());
    launch.model_dir = stage.wide_models(n_features)?;
    let server = launch.start()?;
    let events = vec!["{}"; N_EVENTS].join(",");
    let batch = request("POST", "/predict/batch", "application/json", &format!("[{events}]"));
    let mut unfinished =
        request("POST", "/predict/batch", "application/json", &" ".repeat(UNFINISHED_LEN));
    unfinished.pop();

    let mut open = Vec::new();
    let requests =
        iter::repeat_n(&unfinished, N_UNFINISHED).chain(iter::repeat_n(&batch, N_CONNECTIONS));
    for request in requests {
        let mut stream = TcpStream::connect(server.addr()).context("cannot connect")?;
        stream.set_write_timeout(Some(UNREAD)).context("cannot set a timeout")?;
        // The server may have as much as it takes.
        let _ = stream.write_all(request);
        open.push(stream);
    }
    let begun = Instant::now();
    while begun.elapsed() < UNREAD {
        thread::park_timeout(Duration::from_millis(50));
        ensure!(server.is_running()?, "the server ended");
    }
    let mut connection = server.connect().context("cannot connect")?;
    // It has another feature, so it is refused; what counts is that it is answered.
    let answer =
        connection.predict(&load::event(1)).context("a client that reads is not answered")?;
    ensure!(
        [200, 422].contains(&answer.status),
        "answered with {}: {}",
        answer.status,
        answer.body
    );
    drop(open);

    let peak = server.peak_resident_kib()?;
    ensure!(peak <= RESIDENT_KIB_MAX, "{} MiB resident with {n_features} features", peak / 1024);
    Ok(peak / 1024)
}
