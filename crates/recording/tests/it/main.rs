//! Files as they come from plants, and as they should not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser;
use recording::{OpenError, Profile, RecordedEvent, Recording};
use sensor::{Feature, FeatureSchema, timestamp};
use tempfile::TempDir;

mod long;
mod tables;

fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    fs::write(&path, content).unwrap();
    (dir, path)
}

fn open(path: &Path) -> Result<Recording, OpenError> {
    Recording::open(path, &Profile::default())
}

/// A profile as the flags of a program say it.
fn profile(flags: &[&str]) -> Profile {
    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        profile: Profile,
    }
    Args::parse_from(["import"].iter().chain(flags)).profile
}

fn schema(names: &[&str]) -> FeatureSchema {
    FeatureSchema::new(names.iter().map(|name| Feature::named(name)).collect()).unwrap()
}

/// The good rows, and the messages about the bad ones without the path.
fn read(content: impl AsRef<[u8]>, schema: &FeatureSchema) -> (Vec<RecordedEvent>, Vec<String>) {
    let (dir, path) = file(content);
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for row in open(&path).unwrap().events(schema).unwrap() {
        match row.unwrap() {
            Ok(event) => good.push(event),
            Err(row) => bad.push(
                row.to_string()
                    .replace(&format!("{}", dir.path().join("a.csv").display()), "a.csv"),
            ),
        }
    }
    (good, bad)
}

#[test]
fn a_full_row_becomes_an_event() {
    let (events, bad) = read(
        "timestamp,station_id,sequence,x,label\n2026-01-02T03:04:05Z,press_1,17,1.5,1\n2026-01-02T03:04:06Z,press_2,18,-2e3,0\n",
        &schema(&["x"]),
    );
    assert_eq!(bad, [""; 0]);
    assert_eq!(events[0].event.station_id().as_str(), "press_1");
    assert_eq!(events[0].event.sequence(), 17);
    assert_eq!(timestamp::format(events[0].event.timestamp_us()), "2026-01-02T03:04:05Z");
    assert_eq!(events[0].event.values(), [1.5]);
    assert_eq!((&events[0].is_anomaly, events[0].line), (&Ok(Some(true)), 2));
    assert_eq!(events[1].event.station_id().as_str(), "press_2");
    assert_eq!((&events[1].is_anomaly, events[1].line), (&Ok(Some(false)), 3));
}

#[test]
fn missing_columns_are_made_up_in_order() {
    let (events, _) = read("x\n1\n2\n3\n", &schema(&["x"]));
    let made_up: Vec<_> = events
        .iter()
        .map(|row| {
            (
                row.event.station_id().as_str(),
                row.event.sequence(),
                timestamp::format(row.event.timestamp_us()),
            )
        })
        .collect();
    assert_eq!(made_up[0], ("a", 0, String::from("2000-01-01T00:00:00Z")));
    assert_eq!(made_up[2], ("a", 2, String::from("2000-01-01T00:00:02Z")));
    assert_eq!(events[0].is_anomaly, Ok(None));
}

#[test]
fn plain_and_gzipped_files_of_both_separators_say_the_same() {
    let expected = read("x,y\n1.5,2\n", &schema(&["x", "y"])).0;
    for content in [
        "x;y\n1.5;2\n",
        "x;y\r\n1,5;2\r\n",
        "\u{feff}x,y\n1.5,2",
        "x , y\n 1.5 , 2 \n",
        "\"x\",\"y\"\n\"1.5\",\"2\"\n",
    ] {
        assert_eq!(read(content, &schema(&["x", "y"])).0, expected, "{content:?}");
    }
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"x,y\n1.5,2\n").unwrap();
    assert_eq!(read(gzip.finish().unwrap(), &schema(&["x", "y"])).0, expected);
}

