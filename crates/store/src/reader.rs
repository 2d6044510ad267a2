//! Connections that read, on threads for blocking work, and for a limited time.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Semaphore;

use crate::commit_mark::beside;
use crate::error::{OpenError, ReadError};
use crate::schema;

/// How many read at once. Each of them takes a processor while it does.
const READERS_MAX: usize = 2;
/// How long a reader waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a reader may read. While it does, the log cannot begin anew.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// Steps of SQLite's machine between two looks at the clock: about a millisecond.
const STEPS_PER_LOOK: i32 = 20_000;

/// The readers of a database.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    turns: Arc<Semaphore>,
    /// Connections that nobody uses.
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        // One at once, so that a file that cannot be read stops the start.
        let first = schema::open_for_reading(path)?;
        Ok(Self {
            path: path.to_owned(),
            turns: Arc::new(Semaphore::new(READERS_MAX)),
            idle: Mutex::new(vec![first]),
        })
    }

    /// Bytes of the files that are read; 0 for one that is not there.
    pub(crate) fn size_bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }

    /// Reads when it is its turn.
    pub(crate) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let turn = tokio::time::timeout(TURN_TIMEOUT, turn).await;
        let turn = turn.map_err(|_| ReadError::Busy)?.map_err(|_| ReadError::Busy)?;
        let readers = Arc::clone(self);
        let read = move || {
            // Reading goes on when nobody waits for it any more, and so does the turn.
            let _turn = turn;
            readers.read_now(query)
        };
        tokio::task::spawn_blocking(read).await?
    }

    fn read_now<T>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        // A panic of another reader leaves connections that are as good as before.
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let spare = idle().pop();
        let mut connection = match spare {
            Some(connection) => connection,
            None => schema::open_for_reading(&self.path)?,
        };
        let begun = Instant::now();
        let is_late = move || begun.elapsed() > READ_TIMEOUT;
        connection.progress_handler(STEPS_PER_LOOK, Some(is_late))?;
        let found = query(&connection).map_err(|error| match error {
            ReadError::Sqlite(error)
                if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                ReadError::TimeLimit
            }
            error => error,
        });
        // A connection that failed may be one to a file that is no longer there.
        if !matches!(found, Err(ReadError::Sqlite(_))) {
            idle().push(connection);
        }
        found
    }
}
