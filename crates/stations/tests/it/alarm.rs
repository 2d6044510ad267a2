//! The alarm of a station: its lesson, its episodes, and what it continues from.

use sensor::AlarmState::{Accepted, Late, Learning, Open, Watching};
use sensor::{Alarm, AlarmState, Prediction, StationId};
use stations::{AlarmAction, AlarmParams, NotPossible, StationAlarm, TrainedLesson};

const PARAMS: AlarmParams =
    AlarmParams { alarms_per_day: 10.0, events_to_learn: 200, kept_us: i64::MAX };
const SECOND_US: i64 = 1_000_000;
const NAMES: [&str; 2] = ["heat", "noise"];

/// Makes event number `index`, a second after the one before: two sensors that wander, and jump from 600 to 800.
fn event(index: u32) -> Prediction {
    let t = f64::from(index);
    let jump = if (600..800).contains(&index) { 8.0 } else { 0.0 };
    let values =
        [(t * 0.7).sin() + (t * 0.11).sin() + jump, (t * 0.3).cos() + (t * 0.17).sin() + jump];
    Prediction {
        station_id: StationId::parse("press").unwrap(),
        sequence: index.into(),
        timestamp_us: i64::from(index) * SECOND_US,
        features: NAMES.into_iter().zip(values.map(Some)).collect(),
        anomaly_score: 0.5,
        threshold: 0.6,
        is_anomaly: false,
        p_value: 0.5,
        evidence: None,
        outside: Vec::new(),
        baseline: None,
        alarm: None,
        model_version: "2026-11-22-0123456789ab".into(),
        attributions: Vec::new(),
    }
}

/// Takes an event and returns what was said, and the record if one is due.
fn advance(
    alarm: &mut StationAlarm,
    prediction: &Prediction,
    params: &AlarmParams,
) -> (Alarm, Option<Vec<u8>>) {
    let said = alarm.advance(prediction, params);
    (said, alarm.is_record_due(params).then(|| alarm.record()))
}

/// Takes events and returns what was said, and the last record with the number of the event after it.
fn take(
    alarm: &mut StationAlarm,
    events: impl Iterator<Item = u32>,
) -> (Vec<Alarm>, Option<(Vec<u8>, u32)>) {
    let mut last_record = None;
    let said = events.map(|index| {
        let (said, record) = advance(alarm, &event(index), &PARAMS);
        if let Some(record) = record {
            last_record = Some((record, index + 1));
        }
        said
    });
    (said.collect(), last_record)
}

fn states(said: &[Alarm]) -> Vec<AlarmState> {
    let mut states: Vec<_> = said.iter().map(|said| said.state).collect();
    states.dedup();
    states
}

#[test]
fn a_station_learns_then_watches_and_its_alarms_have_numbers() {
    let mut alarm = StationAlarm::new(NAMES, None);
    let (said, _) = take(&mut alarm, 0..1_000);
    assert_eq!(states(&said), [Learning, Watching, Open, Accepted, Watching]);
    assert_eq!(
        said[99].lesson.map(|lesson| (lesson.events_learnt, lesson.events_to_learn)),
        Some((100, 200))
    );
    let opened = said.iter().find(|said| said.state == Open).unwrap();
    let surprise = opened.surprise.as_ref().unwrap();
    assert!(surprise.surprise > surprise.threshold, "{opened:?}");
    let episode = opened.episode.unwrap();
    assert_eq!(episode.episode_id, 1);
    assert!((600..620).contains(&(episode.opened_us / SECOND_US)), "{episode:?}");
    let accepted = said.iter().find(|said| said.state == Accepted).unwrap();
    assert_eq!(accepted.episode, Some(episode));
    assert_eq!(said[999].episode, None);
}

