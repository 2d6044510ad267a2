//! On recordings of real machines.

use detector::Detector;
use recording::{Profile, Recording};

use crate::{Plant, shared_dir, text};

const SENSORS: &str = "Accelerometer1RMS,Accelerometer2RMS,Current,Pressure,Temperature,Thermocouple,Voltage,\
                       Volume_Flow_RateRMS";

/// Area under the ROC curve: the share of pairs of an anomalous and a normal row that scores put in
/// the right order, ties counted half.
fn roc_auc(scores: &[f64], labels: &[bool]) -> f64 {
    let of_label = |label: bool| {
        scores.iter().zip(labels).filter(move |(_, l)| **l == label).map(|(score, _)| *score)
    };
    let mut in_order = 0.0;
    for anomalous in of_label(true) {
        for normal in of_label(false) {
            in_order += if anomalous > normal {
                1.0
            } else if anomalous < normal {
                0.0
            } else {
                0.5
            };
        }
    }
    in_order / of_label(true).count() as f64 / of_label(false).count() as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_rig_is_learnt_served_and_replayed_as_offline() {
    let skab = shared_dir().join("data/skab");
    let (normal, experiment) =
        (skab.join("skab_anomaly-free.csv.gz"), skab.join("skab_valve1_00.csv.gz"));
    if !normal.exists() || !experiment.exists() {
        println!("skipped: {} is not there (set SHARED_DIR)", skab.display());
        return;
    }
    let plant = Plant::new(&["--input", &text(&normal)]).await;
    let detector = Detector::load(&plant.models()).unwrap().unwrap();
    let names: Vec<&str> =
        detector.schema().features().iter().map(|feature| &*feature.name).collect();
    assert_eq!(names.join(","), SENSORS, "`changepoint` is a label in disguise");

    let recording = Recording::open(&experiment, &Profile::default()).unwrap();
    let rows: Vec<_> =
        recording.events(detector.schema()).unwrap().map(|row| row.unwrap().unwrap()).collect();
    let labels: Vec<bool> =
        rows.iter().map(|row| row.is_anomaly.clone().unwrap().unwrap()).collect();
    let events: Vec<_> = rows.into_iter().map(|row| row.event).collect();
    let judged = detector.judge_rows(&sensor::SensorEvent::rows(&events));
    let offline: Vec<f64> = judged.iter().map(|row| row.anomaly_score).collect();

    let report =
        plant.simulate(&["--replay", &text(&experiment), "--concurrency", "16"]).await.unwrap();
    assert_eq!(report.stored, events.len() as u64);
    assert_eq!(
        report.confusion.true_positives + report.confusion.false_negatives,
        labels.iter().filter(|l| **l).count() as u64
    );

    let (_dir, database) = plant.stop().await;
    let mut statement =
        database.prepare("SELECT anomaly_score FROM predictions ORDER BY sequence").unwrap();
    let stored: Vec<f64> =
        statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    assert_eq!(stored, offline, "every row is stored once, with the score of the library");
    let auc = roc_auc(&stored, &labels);
    assert_eq!(auc, roc_auc(&offline, &labels));
}
