//! Damage that shows after the start, and what is saved of a damaged database.

use std::path::{Path, PathBuf};

use sensor::{Glance, StationId};
use store::contract::{new_prediction, newest};
use store::{
    AnomalyQuery, EventKey, EventQuery, KeepError, Kept, StationQuery, Store, Sweep, Trouble,
};
use store_sqlite::{
    OnCorrupt, OpenError, Recovered, SqliteParams, back_up, recover, restore, verify,
};

use tempfile::TempDir;

use crate::{TestStore, open, three_events};

const PAGE_LEN: usize = 4_096;

async fn many_events() -> TestStore {
    let test = TestStore::new();
    for first in (0..20_000).step_by(1_000) {
        let news: Vec<_> = (first..first + 1_000)
            .map(|sequence| new_prediction(sequence, sequence % 10 == 0))
            .collect();
        test.store.keep_all(&news).await.unwrap();
    }
    test
}

async fn glances(store: &Store) -> Vec<Glance> {
    let query = StationQuery { limit: 10, after: None };
    let found = store.glances(query, 100).await.unwrap();
    found.into_iter().flat_map(|(_, glances)| glances).collect()
}

fn execute(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Seen to fail for each list that does not check the hash: it shows the altered row.
#[tokio::test]
async fn an_altered_row_is_never_shown() {
    for column in ["anomaly_score", "p_value", "threshold", "received_us", "timestamp_us", "id"] {
        let test = three_events().await;
        let sql = format!("UPDATE predictions SET {column} = {column} + 70 WHERE sequence = 2");
        execute(&test.path(), &sql);
        assert_eq!(
            test.store.latest_anomalies(newest(9)).await.unwrap().entries.len(),
            2,
            "{column}"
        );
        assert_eq!(
            test.store.events(EventQuery::all(1_000)).await.unwrap().entries.len(),
            2,
            "{column}"
        );
        assert_eq!(glances(&test.store).await.len(), 2, "{column}");
        // The event itself, sent again, does not get an altered answer.
        if column != "timestamp_us" {
            let kept = test.store.keep(&new_prediction(2, true)).await.unwrap();
            assert_eq!(kept, Kept::Unreadable, "{column}");
        }
    }
}

/// Overwrites pages that hold predictions, in the middle of the file.
/// Seen to fail where records were read without a look at their hash.
#[tokio::test]
async fn an_altered_record_is_not_continued_from_and_is_found() {
    let test = three_events().await;
    let [first, second] = ["press_1", "press_2"].map(|name| StationId::parse(name).unwrap());
    for station in [&first, &second] {
        let record = station.as_str().repeat(100).into_bytes();
        test.store.keep_alarm_record(station.clone(), record, None).await.unwrap();
    }
    assert_eq!(verify(&test.path(), |_| ()).unwrap().problems, [""; 0]);
    // That of another station, and one with another byte.
    for alter in [
        "UPDATE alarm_records SET (record, record_hash) = (SELECT record, record_hash FROM alarm_records WHERE station_id = 'press_2')",
        "UPDATE alarm_records SET record = CAST('q' || substr(record, 2) AS BLOB)",
    ] {
        execute(&test.path(), &format!("{alter} WHERE station_id = 'press_1'"));
        assert_eq!(test.store.alarm_record(first.clone()).await.unwrap(), None, "{alter}");
        assert!(test.store.alarm_record(second.clone()).await.unwrap().is_some());
        let problems = verify(&test.path(), |_| ()).unwrap().problems;
        assert_eq!(problems, ["what the alarms of press_1 continue from is not what was written"]);
    }
}

fn damage_pages(path: &Path, n_pages: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / PAGE_LEN / 2;
    let is_leaf = |page: &&mut [u8]| page[0] == 10;
    for page in bytes.chunks_exact_mut(PAGE_LEN).skip(middle).filter(is_leaf).take(n_pages) {
        page[..200].fill(0x5A);
    }
    std::fs::write(path, bytes).unwrap();
}

/// Seen to fail with readers that pass the error on: all lists were refused, and the next start did
/// not look.
#[tokio::test]
async fn damage_that_only_readers_meet_is_remembered_and_hides_nothing_else() {
    let test = many_events().await;
    let path = test.path();
    let dir = test.close();
    damage_pages(&path, 20);

    let (store, writer) = open(&path).unwrap();
    let mut query = EventQuery::all(1_000);
    let mut n_found = 0;
    loop {
        let found = store.events(query.clone()).await.unwrap().entries;
        let Some(last) = found.last() else { break };
        n_found += found.len();
        query.after = Some(store::EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        });
    }
    assert!((1_000..20_000).contains(&n_found), "{n_found}");
    assert!(!store.latest_anomalies(newest(100)).await.unwrap().entries.is_empty());
    assert_eq!(store.check().await, Err(KeepError::NotStored(Trouble::Corrupt)));
    drop(store);
    writer.join().unwrap();
    drop(open(&path).unwrap());
    assert!(dir.path().join("data/events.db.corrupt-1").exists());
}

