//! The stream against its definition: golden streams of a reference implementation.

use std::cell::Cell;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use stream::{Model, Params, Step, WarmedUp, Watch};

/// Of surprises and thresholds.
const TOLERANCE: f64 = 1e-6;

/// Reads a gzipped table of numbers, whose first line is titles; an empty cell is NaN.
fn table(path: &Path) -> Vec<Vec<f64>> {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let number = |cell: &str| if cell.is_empty() { f64::NAN } else { cell.parse().unwrap() };
    text.lines().skip(1).map(|line| line.split(',').map(number).collect()).collect()
}

/// The streams, and the rows of their warm-ups.
const STREAMS: [(&str, usize); 3] = [("pump", 400), ("daily", 600), ("plant", 400)];

/// Watches a stream of a folder, and hands each step with what is expected of it to `check`.
fn watch(dir: &Path, params: &Params, check: impl Fn(&str, &Step, &[f64])) {
    for (name, n_warm_up) in STREAMS {
        let rows = table(&dir.join(format!("{name}_in.csv.gz")));
        let rows: Vec<&[f64]> = rows.iter().map(|row| &row[1..]).collect();
        let expected = table(&dir.join(format!("{name}_out.csv.gz")));
        let (warm_up, others) = rows.split_at(n_warm_up);
        let learnt = Model::learn(&warm_up.concat(), warm_up[0].len(), params).unwrap();
        let WarmedUp { model, mut watch, .. } = learnt;
        assert_eq!(others.len(), expected.len());
        for (row, expected) in others.iter().zip(&expected) {
            check(name, &watch.advance(&model, row), expected);
        }
    }
}

#[track_caller]
fn assert_near(name: &str, step: &Step, found: &[f64], expected: &[f64]) {
    for (found, expected) in found.iter().zip(expected) {
        let is_near = (found - expected).abs() <= TOLERANCE;
        assert!(is_near, "{name}: {found} for {expected} in {step:?}");
    }
}

/// The golden streams are from the reference with values and features that are rounded, and without its view of levels.
#[test]
fn streams_are_judged_as_the_reference_judges_them() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let n_alarms = Cell::new(0);
    watch(&dir, &Params::default(), |name, step, expected| {
        let found = [step.views.as_slice(), &[step.surprise, step.threshold]].concat();
        assert_near(name, step, &found, &expected[1..6]);
        assert_eq!(step.is_alarm(), expected[6] == 1.0, "{name}, row {}", expected[0]);
        n_alarms.set(n_alarms.get() + usize::from(step.is_alarm()));
    });
    assert!(n_alarms.get() > 30, "{}", n_alarms.get());
}

#[test]
fn a_watch_that_was_written_and_read_in_between_says_the_same() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let rows = table(&dir.join("plant_in.csv.gz"));
    let rows: Vec<&[f64]> = rows.iter().map(|row| &row[1..]).collect();
    let (warm_up, others) = rows.split_at(400);
    let learn = || Model::learn(&warm_up.concat(), warm_up[0].len(), &Params::default()).unwrap();
    let (first, second) = (learn(), learn());
    assert_eq!(first, second);
    let (mut watch, mut copied) = (first.watch, second.watch);
    for (index, row) in others.iter().enumerate() {
        if index % 7 == 0 {
            copied = Watch::from_bytes(&second.model, &copied.to_bytes()).unwrap();
        }
        assert_eq!(watch.advance(&first.model, row), copied.advance(&second.model, row));
    }
    assert_eq!(watch, copied);
}