/// Seen to fail where a record leaves out the pressure.
#[test]
fn a_station_continues_from_its_record_and_the_events_after_it() {
    let mut undisturbed = StationAlarm::new(NAMES, None);
    let mut record = None;
    for end in (50..1_000).step_by(37) {
        let begin = if end == 50 { 0 } else { end - 37 };
        let (said, newer) = take(&mut undisturbed, begin..end);
        record = newer.or(record);
        let (bytes, after) = record.clone().unwrap();
        let mut read = StationAlarm::from_record(&bytes).unwrap();
        let (replayed, _) = take(&mut read, after..end);
        assert_eq!(read, undisturbed, "after {end} events");
        let n_both = said.len().min(replayed.len());
        assert_eq!(said[said.len() - n_both..], replayed[replayed.len() - n_both..]);
    }
}

#[test]
fn an_operator_settles_a_change() {
    let mut alarm = StationAlarm::new(NAMES, None);
    let (said, _) = take(&mut alarm, 0..650);
    assert_eq!(states(&said), [Learning, Watching, Open, Accepted]);
    alarm.act(AlarmAction::Settle, None, &PARAMS).unwrap();
    assert_eq!((alarm.now(&PARAMS).state, alarm.now(&PARAMS).episode), (Watching, None));
    assert_eq!(alarm.act(AlarmAction::Settle, None, &PARAMS), Err(NotPossible::NothingToSettle));
    let mut read = StationAlarm::from_record(&alarm.record()).unwrap();
    let (said, _) = take(&mut read, 650..780);
    assert_eq!(states(&said), [Watching]);
    take(&mut alarm, 650..780);
    assert_eq!(read, alarm, "the record has the settled level");
    let (said, _) = take(&mut read, 780..830);
    let opened = said.iter().find(|said| said.state == Open).unwrap();
    assert_eq!(opened.episode.unwrap().episode_id, 2, "values that return are a change");
}

#[test]
fn an_operator_ends_extends_and_repeats_a_lesson() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..100);
    let refused = alarm.act(AlarmAction::Approve, None, &PARAMS);
    assert!(
        matches!(refused, Err(NotPossible::LessonIsShort { n_events: 100, least: 160 })),
        "{refused:?}"
    );
    take(&mut alarm, 100..170);
    let mut approved = alarm.clone();
    approved.act(AlarmAction::Approve, None, &PARAMS).unwrap();
    assert_eq!(states(&take(&mut approved, 170..175).0), [Watching]);
    let refused = approved.act(AlarmAction::Extend { n_events: Some(300) }, None, &PARAMS);
    assert_eq!(refused, Err(NotPossible::NotLearning));

    let refused = alarm.act(AlarmAction::Extend { n_events: Some(180) }, None, &PARAMS);
    assert_eq!(refused, Err(NotPossible::LessonIsLonger { n_events: 200 }));
    alarm.act(AlarmAction::Extend { n_events: Some(300) }, None, &PARAMS).unwrap();
    let mut alarm = StationAlarm::from_record(&alarm.record()).unwrap();
    let (said, _) = take(&mut alarm, 170..301);
    assert_eq!(said[0].lesson.map(|lesson| lesson.events_to_learn), Some(300));
    assert_eq!((said[129].state, said[130].state), (Learning, Watching));

    alarm.act(AlarmAction::Learn { n_events: None }, None, &PARAMS).unwrap();
    let (said, _) = take(&mut alarm, 301..502);
    let learnt = said[0].lesson.map(|lesson| (lesson.events_learnt, lesson.events_to_learn));
    assert_eq!(learnt, Some((1, 200)));
    assert_eq!((said[199].state, said[200].state), (Learning, Watching));
}

/// Seen to fail where a large record waited for as many events as pay for it.
#[test]
fn a_record_is_due_before_the_events_after_it_are_deleted() {
    let names: Vec<String> = (0..256).map(|feature| format!("f{feature:03}")).collect();
    let hour_us = 3_600 * SECOND_US;
    let params = AlarmParams { kept_us: 3 * hour_us, ..PARAMS };
    let mut alarm = StationAlarm::new(names.iter().map(String::as_str), None);
    let mut recorded_us = 0;
    for index in 0..250_u32 {
        let value = |feature: usize| (f64::from(index) * 0.7 + feature as f64).sin();
        let slow = Prediction {
            timestamp_us: i64::from(index) * hour_us / 6,
            features: (0..256).map(|i| (names[i].as_str(), Some(value(i)))).collect(),
            ..event(index)
        };
        if advance(&mut alarm, &slow, &params).1.is_some() {
            recorded_us = slow.timestamp_us;
        }
        assert!(slow.timestamp_us - recorded_us < 2 * hour_us, "after {index} events");
    }
}