#[test]
fn every_fault_of_a_row_is_named_with_line_and_column() {
    let ranged = Feature { minimum: Some(0.0), maximum: Some(9.0), ..Feature::named("y") };
    let schema = FeatureSchema::new(vec![Feature::named("x"), ranged]).unwrap();
    let (events, bad) = read(
        b"timestamp,sequence,station_id,x,y,label\n\
          noon,-1,,high,1,maybe\n\
          2026-01-02,1,a,,1,0\n\
          2026-01-02,1,a,1\n\
          2026-01-02,1,a,\xFF,1,0\n\
          2026-01-02,1,a,1,10,0\n\
          1980-01-02,1,a,1,2,0\n\
          2026-01-02,1,a,inf,2,0\n\
          2026-01-02,2,a,3,4,0\n",
        &schema,
    );
    assert_eq!(
        bad,
        [
            "a.csv:2: column 3 (station_id) must not be empty; column 1 (timestamp) is no time between 1990 and 2100 in the format of the \
             others, or of which day is not clear; --time-format says how times are written; column 2 (sequence) is not a whole number from 0; column 4 (x) is not a number",
            "a.csv:3: column 4 (x) is empty",
            "a.csv:4: the row has 4 cells, the header has 6",
            "a.csv:5: column 4 (x) is not a number",
            "a.csv:6: column 5 (y) must be between 0 and 9",
            "a.csv:7: column 1 (timestamp) is no time between 1990 and 2100 in the format of the others, or of which day is not clear; --time-format says how times are written",
            "a.csv:8: column 4 (x) is not a number",
        ]
    );
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].line, 9);
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    for line_end in ["\n", "\r\n", "\r"] {
        for last_line_end in ["", line_end] {
            let lines = ["x,y", "", "1,a", "2,\"b", "b\"", "", "", "3,c"];
            let (events, _) = read(lines.join(line_end) + last_line_end, &schema(&["x"]));
            let found: Vec<u64> = events.iter().map(|row| row.line).collect();
            assert_eq!(found, [3, 4, 8], "{line_end:?} {last_line_end:?}");
        }
    }
    let (_, bad) = read("x,y\n1,\"2\n3,4\n", &schema(&["y"]));
    assert_eq!(bad, ["a.csv:2: column 2 (y) is not a number"]);
    let (events, _) = read("x\n1\r\n2\n3\r\n", &schema(&["x"]));
    assert_eq!(events.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn an_optional_feature_may_be_empty() {
    let optional = Feature { optional: true, ..Feature::named("x") };
    let schema =
        FeatureSchema::new(vec![optional, Feature { optional: true, ..Feature::named("y") }])
            .unwrap();
    let (events, bad) = read("x,y\n2,\n,1\nNaN,1\nN/A,1\nnull,1\n,\n", &schema);
    assert_eq!(events[0].event.values()[0], 2.0);
    assert!(events[1..].iter().all(|row| row.event.values()[0].is_nan()) && events.len() == 6);
    assert_eq!(bad, [""; 0]);
}

#[test]
fn numeric_columns_are_those_that_hold_numbers() {
    let (_dir, path) = file(
        ",time,a,b,c,d,changepoint,label\n0,2026-01-01,1,x,NaN,y,0,0\n1,2026-01-02,,2,3.5,,1,0\n",
    );
    let recording = open(&path).unwrap();
    assert_eq!(recording.feature_columns(), ["a", "b", "c", "d"]);
    // One cell that is no number is a fault of its row and does not make the sensor go away.
    assert_eq!(recording.numeric_columns().unwrap(), ["a", "b", "c"]);
    assert!(recording.has_times());
}

#[test]
fn a_truth_column_is_never_a_feature_and_may_be_unreadable() {
    let content = "x,label,changepoint\n1,attack,0\n2,normal,1\n";
    let (events, bad) = read(content, &schema(&["x"]));
    assert_eq!(bad, [""; 0]);
    let fault = events[0].is_anomaly.as_ref().unwrap_err().to_string();
    assert!(fault.contains("a.csv:2: column 2 (label) is neither 0 nor 1"), "{fault}");
    assert_eq!(events[1].is_anomaly, Ok(Some(false)));

    let (_dir, path) = file(content);
    let recording = open(&path).unwrap();
    let error = recording.events(&schema(&["changepoint"])).unwrap_err().to_string();
    assert!(error.ends_with("so it cannot be a feature"), "{error}");
}

#[test]
fn files_that_are_no_recordings_are_refused() {
    let message = |content: &[u8]| {
        let (_dir, path) = file(content);
        let error = open(&path).unwrap_err();
        error.to_string().replace(&path.display().to_string(), "a.csv")
    };
    assert_eq!(message(b""), "`a.csv` is empty; its first row should name the columns");
    assert!(
        message(&vec![b'a'; 2 << 20])
            .ends_with("the first line is longer than a megabyte; it should name the columns")
    );
    assert_eq!(
        message(b"2026-01-02,1,2,3,4\n2026-01-03,5,6,7,8\n"),
        "`a.csv`: the first row is `2026-01-02, 1, 2, 3`, which has values and names no columns; say --header no to call them column_1, \
         column_2 and so on, or --header yes if these are the names"
    );
    assert!(matches!(open(&PathBuf::from("nowhere.csv")), Err(OpenError::Read { .. })));

    let (_dir, path) = file("a,b,b\n1,2,3\n");
    let recording = open(&path).unwrap();
    let twice = recording.events(&schema(&["b"])).unwrap_err().to_string();
    assert!(twice.contains("two columns are called `b`; choose others with --features"), "{twice}");
    let error = recording.events(&schema(&["c"])).unwrap_err().to_string();
    assert!(error.ends_with("has no column `c`; it has a, b, b"), "{error}");
}

#[test]
fn a_gzipped_file_that_is_cut_off_is_not_taken_for_whole() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for i in 0..200_000 {
        writeln!(gzip, "{}", if i == 0 { String::from("x") } else { i.to_string() }).unwrap();
    }
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    let (_dir, path) = file(bytes);
    let schema = schema(&["x"]);
    let rows = open(&path).unwrap().events(&schema).unwrap();
    assert!(rows.last().unwrap().is_err());
}

