//! Situations of real plants, in which an isolation forest alone is wrong in silence.

use std::path::PathBuf;

use clap::Parser as _;

use crate::{now_us, shared_dir, text};

/// The words of `train`, and the lines of `score`: number, score, p-value, anomaly, evidence.
struct Outcome {
    told: String,
    scores: Vec<Vec<String>>,
}

impl Outcome {
    /// Trains on a file of a case and scores its events; `None` when the case is not there.
    #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
    fn of(case: &str, input: &str) -> Option<Self> {
        let folder: PathBuf = shared_dir().join("cases").join(case);
        if !folder.exists() {
            println!("skipped: {} is not there (set SHARED_DIR)", folder.display());
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let models = text(dir.path());
        let input = text(&folder.join(input));
        let args = ["train", "--input", &input, "--model-dir", &models, "--data-dir", &models];
        let mut told = Vec::new();
        train::run(&train::Args::parse_from(args), now_us(), &mut told).unwrap();
        let events = text(&folder.join("events.csv"));
        let args = score::Args::parse_from(["score", "--model-dir", &models, "--input", &events]);
        let mut scores = Vec::new();
        score::run(&args, std::io::empty(), &mut scores, &mut std::io::sink()).unwrap();
        let lines = String::from_utf8(scores).unwrap();
        let cells = |line: &str| line.split(',').map(String::from).collect();
        Some(Self {
            told: String::from_utf8(told).unwrap(),
            scores: lines.lines().skip(1).map(cells).collect(),
        })
    }

    /// Returns the numbers of the rows that are anomalies.
    fn anomalies(&self) -> Vec<&str> {
        let anomalies = self.scores.iter().filter(|cells| cells[3] == "true");
        anomalies.map(|cells| &*cells[0]).collect()
    }
}

#[test]
fn a_value_that_stands_for_no_reading_is_not_learnt() {
    let Some(outcome) = Outcome::of("16-sentinel-learnt", "input.csv") else { return };
    let named = "left out: 6 rows with a value far beyond all others: `temp_c` is -9999 in 6 rows, first in line 5;";
    assert!(outcome.told.contains(named), "{}", outcome.told);
    assert_eq!(outcome.anomalies(), ["1"], "-9999 is an anomaly, and 70 is none");
}

#[test]
fn one_absurd_row_blinds_nothing() {
    for input in ["clean.csv.gz", "one-row-9999.csv.gz"] {
        let Some(outcome) = Outcome::of("17-one-absurd-row-blinds", input) else { return };
        assert_eq!(outcome.anomalies(), ["2", "3", "4", "5", "6"], "{input}");
        let is_named = outcome.told.contains("`s0` is 9999 in line 2501");
        assert_eq!(is_named, input != "clean.csv.gz", "{}", outcome.told);
    }
}

#[test]
fn one_sensor_of_eight_that_is_far_out_is_found() {
    let Some(outcome) = Outcome::of("18-one-sensor-far-out", "eight.csv.gz") else { return };
    assert_eq!(outcome.anomalies().len(), 24);
    assert!(outcome.scores.iter().all(|cells| cells[4] == "outside"), "{:?}", outcome.scores);
}
