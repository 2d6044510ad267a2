//! The program through its public face: files in, files out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

use clap::Parser as _;
use detector::{Detector, Engine, ForestParams, GroupPattern, Params};
use score::Args;
use sensor::{Feature, FeatureSchema, SensorEvent, StationId};
use tempfile::TempDir;

mod worth;

/// A folder with a model of two features, of which the second may be missing and is not negative.
struct Place {
    dir: TempDir,
    detector: Detector,
}

impl Place {
    fn new() -> Self {
        Self::grouped_by(None)
    }

    /// A place whose model has a baseline for `pump`, if stations are grouped.
    fn grouped_by(group_by: Option<GroupPattern>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let flow = Feature { minimum: Some(0.0), optional: true, ..Feature::named("flow") };
        let schema = FeatureSchema::new(vec![Feature::named("pressure"), flow]).unwrap();
        let events: Vec<SensorEvent> =
            (0..500).map(|row| event(&schema, row, &values(row))).collect();
        let forest = ForestParams { n_trees: 20, ..ForestParams::default() };
        let params = Params { forest, group_by, ..Params::default() };
        let detector = Detector::fit(&schema, &events, &params, sensor::timestamp::EARLIEST_US);
        let detector = detector.unwrap();
        detector.save(&dir.path().join("models")).unwrap();
        Self { dir, detector }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Runs the program on a file of this folder; gives what it printed, and what it told.
    fn score(&self, input: &str, args: &[&str]) -> anyhow::Result<(String, String)> {
        self.score_from(input, args, b"")
    }

    fn score_from(
        &self,
        input: &str,
        args: &[&str],
        stdin: &'static [u8],
    ) -> anyhow::Result<(String, String)> {
        let path = |name: &str| match name {
            "-" => String::from("-"),
            name => self.dir.path().join(name).to_string_lossy().into_owned(),
        };
        let mut all = vec![String::from("score"), String::from("--model-dir"), path("models")];
        all.extend([String::from("--input"), path(input)]);
        let mut previous = "";
        for &arg in args {
            all.push(if previous == "--output" { path(arg) } else { String::from(arg) });
            previous = arg;
        }
        let (mut out, mut told) = (Vec::new(), Vec::new());
        score::run(&Args::try_parse_from(all)?, stdin, &mut out, &mut told)?;
        Ok((String::from_utf8(out).unwrap(), String::from_utf8(told).unwrap()))
    }

    /// The line that a row should get.
    fn line(&self, row: usize, values: &[f64]) -> String {
        let prediction = self.detector.assess(&event(self.detector.schema(), row, values));
        format!(
            "{},{},{},{},{}\n",
            row + 1,
            prediction.anomaly_score,
            prediction.p_value,
            prediction.is_anomaly,
            prediction.evidence.unwrap().name()
        )
    }

    fn lines(&self, rows: &[Vec<f64>]) -> String {
        let lines = rows.iter().enumerate().map(|(row, values)| self.line(row, values));
        HEADER.to_owned() + &lines.collect::<String>()
    }
}

const HEADER: &str = "row,anomaly_score,p_value,is_anomaly,evidence\n";

fn event(schema: &FeatureSchema, row: usize, values: &[f64]) -> SensorEvent {
    let station_id = StationId::parse("pump").unwrap();
    let time_us = sensor::timestamp::EARLIEST_US;
    schema.event(station_id, row as u64, time_us, values).unwrap()
}

/// Values that an `f32` holds.
fn values(row: usize) -> [f64; 2] {
    [(row % 37) as f64 / 4.0, (row % 11) as f64 * 1.5]
}

fn rows(n_rows: usize) -> Vec<Vec<f64>> {
    (0..n_rows).map(|row| values(row).to_vec()).collect()
}

fn csv(rows: &[Vec<f64>]) -> Vec<u8> {
    let lines = rows.iter().map(|row| format!("{},x,{}\n", row[1], row[0]));
    ("flow,remark,pressure\n".to_owned() + &lines.collect::<String>()).into_bytes()
}

#[test]
fn a_file_gets_the_scores_that_its_rows_get_as_events() {
    let place = Place::new();
    // More than a block, and not a whole number of blocks.
    let rows = rows(70_001);
    let expected = place.lines(&rows);

    place.write("rows.csv", &csv(&rows));
    let (printed, told) = place.score("rows.csv", &[]).unwrap();
    assert!(printed == expected, "CSV");
    assert!(told.contains("scored 70001 rows in "), "{told}");
    assert!(told.trim_end().ends_with(&format!("engine {})", place.detector.engine())), "{told}");

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&csv(&rows)).unwrap();
    place.write("rows.csv.gz", &gzip.finish().unwrap());
    place.score("rows.csv.gz", &["--output", "scores.csv"]).unwrap();
    assert!(place.read("scores.csv") == expected, "gzipped CSV");

