//! Times: RFC 3339 text at the edges, `i64` microseconds since 1970 (UTC) inside.

use std::time::SystemTime;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};

/// 2000-01-01T00:00:00Z: no event is older.
pub const EARLIEST_US: i64 = 946_684_800_000_000;
/// 9999-12-31T23:59:59.999999Z: no later time can be written.
pub const LATEST_US: i64 = 253_402_300_799_999_999;

/// Tells the time, in microseconds since 1970 (UTC).
///
/// Code that needs the time takes a clock as an argument, so that tests can choose it.
pub type Clock = fn() -> i64;

const SECOND_US: i64 = 1_000_000;

/// The reason why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTimestamp {
    /// The text has another shape.
    #[error("must be an RFC 3339 date and time, such as 2026-01-02T03:04:05Z")]
    Format,
    /// The text could mean a different moment in every country.
    #[error("must end with Z or an offset, such as +01:00")]
    TimezoneRequired,
    /// There is no such day, time or offset.
    #[error("is not a date and time that exists")]
    Invalid,
}

/// Reads an RFC 3339 time.
///
/// More than six decimals are cut off. A leap second, 23:59:60 UTC, is the last microsecond before
/// it. A space may replace the `T`.
///
/// # Errors
///
/// Fails when the text has another shape, names no offset, or no such time exists.
pub fn parse(text: &str) -> Result<i64, InvalidTimestamp> {
    let mut rest = text.as_bytes();
    let mut local = LocalTime {
        year: digits(&mut rest, 4)?,
        month: after(b"-", &mut rest)?,
        day: after(b"-", &mut rest)?,
        hour: after(b"Tt ", &mut rest)?,
        minute: after(b":", &mut rest)?,
        second: after(b":", &mut rest)?,
        microsecond: fraction(&mut rest)?,
    };
    let offset_minutes = offset(rest)?;

    let is_leap = local.second == 60;
    if is_leap {
        (local.second, local.microsecond) = (59, 999_999);
    }
    let utc_us = local.to_us().ok_or(InvalidTimestamp::Invalid)? - offset_minutes * 60 * SECOND_US;
    let second_of_day = utc_us.div_euclid(SECOND_US).rem_euclid(86_400);
    if is_leap && second_of_day != 86_399 {
        return Err(InvalidTimestamp::Invalid);
    }
    Ok(utc_us)
}

/// Returns a reading of the system's clock, which only `main` functions take, in microseconds since 1970.
pub fn from_system_time(time: SystemTime) -> i64 {
    DateTime::<Utc>::from(time).timestamp_micros()
}

/// Writes a time as RFC 3339 in UTC, with as many decimals as it needs: none, three or six.
///
/// # Panics
///
/// Panics for times that `chrono` cannot name, which are more than 200,000 years away.
pub fn format(timestamp_us: i64) -> String {
    let time =
        DateTime::from_timestamp_micros(timestamp_us).expect("events are of this age of the world");
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

struct LocalTime {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    microsecond: i64,
}

impl LocalTime {
    fn to_us(&self) -> Option<i64> {
        let &Self { year, month, day, hour, minute, second, microsecond } = self;
        let small = |number: i64| u32::try_from(number).ok();
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, small(month)?, small(day)?)?;
        let time = date.and_hms_micro_opt(
            small(hour)?,
            small(minute)?,
            small(second)?,
            small(microsecond)?,
        )?;
        Some(time.and_utc().timestamp_micros())
    }
}

/// Returns the two digits behind one of these characters.
fn after(separators: &[u8], rest: &mut &[u8]) -> Result<i64, InvalidTimestamp> {
    match rest.split_first() {
        Some((first, behind)) if separators.contains(first) => *rest = behind,
        _ => return Err(InvalidTimestamp::Format),
    }
    digits(rest, 2)
}

