//! Errors of stored predictions, independent of the database.

use tokio::task::JoinError;

/// A trouble of a database or its disk, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no space left.
    #[error("the disk is full")]
    DiskFull,
    /// Nothing may be written.
    #[error("the database, or the disk that it is on, is read-only")]
    ReadOnly,
    /// Another program holds a lock.
    #[error("another program keeps the database locked")]
    Locked,
    /// Reading, writing or syncing fails.
    #[error("the disk fails")]
    DiskFails,
    /// The content is not what was written.
    #[error("the database is damaged")]
    Corrupt,
    /// The path leads to another file than the one that is open.
    #[error("the file of the database was moved, deleted or replaced while in use")]
    Replaced,
    /// A commit takes too long.
    #[error("the disk does not answer")]
    Stalled,
    /// The thread that writes has ended.
    #[error("the writer has ended")]
    WriterGone,
    /// Anything else; the log has the details.
    #[error("the database refuses to store it")]
    Other,
}

/// The reason why predictions were not stored, or may not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Too many predictions wait for the disk; these are not among them.
    #[error("too many predictions wait to be stored")]
    Full,
    /// None was stored.
    #[error("{0}")]
    NotStored(Trouble),
    /// The commit failed or nothing is known of it: they may be stored or not.
    #[error("{0}")]
    Unknown(Trouble),
}

/// The reason why predictions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database fails.
    #[error("cannot read the database")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too many others read.
    #[error("too many others read the database")]
    Busy,
    /// The answer would take too long.
    #[error("reading takes too long")]
    TimeLimit,
    /// The thread that read has panicked.
    #[error("reading has panicked")]
    Panic(#[from] JoinError),
}
