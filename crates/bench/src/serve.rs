//! The measurements of the server, one load after another.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rig::{DISK_SHIM, Launch, Programs, ServerProcess, compile_shim, request};
use tempfile::TempDir;
use wording::grouped;

use crate::args::ServeArgs;
use crate::events::{BATCH_LEN, Events, N_STATIONS};
use crate::generator::{self, Load, Outcome};
use crate::peer::FlaskProcess;
use crate::report::{self, Figure, median};

/// Events that a restart finds.
const N_STORED: u64 = 1_000_000;

pub(crate) fn run(args: &ServeArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let bench = Bench::set(args)?;
    let mut figures = Vec::new();
    let mut tell = |figure: Figure| -> anyhow::Result<()> {
        report::tell(out, &figure)?;
        figures.push(figure);
        Ok(())
    };

    let singles = bench.singles(64)?;
    tell(singles.figure(
        "single events, acknowledged after commit, 64 connections",
        "25,000/s, p99 under 30 ms, 27 % of `/livez`",
    ))?;
    let more = bench.singles(256)?;
    tell(more.figure("the same, 256 connections", "35,000/s, 45 % of `/livez`"))?;
    tell(bench.on_schedule()?)?;
    tell(bench.one_client()?)?;
    let (batches, start) = bench.batches_and_start()?;
    tell(batches)?;
    if !args.quick {
        tell(against_flask(singles.rate))?;
    }
    tell(bench.slow_disk()?)?;
    tell(bench.overload(more.rate)?)?;
    tell(bench.idle_memory()?)?;
    tell(start)?;

    if !args.quick {
        report::write(&args.output, "## Serving", &bench.preface()?, &figures)?;
    }
    Ok(())
}

struct Bench {
    programs: Programs,
    scratch: TempDir,
    is_quick: bool,
}

/// Single events beside what the same server answers without doing anything.
struct Singles {
    rate: f64,
    p99_ms: f64,
    p50_ms: f64,
    /// Of the rate of `/livez`.
    share: f64,
    range: (f64, f64),
}

impl Singles {
    fn figure(&self, what: &'static str, wanted: &'static str) -> Figure {
        let (least, most) = self.range;
        let measured = format!(
            "{}/s ({} to {}), p50 {:.1} ms, p99 {:.1} ms, {:.0} % of `/livez`",
            grouped(self.rate),
            grouped(least),
            grouped(most),
            self.p50_ms,
            self.p99_ms,
            self.share * 100.0
        );
        Figure { what, wanted, measured }
    }
}

impl Bench {
    fn set(args: &ServeArgs) -> anyhow::Result<Self> {
        let programs = Programs::build()?;
        let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
        programs.train(&scratch.path().join("models"), 42)?;
        Ok(Self { programs, scratch, is_quick: args.quick })
    }

    /// Returns a server with an empty database.
    fn launch(&self) -> anyhow::Result<(TempDir, Launch)> {
        let data = TempDir::new_in(self.scratch.path()).context("cannot make a folder")?;
        let models = self.scratch.path().join("models");
        let launch = Launch::new(self.programs.path("server"), &models, data.path());
        Ok((data, launch.with_args(&["--connections-per-address-max", "4096"])))
    }

    fn seconds(&self, whole: u64, quick: u64) -> Duration {
        Duration::from_secs(if self.is_quick { quick } else { whole })
    }

    /// Rounds of `/predict` and `/livez` in turn, as fast as a number of connections goes.
    fn singles(&self, n_connections: usize) -> anyhow::Result<Singles> {
        let (_data, launch) = self.launch()?;
        let server = launch.start()?;
        let load =
            Load { addr: server.addr(), n_connections, rate: None, duration: self.seconds(5, 1) };
        let mut events = Events::of(N_STATIONS);
        generator::run(&Load { duration: Duration::from_secs(1), ..load }, |out| {
            events.single(out);
        })?;
        let n_rounds = if self.is_quick { 3 } else { 5 };
        let (mut rates, mut shares, mut p50s, mut p99s) = (vec![], vec![], vec![], vec![]);
        for _ in 0..n_rounds {
            let singles = generator::run(&load, |out| events.single(out))?;
            let nothing = request("GET", "/livez", "", "");
            let idle = generator::run(&load, |out| out.extend_from_slice(&nothing))?;
            check(&singles)?;
            rates.push(singles.rate());
            shares.push(singles.rate() / idle.rate());
            p50s.push(singles.percentile_ms(50.0));
            p99s.push(singles.percentile_ms(99.0));
        }
        let range = rates.iter().fold((f64::INFINITY, 0.0_f64), |(least, most), rate| {
            (least.min(*rate), most.max(*rate))
        });
        Ok(Singles {
            rate: median(rates),
            p50_ms: median(p50s),
            p99_ms: median(p99s),
            share: median(shares),
            range,
        })
    }

