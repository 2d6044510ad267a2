//! The log: lines for standard error that the server never waits for.
//!
//! A separate thread writes them. A line that cannot be written, because the reader is gone, the disk
//! is full or the terminal was closed, is dropped and counted, and the log reports the count later.
//! Repeated lines are limited, so that no client can fill a disk with them.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::counter::Counter;
use terminal::LogFormat;
use tracing::callsite::Identifier;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Filter, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// Lines that may wait for standard error.
const LINES_MAX: usize = 4_096;
/// Lines of one kind that may be logged at once.
const BURST_LINES: f64 = 30.0;
/// Lines of one kind a second, after that.
const LINES_PER_SECOND: f64 = 1.0;
/// The pause between two lines that tell of dropped ones.
const NOTICE_PAUSE: Duration = Duration::from_secs(10);
/// The longest wait for the last lines at the end of the program.
const END_TIMEOUT: Duration = Duration::from_secs(1);

static LINES_DROPPED: LazyLock<Counter> = LazyLock::new(Counter::default);

/// Returns the count of lines that were not logged.
pub(crate) fn lines_dropped() -> Counter {
    LINES_DROPPED.clone()
}

/// The log of the process.
#[derive(Debug)]
pub struct Log {
    lines: Lines,
}

impl Log {
    /// Starts to log lines of `level` and above, and panics.
    ///
    /// # Errors
    ///
    /// Fails when the system does not start a thread.
    ///
    /// # Panics
    ///
    /// Panics when there is a log already.
    pub fn begin(level: LevelFilter, format: LogFormat) -> io::Result<Self> {
        let lines = Lines::to(io::stderr())?;
        let limited = Limited { level, budgets: Mutex::default() };
        let layer =
            tracing_subscriber::fmt::layer().with_writer(lines.clone()).log_internal_errors(false);
        let layer = match format {
            LogFormat::Text => layer.with_ansi(terminal::is_colourful(&io::stderr())).boxed(),
            LogFormat::Json => layer.json().flatten_event(true).boxed(),
        };
        tracing_subscriber::registry().with(layer.with_filter(limited)).init();
        std::panic::set_hook(Box::new(|panic| {
            let thread = thread::current();
            let name = thread.name().unwrap_or_default();
            let backtrace = std::backtrace::Backtrace::capture();
            tracing::error!(thread = name, %backtrace, "{panic}");
        }));
        Ok(Self { lines })
    }

    /// Waits up to a second until everything is written. Returns `false` if the reader does not take it.
    pub fn end(self) -> bool {
        let (written, is_written) = sync_channel(1);
        let deadline = Instant::now() + END_TIMEOUT;
        let mut mark = Message::Mark(written);
        while let Err(error) = self.lines.0.try_send(mark) {
            match error {
                TrySendError::Full(unsent) if Instant::now() < deadline => mark = unsent,
                _ => return false,
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        is_written.recv_timeout(END_TIMEOUT).is_ok()
    }
}

/// A message to the thread that writes.
enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it were written.
    Mark(SyncSender<()>),
}

/// The queue of the thread that writes.
#[derive(Debug, Clone)]
struct Lines(SyncSender<Message>);

impl Lines {
    /// Starts a thread that writes to `out`.
    fn to(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, queue) = sync_channel(LINES_MAX);
        thread::Builder::new()
            .name(String::from("log"))
            .spawn(move || write(&queue, out, &LINES_DROPPED))?;
        Ok(Self(lines))
    }
}

impl Write for Lines {
    /// Queues a line, or drops it when the queue is full.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Message::Line(line.to_vec())).is_err() {
            LINES_DROPPED.inc();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Writes lines until all senders are gone.
fn write(queue: &Receiver<Message>, mut out: impl Write, dropped: &Counter) {
    let mut n_told = 0;
    let mut told = None::<Instant>;
    for message in queue {
        let line = match message {
            Message::Line(line) => line,
            Message::Mark(written) => {
                // The waiting end may have given up.
                let _ = written.try_send(());
                continue;
            }
        };
        if out.write_all(&line).is_err() {
            dropped.inc();
            continue;
        }
        let n_dropped = dropped.get();
        if n_dropped > n_told && told.is_none_or(|told| told.elapsed() >= NOTICE_PAUSE) {
            tracing::warn!(n_lines = n_dropped - n_told, "lines of this log were dropped");
            (n_told, told) = (n_dropped, Some(Instant::now()));
        }
    }
}

/// Admits lines of the level and above; of each kind, a burst and then one a second.
struct Limited {
    level: LevelFilter,
    budgets: Mutex<HashMap<Identifier, Budget>>,
}

/// The lines that one kind may still have.
#[derive(Debug, Clone, Copy)]
struct Budget {
    n_lines: f64,
    at: Instant,
}

impl Budget {
    /// Takes a line, if one is left.
    fn take(&mut self, now: Instant) -> bool {
        let elapsed_s = now.saturating_duration_since(self.at).as_secs_f64();
        self.n_lines = (self.n_lines + elapsed_s * LINES_PER_SECOND).min(BURST_LINES);
        self.at = now;
        let is_left = self.n_lines >= 1.0;
        if is_left {
            self.n_lines -= 1.0;
        }
        is_left
    }
}

impl<S: Subscriber> Filter<S> for Limited {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= self.level
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        // Debug output is complete.
        let metadata = event.metadata();
        if *metadata.level() > LevelFilter::INFO {
            return true;
        }
        let now = Instant::now();
        let full = Budget { n_lines: BURST_LINES, at: now };
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry(metadata.callsite()).or_insert(full);
        let is_left = budget.take(now);
        if !is_left {
            LINES_DROPPED.inc();
        }
        is_left
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_kind_have_a_burst_and_then_one_a_second() {
        let begin = Instant::now();
        let mut budget = Budget { n_lines: BURST_LINES, at: begin };
        let taken = (0..1_000).filter(|_| budget.take(begin)).count();
        assert_eq!(taken, 30);
        let later = begin + Duration::from_millis(2_500);
        assert_eq!((0..10).filter(|_| budget.take(later)).count(), 2);
    }

    /// Seen to hang with a channel that waits for room.
    #[test]
    fn an_unread_log_drops_lines_and_blocks_no_thread() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        let before = LINES_DROPPED.get();
        let line = [b'x'; 1_000];
        for _ in 0..2 * LINES_MAX {
            lines.write_all(&line).unwrap();
        }
        assert!(LINES_DROPPED.get() > before);
        let log = Log { lines };
        assert!(!log.end(), "what was not read counts as written");
        drop(reader);
    }
}
