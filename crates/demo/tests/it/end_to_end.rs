//! Train, serve, simulate: faults are found, healthy stations are left alone, nothing is lost.

use clap::Parser as _;

use crate::{Plant, now_us};

#[tokio::test(flavor = "multi_thread")]
async fn spikes_are_found_and_everything_is_stored_once() {
    let plant = Plant::new(&[]).await;
    let args = [
        "--count",
        "3000",
        "--interval",
        "0",
        "--concurrency",
        "64",
        "--stations",
        "8",
        "--anomaly-rate",
        "0.3",
    ];
    let report = plant.simulate(&args).await.unwrap();
    assert_eq!((report.sent, report.stored, report.refused, report.failed), (3_000, 3_000, 0, 0));
    let spikes = report.detection["spike"];
    assert!(spikes.events > 100);
    let recall = spikes.detected as f64 / spikes.events as f64;
    assert!(recall >= 0.95, "{spikes:?}");

    // Events are new by their time, so a second run is stored too.
    let report = plant.simulate(&args).await.unwrap();
    assert_eq!((report.stored, report.duplicates), (3_000, 0));
    let (_dir, database) = plant.stop().await;
    let n_rows: u32 =
        database.query_row("SELECT count(*) FROM predictions", [], |row| row.get(0)).unwrap();
    assert_eq!(n_rows, 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn false_alarms_stay_within_twice_the_rate_that_was_asked_for() {
    let plant = Plant::new(&[]).await;
    let args = [
        "--count",
        "20000",
        "--interval",
        "0",
        "--concurrency",
        "64",
        "--stations",
        "16",
        "--anomaly-rate",
        "0",
    ];
    let report = plant.simulate(&args).await.unwrap();
    assert_eq!(report.stored, 20_000);
    let rate = report.false_alarm_rate.unwrap();
    assert!(rate > 0.005 && rate < 0.02, "{rate}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_with_a_report_and_anomalies_with_their_reasons() {
    let args = demo::Args::parse_from(["demo", "--count", "300"]);
    let mut out = Vec::new();
    demo::run(&args, now_us, &mut out, std::future::pending()).await.unwrap();
    let said = String::from_utf8(out).unwrap();
    for part in [
        "== train",
        "threshold ",
        "== server: listening on http://127.0.0.1:",
        "300 stored",
        "recall",
        "because of ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plant_does_not_send_to_a_model_of_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("pump.csv");
    let rows = (0..300_u32).fold(String::from("pressure\n"), |text, i| {
        format!("{text}{}\n", i.wrapping_mul(2_654_435_761) % 1_000)
    });
    std::fs::write(&csv, rows).unwrap();
    let plant = Plant::new(&["--input", &csv.display().to_string()]).await;
    let error = plant.simulate(&["--count", "1"]).await.unwrap_err().to_string();
    assert!(error.contains("wants pressure") && error.contains("--replay FILE.csv"), "{error}");
    // Its own recording can be sent, and sent again without being stored again.
    let csv = csv.display().to_string();
    let report = plant.simulate(&["--replay", &csv]).await.unwrap();
    assert_eq!((report.stored, report.duplicates), (300, 0));
    let report = plant.simulate(&["--replay", &csv]).await.unwrap();
    assert_eq!((report.stored, report.duplicates), (0, 300));
}
