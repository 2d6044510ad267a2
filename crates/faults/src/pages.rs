//! Pages of a large floor, asked for on many connections at once.
//!
//! Seen to fail with a server that makes a page for each request at the same time: every one that waits to read holds
//! a snapshot of all stations.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rig::{event, request};

use crate::Verdict;
use crate::load::Load;
use crate::open_files::allow_open_files;
use crate::stage::Stage;

/// More memory than a server needs for all its budgets together, and less than the unit in `deploy` allows.
const RESIDENT_KIB_MAX: u64 = 320 * 1024;
const N_STATIONS: u64 = 10_000;
const BATCH_LEN: u64 = 1_000;
/// Batches of the whole floor: a station that has sent so often is no invented name.
const N_ROUNDS: u64 = 2;
/// Events of the station whose page is asked for, too: the more, the longer it takes to read.
const N_OF_STATION: u64 = 200_000;
const N_CONNECTIONS: usize = 2_000;
/// Requests of each, one after the other.
const N_REQUESTS: usize = 20;
/// Time for the server to make what it can.
const ASKED_FOR: Duration = Duration::from_secs(15);

pub(crate) fn cause(stage: &Stage) -> anyhow::Result<Verdict> {
    allow_open_files(N_CONNECTIONS)?;
    let folder = stage.folder()?;
    let server = stage.launch(folder.path()).start()?;
    let mut connection = server.connect().context("cannot connect")?;
    let of_floor =
        (0..N_ROUNDS).flat_map(|round| (0..N_STATIONS).map(move |station| (station, round)));
    let of_station = (0..N_OF_STATION).map(|sequence| (0, N_ROUNDS + sequence));
    let all: Vec<(u64, u64)> = of_floor.chain(of_station).collect();
    for batch in all.chunks(usize::try_from(BATCH_LEN)?) {
        let events: Vec<String> =
            batch.iter().map(|&(station, sequence)| event(station, sequence)).collect();
        let body = format!("[{}]", events.join(","));
        let answer =
            connection.exchange(&request("POST", "/predict/batch", "application/json", &body))?;
        ensure!(answer.status == 200, "a batch is answered with {}", answer.status);
    }

    let page = "Host: localhost\r\nAccept: text/html\r\n\r\n";
    let asked = ["/", "/ui/stations/station_000"]
        .map(|path| format!("GET {path} HTTP/1.1\r\n{page}").repeat(N_REQUESTS));
    let load = Load::default();
    thread::scope(|scope| -> anyhow::Result<()> {
        // Each event makes a new snapshot.
        let sending = scope.spawn(|| load.run(server.addr(), 8));
        let mut unread = Vec::new();
        for index in 0..N_CONNECTIONS {
            let mut stream = TcpStream::connect(server.addr()).context("cannot connect")?;
            stream
                .write_all(asked[usize::from(index % 50 == 0)].as_bytes())
                .context("cannot ask")?;
            unread.push(stream);
        }
        let begun = Instant::now();
        let mut ended = Ok(());
        while begun.elapsed() < ASKED_FOR && ended.is_ok() {
            thread::park_timeout(Duration::from_millis(50));
            ended = server.is_running().and_then(|runs| {
                ensure!(runs, "the server ended");
                Ok(())
            });
        }
        load.stop();
        let answered = sending.join().expect("clients do not panic");
        ended?;
        ensure!(!answered.acknowledged.is_empty(), "no event is stored meanwhile");
        Ok(())
    })?;
    let peak = server.peak_resident_kib()?;
    ensure!(peak <= RESIDENT_KIB_MAX, "{} MiB resident", peak / 1024);
    Ok(Verdict::Kept(format!(
        "{N_CONNECTIONS} connections that ask for pages of {N_STATIONS} stations while events arrive: at most {} MiB resident",
        peak / 1024
    )))
}
