//! Files that are lost, damaged, replaced or held by others.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use store::contract::{new_prediction, newest};
use store::{KeepError, Kept, Totals, Trouble};
use store_sqlite::{
    BackupError, OnCorrupt, OpenError, RestoreError, Restored, SqliteParams, back_up, restore,
    verify,
};

use crate::{TestStore, open, three_events};

/// Runs `act` and gives what it logs.
fn logged<T>(act: impl FnOnce() -> T) -> (T, String) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let done = tracing::subscriber::with_default(subscriber, act);
    let bytes = lines.0.lock().unwrap().clone();
    (done, String::from_utf8(bytes).unwrap())
}

#[tokio::test]
async fn a_second_writer_is_refused() {
    let test = three_events().await;
    assert!(matches!(open(&test.path()), Err(OpenError::InUse { .. })));
    let path = test.path();
    let _dir = test.close();
    open(&path).unwrap();
}

/// Seen to fail without the look at the files after the commit: events then go to a file that is never
/// read.
#[cfg(unix)]
#[tokio::test]
async fn nothing_is_acknowledged_while_the_path_leads_to_another_file() {
    for name in ["events.db", "events.db-wal", "events.db-mark"] {
        let test = three_events().await;
        let (path, aside) =
            (test.dir.path().join("data").join(name), test.dir.path().join("aside"));
        std::fs::rename(&path, &aside).unwrap();
        let refused = Err(KeepError::Unknown(Trouble::Replaced));
        assert_eq!(test.store.keep(&new_prediction(4, false)).await, refused, "{name}");
        assert_eq!(test.store.check().await, Err(KeepError::Unknown(Trouble::Replaced)));
        std::fs::rename(&aside, &path).unwrap();
        assert!(matches!(test.store.keep(&new_prediction(5, false)).await, Ok(Kept::Stored)));
    }
}

/// Seen to fail with a writer that closes a deleted file like any other.
#[cfg(unix)]
#[tokio::test]
async fn a_deleted_database_is_rescued_at_the_stop() {
    let test = three_events().await;
    let path = test.path();
    std::fs::remove_file(&path).unwrap();
    let TestStore { dir, store, writer } = test;
    drop(store);
    assert_eq!(writer.join(), Err(KeepError::Unknown(Trouble::Replaced)));
    let rescued = dir.path().join("data/events.db.rescued-1");
    assert_eq!(verify(&rescued, |_| ()).unwrap().n_predictions, 3);
}

#[tokio::test]
async fn a_damaged_row_is_left_out_of_lists() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("UPDATE predictions SET features = '[7' WHERE sequence = 2").unwrap();
    assert_eq!(test.store.latest_anomalies(newest(10)).await.unwrap().entries.len(), 2);
}

/// Seen to fail without the mark.
#[tokio::test]
async fn a_start_that_finds_a_loss_logs_an_error() {
    let test = three_events().await;
    let path = test.path();
    let _dir = test.close();
    let ((store, writer), log) = logged(|| open(&path).unwrap());
    assert!(!log.contains("ERROR"), "{log}");
    drop(store);
    writer.join().unwrap();

    std::fs::remove_file(&path).unwrap();
    let ((store, writer), log) = logged(|| open(&path).unwrap());
    assert!(log.contains("ERROR") && log.contains("has lost predictions"), "{log}");
    assert!(log.contains("first_missing_id=1") && log.contains("last_missing_id=3"), "{log}");
    // Their numbers are not given to others.
    store.keep(&new_prediction(9, true)).await.unwrap();
    assert_eq!(store.latest_anomalies(newest(1)).await.unwrap().entries[0].id, 4);
    drop(store);
    writer.join().unwrap();
    let (_opened, log) = logged(|| open(&path).unwrap());
    assert!(!log.contains("ERROR"), "it is logged once: {log}");
}

fn damage(path: &Path) {
    std::fs::write(path, "this is not a database any more".repeat(500)).unwrap();
}

