//! The checkpoints of the WAL: when its pages are brought into the database.
//!
//! A reader that holds an old state limits what can be copied; no checkpoint waits for it. It is tried
//! again later, after a pause that keeps the attempts cheap. What such a reader has let grow is copied on
//! another thread while the writer continues. Only when all is copied does the writer wait a moment for
//! short reads to end, so that the WAL can restart: while they overlap, it would grow without end. When it
//! is large and this finds no gap, reads of the server are held back for one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use files::beside;
use rusqlite::{Connection, OpenFlags};

use crate::limits::{BUSY_TIMEOUT, WAL_BYTES_MAX};
use crate::reading_gate::ReadingGate;
use crate::wal_holders;

/// Bytes of the header of the WAL, and of that before each page in it.
pub(crate) const HEADER_LEN: u64 = 32;
pub(crate) const FRAME_HEADER_LEN: usize = 24;
/// Pages in the WAL from which it is checkpointed.
const CHECKPOINT_PAGES: i32 = 2_000;
/// Pages in the WAL from which it has to restart.
const RESTART_PAGES: i32 = 16_000;
/// Pages in the WAL from which reads of the server are held back until it has restarted, and the pause if that was in
/// vain.
const GATE_PAGES: i32 = 4 * RESTART_PAGES;
const GATE_PAUSE: Duration = Duration::from_secs(10);
/// The longest wait for short reads to end before a restart.
const RESTART_TIMEOUT: Duration = Duration::from_millis(25);
/// The shortest pause after a checkpoint that could not do all, and its ratio to the time that the
/// checkpoint took.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_RATIO: u32 = 20;
/// A WAL that cannot restart for this long is reported.
const HELD_FOR: Duration = Duration::from_secs(30);

/// The state of the WAL.
#[derive(Debug)]
pub(crate) struct Wal {
    database: PathBuf,
    page_len: u64,
    /// Pages in the WAL, as SQLite counts them at each commit.
    n_pages: Arc<AtomicI32>,
    /// The number of pages that the last checkpoint copied.
    n_copied: i32,
    /// When a checkpoint may be tried again; `None` when the last one did all.
    again_at: Option<Instant>,
    /// The checkpoint that runs on another thread, which returns how many pages it left.
    elsewhere: Option<JoinHandle<rusqlite::Result<i32>>>,
    /// Since when a reader has kept the WAL from restarting, and the size to report next.
    held: Option<(Instant, u64)>,
    /// `true` if a batch has failed since the last checkpoint.
    needs_room: bool,
    /// The gate before the reads of the server, and when it may be closed again.
    gate: ReadingGate,
    gate_again_at: Option<Instant>,
}

