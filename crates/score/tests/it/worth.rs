//! The worth of a model: its scores against labels, and against those of another.

use std::fs;

use clap::Parser as _;
use detector::{Detector, ForestParams, Params};
use score::Args;

use super::{Place, event, values};

/// 300 rows a minute apart of two stations: of `north`, the rows 100 to 109 are labelled and out of range; of `south`, row 50 is
/// labelled and usual, and row 200 is out of range and not labelled.
fn labelled_rows() -> String {
    let row = |index: u32| {
        let (station, number) = (["north", "south"][(index % 2) as usize], index / 2);
        let is_out = station == "north" && (100..110).contains(&number)
            || (station, number) == ("south", 200);
        let is_labelled = station == "north" && (100..110).contains(&number)
            || (station, number) == ("south", 50);
        let [pressure, flow] = values(number as usize);
        let pressure = if is_out { pressure + 1_000.0 } else { pressure };
        let (label, time) =
            (u8::from(is_labelled), format!("2026-01-02 {:02}:{:02}", number / 60, number % 60));
        format!("{time},{station},{pressure},{flow},{label}\n")
    };
    String::from("time,station,pressure,flow,label\n") + &(0..600).map(row).collect::<String>()
}

#[test]
fn labels_and_scores_are_compared() {
    let place = Place::new();
    place.write("rows.csv", labelled_rows().as_bytes());
    let (out, _) = place.score("rows.csv", &["--evaluate"]).unwrap();
    assert!(
        out.starts_with("rows         600 of 2 stations, 11 of them anomalous in 2 faults\n"),
        "{out}"
    );
    assert!(out.contains("\nmodel        ROC AUC 0.9"), "{out}");
    assert!(out.contains("1 of 2"), "{out}");

    let (out, _) = place.score("rows.csv", &["--evaluate", "--json"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let called = &report["at_threshold"];
    assert_eq!((&report["faults"], &called["faults_found"]), (&2.into(), &1.into()));
    assert_eq!((&called["delay_rows"], &called["false_episodes"]), (&0.into(), &1.into()));
    assert_eq!(called["recall"], 10.0 / 11.0);
    // Two stations for five hours each.
    let a_day = called["false_episodes_a_day"].as_f64().unwrap();
    assert!((a_day - 24.0 / 10.0).abs() < 1e-9, "{a_day}");
    assert_eq!(report["at_rates"][0]["false_alarm_rate"], 0.003);

    let fails = |csv: &str| {
        place.write("bad.csv", csv.as_bytes());
        place.score("bad.csv", &["--evaluate"]).unwrap_err().to_string()
    };
    let error = fails("pressure,flow\n1,2\n");
    assert!(error.contains("has labels; name it with --label-column"), "{error}");
    let error = fails("pressure,flow,label\n1,2,0\n");
    assert!(error.contains("1 row labelled normal and 0 labelled anomalous"), "{error}");
    place.write("bad.csv", b"pressure,flow,label\n1,2,perhaps\n1,2,0\n1,2,\n9,9,1\n");
    let (out, told) = place.score("bad.csv", &["--evaluate", "--skip-bad"]).unwrap();
    assert!(
        out.starts_with(
            "rows         2 of 1 station, 1 of them anomalous in 1 fault; 1 without a label"
        ),
        "{out}"
    );
    assert!(told.contains("bad rows, which have no scores: 1"), "{told}");
    let error = fails("pressure,flow,label\n1,2,perhaps\n");
    assert!(error.contains("bad.csv:2: column 3 (label) is neither 0 nor 1"), "{error}");
}

#[test]
fn labels_may_be_in_a_file_of_their_own() {
    let place = Place::new();
    place.write("labelled.csv", labelled_rows().as_bytes());
    let (expected, _) = place.score("labelled.csv", &["--evaluate"]).unwrap();
    let rows = labelled_rows();
    let without: String =
        rows.lines().map(|row| row.rsplit_once(',').unwrap().0.to_owned() + "\n").collect();
    place.write("rows.csv", without.as_bytes());
    let label = |row: &str| String::from(row.rsplit_once(',').unwrap().1);
    let of_rows: Vec<String> = rows.lines().map(label).collect();
    let of_times = |row: &str| {
        let cells: Vec<&str> = row.split(',').collect();
        format!("{};{};{}\n", cells[0], cells[1], cells[4])
    };
    let windows = "station;Start;End\nnorth;02.01.2026 01:40;02.01.2026 01:49\nsouth;02.01.2026 00:50;02.01.2026 00:50\n";
    for (name, labels, flags) in [
        ("rows", of_rows.join("\n"), &[][..]),
        ("times", rows.lines().map(of_times).collect(), &[]),
        ("windows", String::from(windows), &["--time-format", "%d.%m.%Y %H:%M"]),
    ] {
        place.write(name, labels.as_bytes());
        let path = place.dir.path().join(name).display().to_string();
        let flags = [&["--evaluate", "--labels", &path], flags].concat();
        // The format is that of both files.
        let rows = if name == "windows" {
            place.write("day-first.csv", without.replace("2026-01-02", "02.01.2026").as_bytes());
            "day-first.csv"
        } else {
            "rows.csv"
        };
        assert_eq!(place.score(rows, &flags).unwrap().0, expected, "{name}");
    }
    let fails = |labels: &str, rows: &str| {
        place.write("labels", labels.as_bytes());
        place.write("some.csv", rows.as_bytes());
        let path = place.dir.path().join("labels").display().to_string();
        place.score("some.csv", &["--evaluate", "--labels", &path]).unwrap_err().to_string()
    };
    let error = fails("label\n1\n0\n", "pressure,flow\n1,2\n");
    assert!(error.contains("has 2 labels, for 1 row:"), "{error}");
    let error = fails("start,end\n2026-01-02,2026-01-03\n", "pressure,flow\n1,2\n");
    assert!(error.contains("does not say when its rows were measured"), "{error}");
    assert!(fails("x\n1\n", "pressure,flow\n1,2\n").contains("has no labels: it needs"));
    let error = fails("start,end\n2026-01-03,2026-01-02\n", "time,pressure,flow\n2026-01-02,1,2\n");
    assert!(error.contains("window 1 ends before it begins"), "{error}");
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let several = ["--evaluate", "--labels", &path("rows"), "--input", &path("rows.csv")];
    let error = place.score("rows.csv", &several).unwrap_err().to_string();
    assert!(error.contains("a label for each row of one file"), "{error}");
    let page = ["--evaluate", "--report", &path("labelled.csv")];
    let error = place.score("labelled.csv", &page).unwrap_err().to_string();
    assert!(error.contains("would be replaced"), "{error}");
}

#[test]
fn several_recordings_are_measured_alone_and_together() {
    let place = Place::new();
    place.write("a.csv", labelled_rows().as_bytes());
    let normal = labelled_rows().lines().take(200).collect::<Vec<_>>().join("\n");
    place.write("b.csv", normal.as_bytes());
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let page = path("page.html");
    let flags = ["--evaluate", "--report", &page, "--input", &path("a.csv"), &path("b.csv")];
    let (out, _) = place.score("a.csv", &flags).unwrap();
    assert!(out.starts_with("recording"), "{out}");
    assert_eq!(out.matches("a.csv         600").count(), 2, "{out}");
    // Equal stations of two files are two.
    assert!(
        out.contains("rows         1,399 of 6 stations, 23 of them anomalous in 5 faults"),
        "{out}"
    );
    let page = fs::read_to_string(&page).unwrap();
    for part in ["ROC curve", "Worst misses", "Worst false alarms", "strangeness in nats"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains(&path("")), "a page may be given away");
    let error = place.score("a.csv", &["--input", &path("b.csv")]).unwrap_err().to_string();
    assert!(error.contains("several files can be evaluated"), "{error}");
}

#[test]
fn two_models_are_compared_on_the_same_rows() {
    let place = Place::new();
    place.write("rows.csv", labelled_rows().as_bytes());
    // A model of the first feature alone does not see what is wrong with the second.
    let schema = sensor::FeatureSchema::new(vec![sensor::Feature::named("flow")]).unwrap();
    let events: Vec<_> = (0..500).map(|row| event(&schema, row, &values(row)[1..])).collect();
    let forest = ForestParams { n_trees: 20, ..ForestParams::default() };
    let params = Params { forest, ..Params::default() };
    let other = Detector::fit(&schema, &events, &params, sensor::timestamp::EARLIEST_US).unwrap();
    other.save(&place.dir.path().join("other")).unwrap();
    let path = |name: &str| place.dir.path().join(name).display().to_string();
    let compare = |other: &str, flags: &[&str]| {
        let folders = [path("models"), path(other), path("rows.csv")];
        let all = ["score", "compare", &folders[0], &folders[1], "--input", &folders[2]];
        let args = Args::try_parse_from(all.iter().chain(flags)).unwrap();
        let (mut out, mut told) = (Vec::new(), Vec::new());
        score::run(&args, &b""[..], &mut out, &mut told).unwrap();
        String::from_utf8(out).unwrap()
    };
    let out = compare("other", &[]);
    assert!(out.contains("of 600 rows by both"), "{out}");
    assert!(out.contains("A alone      row "), "{out}");
    assert!(out.contains("pressure"), "the reason is the pressure: {out}");
    assert!(out.contains("labels, B    ROC AUC 0."), "{out}");
    let json: serde_json::Value = serde_json::from_str(&compare("other", &["--json"])).unwrap();
    let count = |key: &str| json[key].as_u64().unwrap();
    assert_eq!(count("both") + count("a_alone") + count("b_alone") + count("neither"), 600);
    assert!(count("a_alone") >= 11, "{json}");
    assert_eq!(json["a"]["alone"].as_array().unwrap().len(), 5);
    let json: serde_json::Value = serde_json::from_str(&compare("models", &["--json"])).unwrap();
    assert_eq!((&json["agreement"], &json["kappa"]), (&1.0.into(), &1.0.into()));
    let correlation = json["rank_correlation"].as_f64().unwrap();
    assert!((correlation - 1.0).abs() < 1e-12, "{correlation}");
}
