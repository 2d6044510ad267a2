//! The tables, how they came about, and the settings that make a commit last.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, ffi};
use store::{Totals, Trouble};

use crate::commit_mark::Mark;
use crate::error::{OpenError, sqlite_error_of, trouble_of};
use crate::held_files;
use crate::limits::{BUSY_TIMEOUT, READER_CACHE_KIB, WAL_BYTES_MAX, WRITER_CACHE_KIB};

/// `IFev` in ASCII, so that `file` and this program know whose database it is.
const APPLICATION_ID: i32 = 0x4946_6576;

/// Step n leads from version n to n + 1. A step that was released is never changed.
const MIGRATIONS: [&str; 7] = [
    "
    CREATE TABLE predictions (
        id            INTEGER NOT NULL,
        station_id    TEXT    NOT NULL,
        timestamp_us  INTEGER NOT NULL,
        sequence      INTEGER NOT NULL,
        features      TEXT    NOT NULL,
        anomaly_score REAL    NOT NULL,
        p_value       REAL    NOT NULL,
        threshold     REAL    NOT NULL,
        is_anomaly    INTEGER NOT NULL,
        attributions  TEXT    NOT NULL,
        model_version TEXT    NOT NULL,
        received_us   INTEGER NOT NULL,
        event_hash    BLOB    NOT NULL,
        PRIMARY KEY (station_id, timestamp_us, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX anomalies_by_id ON predictions (id) WHERE is_anomaly;
    CREATE UNIQUE INDEX anomalies_by_station ON predictions (station_id, id) WHERE is_anomaly;

    -- One row: counting the table would take longer every day.
    CREATE TABLE totals (
        last_id   INTEGER NOT NULL,
        events    INTEGER NOT NULL,
        anomalies INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (0, 0, 0);
",
    "
    ALTER TABLE predictions ADD COLUMN row_hash BLOB;

    -- What is written and deleted again to see whether there is room.
    CREATE TABLE trial (filler BLOB NOT NULL) STRICT;
",
    "
    -- The time that the last sweep believed.
    ALTER TABLE totals ADD COLUMN believed_us INTEGER;
    CREATE INDEX anomalies_by_time ON predictions (timestamp_us) WHERE is_anomaly;
",
    "
    -- What speaks most for an anomaly: 0 forest, 1 outside, 2 relation.
    ALTER TABLE predictions ADD COLUMN evidence INTEGER;
    -- The values outside of what training has seen; null when there are none.
    ALTER TABLE predictions ADD COLUMN outside TEXT;
",
    "
    -- What the values were compared with: 0 station, 1 group, 2 fleet; null where all stations share one baseline.
    ALTER TABLE predictions ADD COLUMN baseline INTEGER;
",
    "
    -- The alarm of the station in time order, as JSON; null where it is not watched.
    ALTER TABLE predictions ADD COLUMN alarm TEXT;

    -- What the watch over a station continues from, with the events that followed.
    CREATE TABLE alarm_records (
        station_id TEXT NOT NULL PRIMARY KEY,
        record     BLOB NOT NULL
    ) STRICT;
",
    "
    -- Those without a hash are of a shape that is no longer read: their stations learn again.
    DROP TABLE alarm_records;
    CREATE TABLE alarm_records (
        station_id  TEXT NOT NULL PRIMARY KEY,
        record      BLOB NOT NULL,
        record_hash BLOB NOT NULL
    ) STRICT;
",
];

/// Opens a database for its writer, and makes or migrates its tables. Its folder must be there.
pub(crate) fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    let sqlite_error = |source| OpenError::sqlite(path, source);
    let mut connection = Connection::open(path).map_err(sqlite_error)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(sqlite_error)?;
    connection.set_prepared_statement_cache_capacity(32);
    check_owner(&connection, path)?;
    give_space_back(&connection, path)?;
    demand_durability(&connection, path)?;
    // The writer brings the log into the file itself, between two batches.
    connection
        .execute_batch(&format!(
            "PRAGMA wal_autocheckpoint = 0; PRAGMA journal_size_limit = {WAL_BYTES_MAX};
             PRAGMA cache_size = -{WRITER_CACHE_KIB}"
        ))
        .map_err(sqlite_error)?;
    migrate(&mut connection, path)?;
    check_tables(&connection, path)?;
    Ok(connection)
}

/// Fails when a table or an index is missing or is not as it was created: a damaged schema shows as an
/// error of SQL otherwise, at the first event.
fn check_tables(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite_error = |source| OpenError::sqlite(path, source);
    let mut expected = Connection::open_in_memory().map_err(sqlite_error)?;
    migrate(&mut expected, path)?;
    let expected = definitions(&expected).map_err(sqlite_error)?;
    // It could undo what is acknowledged.
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger'";
    let trigger = connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional();
    if let Some(name) = trigger.map_err(sqlite_error)? {
        let reason = format!("another program has added the trigger `{name}`");
        return Err(OpenError::Corrupt { path: path.to_owned(), reason });
    }
    let found = definitions(connection).map_err(sqlite_error)?;
    match expected.iter().find(|(name, sql)| found.get(*name) != Some(sql)) {
        None => Ok(()),
        Some((name, _)) => {
            let reason = format!("`{name}` is missing or not as it was created");
            Err(OpenError::Corrupt { path: path.to_owned(), reason })
        }
    }
}

/// Returns the definitions of tables and indices by name, without quotes: a table that was renamed has them.
fn definitions(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| {
        let sql: String = row.get(1)?;
        Ok((row.get(0)?, sql.replace('"', "")))
    })?;
    rows.collect()
}

/// Opens a database for its writer, compares it with what its mark says, and returns its counts, too.
pub(crate) fn open_checked(path: &Path, mark: Mark) -> Result<(Connection, Ledger), OpenError> {
    let connection = open_for_writing(path)?;
    let ledger = Ledger::read_or_count(&connection, path)
        .map_err(|source| OpenError::sqlite(path, source))?;
    if mark.is_suspect {
        tracing::warn!(
            "`{}` was found to be damaged while in use; looking at all of it",
            path.display()
        );
        check_integrity(&connection, path)?;
    }
    if mark == Mark::default() && ledger.last_id > 0 {
        tracing::warn!(
            "`{}` has no mark of its last commit, so it cannot be told whether it is whole",
            path.display()
        );
    }
    if ledger.last_id < mark.last_id {
        tracing::error!(
            first_missing_id = ledger.last_id + 1,
            last_missing_id = mark.last_id,
            "`{}` has lost predictions that were acknowledged: it was replaced, its WAL was deleted, or its disk lost \
             what it had confirmed",
            path.display()
        );
    }
    Ok((connection, ledger))
}

/// Sees to it that pages of deleted rows can leave the file.
fn give_space_back(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    const INCREMENTAL: i32 = 2;
    let sqlite_error = |source| OpenError::sqlite(path, source);
    let number = |sql| connection.query_row(sql, [], |row| row.get(0)).map_err(sqlite_error);
    let found: i32 = number("PRAGMA auto_vacuum")?;
    if found == INCREMENTAL {
        return Ok(());
    }
    let n_pages: i32 = number("PRAGMA page_count")?;
    // Of an empty file, this is how it will be.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL").map_err(sqlite_error)?;
    if n_pages > 0 {
        tracing::info!("rewriting `{}` once, so that it can give space back", path.display());
        match connection.execute_batch("VACUUM").map_err(sqlite_error) {
            Err(OpenError::DiskFull { .. }) => tracing::warn!(
                "`{}` cannot be rewritten, since the disk has no room for a second one; it does not give space back until \
                 a start with more room",
                path.display()
            ),
            rewritten => rewritten?,
        }
    }
    Ok(())
}

/// Fails when a database is not of this program, or of a version that it cannot read.
pub(crate) fn check_readable(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    check_owner(connection, path)?;
    let found: u32 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|source| OpenError::sqlite(path, source))?;
    if found as usize != MIGRATIONS.len() {
        return Err(other_version(path, found));
    }
    check_tables(connection, path)
}

