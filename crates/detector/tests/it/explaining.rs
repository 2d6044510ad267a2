//! Explanations of an anomaly: reasons, and values that would have been normal.

use detector::{Detector, ForestParams, Params};
use sensor::{Feature, FeatureSchema, Prediction, SensorEvent, StationId};

use crate::machine::Draws;
use crate::{NOW_US, events, fit};

const STATION: &str = "press";

fn detector() -> Detector {
    fit(&events(5_000, 1), &Params::default())
}

fn event(values: &[f64]) -> SensorEvent {
    let station = StationId::parse(STATION).unwrap();
    FeatureSchema::default().event(station, 1, NOW_US, values).unwrap()
}

fn anomaly(detector: &Detector, values: &[f64]) -> Prediction {
    let prediction = detector.assess(&event(values));
    assert!(prediction.is_anomaly, "{prediction:?}");
    prediction
}

#[test]
fn a_reason_names_what_is_unusual_and_what_is_not() {
    let detector = detector();
    let reasons = |values: &[f64]| detector.reasons(&anomaly(&detector, values));
    assert_eq!(
        reasons(&[70.0, 45.0, 91.23]),
        "sound 91.23 dB is 2 ranges above anything in training, normally 62.8 to 69.2; humidity and temperature as usual"
    );
    let two = reasons(&[81.0, 30.0, 66.0]);
    assert!(two.contains("temperature 81") && two.contains("humidity 30"), "{two}");
    assert!(two.ends_with("; sound as usual"), "{two}");
    // Warm, humid and silent, each a little, where they should go together.
    let together = reasons(&[73.1, 48.1, 62.9]);
    assert_eq!(
        together,
        "temperature 73.1 °C does not fit the other sensors: expected 65.1 to 70.9 °C; humidity and sound as usual"
    );
}

/// Current follows temperature, and either could be the one that is wrong.
#[test]
fn of_two_values_that_do_not_fit_together_both_are_named() {
    let schema = FeatureSchema::new(
        [("temperature_c", "°C"), ("current_a", "A"), ("flow", "l/min")]
            .map(|(name, unit)| Feature { unit: Some(unit.into()), ..Feature::named(name) })
            .into(),
    )
    .unwrap();
    let mut draws = Draws::new(5);
    let mut row = |noise: f64| {
        let cause = draws.gaussian();
        let [a, b, c] = [(); 3].map(|()| draws.gaussian());
        [70.0 + 5.0 * cause + noise * a, 40.0 + 2.0 * cause + noise * b, 9.0 + c]
    };
    let station = StationId::parse(STATION).unwrap();
    let event = |row: &[f64]| schema.event(station.clone(), 1, NOW_US, row).unwrap();
    let events: Vec<SensorEvent> = (0..3_000).map(|_| event(&row(0.1))).collect();
    let detector = Detector::fit(&schema, &events, &Params::default(), NOW_US).unwrap();
    let prediction = detector.assess(&event(&[75.0, 39.0, 9.0]));
    let reasons = detector.reasons(&prediction);
    let parts: Vec<&str> = reasons.split([':', ';']).collect();
    let [first, expected, rest] = parts[..] else { panic!("{reasons}") };
    assert!(first.contains("temperature 75 °C") && first.contains("current 39 A"), "{reasons}");
    assert!(first.ends_with(" do not fit together"), "{reasons}");
    assert!(expected.contains("temperature 6") && expected.contains("current 4"), "{reasons}");
    assert_eq!(rest, " flow as usual");
}

#[test]
fn a_prediction_of_another_model_gets_no_ranges_of_this_one() {
    let detector = detector();
    let mut prediction = anomaly(&detector, &[70.0, 45.0, 91.23]);
    prediction.model_version = "2020-01-01-000000000000".into();
    let text = detector.reasons(&prediction);
    assert_eq!(text, "judged by another model; mostly because of sound 91.23 dB");
}

/// Seen to fail without the limit: with 500 features it took ten seconds.
#[test]
fn no_counterfactual_is_searched_where_each_judgement_takes_long() {
    let mut machine = crate::machine::Machine::new(150, 3);
    let schema = crate::machine::schema(150);
    let station = StationId::parse(STATION).unwrap();
    let event = |row: &[f64]| schema.event(station.clone(), 1, NOW_US, row).unwrap();
    let rows = machine.rows(600);
    let events: Vec<SensorEvent> = rows.iter().map(|row| event(row)).collect();
    let detector = Detector::fit(&schema, &events, &Params::default(), NOW_US).unwrap();
    let mut row = machine.row();
    row[0] += 1_000.0;
    assert!(detector.work_of(&row) < 50_000);
    assert!(detector.counterfactual(STATION, &row).is_some());
    row[75..].fill(f64::NAN);
    assert!(detector.work_of(&row) > 500_000);
    assert!(detector.counterfactual(STATION, &row).is_none());
    // The forest alone: each missing value goes both ways at a cut, at worst to all nodes.
    let large = ForestParams { n_trees: 200, sample_size: 4_096, ..ForestParams::default() };
    let events = crate::events(10_000, 3);
    let large = fit(&events, &Params { forest: large, ..Params::default() });
    let [whole, one, all] = [0, 1, 3].map(|n_missing| {
        let mut row = events[0].values().to_vec();
        row[..n_missing].fill(f64::NAN);
        large.work_of(&row)
    });
    assert!(whole < 20_000 && one > 2 * whole && all >= 200 * 4_096 * 4, "{whole} {one} {all}");
    assert!(detector.assess(&event(&row)).is_anomaly);
}