    let flat = || rows.iter().flatten();
    place.write("rows.f64", &flat().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>());
    assert!(place.score("rows.f64", &[]).unwrap().0 == expected, "f64");
    #[expect(clippy::cast_possible_truncation, reason = "the values are f32")]
    place.write("rows.bin", &flat().flat_map(|&x| (x as f32).to_le_bytes()).collect::<Vec<u8>>());
    assert!(place.score("rows.bin", &["--format", "f32"]).unwrap().0 == expected, "f32");
}

#[test]
fn every_engine_and_number_of_threads_writes_the_same() {
    let place = Place::new();
    let rows = rows(3_000);
    place.write("rows.csv", &csv(&rows));
    let expected = place.lines(&rows);
    for engine in Engine::available() {
        for threads in ["1", "3"] {
            let engine = engine.to_string();
            let args = ["--engine", engine.as_str(), "--threads", threads];
            assert!(place.score("rows.csv", &args).unwrap().0 == expected, "{args:?}");
        }
    }
}

#[test]
fn standard_input_is_scored_and_its_columns_are_repeated() {
    let place = Place::new();
    let stdin = b"pressure;flow;remark\n1,5;3;\"one; two\"\n2;;none\n";
    let (printed, _) = place.score_from("-", &["--append"], stdin).unwrap();
    let [first, second] = [place.line(0, &[1.5, 3.0]), place.line(1, &[2.0, f64::NAN])];
    assert_eq!(
        printed,
        format!("pressure,flow,remark,{HEADER}\"1,5\",3,one; two,{first}2,,none,{second}")
    );
}

#[test]
fn the_input_is_not_replaced_by_its_scores() {
    let place = Place::new();
    let rows = csv(&rows(5));
    place.write("rows.csv", &rows);
    let error = place.score("rows.csv", &["--output", "rows.csv"]).unwrap_err().to_string();
    assert!(error.ends_with("would be replaced: choose another file to write"), "{error}");
    assert_eq!(place.read("rows.csv").as_bytes(), rows);
}

#[cfg(unix)]
#[test]
fn an_older_output_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt as _;

    let place = Place::new();
    place.write("rows.csv", &csv(&rows(5)));
    place.write("scores.csv", b"");
    let path = place.dir.path().join("scores.csv");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    place.score("rows.csv", &["--output", "scores.csv"]).unwrap();
    assert_eq!(place.read("scores.csv"), place.lines(&self::rows(5)));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn scores_are_not_added_to_scores() {
    let place = Place::new();
    place.write("rows.csv", b"pressure,flow,p_value\n1,2,0.5\n");
    let error = place.score("rows.csv", &["--append"]).unwrap_err().to_string();
    assert!(
        error.ends_with("has a column `p_value`, as the scores have: leave out --append"),
        "{error}"
    );
    assert!(place.score("rows.csv", &[]).is_ok());
}