/// Seen to fail with a start that looks for damage in one place only: it ended with an error each time.
#[tokio::test]
async fn damage_in_any_table_is_put_aside_at_the_start() {
    let test = many_events().await;
    let path = test.path();
    let dir = test.close();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'trial'";
    let page: usize = connection.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[(page - 1) * PAGE_LEN..page * PAGE_LEN].fill(0xFF);
    std::fs::write(&path, bytes).unwrap();
    let (store, _writer) = open(&path).unwrap();
    assert_eq!(store.totals().events, 0);
    assert!(dir.path().join("data/events.db.corrupt-1").exists());
}

/// Seen to fail with counts that are believed: the start ended with an error, and sweeps counted below 0.
#[tokio::test]
async fn counts_that_cannot_be_right_are_counted_again() {
    for damage in [
        "DELETE FROM totals",
        "UPDATE totals SET events = -5",
        "UPDATE totals SET anomalies = 9, events = 3",
        "UPDATE totals SET last_id = 9223372036854775807",
    ] {
        let test = TestStore::new();
        for sequence in 1..=3 {
            test.store.keep(&new_prediction(sequence, sequence == 2)).await.unwrap();
        }
        let path = test.path();
        let _dir = test.close();
        execute(&path, damage);
        let (store, _writer) = open(&path).unwrap();
        let totals = store.totals();
        assert_eq!((totals.events, totals.anomalies), (3, 1), "{damage}");
        assert_eq!(store.keep(&new_prediction(4, true)).await, Ok(Kept::Stored), "{damage}");
    }
}

/// Seen to fail without the look at the length: all later events were acknowledged, and lost.
#[cfg(unix)]
#[tokio::test]
async fn nothing_is_acknowledged_after_the_wal_was_truncated() {
    let test = three_events().await;
    let wal = files::beside(&test.path(), "-wal");
    // Another program may checkpoint: then nothing is lost.
    let other = rusqlite::Connection::open(test.path()).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    assert_eq!(std::fs::metadata(&wal).unwrap().len(), 0);
    assert_eq!(test.store.keep(&new_prediction(4, true)).await, Ok(Kept::Stored));

    std::fs::File::options().write(true).open(&wal).unwrap().set_len(0).unwrap();
    for sequence in 5..8 {
        let refused = test.store.keep(&new_prediction(sequence, true)).await;
        assert_eq!(refused, Err(KeepError::NotStored(Trouble::Replaced)));
    }
    assert_eq!(test.store.check().await, Err(KeepError::NotStored(Trouble::Replaced)));
}

