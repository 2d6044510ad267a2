//! The test suite that every backend has to pass.
//!
//! A backend's tests implement [`Database`] and run [`check`]. [`new_prediction`] makes predictions for
//! tests of their own.

#![expect(clippy::unwrap_used, reason = "a case fails as a test does")]

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, mpsc};

use sensor::{
    Alarm, AlarmState, AlarmView, Attribution, Baseline, Direction, Episode, Evidence, Excess,
    Lesson, Prediction, SensorFault, SensorFaultKind, StationId, Surprise,
};

use crate::{
    AnomalyQuery, Bucket, CommitReport, EventKey, EventQuery, Extent, Kept, LIST_BYTES_MAX,
    NewPrediction, Observer, SampleQuery, SeriesQuery, StationQuery, Store, StoredPrediction,
    Sweep, Totals, Writer,
};

/// A database under test.
pub trait Database: Send + Sync {
    /// Opens the database: the same one each time.
    fn open(&self, observe: Observer) -> (Store, Writer);
}

/// A case of the suite. It panics when the backend breaks the contract.
pub type Case = fn(&dyn Database) -> Running<'_>;

/// A case that runs.
pub type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Lists the cases, and defines a constant with all of them.
macro_rules! cases {
    ($($name:ident,)*) => {
        /// All cases by name.
        pub const CASES: &[(&str, Case)] = &[
            $((stringify!($name), |database| Box::pin($name(database))),)*
        ];
    };
}

cases! {
    predictions_are_read_back_to_the_bit_after_a_restart,
    a_repeated_event_is_stored_once_and_gets_its_first_answer,
    a_repeated_event_is_recognised_by_a_model_with_other_features,
    an_event_sent_by_many_clients_at_once_is_stored_once,
    a_repetition_within_a_batch_is_recognised,
    anomalies_are_listed_latest_first_and_filtered,
    an_anomaly_is_found_by_its_number,
    a_record_is_stored_with_its_event_or_alone,
    numbers_rise_in_the_order_of_arrival_across_restarts,
    events_are_listed_by_station_and_filtered,
    pages_of_events_follow_each_other_without_a_gap,
    lists_of_large_predictions_end_early_and_continue,
    stations_are_listed_with_their_latest_event_and_anomaly,
    neighbours_of_an_event_belong_to_its_station,
    glances_are_the_last_predictions_of_each_station,
    the_observer_hears_of_what_was_stored_and_of_nothing_else,
    old_predictions_are_deleted_and_anomalies_kept_as_long_as_asked,
    a_sweep_takes_bounded_steps,
    buckets_have_the_extremes_of_their_events,
    a_capped_bucket_is_marked_partial,
    no_anomaly_is_hidden_by_a_capped_bucket,
    a_sample_is_spread_over_stations_and_time,
    a_database_that_takes_nothing_is_checked_by_a_commit,
}

/// When [`new_prediction`] 0 was measured.
const BEGIN_US: i64 = 1_767_323_045_000_000;
const SECOND_US: i64 = 1_000_000;

/// Makes prediction number `sequence` of one of two stations, measured `sequence` microseconds after
/// the first.
pub fn new_prediction(sequence: u64, is_anomaly: bool) -> NewPrediction {
    let value = 70.0 + sequence as f64 / 3.0;
    let attribution = Attribution {
        feature: "temperature_c".into(),
        value: Some(value),
        contribution: 0.1,
        direction: Some(Direction::High),
    };
    let excess =
        Excess { feature: "flow".into(), side: Direction::Low, by_ranges: Some(1.0 / 7.0) };
    let prediction = Prediction {
        station_id: station(sequence % 2),
        sequence,
        timestamp_us: BEGIN_US + sequence.cast_signed(),
        features: [("temperature_c", Some(value)), ("flow", None)].into_iter().collect(),
        anomaly_score: 0.1 + 0.2,
        threshold: 0.6,
        is_anomaly,
        p_value: 1.0 / 3.0,
        evidence: Evidence::ALL.into_iter().find(|kind| u64::from(kind.number()) == sequence % 4),
        baseline: Baseline::ALL.into_iter().find(|kind| u64::from(kind.number()) == sequence % 5),
        outside: if is_anomaly { vec![excess] } else { Vec::new() },
        alarm: (!sequence.is_multiple_of(3)).then(|| Box::new(alarm(sequence))),
        model_version: "2026-11-22-0123456789ab".into(),
        attributions: if is_anomaly { vec![attribution] } else { Vec::new() },
    };
    let mut event_hash = [0; 16];
    event_hash[..8].copy_from_slice(&sequence.to_le_bytes());
    NewPrediction { prediction, event_hash, received_us: 1_767_323_046_000_000, alarm_record: None }
}