fn other_version(path: &Path, found: u32) -> OpenError {
    let supported = u32::try_from(MIGRATIONS.len()).expect("migrations are written by hand");
    OpenError::Version { path: path.to_owned(), found, supported }
}

/// Asks SQLite to look at the whole file, which takes seconds for a million rows.
pub(crate) fn check_integrity(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let reason: String = connection
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(|source| OpenError::sqlite(path, source))?;
    if reason == "ok" { Ok(()) } else { Err(OpenError::Corrupt { path: path.to_owned(), reason }) }
}

/// Opens a database for reading only. Even so, SQLite deletes the WAL of an empty file, so that such a pair is refused.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    // Opening a pipe would block forever.
    if std::fs::metadata(path).is_ok_and(|file| !file.is_file()) {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    held_files::check_wal(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)
        .map_err(|source| OpenError::sqlite(path, source))?;
    connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.pragma_update(None, "cache_size", -READER_CACHE_KIB))
        .map_err(|source| OpenError::sqlite(path, source))?;
    Ok(connection)
}

/// The counts that a transaction reads and writes along with its rows.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The id of the last prediction to arrive.
    pub(crate) last_id: i64,
    pub(crate) totals: Totals,
    /// The latest time that a sweep has believed.
    pub(crate) believed_us: Option<i64>,
}