/// Returns the rows of a new database as text, to compare them.
fn rows(path: &Path) -> Vec<String> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT id || ' ' || station_id || ' ' || features || ' ' || hex(row_hash)
               FROM predictions ORDER BY station_id, timestamp_us, sequence";
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn every_intact_row_of_a_damaged_database_is_recovered() {
    let test = many_events().await;
    // One that needs more than a page, and one that is still in the WAL.
    let mut large = new_prediction(50_000, true);
    let name = "a".repeat(30_000);
    large.prediction.features = [(name.as_str(), Some(1.5))].into_iter().collect();
    test.store.keep(&large).await.unwrap();
    let path = test.path();
    let copy = test.dir.path().join("copy.db");
    for suffix in ["", "-wal"] {
        std::fs::copy(files::beside(&path, suffix), files::beside(&copy, suffix)).unwrap();
    }
    let used = recover(&path, &test.dir.path().join("used/events.db"), |_, _| ());
    assert!(used.unwrap_err().to_string().contains("in use by another server"));
    let dir = test.close();

    // Of a sound one, everything.
    for (index, source) in [&path, &copy].into_iter().enumerate() {
        let new = dir.path().join(format!("whole-{index}/events.db"));
        let recovered = recover(source, &new, |_, _| ()).unwrap();
        assert_eq!((recovered.n_predictions, recovered.n_altered), (20_001, 0), "{recovered:?}");
        assert_eq!(rows(&new), rows(&path));
        assert_eq!(verify(&new, |_| ()).unwrap().n_problems, 0);
        let (store, writer) = open(&new).unwrap();
        assert_eq!((store.totals().events, store.totals().anomalies), (20_001, 2_001));
        assert_eq!(store.keep(&new_prediction(60_000, true)).await, Ok(Kept::Stored));
        drop(store);
        writer.join().unwrap();
        assert!(recover(source, &new, |_, _| ()).is_err(), "it replaces nothing");
    }

    // Of a damaged one, what its pages hold, although the tree above them is gone.
    execute(&path, "UPDATE predictions SET p_value = 0.5 WHERE sequence = 7");
    damage_pages(&path, 10);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[..16].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let new = dir.path().join("damaged/events.db");
    let recovered = recover(&path, &new, |_, _| ()).unwrap();
    let Recovered { n_predictions, n_altered, n_counted, n_unproven } = recovered;
    assert!((19_700..20_000).contains(&n_predictions), "{recovered:?}");
    assert_eq!((n_altered, n_counted, n_unproven), (1, None, 0), "{recovered:?}");
    assert_eq!(verify(&new, |_| ()).unwrap().n_problems, 0);

    std::fs::write(&path, vec![0x5A; 100_000]).unwrap();
    let new = dir.path().join("nothing/events.db");
    let nothing = recover(&path, &new, |_, _| ());
    assert!(nothing.unwrap_err().to_string().contains("no prediction"));
    assert_eq!(std::fs::read_dir(new.parent().unwrap()).unwrap().count(), 0, "no file is left");
}

/// Seen to fail without the look at the WAL: SQLite deleted it, and all that it held was lost.
#[tokio::test]
async fn a_wal_without_its_database_is_put_aside_and_can_be_recovered() {
    for is_missing in [true, false] {
        let test = three_events().await;
        let (path, dir) = (test.path(), tempfile::tempdir().unwrap());
        let copy = dir.path().join("events.db");
        std::fs::copy(files::beside(&path, "-wal"), files::beside(&copy, "-wal")).unwrap();
        if !is_missing {
            std::fs::write(&copy, "").unwrap();
        }
        let exit = SqliteParams { on_corrupt: OnCorrupt::Exit, ..SqliteParams::default() };
        let refused = store_sqlite::open(&copy, &exit, Box::new(|_| ()));
        assert!(matches!(refused, Err(OpenError::Corrupt { .. })));
        let (store, _writer) = open(&copy).unwrap();
        assert_eq!(store.totals().events, 0);

        let new = dir.path().join("new/events.db");
        let aside = dir.path().join("events.db.corrupt-1");
        assert_eq!(recover(&aside, &new, |_, _| ()).unwrap().n_predictions, 3);
        // A WAL that lies there would be read into the new database.
        let stale = dir.path().join("stale/events.db");
        std::fs::create_dir(dir.path().join("stale")).unwrap();
        std::fs::copy(files::beside(&aside, "-wal"), files::beside(&stale, "-wal")).unwrap();
        assert!(recover(&aside, &stale, |_, _| ()).is_err());
    }
}

