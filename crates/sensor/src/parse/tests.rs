use proptest::prelude::*;

use super::*;
use crate::schema::Feature;

/// 2026-11-22T12:00:00Z.
const NOW_US: i64 = 1_795_348_800_000_000;

const GOOD: &str = r#"{"station_id":"station_001","sequence":1,"timestamp":"2026-01-02T03:04:05Z","temperature_c":70.2,"humidity_pct":44.7,"sound_db":66.1}"#;

fn faults(json: &[u8]) -> (Vec<(String, &'static str)>, bool) {
    let invalid = FeatureSchema::default().parse(json, NOW_US).unwrap_err();
    let faults =
        invalid.faults().iter().map(|fault| (fault.pointer.clone(), fault.kind.code())).collect();
    (faults, invalid.malformed().is_none())
}

/// Checks the faults of a well-formed object.
#[track_caller]
fn check_event(json: &str, expected: &[(&str, &str)]) {
    let (faults, is_well_formed) = faults(json.as_bytes());
    let faults: Vec<(&str, &str)> =
        faults.iter().map(|(pointer, code)| (pointer.as_str(), *code)).collect();
    assert_eq!(faults, expected, "{json}");
    assert!(is_well_formed, "{json}");
}

/// Checks that a value in place of a good one has a certain fault.
#[track_caller]
fn check_value(good: &str, bad: &str, pointer: &str, code: &str) {
    assert!(GOOD.contains(good));
    check_event(&GOOD.replace(good, bad), &[(pointer, code)]);
}

/// Checks that bytes are not JSON, for a certain reason.
#[track_caller]
fn check_json(json: &[u8], code: &str) {
    let (faults, is_well_formed) = faults(json);
    assert_eq!(faults.len(), 1);
    assert_eq!(faults[0].1, code, "{}", String::from_utf8_lossy(json));
    assert!(!is_well_formed);
}

#[test]
fn a_good_event_is_taken_as_it_is() {
    let event = FeatureSchema::default().parse(GOOD.as_bytes(), NOW_US).unwrap();
    assert_eq!(event.station_id().as_str(), "station_001");
    assert_eq!(event.sequence(), 1);
    assert_eq!(timestamp::format(event.timestamp_us()), "2026-01-02T03:04:05Z");
    assert_eq!(event.values(), [70.2, 44.7, 66.1]);
    assert_eq!(event.n_ignored_keys(), 0);
}

#[test]
fn every_fault_of_an_event_is_named_at_once() {
    check_event(
        r#"{"station_id":"","sequence":-1,"timestamp":"2026-01-02","temperature_c":null,"humidity_pct":101}"#,
        &[
            ("/station_id", "station_id_empty"),
            ("/sequence", "sequence_negative"),
            ("/timestamp", "timestamp_format"),
            ("/temperature_c", "null_not_allowed"),
            ("/humidity_pct", "out_of_range"),
            ("/sound_db", "missing_field"),
        ],
    );
    check_event(
        "{}",
        &[
            ("/station_id", "missing_field"),
            ("/timestamp", "missing_field"),
            ("/temperature_c", "missing_field"),
            ("/humidity_pct", "missing_field"),
            ("/sound_db", "missing_field"),
        ],
    );
}

#[test]
fn messages_say_what_is_expected_and_echo_nothing() {
    let json = GOOD.replace("44.7", "101").replace("station_001", "<secret>");
    let message = FeatureSchema::default().parse(json.as_bytes(), NOW_US).unwrap_err().to_string();
    assert_eq!(
        message,
        "station_id may have ASCII letters, digits and . _ : - only, and starts with a letter or digit; \
         humidity_pct must be between 0 and 100"
    );
}

#[test]
fn values_must_be_possible_numbers() {
    for bad in [r#""70.2""#, "true", "{}", "[1]", r#""""#] {
        check_value("70.2", bad, "/temperature_c", "not_a_number");
    }
    for bad in ["-300", "1e308", "2000.1"] {
        check_value("70.2", bad, "/temperature_c", "out_of_range");
    }
    for good in ["1e-400", "-273.15", "2000", "7.02E1", "-0"] {
        let json = GOOD.replace("70.2", good);
        assert!(FeatureSchema::default().parse(json.as_bytes(), NOW_US).is_ok(), "{good}");
    }
}

#[test]
fn numbers_are_read_to_the_nearest() {
    let json = GOOD.replace("70.2", "70.15000000000000568434188608080148696899414062500000001");
    let event = FeatureSchema::default().parse(json.as_bytes(), NOW_US).unwrap();
    assert_eq!(event.values()[0].to_bits(), 70.15_f64.to_bits());
}

#[test]
fn sequences_must_be_counters() {
    let check = |bad, code| {
        check_value(r#""sequence":1"#, &format!(r#""sequence":{bad}"#), "/sequence", code);
    };
    for bad in ["1.0", "1.5", "1e2", r#""1""#, "true", "-0", "[]"] {
        check(bad, "sequence_not_integer");
    }
    check("-1", "sequence_negative");
    for bad in ["9223372036854775808", "18446744073709551615", "18446744073709551616"] {
        check(bad, "sequence_too_large");
    }
    let largest = GOOD.replace(r#""sequence":1"#, r#""sequence":9223372036854775807"#);
    assert_eq!(
        FeatureSchema::default().parse(largest.as_bytes(), NOW_US).unwrap().sequence(),
        i64::MAX as u64
    );
}

#[test]
fn times_must_be_of_our_age() {
    let check = |bad: &str, code| {
        check_value(r#""2026-01-02T03:04:05Z""#, bad, "/timestamp", code);
    };
    check(r#""1969-12-31T23:59:59Z""#, "timestamp_too_old");
    check(r#""0000-01-01T00:00:00Z""#, "timestamp_too_old");
    check(r#""2026-11-23T12:00:00.000001Z""#, "timestamp_in_future");
    check(r#""9999-12-31T23:59:59Z""#, "timestamp_in_future");
    check(r#""9999-12-31T23:59:59-23:59""#, "timestamp_in_future");
    check("1767323045000", "timestamp_format");
    check("true", "timestamp_format");
    let latest = GOOD.replace("2026-01-02T03:04:05Z", "2026-11-23T12:00:00Z");
    assert!(FeatureSchema::default().parse(latest.as_bytes(), NOW_US).is_ok());
}

#[test]
fn stations_must_have_a_name() {
    let check = |bad: &str, code| check_value(r#""station_001""#, bad, "/station_id", code);
    check("5", "not_a_string");
    check("null", "null_not_allowed");
    check(r#""a\u007f""#, "station_id_charset");
    check(r#""a\r\nX-Injected: 1""#, "station_id_charset");
    let escaped = GOOD.replace("station_001", r"stati\u006fn_001");
    let event = FeatureSchema::default().parse(escaped.as_bytes(), NOW_US).unwrap();
    assert_eq!(event.station_id().as_str(), "station_001");
}

#[test]
fn a_known_key_occurs_once_and_an_unknown_one_is_counted() {
    let with = |extra: &str| GOOD.replace('}', extra);
    check_event(&with(r#","sequence":1}"#), &[("/sequence", "duplicate_key")]);
    check_event(&with(r#","s\u0065quence":9}"#), &[("/sequence", "duplicate_key")]);
    check_event(&with(r#","sound_db":1,"sound_db":1}"#), &[("/sound_db", "duplicate_key")]);

    let nested = with(&format!(r#","deep":{}{},"deep":1}}"#, "[".repeat(5_000), "]".repeat(5_000)));
    assert_eq!(
        FeatureSchema::default().parse(nested.as_bytes(), NOW_US).unwrap().n_ignored_keys(),
        2
    );
}

#[test]
fn kinds_of_invalid_json_are_distinguished() {
    check_json(b"", "empty_body");
    check_json(b" \r\n\t ", "empty_body");
    check_json(b"\xEF\xBB\xBF{}", "bom");
    check_json(b"{\0\"\0", "not_utf8");
    check_json(b"{\"a\":\"\xFF\"}", "not_utf8");
    check_json(GOOD.trim_end_matches('}').as_bytes(), "json_syntax");
    check_json(GOOD.replace("70.2", "NaN").as_bytes(), "json_syntax");
    check_json(GOOD.replace("70.2", "007").as_bytes(), "json_syntax");
    check_json(GOOD.replace("66.1}", "66.1,}").as_bytes(), "json_syntax");
    check_json(GOOD.replace("station", "sta\x01tion").as_bytes(), "json_syntax");
    check_json(b"[1,", "json_syntax");
    check_json(format!("{GOOD} x").as_bytes(), "json_trailing");
    check_json(format!("{GOOD}{GOOD}").as_bytes(), "json_trailing");
    check_json(GOOD.replace("station_001", r"\ud800").as_bytes(), "lone_surrogate");
    check_json(GOOD.replace("station_001", r"\udc00x").as_bytes(), "lone_surrogate");
    check_json(GOOD.replace("70.2", "1e999").as_bytes(), "number_out_of_range");
    check_json(GOOD.replace("70.2", &"9".repeat(400)).as_bytes(), "number_out_of_range");
    check_json(
        GOOD.replace(":1,", &format!(":{},", "9".repeat(5_000))).as_bytes(),
        "number_out_of_range",
    );
}

#[test]
fn json_that_is_no_object_is_well_formed() {
    for json in ["[]", "null", "42", r#""text""#, &format!("[{GOOD}]")] {
        check_event(json, &[("", "not_an_object")]);
    }
}

#[test]
fn an_optional_feature_may_be_null_or_missing() {
    let optional = Feature { optional: true, ..Feature::named("a/b") };
    let schema =
        FeatureSchema::new(vec![optional, Feature { optional: true, ..Feature::named("c") }])
            .unwrap();
    let parse = |values: &str| {
        let json = format!(
            r#"{{"station_id":"s","sequence":0,"timestamp":"2026-01-02T03:04:05Z"{values}}}"#
        );
        schema.parse(json.as_bytes(), NOW_US)
    };
    for values in [r#","c":1"#, r#","c":1,"a/b":null"#] {
        let event = parse(values).unwrap();
        assert!(event.values()[0].is_nan() && event.values()[1] == 1.0, "{values}");
    }
    assert_eq!(parse(r#","a/b":3,"c":4"#).unwrap().values(), [3.0, 4.0]);
    let invalid = parse(r#","a/b":"3""#).unwrap_err();
    assert_eq!(invalid.faults()[0].pointer, "/a~1b");
    assert_eq!(invalid.faults()[0].key().unwrap(), "a/b");
    let silent = parse("").unwrap();
    assert!(silent.values().iter().all(|value| value.is_nan()));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_answered_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = FeatureSchema::default().parse(&bytes, NOW_US);
    }

    /// Whatever one byte becomes, an event that passes obeys the schema.
    #[test]
    fn a_mutated_event_is_refused_or_valid(position: prop::sample::Index, byte: u8) {
        let mut json = GOOD.as_bytes().to_vec();
        let position = position.index(json.len());
        json[position] = byte;
        let schema = FeatureSchema::default();
        if let Ok(event) = schema.parse(&json, NOW_US) {
            prop_assert!(StationId::parse(event.station_id().as_str()).is_ok());
            for (feature, &value) in schema.features().iter().zip(event.values()) {
                prop_assert!(feature.allows(value));
            }
        }
    }
}
