//! Workbooks, Parquet files and packed text.

use std::fs;
use std::path::{Path, PathBuf};

use super::{file, profile};
use recording::{Profile, Recording, ValueRows};
use sensor::{Feature, FeatureSchema, timestamp};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn schema() -> FeatureSchema {
    let feature = |name| Feature { optional: true, ..Feature::named(name) };
    FeatureSchema::new(["Druck", "Temperatur"].map(feature).to_vec()).unwrap()
}

/// The first and the last time, the number of rows, and those of which the pressure is missing.
fn rows(name: &str, flags: &[&str]) -> (String, String, usize, Vec<u64>) {
    let recording = Recording::open(&fixture(name), &profile(flags)).unwrap();
    assert_eq!(recording.numeric_columns().unwrap(), ["Druck", "Temperatur"]);
    let schema = schema();
    let rows: Vec<_> =
        recording.events(&schema).unwrap().map(|row| row.unwrap().unwrap()).collect();
    let time = |row: &recording::RecordedEvent| timestamp::format(row.event.timestamp_us());
    let missing = rows.iter().filter(|row| row.event.values()[0].is_nan()).map(|row| row.line);
    (time(&rows[0]), time(&rows[rows.len() - 1]), rows.len(), missing.collect())
}

#[test]
fn sheets_of_workbooks_are_tables() {
    let times = [String::from("2026-03-01T00:00:00Z"), String::from("2026-03-01T00:16:30Z")];
    let expected = |missing| (times[0].clone(), times[1].clone(), 100, missing);
    // Lines are the rows of the sheet.
    assert_eq!(rows("pump.xlsx", &[]), expected(vec![10]));
    assert_eq!(rows("two-sheets.xlsx", &["--sheet", "Messung 1"]), expected(vec![10]));
    assert_eq!(rows("pump.xls", &[]), expected(Vec::new()));
    assert_eq!(rows("pump.ods", &[]), expected(Vec::new()));
}

#[test]
fn a_workbook_can_be_read_once_as_well() {
    let (schema, workbook) = (schema(), fs::File::open(fixture("pump.xlsx")).unwrap());
    let rows = ValueRows::begin(workbook, Path::new("pump.xlsx"), &schema, &Profile::default());
    let mut rows = rows.unwrap();
    assert!(rows.in_words().contains("sheet `Messung 1` of a workbook"), "{}", rows.in_words());
    let (mut values, mut n_rows) = (Vec::new(), 0);
    while let Some(row) = rows.read(&mut values).unwrap() {
        row.unwrap();
        n_rows += 1;
    }
    assert_eq!((n_rows, &values[..4]), (100, &[0.5, 20.0, 1.5, 21.0][..]));
}

#[test]
fn what_is_no_table_is_called_what_it_is() {
    let refused = |path: &Path, flags: &[&str]| {
        let error = Recording::open(path, &profile(flags)).map(drop).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    let two = fixture("two-sheets.xlsx");
    assert!(refused(&two, &[]).contains("`Messung 1`, `Messung 2`; say which"));
    assert!(refused(&two, &["--sheet", "x"]).contains("no sheet `x`; it has `Deckblatt`"));
    // 550 GB of empty cells lie between.
    let far = refused(&fixture("far.xlsx"), &[]);
    assert!(far.contains("reaches to row 1048576 and column 16384"), "{far}");
    let (_dir, path) = file("x\n1\n");
    assert!(refused(&path, &["--sheet", "x"]).contains("no workbook"));
    for (content, what) in [
        (&b"PK\x03\x04\x14 and so on"[..], "a ZIP archive, and no workbook"),
        (b"\xD0\xCF\x11\xE0 and so on", "an old Excel workbook"),
        (b"PAR1\x15", "a Parquet file"),
        (b"SQLite format 3\0", "an SQLite database"),
    ] {
        let (_dir, path) = file(content);
        let error = refused(&path, &[]);
        assert!(error.contains(what), "{error}");
    }
}

#[test]
fn text_packed_with_zstd_is_unpacked_to_its_last_frame() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let text =
        |from: u32| (from..from + 5_000).fold(String::new(), |text, x| format!("{text}{x}\n"));
    let pack = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    // A frame to skip stands between two others.
    let skipped = [&b"\x50\x2A\x4D\x18\x03\x00\x00\x00"[..], b"abc"].concat();
    let packed =
        [skipped.clone(), pack(&format!("x\n{}", text(0))), skipped, pack(&text(5_000))].concat();
    let (_dir, path) = file(&packed);
    let schema = FeatureSchema::new(vec![Feature::named("x")]).unwrap();
    let recording = Recording::open(&path, &Profile::default()).unwrap();
    let values: Vec<f64> = recording
        .events(&schema)
        .unwrap()
        .map(|row| row.unwrap().unwrap().event.values()[0])
        .collect();
    assert!(values.into_iter().eq((0..10_000).map(f64::from)));
    let (_dir, path) = file(&packed[..packed.len() - 9]);
    let cut = Recording::open(&path, &Profile::default());
    let is_refused = cut.map_or(true, |cut| cut.events(&schema).unwrap().any(|row| row.is_err()));
    assert!(is_refused, "a file that is cut off is taken for whole");
}

#[cfg(feature = "parquet")]
#[test]
fn parquet_files_are_tables() {
    let expected =
        (String::from("2026-02-28T23:00:00Z"), String::from("2026-02-28T23:16:30Z"), 100, vec![5]);
    assert_eq!(rows("pump.parquet", &[]), expected);
    assert_eq!(rows("pump-zstd.parquet", &[]), expected);
    // What a clock shows is of its place.
    let flags = ["--time-column", "lokal", "--timezone", "Europe/Berlin", "--ignore", "Zeit"];
    assert_eq!(rows("pump.parquet", &flags), expected);
}