/// Seen to fail where damaged rows counted as rows of the page: the list ended, or went on with the next station.
#[tokio::test]
async fn a_list_continues_behind_damaged_rows() {
    let test = TestStore::new();
    let news: Vec<_> = (0..40).map(|sequence| new_prediction(sequence, true)).collect();
    test.store.keep_all(&news).await.unwrap();
    execute(
        &test.path(),
        "UPDATE predictions SET p_value = 0.5 WHERE sequence IN (30, 31, 36, 38)",
    );
    let (mut events, mut after) = (Vec::new(), None);
    let (mut anomalies, mut before_id) = (Vec::new(), None);
    loop {
        let query = EventQuery { limit: 3, after, ..EventQuery::all(1_000) };
        let page = test.store.events(query).await.unwrap();
        events.extend(page.entries.iter().map(|stored| stored.prediction.sequence));
        after = page.entries.last().map(|last| EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        });
        if !page.has_more {
            break;
        }
    }
    loop {
        let query = AnomalyQuery { before_id, ..newest(3) };
        let page = test.store.latest_anomalies(query).await.unwrap();
        anomalies.extend(page.entries.iter().map(|stored| stored.prediction.sequence));
        before_id = page.entries.last().map(|last| last.id);
        if !page.has_more {
            break;
        }
    }
    events.sort_unstable();
    anomalies.reverse();
    let sound: Vec<u64> = (0..40).filter(|sequence| ![30, 31, 36, 38].contains(sequence)).collect();
    assert_eq!((events, anomalies), (sound.clone(), sound));
}

/// Seen to fail without the look at the WAL before a file is read: even a reader's connection deleted it.
#[tokio::test]
async fn looking_at_an_empty_file_keeps_its_wal() {
    let test = three_events().await;
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("events.db"), dir.path().join("backup.db"));
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    let wal = files::beside(&path, "-wal");
    std::fs::copy(files::beside(&test.path(), "-wal"), &wal).unwrap();
    std::fs::write(&path, "").unwrap();
    assert!(verify(&path, |_| ()).is_err());
    assert!(back_up(&path, &dir.path().join("new.db"), |_, _| ()).is_err());
    assert!(wal.exists());
    let restored = restore(&backup, &path, |_, _| ()).unwrap();
    let previous = restored.previous.unwrap();
    let new = dir.path().join("new/events.db");
    assert_eq!(recover(&previous, &new, |_, _| ()).unwrap().n_predictions, 3);
}

/// Seen to fail where the link itself was read: its WAL lies beside the file that it leads to.
#[cfg(unix)]
#[tokio::test]
async fn a_database_behind_a_link_is_recovered_with_its_wal() {
    let test = TestStore::new();
    test.store.keep(&new_prediction(1, true)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("big/events.db"), dir.path().join("events.db"));
    std::fs::create_dir(dir.path().join("big")).unwrap();
    for suffix in ["", "-wal"] {
        std::fs::copy(files::beside(&test.path(), suffix), files::beside(&real, suffix)).unwrap();
    }
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let recovered = recover(&link, &dir.path().join("new/events.db"), |_, _| ()).unwrap();
    assert_eq!(recovered.n_predictions, 1);
    std::os::unix::fs::symlink(test.path(), dir.path().join("used.db")).unwrap();
    let used = recover(&dir.path().join("used.db"), &dir.path().join("other/events.db"), |_, _| ());
    assert!(used.unwrap_err().to_string().contains("in use by another server"));
}

/// Seen to fail where the link was taken for the file until that was there: the first start failed.
#[cfg(unix)]
#[tokio::test]
async fn a_link_to_a_database_that_is_not_there_yet_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("big")).unwrap();
    let link = dir.path().join("events.db");
    std::os::unix::fs::symlink("big/events.db", &link).unwrap();
    let (store, writer) = open(&link).unwrap();
    store.keep(&new_prediction(1, true)).await.unwrap();
    drop(store);
    writer.join().unwrap();
    assert!(dir.path().join("big/events.db-mark").exists());
    assert!(!files::beside(&link, "-mark").exists());
}

/// Seen to fail where ids continued after what was recovered.
#[tokio::test]
async fn ids_that_were_seen_are_not_used_again_after_a_recovery() {
    let test = three_events().await;
    let path = test.path();
    let dir = test.close();
    execute(&path, "DELETE FROM predictions WHERE id = 3");
    let new = dir.path().join("new/events.db");
    assert_eq!(recover(&path, &new, |_, _| ()).unwrap().n_predictions, 2);
    let (store, _writer) = open(&new).unwrap();
    store.keep(&new_prediction(9, true)).await.unwrap();
    assert_eq!(store.latest_anomalies(newest(1)).await.unwrap().entries[0].id, 4);
}

