//! Times as they are written in recordings.

use chrono::{NaiveDate, NaiveDateTime};
use sensor::timestamp::EARLIEST_US;

const EARLIEST_S: f64 = (EARLIEST_US / 1_000_000) as f64;

/// Times without an offset, which are UTC.
const DATE_TIME_FORMATS: [&str; 6] = [
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y/%m/%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y %H:%M:%S%.f",
    "%d.%m.%Y %H:%M",
];
const DATE_FORMATS: [&str; 3] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y"];

/// Reads a time in microseconds since 1970: RFC 3339, a time without an offset, a date, or a count
/// of seconds, milliseconds or microseconds since 1970, told apart by its size. A count too small for
/// our age is one of seconds since the recording began, which is taken to be the year 2000.
pub(crate) fn parse(text: &str) -> Option<i64> {
    if let Ok(timestamp_us) = sensor::timestamp::parse(text) {
        return Some(timestamp_us);
    }
    if let Ok(count) = text.parse::<f64>() {
        return from_count(count);
    }
    let date_time = DATE_TIME_FORMATS
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let date =
        || DATE_FORMATS.iter().find_map(|format| NaiveDate::parse_from_str(text, format).ok());
    let midnight = || date().and_then(|date| date.and_hms_opt(0, 0, 0));
    date_time.or_else(midnight).map(|time| time.and_utc().timestamp_micros())
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds are far below 2^63")]
fn from_count(count: f64) -> Option<i64> {
    let in_us = match count.abs() {
        _ if (0.0..EARLIEST_S).contains(&count) => (EARLIEST_S + count) * 1e6,
        size if size < 1e11 => count * 1e6,
        size if size < 1e14 => count * 1e3,
        size if size < 1e17 => count,
        _ => return None,
    };
    Some(in_us.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_moment_has_many_spellings() {
        let expected = sensor::timestamp::parse("2026-01-02T03:04:05Z").unwrap();
        for text in [
            "2026-01-02T04:04:05+01:00",
            "2026-01-02 03:04:05",
            "2026-01-02T03:04:05",
            "2026/01/02 03:04:05.000",
            "02.01.2026 03:04:05",
            "1767323045",
            "1767323045.0",
            "1767323045000",
            "1767323045000000",
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(parse("0"), Some(EARLIEST_US));
        assert_eq!(parse("1.5"), Some(EARLIEST_US + 1_500_000));
        assert_eq!(
            parse("2026-01-02"),
            Some(sensor::timestamp::parse("2026-01-02T00:00:00Z").unwrap())
        );
        for text in ["", "noon", "2026-02-30", "nan", "1e300", "03:04:05"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
