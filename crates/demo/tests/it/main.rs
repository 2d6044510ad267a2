//! Tests that need everything: the whole system, and what is said about it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod browser;
mod cases;
mod documents;
mod end_to_end;
mod layers;
mod recordings;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Parser as _;
use server::Server;
use simulate::Report;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A folder with a model and a database, and a server that uses them.
struct Plant {
    dir: TempDir,
    url: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<anyhow::Result<()>>,
}

impl Plant {
    /// Trains with these arguments, and serves.
    async fn new(train_args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (models, data) = (text(&dir.path().join("models")), text(&dir.path().join("data")));
        let folders = ["train", "--model-dir", &models, "--data-dir", &data];
        train::run(
            &train::Args::parse_from(folders.iter().chain(train_args)),
            now_us(),
            &mut Vec::new(),
        )
        .unwrap();

        let (server, stop, url) = serve(&dir, "127.0.0.1:0").await;
        Self { dir, url, stop, server }
    }

    /// Stops the server, does something without it, and serves again at the same address.
    async fn restart(&mut self, meanwhile: impl FnOnce()) {
        let stop = std::mem::replace(&mut self.stop, oneshot::channel().0);
        stop.send(()).unwrap();
        (&mut self.server).await.unwrap().unwrap();
        meanwhile();
        let addr = self.url.strip_prefix("http://").unwrap();
        (self.server, self.stop, self.url) = serve(&self.dir, addr).await;
    }

    async fn simulate(&self, args: &[&str]) -> anyhow::Result<Report> {
        let url = format!("{}/predict", self.url);
        let all = ["simulate", "--url", &url, "--json"];
        let args = simulate::Args::parse_from(all.iter().chain(args));
        simulate::run(&args, now_us, &mut Vec::new(), std::future::pending()).await
    }

    fn models(&self) -> PathBuf {
        self.dir.path().join("models")
    }

    /// Stops the server and gives the closed database.
    async fn stop(self) -> (TempDir, rusqlite::Connection) {
        self.stop.send(()).unwrap();
        self.server.await.unwrap().unwrap();
        let connection =
            rusqlite::Connection::open(self.dir.path().join("data/events.db")).unwrap();
        (self.dir, connection)
    }
}

/// Serves the model of a folder; gives how to stop it, and where it is.
async fn serve(
    dir: &TempDir,
    addr: &str,
) -> (JoinHandle<anyhow::Result<()>>, oneshot::Sender<()>, String) {
    let (models, data) = (text(&dir.path().join("models")), text(&dir.path().join("data")));
    let folders = ["--model-dir", &models, "--data-dir", &data];
    let args = ["server", "--require-model", "--addr", addr];
    let args = server::Args::parse_from(args.iter().chain(&folders));
    let server = Server::bind(&args.serve, now_us).await.unwrap();
    let url = format!("http://{}", server.addr().unwrap());
    let (stop, stopped) = oneshot::channel();
    (tokio::spawn(server.run(async { drop(stopped.await) })), stop, url)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[expect(clippy::disallowed_methods, reason = "the clock enters here")]
fn now_us() -> i64 {
    sensor::timestamp::from_system_time(SystemTime::now())
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the files of a folder and of the folders in it, without those named `skipped`.
fn files_below(dir: &Path, skipped: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if skipped.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        if path.is_dir() {
            found.extend(files_below(&path, skipped));
        } else {
            found.push(path);
        }
    }
    found
}

/// Returns `true` if the name of a file ends with one of these.
fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension().is_some_and(|ending| endings.iter().any(|known| ending == *known))
}

/// Returns the folder of real recordings, outside of this repository.
fn shared_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let dir = std::env::var("SHARED_DIR");
    dir.map_or_else(|_| root().join("../shared"), PathBuf::from)
}