/// Seen to fail where each pass read a part of the pipe: rows were missing, and nothing said so.
#[cfg(unix)]
#[test]
fn a_pipe_is_read_once_and_gives_all_its_rows() {
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("rows.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let writer = std::thread::spawn({
        let pipe = pipe.clone();
        move || fs::write(pipe, String::from("x,y\n") + &"1,2\n".repeat(100_000)).unwrap()
    });
    let recording = open(&pipe).unwrap();
    writer.join().unwrap();
    assert_eq!(recording.numeric_columns().unwrap(), ["x", "y"]);
    let schema = schema(&["x"]);
    assert_eq!(recording.events(&schema).unwrap().count(), 100_000);
}

/// Seen to fail, with gigabytes of memory, without a bound on rows.
#[test]
fn a_row_without_end_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.csv");
    let rows = "1,2\n".repeat(500_000);
    for (name, row, is_read) in [
        ("many rows", rows.as_str(), true),
        ("commas", &",".repeat(3 << 20), false),
        ("an open quote", &format!("\"{rows}"), false),
    ] {
        std::fs::write(&path, format!("x,y\n1,2\n{row}")).unwrap();
        let recording = open(&path).unwrap();
        let schema = schema(&["x"]);
        let result: Result<Vec<_>, _> = recording.events(&schema).unwrap().collect();
        match result {
            Ok(_) => assert!(is_read, "{name}"),
            Err(error) => {
                let reason = std::error::Error::source(&error).unwrap().to_string();
                assert!(!is_read && reason.contains("longer than a megabyte"), "{name}: {reason}");
            }
        }
    }
}

/// The first values of each row, and how the file is understood.
fn values(content: impl AsRef<[u8]>, flags: &[&str]) -> (Vec<Vec<f64>>, String) {
    let (_dir, path) = file(content);
    let recording = Recording::open(&path, &profile(flags)).unwrap();
    let names = recording.numeric_columns().unwrap();
    let optional = |name: &String| Feature { optional: true, ..Feature::named(name) };
    let schema = FeatureSchema::new(names.iter().map(optional).collect()).unwrap();
    let rows = recording.events(&schema).unwrap();
    let values = rows.map(|row| row.unwrap().unwrap().event.values().to_vec()).collect();
    (values, recording.in_words())
}

