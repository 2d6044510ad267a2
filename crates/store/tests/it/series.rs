//! What is read for pictures: the past in buckets, and samples of it.

use std::sync::Arc;

use sensor::StationId;
use store::{Bucket, Extent, NewPrediction, SampleQuery, SeriesQuery, Store};

use crate::{TestStore, new_prediction};

const SECOND_US: i64 = 1_000_000;

fn station() -> StationId {
    StationId::parse("press").unwrap()
}

/// Event `index` of the press, a second after the one before; its values repeat after 97 and 89.
fn event(index: u64) -> NewPrediction {
    let mut new = new_prediction(index, index % 50 == 7);
    let noise = if index % 10 == 3 { None } else { Some((index * 37 % 89) as f64) };
    new.prediction.station_id = station();
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

fn query(n_buckets: u32) -> SeriesQuery {
    let features = ["noise", "no such feature", "heat"].map(Arc::from).to_vec();
    let until_us = 1_000 * SECOND_US;
    SeriesQuery { station_id: station(), since_us: 0, until_us, n_buckets, features }
}

fn extent(values: impl Iterator<Item = f64>) -> Option<Extent> {
    values.fold(None, |extent, value| {
        let extent = extent.unwrap_or(Extent { min: value, max: value });
        Some(Extent { min: extent.min.min(value), max: extent.max.max(value) })
    })
}

#[tokio::test]
async fn a_bucket_has_the_extremes_of_all_that_is_in_it() {
    let test = TestStore::new();
    let is_silent = |index: &u64| (400..500).contains(index);
    let events: Vec<_> = (0..1_000).filter(|index| !is_silent(index)).map(event).collect();
    keep_all(&test.store, events.iter().cloned()).await;
    for n_buckets in [1, 3, 7, 100, 1_000] {
        let found = test.store.series(query(n_buckets)).await.unwrap();
        let mut expected: Vec<Bucket> = Vec::new();
        for index in 0..i64::from(n_buckets) {
            let edge = |index: i64| 1_000 * SECOND_US * index / i64::from(n_buckets);
            let within: Vec<_> = events
                .iter()
                .map(|event| &event.prediction)
                .filter(|p| (edge(index)..edge(index + 1)).contains(&p.timestamp_us))
                .collect();
            let (Some(first), Some(last)) = (within.first(), within.last()) else { continue };
            let of = |feature: usize| {
                extent(within.iter().filter_map(|p| p.features.iter().nth(feature).unwrap().1))
            };
            expected.push(Bucket {
                first_us: first.timestamp_us,
                last_us: last.timestamp_us,
                n_events: u32::try_from(within.len()).unwrap(),
                n_anomalies: u32::try_from(within.iter().filter(|p| p.is_anomaly).count()).unwrap(),
                is_whole: true,
                score: extent(within.iter().map(|p| p.anomaly_score)).unwrap(),
                values: vec![of(1), None, of(0)],
            });
        }
        assert_eq!(found, expected, "{n_buckets} buckets");
    }
}

#[tokio::test]
async fn of_very_many_events_a_bucket_says_that_it_read_a_part() {
    let test = TestStore::new();
    // All at one moment, so that they share a bucket however narrow it is.
    let at_once = (0..500).map(|index| {
        let mut new = event(index);
        new.prediction.timestamp_us = 7 * SECOND_US;
        new.prediction.is_anomaly = false;
        new
    });
    keep_all(&test.store, at_once.chain((600..700).map(event))).await;
    let found = test.store.series(query(1_000)).await.unwrap();
    assert_eq!((found[0].n_events, found[0].is_whole), (200, false));
    assert_eq!(found.len(), 101);
    assert!(found[1..].iter().all(|bucket| bucket.is_whole && bucket.n_events == 1));
}

#[tokio::test]
async fn no_anomaly_is_hidden_however_many_events_there_are() {
    let test = TestStore::new();
    // A thousand a second, and an anomaly at the end of each.
    let events = (0..10_000_u64).map(|index| {
        let mut new = event(index);
        new.prediction.timestamp_us = index.cast_signed() * SECOND_US / 1_000;
        new.prediction.is_anomaly = index % 1_000 == 999;
        new.prediction.anomaly_score = if new.prediction.is_anomaly { 0.99 } else { 0.4 };
        new
    });
    keep_all(&test.store, events).await;
    let found = test.store.series(query(1_000)).await.unwrap();
    assert_eq!(found.len(), 10);
    for bucket in found {
        assert_eq!((bucket.is_whole, bucket.n_anomalies, bucket.score.max), (false, 1, 0.99));
        assert_eq!(bucket.n_events, 201);
    }
}

#[tokio::test]
async fn a_sample_is_spread_over_stations_and_time() {
    let test = TestStore::new();
    keep_all(&test.store, (0..1_000).map(event)).await;
    let elsewhere = (0..1_000).map(|index| {
        let mut new = event(index);
        new.prediction.station_id = StationId::parse("quench").unwrap();
        new
    });
    keep_all(&test.store, elsewhere).await;
    let query = SampleQuery {
        since_us: 500 * SECOND_US,
        until_us: 2_000 * SECOND_US,
        len_max: 100,
        features: vec!["heat".into()],
    };
    let found = test.store.sample(query.clone()).await.unwrap();
    let heats: Vec<_> = found.iter().map(|sampled| sampled.values[0].unwrap()).collect();
    let expected: Vec<_> = (0..50).map(|part| f64::from(500 + 10 * part)).collect();
    assert_eq!(heats, [expected.clone(), expected].concat());
    assert_eq!(found[0].model_version, event(0).prediction.model_version);
    // What has less is taken whole, however short the time that it fills.
    let found =
        test.store.sample(SampleQuery { since_us: 990 * SECOND_US, ..query }).await.unwrap();
    assert_eq!(found.len(), 20);
}
