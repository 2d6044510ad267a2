//! The same service in Python, as `bench/flask/app.py` has it, under gunicorn.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rig::Connection;
use tempfile::TempDir;

use crate::report::median;

/// gunicorn, serving. It is stopped when it is dropped.
pub(crate) struct FlaskProcess {
    child: Child,
    addr: SocketAddr,
    _dir: TempDir,
}

const START_TIMEOUT: Duration = Duration::from_mins(1);
const N_CLIENTS: usize = 16;
const N_ROUNDS: usize = 5;
const ROUND_TIME: Duration = Duration::from_secs(5);

impl FlaskProcess {
    /// Makes an environment with packages from the index of Python, and starts two workers.
    ///
    /// # Errors
    ///
    /// Fails where there is no Python 3 with venv, or no index to ask.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/flask");
        let dir = tempfile::tempdir().context("cannot make a folder to work in")?;
        let bin = dir.path().join("venv/bin");
        run(Command::new("python3").args(["-m", "venv"]).arg(dir.path().join("venv")))?;
        let requirements = source.join("requirements.txt");
        run(Command::new(bin.join("pip"))
            .args(["install", "--quiet", "--requirement"])
            .arg(requirements))?;
        std::fs::copy(source.join("app.py"), dir.path().join("app.py"))
            .context("cannot copy app.py")?;
        let port = free_port()?;
        let addr = SocketAddr::from(([127, 0, 0, 1], port));
        let child = Command::new(bin.join("gunicorn"))
            .args([
                "--workers",
                "2",
                "--log-level",
                "error",
                "--bind",
                &addr.to_string(),
                "app:app",
            ])
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot run gunicorn")?;
        let process = Self { child, addr, _dir: dir };
        process.wait()?;
        Ok(process)
    }

    /// Returns the good answers a second, the median of a few runs, with enough clients to keep it busy.
    pub(crate) fn rate(&self) -> f64 {
        let next = AtomicU64::new(1);
        median((0..N_ROUNDS).map(|_| self.rate_once(&next)).collect())
    }

    /// It closes a connection after each answer, so every event has its own.
    fn rate_once(&self, next: &AtomicU64) -> f64 {
        let n_good = AtomicU64::new(0);
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..N_CLIENTS {
                scope.spawn(|| {
                    while begun.elapsed() < ROUND_TIME {
                        let event = rig::event(1, next.fetch_add(1, Ordering::Relaxed));
                        let answered = Connection::open(self.addr, ROUND_TIME)
                            .and_then(|mut connection| connection.predict(&event));
                        let is_good = answered.is_ok_and(|answer| answer.status == 200);
                        n_good.fetch_add(is_good.into(), Ordering::Relaxed);
                    }
                });
            }
        });
        n_good.into_inner() as f64 / begun.elapsed().as_secs_f64()
    }

    /// Waits until it answers.
    fn wait(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            let answered = Connection::open(self.addr, START_TIMEOUT)
                .and_then(|mut connection| connection.predict(&rig::event(1, 0)));
            if answered.is_ok_and(|answer| answer.status == 200) {
                return Ok(());
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        bail!("gunicorn does not answer")
    }
}

impl Drop for FlaskProcess {
    fn drop(&mut self) {
        // Its workers end with it only when it is asked, and not when it is killed.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let done = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !done.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
    Ok(())
}

fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr().context("no port is free")?.port())
}