    /// Events that come whether those before were answered or not.
    fn on_schedule(&self) -> anyhow::Result<Figure> {
        let (_data, launch) = self.launch()?;
        let server = launch.start()?;
        let outcome = sent(&server, 64, Some(25_000.0), self.seconds(20, 3))?;
        Ok(Figure {
            what: "25,000 events a second on schedule, 64 connections",
            wanted: "p99 under 30 ms",
            measured: format!(
                "{}/s, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
                grouped(outcome.rate()),
                outcome.percentile_ms(50.0),
                outcome.percentile_ms(99.0),
                outcome.percentile_ms(99.9)
            ),
        })
    }

    fn one_client(&self) -> anyhow::Result<Figure> {
        let (_data, launch) = self.launch()?;
        let server = launch.start()?;
        let outcome = sent(&server, 1, None, self.seconds(10, 2))?;
        let sync_us = sync_us(self.scratch.path())?;
        Ok(Figure {
            what: "one client, one event after another",
            wanted: "p50 under 0.3 ms",
            measured: format!(
                "p50 {:.2} ms, p99 {:.2} ms, of which a sync takes {:.2} ms",
                outcome.percentile_ms(50.0),
                outcome.percentile_ms(99.0),
                sync_us / 1e3
            ),
        })
    }

    /// Sends batches until a million events are stored, and measures a start that finds them after
    /// a kill.
    fn batches_and_start(&self) -> anyhow::Result<(Figure, Figure)> {
        let (_data, launch) = self.launch()?;
        let mut server = launch.start()?;
        let mut events = Events::of(N_STATIONS);
        let load = Load {
            addr: server.addr(),
            n_connections: 4,
            rate: None,
            duration: self.seconds(3, 3),
        };
        let (mut rates, mut n_events) = (vec![], 0);
        while n_events < N_STORED || rates.len() < 3 {
            let outcome = generator::run(&load, |out| events.batch(out))?;
            check(&outcome)?;
            rates.push(outcome.rate() * BATCH_LEN as f64);
            n_events += outcome.n_good * BATCH_LEN;
        }
        let memory_mib = server.resident_kib()? as f64 / 1024.0;
        server.kill()?;
        let begun = Instant::now();
        let server = launch.start()?;
        let ready = server.connect()?.get("/readyz").context("no answer")?;
        let seconds = begun.elapsed().as_secs_f64();
        ensure!(ready.status == 200, "not ready: {}", ready.body);
        let batches = Figure {
            what: "NDJSON batches of 1,000, 4 connections",
            wanted: "150,000 events/s",
            measured: format!("{} events/s, {memory_mib:.0} MiB resident", grouped(median(rates))),
        };
        let start = Figure {
            what: "start with a million stored events after kill -9",
            wanted: "ready in 2 s",
            measured: format!("{seconds:.2} s, {} events stored", grouped(n_events as f64)),
        };
        Ok((batches, start))
    }

    fn slow_disk(&self) -> anyhow::Result<Figure> {
        let (data, launch) = self.launch()?;
        let shim = compile_shim(DISK_SHIM, "disk", self.scratch.path())?;
        let server = launch
            .with_env("LD_PRELOAD", &shim.display().to_string())
            .with_env("DISK_DIR", &data.path().display().to_string())
            .with_env("SYNC_DELAY_US", "20000")
            .start()?;
        let outcome = sent(&server, 256, None, self.seconds(10, 3))?;
        Ok(Figure {
            what: "every sync 20 ms slower, 256 connections",
            wanted: "5,000/s",
            measured: format!(
                "{}/s, p99 {:.0} ms",
                grouped(outcome.rate()),
                outcome.percentile_ms(99.0)
            ),
        })
    }