#[tokio::test]
async fn a_damaged_database_is_put_aside_or_stops_the_start() {
    let test = three_events().await;
    let path = test.path();
    let dir = test.close();
    damage(&path);
    let exit = SqliteParams { on_corrupt: OnCorrupt::Exit, ..SqliteParams::default() };
    assert!(matches!(
        store_sqlite::open(&path, &exit, Box::new(|_| ())),
        Err(OpenError::Corrupt { .. })
    ));
    assert!(std::fs::read(&path).unwrap().starts_with(b"this is not"), "it is left as it was");

    let ((store, _writer), log) = logged(|| open(&path).unwrap());
    assert!(log.contains("ERROR") && log.contains("events.db.corrupt-1"), "{log}");
    assert_eq!(store.check().await, Ok(Totals::default()));
    let aside = dir.path().join("data/events.db.corrupt-1");
    assert!(std::fs::read(aside).unwrap().starts_with(b"this is not"));
}

#[tokio::test]
async fn damage_that_shows_while_in_use_is_looked_for_at_the_next_start() {
    let test = TestStore::new();
    for first in (0..20_000).step_by(1_000) {
        let news: Vec<_> =
            (first..first + 1_000).map(|sequence| new_prediction(sequence, false)).collect();
        test.store.keep_all(&news).await.unwrap();
    }
    let path = test.path();
    let dir = test.close();
    // Every page but the first few, which are all that a start looks at.
    let mut bytes = std::fs::read(&path).unwrap();
    for page in bytes.chunks_exact_mut(4_096).skip(8) {
        page[..200].fill(0x5A);
    }
    std::fs::write(&path, bytes).unwrap();

    let (store, writer) = open(&path).unwrap();
    let refused = Err(KeepError::NotStored(Trouble::Corrupt));
    assert_eq!(store.keep(&new_prediction(30_000, false)).await, refused);
    assert_eq!(store.check().await, Err(KeepError::NotStored(Trouble::Corrupt)));
    drop(store);
    writer.join().unwrap();
    let (_opened, log) = logged(|| open(&path).unwrap());
    assert!(log.contains("looking at all of it") && log.contains("corrupt-1"), "{log}");
    assert!(dir.path().join("data/events.db.corrupt-1").exists());
}

#[tokio::test]
async fn a_flipped_bit_is_found_by_the_hash_of_its_row() {
    let test = three_events().await;
    let path = test.path();
    let _dir = test.close();
    let found = verify(&path, |_| ()).unwrap();
    assert_eq!(
        (found.n_predictions, found.n_problems, found.n_without_hash),
        (3, 0, 0),
        "{found:?}"
    );

    // In text, where SQLite sees nothing wrong.
    let mut bytes = std::fs::read(&path).unwrap();
    let place = bytes.windows(17).position(|window| window == b"{\"temperature_c\":").unwrap();
    bytes[place + 18] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let ok: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(ok, "ok");
    // In the id, which only its hash knows; and in a count.
    connection.execute_batch("UPDATE predictions SET id = 70 WHERE id = 1").unwrap();
    connection.execute_batch("UPDATE totals SET anomalies = 4").unwrap();
    let found = verify(&path, |_| ()).unwrap();
    assert_eq!(found.n_problems, 4, "{found:?}");
    let of_rows =
        found.problems.iter().filter(|problem| problem.contains("is not what was written"));
    assert_eq!(of_rows.count(), 2, "{found:?}");
}

