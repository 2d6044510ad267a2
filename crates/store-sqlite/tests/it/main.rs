//! The database as the server uses it, and the contract of stores.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod broken;
mod damage;
mod trouble;

use std::path::{Path, PathBuf};

use store::contract::{self, Database, new_prediction};
use store::{KeepError, Kept, Observer, Store, Sweep, Totals, Trouble, Writer};
use store_sqlite::{OpenError, SqliteParams};
use tempfile::TempDir;

struct TestStore {
    dir: TempDir,
    store: Store,
    writer: Writer,
}

impl TestStore {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, writer) = open(&dir.path().join("data/events.db")).unwrap();
        Self { dir, store, writer }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("data/events.db")
    }

    fn close(self) -> TempDir {
        drop(self.store);
        self.writer.join().unwrap();
        self.dir
    }
}

fn open(path: &Path) -> Result<(Store, Writer), OpenError> {
    store_sqlite::open(path, &SqliteParams::default(), Box::new(|_| ()))
}

async fn three_events() -> TestStore {
    let test = TestStore::new();
    for sequence in 1..=3 {
        test.store.keep(&new_prediction(sequence, true)).await.unwrap();
    }
    test
}

/// A database in a folder of its own.
struct InFolder(TempDir);

impl InFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl Database for InFolder {
    fn open(&self, observe: Observer) -> (Store, Writer) {
        let path = self.0.path().join("events.db");
        store_sqlite::open(&path, &SqliteParams::default(), observe).unwrap()
    }
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    contract::check(|| Box::new(InFolder::new())).await;
}

#[tokio::test]
async fn sweeps_give_space_back() {
    let test = TestStore::new();
    for first in (0..6_000).step_by(1_000) {
        let news: Vec<_> =
            (first..first + 1_000).map(|sequence| new_prediction(sequence, false)).collect();
        test.store.keep_all(&news).await.unwrap();
    }
    // Each step gives a part back.
    let mut from = None;
    for _ in 0..60 {
        let sweep =
            Sweep { before_us: Some(i64::MAX), anomalies_before_us: None, believed_us: 7, from };
        from = test.store.sweep(sweep).await.unwrap().next;
    }
    assert_eq!(test.store.totals(), Totals::default());
    let path = test.path();
    let _dir = test.close();
    let len = std::fs::metadata(path).unwrap().len();
    assert!(len < 1_100_000, "{len} bytes are left");
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_was_accepted_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let (store, writer) = store_sqlite::open(
        &path,
        &SqliteParams { queue_len_max: 2, ..SqliteParams::default() },
        Box::new(|_| ()),
    )
    .unwrap();
    // Another program holds the file, so the writer is blocked by its first batch.
    let blocker = rusqlite::Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();

    let clients = (0..40).map(|sequence| {
        let store = store.clone();
        tokio::spawn(async move { store.keep(&new_prediction(sequence, false)).await })
    });
    let clients: Vec<_> = clients.collect();
    tokio::task::yield_now().await;
    blocker.execute_batch("ROLLBACK").unwrap();
    let mut n_kept = 0;
    let mut n_refused = 0;
    for client in clients {
        match client.await.unwrap() {
            Ok(Kept::Stored) => n_kept += 1,
            Err(KeepError::Full) => n_refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(n_refused > 0);
    assert_eq!(store.check().await.unwrap().events, n_kept);
    drop(store);
    writer.join().unwrap();
}

#[tokio::test]
async fn the_store_recovers_when_the_disk_does() {
    let test = TestStore::new();
    let connection = rusqlite::Connection::open(test.path()).unwrap();
    connection.execute_batch("ALTER TABLE predictions RENAME TO hidden").unwrap();
    assert!(matches!(
        test.store.keep(&new_prediction(1, false)).await,
        Err(KeepError::NotStored(Trouble::Other))
    ));

    connection.execute_batch("ALTER TABLE hidden RENAME TO predictions").unwrap();
    assert_eq!(test.store.check().await, Ok(Totals::default()));
    test.store.keep(&new_prediction(1, false)).await.unwrap();
    assert_eq!(test.store.check().await.unwrap().events, 1);
}

#[tokio::test]
async fn closing_leaves_one_file_with_everything_in_it() {
    let test = TestStore::new();
    for sequence in 0..100 {
        test.store.keep(&new_prediction(sequence, true)).await.unwrap();
    }
    let dir = test.close();
    let names: Vec<_> = std::fs::read_dir(dir.path().join("data"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    let is_of_database = |name: &std::ffi::OsString| name != "events.db-mark";
    assert_eq!(names.into_iter().filter(is_of_database).collect::<Vec<_>>(), ["events.db"]);
    let connection = rusqlite::Connection::open(dir.path().join("data/events.db")).unwrap();
    let n_rows: u32 =
        connection.query_row("SELECT count(*) FROM predictions", [], |row| row.get(0)).unwrap();
    assert_eq!(n_rows, 100);
}

#[test]
fn a_file_of_another_kind_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE notes (text)")
        .unwrap();
    assert!(matches!(open(&foreign), Err(OpenError::Foreign { .. })));
}

#[test]
fn a_database_of_a_later_version_is_refused() {
    let test = TestStore::new();
    let path = test.path();
    let dir = test.close();
    rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(open(&path), Err(OpenError::Version { found: 99, .. })));
    drop(dir);
}
