//! Errors of a SQLite database.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};
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
    /// A file of the database is a pipe, a device or a folder.
    #[error("`{}` is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// A file of the database has another name, by which another server could open it, too.
    #[error(
        "`{}` has a second name (a hard link), as some backup tools make, so another server could open it; remove the \
         other name, or copy the file",
        path.display()
    )]
    Linked {
        /// The file.
        path: PathBuf,
    },
    /// A link that somebody else has made could lead anywhere.
    #[error(
        "`{}` is a link to `{}` that neither root nor the owner of that file has made, so it is not followed; name the \
         file itself, or make the link as its owner",
        path.display(),
        target.display()
    )]
    LinkOfAnother {
        /// The link.
        path: PathBuf,
        /// The path that it leads to.
        target: PathBuf,
    },
    /// The disk has no room for the files that SQLite needs.
    #[error("the disk of `{}` is full; make room", path.display())]
    DiskFull {
        /// The database.
        path: PathBuf,
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
        let path = path.to_owned();
        match trouble_of(&source) {
            Trouble::Corrupt => Self::Corrupt { path, reason: source.to_string() },
            Trouble::DiskFull => Self::DiskFull { path },
            _ => Self::Sqlite { path, source },
        }
    }
}

/// Returns the error of SQLite itself, also where it knows the place in the SQL.
pub(crate) fn sqlite_error_of(error: &rusqlite::Error) -> Option<&ffi::Error> {
    match error {
        rusqlite::Error::SqlInputError { error, .. } => Some(error),
        error => error.sqlite_error(),
    }
}

/// Returns its code.
pub(crate) fn code_of(error: &rusqlite::Error) -> Option<ErrorCode> {
    sqlite_error_of(error).map(|error| error.code)
}

/// Returns what an error of SQLite means.
pub(crate) fn trouble_of(error: &rusqlite::Error) -> Trouble {
    /// `SQLITE_IOERR_SHMSIZE`: the index of the WAL could not grow, since the disk is full.
    const IOERR_SHMSIZE: i32 = 4_874;
    if sqlite_error_of(error).is_some_and(|error| error.extended_code == IOERR_SHMSIZE) {
        return Trouble::DiskFull;
    }
    match code_of(error) {
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