impl Ledger {
    /// Reads the counts, or counts all rows when the stored counts cannot be right.
    pub(crate) fn read_or_count(connection: &Connection, path: &Path) -> rusqlite::Result<Self> {
        match Self::read(connection) {
            Ok(ledger) if ledger.is_plausible() => return Ok(ledger),
            Err(error) if trouble_of(&error) != Trouble::Other => return Err(error),
            Ok(_) | Err(_) => {}
        }
        tracing::warn!("the counts in `{}` are damaged; counting all predictions", path.display());
        let ledger = Self::count(connection)?;
        connection.execute_batch("DELETE FROM totals")?;
        connection
            .execute("INSERT INTO totals (last_id, events, anomalies) VALUES (0, 0, 0)", [])?;
        ledger.write(connection)?;
        Ok(ledger)
    }

    pub(crate) fn is_plausible(&self) -> bool {
        let Totals { events, anomalies } = self.totals;
        let last_id = u64::try_from(self.last_id).unwrap_or_default();
        anomalies <= events && events <= last_id && self.last_id < i64::MAX / 2
    }

    /// Counts all predictions.
    pub(crate) fn count(connection: &Connection) -> rusqlite::Result<Self> {
        let sql =
            "SELECT coalesce(max(id), 0), count(*), coalesce(sum(is_anomaly), 0) FROM predictions";
        connection.query_row(sql, [], Self::of_row)
    }

    /// Reads what databases of all versions have counted.
    pub(crate) fn read_counts(connection: &Connection) -> rusqlite::Result<Self> {
        connection.query_row("SELECT last_id, events, anomalies FROM totals", [], Self::of_row)
    }

    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        connection
            .prepare_cached("SELECT last_id, events, anomalies, believed_us FROM totals")?
            .query_row([], |row| Ok(Self { believed_us: row.get(3)?, ..Self::of_row(row)? }))
    }

    /// Reads a row that begins with the last id, and the numbers of events and of anomalies.
    fn of_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            last_id: row.get(0)?,
            totals: Totals { events: row.get(1)?, anomalies: row.get(2)? },
            believed_us: None,
        })
    }

    /// Makes ids continue after `last_id`, too.
    pub(crate) fn continued(self, last_id: i64) -> Self {
        Self { last_id: self.last_id.max(last_id), ..self }
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        let sql = "UPDATE totals SET last_id = ?1, events = ?2, anomalies = ?3, believed_us = ?4";
        let Totals { events, anomalies } = self.totals;
        connection.prepare_cached(sql)?.execute(rusqlite::params![
            self.last_id,
            events,
            anomalies,
            self.believed_us
        ])?;
        Ok(())
    }
}

/// Fails if the file belongs to another program: nothing is written to it.
fn check_owner(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let number = |sql| {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|source| OpenError::sqlite(path, source))
    };
    let application_id: i32 = number("PRAGMA application_id")?;
    let n_tables: i32 = number("SELECT count(*) FROM sqlite_schema")?;
    if application_id == APPLICATION_ID || (application_id == 0 && n_tables == 0) {
        Ok(())
    } else {
        Err(OpenError::Foreign { path: path.to_owned() })
    }
}

