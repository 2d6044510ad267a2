//! The delay that readers cause to acknowledgements: the same load with and without them, in turn.

use std::io::{ErrorKind, Read as _, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rig::{Connection, Launch, Programs, request};
use tempfile::TempDir;
use wording::grouped;

use crate::args::ReadersArgs;
use crate::events::Events;
use crate::generator::{self, Load};
use crate::report::{self, Figure, median};

const N_STATIONS: u64 = 10_000;
/// As many as one address may have.
const N_STREAMS: usize = 48;
const SCRAPE_PAUSE: Duration = Duration::from_millis(100);
/// Events a second, on schedule: a load that leaves the machine room for the readers.
const RATE: f64 = 5_000.0;
const N_CONNECTIONS: usize = 64;

pub(crate) fn run(args: &ReadersArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let programs = Programs::build()?;
    let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
    let models = scratch.path().join("models");
    programs.train(&models, 42)?;
    let data = TempDir::new_in(scratch.path()).context("cannot make a folder")?;
    let program = args.server.clone().unwrap_or_else(|| programs.path("server"));
    let server = Launch::new(program, &models, data.path())
        .with_args(&["--connections-per-address-max", "4096"])
        .start()?;

    let mut events = Events::of(N_STATIONS);
    let round = Duration::from_secs(if args.quick { 2 } else { 8 });
    let load = Load {
        addr: server.addr(),
        n_connections: N_CONNECTIONS,
        rate: Some(RATE),
        duration: round,
    };
    // All stations are known before anything is measured.
    let batches = Load { n_connections: 4, rate: None, duration: Duration::from_secs(2), ..load };
    generator::run(&batches, |out| events.batch(out))?;

    let n_rounds = if args.quick { 3 } else { 7 };
    let (mut alone, mut beside, mut ratios) = (vec![], vec![], vec![]);
    let (mut n_messages, mut n_scrapes) = (0, 0);
    for _ in 0..n_rounds {
        let mut p99_ms = || -> anyhow::Result<f64> {
            let outcome = generator::run(&load, |out| events.single(out))?;
            ensure!(outcome.n_refused == 0, "{} requests were refused", outcome.n_refused);
            Ok(outcome.percentile_ms(99.0))
        };
        let without = p99_ms()?;
        let readers = Readers::start(server.addr())?;
        let with = p99_ms()?;
        let (messages, scrapes) = readers.stop()?;
        n_messages += messages;
        n_scrapes += scrapes;
        alone.push(without);
        beside.push(with);
        ratios.push(with / without);
    }
    ensure!(n_messages > 0 && n_scrapes > 0, "the readers have read nothing");
    let figure = Figure {
        what: "p99 of `/predict` with 48 streams and 10 scrapes a second, over p99 without them",
        wanted: "at most 1.2",
        measured: format!(
            "{:.2} ({:.1} ms over {:.1} ms), {} messages and {} scrapes read",
            median(ratios),
            median(beside),
            median(alone),
            grouped(n_messages as f64),
            grouped(n_scrapes as f64),
        ),
    };
    report::tell(out, &figure)?;
    if !args.quick {
        let preface = format!(
            "Written by `cargo run --release -p bench -- readers`: {} stations, {} single events a second on schedule over \
             {N_CONNECTIONS} connections, with and without readers in {n_rounds} pairs of rounds; medians. All on one machine, \
             the readers, too.\n\n{}",
            grouped(N_STATIONS as f64),
            grouped(RATE),
            report::machine()?
        );
        report::write(&args.output, "## Readers", &preface, &[figure])?;
    }
    Ok(())
}

/// Clients that watch `/live`, and one that scrapes `/metrics`.
struct Readers {
    is_over: Arc<AtomicBool>,
    streams: JoinHandle<anyhow::Result<u64>>,
    scrapes: JoinHandle<anyhow::Result<u64>>,
}

impl Readers {
    fn start(addr: SocketAddr) -> anyhow::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let opened = (0..N_STREAMS).map(|_| open_stream(addr));
        let streams = opened.collect::<Result<Vec<_>, _>>().context("cannot open a stream")?;
        let (of_streams, of_scrapes) = (Arc::clone(&is_over), Arc::clone(&is_over));
        let streams = thread::spawn(move || read_streams(streams, &of_streams));
        let scrapes = thread::spawn(move || scrape(addr, &of_scrapes));
        Ok(Self { is_over, streams, scrapes })
    }

    /// Ends the reading, and returns the number of messages and of scrapes.
    fn stop(self) -> anyhow::Result<(u64, u64)> {
        self.is_over.store(true, Ordering::Relaxed);
        let joined = |thread: JoinHandle<anyhow::Result<u64>>| {
            thread.join().map_err(|_| anyhow::anyhow!("a reader has panicked"))?
        };
        Ok((joined(self.streams)?, joined(self.scrapes)?))
    }
}

fn open_stream(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(addr)?;
    stream.write_all(&request("GET", "/live", "", ""))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Reads what comes on all streams, and counts the messages.
fn read_streams(mut streams: Vec<TcpStream>, is_over: &AtomicBool) -> anyhow::Result<u64> {
    let mut n_messages = 0;
    let mut chunk = vec![0; 256 * 1024];
    while !is_over.load(Ordering::Relaxed) {
        for stream in &mut streams {
            match stream.read(&mut chunk) {
                Ok(0) => anyhow::bail!("the server has ended a stream"),
                Ok(n_read) => {
                    let is_begin = |window: &&[u8]| *window == b"event: ";
                    let begun = chunk[..n_read].windows(7).filter(is_begin).count();
                    n_messages += begun as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot read a stream"),
            }
        }
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, which only reads")]
        thread::sleep(Duration::from_millis(20));
    }
    Ok(n_messages)
}

fn scrape(addr: SocketAddr, is_over: &AtomicBool) -> anyhow::Result<u64> {
    let mut connection =
        Connection::open(addr, Duration::from_secs(10)).context("cannot connect")?;
    let mut n_scrapes = 0;
    while !is_over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = connection.get("/metrics").context("cannot scrape")?;
        ensure!(answer.status == 200, "a scrape was refused: {}", answer.status);
        n_scrapes += 1;
        #[expect(clippy::disallowed_methods, reason = "a thread of its own, which only reads")]
        thread::sleep(SCRAPE_PAUSE.saturating_sub(begun.elapsed()));
    }
    Ok(n_scrapes)
}