#[test]
fn a_bad_row_stops_with_its_place_or_gets_no_score() {
    let place = Place::new();
    place.write("rows.csv", b"pressure,flow\n1,2\n1,high\n3,-4\n,5\n5,6,7\n2,3\n");
    place.write("scores.csv", b"of yesterday");
    let error = place.score("rows.csv", &["--output", "scores.csv"]).unwrap_err().to_string();
    assert!(
        error.ends_with("rows.csv:3: column 2 (flow) is not a number; --skip-bad leaves the scores of bad rows empty"),
        "{error}"
    );
    assert_eq!(place.read("scores.csv"), "of yesterday");
    assert_eq!(fs::read_dir(place.dir.path()).unwrap().count(), 3, "no other file is left");

    let (printed, told) = place.score("rows.csv", &["--skip-bad", "--append"]).unwrap();
    let expected = format!(
        "pressure,flow,{HEADER}1,2,{}1,high,2,,,,\n3,-4,3,,,,\n,5,4,,,,\n5,6,5,,,,\n2,3,{}",
        place.line(0, &[1.0, 2.0]),
        place.line(5, &[2.0, 3.0])
    );
    assert_eq!(printed, expected);
    assert!(told.contains("note: bad rows, which have no scores: 4; the first is "), "{told}");
    assert!(told.contains("rows.csv:3: column 2 (flow) is not a number\nscored 2 rows "), "{told}");

    let matrix: Vec<u8> = [1.0, 2.0, 3.0, -4.0].into_iter().flat_map(f64::to_le_bytes).collect();
    place.write("rows.f64", &matrix);
    let error = place.score("rows.f64", &[]).unwrap_err().to_string();
    assert!(error.contains("rows.f64:2: column 2 (flow) "), "{error}");
    place.write("rows.f64", &matrix[..20]);
    let error = format!("{:#}", place.score("rows.f64", &[]).unwrap_err());
    assert!(error.contains("ends in the middle of row 2"), "{error}");
}

#[test]
fn missing_columns_are_named() {
    let place = Place::new();
    let error = |input: &str, args: &[&str]| format!("{:#}", place.score(input, args).unwrap_err());
    assert!(error("nothing.csv", &[]).contains("nothing.csv"), "the input");
    place.write("rows.csv", b"pressure,level\n1,2\n");
    assert!(error("rows.csv", &[]).ends_with("has no column `flow`; it has pressure, level"));
    place.write("empty.csv", b"");
    assert!(error("empty.csv", &[]).contains("its first row should name the columns"));
    let unknown = error("rows.csv", &["--engine", "quantum"]);
    assert!(unknown.contains("choose one of portable, avx2 and avx512"), "{unknown}");

    let stdin: &[u8] = b"";
    let nowhere = place.dir.path().join("nowhere");
    let args = ["score", "--input", "-", "--model-dir", nowhere.to_str().unwrap()];
    let error = score::run(&Args::parse_from(args), stdin, &mut io::sink(), &mut io::sink());
    assert!(error.unwrap_err().to_string().contains("there is no model in"));
}

#[test]
fn a_file_without_rows_gets_a_header() {
    let place = Place::new();
    place.write("rows.csv", b"pressure,flow\n");
    assert_eq!(place.score("rows.csv", &[]).unwrap().0, HEADER);
    let error = place.score("rows.csv", &["--repeat", "3"]).unwrap_err();
    assert_eq!(error.to_string(), "there are no rows to score");
}

