//! What is read back, and what is deleted when it is old.

use sensor::StationId;
use store::{
    CommitReport, EventKey, EventQuery, NewPrediction, StationQuery, Store, StoreParams,
    StoredPrediction, Sweep, Totals,
};

use crate::{TestStore, new_prediction};

/// When `new_prediction(0)` was measured.
const BEGIN_US: i64 = 1_767_323_045_000_000;

fn all(limit: u32) -> EventQuery {
    EventQuery {
        limit,
        station_id: None,
        since_us: None,
        until_us: None,
        is_anomaly: None,
        after: None,
    }
}

fn station(number: u64) -> StationId {
    StationId::parse(&format!("station_{number}")).unwrap()
}

fn sequences(found: &[StoredPrediction]) -> Vec<u64> {
    found.iter().map(|stored| stored.prediction.sequence).collect()
}

async fn twenty_events() -> TestStore {
    let test = TestStore::new();
    for sequence in 0..20 {
        test.store.keep(&new_prediction(sequence, sequence % 5 == 0)).await.unwrap();
    }
    test
}

#[tokio::test]
async fn events_are_read_station_by_station_and_filtered() {
    let test = twenty_events().await;
    let read = async |query| sequences(&test.store.events(query).await.unwrap());
    let of_station = |number| EventQuery { station_id: Some(station(number)), ..all(100) };
    assert_eq!(read(of_station(1)).await, [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]);
    assert_eq!(read(EventQuery { limit: 3, ..of_station(0) }).await, [18, 16, 14]);
    assert_eq!(read(EventQuery { is_anomaly: Some(true), ..all(100) }).await, [10, 0, 15, 5]);
    let between =
        EventQuery { since_us: Some(BEGIN_US + 5), until_us: Some(BEGIN_US + 8), ..all(100) };
    assert_eq!(read(between).await, [6, 7, 5]);
    assert_eq!(read(EventQuery { station_id: Some(station(7)), ..all(100) }).await, [0; 0]);
}

#[tokio::test]
async fn an_anomaly_is_found_by_its_number() {
    let test = twenty_events().await;
    let found = test.store.anomaly(6).await.unwrap().unwrap();
    assert_eq!((found.id, found.prediction.sequence), (6, 5));
    assert_eq!(test.store.anomaly(7).await.unwrap(), None, "normal");
    assert_eq!(test.store.anomaly(-1).await.unwrap(), None);
}

#[tokio::test]
async fn the_neighbours_of_an_event_are_those_of_its_station() {
    let test = twenty_events().await;
    let key = |sequence: u64| EventKey {
        station_id: station(sequence % 2),
        timestamp_us: BEGIN_US + sequence.cast_signed(),
        sequence,
    };
    let found = test.store.neighbours(key(7), 3).await.unwrap();
    assert_eq!(
        (sequences(&found.before), sequences(&found.after)),
        (vec![1, 3, 5], vec![9, 11, 13])
    );
    let found = test.store.neighbours(key(0), 2).await.unwrap();
    assert_eq!((sequences(&found.before), sequences(&found.after)), (vec![], vec![2, 4]));
}

#[tokio::test]
async fn stations_are_seen_at_a_glance() {
    let test = twenty_events().await;
    let all = StationQuery { limit: 10, after: None };
    let found = test.store.glances(all, 3).await.unwrap();
    assert_eq!(
        found.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(),
        [station(0), station(1)]
    );
    let last: Vec<_> = found[1]
        .1
        .iter()
        .map(|glance| (glance.timestamp_us - BEGIN_US, glance.is_anomaly))
        .collect();
    assert_eq!(last, [(19, false), (17, false), (15, true)]);
    let rest = StationQuery { limit: 10, after: Some(station(0)) };
    assert_eq!(test.store.glances(rest, 30).await.unwrap()[0].1.len(), 10);
}