/// Seen to fail where the trained lesson came with the next event, and where one was too short after a lesson was extended.
#[test]
fn a_trained_lesson_does_not_undo_an_action_and_later_ones_are_learnt() {
    let learnt: Vec<i64> = (0..250).map(|index| index * SECOND_US).collect();
    let values: Vec<f64> =
        (0..250).flat_map(|index| event(index).features.values().to_vec()).collect();
    let lesson = |id| TrainedLesson { id, timestamps_us: &learnt, values: &values };
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..10);
    alarm.act(AlarmAction::Extend { n_events: Some(300) }, None, &PARAMS).unwrap();
    take(&mut alarm, 10..610);
    assert_eq!(alarm.now(&PARAMS).state, Open);
    for action in [AlarmAction::Settle, AlarmAction::Learn { n_events: None }] {
        let mut alarm = alarm.clone();
        alarm.act(action, Some(7), &PARAMS).unwrap();
        assert!(!alarm.needs_lesson(&lesson(7)), "{action:?}");
        assert!(alarm.needs_lesson(&lesson(8)), "{action:?}");
        alarm.learn_lesson(&lesson(8), &PARAMS);
        assert_eq!(alarm.now(&PARAMS).state, Watching);
        let (said, _) = take(&mut alarm, 610..620);
        assert!(
            states(&said).contains(&Open),
            "{action:?}: it knows the lesson, not the new level"
        );
    }
}

#[test]
fn a_late_event_changes_nothing() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..300);
    let before = alarm.clone();
    for late in [299, 298, 3] {
        let (said, record) = advance(&mut alarm, &event(late), &PARAMS);
        assert_eq!((said.state, said.surprise, record), (Late, None, None));
    }
    assert_eq!(alarm, before);
    let mut later = StationAlarm::new(NAMES, Some((10 * SECOND_US, 10)));
    assert_eq!(advance(&mut later, &event(10), &PARAMS).0.state, Late);
    assert_eq!(advance(&mut later, &event(11), &PARAMS).0.state, Learning);
}

#[test]
fn a_lesson_in_which_nothing_moves_begins_again() {
    let mut alarm = StationAlarm::new(NAMES, None);
    for index in 0..200 {
        let still = Prediction {
            features: NAMES.map(|name| (name, Some(1.0))).into_iter().collect(),
            ..event(index)
        };
        assert_eq!(advance(&mut alarm, &still, &PARAMS).0.state, Learning);
    }
    let (said, _) = take(&mut alarm, 200..401);
    assert_eq!(said[0].lesson.map(|lesson| lesson.events_learnt), Some(1));
    assert_eq!(said[200].state, Watching);
}

/// Seen to fail where the values of anomalies are learnt.
#[test]
fn what_is_an_anomaly_on_its_own_is_not_learnt_as_usual() {
    let said_of_far = |is_anomaly: bool| {
        let mut alarm = StationAlarm::new(NAMES, None);
        let far = |index: u32| Prediction {
            features: NAMES.map(|name| (name, Some(40.0))).into_iter().collect(),
            is_anomaly,
            ..event(index)
        };
        for index in 0..200 {
            let event = if (100..115).contains(&index) { far(index) } else { event(index) };
            advance(&mut alarm, &event, &PARAMS);
        }
        take(&mut alarm, 200..300);
        (300..310).any(|index| advance(&mut alarm, &far(index), &PARAMS).0.state == Open)
    };
    assert!(said_of_far(true));
    assert!(!said_of_far(false));
}

