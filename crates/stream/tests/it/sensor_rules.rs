//! Sensors that fail.

use stream::SensorFaultKind::{AtLimit, Dropout, Moves, Silent, Stuck};
use stream::{SensorFaultKind, SensorRules, SensorWatch};

/// The sensors of a row: one that moves between 0 and 10, a switch that stays for 5 rows, a constant, and one that is never there.
const N_SENSORS: usize = 4;
const N_WARM_UP: i64 = 400;

fn row(t: i64) -> [f64; N_SENSORS] {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let wave = 5.0 + 5.0 * (t as f64 * 0.7).sin();
    [wave, if t / 5 % 2 == 0 { 0.0 } else { 1.0 }, 7.0, f64::NAN]
}

fn learn() -> (SensorRules, SensorWatch) {
    let rows: Vec<f64> = (0..N_WARM_UP).flat_map(row).collect();
    let times: Vec<i64> = (0..N_WARM_UP).collect();
    SensorRules::learn(&times, &rows)
}

/// Takes rows in which one sensor has other values; returns the row that tells its fault, and the fault.
fn first_fault(sensor: usize, values: impl Fn(i64) -> f64) -> Option<(i64, SensorFaultKind, i64)> {
    let (rules, mut watch) = learn();
    (N_WARM_UP..N_WARM_UP + 1_000).find_map(|t| {
        let mut row = row(t);
        row[sensor] = values(t);
        watch.advance(&rules, t, &row);
        let fault = watch.faults(&rules).next()?;
        assert_eq!(fault.sensor, sensor);
        Some((t, fault.kind, fault.since))
    })
}

#[test]
fn each_kind_of_fault_is_told_with_its_beginning() {
    let from = N_WARM_UP;
    // A wave has no two equal values, a switch five.
    for (sensor, value, n_rows, kind) in [
        (0, 5.5, 8 + 64, Stuck),
        (0, 12.0, 2 + 16, AtLimit),
        (0, 99.0, 1 + 2, AtLimit),
        (0, -2.0, 2 + 16, AtLimit),
        (0, -11.0, 1 + 2, Dropout),
        (1, 0.0, 8 * 5 + 64, Stuck),
        (0, f64::NAN, 64, Silent),
        (2, f64::NAN, 64, Silent),
    ] {
        let told = first_fault(sensor, |_| value);
        assert_eq!(told, Some((from + n_rows, kind, from)), "{value} of sensor {sensor}");
    }
    let moves = first_fault(2, |t| if t % 2 == 0 { 8.0 } else { 7.0 });
    assert_eq!(moves, Some((from + 4, Moves, from)), "three of five");
    assert_eq!(first_fault(0, |t| row(t)[0]), None, "healthy");
    assert_eq!(first_fault(3, |_| 1.0), None, "nothing is known of it");
    assert_eq!(first_fault(2, |t| if t % 50 == 0 { 8.0 } else { 7.0 }), None, "single values");
}

#[test]
fn a_fault_ends_when_the_sensor_is_well() {
    let (rules, mut watch) = learn();
    let mut faults_after = |rows: std::ops::Range<i64>, stuck: f64| {
        for t in rows {
            let [wave, switch, ..] = row(t);
            let values = if stuck.is_nan() { row(t) } else { [stuck, switch, wave, f64::NAN] };
            watch.advance(&rules, t, &values);
        }
        watch.faults(&rules).map(|fault| fault.kind).collect::<Vec<_>>()
    };
    assert_eq!(faults_after(400..500, 3.0), [Stuck, Moves]);
    assert_eq!(faults_after(500..501, f64::NAN), [Moves], "the constant was another four rows ago");
    assert_eq!(faults_after(501..505, f64::NAN), []);
}

#[test]
fn a_value_that_was_settled_is_no_fault() {
    let (rules, mut watch) = learn();
    let mut faults = |rows: std::ops::Range<i64>, settles: bool| {
        for t in rows {
            let [_, switch, ..] = row(t);
            let constant = if t % 2 == 0 { 8.0 } else { 7.0 };
            watch.advance(&rules, t, &[12.0, switch, constant, f64::NAN]);
        }
        let kinds: Vec<_> = watch.faults(&rules).map(|fault| fault.kind).collect();
        if settles {
            watch.settle(&rules);
            assert_eq!(watch.faults(&rules).next(), None);
        }
        kinds
    };
    assert_eq!(faults(400..450, true), [AtLimit, Moves]);
    assert_eq!(faults(450..1_000, false), [Moves], "a constant that still moves");
}

#[test]
fn a_constant_with_a_new_value_is_told_until_that_is_usual() {
    let (rules, mut watch) = learn();
    let told: Vec<i64> = (400..600)
        .filter(|&t| {
            let [wave, switch, ..] = row(t);
            watch.advance(&rules, t, &[wave, switch, 9.0, f64::NAN]);
            watch.faults(&rules).next().is_some()
        })
        .collect();
    assert_eq!((told.first(), told.last()), (Some(&402), Some(&462)));
}