/// Makes an alarm, with all that it can have.
fn alarm(sequence: u64) -> Alarm {
    Alarm {
        state: AlarmState::ALL[usize::try_from(sequence).unwrap() % AlarmState::ALL.len()],
        lesson: Some(Lesson { events_learnt: 3, events_to_learn: 400 }),
        surprise: Some(Surprise {
            surprise: 17.0 / 3.0,
            threshold: 0.1 + 0.2,
            view: AlarmView::Relation,
            feature: "flow".into(),
            direction: Direction::Low,
        }),
        episode: Some(Episode { episode_id: 2, opened_us: BEGIN_US }),
        sensor_fault: Some(SensorFault {
            feature: "heat".into(),
            kind: SensorFaultKind::AtLimit,
            since_us: BEGIN_US,
            n_features: 1,
        }),
    }
}

/// Selects the latest anomalies of all stations.
pub fn newest(limit: u32) -> AnomalyQuery {
    AnomalyQuery { limit, station_id: None, since_us: None, before_id: None }
}

fn station(number: u64) -> StationId {
    StationId::parse(&format!("station_{number}")).unwrap()
}

fn sequences(found: &[StoredPrediction]) -> Vec<u64> {
    found.iter().map(|stored| stored.prediction.sequence).collect()
}

fn open(database: &dyn Database) -> (Store, Writer) {
    database.open(Box::new(|_| ()))
}

/// Opens a database with twenty events, every fifth an anomaly.
async fn twenty_events(database: &dyn Database) -> (Store, Writer) {
    let (store, writer) = open(database);
    for sequence in 0..20 {
        store.keep(&new_prediction(sequence, sequence % 5 == 0)).await.unwrap();
    }
    (store, writer)
}

async fn predictions_are_read_back_to_the_bit_after_a_restart(database: &dyn Database) {
    let (store, writer) = open(database);
    let new = new_prediction(1, true);
    assert_eq!(store.keep(&new).await, Ok(Kept::Stored));
    store.keep(&new_prediction(2, false)).await.unwrap();
    drop(store);
    writer.join().unwrap();

    let (store, _writer) = open(database);
    let stored = store.latest_anomalies(newest(10)).await.unwrap().entries;
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].prediction, new.prediction);
    assert_eq!(store.check().await, Ok(Totals { events: 2, anomalies: 1 }));
}

async fn a_repeated_event_is_stored_once_and_gets_its_first_answer(database: &dyn Database) {
    let (store, _writer) = open(database);
    let first = new_prediction(7, true);
    store.keep(&first).await.unwrap();

    let mut again = first.clone();
    again.prediction.model_version = "another".into();
    again.prediction.anomaly_score = 0.9;
    assert_eq!(store.keep(&again).await, Ok(Kept::Duplicate(first.prediction.clone())));

    let mut other = first;
    other.event_hash = [9; 16];
    assert_eq!(store.keep(&other).await, Ok(Kept::Conflict));
    assert_eq!(store.check().await, Ok(Totals { events: 1, anomalies: 1 }));
}

