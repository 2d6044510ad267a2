//! Many connections on which next to nothing comes.
//!
//! Seen to fail without the time limit on headers, and without the one on bodies.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rig::{ServerProcess, request};

use crate::Verdict;
use crate::load;
use crate::open_files::allow_open_files;
use crate::stage::Stage;

/// All of them have to be gone after so long.
const GONE_AFTER: Duration = Duration::from_secs(12);
/// The time for which good clients are watched without bad ones.
const IDLE: Duration = Duration::from_secs(5);
/// The machine may be busy with something else for a while; the server is judged by its best round.
const N_ROUNDS: usize = 3;

pub(crate) fn cause(stage: &Stage, n_connections: usize) -> anyhow::Result<Verdict> {
    allow_open_files(n_connections)?;
    for _ in 1..N_ROUNDS {
        if let Ok(figures) = round(stage, n_connections)? {
            return Ok(Verdict::Kept(figures));
        }
    }
    round(stage, n_connections)?.map(Verdict::Kept).map_err(anyhow::Error::msg)
}

/// Gives the figures, or how much good clients suffered.
fn round(stage: &Stage, n_connections: usize) -> anyhow::Result<Result<String, String>> {
    let folder = stage.folder()?;
    let server = stage.launch(folder.path()).start()?;
    let next = AtomicU64::new(0);
    let idle = p99(&server, &next, |is_done| {
        thread::park_timeout(IDLE);
        is_done.store(true, Ordering::Relaxed);
        Ok(())
    })?
    .0;
    let (attacked, last_gone) = p99(&server, &next, |is_done| {
        let done = crawl(server.addr(), n_connections);
        is_done.store(true, Ordering::Relaxed);
        done
    })?;
    if attacked >= 2 * idle {
        return Ok(Err(format!("the p99 of good clients went from {idle:?} to {attacked:?}")));
    }
    Ok(Ok(format!(
        "{n_connections} slow connections gone after {:.1} s; p99 of good clients {:.1} ms, {:.1} ms without them",
        last_gone.as_secs_f64(),
        attacked.as_secs_f64() * 1e3,
        idle.as_secs_f64() * 1e3
    )))
}

/// Returns the 99th percentile of how long four good clients wait while `meanwhile` runs.
fn p99<T>(
    server: &ServerProcess,
    next: &AtomicU64,
    meanwhile: impl FnOnce(&AtomicBool) -> anyhow::Result<T>,
) -> anyhow::Result<(Duration, T)> {
    let is_done = AtomicBool::new(false);
    let client = || -> anyhow::Result<Vec<Duration>> {
        let mut connection = server.connect().context("a good client cannot connect")?;
        let mut waited = Vec::new();
        while !is_done.load(Ordering::Relaxed) {
            let event = load::event(next.fetch_add(1, Ordering::Relaxed));
            let begun = Instant::now();
            let answer = connection.predict(&event).context("a good client is not answered")?;
            ensure!(answer.status == 200, "a good client was answered with {}", answer.status);
            waited.push(begun.elapsed());
        }
        Ok(waited)
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        let done = meanwhile(&is_done);
        is_done.store(true, Ordering::Relaxed);
        let mut waited = Vec::new();
        for client in clients {
            waited.extend(client.join().expect("a client does not panic")?);
        }
        waited.sort_unstable();
        let p99 = waited[waited.len() * 99 / 100];
        Ok((p99, done?))
    })
}

/// Opens connections, sends a byte a second on each, and tells when the last one was closed.
fn crawl(addr: SocketAddr, n_connections: usize) -> anyhow::Result<Duration> {
    // One half is slow with headers, the other with a body.
    let head = request("POST", "/predict", "application/json", &" ".repeat(1_000));
    let body_begin = head.len() - 1_000;
    let begun = Instant::now();
    let mut open = Vec::new();
    for index in 0..n_connections {
        let mut stream = TcpStream::connect(addr).context("cannot connect")?;
        stream.set_nonblocking(true).context("cannot set up a connection")?;
        let sent = if index % 2 == 0 { 20 } else { body_begin };
        stream.write_all(&head[..sent]).context("cannot send")?;
        open.push((stream, sent));
    }
    let mut last_gone = Duration::ZERO;
    while !open.is_empty() {
        let waited = begun.elapsed();
        ensure!(waited < GONE_AFTER, "{} connections are open after {waited:?}", open.len());
        thread::park_timeout(Duration::from_millis(500).min(GONE_AFTER.saturating_sub(waited)));
        let is_second = begun.elapsed().as_millis() % 1_000 < 500;
        open.retain_mut(|(stream, sent)| {
            if is_second {
                // A closed client notices below.
                let _ = stream.write_all(&head[*sent..=*sent]);
                *sent += 1;
            }
            is_open(stream)
        });
        last_gone = begun.elapsed();
    }
    Ok(last_gone)
}

fn is_open(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 4_096];
    loop {
        match stream.read(&mut answer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}