/// Seen to fail where the first such row ended the recovery.
#[tokio::test]
async fn a_row_that_no_table_can_hold_is_counted_as_altered() {
    let test = three_events().await;
    let path = test.path();
    let dir = test.close();
    execute(
        &path,
        "UPDATE predictions SET row_hash = NULL, p_value = 0.123456789 WHERE sequence = 2",
    );
    let mut bytes = std::fs::read(&path).unwrap();
    let number = 0.123_456_789_f64.to_be_bytes();
    let place = bytes.windows(8).position(|window| window == number).unwrap();
    bytes[place..place + 8].copy_from_slice(&f64::NAN.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    let recovered = recover(&path, &dir.path().join("new/events.db"), |_, _| ()).unwrap();
    assert_eq!((recovered.n_predictions, recovered.n_altered), (2, 1), "{recovered:?}");
}

/// Seen to fail where the mark was opened through a link: what it led to was overwritten.
#[cfg(unix)]
#[tokio::test]
async fn a_mark_that_is_a_link_is_refused() {
    let test = TestStore::new();
    test.store.keep(&new_prediction(1, true)).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (path, backup) = (dir.path().join("events.db"), dir.path().join("backup.db"));
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    let other = dir.path().join("other");
    std::fs::write(&other, "not ours").unwrap();
    std::os::unix::fs::symlink(&other, files::beside(&path, "-mark")).unwrap();
    assert!(restore(&backup, &path, |_, _| ()).is_err());
    assert!(open(&path).is_err());
    assert_eq!(std::fs::read(&other).unwrap(), b"not ours");
}

/// Seen to fail without the comparison of the tables: SQLite's error at the start was no damage, or the
/// server started and could store nothing.
#[tokio::test]
async fn a_damaged_schema_is_put_aside_at_the_start() {
    for sql in [
        "ALTER TABLE predictions RENAME COLUMN threshold TO thresholb",
        "DROP TABLE predictions",
        "DROP TABLE trial",
        "DROP TABLE totals",
        "DROP INDEX anomalies_by_time",
        "CREATE TRIGGER undo AFTER INSERT ON predictions BEGIN DELETE FROM predictions WHERE id = new.id; END",
        // Their errors come with the place in the SQL, and without.
        "PRAGMA user_version = 0",
        "PRAGMA user_version = 2",
    ] {
        let test = TestStore::new();
        test.store.keep(&new_prediction(1, true)).await.unwrap();
        let path = test.path();
        let dir = test.close();
        execute(&path, sql);
        let (store, writer) = open(&path).unwrap();
        assert_eq!(store.totals().events, 0, "{sql}");
        assert!(dir.path().join("data/events.db.corrupt-1").exists(), "{sql}");
        assert_eq!(store.keep(&new_prediction(1, true)).await, Ok(Kept::Stored), "{sql}");
        drop(store);
        writer.join().unwrap();
    }
}

/// Seen to fail with a probe that inserts no row.
#[tokio::test]
async fn a_store_that_cannot_insert_is_not_ready() {
    let test = TestStore::new();
    assert!(test.store.check().await.is_ok());
    let refuse =
        "CREATE TRIGGER refuse BEFORE INSERT ON predictions BEGIN SELECT RAISE(ABORT, 'no'); END";
    execute(&test.path(), refuse);
    assert!(test.store.keep(&new_prediction(1, true)).await.is_err());
    assert!(test.store.check().await.is_err());
    execute(&test.path(), "DROP TRIGGER refuse");
    assert!(test.store.check().await.is_ok());
    assert_eq!(test.store.keep(&new_prediction(1, true)).await, Ok(Kept::Stored));
}

/// Returns the numbers of all predictions that the list shows, a page at a time.
async fn listed(store: &Store) -> Vec<u64> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.events(EventQuery { after, ..EventQuery::all(1_000) }).await.unwrap();
        found.extend(page.entries.iter().map(|stored| stored.prediction.sequence));
        after = page.entries.last().map(|last| EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        });
        if !page.has_more {
            return found;
        }
    }
}