impl Wal {
    /// Has SQLite count the pages of the WAL.
    pub(crate) fn watch(
        connection: &mut Connection,
        database: &Path,
        gate: ReadingGate,
    ) -> rusqlite::Result<Self> {
        let page_len: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let n_pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&n_pages);
        connection.wal_hook(Some(move |_: &mut _, n_pages| {
            counted.store(n_pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            database: database.to_owned(),
            page_len: page_len.into(),
            n_pages,
            n_copied: 0,
            again_at: None,
            elsewhere: None,
            held: None,
            needs_room: false,
            gate,
            gate_again_at: None,
        })
    }

    /// Asks for a checkpoint, after which the WAL restarts and needs no more room.
    pub(crate) fn needs_room(&mut self) {
        self.needs_room = true;
    }

    /// Returns `true` if the file is shorter than the pages that were written to it: another program
    /// truncated it, and they are lost.
    pub(crate) fn has_shrunk(&self, connection: &Connection) -> bool {
        // A file that is gone is noticed after the commit.
        let Ok(file) = std::fs::metadata(beside(&self.database, "-wal")) else { return false };
        let len = file.len();
        let is_short = |n_pages: i32| len < self.len_of(n_pages);
        if !is_short(self.n_pages.load(Ordering::Relaxed)) {
            return false;
        }
        // A checkpoint of another program may truncate it, and says so in the index of the WAL.
        let n_pages = connection.query_row("PRAGMA wal_checkpoint(NOOP)", [], |row| row.get(1));
        n_pages.is_ok_and(is_short)
    }

    /// Returns the least length of a WAL of so many pages.
    fn len_of(&self, n_pages: i32) -> u64 {
        match u64::try_from(n_pages) {
            Ok(0) | Err(_) => 0,
            Ok(n_pages) => HEADER_LEN + n_pages * (FRAME_HEADER_LEN as u64 + self.page_len),
        }
    }

    /// Checkpoints the WAL when it has grown, and after a batch has failed. No client waits for it.
    pub(crate) fn checkpoint_if_grown(&mut self, connection: &Connection) {
        let n_pages = self.n_pages.load(Ordering::Relaxed);
        // With fewer pages than before, it has restarted.
        let n_new = if n_pages >= self.n_copied { n_pages - self.n_copied } else { n_pages };
        let has_grown = n_new >= CHECKPOINT_PAGES;
        let may_try = self.again_at.is_none_or(|again_at| Instant::now() >= again_at);
        let is_due = self.needs_room || (has_grown && may_try);
        if !is_due {
            return;
        }
        if n_pages >= RESTART_PAGES && !self.needs_room && !self.is_mostly_copied(n_pages) {
            return;
        }
        let begun = Instant::now();
        let done = if n_pages < RESTART_PAGES {
            checkpoint(connection, "PASSIVE", Duration::ZERO)
        } else {
            checkpoint(connection, "RESTART", RESTART_TIMEOUT)
        };
        let done = done.map(|n_left| n_left == 0);
        self.needs_room &= done.is_err();
        if matches!(done, Ok(true)) {
            (self.n_copied, self.again_at, self.held) = (n_pages, None, None);
            self.gate.open();
        } else {
            self.close_gate_if_large(n_pages);
            self.again_at = Some(Instant::now() + PAUSE_MIN.max(begun.elapsed() * PAUSE_RATIO));
            self.report_if_held(n_pages);
        }
        if let Err(error) = done
            && has_grown
        {
            tracing::warn!(%error, "WAL checkpoint failed; the WAL keeps growing, no data is lost");
        }
    }

    /// Holds reads of the server back where the WAL is large and found no gap between them. It would be in vain while another
    /// program reads.
    fn close_gate_if_large(&mut self, n_pages: i32) {
        let now = Instant::now();
        let may_close = self.gate_again_at.is_none_or(|again_at| now >= again_at);
        let is_due = n_pages >= GATE_PAGES && !self.gate.is_closed() && may_close;
        if is_due && !wal_holders::has_others(&self.database) {
            self.gate.close();
            self.gate_again_at = Some(now + GATE_PAUSE);
        }
    }

    /// Returns `true` if so much of a large WAL was copied that the rest takes no time. Otherwise, it is
    /// copied on another thread.
    fn is_mostly_copied(&mut self, n_pages: i32) -> bool {
        if self.elsewhere.as_ref().is_some_and(|running| !running.is_finished()) {
            return false;
        }
        // A thread that failed is tried again like one that a reader has limited.
        let n_left = self.elsewhere.take().and_then(|done| done.join().ok()?.ok());
        if n_left.is_some_and(|n_left| n_left < CHECKPOINT_PAGES) {
            return true;
        }
        if n_left.is_some() {
            self.close_gate_if_large(n_pages);
            self.again_at = Some(Instant::now() + PAUSE_MIN);
            self.report_if_held(n_pages);
        }
        let database = self.database.clone();
        let copy = move || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            checkpoint(&Connection::open_with_flags(database, flags)?, "PASSIVE", Duration::ZERO)
        };
        let thread = thread::Builder::new().name(String::from("store-checkpoint"));
        self.elsewhere = thread.spawn(copy).ok();
        false
    }

    /// Waits for a checkpoint on another thread, which would keep the database open.
    pub(crate) fn finish(&mut self) {
        if let Some(running) = self.elsewhere.take() {
            drop(running.join());
        }
    }

    /// Reports a reader that keeps the WAL from restarting, and again whenever it has doubled.
    fn report_if_held(&mut self, n_pages: i32) {
        let len = self.len_of(n_pages);
        let (since, next_len) =
            self.held.get_or_insert((Instant::now(), WAL_BYTES_MAX.unsigned_abs().into()));
        if since.elapsed() >= HELD_FOR && len >= *next_len {
            *next_len = 2 * len;
            tracing::warn!(
                mebibytes = len >> 20,
                reader = wal_holders::describe(&self.database),
                "a reader keeps the WAL from restarting, so it grows; no data is lost"
            );
        }
    }
}

/// Copies what can be copied, and returns how many pages of the WAL are left.
fn checkpoint(connection: &Connection, mode: &str, timeout: Duration) -> rusqlite::Result<i32> {
    connection.busy_timeout(timeout)?;
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let done = connection.query_row(&sql, [], |row| {
        let (is_busy, n_pages, n_done): (bool, i32, i32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(if is_busy { (n_pages - n_done).max(1) } else { n_pages - n_done })
    });
    connection.busy_timeout(BUSY_TIMEOUT)?;
    done
}
