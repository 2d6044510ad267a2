//! The limits of the store. docs/operations.md lists them for operators.

use std::time::Duration;

/// Memory for all waiting predictions, in KiB.
pub const QUEUE_KIB_MAX: u32 = 32 * 1024;
/// Predictions of one transaction. More would make the first wait for too long.
pub(crate) const BATCH_LEN_MAX: usize = 1_024;
/// Bytes of one transaction.
pub(crate) const TRANSACTION_BYTES_MAX: usize = 4 << 20;
/// Bytes of a list of predictions: with many features, it ends earlier than asked for.
pub const LIST_BYTES_MAX: usize = 8 << 20;
/// The longest time that anyone waits for a commit.
pub(crate) const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// A transaction that takes longer counts as stalled.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(3);
/// A recent commit proves for this long that the database can be written.
pub(crate) const PROOF_LASTS: Duration = Duration::from_secs(1);
