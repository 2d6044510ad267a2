//! Tables of tags, which become a column for each.

use super::{file, profile};
use recording::{OpenError, Recording};
use sensor::timestamp;

/// Seconds from the first on, station and values.
type WideRow = (i64, String, Vec<f64>);

/// The times from the first on in seconds, stations and values of a file, and how it was read.
fn wide(content: &str, flags: &[&str], tags: &[&str]) -> Result<(Vec<WideRow>, String), OpenError> {
    let (_dir, path) = file(content);
    let recording = Recording::open(&path, &profile(flags))?;
    assert_eq!(recording.numeric_columns()?, tags);
    let schema = sensor::FeatureSchema::new(
        tags.iter()
            .map(|tag| sensor::Feature { optional: true, ..sensor::Feature::named(tag) })
            .collect(),
    );
    let schema = schema.unwrap();
    let rows = recording.events(&schema)?.map(|row| row.unwrap().unwrap().event);
    let rows: Vec<_> = rows.collect();
    let start = timestamp::parse("2026-03-01T00:00:00Z").unwrap();
    let row = |event: &sensor::SensorEvent| {
        let seconds = (event.timestamp_us() - start) / 1_000_000;
        (seconds, event.station_id().to_string(), event.values().to_vec())
    };
    Ok((rows.iter().map(row).collect(), recording.in_words()))
}

#[test]
fn the_last_values_of_all_tags_stand_beside_each_other() {
    // One tag after the other, each at its own pace; a state is no number.
    let content = "time;tag;value\n\
        2026-03-01 00:00:00;temp;20,5\n2026-03-01 00:00:10;temp;21\n2026-03-01 00:00:20;temp;22\n2026-03-01 00:00:30;temp;23\n\
        2026-03-01 00:00:03;flow;1\n2026-03-01 00:00:19;flow;Bad Input\n2026-03-01 00:00:28;flow;2\n\
        2026-03-01 00:00:00;state;RUN\n";
    let (rows, words) =
        wide(content, &["--long", "tag,value", "--every", "10s"], &["flow", "temp"]).unwrap();
    let rows: Vec<(i64, &[f64])> =
        rows.iter().map(|(second, _, values)| (*second, values.as_slice())).collect();
    assert_eq!(rows, [(10, &[1.0, 21.0][..]), (20, &[1.0, 22.0]), (30, &[2.0, 23.0])]);
    for part in [
        "2 names in `tag`",
        "every 10s",
        "at most 25s",
        "1 row left out",
        "without numbers: state",
        "times from `time`",
    ] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn each_station_has_a_grid_of_its_own_and_values_grow_old() {
    let content = "timestamp,machine,signal,reading\n\
        2026-03-01T00:00:00Z,b,x,1\n2026-03-01T00:00:00Z,a,x,5\n2026-03-01T00:00:01Z,b,x,2\n2026-03-01T00:00:01Z,b,y,9\n\
        2026-03-01T01:00:00Z,b,x,3\n";
    let flags =
        ["--long", "signal,reading", "--every", "1s", "--carry", "2s", "--missing", "allow"];
    let (rows, _) = wide(content, &flags, &["x", "y"]).unwrap();
    let shown: Vec<String> = rows
        .iter()
        .map(|(second, station, values)| format!("{second} {station} {values:?}"))
        .collect();
    assert_eq!(
        shown,
        [
            "0 a [5.0, NaN]",
            "0 b [1.0, NaN]",
            "1 b [2.0, 9.0]",
            "2 b [2.0, 9.0]",
            "3 b [2.0, 9.0]",
            // Nothing is known between.
            "3600 b [3.0, NaN]",
        ]
    );
    // Without --missing allow, rows that lack a value are left out.
    let (rows, words) = wide(content, &flags[..6], &["x", "y"]).unwrap();
    assert_eq!(rows.len(), 3, "{words}");
}

/// Seen to fail where the values of all tags went back and forth on one clock.
#[test]
fn each_tag_has_its_own_second_hour() {
    let row = |time: &str, tag: &str, value: u32| format!("2025-10-{time},{tag},{value}\n");
    let times = ["26 01:00", "26 02:00", "26 02:00", "26 03:00"];
    let rows = (1..).zip(times).map(|(value, time)| row(time, "T", value) + &row(time, "P", value));
    let content = rows.fold(String::from("time,tag,value\n"), |text, rows| text + &rows);
    let flags = ["--long", "tag,value", "--every", "1h", "--timezone", "Europe/Berlin"];
    let (rows, _) = wide(&content, &flags, &["P", "T"]).unwrap();
    let values: Vec<&[f64]> = rows.iter().map(|(_, _, values)| values.as_slice()).collect();
    assert_eq!(values, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]]);
}

#[test]
fn tables_of_tags_that_cannot_be_put_in_columns_say_why() {
    let table = "time,tag,value\n2026-03-01T00:00:00Z,x,1\n2026-03-01T00:00:09Z,y,2\n2026-03-01T00:00:19Z,x,Off\n";
    for (content, flags, part) in [
        (table, &["--long", "tag,value"][..], "a.csv:4: column 3 (value) is not a number"),
        (table, &["--long", "tag"], "such as --long tag,value, not 1"),
        (table, &["--long", "tag,wert"], "has no column `wert`"),
        ("tag,value\nx,1\ny,2\n", &["--long", "tag,value"], "--time-column"),
        (
            "time,tag,value,label\n2026-03-01,x,1,0\n2026-03-01,y,2,1\n",
            &["--long", "tag,value"],
            "--label-column none",
        ),
        (
            table,
            &["--long", "tag,value", "--na-values", "Off", "--carry", "1s", "--every", "1s"],
            "--carry",
        ),
        (
            &table.replace("03-01T00:00:19Z,x,Off", "03-09T00:00:19Z,x,7"),
            &["--long", "tag,value", "--carry", "9d", "--every", "1ms"],
            "longer --every",
        ),
    ] {
        let error = wide(content, flags, &["x", "y"]).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}