/// Seen to fail with the median alone: with whole seconds, the budget was the least that there is.
#[test]
fn several_events_of_one_second_have_the_budget_of_their_number() {
    let threshold_of = |us_of_event: fn(u32) -> i64| {
        let mut alarm = StationAlarm::new(NAMES, None);
        let said = (0..300).map(|index| {
            let event = Prediction { timestamp_us: us_of_event(index), ..event(index) };
            advance(&mut alarm, &event, &PARAMS).0
        });
        said.last().unwrap().surprise.unwrap().threshold
    };
    let exact = threshold_of(|index| i64::from(index) * SECOND_US / 3);
    let whole = threshold_of(|index| i64::from(index / 3) * SECOND_US);
    assert!((exact - whole).abs() < 0.1, "{exact} {whole}");
}

/// Seen to fail with records by number of events alone: retention deleted events that a slow station had not recorded.
#[test]
fn a_station_that_sends_seldom_is_recorded_every_hour() {
    let mut alarm = StationAlarm::new(NAMES, None);
    let records = (0..100).map(|index| {
        let timestamp_us = i64::from(index) * 600 * SECOND_US;
        advance(&mut alarm, &Prediction { timestamp_us, ..event(index) }, &PARAMS).1.is_some()
    });
    let recorded: Vec<usize> = records.enumerate().filter(|(_, is)| *is).map(|(i, _)| i).collect();
    assert_eq!(recorded[..4], [0, 6, 12, 18]);
}

#[test]
fn a_damaged_record_is_refused() {
    let mut alarm = StationAlarm::new(NAMES, None);
    let (_, record) = take(&mut alarm, 0..300);
    let (record, _) = record.unwrap();
    for place in (0..record.len()).step_by(97) {
        let mut damaged = record.clone();
        damaged[place] ^= 1;
        assert!(StationAlarm::from_record(&damaged).is_err(), "{place}");
    }
    assert!(StationAlarm::from_record(&record[..record.len() - 1]).is_err());
    assert!(alarm.is_of(NAMES) && !alarm.is_of(["heat"]));
}

#[test]
fn another_budget_holds_from_the_next_event_on_and_is_recorded() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..300);
    let more = AlarmParams { alarms_per_day: 1_000.0, ..PARAMS };
    let mut frequent = alarm.clone();
    frequent.keep_to(&PARAMS);
    assert_eq!(frequent, alarm);
    frequent.keep_to(&more);
    let threshold =
        |(said, _): &(Alarm, Option<Vec<u8>>)| said.surprise.as_ref().unwrap().threshold;
    let (before, after) =
        (advance(&mut alarm, &event(300), &PARAMS), advance(&mut frequent, &event(300), &more));
    assert!(threshold(&after) < threshold(&before));
    assert!(before.1.is_none() && after.1.is_some());
}

/// Returns the times and values of some events.
fn columns(events: impl Iterator<Item = u32>) -> (Vec<i64>, Vec<f64>) {
    let predictions: Vec<Prediction> = events.map(event).collect();
    let values = |prediction: &Prediction| -> Vec<f64> {
        prediction.features.iter().map(|(_, value)| value.unwrap()).collect()
    };
    let times_us = predictions.iter().map(|prediction| prediction.timestamp_us).collect();
    (times_us, predictions.iter().flat_map(values).collect())
}

#[test]
fn a_station_that_a_training_has_taught_watches_from_its_first_event_on() {
    let (timestamps_us, values) = columns(0..400);
    let lesson = TrainedLesson { id: 7, timestamps_us: &timestamps_us, values: &values };
    let mut alarm = StationAlarm::new(NAMES, None);
    assert!(alarm.needs_lesson(&lesson));
    alarm.learn_lesson(&lesson, &PARAMS);
    assert!(!alarm.is_learning() && !alarm.needs_lesson(&lesson));
    let mut undisturbed = alarm.clone();

    let (said, record) = take(&mut alarm, 400..401);
    assert_eq!(said[0].state, Watching);
    // A restart after the first event changes nothing, and does not teach it again.
    let (record, next) = record.expect("the first event comes with a record");
    let mut read = StationAlarm::from_record(&record).unwrap();
    assert!(!read.needs_lesson(&lesson));
    assert_eq!(take(&mut read, next..800).0, take(&mut alarm, 401..800).0);
    assert_eq!(read, alarm);
    assert_eq!(states(&take(&mut undisturbed, 400..640).0), [Watching, Open, Accepted]);
}