/// Seen to fail where a list ended at a damaged page: of 20,000 predictions it showed 4,994.
#[tokio::test]
async fn a_list_continues_behind_damaged_pages() {
    for n_pages in [1, 4] {
        let test = many_events().await;
        let path = test.path();
        let _dir = test.close();
        damage_pages(&path, n_pages);
        let (store, writer) = open(&path).unwrap();
        // Some fifteen predictions are on a page.
        let n_lost = 40 * n_pages;
        let found = listed(&store).await;
        assert!(found.len() + n_lost >= 20_000, "{n_pages}: {}", found.len());
        let (mut n_anomalies, mut before_id) = (0, None);
        loop {
            let query = AnomalyQuery { before_id, ..newest(300) };
            let page = store.latest_anomalies(query).await.unwrap();
            n_anomalies += page.entries.len();
            before_id = page.entries.last().map(|last| last.id);
            if !page.has_more {
                break;
            }
        }
        assert!(n_anomalies + n_lost >= 2_000, "{n_pages}: {n_anomalies}");
        let stations = store.stations(StationQuery { limit: 10, after: None }).await.unwrap();
        assert_eq!(stations.entries.len(), 2);
        drop(store);
        writer.join().unwrap();
    }
}

/// Seen to fail where the search for what is behind the damage began too far away.
#[tokio::test]
async fn a_station_whose_newest_page_is_damaged_is_shown() {
    let test = many_events().await;
    let path = test.path();
    let _dir = test.close();
    let mut bytes = std::fs::read(&path).unwrap();
    // The newest prediction of the first station is the last before the second.
    let newest = bytes.windows(22).rposition(|row| row.starts_with(b"station_0")).unwrap();
    let page = newest / PAGE_LEN * PAGE_LEN;
    bytes[page..page + PAGE_LEN].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let (store, writer) = open(&path).unwrap();
    let found = listed(&store).await;
    assert!(found.len() >= 19_900 && found.contains(&0), "{}", found.len());
    let stations = store.stations(StationQuery { limit: 10, after: None }).await.unwrap();
    assert_eq!(stations.entries.len(), 2);
    let of_first = stations.entries[0].latest.prediction.sequence;
    assert!(of_first > 19_900, "{of_first}");
    drop(store);
    writer.join().unwrap();
}

/// Seen to fail where the search began at the last name: of 300 stations it showed 51.
#[tokio::test]
async fn stations_between_two_damaged_pages_are_shown() {
    const N_STATIONS: u64 = 300;
    let test = TestStore::new();
    let news = (0..N_STATIONS * 10).map(|index| {
        let mut new = new_prediction(index, false);
        let name = format!("press_{:03}", index % N_STATIONS);
        new.prediction.station_id = StationId::parse(&name).unwrap();
        new.alarm_record = (index < N_STATIONS).then(|| vec![1]);
        new
    });
    for batch in news.collect::<Vec<_>>().chunks(1_000) {
        test.store.keep_all(batch).await.unwrap();
    }
    let path = test.path();
    let _dir = test.close();
    let mut bytes = std::fs::read(&path).unwrap();
    let is_leaf_of_predictions =
        |page: &&mut [u8]| page[0] == 10 && page.windows(10).any(|text| text == b"2026-11-22");
    let mut leaves: Vec<_> =
        bytes.chunks_exact_mut(PAGE_LEN).filter(is_leaf_of_predictions).collect();
    let n_leaves = leaves.len();
    assert!(n_leaves > 100, "{n_leaves}");
    leaves[n_leaves / 10].fill(0);
    leaves[n_leaves * 9 / 10].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let (store, writer) = open(&path).unwrap();
    let stations = store.stations(StationQuery { limit: 1_000, after: None }).await.unwrap();
    // Some fifteen predictions are on a page, of two or three stations.
    assert!(stations.entries.len() as u64 >= N_STATIONS - 8, "{}", stations.entries.len());
    let found = listed(&store).await;
    assert!(found.len() as u64 + 60 >= N_STATIONS * 10, "{}", found.len());
    drop(store);
    writer.join().unwrap();
}

/// Seen to fail where only the last sixteen were looked at: the station was not there.
#[tokio::test]
async fn a_station_with_many_damaged_rows_at_its_end_is_shown() {
    let test = TestStore::new();
    let news: Vec<_> = (0..200).map(|sequence| new_prediction(sequence, true)).collect();
    test.store.keep_all(&news).await.unwrap();
    execute(&test.path(), "UPDATE predictions SET p_value = 0.5 WHERE sequence >= 60");
    let stations = test.store.stations(StationQuery { limit: 10, after: None }).await.unwrap();
    let latest = stations.entries.iter().map(|station| {
        let latest_anomaly = station.latest_anomaly.as_ref().unwrap();
        (station.latest.prediction.sequence, latest_anomaly.prediction.sequence)
    });
    assert_eq!(latest.collect::<Vec<_>>(), [(58, 58), (59, 59)]);
}

