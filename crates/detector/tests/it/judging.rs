//! Situations in which a forest alone is blind, over random data sets of many widths.

use detector::{AlarmRule, Detector, ForestParams, Params};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sensor::{Evidence, FeatureSchema, SensorEvent, StationId};

use crate::NOW_US;
use crate::machine::{Draws, Machine, schema};

fn event(schema: &FeatureSchema, row: &[f64]) -> SensorEvent {
    schema.event(StationId::parse("station").unwrap(), 0, NOW_US, row).unwrap()
}

fn learn(rows: &[Vec<f64>], params: &Params) -> Detector {
    let schema = schema(rows[0].len());
    let events: Vec<SensorEvent> = rows.iter().map(|row| event(&schema, row)).collect();
    Detector::fit(&schema, &events, params, NOW_US).unwrap()
}

fn params(n_trees: usize, seed: u64) -> Params {
    Params {
        forest: ForestParams { n_trees, seed, ..ForestParams::default() },
        ..Params::default()
    }
}

fn share_of_anomalies(detector: &Detector, rows: &[Vec<f64>]) -> f64 {
    let judged = detector.judge_rows(&rows.concat());
    judged.iter().filter(|row| row.is_anomaly).count() as f64 / rows.len() as f64
}

/// Clears `n_missing` values of each row.
fn with_holes(mut rows: Vec<Vec<f64>>, n_missing: usize, draws: &mut Draws) -> Vec<Vec<f64>> {
    for row in &mut rows {
        let mut n_left = n_missing;
        while n_left > 0 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
            let index = (draws.uniform() * row.len() as f64) as usize;
            if !row[index].is_nan() {
                row[index] = f64::NAN;
                n_left -= 1;
            }
        }
    }
    rows
}

/// Seen to fail where any value outside of the training, however little, takes the blame: in an eighth of the
/// events it was an innocent one.
#[test]
fn a_value_that_does_not_fit_is_named_whatever_else_is_new() {
    let mut draws = Draws::new(5);
    let mut row = |a: f64, b: f64| -> Vec<f64> {
        [a, b].into_iter().chain((0..98).map(|_| draws.gaussian())).collect()
    };
    let mut causes = Draws::new(6);
    let training: Vec<Vec<f64>> = (0..2_000)
        .map(|_| {
            let a = causes.gaussian();
            row(a, a + causes.gaussian() / 20.0)
        })
        .collect();
    let detector = learn(&training, &params(100, 1));
    let mut n_wrong = 0;
    for index in 0..200 {
        let a = 0.8 + f64::from(index % 8) / 10.0;
        let prediction = detector.assess(&event(detector.schema(), &row(a, -a)));
        assert!(prediction.is_anomaly, "{prediction:?}");
        n_wrong += usize::from(!["x0", "x1"].contains(&&*prediction.attributions[0].feature));
    }
    assert!(n_wrong <= 2, "{n_wrong} of 200");
}

