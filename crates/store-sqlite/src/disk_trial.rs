//! A trial whether a disk that failed has room again.
//!
//! After a failure, a small transaction can succeed where a batch could not. So before the next batch
//! several times as much is written as the failed one needed, through SQLite itself, so that a limit
//! on files or a quota counts as well. The next transaction deletes it.

use std::ops::RangeInclusive;

use rusqlite::Connection;

use crate::backend::execute;

/// The size of a trial: several times the batch that failed, since its rows are spread over pages.
const TRIAL_BYTES: RangeInclusive<usize> = (256 << 10)..=(8 << 20);

/// The trial to make before the next transaction.
#[derive(Debug, Default)]
pub(crate) struct DiskTrial {
    /// 0 when the last transaction succeeded.
    n_bytes: usize,
}

impl DiskTrial {
    /// Notes that a batch of `n_bytes` failed for want of room.
    pub(crate) fn failed(&mut self, n_bytes: usize) {
        let trial = (4 * n_bytes).clamp(*TRIAL_BYTES.start(), *TRIAL_BYTES.end());
        self.n_bytes = trial.max(self.n_bytes);
    }

    /// Notes that a transaction was committed.
    pub(crate) fn succeeded(&mut self) {
        self.n_bytes = 0;
    }

    /// Writes the trial in a transaction of its own, if there is one to write.
    pub(crate) fn run(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.n_bytes == 0 {
            return Ok(());
        }
        execute(connection, "BEGIN IMMEDIATE")?;
        Self::clean_up(connection)?;
        connection.execute("INSERT INTO trial VALUES (zeroblob(?1))", [self.n_bytes])?;
        execute(connection, "COMMIT")
    }

    /// Deletes the trial that was just written.
    pub(crate) fn delete(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.n_bytes == 0 { Ok(()) } else { Self::clean_up(connection) }
    }

    /// Deletes whatever earlier trials have left.
    pub(crate) fn clean_up(connection: &Connection) -> rusqlite::Result<()> {
        execute(connection, "DELETE FROM trial")
    }
}
