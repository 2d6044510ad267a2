//! The lessons of a training.

use detector::{LessonsMeta, Params};
use sensor::{FeatureSchema, SensorEvent, StationId};

use crate::{NOW_US, events, fit};

fn params() -> Params {
    Params { keeps_lessons: true, ..Params::default() }
}

/// Gives events to a station, one a second in the order of `seconds`.
fn of_station(
    name: &str,
    events: &[SensorEvent],
    seconds: impl Iterator<Item = i64>,
) -> Vec<SensorEvent> {
    let station = StationId::parse(name).unwrap();
    let schema = FeatureSchema::default();
    let event = |(event, second): (&SensorEvent, i64)| {
        let time_us = NOW_US + second * 1_000_000;
        schema.event(station.clone(), event.sequence(), time_us, event.values()).unwrap()
    };
    events.iter().zip(seconds).map(event).collect()
}

/// Seen to fail with the first events, and with events in the order of the data.
#[test]
fn a_lesson_has_the_last_events_of_its_station_in_the_order_of_measurement() {
    let all = events(1_300, 3);
    let newest_first = of_station("press", &all[..1_200], (0..1_200).rev());
    let few = of_station("mill", &all[1_200..], 0..100);
    let detector = fit(&[newest_first.clone(), few].concat(), &params());

    let lesson = detector.lesson_of("press").unwrap();
    let first_us = NOW_US + 200 * 1_000_000;
    let times_us: Vec<i64> = (0..1_000).map(|second| first_us + second * 1_000_000).collect();
    assert_eq!(lesson.timestamps_us(), times_us);
    let values: Vec<f64> =
        newest_first[..1_000].iter().rev().flat_map(|event| event.values().to_vec()).collect();
    assert_eq!(lesson.values(), values);
    assert_eq!(detector.lesson_of("mill").unwrap().timestamps_us().len(), 100);
    assert_eq!(detector.lesson_of("lathe"), None);
    assert_eq!(detector.meta().lessons, Some(LessonsMeta { stations: 2, events: 1_100 }));
    assert_ne!(detector.lesson_of("mill").unwrap().id(), lesson.id());
}

#[test]
fn an_event_that_is_left_out_teaches_nothing_in_time_order() {
    let mut all = of_station("press", &events(400, 3), 0..400);
    let absurd = FeatureSchema::default()
        .event(all[200].station_id().clone(), 200, all[200].timestamp_us(), &[1_000.0, 45.0, 66.0])
        .unwrap();
    all[200] = absurd;
    let detector = fit(&all, &params());
    assert_eq!(detector.meta().left_out_rows, 1);
    let lesson = detector.lesson_of("press").unwrap();
    let are_missing = lesson.values().iter().map(|value| value.is_nan());
    let missing: Vec<usize> =
        are_missing.enumerate().filter(|(_, missing)| *missing).map(|(place, _)| place).collect();
    assert_eq!(missing, [600, 601, 602]);
}

#[test]
fn an_event_that_is_given_twice_is_kept_once() {
    let once = of_station("press", &events(300, 3), 0..300);
    let twice = [once.clone(), once].concat();
    let detector = fit(&twice, &params());
    assert_eq!(detector.lesson_of("press").unwrap().timestamps_us().len(), 300);
}