async fn a_repeated_event_is_recognised_by_a_model_with_other_features(database: &dyn Database) {
    let (store, _writer) = open(database);
    let first = new_prediction(7, true);
    store.keep(&first).await.unwrap();

    let with_features = async |features: &[(&str, f64)]| {
        let mut new = first.clone();
        let features = features.iter().map(|(name, value)| (*name, Some(*value)));
        new.prediction.features = features.collect();
        new.event_hash = [1; 16];
        store.keep(&new).await
    };
    let temperature = first.prediction.features.get("temperature_c").unwrap().unwrap();
    let duplicate = |prediction| Ok(Kept::Duplicate(prediction));
    assert_eq!(
        with_features(&[("sound_db", 66.0), ("temperature_c", temperature)]).await,
        duplicate(first.prediction.clone())
    );
    // Of a model with fewer features, the answer is no wider than others.
    let narrow = Prediction {
        features: [("temperature_c", Some(temperature))].into_iter().collect(),
        outside: Vec::new(),
        ..first.prediction.clone()
    };
    assert_eq!(with_features(&[("temperature_c", temperature)]).await, duplicate(narrow));
    assert_eq!(with_features(&[("temperature_c", temperature + 1.0)]).await, Ok(Kept::Conflict));
    assert_eq!(with_features(&[("sound_db", 66.0)]).await, Ok(Kept::Conflict));
}

async fn an_event_sent_by_many_clients_at_once_is_stored_once(database: &dyn Database) {
    let (store, _writer) = open(database);
    let clients = (0..64).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.keep(&new_prediction(3, false)).await.unwrap() })
    });
    let mut n_stored = 0;
    for client in clients.collect::<Vec<_>>() {
        n_stored += usize::from(matches!(client.await.unwrap(), Kept::Stored));
    }
    assert_eq!(n_stored, 1);
    assert_eq!(store.check().await.unwrap().events, 1);
}

async fn a_repetition_within_a_batch_is_recognised(database: &dyn Database) {
    let (store, _writer) = open(database);
    let batch = [1, 2, 1].map(|sequence| new_prediction(sequence, false));
    let duplicate = Kept::Duplicate(batch[0].prediction.clone());
    assert_eq!(store.keep_all(&batch).await, Ok(vec![Kept::Stored, Kept::Stored, duplicate]));
    assert_eq!(store.check().await.unwrap().events, 2);
}

async fn anomalies_are_listed_latest_first_and_filtered(database: &dyn Database) {
    let (store, _writer) = open(database);
    for sequence in 0..20 {
        store.keep(&new_prediction(sequence, sequence % 4 < 2)).await.unwrap();
    }
    let read = async |query| sequences(&store.latest_anomalies(query).await.unwrap().entries);
    assert_eq!(read(newest(3)).await, [17, 16, 13]);
    assert_eq!(read(newest(1_000)).await.len(), 10);

    let third = store.latest_anomalies(newest(3)).await.unwrap().entries[2].id;
    assert_eq!(read(AnomalyQuery { before_id: Some(third), ..newest(3) }).await, [12, 9, 8]);
    let station_id = Some(station(1));
    assert_eq!(read(AnomalyQuery { station_id, ..newest(3) }).await, [17, 13, 9]);
    let since_us = Some(BEGIN_US + 13);
    assert_eq!(read(AnomalyQuery { since_us, ..newest(10) }).await, [17, 16, 13]);
}

async fn an_anomaly_is_found_by_its_number(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let found = store.anomaly(6).await.unwrap().unwrap();
    assert_eq!((found.id, found.prediction.sequence), (6, 5));
    assert_eq!(store.anomaly(7).await.unwrap(), None, "normal");
    assert_eq!(store.anomaly(-1).await.unwrap(), None);
}

/// Seen to fail with a backend that stores the record of an event that it refuses, and with one that forgets a record alone.
async fn a_record_is_stored_with_its_event_or_alone(database: &dyn Database) {
    let (store, writer) = open(database);
    let with_record = |sequence: u64, record: &[u8]| NewPrediction {
        alarm_record: Some(record.to_vec()),
        ..new_prediction(sequence, false)
    };
    assert_eq!(store.alarm_record(station(1)).await.unwrap(), None);
    store.keep_all(&[with_record(1, b"first"), with_record(3, b"second")]).await.unwrap();
    store.keep(&with_record(1, b"repeated")).await.unwrap();
    let conflict = NewPrediction { event_hash: [9; 16], ..with_record(3, b"conflict") };
    assert_eq!(store.keep(&conflict).await, Ok(Kept::Conflict));
    store.keep(&new_prediction(5, false)).await.unwrap();
    assert_eq!(store.alarm_record(station(1)).await.unwrap().unwrap(), b"second");
    assert_eq!(store.alarm_record(station(0)).await.unwrap(), None);
    store.keep_alarm_record(station(1), b"third".to_vec(), None).await.unwrap();
    drop(store);
    writer.join().unwrap();

    let (store, _writer) = open(database);
    assert_eq!(store.alarm_record(station(1)).await.unwrap().unwrap(), b"third");
    // It goes with the last event of its station.
    sweep(&store, i64::MAX, None).await;
    sweep(&store, i64::MAX, None).await;
    assert_eq!(store.alarm_record(station(1)).await.unwrap(), None);
}

