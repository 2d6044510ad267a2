//! Saving what an open database holds when its paths lead elsewhere.

use std::path::Path;

use rusqlite::Connection;

/// Writes everything to a new file beside the database: when the open file is closed, it is gone.
pub(crate) fn rescue(connection: &Connection, database: &Path) {
    let target = files::free_beside(database, ".rescued-", |candidate| !candidate.exists());
    let text = target.display().to_string();
    match connection.execute("VACUUM INTO ?1", [&text]) {
        Ok(_) => tracing::error!(
            "the files of the database were moved, deleted or replaced; all that it held was written to `{text}`: \
             put it in their place before the next start"
        ),
        Err(error) => tracing::error!(
            %error,
            "the files of the database were moved, deleted or replaced, and what it held could not be rescued"
        ),
    }
}
