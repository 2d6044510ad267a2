//! The time until a page is visible, with many stations.

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, SecondsFormat};
use rig::{Browser, Connection, Launch, Programs, ServerProcess, Viewport, request};

use crate::args::PagesArgs;
use crate::report::{self, Figure, median};

/// The number of stations, of events of each, and of further events of the dense one.
const N_STATIONS: u64 = 1_000;
const EVENTS_EACH: u64 = 900;
const DENSE_EVENTS: u64 = 100_000;
/// Events of a request.
const BATCH_LEN: u64 = 1_000;
/// Views of each page.
const N_VIEWS: usize = 15;
const SECONDS: u64 = 3_600;
const DESK: Viewport = Viewport { width: 1_280, height: 900, scale: 1 };

/// A page, and what about it is true when it can be read.
struct Page {
    what: &'static str,
    path: String,
}

pub(crate) fn run(args: &PagesArgs, now: SystemTime, out: &mut dyn Write) -> anyhow::Result<()> {
    let browser = Browser::demand(&args.search_path)?;
    let programs = Programs::build()?;
    let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
    let (models, data) = (scratch.path().join("models"), scratch.path().join("data"));
    programs.train(&models, 42)?;
    let launch = Launch::new(programs.path("server"), &models, &data);
    let server = launch.start()?;
    fill(&server, now)?;

    let mut browser = Browser::start(&browser)?;
    browser.resize(DESK)?;
    let mut connection = Connection::open(server.addr(), Duration::from_secs(20))?;
    let latest = connection.get("/latest_anomalies?limit=1")?.json();
    let anomaly = latest["next"].as_i64().context("there is no anomaly")?;
    let page = |what, path: &str| Page { what, path: path.into() };
    let pages = [
        page("overview of 1,000 stations", "/"),
        page("station of 900 events, the last hour", "/ui/stations/station_0007"),
        page("station of 100,000 events, everything", "/ui/stations/dense?window=all"),
        page("anomaly", &format!("/ui/anomalies/{anomaly}")),
        page("model, with a day's sample of 10,000 events", "/ui/model"),
    ];
    let mut figures = Vec::new();
    for page in pages {
        let figure = view(&mut browser, &mut connection, &server, page)?;
        report::tell(out, &figure)?;
        figures.push(figure);
    }
    if args.quick {
        return Ok(());
    }
    let preface = format!(
        "Written by `cargo run --release -p bench -- pages`: a million stored events of the last hour, {EVENTS_EACH} of \
         each of {N_STATIONS} stations and 100,000 of one; medians of {N_VIEWS} views over loopback. The answer is that \
         of the server; the first view is the browser's first contentful paint, counted from when it was asked to open \
         the page.\n\n{}",
        report::machine()?
    );
    report::write(&args.output, "## Pages", &preface, &figures)
}

/// Looks at a page several times.
fn view(
    browser: &mut Browser,
    connection: &mut Connection,
    server: &ServerProcess,
    Page { what, path }: Page,
) -> anyhow::Result<Figure> {
    let url = format!("http://{}{path}", server.addr());
    let (mut answers, mut views) = (Vec::new(), Vec::new());
    for _ in 0..N_VIEWS {
        let begun = Instant::now();
        let answer = connection.get(&path)?;
        answers.push(begun.elapsed().as_secs_f64() * 1e3);
        ensure!(answer.status == 200, "{path} answers {}: {}", answer.status, answer.body);
        // The page before may still be drawing, and would be measured, too.
        browser.open("about:blank")?;
        browser.open(&url)?;
        let paint = "performance.getEntriesByName('first-contentful-paint')";
        browser.wait_until(&format!("{paint}.length === 1"))?;
        let paint = browser.evaluate(&format!("{paint}[0].startTime"))?;
        views.push(paint.as_f64().context("a paint has a time")?);
    }
    let most = views.iter().copied().fold(0.0, f64::max);
    Ok(Figure {
        what,
        wanted: "300 ms",
        measured: format!(
            "first view {:.0} ms (at most {most:.0}), answer {:.1} ms",
            median(views),
            median(answers)
        ),
    })
}

/// Returns a million events in the last hour.
fn fill(server: &ServerProcess, now: SystemTime) -> anyhow::Result<()> {
    let now_s = now.duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let mut connection = Connection::open(server.addr(), Duration::from_mins(1))?;
    let stations = (0..N_STATIONS).map(|number| (format!("station_{number:04}"), EVENTS_EACH));
    for (station, n_events) in stations.chain([(String::from("dense"), DENSE_EVENTS)]) {
        for begin in (0..n_events).step_by(usize::try_from(BATCH_LEN)?) {
            let lines = (begin..n_events.min(begin + BATCH_LEN))
                .map(|index| event(&station, index, n_events, now_s));
            let body: String = lines.collect();
            let bytes = request("POST", "/predict/batch", "application/x-ndjson", &body);
            let answer = connection.exchange(&bytes)?;
            ensure!(answer.status == 200, "a batch is answered with {}", answer.status);
        }
    }
    Ok(())
}

/// Returns an event of the last hour; one in a hundred is hot.
fn event(station: &str, index: u64, n_events: u64, now_s: u64) -> String {
    let since_ms = (now_s - SECONDS) * 1_000;
    let ms = i64::try_from(since_ms + index * SECONDS * 1_000 / n_events).unwrap_or_default();
    let timestamp = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    let timestamp = timestamp.to_rfc3339_opts(SecondsFormat::Millis, true);
    let temperature = if index % 100 == 99 { 90.5 } else { 69.0 + (index * 37 % 20) as f64 / 10.0 };
    format!(
        "{{\"station_id\":\"{station}\",\"sequence\":{index},\"timestamp\":\"{timestamp}\",\
         \"temperature_c\":{temperature:.1},\"humidity_pct\":44.7,\"sound_db\":66.1}}\n"
    )
}