async fn numbers_rise_in_the_order_of_arrival_across_restarts(database: &dyn Database) {
    for round in 0..3 {
        let (store, writer) = open(database);
        store.keep(&new_prediction(round, true)).await.unwrap();
        drop(store);
        writer.join().unwrap();
    }
    let (store, _writer) = open(database);
    let found = store.latest_anomalies(newest(10)).await.unwrap().entries;
    let ids: Vec<_> = found.iter().map(|stored| (stored.id, stored.prediction.sequence)).collect();
    assert_eq!(ids, [(3, 2), (2, 1), (1, 0)]);
}

async fn events_are_listed_by_station_and_filtered(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let read = async |query| sequences(&store.events(query).await.unwrap().entries);
    let of_station =
        |number| EventQuery { station_id: Some(station(number)), ..EventQuery::all(100) };
    assert_eq!(read(of_station(1)).await, [19, 17, 15, 13, 11, 9, 7, 5, 3, 1]);
    assert_eq!(read(EventQuery { limit: 3, ..of_station(0) }).await, [18, 16, 14]);
    assert_eq!(
        read(EventQuery { is_anomaly: Some(true), ..EventQuery::all(100) }).await,
        [10, 0, 15, 5]
    );
    let between = EventQuery {
        since_us: Some(BEGIN_US + 5),
        until_us: Some(BEGIN_US + 8),
        ..EventQuery::all(100)
    };
    assert_eq!(read(between).await, [6, 7, 5]);
    assert_eq!(
        read(EventQuery { station_id: Some(station(7)), ..EventQuery::all(100) }).await,
        [0; 0]
    );
}