/// Seen to fail where one damaged row ended the sweep: nothing was deleted after it.
#[tokio::test]
async fn a_sweep_passes_over_a_damaged_row() {
    let test = TestStore::new();
    let news: Vec<_> = (0..40).map(|sequence| new_prediction(sequence, false)).collect();
    test.store.keep_all(&news).await.unwrap();
    let path = test.path();
    let _dir = test.close();
    // As a flipped bit in the header of the row would have it.
    let schema = |from: &str, to: &str| {
        format!(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = 'predictions';"
        )
    };
    let (is, may_be) = ("is_anomaly    INTEGER NOT NULL", "is_anomaly    INTEGER         ");
    execute(&path, &schema(is, may_be));
    execute(&path, "UPDATE predictions SET is_anomaly = NULL WHERE sequence = 5");
    execute(&path, &schema(may_be, is));
    let (store, writer) = open(&path).unwrap();
    let before_us = Some(i64::MAX);
    let sweep = Sweep { before_us, anomalies_before_us: before_us, believed_us: 7, from: None };
    store.sweep(sweep).await.unwrap();
    assert!(listed(&store).await.len() <= 1);
    drop(store);
    writer.join().unwrap();
}

/// Returns a database of three events, and another folder with its backup.
#[cfg(unix)]
async fn backed_up() -> (TestStore, TempDir, PathBuf) {
    let test = three_events().await;
    let dir = tempfile::tempdir().unwrap();
    let backup = dir.path().join("backup.db");
    back_up(&test.path(), &backup, |_, _| ()).unwrap();
    (test, dir, backup)
}

/// Seen to fail where root followed every link: a file of the system was replaced by a database.
#[cfg(unix)]
#[tokio::test]
async fn a_link_that_somebody_else_made_is_not_followed() {
    use std::os::unix::fs::{MetadataExt as _, lchown, symlink};

    let (test, dir, backup) = backed_up().await;
    if std::fs::metadata(&backup).unwrap().uid() != 0 {
        println!("skipped: only root can make links of others");
        return;
    }
    let (file, link) = (dir.path().join("system.conf"), dir.path().join("events.db"));
    std::fs::write(&file, "precious").unwrap();
    symlink(&file, &link).unwrap();
    lchown(&link, Some(65_534), Some(65_534)).unwrap();
    let error = restore(&backup, &link, |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("neither root nor the owner of that file has made"), "{error}");
    assert!(open(&link).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let dangling = dir.path().join("dangling.db");
    symlink(dir.path().join("new.conf"), &dangling).unwrap();
    lchown(&dangling, Some(65_534), Some(65_534)).unwrap();
    assert!(restore(&backup, &dangling, |_, _| ()).is_err());
    assert!(back_up(&test.path(), &dangling, |_, _| ()).is_err());
    assert!(!dir.path().join("new.conf").exists());
    // A link of root that leads over one of another.
    let over = dir.path().join("over.db");
    symlink(&link, &over).unwrap();
    assert!(restore(&backup, &over, |_, _| ()).is_err());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    // The owner of the file may link it.
    let own = dir.path().join("own.db");
    symlink(test.path(), &own).unwrap();
    verify(&own, |_| ()).unwrap();
}

/// Seen to hang: the restore waited for the writer of a pipe.
#[cfg(unix)]
#[tokio::test]
async fn a_restore_refuses_what_is_no_file() {
    let (_test, dir, backup) = backed_up().await;
    let pipe = dir.path().join("events.db");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let error = restore(&backup, &pipe, |_, _| ()).unwrap_err().to_string();
    assert!(error.contains("is not a regular file"), "{error}");
    let path = dir.path().join("other.db");
    let journal = dir.path().join("other.db-journal");
    let made = std::process::Command::new("mkfifo").arg(&journal).status().unwrap();
    assert!(made.success());
    assert!(restore(&backup, &path, |_, _| ()).is_err());
    assert!(open(&path).is_err());
}