#[test]
fn a_station_continues_the_lesson_that_a_training_began() {
    let (timestamps_us, values) = columns(0..150);
    let lesson = TrainedLesson { id: 7, timestamps_us: &timestamps_us, values: &values };
    let mut alarm = StationAlarm::new(NAMES, None);
    alarm.learn_lesson(&lesson, &PARAMS);
    let (said, _) = take(&mut alarm, 150..201);
    assert_eq!(said[0].lesson.unwrap().events_learnt, 151);
    assert_eq!(states(&said), [Learning, Watching]);
}

#[test]
fn another_training_teaches_a_station_again_unless_its_alarm_is_open() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..620);
    let (timestamps_us, values) = columns(600..800);
    let lesson = TrainedLesson { id: 8, timestamps_us: &timestamps_us, values: &values };
    assert!(!alarm.needs_lesson(&lesson), "its alarm is open");
    take(&mut alarm, 620..700);
    assert!(alarm.needs_lesson(&lesson));
    alarm.learn_lesson(&lesson, &PARAMS);
    // It knows the new level, and its alarms are counted further.
    assert_eq!(states(&take(&mut alarm, 700..800).0), [Watching]);
    let (said, _) = take(&mut alarm, 800..840);
    assert_eq!(said.last().unwrap().episode.unwrap().episode_id, 2);
}

/// Returns the threshold after 600 more events, each so long after the last one so far.
fn threshold_after(alarm: &mut StationAlarm, time_us: impl Fn(u32) -> i64) -> f64 {
    let start_us = alarm.last().unwrap().0;
    let said = (1..=600).map(|index| {
        let timestamp_us = start_us + time_us(index);
        let prediction = Prediction { timestamp_us, ..event(200 + index % 380) };
        advance(alarm, &prediction, &PARAMS).0.surprise.unwrap().threshold
    });
    said.last().unwrap()
}

/// Seen to fail with the budget of the lesson: it would have allowed sixty times as many.
#[test]
fn the_budget_is_of_days_however_fast_events_come() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..200);
    let threshold = |alarm: &mut StationAlarm, interval_us: i64| {
        threshold_after(alarm, |index| i64::from(index) * interval_us)
    };
    let mut slow = alarm.clone();
    let mut fast = alarm.clone();
    let [slow, usual, fast] = [
        threshold(&mut slow, 60 * SECOND_US),
        threshold(&mut alarm, SECOND_US),
        threshold(&mut fast, SECOND_US / 60),
    ];
    assert!(slow < usual - 1.0 && usual < fast - 1.0, "{slow} {usual} {fast}");
}

/// Seen to fail with a mean that counts no pause as longer than a gap: it fell to the time within a burst.
#[test]
fn the_budget_is_of_days_where_events_come_in_bursts() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..200);
    let mut bursts = alarm.clone();
    let even = threshold_after(&mut alarm, |index| i64::from(index) * SECOND_US);
    // Sixty events within six tenths of a second, once a minute.
    let burst =
        |index: u32| i64::from(index / 60) * 60 * SECOND_US + i64::from(index % 60) * 10_000;
    let in_bursts = threshold_after(&mut bursts, burst);
    assert!((even - in_bursts).abs() < 2.0, "{even} {in_bursts}");
}

/// Seen to fail where a short lesson put a station that was watched back to learning.
#[test]
fn a_lesson_that_is_too_short_or_teaches_nothing_takes_no_watch_away() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..300);
    let (timestamps_us, values) = columns(0..50);
    let short = TrainedLesson { id: 7, timestamps_us: &timestamps_us, values: &values };
    let (timestamps_us, values) = ((0..400).collect::<Vec<i64>>(), vec![1.0; 800]);
    let still = TrainedLesson { id: 8, timestamps_us: &timestamps_us, values: &values };
    for lesson in [&short, &still] {
        assert!(alarm.needs_lesson(lesson));
        alarm.learn_lesson(lesson, &PARAMS);
        assert!(!alarm.is_learning() && !alarm.needs_lesson(lesson));
    }
    assert_eq!(states(&take(&mut alarm, 300..590).0), [Watching]);
}