/// Seen to fail without the mark that a restore writes, and with ids that begin after the backup's.
#[tokio::test]
async fn a_backup_made_in_use_is_restored_without_a_reported_loss() {
    let test = three_events().await;
    let backup = test.dir.path().join("backup.db");
    assert_eq!(back_up(&test.path(), &backup, |_, _| ()).unwrap(), 3);
    for sequence in 4..=5 {
        test.store.keep(&new_prediction(sequence, true)).await.unwrap();
    }
    let path = test.path();
    let in_use = restore(&backup, &path, |_, _| ());
    assert!(matches!(in_use, Err(RestoreError::Open(OpenError::InUse { .. }))), "{in_use:?}");
    let dir = test.close();

    let previous = dir.path().join("data/events.db.replaced-1");
    let restored = Restored { n_predictions: 3, previous: Some(previous.clone()) };
    assert_eq!(restore(&backup, &path, |_, _| ()).unwrap(), restored);
    assert_eq!(verify(&previous, |_| ()).unwrap().n_predictions, 5);
    let ((store, writer), log) = logged(|| open(&path).unwrap());
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    assert_eq!(store.totals(), Totals { events: 3, anomalies: 3 });
    store.keep(&new_prediction(9, true)).await.unwrap();
    assert_eq!(store.latest_anomalies(newest(1)).await.unwrap().entries[0].id, 6);
    drop(store);
    writer.join().unwrap();
    assert_eq!(verify(&path, |_| ()).unwrap().n_problems, 0);

    // In a place where nothing was.
    let elsewhere = dir.path().join("new/events.db");
    let restored = restore(&backup, &elsewhere, |_, _| ()).unwrap();
    assert_eq!(restored, Restored { n_predictions: 3, previous: None });
    let (_opened, log) = logged(|| open(&elsewhere).unwrap());
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn a_refused_backup_or_restore_changes_nothing() {
    let test = three_events().await;
    let (path, backup) = (test.path(), test.dir.path().join("backup.db"));
    back_up(&path, &backup, |_, _| ()).unwrap();
    let dir = test.close();
    let before = std::fs::read(&path).unwrap();

    let again = back_up(&path, &backup, |_, _| ());
    assert!(matches!(again, Err(BackupError::Exists { .. })), "{again:?}");
    // Names that the database or the backup would be read with.
    for suffix in ["-wal", "-shm", "-journal", "-mark"] {
        let refused = back_up(&path, &files::beside(&path, suffix), |_, _| ());
        assert!(matches!(refused, Err(BackupError::Companion { .. })), "{suffix}: {refused:?}");
    }
    // In whatever way they are spelled.
    let spelled = path.parent().unwrap().join("../data/events.db-wal");
    let refused = back_up(&path, &spelled, |_, _| ());
    assert!(matches!(refused, Err(BackupError::Companion { .. })), "{refused:?}");
    let stale = dir.path().join("new.db-wal");
    std::fs::write(&stale, "of another").unwrap();
    let refused = back_up(&path, &dir.path().join("new.db"), |_, _| ());
    assert!(matches!(refused, Err(BackupError::Exists { .. })), "{refused:?}");
    std::fs::remove_file(stale).unwrap();
    let missing = back_up(&dir.path().join("none.db"), &dir.path().join("new.db"), |_, _| ());
    assert!(matches!(missing, Err(BackupError::Open(_))), "{missing:?}");
    let link = dir.path().join("link.db");
    std::fs::hard_link(&path, &link).unwrap();
    for same in [&path, &link] {
        let refused = restore(same, &path, |_, _| ());
        assert!(matches!(refused, Err(RestoreError::Same { .. })), "{refused:?}");
    }
    let empty = dir.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    let refused = restore(&empty, &path, |_, _| ());
    assert!(matches!(refused, Err(RestoreError::Damaged { .. })), "{refused:?}");
    let missing = restore(&dir.path().join("none.db"), &path, |_, _| ());
    assert!(matches!(missing, Err(RestoreError::Missing { .. })), "{missing:?}");

    let connection = rusqlite::Connection::open(&backup).unwrap();
    connection.execute_batch("UPDATE predictions SET p_value = 0.5 WHERE sequence = 2").unwrap();
    drop(connection);
    let damaged = restore(&backup, &path, |_, _| ());
    assert!(matches!(damaged, Err(RestoreError::Damaged { .. })), "{damaged:?}");
    damage(&backup);
    let damaged = restore(&backup, &path, |_, _| ());
    assert!(matches!(damaged, Err(RestoreError::Open(OpenError::Corrupt { .. }))), "{damaged:?}");
    let foreign = dir.path().join("foreign.db");
    let connection = rusqlite::Connection::open(&foreign).unwrap();
    connection.execute_batch("CREATE TABLE predictions (id INTEGER)").unwrap();
    let refused = restore(&foreign, &path, |_, _| ());
    assert!(matches!(refused, Err(RestoreError::Open(OpenError::Foreign { .. }))), "{refused:?}");

    assert_eq!(std::fs::read(&path).unwrap(), before);
    let mut names: Vec<_> = std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["events.db", "events.db-mark"]);
}

