//! What can go wrong with a database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why a database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite says no.
    #[error("cannot open the database `{}`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The folder of the file could not be made.
    #[error("cannot make the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files that were just opened cannot be found.
    #[error("cannot find the files of the database `{}`", path.display())]
    Files {
        /// The database.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file belongs to another program.
    #[error("`{}` is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this program, or cannot be read before an earlier
    /// one's was brought up to date.
    #[error(
        "`{}` has version {found}, and this program writes {supported}: use a newer program, or start the server once to \
         bring an older file up to date",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: u32,
        /// Latest version that is known here.
        supported: u32,
    },
    /// SQLite works with less durability than was asked for.
    #[error("`{}`: asked for {setting}={asked} and got {found}, which may lose what was acknowledged", path.display())]
    WeakerSetting {
        /// The file.
        path: PathBuf,
        /// Name of the setting.
        setting: &'static str,
        /// What was asked for.
        asked: &'static str,
        /// What there is.
        found: String,
    },
    /// Another server keeps its predictions in the file.
    #[error("`{}` is in use by another server; stop it, or use another folder", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The file that remembers the last commit could not be opened or read.
    #[error("cannot use `{}`, which remembers the last commit", path.display())]
    CommitMark {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The database is damaged.
    #[error("the database `{}` is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// A damaged database could not be put aside.
    #[error("cannot put the damaged database `{}` aside", path.display())]
    Quarantine {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread of the writer could not be started.
    #[error("cannot start the writer")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        if Trouble::of(&source) == Trouble::Corrupt {
            return Self::Corrupt { path: path.to_owned(), reason: source.to_string() };
        }
        Self::Sqlite { path: path.to_owned(), source }
    }
}

/// What is wrong with a database or its disk, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// There is no room.
    #[error("the disk is full")]
    DiskFull,
    /// Nothing may be written.
    #[error("the database, or the disk that it is on, is read-only")]
    ReadOnly,
    /// Another program holds a lock for longer than anyone waits.
    #[error("another program keeps the database locked")]
    Locked,
    /// Reading, writing or syncing fails.
    #[error("the disk fails")]
    DiskFails,
    /// The file is not what was written.
    #[error("the database is damaged")]
    Corrupt,
    /// The path leads to another file than the one that is open.
    #[error("the file of the database was moved, deleted or replaced while in use")]
    Replaced,
    /// A commit takes longer than anyone waits.
    #[error("the disk does not answer")]
    Stalled,
    /// The thread that writes has ended.
    #[error("the writer has ended")]
    WriterGone,
    /// Anything else, which the log knows more of.
    #[error("the database does not take it")]
    Other,
}

impl Trouble {
    pub(crate) fn of(error: &rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Self::DiskFails,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            _ => Self::Other,
        }
    }
}

/// Why predictions were not kept, or may not have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Too many predictions wait for the disk; these are not among them.
    #[error("too many predictions wait to be stored")]
    Full,
    /// Nothing was kept.
    #[error("{0}")]
    NotStored(Trouble),
    /// The commit failed or is not heard of; what was in it may be kept or not.
    #[error("{0}")]
    Unknown(Trouble),
}

/// Why predictions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite says no.
    #[error("cannot read the database")]
    Sqlite(#[from] rusqlite::Error),
    /// A connection for reading could not be opened.
    #[error("cannot open the database for reading")]
    Open(#[from] OpenError),
    /// Too many others read.
    #[error("too many others read the database")]
    Busy,
    /// The answer would take too long.
    #[error("reading takes too long")]
    TimeLimit,
    /// The thread that read has panicked.
    #[error("reading has panicked")]
    Panic(#[from] tokio::task::JoinError),
}
