//! Errors of a SQLite database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use store::Trouble;

/// An error that occurs when a database is opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refuses it.
    #[error("cannot open the database `{}`", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        source: rusqlite::Error,
    },
    /// The folder of the file could not be created.
    #[error("cannot create the folder `{}`", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The files that were just opened cannot be found.
    #[error("cannot find the files of the database `{}`", path.display())]
    Files {
        /// The database.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file belongs to another program.
    #[error("`{}` is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this program, or has to be migrated first.
    #[error(
        "`{}` has version {found}, and this program writes {supported}: use a newer program, or start the server once to \
         migrate an older file",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Version of the file.
        found: u32,
        /// The latest version known here.
        supported: u32,
    },
    /// SQLite works with less durability than was asked for.
    #[error("`{}`: asked for {setting}={asked} and got {found}, which may lose what was acknowledged", path.display())]
    WeakerSetting {
        /// The file.
        path: PathBuf,
        /// Name of the setting.
        setting: &'static str,
        /// The value asked for.
        asked: &'static str,
        /// The value granted.
        found: String,
    },
    /// Another server keeps its predictions in the file.
    #[error("`{}` is in use by another server; stop it, or use another folder", path.display())]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// The commit mark could not be opened or read.
    #[error("cannot use `{}`, which remembers the last commit", path.display())]
    CommitMark {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The database is damaged.
    #[error("the database `{}` is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// The error of SQLite.
        reason: String,
    },
    /// A damaged database could not be put aside.
    #[error("cannot put the damaged database `{}` aside", path.display())]
    Quarantine {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The thread of the writer could not be started.
    #[error("cannot start the writer")]
    Thread {
        /// The error of the system.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        if trouble_of(&source) == Trouble::Corrupt {
            return Self::Corrupt { path: path.to_owned(), reason: source.to_string() };
        }
        Self::Sqlite { path: path.to_owned(), source }
    }
}

/// Returns what an error of SQLite means.
pub(crate) fn trouble_of(error: &rusqlite::Error) -> Trouble {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Trouble::DiskFull,
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Trouble::ReadOnly,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Trouble::Locked,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => Trouble::DiskFails,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Trouble::Corrupt,
        _ => Trouble::Other,
    }
}

/// An error of a query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QueryError {
    /// SQLite refuses it.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// A connection for reading could not be opened.
    #[error("cannot open the database for reading")]
    Open(#[from] OpenError),
}