#[test]
fn timings_are_printed_in_a_line() {
    let place = Place::new();
    place.write("rows.csv", &csv(&rows(100)));
    for args in [&["--repeat", "3", "--threads", "2"][..], &["--repeat", "3", "--one"]] {
        let (printed, told) = place.score("rows.csv", args).unwrap();
        let engine = place.detector.engine();
        let threads = if args.contains(&"--one") { 1 } else { 2 };
        let numbers: Vec<f64> = printed.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(numbers.len(), 2, "{printed}");
        assert!(numbers.iter().all(|&number| number > 0.0), "{printed}");
        let end = format!(" ns/row, engine {engine}, threads {threads}\n");
        assert!(printed.starts_with("scoring: median ") && printed.ends_with(&end), "{printed}");
        assert_eq!(told, "");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.write("rows.csv", &csv(&rows(10)));
    place.write("file", b"");
    let error = place.score("rows.csv", &["--output", "file/scores.csv"]).unwrap_err();
    assert!(
        error.to_string().contains(&Path::new("file").join("scores.csv").display().to_string())
    );
}

#[test]
fn features_that_need_64_bits_are_listed() {
    let place = Place::new();
    let schema = FeatureSchema::new(vec![Feature::named("seconds_since_1970")]).unwrap();
    let seconds = |row: usize| [1.76e9 + row as f64 / 8.0];
    let events: Vec<_> = (0..500).map(|row| event(&schema, row, &seconds(row))).collect();
    let time_us = sensor::timestamp::EARLIEST_US;
    let detector = Detector::fit(&schema, &events, &Params::default(), time_us).unwrap();
    detector.save(&place.dir.path().join("models")).unwrap();
    place.write("rows.csv", b"seconds_since_1970\n1760000001.5\n");
    let (printed, told) = place.score("rows.csv", &[]).unwrap();
    let expected = detector.judge_row(&[1_760_000_001.5]).anomaly_score;
    assert!(printed.starts_with(&format!("{HEADER}1,{expected},")), "{printed}");
    assert!(
        told.starts_with("note: 32 bits do not tell the values of these apart, so that scoring takes longer: seconds_since_1970\n"),
        "{told}"
    );
}

#[test]
fn the_environment_names_an_engine() {
    let place = Place::new();
    place.write("rows.csv", &csv(&rows(100)));
    let score = |engine: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_score"))
            .env("ISOFOREST_ENGINE", engine)
            .current_dir(place.dir.path())
            .args(["--input", "rows.csv", "--output", "scores.csv"])
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    for engine in Engine::available() {
        let (is_done, told) = score(&engine.to_string());
        assert!(is_done && told.ends_with(&format!("engine {engine})\n")), "{told}");
    }
    let (is_done, told) = score("quantum");
    assert!(!is_done);
    assert!(
        told.starts_with("error: ") && told.contains("there is no engine \"quantum\""),
        "{told}"
    );
}

/// A pipe that was replaced by a file would wait for ever; so would `/dev/null`, for all programs.
#[cfg(unix)]
#[test]
fn devices_are_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;

    let place = Place::new();
    place.write("rows.csv", &csv(&rows(10)));
    let pipe = place.dir.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = {
        let pipe = pipe.clone();
        std::thread::spawn(move || fs::read_to_string(pipe).unwrap())
    };
    place.score("rows.csv", &["--output", "pipe"]).unwrap();
    assert_eq!(reader.join().unwrap(), place.lines(&rows(10)));
    assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
}

#[test]
fn the_baseline_of_each_row_is_that_of_its_station() {
    let place = Place::grouped_by(Some(GroupPattern::per_station()));
    place.write("pump.csv", b"pressure,flow\n3,1\n");
    place.write("named.csv", b"pressure,flow,station\n3,1,pump\n3,1,new\nbad,1,pump\n3,1, pump\n");
    place.write("raw.f64", &[3.0_f64, 1.0].map(f64::to_le_bytes).concat());
    place.write("pump.f64", &[3.0_f64, 1.0].map(f64::to_le_bytes).concat());
    let baselines = |input: &str| -> Vec<String> {
        let (out, _) = place.score(input, &["--skip-bad"]).unwrap();
        let cells = out.lines().map(|line| line.rsplit(',').next().unwrap());
        cells.map(String::from).collect()
    };
    assert_eq!(baselines("pump.csv"), ["baseline", "station"]);
    assert_eq!(baselines("named.csv"), ["baseline", "station", "fleet", "", "station"]);
    assert_eq!(baselines("raw.f64"), ["baseline", "fleet"]);
    assert_eq!(baselines("pump.f64"), ["baseline", "station"]);
    let (_, told) = place.score("named.csv", &["--skip-bad"]).unwrap();
    let note = "rows of stations without a baseline, which are judged by the values of all stations: 1; \
                the first is of `new`";
    assert!(told.contains(note), "{told}");
    assert!(!place.score("pump.csv", &[]).unwrap().1.contains("without a baseline"));
    let expected = place.line(0, &[3.0, 1.0]);
    assert_eq!(
        place.score("pump.csv", &[]).unwrap().0.lines().nth(1).unwrap(),
        format!("{},station", expected.trim_end())
    );
}

