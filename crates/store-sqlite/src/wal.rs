//! The checkpoints of the WAL: when its pages are brought into the database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use rusqlite::Connection;

/// Pages in the WAL from which it is checkpointed.
const CHECKPOINT_PAGES: i32 = 2_000;
/// Pages in the WAL from which readers are waited for, so that it can restart: while they overlap, it
/// would grow without end.
const RESTART_PAGES: i32 = 16_000;

/// The state of the WAL.
#[derive(Debug)]
pub(crate) struct Wal {
    /// Pages in the WAL, as SQLite counts them at each commit.
    n_pages: Arc<AtomicI32>,
    /// The number of pages at which the next checkpoint is due.
    checkpoint_at: i32,
    /// `true` if a batch has failed since the last checkpoint.
    needs_room: bool,
}

impl Wal {
    /// Has SQLite count the pages of the WAL.
    pub(crate) fn watch(connection: &mut Connection) -> rusqlite::Result<Self> {
        let n_pages = Arc::new(AtomicI32::new(0));
        let counted = Arc::clone(&n_pages);
        connection.wal_hook(Some(move |_: &mut _, n_pages| {
            counted.store(n_pages, Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { n_pages, checkpoint_at: CHECKPOINT_PAGES, needs_room: false })
    }

    /// Asks for a checkpoint, after which the WAL restarts and needs no more room.
    pub(crate) fn needs_room(&mut self) {
        self.needs_room = true;
    }

    /// Checkpoints the WAL when it has grown, and after a batch has failed. No client waits for it.
    pub(crate) fn checkpoint_if_grown(&mut self, connection: &Connection) {
        let n_pages = self.n_pages.load(Ordering::Relaxed);
        let has_grown = n_pages >= self.checkpoint_at;
        if !has_grown && !self.needs_room {
            return;
        }
        // Readers of older states limit what PASSIVE can do; RESTART waits for them.
        let mode = if n_pages < RESTART_PAGES { "PASSIVE" } else { "RESTART" };
        let sql = format!("PRAGMA wal_checkpoint({mode})");
        let done = connection.query_row(&sql, [], |row| {
            let (is_busy, n_pages, n_done): (bool, i32, i32) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(!is_busy && n_pages == n_done)
        });
        self.needs_room &= done.is_err();
        // What remains is tried again when the WAL has grown by as much once more.
        let is_whole = matches!(done, Ok(true));
        self.checkpoint_at = if is_whole { CHECKPOINT_PAGES } else { n_pages + CHECKPOINT_PAGES };
        if is_whole {
            self.n_pages.store(0, Ordering::Relaxed);
        }
        if let Err(error) = done
            && has_grown
        {
            tracing::warn!(%error, "WAL checkpoint failed; the WAL keeps growing, no data is lost");
        }
    }
}