    /// Sends far more than the server can accept, over more connections than its queue has places.
    fn overload(&self, peak: f64) -> anyhow::Result<Figure> {
        let (_data, launch) = self.launch()?;
        let server = launch.with_args(&["--queue-len-max", "512"]).start()?;
        let mut events = Events::of(N_STATIONS);
        let load = Load {
            addr: server.addr(),
            n_connections: 2_048,
            rate: Some(5.0 * peak),
            duration: self.seconds(60, 5),
        };
        let outcome = generator::run(&load, |out| events.single(out))?;
        let memory_mib = server.peak_resident_kib()? as f64 / 1024.0;
        Ok(Figure {
            what: "overload: a schedule of five times the peak, over 2,048 connections and 512 places in the queue",
            wanted: "80 % of the peak, refusals under 50 ms, under 128 MiB",
            measured: format!(
                "{}/s ({:.0} %) of {}/s that the connections could send, refusals with p99 {:.0} ms, at most {memory_mib:.0} MiB resident",
                grouped(outcome.rate()),
                outcome.rate() / peak * 100.0,
                grouped((outcome.n_good + outcome.n_refused) as f64 / outcome.seconds),
                outcome.refusal_us.value_at_percentile(99.0) as f64 / 1e3
            ),
        })
    }

    fn idle_memory(&self) -> anyhow::Result<Figure> {
        let (_data, launch) = self.launch()?;
        let server: ServerProcess = launch.start()?;
        server.connect()?.get("/health").context("no answer")?;
        Ok(Figure {
            what: "resident memory, idle, default model",
            wanted: "under 40 MiB",
            measured: format!("{:.1} MiB", server.resident_kib()? as f64 / 1024.0),
        })
    }

    /// Describes the machine and the method.
    fn preface(&self) -> anyhow::Result<String> {
        Ok(format!(
            "Written by `cargo run --release -p bench -- serve`: the release server with full durability, and one thread \
             that sends events of {N_STATIONS} stations, on the same machine.\n\
             Medians of 5 rounds where a range is given; `/livez` is asked in turn with events, over as many connections. \
             Latencies count from when a request was due.\n\n\
             {}\n\
             - a sync of 16 KiB takes {:.2} ms",
            report::machine()?,
            sync_us(self.scratch.path())? / 1e3,
        ))
    }
}

/// Measures the Flask server beside a rate of ours.
fn against_flask(rate: f64) -> Figure {
    let measured = match FlaskProcess::start() {
        Ok(process) => {
            let flask = process.rate();
            format!("{:.0}x ({}/s there)", rate / flask, grouped(flask))
        }
        Err(error) => format!("not measured: {error:#}"),
    };
    Figure {
        what: "against Flask, scikit-learn and SQLite, gunicorn with 2 workers",
        wanted: "500x",
        measured,
    }
}

/// Sends single events, none of which may be refused.
fn sent(
    server: &ServerProcess,
    n_connections: usize,
    rate: Option<f64>,
    duration: Duration,
) -> anyhow::Result<Outcome> {
    let load = Load { addr: server.addr(), n_connections, rate, duration };
    let mut events = Events::of(N_STATIONS);
    let outcome = generator::run(&load, |out| events.single(out))?;
    check(&outcome)?;
    Ok(outcome)
}

fn check(outcome: &Outcome) -> anyhow::Result<()> {
    ensure!(outcome.n_refused == 0, "{} requests were refused", outcome.n_refused);
    Ok(())
}

/// Returns the median time that a sync of overwritten data takes, in microseconds.
fn sync_us(dir: &Path) -> anyhow::Result<f64> {
    use std::io::{Seek as _, SeekFrom};

    let context = "cannot write a file to sync";
    let mut file = std::fs::File::create(dir.join("sync")).context(context)?;
    let block = vec![7; 16 * 1024];
    let mut times = Vec::new();
    for round in 0..2 {
        file.seek(SeekFrom::Start(0)).context(context)?;
        for _ in 0..200 {
            file.write_all(&block).context(context)?;
            let begun = Instant::now();
            file.sync_data().context(context)?;
            if round == 1 {
                times.push(begun.elapsed().as_secs_f64() * 1e6);
            }
        }
    }
    Ok(median(times))
}