/// Rows of two pumps in turn; the flow follows the pressure, until it breaks down at `broken`.
fn pumps(n_rows: u32, broken: std::ops::Range<u32>) -> String {
    let rows = (0..n_rows).flat_map(|row| {
        let t = f64::from(row);
        let noise = f64::from(row * 7919 % 101) / 200.0;
        let pressure = 5.0 + (t / 9.0).sin() + noise;
        let flow = 2.0 * pressure + f64::from(row * 6101 % 97) / 150.0;
        let of_south = if broken.contains(&row) { 20.0 - flow } else { flow };
        [("north", flow), ("south", of_south)]
            .map(|(station, flow)| format!("{station},{pressure:.3},{flow:.3}\n"))
    });
    String::from("station,pressure,flow\n") + &rows.collect::<String>()
}

#[test]
fn rows_in_time_order_are_judged_station_by_station_without_a_model() {
    let place = Place::new();
    place.write("pumps.csv", pumps(700, 500..540).as_bytes());
    let args = ["--in-time-order", "--warm-up", "300"];
    let (out, told) = place.score("pumps.csv", &args).unwrap();
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines[0], ["row", "surprise", "threshold", "alarm", "view", "feature"]);
    assert_eq!(lines.len(), 1 + 1_400);
    let mut n_surprising = 0;
    for (row, line) in lines[1..].iter().enumerate() {
        assert_eq!(line[0], row.to_string());
        let surprise: f64 = line[1].parse().unwrap();
        let is_judged = row >= 600;
        assert_eq!((line[2].is_empty(), line[4].is_empty()), (!is_judged, !is_judged));
        // Of the south alone, while its flow is broken and the windows remember it.
        let may_alarm = row % 2 == 1 && (1_000..1_170).contains(&row);
        assert!(line[3] == "false" || may_alarm, "{line:?}");
        n_surprising += usize::from(surprise > 5.0);
    }
    let alarms = lines[1..].iter().filter(|line| line[3] == "true");
    assert!(alarms.clone().count() > 10 && n_surprising > 10, "{out}");
    assert!(alarms.clone().any(|line| line[5] == "flow"), "{out}");
    assert!(told.contains("judged 800 rows of 2 stations") && told.contains(": 1 alarm"), "{told}");
    assert_eq!(place.score("pumps.csv", &args).unwrap().0, out);
}

#[test]
fn in_time_order_a_sensor_that_fails_has_columns_of_its_own() {
    let place = Place::new();
    let stuck = pumps(700, 0..0).lines().enumerate().fold(String::new(), |csv, (line, text)| {
        let is_stuck = (1_000..1_200).contains(&line) && text.starts_with("south");
        let (before, _) = text.rsplit_once(',').unwrap();
        csv + &(if is_stuck { format!("{before},10.5\n") } else { format!("{text}\n") })
    });
    place.write("stuck.csv", stuck.as_bytes());
    let args = ["--in-time-order", "--warm-up", "300", "--sensor-faults"];
    let (out, told) = place.score("stuck.csv", &args).unwrap();
    assert!(
        out.starts_with("row,surprise,threshold,alarm,view,feature,sensor_fault,faulty_feature\n")
    );
    let faulty: Vec<usize> = out
        .lines()
        .enumerate()
        .filter(|(_, line)| line.ends_with(",stuck,flow"))
        .map(|(line, _)| line)
        .collect();
    // The sensor has no two equal values in the warm-up, and is stuck from the 73rd on.
    assert_eq!((faulty.len(), faulty[0]), (28, 1_000 + 2 * 72), "{faulty:?}");
    assert!(told.contains("1 sensor fault"), "{told}");
}

