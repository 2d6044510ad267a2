//! The database as the server uses it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod reading;
mod series;
mod trouble;

use std::path::{Path, PathBuf};

use sensor::{Attribution, Prediction, StationId};
use store::{
    AnomalyQuery, KeepError, Kept, NewPrediction, OpenError, Store, StoreParams, Totals, Trouble,
    Writer,
};
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
    Store::open(path, &StoreParams::default(), Box::new(|_| ()))
}

fn new_prediction(sequence: u64, is_anomaly: bool) -> NewPrediction {
    let value = 70.0 + sequence as f64 / 3.0;
    let attribution =
        Attribution { feature: "temperature_c".into(), value: Some(value), contribution: 0.1 };
    let prediction = Prediction {
        station_id: StationId::parse(&format!("station_{}", sequence % 2)).unwrap(),
        sequence,
        timestamp_us: 1_767_323_045_000_000 + sequence.cast_signed(),
        features: [("temperature_c", Some(value)), ("flow", None)].into_iter().collect(),
        anomaly_score: 0.1 + 0.2,
        threshold: 0.6,
        is_anomaly,
        p_value: 1.0 / 3.0,
        model_version: "2026-11-22-0123456789ab".into(),
        attributions: if is_anomaly { vec![attribution] } else { Vec::new() },
    };
    let mut event_hash = [0; 16];
    event_hash[..8].copy_from_slice(&sequence.to_le_bytes());
    NewPrediction { prediction, event_hash, received_us: 1_767_323_046_000_000 }
}

fn newest(limit: u32) -> AnomalyQuery {
    AnomalyQuery { limit, station_id: None, since_us: None, before_id: None }
}

async fn sequences(store: &Store, query: AnomalyQuery) -> Vec<u64> {
    let found = store.latest_anomalies(query).await.unwrap();
    found.iter().map(|stored| stored.prediction.sequence).collect()
}

#[tokio::test]
async fn what_is_kept_is_read_back_to_the_bit_after_a_restart() {
    let test = TestStore::new();
    let new = new_prediction(1, true);
    assert_eq!(test.store.keep(&new).await, Ok(Kept::Stored));
    test.store.keep(&new_prediction(2, false)).await.unwrap();
    let dir = test.close();

    let (store, _writer) = open(&dir.path().join("data/events.db")).unwrap();
    let stored = store.latest_anomalies(newest(10)).await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].prediction, new.prediction);
    assert_eq!(store.check().await, Ok(Totals { events: 2, anomalies: 1 }));
}

#[tokio::test]
async fn an_event_that_comes_again_is_kept_once_and_gets_its_first_answer() {
    let test = TestStore::new();
    let first = new_prediction(7, true);
    test.store.keep(&first).await.unwrap();

    let mut again = first.clone();
    again.prediction.model_version = "another".into();
    again.prediction.anomaly_score = 0.9;
    assert_eq!(test.store.keep(&again).await, Ok(Kept::Duplicate(first.prediction.clone())));

    let mut other = first;
    other.event_hash = [9; 16];
    assert_eq!(test.store.keep(&other).await, Ok(Kept::Conflict));
    assert_eq!(test.store.check().await, Ok(Totals { events: 1, anomalies: 1 }));
}

#[tokio::test]
async fn an_event_is_known_again_by_a_model_of_other_features() {
    let test = TestStore::new();
    let first = new_prediction(7, true);
    test.store.keep(&first).await.unwrap();

    let with_features = |features: &[(&str, f64)]| {
        let mut new = first.clone();
        let features = features.iter().map(|(name, value)| (*name, Some(*value)));
        new.prediction.features = features.collect();
        new.event_hash = [1; 16];
        let store = test.store.clone();
        async move { store.keep(&new).await }
    };
    let temperature = first.prediction.features.get("temperature_c").unwrap().unwrap();
    let duplicate = Ok(Kept::Duplicate(first.prediction.clone()));
    assert_eq!(with_features(&[("temperature_c", temperature)]).await, duplicate);
    assert_eq!(
        with_features(&[("sound_db", 66.0), ("temperature_c", temperature)]).await,
        duplicate
    );
    assert_eq!(with_features(&[("temperature_c", temperature + 1.0)]).await, Ok(Kept::Conflict));
    assert_eq!(with_features(&[("sound_db", 66.0)]).await, Ok(Kept::Conflict));
}

#[tokio::test]
async fn the_same_event_from_many_clients_at_once_is_kept_once() {
    let test = TestStore::new();
    let clients = (0..64).map(|_| {
        let store = test.store.clone();
        tokio::spawn(async move { store.keep(&new_prediction(3, false)).await.unwrap() })
    });
    let mut n_stored = 0;
    for client in clients.collect::<Vec<_>>() {
        n_stored += usize::from(matches!(client.await.unwrap(), Kept::Stored));
    }
    assert_eq!(n_stored, 1);
    assert_eq!(test.store.check().await.unwrap().events, 1);
}

#[tokio::test]
async fn anomalies_are_listed_latest_first_and_filtered() {
    let test = TestStore::new();
    for sequence in 0..20 {
        test.store.keep(&new_prediction(sequence, sequence % 4 < 2)).await.unwrap();
    }
    let store = &test.store;
    assert_eq!(sequences(store, newest(3)).await, [17, 16, 13]);
    assert_eq!(sequences(store, newest(1_000)).await.len(), 10);

    let third = store.latest_anomalies(newest(3)).await.unwrap()[2].id;
    assert_eq!(
        sequences(store, AnomalyQuery { before_id: Some(third), ..newest(3) }).await,
        [12, 9, 8]
    );
    let station_id = Some(StationId::parse("station_1").unwrap());
    assert_eq!(sequences(store, AnomalyQuery { station_id, ..newest(3) }).await, [17, 13, 9]);
    let since_us = Some(1_767_323_045_000_000 + 13);
    assert_eq!(sequences(store, AnomalyQuery { since_us, ..newest(10) }).await, [17, 16, 13]);
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_was_accepted_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.db");
    let (store, writer) = Store::open(
        &path,
        &StoreParams { queue_len_max: 2, ..StoreParams::default() },
        Box::new(|_| ()),
    )
    .unwrap();
    // Another program holds the file, so the writer stands still with its first batch.
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
