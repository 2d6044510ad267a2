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

/// Single events are called anomalies by the hundred where a plant changes.
#[tokio::test(flavor = "multi_thread")]
async fn alarms_of_a_plant_that_changes_keep_to_their_budget_and_find_faults() {
    let args = demo::Args::parse_from(["demo", "--count", "5000", "--json"]);
    let mut out = Vec::new();
    demo::run(&args, now_us, &mut out, std::future::pending()).await.unwrap();
    let report: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let number = |name: &str| report["alarms"][name].as_f64().unwrap();
    assert_eq!((number("allowed_a_day"), number("taught")), (1.0, 0.0), "{report}");
    let days = number("station_days");
    assert!((39.0..41.0).contains(&days), "{days}");
    let false_alarms = number("opened") - number("opened_at_faults");
    assert!(false_alarms <= days, "{false_alarms} in {days} days");
    assert!(report["confusion"]["false_positives"].as_f64().unwrap() > 5.0 * days, "{report}");
    assert!(
        number("faults_found") >= 0.5 * number("faults") && number("faults") >= 4.0,
        "{report}"
    );
    assert!(report["duplicates"].as_u64().unwrap() >= 10, "some are sent twice");
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
async fn programs_hear_the_report_of_the_demo_alone() {
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("demo.html");
    let report_text = report.display().to_string();
    let args = ["demo", "--count", "100", "--json", "--report", &report_text];
    let mut out = Vec::new();
    let args = demo::Args::parse_from(args);
    demo::run(&args, now_us, &mut out, std::future::pending()).await.unwrap();
    let said: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(said["stored"], 100);
    assert!(std::fs::read_to_string(report).unwrap().contains("station_008 truth"));
}

/// Hands on what is written.
struct Told(tokio::sync::mpsc::UnboundedSender<String>);

impl std::io::Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_that_is_kept_shows_which_station_is_sick_since_when_and_why() {
    let args = demo::Args::parse_from(["demo", "--keep"]);
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let mut page = String::new();
    let stop = async {
        let mut said = String::new();
        let url = loop {
            let piece: String = told.recv().await.unwrap();
            said += &piece;
            if let Some((_, rest)) = said.split_once("open http://")
                && let Some((address, _)) = rest.split_once(" in a browser")
            {
                break format!("http://{address}");
            }
        };
        // The hour is being sent; the page tells when it has come far enough.
        let client = simulate::http_client().unwrap();
        while !page.contains("station_003 is sick") {
            page = client.get(&url).send().await.unwrap().text().await.unwrap();
        }
    };
    demo::run(&args, now_us, &mut Told(tell), stop).await.unwrap();
    let card = page.split("id=\"card-station_003\"").nth(1).unwrap();
    let card = card.split("</article>").next().unwrap();
    assert!(card.contains("In alarm since <time") && card.contains(", normally "), "{card}");
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
    assert!(
        error.contains("does not measure pressure") && error.contains("--replay FILE.csv"),
        "{error}"
    );
    // Its own recording can be sent, and sent again without being stored again.
    let csv = csv.display().to_string();
    let report = plant.simulate(&["--replay", &csv]).await.unwrap();
    assert_eq!((report.stored, report.duplicates), (300, 0));
    let report = plant.simulate(&["--replay", &csv]).await.unwrap();
    assert_eq!((report.stored, report.duplicates), (0, 300));
}