async fn pages_of_events_follow_each_other_without_a_gap(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let whole = store.events(EventQuery::all(100)).await.unwrap().entries;
    assert_eq!(whole.len(), 20);
    let mut paged: Vec<StoredPrediction> = Vec::new();
    loop {
        let after = paged.last().map(|last| EventKey {
            station_id: last.prediction.station_id.clone(),
            timestamp_us: last.prediction.timestamp_us,
            sequence: last.prediction.sequence,
        });
        let page = store.events(EventQuery { after, ..EventQuery::all(3) }).await.unwrap().entries;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
}

/// Makes a prediction of a model with many features.
fn wide_prediction(sequence: u64, n_features: usize) -> NewPrediction {
    let mut new = new_prediction(sequence, true);
    let attribution = new.prediction.attributions[0].clone();
    let names = (0..n_features).map(|index| format!("{}_{index}", "feature".repeat(10)));
    let named =
        names.map(|name| Attribution { feature: name.as_str().into(), ..attribution.clone() });
    new.prediction.attributions.extend(named);
    let values = new.prediction.attributions.iter();
    let values = values.map(|pushed| (&*pushed.feature, pushed.value));
    new.prediction.features = values.collect();
    new
}

async fn lists_of_large_predictions_end_early_and_continue(database: &dyn Database) {
    const N_EVENTS: u64 = 60;
    let (store, _writer) = open(database);
    for sequence in 0..N_EVENTS {
        store.keep(&wide_prediction(sequence, 1_000)).await.unwrap();
    }
    let (mut found, mut before_id) = (Vec::new(), None);
    loop {
        let page = store.latest_anomalies(AnomalyQuery { before_id, ..newest(100) }).await.unwrap();
        let n_bytes: usize = page.entries.iter().map(StoredPrediction::size).sum();
        assert!(n_bytes <= LIST_BYTES_MAX, "{n_bytes}");
        found.extend(sequences(&page.entries));
        before_id = page.entries.last().map(|last| last.id);
        if !page.has_more {
            break;
        }
        assert!(!page.entries.is_empty() && found.len() < 60, "{found:?}");
    }
    assert_eq!(found, (0..N_EVENTS).rev().collect::<Vec<_>>());

    let page = store.events(EventQuery::all(100)).await.unwrap();
    assert!(page.has_more && !page.entries.is_empty() && page.entries.len() < 60);
    let exact = store.latest_anomalies(newest(10)).await.unwrap();
    assert!(exact.has_more && exact.entries.len() == 10);
}

async fn stations_are_listed_with_their_latest_event_and_anomaly(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let found = store.stations(StationQuery { limit: 10, after: None }).await.unwrap().entries;
    let latest: Vec<_> = found
        .iter()
        .map(|found| {
            let anomaly = found.latest_anomaly.as_ref().map(|last| last.prediction.sequence);
            (found.station_id.as_str(), found.latest.prediction.sequence, anomaly)
        })
        .collect();
    assert_eq!(latest, [("station_0", 18, Some(10)), ("station_1", 19, Some(15))]);
    let after = Some(station(0));
    let rest = store.stations(StationQuery { limit: 10, after }).await.unwrap().entries;
    assert_eq!(rest.len(), 1);
}

async fn neighbours_of_an_event_belong_to_its_station(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let key = |sequence: u64| EventKey {
        station_id: station(sequence % 2),
        timestamp_us: BEGIN_US + sequence.cast_signed(),
        sequence,
    };
    let found = store.neighbours(key(7), 3).await.unwrap();
    assert_eq!(
        (sequences(&found.before), sequences(&found.after)),
        (vec![1, 3, 5], vec![9, 11, 13])
    );
    let found = store.neighbours(key(0), 2).await.unwrap();
    assert_eq!((sequences(&found.before), sequences(&found.after)), (vec![], vec![2, 4]));
}

async fn glances_are_the_last_predictions_of_each_station(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let found = store.glances(StationQuery { limit: 10, after: None }, 3).await.unwrap();
    let names: Vec<_> = found.iter().map(|(id, _)| id.clone()).collect();
    assert_eq!(names, [station(0), station(1)]);
    let last: Vec<_> = found[1]
        .1
        .iter()
        .map(|glance| (glance.timestamp_us - BEGIN_US, glance.is_anomaly))
        .collect();
    assert_eq!(last, [(19, false), (17, false), (15, true)]);
    let rest = StationQuery { limit: 10, after: Some(station(0)) };
    assert_eq!(store.glances(rest, 30).await.unwrap()[0].1.len(), 10);
    assert_eq!(store.past(station(1), 3).await.unwrap(), found[1].1);
}

async fn the_observer_hears_of_what_was_stored_and_of_nothing_else(database: &dyn Database) {
    let (tell, told) = mpsc::channel();
    let observe = move |report: CommitReport| {
        let arrivals = report.arrivals.into_iter();
        let seen = arrivals.map(|arrival| (arrival.station_id, arrival.glance.is_anomaly));
        tell.send(seen.collect::<Vec<_>>()).unwrap();
    };
    let (store, writer) = database.open(Box::new(observe));
    store.keep_all(&[new_prediction(1, true), new_prediction(2, false)]).await.unwrap();
    store.keep_all(&[new_prediction(1, true), new_prediction(3, false)]).await.unwrap();
    drop(store);
    writer.join().unwrap();
    let heard: Vec<_> = told.iter().collect();
    assert_eq!(heard, [vec![(station(1), true), (station(0), false)], vec![(station(1), false)]]);
}

/// Sweeps to the end, and returns the number of predictions deleted.
async fn sweep(store: &Store, before_us: i64, anomalies_before_us: Option<i64>) -> u64 {
    let mut sweep = Sweep {
        before_us: Some(before_us),
        anomalies_before_us,
        believed_us: before_us,
        from: None,
    };
    let mut n_deleted = 0;
    loop {
        let swept = store.sweep(sweep.clone()).await.unwrap();
        n_deleted += swept.n_deleted;
        match swept.next {
            Some(next) => sweep.from = Some(next),
            None => return n_deleted,
        }
    }
}

async fn old_predictions_are_deleted_and_anomalies_kept_as_long_as_asked(database: &dyn Database) {
    let (store, _writer) = twenty_events(database).await;
    let received_us = new_prediction(0, false).received_us;
    assert!(received_us > BEGIN_US + 20, "received after it was measured");
    // Measured long ago and received a moment ago: nothing is old yet.
    assert_eq!(sweep(&store, BEGIN_US + 20, None).await, 0);

    let later_us = received_us + 1;
    assert_eq!(sweep(&store, later_us, None).await, 16);
    assert_eq!(store.totals(), Totals { events: 4, anomalies: 4 });
    assert_eq!(
        sequences(&store.events(EventQuery::all(100)).await.unwrap().entries),
        [10, 0, 15, 5]
    );
    assert_eq!(sweep(&store, later_us, Some(later_us)).await, 4);
    assert_eq!(store.totals(), Totals::default());
}

async fn a_sweep_takes_bounded_steps(database: &dyn Database) {
    let (store, _writer) = open(database);
    for first in (0..3_000).step_by(1_000) {
        let news: Vec<_> =
            (first..first + 1_000).map(|sequence| new_prediction(sequence, false)).collect();
        store.keep_all(&news).await.unwrap();
    }
    let step =
        Sweep { before_us: Some(i64::MAX), anomalies_before_us: None, believed_us: 0, from: None };
    let swept = store.sweep(step).await.unwrap();
    assert!(swept.n_deleted < 1_000 && swept.next.is_some(), "{swept:?}");
    assert_eq!(sweep(&store, i64::MAX, None).await + swept.n_deleted, 3_000);
}

/// Makes event `index` of a press, a second after the one before. Its values repeat after 97 and 89.
fn press_event(index: u64) -> NewPrediction {
    let mut new = new_prediction(index, index % 50 == 7);
    let noise = if index % 10 == 3 { None } else { Some((index * 37 % 89) as f64) };
    new.prediction.station_id = StationId::parse("press").unwrap();
    new.prediction.timestamp_us = index.cast_signed() * SECOND_US;
    new.prediction.anomaly_score = (index * 31 % 97) as f64 / 97.0;
    new.prediction.features =
        [("heat", Some(index as f64)), ("noise", noise)].into_iter().collect();
    new
}

async fn keep_all(store: &Store, events: impl Iterator<Item = NewPrediction>) {
    let events: Vec<_> = events.collect();
    for batch in events.chunks(Store::BATCH_LEN_MAX) {
        store.keep_all(batch).await.unwrap();
    }
}

fn press_series(n_buckets: u32) -> SeriesQuery {
    SeriesQuery {
        station_id: StationId::parse("press").unwrap(),
        since_us: 0,
        until_us: 1_000 * SECOND_US,
        n_buckets,
        features: ["noise", "no such feature", "heat"].map(Arc::from).to_vec(),
    }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<Extent> {
    values.fold(None, |extent, value| {
        let extent = extent.unwrap_or(Extent { min: value, max: value });
        Some(Extent { min: extent.min.min(value), max: extent.max.max(value) })
    })
}

async fn buckets_have_the_extremes_of_their_events(database: &dyn Database) {
    let (store, _writer) = open(database);
    let is_silent = |index: &u64| (400..500).contains(index);
    let events: Vec<_> = (0..1_000).filter(|index| !is_silent(index)).map(press_event).collect();
    keep_all(&store, events.iter().cloned()).await;
    for n_buckets in [1, 3, 7, 100, 1_000] {
        let found = store.series(press_series(n_buckets)).await.unwrap();
        let mut expected: Vec<Bucket> = Vec::new();
        for index in 0..i64::from(n_buckets) {
            let edge = |index: i64| 1_000 * SECOND_US * index / i64::from(n_buckets);
            let within: Vec<_> = events
                .iter()
                .map(|event| &event.prediction)
                .filter(|p| (edge(index)..edge(index + 1)).contains(&p.timestamp_us))
                .collect();
            let (Some(first), Some(last)) = (within.first(), within.last()) else { continue };
            let of = |name: &str| extent(within.iter().filter_map(|p| p.features.get(name)?));
            expected.push(Bucket {
                first_us: first.timestamp_us,
                last_us: last.timestamp_us,
                n_events: u32::try_from(within.len()).unwrap(),
                n_anomalies: u32::try_from(within.iter().filter(|p| p.is_anomaly).count()).unwrap(),
                is_whole: true,
                score: extent(within.iter().map(|p| p.anomaly_score)).unwrap(),
                threshold: last.threshold,
                model_version: last.model_version.clone(),
                values: vec![of("noise"), None, of("heat")],
            });
        }
        assert_eq!(found, expected, "{n_buckets} buckets");
    }
}

async fn a_capped_bucket_is_marked_partial(database: &dyn Database) {
    let (store, _writer) = open(database);
    // All at one moment, so that they share a bucket however narrow it is.
    let at_once = (0..500).map(|index| {
        let mut new = press_event(index);
        new.prediction.timestamp_us = 7 * SECOND_US;
        new.prediction.is_anomaly = false;
        new
    });
    keep_all(&store, at_once.chain((600..700).map(press_event))).await;
    let found = store.series(press_series(1_000)).await.unwrap();
    assert_eq!((found[0].n_events, found[0].is_whole), (200, false));
    assert_eq!(found.len(), 101);
    assert!(found[1..].iter().all(|bucket| bucket.is_whole && bucket.n_events == 1));
}

async fn no_anomaly_is_hidden_by_a_capped_bucket(database: &dyn Database) {
    let (store, _writer) = open(database);
    // A thousand a second, and an anomaly at the end of each.
    let events = (0..10_000_u64).map(|index| {
        let mut new = press_event(index);
        new.prediction.timestamp_us = index.cast_signed() * SECOND_US / 1_000;
        new.prediction.is_anomaly = index % 1_000 == 999;
        new.prediction.anomaly_score = if new.prediction.is_anomaly { 0.99 } else { 0.4 };
        new
    });
    keep_all(&store, events).await;
    let found = store.series(press_series(1_000)).await.unwrap();
    assert_eq!(found.len(), 10);
    for bucket in found {
        assert_eq!((bucket.is_whole, bucket.n_anomalies, bucket.score.max), (false, 1, 0.99));
        assert_eq!(bucket.n_events, 201);
    }
}

async fn a_sample_is_spread_over_stations_and_time(database: &dyn Database) {
    let (store, _writer) = open(database);
    keep_all(&store, (0..1_000).map(press_event)).await;
    let elsewhere = (0..1_000).map(|index| {
        let mut new = press_event(index);
        new.prediction.station_id = StationId::parse("quench").unwrap();
        new
    });
    keep_all(&store, elsewhere).await;
    let query = SampleQuery {
        since_us: 500 * SECOND_US,
        until_us: 2_000 * SECOND_US,
        len_max: 100,
        features: vec!["heat".into()],
    };
    let found = store.sample(query.clone()).await.unwrap();
    let heats: Vec<_> = found.iter().map(|sampled| sampled.values[0].unwrap()).collect();
    let expected: Vec<_> = (0..50).map(|part| f64::from(500 + 10 * part)).collect();
    assert_eq!(heats, [expected.clone(), expected].concat());
    assert_eq!(found[0].model_version, press_event(0).prediction.model_version);
    // A station with less is taken whole, however short the time that it fills.
    let found = store.sample(SampleQuery { since_us: 990 * SECOND_US, ..query }).await.unwrap();
    assert_eq!(found.len(), 20);
}

async fn a_database_that_takes_nothing_is_checked_by_a_commit(database: &dyn Database) {
    let (tell, told) = mpsc::channel();
    let observe = move |report: CommitReport| {
        tell.send((report.n_predictions, report.is_stored)).unwrap();
    };
    let (store, writer) = database.open(Box::new(observe));
    assert_eq!(store.check().await, Ok(Totals::default()));
    drop(store);
    writer.join().unwrap();
    assert_eq!(told.iter().collect::<Vec<_>>(), [(0, true)]);
}

/// Runs every case against a new, empty database.
///
/// # Panics
///
/// Panics when a case fails.
pub async fn check(new: impl Fn() -> Box<dyn Database>) {
    for (name, case) in CASES {
        tracing::info!(name, "a case begins");
        case(&*new()).await;
    }
}
