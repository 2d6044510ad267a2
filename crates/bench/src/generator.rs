//! One thread that sends requests over many connections, on a schedule or as fast as they are
//! answered.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rig::Answer;

/// The schedule of requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) addr: SocketAddr,
    pub(crate) n_connections: usize,
    /// Requests a second, whether they are answered or not; `None` to send the next one when the last
    /// one was answered.
    pub(crate) rate: Option<f64>,
    pub(crate) duration: Duration,
}

/// The outcome of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Answers with 200.
    pub(crate) n_good: u64,
    /// Answers with anything else.
    pub(crate) n_refused: u64,
    pub(crate) seconds: f64,
    /// Latencies of good answers in microseconds, counted from when the request was due.
    pub(crate) latency_us: Histogram<u64>,
    /// Latencies of refusals in microseconds, counted from when the request was sent.
    pub(crate) refusal_us: Histogram<u64>,
}

impl Outcome {
    /// Returns the number of good answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.n_good as f64 / self.seconds
    }

    /// Returns a percentile of the latency, in milliseconds.
    pub(crate) fn percentile_ms(&self, percent: f64) -> f64 {
        self.latency_us.value_at_percentile(percent) as f64 / 1e3
    }
}

/// Answers that take longer count as so long, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;
/// The longest wait for the last answers.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    /// The part of the request that is not sent yet.
    unsent: Vec<u8>,
    /// When the request was due, and when it was sent; `None` when there is none.
    waiting: Option<(Instant, Instant)>,
}

/// Sends requests that `request` writes into its argument, from the number 0 on.
pub(crate) fn run(load: &Load, mut request: impl FnMut(&mut Vec<u8>)) -> anyhow::Result<Outcome> {
    let mut poll = Poll::new().context("cannot poll")?;
    let mut clients = connect(load, &poll)?;
    let mut outcome = Outcome {
        n_good: 0,
        n_refused: 0,
        seconds: 0.0,
        latency_us: Histogram::new_with_max(LATENCY_US_MAX, 3).context("no histogram")?,
        refusal_us: Histogram::new_with_max(LATENCY_US_MAX, 3).context("no histogram")?,
    };
    let mut idle: VecDeque<usize> = (0..clients.len()).collect();
    let mut events = Events::with_capacity(1_024);
    let begun = Instant::now();
    let end = begun + load.duration;
    let mut n_due = 0_u64;
    let mut n_waiting = 0_usize;
    loop {
        let now = Instant::now();
        if now < end {
            // All that is due goes out, as far as there are connections for it.
            while let Some(&index) = idle.front() {
                let due = load
                    .rate
                    .map_or(now, |rate| begun + Duration::from_secs_f64(n_due as f64 / rate));
                if due > now {
                    break;
                }
                idle.pop_front();
                n_due += 1;
                let client = &mut clients[index];
                client.unsent.clear();
                request(&mut client.unsent);
                client.waiting = Some((due, Instant::now()));
                n_waiting += 1;
                client.send()?;
            }
        } else if n_waiting == 0 {
            break;
        } else if now > end + DRAIN_TIMEOUT {
            bail!("{n_waiting} requests were not answered");
        }
        let patience =
            if load.rate.is_some() { Duration::from_millis(1) } else { Duration::from_millis(100) };
        match poll.poll(&mut events, Some(patience)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            polled => polled.context("cannot poll")?,
        }
        for event in &events {
            let Token(index) = event.token();
            let client = &mut clients[index];
            if event.is_writable() {
                client.send()?;
            }
            if event.is_readable()
                && let Some(status) = client.receive()?
            {
                let (due, sent) = client.waiting.take().context("an answer to nothing")?;
                n_waiting -= 1;
                idle.push_back(index);
                let micros =
                    |since: Instant| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
                if status == 200 {
                    outcome.n_good += 1;
                    outcome.latency_us.saturating_record(micros(due));
                } else {
                    outcome.n_refused += 1;
                    outcome.refusal_us.saturating_record(micros(sent));
                }
            }
        }
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    Ok(outcome)
}

fn connect(load: &Load, poll: &Poll) -> anyhow::Result<Vec<Client>> {
    let connect = |index| -> std::io::Result<Client> {
        // Blocking until it is connected, so that the first request can go out at once.
        let stream = std::net::TcpStream::connect(load.addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry().register(&mut stream, Token(index), interest)?;
        Ok(Client { stream, received: Vec::new(), unsent: Vec::new(), waiting: None })
    };
    (0..load.n_connections).map(connect).collect::<Result<_, _>>().context("cannot connect")
}

impl Client {
    /// Sends what the system takes of the request.
    fn send(&mut self) -> anyhow::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(n_sent) => drop(self.unsent.drain(..n_sent)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot send"),
            }
        }
        Ok(())
    }

    /// Reads what there is, and gives the status of the answer when that is whole.
    fn receive(&mut self) -> anyhow::Result<Option<u16>> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => bail!("the server has closed a connection"),
                Ok(n_read) => {
                    self.received.extend_from_slice(&chunk[..n_read]);
                    // A short read means that there is no more.
                    if n_read < chunk.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot receive"),
            }
        }
        let Some((status, _, len)) = Answer::measure(&self.received)? else { return Ok(None) };
        self.received.drain(..len);
        Ok(Some(status))
    }
}
