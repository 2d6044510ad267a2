//! Files of every format version are read for ever; the present one is written to the byte.

use std::fs;
use std::path::{Path, PathBuf};

use detector::{AlarmRule, DETECTOR_VERSION, Detector, ForestParams, GroupPattern, Params};

use sensor::{Evidence, SensorEvent};

use crate::{NOW_US, events, fit};

/// Returns the detector of a version: the third is written for baselines of stations, the fourth for lessons.
fn golden_detector(version: u32) -> Detector {
    let forest =
        ForestParams { n_trees: 5, sample_size: 32, seed: 2_008, ..ForestParams::default() };
    let alarms = AlarmRule::FalseAlarmRate(0.02);
    if version < 3 {
        return fit(&events(200, 6), &Params { forest, alarms, ..Params::default() });
    }
    let params = Params {
        forest,
        alarms,
        group_by: Some(GroupPattern::per_station()),
        keeps_lessons: version > 3,
        ..Params::default()
    };
    fit(&of_stations(&events(350, 6)), &params)
}

/// Spreads events over three stations: one at which a sensor stands still, and one with few events.
fn of_stations(events: &[SensorEvent]) -> Vec<SensorEvent> {
    let schema = sensor::FeatureSchema::default();
    let moved = events.iter().enumerate().map(|(index, event)| {
        let mut values = event.values().to_vec();
        let station = match index % 7 {
            0..3 => "station_001",
            3..6 => {
                values[0] += 20.0;
                values[1] = 45.1;
                "station_002"
            }
            _ => "station_003",
        };
        let station = sensor::StationId::parse(station).unwrap();
        schema.event(station, event.sequence(), NOW_US, &values).unwrap()
    });
    moved.collect()
}

fn golden_dir(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/v{version}"))
}

/// Missing golden files are written, once, for their author to look at.
#[test]
fn the_versions_of_today_are_written_to_the_byte() {
    for version in 2..=DETECTOR_VERSION {
        let dir = golden_dir(version);
        let detector = golden_detector(version);
        assert_eq!(detector.meta().versions.format, version);
        if !dir.exists() {
            detector.save(&dir).unwrap();
            panic!("{} was created; look at it and commit it", dir.display());
        }
        let golden = fs::read(dir.join(detector::ARTEFACT_FILE)).unwrap();
        assert!(
            *golden == *detector.encode(),
            "the same training gives other bytes than {}",
            dir.display()
        );
    }
}

#[test]
fn every_version_is_still_read() {
    for version in 1..=DETECTOR_VERSION {
        let loaded = Detector::load(&golden_dir(version)).unwrap().unwrap();
        let new_events = if version < 3 { events(500, 8) } else { of_stations(&events(500, 8)) };
        let new_events: Vec<&SensorEvent> = new_events.iter().collect();
        let expected = golden_detector(version).judge_events(&new_events);
        let found = loaded.judge_events(&new_events);
        for station in ["station_001", "station_002", "station_004"] {
            let expected = golden_detector(version);
            assert_eq!(loaded.lesson_of(station), expected.lesson_of(station));
            let has_lesson = version > 3 && station != "station_004";
            assert_eq!(loaded.lesson_of(station).is_some(), has_lesson, "{version} {station}");
        }
        if version > 1 {
            assert_eq!(found, expected, "version {version}");
            continue;
        }
        // Only the forest speaks, as it did then.
        let calibration = loaded.calibration();
        for (row, expected) in found.iter().zip(&expected) {
            assert_eq!(row.anomaly_score, expected.anomaly_score);
            let n_as_strange = calibration.n_from(row.anomaly_score);
            let p_value = (n_as_strange + 1) as f64 / (calibration.len() + 1) as f64;
            assert_eq!((row.p_value, row.evidence), (p_value, Evidence::Forest));
            assert_eq!(row.is_anomaly, row.p_value <= 0.02);
            assert_eq!(row.is_anomaly, row.anomaly_score >= loaded.threshold());
        }
        assert!(found.iter().any(|row| row.is_anomaly));
        assert_eq!(loaded.threshold(), loaded.meta().threshold);
    }
}

#[test]
fn the_same_training_on_another_day_gives_the_same_artefact() {
    let tomorrow_us = NOW_US + 86_400_000_000;
    let schema = sensor::FeatureSchema::default();
    let today = fit(&events(300, 1), &Params::default());
    let tomorrow =
        Detector::fit(&schema, &events(300, 1), &Params::default(), tomorrow_us).unwrap();
    assert!(today.encode() == tomorrow.encode());
    assert!(today.meta().model_version.as_str().starts_with("2026-11-22-"));
    assert!(tomorrow.meta().model_version.as_str().starts_with("2026-11-23-"));
}

/// The checksum is right, so the payload itself has to be found wrong, or be a detector.
#[test]
fn a_forged_payload_gives_a_sound_detector_or_none() {
    use sha2::{Digest, Sha256};

    const HEADER_LEN: usize = isoforest::envelope::HEADER_LEN;
    let dir = tempfile::tempdir().unwrap();
    golden_detector(DETECTOR_VERSION).save(dir.path()).unwrap();
    let artefact = dir.path().join(detector::ARTEFACT_FILE);
    let meta = fs::read_to_string(dir.path().join(detector::META_FILE)).unwrap();
    let whole = fs::read(&artefact).unwrap();
    for position in HEADER_LEN..whole.len() {
        for change in [0x01, 0x80] {
            let mut forged = whole.clone();
            forged[position] ^= change;
            let digest = Sha256::digest(&forged[HEADER_LEN..]);
            forged[20..HEADER_LEN].copy_from_slice(&digest);
            // Whatever it is, it is not what the metadata tells of; above all, it does not panic.
            fs::write(&artefact, &forged).unwrap();
            assert!(Detector::load(dir.path()).is_err(), "byte {position}");
        }
    }
    assert!(meta.contains(&golden_detector(DETECTOR_VERSION).meta().sha256));
}

#[test]
fn the_rule_of_contamination_is_kept_too() {
    let dir = tempfile::tempdir().unwrap();
    let params = Params { alarms: AlarmRule::Contamination(0.07), ..Params::default() };
    let detector = fit(&events(300, 1), &params);
    detector.save(dir.path()).unwrap();
    let loaded = Detector::load(dir.path()).unwrap().unwrap();
    assert_eq!(loaded.threshold(), detector.threshold());
    assert_eq!(loaded.alarm_rule(), params.alarms);
}
