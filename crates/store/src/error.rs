//! What can go wrong with a database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// The file belongs to another program.
    #[error("`{}` is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later version of this program.
    #[error("`{}` has version {found}, and this program knows up to {supported}: use a newer one", path.display())]
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
    /// The thread of the writer could not be started.
    #[error("cannot start the writer")]
    Thread {
        /// What the system says.
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { path: path.to_owned(), source }
    }
}

/// Why a prediction was not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// Too many predictions wait for the disk.
    #[error("too many predictions wait to be stored")]
    Full,
    /// Another event has the same station, time and sequence number.
    #[error("another event has the same station, time and sequence number")]
    Conflict,
    /// The transaction failed before its commit; nothing was kept.
    #[error("the database does not take it: {0}")]
    Failed(Arc<str>),
    /// The commit failed; what was in it may be kept or not.
    #[error("the commit failed, and what became of it is not known: {0}")]
    Unknown(Arc<str>),
    /// The thread of the writer has ended; what it had not answered may be kept or not.
    #[error("the writer has stopped")]
    WriterGone,
}

/// Why predictions could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// SQLite says no.
    #[error("cannot read the database")]
    Sqlite(#[from] rusqlite::Error),
}
