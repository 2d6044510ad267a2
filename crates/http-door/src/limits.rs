//! The limits of the HTTP door. docs/operations.md lists them for operators.

use std::time::Duration;

/// Time to send the headers of a request, and to be idle before the next one.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle time that clients are asked to keep, in seconds: a second less, so that they do not send on a
/// connection that is about to be closed.
pub const IDLE_TIMEOUT_TOLD_S: u64 = HEADER_TIMEOUT.as_secs() - 1;
/// Time to send a body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Time to take what of an answer the buffers of the system do not hold.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for open requests to be answered after a stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after the system could not accept a connection, such as for want of file descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the system keeps ready to be accepted. It drops what is beyond, and the client
/// tries again after a second.
pub const BACKLOG_LEN: u32 = 4_096;
/// Bytes of all headers of a request.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
pub const HEADERS_MAX: usize = 100;
/// Bytes of a path with its query.
pub const URI_LEN_MAX: usize = 2 * 1024;
/// Bytes of a batch.
pub const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Events of a batch.
pub const BATCH_EVENTS_MAX: usize = 10_000;
/// Bodies and answers up to this size need no reservation: the number of connections bounds them.
pub const UNRESERVED_BYTES_MAX: usize = 4 * 1024;
/// Memory for all larger bodies at once, in KiB; for those of one client three quarters of it.
pub const BODIES_KIB_MAX: u32 = 32 * 1024;
/// Memory for a body is taken in such steps as it arrives, in KiB.
pub const BODY_STEP_KIB: u32 = 64;
/// Memory for all answers above [`UNRESERVED_BYTES_MAX`] at once, in KiB; for those of one client three
/// quarters of it.
pub const ANSWERS_KIB_MAX: u32 = 32 * 1024;
/// Memory for all such answers that are made and wait for that memory, in KiB; further ones are refused.
pub const ANSWERS_WAITING_KIB_MAX: u32 = 16 * 1024;
/// Bytes of a part of a batch's answer, which is made when the part before it is on its way.
pub const ANSWER_PART_BYTES: usize = 4 << 20;
/// Rows of an inference request.
pub const INFERENCE_ROWS_MAX: usize = 100_000;
/// Bytes of the id of an inference request, which is repeated.
pub const INFERENCE_ID_LEN_MAX: usize = 128;
/// Entries of a list.
pub const LIST_LEN_MAX: u32 = 1_000;
/// Buckets of a series.
pub const SERIES_BUCKETS_MAX: u32 = 4_000;
/// The longest wait of a client that reads already.
pub const READ_TURN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pages that are made at the same time; of one client, one.
pub const PAGES_MAX: usize = 8;
/// Streams of stations; of one client three quarters of it.
pub const STREAMS_MAX: u32 = 64;
/// Stations named in one message of a stream.
pub const STREAM_CHANGED_MAX: usize = 1_000;
/// The longest time without a message on a stream, so that either side notices when the other has gone.
pub const STREAM_PING: Duration = Duration::from_secs(5);