/// Seen to fail with each of them where a header was a first line, and its raw characters told the separator.
#[test]
fn layouts_are_recognised() {
    // As a spreadsheet saves a title and an empty row.
    let titled = "Pumpe 7;;\n;;\nDruck;Fluss;Zustand\n1,5;2;RUN\n2,5;3;RUN\n";
    assert_eq!(values(titled, &["--ignore", "Zustand"]).0, [[1.5, 2.0], [2.5, 3.0]]);
    let expected = vec![vec![1.5, 20.0], vec![2.5, 30.0], vec![3.5, 40.0]];
    for (content, how) in [
        ("a\tb\n1.5\t20\n2.5\t30\n3.5\t40\n", "separated by tabs"),
        ("a|b\n1.5|20\n2.5|30\n3.5|40\n", "separated by `|`"),
        ("a;b\n1,5;20\n2,5;30\n3,5;40\n", "separated by `;`, decimal commas"),
        (
            "\"a, left\";\"b, right, far\"\n1,5;20\n2,5;30\n3,5;40\n",
            "separated by `;`, decimal commas",
        ),
        ("\"a\n[°C]\",b\n1.5,20\n2.5,30\n3.5,40\n", "separated by commas"),
        ("a,b\n1.5,20,\n2.5,30,\n3.5,40,\n", "separated by commas"),
        ("a,b,\n1.5,20,\n2.5,30,\n3.5,40,\n", "separated by commas"),
        ("sep=;\na;b\n1.5;20\n2.5;30\n3.5;40\n", "separated by `;`; 1 row before the header"),
        (
            "Logger 7\nfrom;Hall;3\n\na;b\n1.5;20\n2.5;30\n3.5;40\n",
            "separated by `;`; 2 rows before the header",
        ),
        ("# made by x\n# on y\na,b\n1.5,20\n# a note\n2.5,30\n3.5,40\n", "separated by commas"),
        ("# made by x\n# a,b\n1.5,20\n2.5,30\n3.5,40\n", "separated by commas"),
        (
            "a,b\n°C,bar\n1.5,20\n2.5,30\n3.5,40\n",
            "separated by commas; `°C, bar` between the header and the values",
        ),
        ("a;b\n1.5;20\n2.5;30\n3.5;\"40\"\n", "separated by `;`"),
    ] {
        assert_eq!(values(content, &[]), (expected.clone(), String::from(how)), "{content:?}");
    }
    let numbered = values("1.5,20\n2.5,30\n3.5,40\n", &["--header", "no"]);
    assert_eq!(numbered.0, expected);
    let counted = values("0,1\n1.5,20\n2.5,30\n3.5,40\n", &["--header", "yes"]);
    assert_eq!(counted.0, expected);
    let in_thousands = values("a;b\n1.234,5;20\n2,5;30\n", &[]);
    assert_eq!(in_thousands.0, [[1_234.5, 20.0], [2.5, 30.0]]);
    let one_column = values("Wert\n1,5\n2,5\n", &[]);
    assert_eq!(one_column.0, [[1.5], [2.5]]);
    // A title with commas, titles as wide as the table, and a header without the name of the first column.
    for content in [
        "Hall 3, line 2, oven\nDatum;a;b\n2026-01-02;1,5;20\n2026-01-03;2,5;30\n",
        "Device;Logger A;\nSite;Hall 3;\nDatum;a;b\n2026-01-02;1,5;20\n2026-01-03;2,5;30\n",
        ";°C;bar\nDatum;a;b\n2026-01-02;1,5;20\n2026-01-03;2,5;30\n",
        "Datum,a,b\n1,2026-01-02,1.5,20\n2,2026-01-03,2.5,30\n",
        "TOA5,x,y\nDatum,a,b\nTS,C,bar\n,Avg,Avg\n2026-01-02,1.5,20\n2026-01-03,2.5,30\n",
        "Datum,a,b\n-,C,bar\n2026-01-02,1.5,20\n2026-01-03,2.5,30\n",
    ] {
        let read = values(content, &[]);
        assert_eq!(read.0, [[1.5, 20.0], [2.5, 30.0]], "{content:?} {}", read.1);
        assert!(read.1.starts_with("times from `Datum`"), "{content:?} {}", read.1);
    }
    // A column without values so far is one all the same.
    let (_dir, path) = file("a,b\n1,\n2,\n3,\n");
    assert_eq!(open(&path).unwrap().feature_columns(), ["a", "b"]);
    // A row of values that are all missing is no row of units.
    let missing = values("station,a\nx,NaN\nx,1\nx,2\n", &[]);
    assert!(missing.0.len() == 3 && missing.0[0][0].is_nan(), "{missing:?}");
}

#[test]
fn what_is_recognised_can_be_said() {
    let content = "a;b\n1.250;-9999\n2.500;7\n";
    let (read, how) = values(content, &["--decimal", "comma", "--na-values", "-9999,x"]);
    let expected = "separated by `;`, decimal commas and points between thousands";
    assert_eq!((read[0][0], how.as_str()), (1_250.0, expected));
    assert_eq!(read[1], [2_500.0, 7.0]);
    assert!(read[0][1].is_nan());
}

