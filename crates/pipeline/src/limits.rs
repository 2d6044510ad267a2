//! The limits of the pipeline. docs/operations.md lists them for operators.

use std::time::Duration;

use store::QUEUE_KIB_MAX;

/// Arrivals in the inbox beyond which more are dropped: they are stored, but not shown.
pub(crate) const INBOX_LEN_MAX: usize = 262_144;
/// Requests that may wait for the thread.
pub(crate) const SNAPSHOT_REQUESTS_MAX: usize = 1_024;
/// Refusals that are remembered.
pub(crate) const REFUSALS_REMEMBERED_MAX: usize = 100;
/// A station's refusals for the same reason are logged this often.
pub(crate) const REFUSAL_LOG_PAUSE: Duration = Duration::from_mins(1);
/// Pairs of station and reason whose last log line is remembered; beyond, nothing is logged.
pub(crate) const REFUSALS_LOGGED_MAX: usize = 1_000;
/// The longest reason in the log and in the list, in bytes.
pub(crate) const REASON_LEN_MAX: usize = 300;
/// The start does not wait longer than this for the past.
pub(crate) const RECALL_TIMEOUT: Duration = Duration::from_secs(1);
/// Stations with a series of their own; the others share one.
pub(crate) const STATION_LABELS_MAX: usize = 1_000;
/// Memory of a place in the queue of the writer, in bytes: predictions of many features take several.
pub(crate) const PLACE_BYTES: usize = 8 << 10;
/// Places of all clients: as many as the memory of the queue has, whatever the number of predictions that may wait.
pub const PLACES_MAX: usize = QUEUE_KIB_MAX as usize * 1024 / PLACE_BYTES;
/// The longest time that a batch waits for places of its client.
pub(crate) const PLACES_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory for stations that learn what is usual, in KiB; those that were not heard of for the longest time are forgotten for
/// others, and read from the database again.
pub(crate) const LEARNING_KIB_MAX: usize = 32 * 1024;
/// The part of it for lessons that an operator made longer than usual.
pub(crate) const LONGER_LESSONS_KIB_MAX: usize = LEARNING_KIB_MAX / 4 * 3;
/// Memory for records of stations that wait to be stored, in KiB; beyond, they come with a later event, and events that would have
/// to come with one are judged alone.
pub(crate) const RECORDS_KIB_MAX: usize = 16 * 1024;
/// Stations whose past is replayed at the same time.
pub(crate) const REPLAYS_MAX: usize = 2;
/// A station is forgotten for another after events of so many times all stations that are known; so much later, one that
/// found no room asks again.
pub(crate) const ROUNDS_IDLE: u64 = 4;
/// Events that are read at once to replay what a station has sent since its last record.
pub(crate) const REPLAY_PAGE_LEN: u32 = 1_000;
/// If more events followed a record, none is replayed; late ones and those that were judged alone only count among the events read.
pub(crate) const REPLAY_EVENTS_MAX: usize = 4_000;
pub(crate) const REPLAY_READ_MAX: usize = 64_000;
/// Lanes of stations; beyond, those that learn are forgotten.
pub(crate) const LANES_MAX: usize = 50_000;
/// An event that was measured this long after it was received is judged alone, in microseconds.
pub(crate) const AHEAD_US_MAX: i64 = 600 * 1_000_000;
/// Models with more features judge events alone: what one says of the others would take a processor for milliseconds.
pub(crate) const FEATURES_WATCHED_MAX: usize = 256;
/// Values of events that are judged in time order on a thread that answers everybody: about 200 microseconds.
pub(crate) const VALUES_AT_ONCE_MAX: usize = 128;
/// Multiplications that an event may take on a thread that answers everybody: about 150 microseconds.
pub(crate) const WORK_AT_ONCE_MAX: usize = 300_000;
/// Multiplications after which a processor may go to another client: about 25 ms.
pub const WORK_OF_PIECE: usize = 50_000_000;
