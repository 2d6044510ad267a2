//! Clients that send events until they are stopped or the server is gone.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rig::{Answer, Connection, ServerProcess};

/// The longest wait of a client for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Numbers of the events that were sent and answered.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    /// With 200.
    pub(crate) acknowledged: Vec<u64>,
    /// With anything else, and what that was.
    pub(crate) refused: Vec<(u64, Answer)>,
}

impl Answered {
    fn add(&mut self, sequence: u64, answer: Answer) {
        if answer.status == 200 {
            self.acknowledged.push(sequence);
        } else {
            self.refused.push((sequence, answer));
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.acknowledged.extend(other.acknowledged);
        self.refused.extend(other.refused);
        self
    }
}

/// The source of the numbers of events, so that no two clients send the same.
#[derive(Debug, Default)]
pub(crate) struct Load {
    next: AtomicU64,
    is_stopped: AtomicBool,
}

impl Load {
    /// Returns the number of events that were begun to be sent.
    pub(crate) fn n_sent(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Lets all clients end after their present event.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Sends from `n_clients` clients at once until [`Load::stop`], or until the server is gone.
    pub(crate) fn run(&self, addr: SocketAddr, n_clients: usize) -> Answered {
        self.is_stopped.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            let clients: Vec<_> =
                (0..n_clients).map(|_| scope.spawn(|| self.client(addr))).collect();
            let answered =
                clients.into_iter().map(|client| client.join().expect("a client does not panic"));
            answered.fold(Answered::default(), Answered::join)
        })
    }

    /// Sends from eight clients, ends the server after a while, and gives how it ended.
    pub(crate) fn until_ended<T>(
        &self,
        server: &mut ServerProcess,
        after: Duration,
        end: impl FnOnce(&mut ServerProcess) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Answered)> {
        let addr = server.addr();
        thread::scope(|scope| {
            let clients = scope.spawn(|| self.run(addr, 8));
            thread::park_timeout(after);
            let ended = end(server);
            let answered = clients.join().expect("clients do not panic");
            ended.map(|ended| (ended, answered))
        })
    }

    fn client(&self, addr: SocketAddr) -> Answered {
        let mut answered = Answered::default();
        let Ok(mut connection) = Connection::open(addr, ANSWER_TIMEOUT) else { return answered };
        while !self.is_stopped.load(Ordering::Relaxed) {
            let sequence = self.next.fetch_add(1, Ordering::Relaxed);
            match connection.predict(&event(sequence)) {
                Ok(answer) => answered.add(sequence, answer),
                Err(_) => break,
            }
        }
        answered
    }
}

/// Returns the event of a number, at one of eight stations.
pub(crate) fn event(sequence: u64) -> String {
    rig::event(sequence % 8, sequence)
}