/// Seen to fail where a role that a name tells could not be taken back.
#[test]
fn a_column_that_is_not_used_makes_no_row_bad() {
    let content = b"timestamp,seq,device,temp,note\n\
        2026-01-02T00:00:00Z,0.0,Press 1,1.5,ok\n\
        2026-01-02T00:00:01Z,NaN,Press 1,2.5,\xB0\n";
    let (rows, bad) = read(content, &schema(&["temp"]));
    assert_eq!((rows.len(), bad), (2, Vec::new()));
    assert_eq!(rows[0].event.station_id().as_str(), "Press_1");

    let (_dir, path) = file("time,x\nnoon,1\nmidnight,2\n");
    let error = |flags: &[&str]| {
        let recording = Recording::open(&path, &profile(flags)).unwrap();
        recording.events(&schema(&["x"])).map(Iterator::count).map_err(|error| error.to_string())
    };
    let trouble = error(&[]).unwrap_err();
    assert!(trouble.contains("column 1 (time) holds `noon`, which is not understood"), "{trouble}");
    assert_eq!(error(&["--time-column", "none"]), Ok(2));
    assert_eq!(error(&["--ignore", "time", "--time-column", "none"]), Ok(2));
    let unknown =
        Recording::open(&path, &profile(&["--time-column", "t"])).unwrap_err().to_string();
    assert!(unknown.ends_with("has no column `t`; it has time, x"), "{unknown}");
}

#[test]
fn times_of_a_place_follow_its_clocks() {
    let (_dir, path) = file(
        "Zeit;x\n26.10.2025 02:30;1\n26.10.2025 02:00;2\n01.07.2026 12:00;3\n30.03.2025 02:30;4\n",
    );
    let recording = Recording::open(&path, &profile(&["--timezone", "Europe/Berlin"])).unwrap();
    assert!(recording.in_words().contains("day-first, Europe/Berlin"), "{}", recording.in_words());
    let schema = schema(&["x"]);
    let rows: Vec<_> = recording.events(&schema).unwrap().map(Result::unwrap).collect();
    let times = rows.iter().filter_map(|row| row.as_ref().ok());
    let times: Vec<String> = times.map(|row| timestamp::format(row.event.timestamp_us())).collect();
    assert_eq!(times, ["2025-10-26T00:30:00Z", "2025-10-26T01:00:00Z", "2026-07-01T10:00:00Z"]);
    let error = rows[3].as_ref().unwrap_err().to_string();
    assert!(error.contains("a.csv:5: column 1 (Zeit) is a time that does not exist"), "{error}");
}

#[test]
fn dates_and_times_of_the_day_may_be_apart() {
    for (content, flags) in [
        ("Date,Time,x\n2026-01-22,15:04:05,1\n", &[][..]),
        ("Datum;Uhrzeit;x\n22.01.2026;15:04:05;1\n", &[]),
        ("d;t;x\n01/22/2026;3:04:05 PM;1\n", &["--time-column", "d", "--time-column", "t"]),
        ("Event Time,x\n2026-01-22 15:04:05,1\n", &[]),
        (
            "when,x\n22|01|2026 15h04m05,1\n",
            &["--time-column", "when", "--time-format", "%d|%m|%Y %Hh%Mm%S"],
        ),
    ] {
        let (_dir, path) = file(content);
        let recording = Recording::open(&path, &profile(flags)).unwrap();
        let schema = schema(&["x"]);
        let rows: Vec<_> =
            recording.events(&schema).unwrap().map(|row| row.unwrap().unwrap()).collect();
        assert_eq!(
            timestamp::format(rows[0].event.timestamp_us()),
            "2026-01-22T15:04:05Z",
            "{content}"
        );
    }
}

