//! One event from many clients at the same moment.
//!
//! Seen to fail with an insert that replaces what is there.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, ensure};
use rig::Connection;
use serde_json::Value;

use crate::Verdict;
use crate::load;
use crate::stage::Stage;
use crate::stored;

const N_CLIENTS: usize = 64;

pub(crate) fn cause(stage: &Stage, rounds: u64) -> anyhow::Result<Verdict> {
    let folder = stage.folder()?;
    let mut server = stage.launch(folder.path()).start()?;
    let connections: Vec<Connection> = (0..N_CLIENTS)
        .map(|_| server.connect())
        .collect::<Result<_, _>>()
        .context("cannot connect")?;
    let barrier = Barrier::new(N_CLIENTS);
    let answers: Vec<Vec<(u16, Value)>> = thread::scope(|scope| {
        let race = |mut connection: Connection| {
            let barrier = &barrier;
            move || -> std::io::Result<Vec<(u16, Value)>> {
                let send = |sequence| {
                    barrier.wait();
                    let answer = connection.predict(&load::event(sequence))?;
                    Ok((answer.status, answer.json()))
                };
                (0..rounds).map(send).collect()
            }
        };
        let clients: Vec<_> =
            connections.into_iter().map(|connection| scope.spawn(race(connection))).collect();
        clients
            .into_iter()
            .map(|client| client.join().expect("a client does not panic"))
            .collect::<Result<_, _>>()
    })
    .context("a client was not answered")?;

    for round in 0..usize::try_from(rounds)? {
        let mut n_first = 0;
        let mut bare: Option<Value> = None;
        for (status, answer) in answers.iter().map(|client| &client[round]) {
            ensure!(*status == 200, "event {round} was answered with {status}: {answer}");
            let mut answer = answer.clone();
            let duplicate =
                answer.as_object_mut().context("an answer is no object")?.remove("duplicate");
            n_first += usize::from(duplicate.is_none());
            ensure!(
                bare.get_or_insert_with(|| answer.clone()) == &answer,
                "two answers to event {round} differ: {bare:?}, {answer}"
            );
        }
        ensure!(n_first == 1, "event {round} was new to {n_first} clients");
    }
    server.kill()?;
    let stored = stored::sequences(folder.path())?;
    ensure!(stored.len() as u64 == rounds, "{} events are stored", stored.len());
    Ok(Verdict::Kept(format!(
        "{rounds} events, each from {N_CLIENTS} clients at once: stored once, answered alike"
    )))
}
