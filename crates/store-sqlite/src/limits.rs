//! The limits of the database. docs/operations.md lists them for operators.

use std::time::Duration;

/// The longest wait for another program, such as a backup, to release the file.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The page cache of the writer, in KiB: the last page of every station.
pub(crate) const WRITER_CACHE_KIB: i32 = 16 * 1024;
/// The page cache of a reader.
pub(crate) const READER_CACHE_KIB: i32 = 2 * 1024;
/// The WAL is truncated to this size when it is reset, in bytes.
pub(crate) const WAL_BYTES_MAX: i32 = 64 << 20;
/// The number of concurrent readers for programs. Each of them takes a processor.
pub(crate) const READERS_MAX: usize = 2;
/// The number of concurrent readers for pages.
pub(crate) const PAGE_READERS_MAX: usize = 2;
/// Concurrent reads of what the alarms of stations continue from.
pub(crate) const ALARM_READERS_MAX: usize = 1;
/// The longest wait of a reader for its turn.
pub(crate) const TURN_TIMEOUT: Duration = Duration::from_secs(2);
/// The longest time that a reader may read. Meanwhile, the WAL cannot be reset.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// No read is longer while others wait for the WAL to restart.
pub(crate) const READ_AT_GATE_MAX: Duration = Duration::from_millis(500);
/// Rows that a series reads at most, shared by its buckets.
pub(crate) const SERIES_ROWS_MAX: u32 = 200_000;
/// Anomalies that are read besides, where buckets are not whole.
pub(crate) const SERIES_ANOMALIES_MAX: u32 = 10_000;