/// Seen to fail without a record: all that followed was lost at a restart.
#[test]
fn a_station_whose_clock_was_ahead_is_recorded_again() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..300);
    let ahead = Prediction { timestamp_us: 1 << 50, ..event(300) };
    let (said, _) = advance(&mut alarm, &ahead, &PARAMS);
    assert_ne!(said.state, Late);
    alarm.forget_time();
    let (said, record) = take(&mut alarm, 300..301);
    assert_ne!(said[0].state, Late);
    let mut read = StationAlarm::from_record(&record.unwrap().0).unwrap();
    assert_eq!(take(&mut read, 301..640).0, take(&mut alarm, 301..640).0);
}

/// Seen to fail without gaps.
#[test]
fn forecasts_do_not_reach_across_a_pause() {
    let mut alarm = StationAlarm::new(NAMES, None);
    take(&mut alarm, 0..300);
    let surprise = |pause_us: i64| {
        let start_us = event(299).timestamp_us + pause_us;
        let mut alarm = alarm.clone();
        let said = (0..12).map(|index| {
            let timestamp_us = start_us + i64::from(index) * SECOND_US;
            let jumped = Prediction { timestamp_us, ..event(600 + index) };
            advance(&mut alarm, &jumped, &PARAMS).0.surprise.unwrap().surprise
        });
        said.sum::<f64>()
    };
    let (across, after_gap) = (surprise(30 * SECOND_US), surprise(3_600 * SECOND_US));
    assert!(across > after_gap + 5.0, "{across} {after_gap}");
}

/// Seen to fail where such a record was one of many that may wait for memory.
#[test]
fn what_a_restart_could_not_repeat_has_to_be_recorded_with_the_next_event() {
    type Happening<'a> = (&'static str, &'a dyn Fn(&mut StationAlarm));

    let mut alarm = StationAlarm::new(NAMES, None);
    assert!(alarm.must_record(), "where the lesson begins");
    alarm.record();
    for index in 0..PARAMS.events_to_learn {
        alarm.advance(&event(index), &PARAMS);
    }
    assert!(alarm.is_record_due(&PARAMS) && !alarm.must_record(), "the events tell the lesson");
    alarm.record();
    let (timestamps_us, values) = columns(0..250);
    let lesson = TrainedLesson { id: 7, timestamps_us: &timestamps_us, values: &values };
    let more = AlarmParams { alarms_per_day: 7.0, ..PARAMS };
    let happenings: [Happening<'_>; 4] = [
        ("a trained lesson", &|alarm| alarm.learn_lesson(&lesson, &PARAMS)),
        ("another budget", &|alarm| alarm.keep_to(&more)),
        ("a clock that was ahead", &StationAlarm::forget_time),
        ("events that were judged alone", &|alarm| alarm.skip_to(Some((i64::MAX / 2, 0)))),
    ];
    for (what, happens) in happenings {
        happens(&mut alarm);
        assert!(alarm.must_record(), "{what}");
        alarm.record();
        assert!(!alarm.must_record(), "{what}");
    }
}

/// Seen to fail where the number of events that an operator had asked for held for all lessons to come.
#[test]
fn a_lesson_that_was_made_longer_does_not_make_later_ones_too_short() {
    let mut alarm = StationAlarm::new(NAMES, None);
    alarm.act(AlarmAction::Learn { n_events: Some(400) }, None, &PARAMS).unwrap();
    let (timestamps_us, values) = columns(0..400);
    alarm.learn_lesson(
        &TrainedLesson { id: 7, timestamps_us: &timestamps_us, values: &values },
        &PARAMS,
    );
    assert!(!alarm.is_learning());
    let (timestamps_us, values) = columns(600..800);
    alarm.learn_lesson(
        &TrainedLesson { id: 8, timestamps_us: &timestamps_us, values: &values },
        &PARAMS,
    );
    assert_eq!(states(&take(&mut alarm, 750..800).0), [Watching], "the new level is learnt");
}