fn digits(rest: &mut &[u8], count: usize) -> Result<i64, InvalidTimestamp> {
    let (digits, behind) = rest.split_at_checked(count).ok_or(InvalidTimestamp::Format)?;
    *rest = behind;
    digits.iter().try_fold(0, |number, digit| match digit {
        b'0'..=b'9' => Ok(number * 10 + i64::from(digit - b'0')),
        _ => Err(InvalidTimestamp::Format),
    })
}

/// Returns the microseconds of an optional decimal fraction.
fn fraction(rest: &mut &[u8]) -> Result<i64, InvalidTimestamp> {
    let Some(decimals) = rest.strip_prefix(b".") else {
        return Ok(0);
    };
    let n_digits = decimals.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if n_digits == 0 {
        return Err(InvalidTimestamp::Format);
    }
    let (decimals, behind) = decimals.split_at(n_digits);
    *rest = behind;
    let padded = decimals.iter().chain(std::iter::repeat(&b'0')).take(6);
    Ok(padded.fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
}

fn offset(rest: &[u8]) -> Result<i64, InvalidTimestamp> {
    let (sign, mut rest) = match rest {
        [] => return Err(InvalidTimestamp::TimezoneRequired),
        b"Z" | b"z" => return Ok(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return Err(InvalidTimestamp::Format),
    };
    let hours = digits(&mut rest, 2)?;
    let minutes = after(b":", &mut rest)?;
    match rest {
        [] if hours < 24 && minutes < 60 => Ok(sign * (hours * 60 + minutes)),
        [] => Err(InvalidTimestamp::Invalid),
        _ => Err(InvalidTimestamp::Format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(format(parse(text).unwrap()), expected);
    }

    #[test]
    fn times_are_read_and_written_in_utc() {
        check("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z");
        check("2026-01-02t03:04:05z", "2026-01-02T03:04:05Z");
        check("2026-01-02 03:04:05Z", "2026-01-02T03:04:05Z");
        check("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z");
        check("2026-01-01T23:04:05-02:30", "2026-01-02T01:34:05Z");
        check("2026-01-02T03:04:05.5Z", "2026-01-02T03:04:05.500Z");
        check("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z");
        check("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z");
        assert_eq!(parse("2000-01-01T00:00:00Z"), Ok(EARLIEST_US));
        assert_eq!(parse("9999-12-31T23:59:59.999999Z"), Ok(LATEST_US));
    }

    #[test]
    fn a_leap_second_is_the_last_microsecond_before_it() {
        check("2026-06-30T23:59:60Z", "2026-06-30T23:59:59.999999Z");
        check("2026-07-01T01:59:60.7+02:00", "2026-06-30T23:59:59.999999Z");
        assert_eq!(parse("2026-06-30T12:00:60Z"), Err(InvalidTimestamp::Invalid));
    }

    #[test]
    fn faults_of_a_time_are_distinguished() {
        let faults = |texts: &[&str], expected: InvalidTimestamp| {
            for text in texts {
                assert_eq!(parse(text), Err(expected), "{text}");
            }
        };
        faults(
            &["2026-01-02T03:04:05", "2026-01-02T03:04:05.25"],
            InvalidTimestamp::TimezoneRequired,
        );
        faults(
            &[
                "",
                "yesterday",
                "2026-01-02",
                "2026-01-02T03:04Z",
                "10000-01-01T00:00:00Z",
                "-2026-01-02T03:04:05Z",
            ],
            InvalidTimestamp::Format,
        );
        faults(
            &[
                "2026-01-02T03:04:05.Z",
                "2026-01-02T03:04:05+0200",
                "2026-01-02T03:04:05Z ",
                "1767323045",
            ],
            InvalidTimestamp::Format,
        );
        faults(
            &[
                "2026-02-30T00:00:00Z",
                "2026-02-29T00:00:00Z",
                "2026-01-02T24:00:00Z",
                "2026-01-02T03:04:05+99:99",
            ],
            InvalidTimestamp::Invalid,
        );
    }
}
