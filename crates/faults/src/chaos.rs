//! Random combinations of all faults, each schedule drawn from a seed.
//!
//! After each step the server answers, or has ended because the schedule made it. After each end of the
//! server every acknowledged event is stored once, with the score that was acknowledged.
//!
//! Seen to fail with servers that answer before they commit, that write their log where it happens, that
//! show a row without checking its hash, and that do not look whether the WAL was truncated.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use detector::{ARTEFACT_FILE, META_FILE};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use rig::{Answer, Connection, DISK_SHIM, Launch, ServerProcess, compile_shim, request};
use tempfile::TempDir;

use crate::Verdict;
use crate::diskfull::set_file_size_limit;
use crate::load;
use crate::stage::Stage;
use crate::stored::{self, DATABASE_FILE};

/// Steps of a schedule.
const N_STEPS: u32 = 8;
/// The library that changes the time of a program, where it is installed.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

pub(crate) fn cause(stage: &Stage, schedules: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let shim = compile_shim(DISK_SHIM, "disk", folder.path()).ok();
    let faketime = FAKETIME.map(PathBuf::from).into_iter().find(|library| library.exists());
    let mut tally = Tally::default();
    for number in 0..schedules {
        let seed = stage.seed().wrapping_add(number);
        let mut schedule = Schedule::new(stage, seed, shim.as_deref(), faketime.as_deref())?;
        schedule.run(&mut tally).with_context(|| {
            let steps = schedule.steps.join(", ");
            format!(
                "seed {seed} ({steps}); repeat it with `faults --seed {seed} chaos --schedules 1`"
            )
        })?;
    }
    let without = match (shim, faketime) {
        (Some(_), Some(_)) => "",
        (None, _) => "; without a C compiler, calls did not fail",
        (_, None) => "; without libfaketime, clocks did not jump",
    };
    let Tally { steps, acknowledged, starts } = tally;
    Ok(Verdict::Kept(format!(
        "{schedules} schedules with {steps} steps, {starts} starts, {acknowledged} events acknowledged, none lost or \
         altered{without}"
    )))
}

#[derive(Debug, Default)]
struct Tally {
    steps: u64,
    acknowledged: u64,
    starts: u64,
}

/// The faults that a server was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Calls {
    Sound,
    SlowSyncs,
    /// One call fails, and so may the server.
    OneFails,
}

/// A random sequence of faults.
struct Schedule<'a> {
    stage: &'a Stage,
    seed: u64,
    rng: ChaCha8Rng,
    folder: TempDir,
    shim: Option<&'a Path>,
    faketime: Option<&'a Path>,
    server: Option<ServerProcess>,
    calls: Calls,
    /// The end of a log that is not read, kept open.
    unread_log: Option<io::PipeReader>,
    /// Scores by the numbers of the acknowledged events.
    acknowledged: BTreeMap<u64, f64>,
    next: AtomicU64,
    readers: Vec<rusqlite::Connection>,
    stalled: Vec<TcpStream>,
    /// The steps so far, for the report.
    steps: Vec<String>,
}

impl<'a> Schedule<'a> {
    fn new(
        stage: &'a Stage,
        seed: u64,
        shim: Option<&'a Path>,
        faketime: Option<&'a Path>,
    ) -> anyhow::Result<Self> {
        let schedule = Self {
            stage,
            seed,
            rng: ChaCha8Rng::seed_from_u64(seed),
            folder: stage.folder()?,
            shim,
            faketime,
            server: None,
            calls: Calls::Sound,
            unread_log: None,
            acknowledged: BTreeMap::new(),
            next: AtomicU64::new(0),
            readers: Vec::new(),
            stalled: Vec::new(),
            steps: Vec::new(),
        };
        fs::create_dir(schedule.models()).context("cannot make a folder")?;
        schedule.put_model(&stage.models())?;
        schedule.set_clock("+0")?;
        Ok(schedule)
    }