#[test]
fn a_counterfactual_is_normal_within_its_range_and_not_beyond() {
    let detector = detector();
    for (values, culprit) in
        [([70.0, 45.0, 91.0], 2), ([55.0, 45.0, 66.0], 0), ([70.0, 57.0, 66.0], 1)]
    {
        let found = detector.counterfactual(STATION, &values).unwrap();
        assert_eq!(found.changes.len(), 1);
        let change = &found.changes[0];
        assert_eq!(change.feature, detector.schema().features()[culprit].name);
        let is_normal = |value: f64| {
            let mut changed = values;
            changed[culprit] = value;
            !detector.judge_row(&changed).is_anomaly
        };
        assert!(is_normal(change.low) && is_normal(change.high), "{change:?}");
        assert!(is_normal(f64::midpoint(change.low, change.high)), "{change:?}");
        let width = change.high - change.low;
        assert!(width > 1.0, "{change:?}");
        assert!(!is_normal(change.high + width) && !is_normal(change.low - width), "{change:?}");
    }
}

#[test]
fn several_values_are_changed_where_one_is_not_enough() {
    let detector = detector();
    let values = [85.0, 30.0, 66.0];
    let found = detector.counterfactual(STATION, &values).unwrap();
    assert_eq!(found.changes.len(), 2, "{found:?}");
    let mut changed = values;
    for change in &found.changes {
        let features = detector.schema().features();
        let feature = features.iter().position(|feature| feature.name == change.feature).unwrap();
        changed[feature] = change.low;
    }
    assert!(!detector.judge_row(&changed).is_anomaly);
}

#[test]
fn counterfactual_values_are_normal_as_they_are_written() {
    let detector = detector();
    let mut n_checked = 0;
    for event in events(3_000, 5) {
        if !detector.judge_row(event.values()).is_anomaly {
            continue;
        }
        let Some(found) = detector.counterfactual(STATION, event.values()) else { continue };
        let mut changed = event.values().to_vec();
        for change in &found.changes {
            let features = &detector.meta().features;
            let index = features.iter().position(|f| *f.name == *change.feature).unwrap();
            let (low, high) = features[index].range_within(change.low, change.high);
            for end in [low, high] {
                changed[index] = end.parse().unwrap();
                n_checked += 1;
            }
            let is_last = change == found.changes.last().unwrap();
            assert!(!is_last || !detector.judge_row(&changed).is_anomaly, "{found:?}");
        }
    }
    assert!(n_checked > 20, "{n_checked}");
}

#[test]
fn nothing_is_said_to_be_normal_beside_what_was_never_seen() {
    let detector = detector();
    let values = [85.0, 45.0, 91.0];
    let found = detector.counterfactual(STATION, &values).unwrap();
    let mut changed: Vec<&str> = found.changes.iter().map(|change| &*change.feature).collect();
    changed.sort_unstable();
    assert_eq!(changed, ["sound_db", "temperature_c"]);
}

#[test]
fn a_row_is_made_of_the_values_of_a_prediction() {
    let detector = detector();
    let prediction = detector.assess(&event(&[70.0, 45.0, 66.0]));
    assert_eq!(detector.row(&prediction.features), Some(vec![70.0, 45.0, 66.0]));
    let fewer = prediction.features.iter().take(2).collect();
    assert_eq!(detector.row(&fewer), None);
}

#[test]
fn scores_of_the_calibration_are_counted_from_any_score_on() {
    let detector = detector();
    let calibration = detector.calibration();
    let n = calibration.len();
    assert_eq!(calibration.n_from(0.0), n);
    assert_eq!(calibration.n_from(1.01), 0);
    let (lowest, highest) = calibration.score_range();
    assert!(0.0 < lowest && lowest < highest && highest <= 1.0);
    assert_eq!(calibration.n_from(lowest), n);
    assert_eq!(calibration.n_from(highest + 1e-9), 0);
    let n_anomalous = calibration.n_from(detector.threshold());
    assert!(n_anomalous > 0 && n_anomalous <= n / 100, "{n_anomalous} of {n}");
}
