//! A look at a file before a training.

use std::fs;

use recording::Profile;

use super::{Workshop, rows, run};

#[test]
fn a_file_is_described_and_its_profile_reads_it_in_the_same_way() {
    let workshop = Workshop::new();
    let row = |row: usize| {
        let pressure =
            if row == 7 { String::from("n.d.") } else { format!("{},5", row * 37 % 101) };
        format!(
            "02.03.2026 00:{:02}:{:02};{pressure};{};RUN;{}\n",
            row / 60,
            row % 60,
            row % 7,
            u8::from(row > 290)
        )
    };
    let rows: String = (0..300).map(row).collect();
    let csv = workshop.write("pump 1.csv", &format!("Datum;Druck;Fluss;Zustand;label\n{rows}"));
    let profile = workshop.path("pump.toml").display().to_string();
    let report = workshop.path("pump.html").display().to_string();
    let inspect = ["inspect", &csv, "--na-values", "n.d.", "--save", &profile, "--report", &report];
    let said = run(&inspect).unwrap();
    for part in [
        "file         `pump 1.csv`, 300 rows",
        "read as      times from `Datum`",
        "2026-03-02T00:00:00Z to 2026-03-02T00:04:50Z",
        "Druck    feature          0,5",
        "0.5 to 100.5, 1 missing",
        "Zustand  left out         RUN",
        "warning: left out: 9 rows labelled anomalous",
        "missing = \"allow\"",
        "next         train --input '",
        "score --evaluate --input '",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let saved = Profile::from_toml(&fs::read_to_string(&profile).unwrap()).unwrap();
    assert_eq!((saved.separator, saved.na_values), (Some(b';'), vec![String::from("n.d.")]));
    let said = workshop.train(&["--input", &csv, "--profile", &profile]).unwrap();
    assert!(said.contains("rows         291 learnt, 0 left out, 0 bad"), "{said}");
    let page = fs::read_to_string(&report).unwrap();
    assert_eq!(page.matches("<svg class=\"sparkline\"").count(), 3, "{page}");
    assert!(!page.contains("/tmp"), "a page may be given away");
}

#[test]
fn what_would_stop_a_training_is_said_and_what_has_two_readings_refused() {
    let workshop = Workshop::new();
    let csv = workshop.write("a.csv", "x,y\n1,2\noops,3\n4,5\n");
    let said = run(&["inspect", &csv]).unwrap();
    assert!(said.contains("1 no numbers, from line 3 on: `oops`"), "{said}");
    assert!(said.contains("warning: training stops at 1 bad row"), "{said}");
    let csv = workshop.write("b.csv", "only\nwords\n");
    let said = run(&["inspect", &csv]).unwrap();
    assert!(said.contains("warning: training would stop: "), "{said}");
    let csv = workshop.write("c.csv", "1,2\n3,4\n");
    assert!(run(&["inspect", &csv]).unwrap_err().contains("--header no"));
    let error = run(&["inspect", &csv, "--header", "no", "--save", &csv]).unwrap_err();
    assert!(error.contains("would be replaced"), "{error}");
    let folder = workshop.path("").display().to_string();
    assert!(run(&["inspect", &folder]).unwrap_err().contains("inspect one of its files"));
    assert!(run(&["inspect", "-"]).unwrap_err().contains("save it as a file first"));
}

/// Its tags stand one after the other, as many exports have them.
#[test]
fn a_table_of_tags_is_described_without_flags() {
    let workshop = Workshop::new();
    let row = |row: usize| {
        let (tag, second) = (["TI101", "PI7"][row / 500], row % 500);
        format!("2026-01-02 00:{:02}:{:02},{tag},{}.5\n", second / 60, second % 60, row * 37 % 101)
    };
    let csv = String::from("timestamp,tag,value\n") + &(0..1_000).map(row).collect::<String>();
    let csv = workshop.write("a.csv", &csv);
    let said = run(&["inspect", &csv]).unwrap();
    for part in [
        "`a.csv`, 500 rows",
        "2 names in `tag`",
        "every 1s",
        "long = [\"tag\", \"value\"]",
        "--long tag,value",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = workshop.train(&["--input", &csv, "--long", "tag,value"]).unwrap();
    assert!(said.contains("rows         500 learnt"), "{said}");
}

#[test]
fn strict_training_writes_nothing_when_there_is_a_warning() {
    let workshop = Workshop::new();
    let csv = workshop.write("a.csv", &rows(300));
    let error = workshop.train(&["--input", &csv, "--strict"]).unwrap_err();
    assert!(error.contains("--strict"), "{error}");
    assert!(!workshop.path("models").exists() && !workshop.path("data").exists());
    let said = workshop.train(&["--input", &csv, "--strict", "--features", "b"]).unwrap();
    assert!(!said.contains("warning"), "{said}");
}