#[tokio::test]
async fn whoever_watches_hears_of_what_was_stored_and_of_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let observe = move |report: CommitReport| {
        let arrivals = report.arrivals.iter();
        let seen = arrivals.map(|arrival| (arrival.station_id.clone(), arrival.glance.is_anomaly));
        tell.send(seen.collect::<Vec<_>>()).unwrap();
    };
    let path = dir.path().join("events.db");
    let (store, writer) = Store::open(&path, &StoreParams::default(), Box::new(observe)).unwrap();
    store.keep_all(&[new_prediction(1, true), new_prediction(2, false)]).await.unwrap();
    store.keep_all(&[new_prediction(1, true), new_prediction(3, false)]).await.unwrap();
    drop(store);
    writer.join().unwrap();
    let heard: Vec<_> = told.iter().collect();
    assert_eq!(heard, [vec![(station(1), true), (station(0), false)], vec![(station(1), false)]]);
}

#[tokio::test]
async fn pages_of_events_follow_each_other_without_a_gap() {
    let test = twenty_events().await;
    let whole = test.store.events(all(100)).await.unwrap();
    assert_eq!(whole.len(), 20);
    let mut paged: Vec<StoredPrediction> = Vec::new();
    loop {
        let after = paged.last().map(|last| EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        });
        let page = test.store.events(EventQuery { after, ..all(3) }).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

#[tokio::test]
async fn stations_are_listed_with_their_latest_event_and_anomaly() {
    let test = twenty_events().await;
    let found = test.store.stations(StationQuery { limit: 10, after: None }).await.unwrap();
    let latest: Vec<_> = found
        .iter()
        .map(|found| {
            let anomaly = found.latest_anomaly.as_ref().map(|last| last.prediction.sequence);
            (found.station_id.as_str(), found.latest.prediction.sequence, anomaly)
        })
        .collect();
    assert_eq!(latest, [("station_0", 18, Some(10)), ("station_1", 19, Some(15))]);
    let after = Some(station(0));
    let rest = test.store.stations(StationQuery { limit: 10, after }).await.unwrap();
    assert_eq!(rest.len(), 1);
}

/// Sweeps to the end, and gives the number of predictions deleted.
async fn sweep(test: &TestStore, before_us: i64, anomalies_before_us: Option<i64>) -> u64 {
    let mut sweep = Sweep { before_us: Some(before_us), anomalies_before_us, from: None };
    let mut n_deleted = 0;
    loop {
        let swept = test.store.sweep(sweep.clone()).await.unwrap();
        n_deleted += swept.n_deleted;
        match swept.next {
            Some(next) => sweep.from = Some(next),
            None => return n_deleted,
        }
    }
}

#[tokio::test]
async fn old_predictions_go_and_their_anomalies_stay_as_long_as_asked() {
    let test = twenty_events().await;
    let of = |new: &NewPrediction| new.received_us;
    assert!(of(&new_prediction(0, false)) > BEGIN_US + 20, "received after it was measured");
    // Measured long ago and received a moment ago: nothing is old yet.
    assert_eq!(sweep(&test, BEGIN_US + 20, None).await, 0);

    let later_us = of(&new_prediction(0, false)) + 1;
    assert_eq!(sweep(&test, later_us, None).await, 16);
    assert_eq!(test.store.totals(), Totals { events: 4, anomalies: 4 });
    assert_eq!(sequences(&test.store.events(all(100)).await.unwrap()), [10, 0, 15, 5]);
    assert_eq!(sweep(&test, later_us, Some(later_us)).await, 4);
    assert_eq!(test.store.totals(), Totals::default());
}

#[tokio::test]
async fn a_sweep_goes_in_steps_and_gives_space_back() {
    let test = TestStore::new();
    for first in (0..6_000).step_by(1_000) {
        let news: Vec<_> =
            (first..first + 1_000).map(|sequence| new_prediction(sequence, false)).collect();
        test.store.keep_all(&news).await.unwrap();
    }
    let step = Sweep { before_us: Some(i64::MAX), anomalies_before_us: None, from: None };
    let swept = test.store.sweep(step).await.unwrap();
    assert!(swept.n_deleted < 1_000 && swept.next.is_some(), "{swept:?}");
    assert_eq!(sweep(&test, i64::MAX, None).await + swept.n_deleted, 6_000);
    // Each sweep gives a part back.
    for _ in 0..4 {
        sweep(&test, i64::MAX, None).await;
    }
    let path = test.path();
    let _dir = test.close();
    let len = std::fs::metadata(path).unwrap().len();
    assert!(len < 1_100_000, "{len} bytes are left");
}