/// Seen to fail with a restore that renames the link: it overwrites the file that the link leads to.
#[cfg(unix)]
#[tokio::test]
async fn a_restore_through_a_link_keeps_the_database_that_was_there() {
    let test = three_events().await;
    let backup = test.dir.path().join("backup.db");
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    test.store.keep(&new_prediction(4, true)).await.unwrap();
    let path = test.path();
    let dir = test.close();
    let link = dir.path().join("events.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let restored = restore(&backup, &link, |_, _| ()).unwrap();
    assert_eq!(verify(&restored.previous.unwrap(), |_| ()).unwrap().n_predictions, 4);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(verify(&link, |_| ()).unwrap().n_predictions, 3);
}

/// Seen to fail with a restore that leaves the journal: SQLite then writes what it holds into the database.
#[tokio::test]
async fn a_journal_of_another_database_is_not_read_into_a_restored_one() {
    let test = three_events().await;
    let backup = test.dir.path().join("backup.db");
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    let dir = test.close();
    // As a program that is killed within a transaction leaves it.
    let other = dir.path().join("other.db");
    let connection = rusqlite::Connection::open(&other).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(100000)); PRAGMA cache_size = 1; BEGIN;
             UPDATE t SET x = randomblob(100000)",
        )
        .unwrap();
    let path = dir.path().join("restored.db");
    let journal = files::beside(&path, "-journal");
    std::fs::copy(files::beside(&other, "-journal"), &journal).unwrap();

    restore(&backup, &path, |_, _| ()).unwrap();
    assert!(!journal.exists());
    assert!(files::beside(&path, ".replaced-1-journal").exists());
    let (store, _writer) = open(&path).unwrap();
    assert_eq!(store.totals(), Totals { events: 3, anomalies: 3 });
}

/// Seen to fail with ids that follow the mark alone.
#[tokio::test]
async fn a_killed_database_is_kept_whole_and_its_ids_are_not_given_again() {
    let test = three_events().await;
    let backup = test.dir.path().join("backup.db");
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    for sequence in 4..=9 {
        test.store.keep(&new_prediction(sequence, true)).await.unwrap();
    }
    // As a killed server leaves it: with a WAL, and here without a mark.
    let killed = test.dir.path().join("killed/events.db");
    std::fs::create_dir(killed.parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(files::beside(&test.path(), suffix), files::beside(&killed, suffix)).unwrap();
    }
    let restored = restore(&backup, &killed, |_, _| ()).unwrap();
    assert_eq!(verify(&restored.previous.unwrap(), |_| ()).unwrap().n_predictions, 9);
    let (store, _writer) = open(&killed).unwrap();
    store.keep(&new_prediction(20, true)).await.unwrap();
    assert_eq!(store.latest_anomalies(newest(1)).await.unwrap().entries[0].id, 10);
}

/// Seen to fail with a count that is read from the totals.
#[tokio::test]
async fn a_damaged_database_is_not_backed_up() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("UPDATE predictions SET p_value = 0.5 WHERE sequence = 2").unwrap();
    let backup = test.dir.path().join("backup.db");
    let refused = back_up(&test.path(), &backup, |_, _| ());
    assert!(matches!(refused, Err(BackupError::Damaged { .. })), "{refused:?}");
    assert!(!backup.exists());
}

/// Seen to fail with a copy that restarts at each commit: it has no end.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_ends_although_events_keep_coming() {
    let test = TestStore::new();
    let news: Vec<_> = (0..20_000).map(|sequence| new_prediction(sequence, false)).collect();
    for batch in news.chunks(1_000) {
        test.store.keep_all(batch).await.unwrap();
    }
    let (path, backup) = (test.path(), test.dir.path().join("backup.db"));
    let mut sequence = 100_000;
    let n_predictions = tokio::task::block_in_place(|| {
        back_up(&path, &backup, |n_done, n_pages| {
            sequence += 1;
            assert!(sequence < 101_000, "{n_done} of {n_pages} pages are copied, again and again");
            let new = new_prediction(sequence, false);
            tokio::runtime::Handle::current().block_on(test.store.keep(&new)).unwrap();
        })
        .unwrap()
    });
    // What was committed since it began is not in it.
    assert!(sequence >= 100_003, "too few steps to show anything");
    assert_eq!(n_predictions, 20_000);
    let found = verify(&backup, |_| ()).unwrap();
    assert_eq!((found.n_predictions, found.n_problems), (20_000, 0), "{found:?}");
}