/// Two sensors that rise together beyond the training are named, and not the one that stays.
///
/// Seen to fail where the value that fits least always takes the blame.
#[test]
fn values_beyond_the_training_are_named_and_not_those_that_stay() {
    let mut draws = Draws::new(7);
    let mut row = |fault: f64| {
        let load = draws.gaussian();
        let mut noise = || draws.gaussian();
        vec![load + noise() + fault, noise() - load, load + noise() + fault]
    };
    let training: Vec<Vec<f64>> = (0..5_000).map(|_| row(0.0)).collect();
    let detector = learn(&training, &params(100, 1));
    let n_named = (0..100)
        .filter(|_| {
            let prediction = detector.assess(&event(detector.schema(), &row(9.0)));
            assert!(prediction.is_anomaly, "{prediction:?}");
            *prediction.attributions[0].feature != *"x1"
        })
        .count();
    assert!(n_named >= 99, "{n_named} of 100");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, rng_seed: RngSeed::Fixed(13), ..ProptestConfig::default() })]

    /// Seen to fail without the two views.
    #[test]
    fn a_value_a_range_beyond_the_training_is_found_and_named_first(
        n_features in prop_oneof![1..9_usize, 9..40_usize],
        n_trees in 20..200_usize,
        seed: u64,
    ) {
        let mut machine = Machine::new(n_features, seed);
        let training = machine.rows(1_500);
        let detector = learn(&training, &params(n_trees, seed));
        let (mut n_found, mut n_named) = (0, 0);
        for index in 0..100 {
            let mut row = machine.row();
            let feature = index % n_features;
            let column = training.iter().map(|row| row[feature]);
            let lowest = column.clone().fold(f64::INFINITY, f64::min);
            let highest = column.fold(f64::NEG_INFINITY, f64::max);
            let range = highest - lowest;
            row[feature] = if index % 2 == 0 { highest + range } else { lowest - range };
            let prediction = detector.assess(&event(detector.schema(), &row));
            n_found += usize::from(prediction.is_anomaly && prediction.evidence == Some(Evidence::Outside));
            let name = &detector.schema().features()[feature].name;
            n_named += usize::from(prediction.attributions.first().is_some_and(|first| first.feature == *name));
            prop_assert_eq!(prediction.outside.iter().filter(|excess| excess.feature == *name).count(), 1);
        }
        prop_assert!(n_found >= 99 && n_named >= 99, "{} found, {} named of 100", n_found, n_named);
    }

    /// Seen to fail with a forest that sends missing values left.
    #[test]
    fn missing_values_raise_no_false_alarms(seed: u64, holes_in_training in prop_oneof![Just(0.0), Just(0.05)]) {
        let mut machine = Machine::new(4, seed);
        let mut training = machine.rows(3_000);
        let mut draws = Draws::new(seed ^ 1);
        for value in training.iter_mut().flatten() {
            if draws.uniform() < holes_in_training {
                *value = f64::NAN;
            }
        }
        let detector = learn(&training, &params(100, seed));
        for n_missing in 0..=2 {
            let unseen = with_holes(machine.rows(4_000), n_missing, &mut draws);
            let measured = share_of_anomalies(&detector, &unseen);
            // 1.3 times the rate that was asked for, and three deviations of the count.
            prop_assert!(measured < 0.013 + 3.0 * (0.013_f64 / 4_000.0).sqrt(), "{} with {}", measured, n_missing);
        }
    }

    /// Seen to fail with a training that keeps all rows: none is found then.
    #[test]
    fn absurd_rows_in_training_blind_nothing(
        seed: u64,
        share in prop_oneof![Just(0.0002), Just(0.01), Just(0.05)],
        absurd in prop_oneof![Just(9_999.0), Just(-9_999.0), Just(1e6)],
    ) {
        let mut machine = Machine::new(5, seed);
        let mut training = machine.rows(5_000);
        let mut draws = Draws::new(seed ^ 2);
        let mut n_absurd = 0;
        for (index, row) in training.iter_mut().enumerate() {
            if index == 0 || draws.uniform() < share {
                row[index % 5] = absurd;
                n_absurd += 1;
            }
        }
        let detector = learn(&training, &params(100, seed));
        prop_assert_eq!(detector.meta().left_out_rows, n_absurd);
        prop_assert_eq!(detector.meta().left_out[0].row, 1);
        let mut faults = machine.rows(100);
        for (index, row) in faults.iter_mut().enumerate() {
            row[index % 5] += if index % 2 == 0 { 12.0 } else { -12.0 };
        }
        prop_assert!(share_of_anomalies(&detector, &faults) >= 0.99);
        prop_assert!(share_of_anomalies(&detector, &machine.rows(3_000)) < 0.02);
    }

    /// Seen to fail without the two views.
    #[test]
    fn a_constant_that_moves_is_an_anomaly(seed: u64, constant in -1e6..1e6_f64, move_by in -1.0..1.0_f64) {
        prop_assume!(move_by.abs() > 1e-3);
        let mut machine = Machine::new(3, seed);
        let mut training = machine.rows(500);
        for row in &mut training {
            row[1] = constant;
        }
        let detector = learn(&training, &params(50, seed));
        let mut row = machine.row();
        row[1] = constant;
        let still = detector.assess(&event(detector.schema(), &row));
        prop_assert!(still.outside.iter().all(|excess| &*excess.feature != "x1"));
        row[1] = constant + move_by;
        let moved = detector.assess(&event(detector.schema(), &row));
        prop_assert!(moved.is_anomaly, "{:?}", moved);
        prop_assert_eq!(&*moved.attributions[0].feature, "x1");
        let reason = detector.reasons(&moved);
        prop_assert!(reason.contains(", constant at ") && reason.contains(" in training"), "{}", reason);
    }

    /// Seen to fail without a bound of its own for constants: rows in which one bit moved are as strange then as a
    /// sensor that reads a million, and hide it.
    #[test]
    fn many_bits_that_moved_once_hide_no_sensor(seed: u64, n_bits in 10..40_usize) {
        let mut machine = Machine::new(4, seed);
        let with_bits = |index: usize, mut row: Vec<f64>| {
            row.extend((0..n_bits).map(|bit| f64::from(u8::from(index == 97 * bit))));
            row
        };
        let training: Vec<Vec<f64>> =
            (0..5_000).map(|index| with_bits(index, machine.row())).collect();
        let detector = learn(&training, &params(50, seed));
        for (index, beyond) in [1e6, -1e6, 1e4].into_iter().enumerate() {
            let mut row = with_bits(usize::MAX, machine.row());
            row[index] = beyond;
            let prediction = detector.assess(&event(detector.schema(), &row));
            prop_assert!(prediction.is_anomaly, "{:?}", prediction);
            let name = format!("x{index}");
            prop_assert_eq!(&*prediction.attributions[0].feature, &*name);
        }
    }

    /// Pushing a value further out withdraws no alarm that it has raised by lying outside.
    #[test]
    fn no_alarm_is_withdrawn_by_a_value_further_out(seed: u64, n_features in 1..12_usize) {
        let mut machine = Machine::new(n_features, seed);
        let detector = learn(&machine.rows(600), &params(40, seed));
        for index in 0..20 {
            let mut row = machine.row();
            let feature = index % n_features;
            let direction = if index % 2 == 0 { 1.0 } else { -1.0 };
            let mut was_anomaly = false;
            let mut previous = 1.0;
            for step in [4.0, 6.0, 9.0, 15.0, 40.0, 1e3, 1e6, 1e12, 1e300] {
                row[feature] = machine.levels[feature] + direction * step;
                let judged = detector.judge_row(&row);
                prop_assert!(judged.is_anomaly || !was_anomaly, "{} {}", feature, step);
                prop_assert!(judged.p_value <= previous + 0.02, "{} {}", feature, step);
                was_anomaly = judged.is_anomaly;
                previous = judged.p_value;
            }
            prop_assert!(was_anomaly);
        }
    }

    /// Whatever is missing, an answer is finite and the same alone and in a batch.
    #[test]
    fn answers_are_finite_whatever_the_row(
        seed: u64,
        n_features in 1..20_usize,
        holes in 0.0..0.5_f64,
        values in prop::collection::vec(
            prop_oneof![Just(f64::NAN), Just(0.0), Just(-0.0), Just(5e-324), Just(1e308), Just(-1e308), -1e3..1e3_f64],
            20,
        ),
    ) {
        let mut machine = Machine::new(n_features, seed);
        let mut draws = Draws::new(seed ^ 3);
        let mut training = machine.rows(200);
        for value in training.iter_mut().flatten() {
            if draws.uniform() < holes {
                *value = f64::NAN;
            }
        }
        let alarms = AlarmRule::FalseAlarmRate(0.05);
        let detector = learn(&training, &Params { alarms, ..params(10, seed) });
        let row = &values[..n_features];
        let prediction = detector.assess(&event(detector.schema(), row));
        prop_assert!(prediction.p_value > 0.0 && prediction.p_value <= 1.0);
        prop_assert!(prediction.anomaly_score > 0.0 && prediction.anomaly_score <= 1.0);
        for attribution in detector.explain(&event(detector.schema(), row)) {
            prop_assert!(attribution.contribution.is_finite(), "{:?}", attribution);
        }
        let twice = [row, row].concat();
        for judged in detector.judge_rows(&twice) {
            prop_assert_eq!(judged.p_value.to_bits(), prediction.p_value.to_bits());
            prop_assert_eq!(Some(judged.evidence), prediction.evidence);
        }
    }
}
