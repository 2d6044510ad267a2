//! Takes the pictures that the README shows, of the programs as they are.
//!
//! [`run`] trains, serves and simulates an hour of a plant from fixed seeds, one of whose stations
//! is sick, opens each page in a browser, and writes what is to be seen.
//!
//! It tests nothing. Times in the pictures are those of the run.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Parser;
use rig::{Browser, ColourScheme, Connection, Launch, Process, Programs, Viewport};

/// Takes the pictures of the pages and reports that README.md shows; needs Chromium.
#[derive(Debug, Clone, Parser)]
#[command(version)]
pub struct Args {
    /// The folder to write the pictures to
    #[arg(long, value_name = "DIR", default_value = "docs/images")]
    pub output: PathBuf,

    /// The folder of the programs
    #[arg(long, value_name = "FOLDERS", env = "PATH", hide_env_values = true)]
    pub search_path: OsString,
}

/// Of the training, and of a plant whose other stations are healthy at the end of the hour.
const TRAINING_SEED: u64 = 42;
const PLANT_SEED: u64 = 26;
const DESK: Viewport = Viewport { width: 1_280, height: 960, scale: 1 };
const PHONE: Viewport = Viewport { width: 390, height: 780, scale: 2 };
/// Stations, and seconds between their events in turn: each sends every four seconds.
const N_STATIONS: u32 = 8;
const INTERVAL_S: f64 = 0.5;
/// The station that falls ill, and after how many events: forty minutes of the hour.
const SICK_STATION: &str = "3";
const HEALTHY_EVENTS: &str = "600";
/// Time for the hour to be sent.
const HOUR_TIMEOUT: Duration = Duration::from_mins(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Takes all pictures.
///
/// # Errors
///
/// Fails when there is no browser, a program cannot be built or run, or a page does not come.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let browser = Browser::demand(&args.search_path)?;
    let programs = Programs::build()?;
    let scratch = tempfile::tempdir().context("cannot make a folder to work in")?;
    let (models, data) = (scratch.path().join("models"), scratch.path().join("data"));
    programs.train(&models, TRAINING_SEED)?;
    let server = Launch::new(programs.path("server"), &models, &data).start()?;
    let url = format!("http://{}", server.addr());
    let _plant = simulate(&programs.path("simulate"), &url)?;
    let mut connection = Connection::open(server.addr(), ANSWER_TIMEOUT)?;
    wait_for_hour(&mut connection)?;
    let sick = format!("station_{SICK_STATION:0>3}");
    let latest = connection.get(&format!("/latest_anomalies?limit=1&station_id={sick}"))?.json();
    let anomaly = latest["next"].as_i64().context("the sick station has no anomalies")?;

    fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make `{}`", args.output.display()))?;
    let mut camera =
        Camera { browser: Browser::start(&browser)?, output: args.output.clone(), out };
    let overview = Picture { name: "overview", url: url.clone(), ..Picture::default() };
    camera.take(&overview)?;
    camera.take(&Picture {
        name: "overview-dark",
        scheme: ColourScheme::Dark,
        ..overview.clone()
    })?;
    camera.take(&Picture { name: "overview-phone", viewport: PHONE, ..overview })?;
    camera.take(&Picture {
        name: "station",
        url: format!("{url}/ui/stations/{sick}"),
        is_ready: "document.querySelectorAll('#chart .scatterlayer .trace').length > 0",
        ..Picture::default()
    })?;
    let page = |name, url| Picture { name, url, ..Picture::default() };
    camera.take(&page("anomaly", format!("{url}/ui/anomalies/{anomaly}")))?;
    camera.take(&page("model", format!("{url}/ui/model")))?;
    camera.take(&page("report", format!("file://{}", models.join("report.html").display())))
}

/// Starts the simulation, which runs until the returned value is dropped.
fn simulate(program: &Path, url: &str) -> anyhow::Result<Process> {
    let simulate = Command::new(program)
        .args(["--url", &format!("{url}/predict"), "--quiet", "--backfill", "1h"])
        .args(["--interval", &INTERVAL_S.to_string(), "--count", "1000000"])
        .args(["--stations", &N_STATIONS.to_string(), "--anomaly-rate", "0.002"])
        .args(["--worn-station", SICK_STATION, "--worn-after", HEALTHY_EVENTS])
        .args(["--seed", &PLANT_SEED.to_string()])
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run `{}`", program.display()))?;
    Ok(Process(simulate))
}

/// Waits until the hour is stored, and a little of what comes after.
fn wait_for_hour(connection: &mut Connection) -> anyhow::Result<()> {
    const LIVE_EVENTS: f64 = 40.0;
    let n_wanted = 3_600.0 / INTERVAL_S + LIVE_EVENTS;
    let begun = Instant::now();
    loop {
        let health = connection.get("/health")?.json();
        if health["store"]["events"].as_f64().is_some_and(|n_stored| n_stored >= n_wanted) {
            return Ok(());
        }
        if begun.elapsed() > HOUR_TIMEOUT {
            bail!("the simulation is too slow: {health}");
        }
        thread::park_timeout(Duration::from_millis(200));
    }
}

/// The contents of a picture.
#[derive(Debug, Clone)]
struct Picture {
    name: &'static str,
    url: String,
    viewport: Viewport,
    scheme: ColourScheme,
    /// An expression that becomes true when the page is ready.
    is_ready: &'static str,
}

impl Default for Picture {
    fn default() -> Self {
        Self {
            name: "",
            url: String::new(),
            viewport: DESK,
            scheme: ColourScheme::Light,
            is_ready: "true",
        }
    }
}

/// A browser that takes pictures.
struct Camera<'a> {
    browser: Browser,
    output: PathBuf,
    out: &'a mut dyn Write,
}

impl Camera<'_> {
    fn take(&mut self, picture: &Picture) -> anyhow::Result<()> {
        let Picture { name, url, viewport, scheme, is_ready } = picture;
        self.browser.resize(*viewport)?;
        self.browser.prefer(*scheme)?;
        self.browser.open(url)?;
        self.browser.wait_until(is_ready)?;
        let path = self.output.join(name).with_extension("png");
        fs::write(&path, self.browser.screenshot()?)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        writeln!(self.out, "{}", path.display())?;
        Ok(())
    }
}
