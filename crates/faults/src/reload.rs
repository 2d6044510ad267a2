//! The model is replaced while events are judged.
//!
//! Seen to fail with a server that loads the two files of a model without looking whether they are a
//! pair, and with one that installs its handler of SIGHUP when it has started.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, bail, ensure};
use detector::{ARTEFACT_FILE, META_FILE};
use rig::request;
use serde_json::Value;

use crate::Verdict;
use crate::load;
use crate::stage::Stage;

pub(crate) fn cause(stage: &Stage, loops: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let models = folder.path().join("models");
    std::fs::create_dir(&models).context("cannot make a folder")?;
    put(&stage.models(), &models)?;
    let data = folder.path().join("data");
    let mut launch = stage.launch(&data);
    launch.model_dir.clone_from(&models);
    let server = launch.start()?;
    let known: BTreeSet<String> =
        [version(&stage.models())?, version(&stage.other_models())?].into_iter().collect();

    let next = AtomicU64::new(0);
    let is_done = AtomicBool::new(false);
    let seen = Mutex::new(BTreeSet::new());
    let client = || -> anyhow::Result<u64> {
        let mut connection = server.connect().context("cannot connect")?;
        let mut n_answers = 0;
        while !is_done.load(Ordering::Relaxed) {
            let sequence = next.fetch_add(1, Ordering::Relaxed);
            let answer = connection.predict(&load::event(sequence)).context("not answered")?;
            ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
            let version = answer.json()["model_version"].as_str().unwrap_or_default().to_owned();
            ensure!(known.contains(&version), "there never was a model {version}");
            seen.lock().expect("no client panics").insert(version);
            n_answers += 1;
        }
        Ok(n_answers)
    };
    let replace = || -> anyhow::Result<()> {
        let mut connection = server.connect().context("cannot connect")?;
        for round in 0..loops {
            let from = if round % 2 == 0 { stage.other_models() } else { stage.models() };
            // Between the two files, there is no pair, and the model in use must go on.
            put_file(&from, &models, ARTEFACT_FILE)?;
            let refused = connection.exchange(&request("POST", "/model/reload", "", ""))?;
            ensure!(refused.status == 409, "half a model was answered with {}", refused.status);
            put_file(&from, &models, META_FILE)?;
            if round % 10 == 9 {
                server.signal("HUP")?;
            } else {
                let taken = connection.exchange(&request("POST", "/model/reload", "", ""))?;
                ensure!(taken.status == 200, "a model was refused: {}", taken.body);
                let expected = version(&from)?;
                ensure!(taken.json()["version"] == expected.as_str(), "another model was taken");
            }
        }
        Ok(())
    };
    let n_answers = thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        let replaced = replace();
        is_done.store(true, Ordering::Relaxed);
        let n_answers: anyhow::Result<u64> =
            clients.into_iter().map(|client| client.join().expect("a client does not panic")).sum();
        replaced.and(n_answers)
    })?;
    let seen = seen.into_inner().expect("no client panics");
    if seen != known {
        bail!("only {seen:?} answered");
    }
    drop(server);
    hang_up_during_the_start(stage)?;
    Ok(Verdict::Kept(format!(
        "{loops} models taken over, {n_answers} events answered, all by a model that there was; SIGHUP does not end a start"
    )))
}

/// Sends SIGHUP to a server that starts.
#[cfg(unix)]
fn hang_up_during_the_start(stage: &Stage) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = stage.folder()?;
    let data = folder.path().join("data");
    let mut launch = stage.launch(&data);
    let server = launch.program.display().to_string();
    for delay_s in [0.0, 0.005, 0.01, 0.02] {
        if data.exists() {
            std::fs::remove_dir_all(&data).context("cannot empty a folder")?;
        }
        // A script that becomes the server, and sends itself a signal a little after the first thing that a start does
        // to be seen. Before that, it may be a process that has not come to its first instruction.
        let script = folder.path().join(format!("start-{delay_s}.sh"));
        let has_begun = format!("[ -e '{}' ] || ! kill -0 $$", data.display());
        let hang_up =
            format!("until {has_begun}; do sleep 0.001; done; sleep {delay_s}; kill -HUP $$");
        let text = format!("#!/bin/sh\n({hang_up}) &\nexec '{server}' \"$@\"\n");
        std::fs::write(&script, text).context("cannot write a script")?;
        let executable = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&script, executable).context("cannot make a program of it")?;
        launch.program = script;
        let started = launch.start();
        let server =
            started.with_context(|| format!("SIGHUP {delay_s} s after the start began"))?;
        let answer = server.connect()?.predict(&load::event(1)).context("not answered")?;
        ensure!(answer.status == 200, "answered with {}: {}", answer.status, answer.body);
    }
    Ok(())
}

/// Windows has no such signal.
#[cfg(not(unix))]
fn hang_up_during_the_start(_stage: &Stage) -> anyhow::Result<()> {
    Ok(())
}

fn version(models: &Path) -> anyhow::Result<String> {
    let text =
        std::fs::read_to_string(models.join(META_FILE)).context("cannot read the metadata")?;
    let meta: Value = serde_json::from_str(&text).context("the metadata are no JSON")?;
    Ok(meta["model_version"].as_str().context("the metadata name no version")?.to_owned())
}

fn put(from: &Path, to: &Path) -> anyhow::Result<()> {
    put_file(from, to, ARTEFACT_FILE)?;
    put_file(from, to, META_FILE)
}

/// Replaces a file as a training does: whole, or not at all.
fn put_file(from: &Path, to: &Path, name: &str) -> anyhow::Result<()> {
    let new = to.join("new");
    std::fs::copy(from.join(name), &new).context("cannot copy a model")?;
    std::fs::rename(&new, to.join(name)).context("cannot put a model in place")
}
