//! The stream against its definition: golden streams of a reference implementation.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use stream::{Model, Params, WarmedUp};

/// Of surprises and thresholds.
const TOLERANCE: f64 = 1e-6;

/// Reads a gzipped table of numbers, whose first line is titles; an empty cell is NaN.
fn table(path: &Path) -> Vec<Vec<f64>> {
    let mut text = String::new();
    GzDecoder::new(File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let number = |cell: &str| if cell.is_empty() { f64::NAN } else { cell.parse().unwrap() };
    text.lines().skip(1).map(|line| line.split(',').map(number).collect()).collect()
}

fn golden_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let shared = std::env::var("SHARED_DIR").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    shared.join("prototypes/stream/golden")
}

#[test]
fn streams_are_judged_as_the_reference_judges_them() {
    let dir = golden_dir();
    if !dir.exists() {
        println!("skipped: {} is not there", dir.display());
        return;
    }
    for (name, n_warm_up) in [("pump", 400), ("daily", 600), ("plant", 400)] {
        let rows = table(&dir.join(format!("{name}_in.csv.gz")));
        let rows: Vec<&[f64]> = rows.iter().map(|row| &row[1..]).collect();
        let expected = table(&dir.join(format!("{name}_out.csv.gz")));
        let (warm_up, others) = rows.split_at(n_warm_up);
        // The reference takes values as they are.
        let params = Params { resolution: 0.0, ..Params::default() };
        let learnt = Model::learn(&warm_up.concat(), warm_up[0].len(), &params).unwrap();
        let WarmedUp { model, mut watch, .. } = learnt;
        assert_eq!(others.len(), expected.len());
        let mut n_alarms = 0;
        for (row, expected) in others.iter().zip(&expected) {
            let step = watch.advance(&model, row);
            let found = [step.views.as_slice(), &[step.surprise, step.threshold]].concat();
            for (found, expected) in found.iter().zip(&expected[1..]) {
                let is_near = (found - expected).abs() <= TOLERANCE;
                assert!(is_near, "{name}: {found} for {expected} in {step:?}");
            }
            assert_eq!(step.is_alarm, expected[7] == 1.0, "{name}, row {}", expected[0]);
            n_alarms += usize::from(step.is_alarm);
        }
        assert!(n_alarms > 0, "{name} has alarms");
    }
}