/// Seen to fail with a writer that ends in silence.
#[tokio::test]
async fn a_panic_of_the_writer_is_noticed_and_answers_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let observe = |report: store::CommitReport| assert_ne!(report.n_predictions, 2, "on purpose");
    let (store, mut writer) = store_sqlite::open(
        &dir.path().join("events.db"),
        &SqliteParams::default(),
        Box::new(observe),
    )
    .unwrap();
    store.keep(&new_prediction(1, false)).await.unwrap();
    let two = [new_prediction(2, false), new_prediction(3, false)];
    assert_eq!(store.keep_all(&two).await, Err(KeepError::Unknown(Trouble::WriterGone)));
    writer.ended().await;
    assert_eq!(
        store.keep(&new_prediction(4, false)).await,
        Err(KeepError::NotStored(Trouble::WriterGone))
    );
    drop(store);
    assert_eq!(writer.join(), Err(KeepError::Unknown(Trouble::WriterGone)));
}

/// Seen to fail without the rollback: every later transaction is then refused.
#[tokio::test]
async fn a_batch_that_fails_is_rolled_back_whole() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON predictions WHEN new.sequence = 6
             BEGIN SELECT RAISE(ABORT, 'on purpose'); END",
        )
        .unwrap();
    let four_to_six: Vec<_> = (4..=6).map(|sequence| new_prediction(sequence, false)).collect();
    let refused = test.store.keep_all(&four_to_six).await;
    assert!(matches!(refused, Err(KeepError::NotStored(Trouble::Other))), "{refused:?}");
    connection.execute_batch("DROP TRIGGER refuse").unwrap();
    assert_eq!(test.store.check().await, Ok(Totals { events: 3, anomalies: 3 }));
    assert_eq!(test.store.keep_all(&four_to_six).await, Ok(vec![Kept::Stored; 3]));
}

#[tokio::test]
async fn a_damaged_row_hurts_its_own_event_only() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("UPDATE predictions SET features = '[7' WHERE sequence = 2").unwrap();
    let news = [new_prediction(2, true), new_prediction(4, false)];
    assert_eq!(test.store.keep_all(&news).await, Ok(vec![Kept::Unreadable, Kept::Stored]));
}

#[tokio::test]
async fn trials_of_the_disk_do_not_pile_up() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON predictions BEGIN SELECT RAISE(ABORT, 'x'); END";
    connection.execute_batch(refuse).unwrap();
    for _ in 0..20 {
        test.store.keep(&new_prediction(9, false)).await.unwrap_err();
    }
    let n_rows: u32 =
        connection.query_row("SELECT count(*) FROM trial", [], |row| row.get(0)).unwrap();
    assert_eq!(n_rows, 0);
}

#[tokio::test]
async fn another_program_that_locks_the_database_is_named() {
    let test = three_events().await;
    let other = rusqlite::Connection::open(test.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = Err(KeepError::NotStored(Trouble::Locked));
    assert_eq!(test.store.keep(&new_prediction(4, false)).await, refused);
    assert_eq!(test.store.check().await, Err(KeepError::NotStored(Trouble::Locked)));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(test.store.check().await.map(|totals| totals.events), Ok(3));
}

/// Seen to fail without the look at the files: two servers wrote to one database, or the start hung.
#[cfg(unix)]
#[tokio::test]
async fn files_with_two_names_and_pipes_are_refused() {
    let test = three_events().await;
    let path = test.path();
    let dir = test.close();
    let other = dir.path().join("other.db");
    std::fs::hard_link(&path, &other).unwrap();
    assert!(matches!(open(&path), Err(OpenError::Linked { .. })));
    assert!(matches!(open(&other), Err(OpenError::Linked { .. })));
    std::fs::remove_file(&other).unwrap();

    // A symbolic link is followed, and the lock is that of the file.
    std::os::unix::fs::symlink(&path, &other).unwrap();
    let (store, writer) = open(&other).unwrap();
    assert_eq!(store.totals().events, 3);
    assert!(matches!(open(&path), Err(OpenError::InUse { .. })));
    drop(store);
    writer.join().unwrap();

    let mark = files::beside(&path, "-mark");
    std::fs::remove_file(&mark).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&mark).status().unwrap().success());
    assert!(matches!(open(&path), Err(OpenError::NotAFile { .. })));
}

/// Seen to fail with a probe that only writes the counts: the server said that it was ready.
#[tokio::test]
async fn a_database_without_its_table_is_not_ready() {
    let test = three_events().await;
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("ALTER TABLE predictions RENAME TO hidden").unwrap();
    assert!(test.store.keep(&new_prediction(4, false)).await.is_err());
    assert_eq!(test.store.check().await, Err(KeepError::NotStored(Trouble::Other)));
}