/// Makes SQLite sync each commit before it returns. Settings are read back, since SQLite does not report
/// those that it cannot grant.
fn demand_durability(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite_error = |source| OpenError::sqlite(path, source);
    let demand = |setting: &'static str, asked: &'static str, found: String| {
        let granted = found == asked;
        let weaker = OpenError::WeakerSetting { path: path.to_owned(), setting, asked, found };
        if granted { Ok(()) } else { Err(weaker) }
    };

    let journal_mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(sqlite_error)?;
    demand("journal_mode", "wal", journal_mode)?;

    // fullfsync matters on macOS, where a plain fsync stops at the cache of the disk.
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON",
        )
        .map_err(sqlite_error)?;
    let synchronous: i32 =
        connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).map_err(sqlite_error)?;
    demand("synchronous", "2", synchronous.to_string())
}

/// Brings the tables of a database of this program to the present version.
pub(crate) fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    check_owner(connection, path)?;
    let sqlite_error = |source| OpenError::sqlite(path, source);
    let found: u32 =
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(sqlite_error)?;
    let Some(missing) = MIGRATIONS.get(found as usize..) else {
        return Err(other_version(path, found));
    };
    for (step, migration) in (found..).zip(missing) {
        let transaction = connection.transaction().map_err(sqlite_error)?;
        transaction.execute_batch(migration).map_err(|source| {
            // A migration is sound SQL, so that the tables are not those that it was written for. All other
            // errors, a lock or a full disk, say nothing of the database.
            let is_refused = sqlite_error_of(&source)
                .is_some_and(|error| error.extended_code == ffi::SQLITE_ERROR);
            if is_refused {
                let reason = format!("its tables are not those of version {step}: {source}");
                OpenError::Corrupt { path: path.to_owned(), reason }
            } else {
                sqlite_error(source)
            }
        })?;
        transaction.pragma_update(None, "user_version", step + 1).map_err(sqlite_error)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite_error)?;
        transaction.commit().map_err(sqlite_error)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen to fail with a comparison of the tables that knows only databases created by this version.
    #[test]
    fn databases_of_every_version_are_migrated_and_found_whole() {
        for (version, _) in (1_u32..).zip(&MIGRATIONS[1..]) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("events.db");
            let old = Connection::open(&path).unwrap();
            for migration in &MIGRATIONS[..version as usize] {
                old.execute_batch(migration).unwrap();
            }
            old.pragma_update(None, "user_version", version).unwrap();
            old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
            let row = "INSERT INTO predictions (id, station_id, timestamp_us, sequence, features, anomaly_score,
                           p_value, threshold, is_anomaly, attributions, model_version, received_us, event_hash)
                       VALUES (1, 's', 2, 3, '{}', 0.5, 0.1, 0.6, 1, '[]', 'v', 4, x'00')";
            old.execute_batch(row).unwrap();
            old.execute_batch("UPDATE totals SET last_id = 1, events = 1, anomalies = 1").unwrap();
            drop(old);
            let migrated = open_for_writing(&path).unwrap();
            let ledger = Ledger::read(&migrated).unwrap();
            assert_eq!((ledger.last_id, ledger.totals.events), (1, 1), "version {version}");
            let evidence: Option<i64> = migrated
                .query_row("SELECT evidence FROM predictions", [], |row| row.get(0))
                .unwrap();
            assert_eq!(evidence, None);
            check_readable(&migrated, &path).unwrap();
        }
    }

    /// Seen to fail where every error of a migration is damage: a sound database would be put aside.
    #[test]
    fn a_migration_that_has_to_wait_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.db");
        let mut old = Connection::open(&path).unwrap();
        old.execute_batch(MIGRATIONS[0]).unwrap();
        old.pragma_update(None, "user_version", 1).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        old.busy_timeout(std::time::Duration::ZERO).unwrap();
        let error = migrate(&mut old, &path).unwrap_err();
        assert!(!matches!(error, OpenError::Corrupt { .. }), "{error}");
        other.execute_batch("ROLLBACK").unwrap();
        migrate(&mut old, &path).unwrap();
    }

    #[test]
    fn less_durability_than_asked_for_stops_the_start() {
        // A database in memory has no log that could be written ahead.
        let error = open_for_writing(Path::new(":memory:")).unwrap_err();
        assert!(
            matches!(error, OpenError::WeakerSetting { setting: "journal_mode", .. }),
            "{error}"
        );
    }
}