    fn run(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        self.start(tally)?;
        for step in 0..N_STEPS {
            // How much is drawn depends on the time that things take, so each step has draws of its own.
            self.rng = ChaCha8Rng::seed_from_u64(
                self.seed.wrapping_mul(1_000_003).wrapping_add(step.into()),
            );
            let time = Duration::from_millis(self.rng.random_range(20..150));
            self.load(time)?;
            self.step(tally)?;
            self.check_answers()?;
            tally.steps += 1;
        }
        self.end(true)?;
        tally.acknowledged += self.acknowledged.len() as u64;
        Ok(())
    }

    fn step(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        let kind = self.rng.random_range(0..13);
        let name = match kind {
            0 => "kill",
            1 => "stop",
            2 => "pause",
            3 => "jump of the clock",
            4 => "full disk",
            5 => "reload",
            6 => "reader",
            7 => "stalled clients",
            8 => "hostile clients",
            9 => "damaged copy",
            10 => "truncated WAL of a copy",
            11 => "repetitions",
            _ => "readers and clients go",
        };
        self.steps.push(name.into());
        match kind {
            0 | 1 => {
                self.end(kind == 1)?;
                self.start(tally)
            }
            2 => self.pause(),
            3 => {
                let jump = ["+40d", "-40d", "-400d", "+3h", "+0"][self.rng.random_range(0..5)];
                self.steps.push(jump.into());
                self.set_clock(jump)
            }
            4 => self.fill_disk(),
            5 => self.reload(),
            6 => self.read_for_long(),
            7 => self.stall(),
            8 => self.attack(),
            9 => {
                self.end(true)?;
                self.damage_copy()?;
                self.start(tally)
            }
            10 => {
                self.end(false)?;
                self.truncate_copy()?;
                self.start(tally)
            }
            11 => self.repeat(),
            _ => {
                self.readers.clear();
                self.stalled.clear();
                Ok(())
            }
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn clock(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn set_clock(&self, offset: &str) -> anyhow::Result<()> {
        let path = self.clock();
        fs::write(&path, format!("{offset}\n")).context("cannot set the clock")
    }

    fn put_model(&self, from: &Path) -> anyhow::Result<()> {
        for name in [ARTEFACT_FILE, META_FILE] {
            fs::copy(from.join(name), self.models().join(name)).context("cannot copy a model")?;
        }
        Ok(())
    }

    /// Starts the server with a log and calls that may be faulty, and without where that fails.
    fn start(&mut self, tally: &mut Tally) -> anyhow::Result<()> {
        tally.starts += 1;
        self.calls = match self.rng.random_range(0..10) {
            0 | 1 if self.shim.is_some() => Calls::OneFails,
            2 | 3 if self.shim.is_some() => Calls::SlowSyncs,
            _ => Calls::Sound,
        };
        let fail_at = self.rng.random_range(1..300);
        let mut launch = self.stage.launch(&self.data()).with_args(&["--log", "debug"]);
        launch.model_dir = self.models();
        let launch = self.with_libraries(launch, fail_at);
        let log = self.log()?;
        let started = match log {
            None => launch.start(),
            Some(log) => launch.start_with_log(log),
        };
        self.server = Some(match started {
            Ok(server) => server,
            Err(_) if self.calls == Calls::OneFails => {
                self.calls = Calls::Sound;
                let mut launch = self.stage.launch(&self.data());
                launch.model_dir = self.models();
                launch.start()?
            }
            Err(error) => return Err(error),
        });
        Ok(())
    }

    fn with_libraries(&self, launch: Launch, fail_at: u32) -> Launch {
        let mut libraries: Vec<String> = Vec::new();
        let mut launch = launch;
        if let Some(faketime) = self.faketime {
            libraries.push(faketime.display().to_string());
            launch = launch
                .with_env("FAKETIME_TIMESTAMP_FILE", &self.clock().display().to_string())
                .with_env("FAKETIME_NO_CACHE", "1")
                .with_env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        if let (Some(shim), true) = (self.shim, self.calls != Calls::Sound) {
            libraries.push(shim.display().to_string());
            launch = launch.with_env("DISK_DIR", &self.data().display().to_string());
            launch = if self.calls == Calls::SlowSyncs {
                launch.with_env("SYNC_DELAY_US", "20000")
            } else {
                let kind = if fail_at.is_multiple_of(2) { "sync" } else { "write" };
                launch.with_env("FAIL_KIND", kind).with_env("FAIL_AT", &fail_at.to_string())
            };
        }
        if libraries.is_empty() {
            launch
        } else {
            launch.with_env("LD_PRELOAD", &libraries.join(":"))
        }
    }

    /// Returns a log that does not work; `None` for one that does.
    fn log(&mut self) -> anyhow::Result<Option<Stdio>> {
        self.unread_log = None;
        Ok(match self.rng.random_range(0..10) {
            0 => {
                Some(File::options().write(true).open("/dev/full").context("no /dev/full")?.into())
            }
            1 | 2 => {
                let (reader, writer) = io::pipe().context("cannot make a pipe")?;
                // Closed at once, or kept and never read.
                self.unread_log = self.rng.random_bool(0.5).then_some(reader);
                Some(writer.into())
            }
            _ => None,
        })
    }

    fn server(&self) -> anyhow::Result<&ServerProcess> {
        self.server.as_ref().context("there is no server")
    }

    /// Sends events from four clients.
    fn load(&mut self, time: Duration) -> anyhow::Result<()> {
        let addr = self.server()?.addr();
        let deadline = Instant::now() + time;
        let answered = Mutex::new(Vec::new());
        let client = || -> anyhow::Result<()> {
            let Ok(mut connection) = Connection::open(addr, Duration::from_secs(20)) else {
                return Ok(());
            };
            while Instant::now() < deadline {
                let sequence = self.next.fetch_add(1, Ordering::Relaxed);
                let Ok(answer) = connection.predict(&load::event(sequence)) else { return Ok(()) };
                if let Some(score) = score_of(&answer)? {
                    let mut answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
                    answered.push((sequence, score));
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
            clients
                .into_iter()
                .try_for_each(|client| client.join().expect("a client does not panic"))
        })?;
        self.acknowledged.extend(answered.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// Ends the server, and compares what is stored with what was acknowledged.
    fn end(&mut self, gently: bool) -> anyhow::Result<()> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        let may_fail = self.calls == Calls::OneFails;
        if gently && server.is_running()? {
            let status = server.stop()?;
            ensure!(status.success() || may_fail, "it ended with {status}: {}", server.log());
        } else {
            ensure!(server.is_running()? || may_fail, "it had ended: {}", server.log());
            server.kill()?;
        }
        drop(server);
        let stored = stored::scores(&self.data())?;
        for (sequence, score) in &self.acknowledged {
            match stored.get(sequence) {
                None => bail!("event {sequence} was acknowledged and is lost"),
                Some(stored) if stored != score => {
                    bail!("event {sequence} was acknowledged with {score}, and {stored} is stored");
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Fails if the server does not answer.
    fn check_answers(&mut self) -> anyhow::Result<()> {
        let server = self.server()?;
        if !server.is_running()? {
            ensure!(self.calls == Calls::OneFails, "it has ended: {}", server.log());
            // A writer that cannot go on ends the server.
            self.end(false)?;
            return self.start(&mut Tally::default());
        }
        let mut connection = server.connect().context("it does not accept")?;
        for (path, statuses) in [
            ("/livez", &[200][..]),
            ("/readyz", &[200, 503]),
            ("/metrics", &[200]),
            ("/", &[200]),
            ("/events?limit=1000", &[200, 503]),
            ("/latest_anomalies", &[200, 503]),
        ] {
            let answer =
                connection.get(path).with_context(|| format!("{path} was not answered"))?;
            ensure!(statuses.contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
            if path.starts_with("/events") && answer.status == 200 {
                self.check_unaltered(&answer)?;
            }
        }
        Ok(())
    }

    /// Fails if a list shows another score than was acknowledged.
    fn check_unaltered(&self, answer: &Answer) -> anyhow::Result<()> {
        for event in answer.json()["events"].as_array().context("a list has no events")? {
            let sequence = event["sequence"].as_u64().context("an event has no number")?;
            let shown = event["anomaly_score"].as_f64();
            if let Some(score) = self.acknowledged.get(&sequence) {
                ensure!(
                    shown == Some(*score),
                    "event {sequence}: {score} was acknowledged, {event} is shown"
                );
            }
        }
        Ok(())
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        let time = Duration::from_millis(self.rng.random_range(50..1_500));
        self.server()?.signal("STOP")?;
        thread::park_timeout(time);
        self.server()?.signal("CONT")
    }

    fn fill_disk(&mut self) -> anyhow::Result<()> {
        let len = fs::metadata(self.data().join(DATABASE_FILE)).map_or(0, |file| file.len());
        let limit = len + self.rng.random_range(0..200_000);
        set_file_size_limit(self.server()?, &format!("{limit}:unlimited"))?;
        self.load(Duration::from_millis(200))?;
        set_file_size_limit(self.server()?, "unlimited:unlimited")
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        match self.rng.random_range(0..4) {
            0 => self.put_model(&self.stage.models())?,
            1 => self.put_model(&self.stage.other_models())?,
            2 => {
                fs::write(self.models().join(ARTEFACT_FILE), "no model").context("cannot write")?;
            }
            _ => {
                let file =
                    File::create(self.models().join(ARTEFACT_FILE)).context("cannot write")?;
                file.set_len(8 << 30).context("cannot make a large file")?;
            }
        }
        let mut connection = self.server()?.connect().context("cannot connect")?;
        for _ in 0..self.rng.random_range(1..20) {
            let answer = connection.exchange(&request("POST", "/model/reload", "", ""));
            let status = answer.context("a reload was not answered")?.status;
            ensure!([200, 409].contains(&status), "a reload was answered with {status}");
        }
        // The next start needs a model.
        self.put_model(&self.stage.models())
    }

    fn read_for_long(&mut self) -> anyhow::Result<()> {
        let path = self.data().join(DATABASE_FILE);
        let connection = rusqlite::Connection::open(path).context("cannot open the database")?;
        connection
            .execute_batch("BEGIN; SELECT count(*) FROM totals")
            .context("cannot read the database")?;
        self.readers.push(connection);
        Ok(())
    }

    fn stall(&mut self) -> anyhow::Result<()> {
        for _ in 0..self.rng.random_range(1..40) {
            let mut stream = TcpStream::connect(self.server()?.addr()).context("cannot connect")?;
            stream
                .write_all(b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                    Transfer-Encoding: chunked\r\n\r\n5\r\n[{},{")
                .context("cannot write")?;
            self.stalled.push(stream);
        }
        Ok(())
    }

    fn attack(&mut self) -> anyhow::Result<()> {
        let batch = format!("[{}]", vec!["{}"; 10_000].join(","));
        for _ in 0..self.rng.random_range(1..10) {
            let bytes = match self.rng.random_range(0..4) {
                0 => request("POST", "/predict/batch", "application/json", &batch),
                1 => (0..5_000).map(|_| self.rng.random()).collect(),
                2 => format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(20_000)).into_bytes(),
                _ => request("POST", "/predict", "application/json", &"[".repeat(15_000)),
            };
            let mut stream = TcpStream::connect(self.server()?.addr()).context("cannot connect")?;
            stream
                .set_write_timeout(Some(Duration::from_secs(1)))
                .context("cannot set a timeout")?;
            // It may be cut off, and the answer is not read.
            let _ = stream.write_all(&bytes);
            self.stalled.push(stream);
        }
        Ok(())
    }

    /// Sends acknowledged events again: they get their first answer.
    fn repeat(&mut self) -> anyhow::Result<()> {
        let mut connection = self.server()?.connect().context("cannot connect")?;
        let sequences: Vec<u64> = self.acknowledged.keys().copied().collect();
        for _ in 0..sequences.len().min(20) {
            let sequence = sequences[self.rng.random_range(0..sequences.len())];
            let answer = connection.predict(&load::event(sequence)).context("not answered")?;
            if let Some(score) = score_of(&answer)? {
                let first = self.acknowledged[&sequence];
                ensure!(score == first, "event {sequence}: {first} was acknowledged, now {score}");
            }
        }
        Ok(())
    }

    /// Returns a copy of the files of the server, which has ended.
    fn copy(&mut self) -> anyhow::Result<TempDir> {
        // To close a file takes away the locks that SQLite has on it in this process.
        self.readers.clear();
        let copy = self.stage.folder()?;
        for entry in fs::read_dir(self.data()).context("cannot read the folder")? {
            let entry = entry.context("cannot read the folder")?;
            fs::copy(entry.path(), copy.path().join(entry.file_name())).context("cannot copy")?;
        }
        Ok(copy)
    }

    /// Damages a copy: a server starts with it or says why not, and shows nothing that is altered.
    fn damage_copy(&mut self) -> anyhow::Result<()> {
        let copy = self.copy()?;
        let path = copy.path().join(DATABASE_FILE);
        let mut bytes = fs::read(&path).context("cannot read the copy")?;
        let len = bytes.len();
        match self.rng.random_range(0..3) {
            0 => bytes.truncate(self.rng.random_range(0..len)),
            1 => {
                let page = self.rng.random_range(0..len / 4_096) * 4_096;
                bytes[page..page + 4_096].fill(0x5A);
            }
            _ => {
                for _ in 0..self.rng.random_range(1..40) {
                    bytes[self.rng.random_range(0..len)] ^= 1 << self.rng.random_range(0..8);
                }
            }
        }
        fs::write(&path, bytes).context("cannot damage the copy")?;
        let mut server = match self.stage.launch(copy.path()).start() {
            Ok(server) => server,
            Err(error) => {
                let reason = format!("{error:#}");
                ensure!(reason.contains("error: ") && !reason.contains("panicked"), "{reason}");
                return Ok(());
            }
        };
        let mut connection = server.connect().context("cannot connect")?;
        for path in ["/events?limit=1000", "/latest_anomalies", "/", "/stations", "/readyz"] {
            let answer =
                connection.get(path).with_context(|| format!("{path} was not answered"))?;
            let is_expected = answer.status == 200 || (path == "/readyz" && answer.status == 503);
            ensure!(is_expected, "with damage, {path}: {} {}", answer.status, answer.body);
            if path.starts_with("/events") {
                self.check_unaltered(&answer)?;
            }
        }
        ensure!(!server.log().contains("panicked"), "{}", server.log());
        server.stop().map(drop)
    }

    /// Truncates the WAL of a copy under a server: what follows is not acknowledged.
    fn truncate_copy(&mut self) -> anyhow::Result<()> {
        let copy = self.copy()?;
        let server = self.stage.launch(copy.path()).start()?;
        let mut connection = server.connect().context("cannot connect")?;
        let begin = 1_000_000;
        for sequence in begin..begin + 20 {
            let answer = connection.predict(&load::event(sequence)).context("not answered")?;
            ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
        }
        let wal = copy.path().join(DATABASE_FILE).with_extension("db-wal");
        let file = File::options().write(true).open(wal).context("there is no WAL")?;
        file.set_len(0).context("cannot truncate the WAL")?;
        for sequence in begin + 20..begin + 25 {
            let answer = connection.predict(&load::event(sequence)).context("not answered")?;
            ensure!(answer.status == 503, "after the WAL was truncated: {}", answer.status);
        }
        Ok(())
    }
}

/// Returns the score of an acknowledged event; `None` when the event was refused for now.
fn score_of(answer: &Answer) -> anyhow::Result<Option<f64>> {
    match answer.status {
        200 => Ok(Some(answer.json()["anomaly_score"].as_f64().context("no score")?)),
        503 => Ok(None),
        status => bail!("an event was answered with {status}: {}", answer.body),
    }
}