#[test]
fn in_time_order_what_cannot_be_judged_is_said() {
    let place = Place::new();
    let score = |csv: &str, args: &[&str]| {
        place.write("some.csv", csv.as_bytes());
        place.score("some.csv", &[&["--in-time-order", "--warm-up", "300"], args].concat())
    };
    let fails = |csv: &str, args: &[&str]| score(csv, args).unwrap_err().to_string();
    let all = pumps(400, 0..0);
    let hole = all.clone() + "north,,10\n";
    let error = fails(&hole, &[]);
    assert!(error.contains("--missing allow takes empty cells for missing values"), "{error}");
    let (out, told) = score(&hole, &["--missing", "allow"]).unwrap();
    assert_eq!(out.lines().count(), 802, "{told}");
    assert!(out.lines().last().unwrap().starts_with("800,"), "{out}");
    let (out, told) = score(&hole, &["--skip-bad"]).unwrap();
    assert_eq!(out.lines().last().unwrap(), "800,,,,,");
    assert!(told.contains("note: skipped 1 bad row; the first is"), "{told}");
    let error = fails(&all.replacen("north", "\u{1b}[", 1), &[]);
    assert!(error.contains("some.csv:2: column 1 (station) may have ASCII letters"), "{error}");

    let (out, told) = score(&pumps(100, 0..0), &[]).unwrap();
    assert!(out.lines().skip(1).all(|line| line.ends_with(",-1,,false,,")), "{out}");
    assert!(told.contains("not scored, fewer than 300 warm-up rows: north, south"));
    let constant = format!("value\n{}", "5\n".repeat(400));
    let (out, told) = score(&constant, &[]).unwrap();
    assert_eq!(out.lines().count(), 401);
    assert!(told.contains("no sensor moves in the 300 rows to learn from"), "{told}");

    let wide: Vec<String> = (0..257).map(|column| format!("f{column}")).collect();
    let (_, told) = score(&(wide.join(",") + "\n" + &["1"; 257].join(",") + "\n"), &[]).unwrap();
    assert!(told.contains("the square of the features, of which there are 257"), "{told}");

    place.write("some.csv", all.as_bytes());
    let short = ["--in-time-order", "--warm-up", "159"];
    let error = place.score("some.csv", &short).unwrap_err().to_string();
    assert!(error.contains("159 rows are too few to learn from: at least 160"), "{error}");
    let many: Vec<String> = (0..16_000).map(|station| format!("s{station},1,2\n")).collect();
    let error = fails(&(String::from("station,pressure,flow\n") + &many.concat()), &[]);
    assert!(error.contains("stations of 2 features take too much memory"), "{error}");
    assert!(fails(&all, &["--budget", "1"]).contains("must be above 0 and below 1"));
    assert!(fails(&all, &["--features", "flow,level"]).contains("level"));
    assert!(fails("a,b\nx,y\n", &[]).contains("has no column with a number"));
    let error = place.score_from("-", &["--in-time-order"], b"a\n1\n").unwrap_err().to_string();
    assert!(error.contains("name its columns with --features"), "{error}");
    place.write("raw.f64", &[0; 16]);
    let error = place.score("raw.f64", &["--in-time-order"]).unwrap_err().to_string();
    assert!(error.contains("reads CSV"), "{error}");
}