/// Each was read as something else, without a word.
#[test]
fn what_can_be_read_in_two_ways_is_refused_with_the_flag_that_decides() {
    let refused = |content: &str, flags: &[&str]| {
        let (_dir, path) = file(content);
        let recording =
            Recording::open(&path, &profile(flags)).map_err(|error| error.to_string())?;
        let names = recording.numeric_columns().unwrap();
        let schema = FeatureSchema::new(names.iter().map(|name| Feature::named(name)).collect());
        let rows = recording
            .events(&schema.unwrap())
            .map_err(|error| error.to_string())?
            .map(|row| row.unwrap().map_err(|bad| bad.to_string()).map(drop))
            .collect::<Result<Vec<_>, _>>()?;
        Ok::<_, String>(rows.len())
    };
    for (content, flag) in [
        ("2026-01-01T00:00:00,p0,1.347,7.02\n2026-01-01T00:00:01,p0,1.348,7.03\n", "--header no"),
        (
            "time,station,temp\n2026-01-01,p1,1.5,ok\n2026-01-02,p1,1.6,ok\n",
            "which is not understood as a time",
        ),
        ("x\ty\n1,250\t7\n2,345\t8\n", "--decimal comma"),
        ("x;y\n988;7\n1.024;8\n", "--decimal comma"),
        ("time,x\n40000,1\n40001,2\n", "--time-format spreadsheet-days"),
        ("time,x\n7,1\n3,2\n", "--time-column none"),
        ("time,x\n01/01/2026 00:00,1\n01/01/2026 00:01,2\n01/02/2026 00:00,3\n", "--time-format"),
        (
            "device,x\nPump 1,1\nPump/1,2\n",
            "`Pump 1` would have the same name as a station, Pump_1",
        ),
    ] {
        let error = refused(content, &[]).unwrap_err();
        assert!(error.contains(flag), "{content:?}: {error}");
    }
    for (content, flags) in [
        (
            "2026-01-01T00:00:00,1.347,7.02\n2026-01-01T00:00:01,1.348,7.03\n",
            &["--header", "no"][..],
        ),
        ("x\ty\n1,250\t7\n2,345\t8\n", &["--decimal", "comma"]),
        ("x;y\n988;7\n1.024;8\n", &["--decimal", "comma"]),
        ("x;y\n988;7\n1.024;8\n", &["--decimal", "point"]),
        // Other columns have decimals, or this one has.
        ("x;y\n988;7\n1.024;8.5\n", &[]),
        ("x;y\n988;7\n1.5;8\n", &[]),
        ("time,x\n40000,1\n40001,2\n", &["--time-format", "seconds"]),
        ("time,x\n7,1\n3,2\n", &["--time-column", "none"]),
        ("time,x\n01/01/2026,1\n01/02/2026,2\n", &["--time-format", "month-first"]),
        ("a,a,x\n1,2,3\n1,2,4\n", &["--ignore", "a"]),
        (
            "time,x\n2026-01-02,-9999.0\n2026-01-03,1\n",
            &["--ignore", "time", "--time-column", "none"],
        ),
    ] {
        assert_eq!(refused(content, flags), Ok(2), "{content:?}");
    }
    let (read, _) = values("x;y\n-9999,0;1\n2,5;2\n", &["--na-values", "-9999"]);
    assert!(read[0][0].is_nan(), "{read:?}");
}

#[test]
fn tables_of_tags_are_recognised() {
    let long = |content: &str| {
        let (_dir, path) = file(content);
        open(&path).unwrap().long_format().unwrap().map(|names| names.map(String::from))
    };
    let of = |tag: &str, value: &str| Some([String::from(tag), String::from(value)]);
    let rows = |header: &str, a: &str, b: &str| format!("{header}\n{a}\n{b}\n{a}\n{b}\n");
    assert_eq!(
        long(&rows("time,tag,value", "2026-01-02,TI1,1.5", "2026-01-02,PI1,7")),
        of("tag", "value")
    );
    let wincc = rows(
        "VarName;TimeString;VarValue;Validity",
        "Temp;2026-01-02;59,8;1",
        "Druck;2026-01-02;5,2;1",
    );
    assert_eq!(long(&wincc), of("VarName", "VarValue"));
    assert_eq!(long(&rows("time,value,quality", "2026-01-02,1.5,Good", "2026-01-03,7,Bad")), None);
    // The first rows have one name alone, or each only once.
    let of_tag_once = |tag: u32| format!("2026-01-02,TI{tag},{tag}.5\n");
    let of_tag = |tag: &str| format!("2026-01-02,{tag},1.5\n").repeat(400);
    let one_after_the_other = format!("time,tag,value\n{}{}", of_tag("TI1"), of_tag("PI1"));
    assert_eq!(long(&one_after_the_other), of("tag", "value"));
    assert_eq!(long(&format!("time,tag,value\n{}", of_tag("TI1"))), None);
    let moment = (0..400).fold(String::new(), |text, tag| text + &of_tag_once(tag));
    assert_eq!(long(&format!("time,tag,value\n{moment}{moment}")), of("tag", "value"));
    assert_eq!(
        long(&rows("time,state,temp,flow", "2026-01-02,on,1.5,2", "2026-01-03,off,7,2")),
        None
    );
}
