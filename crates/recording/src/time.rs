//! Times as they are written in recordings.
//!
//! A column writes all its times in one way, which is recognised from the first of them. What may mean two moments is not guessed.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use sensor::timestamp::EARLIEST_US;

const SECOND_US: i64 = 1_000_000;
const DAY_S: i64 = 86_400;
/// 1990-01-01 and 2100-01-01 in seconds since 1970: a reading outside is a misunderstanding.
const SINCE_S: i64 = 631_152_000;
const UNTIL_S: i64 = 4_102_444_800;
/// Seconds since the beginning of a recording hardly begin later, a day after it.
const LATE_BEGINNING_S: f64 = 86_400.0;
/// The days from 1899-12-30, where spreadsheets begin, to 1970.
const SERIAL_1970: f64 = 25_569.0;

/// The way in which a column writes its times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeFormat {
    /// A date, and perhaps the time of the day, an offset, AM or PM.
    Written(DateOrder),
    /// The same, of which the first rows did not tell whether the day or the month stands first: only days that are the same in
    /// both are read.
    Undecided(DateOrder, DateOrder),
    /// Digits alone: `YYYYMMDD`, perhaps followed by `hhmm` or `hhmmss`.
    Compact,
    /// A count since 1970, with so many to a second.
    Unix {
        /// 1 for seconds, 1,000 for milliseconds, and so on.
        per_second: i64,
    },
    /// Days since 1899-12-30, as spreadsheets count them.
    SerialDays,
    /// Seconds since the recording began, which is taken to be the year 2000.
    Elapsed,
    /// As in C's `strftime`.
    Strftime(String),
}

/// The order of the parts of a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateOrder {
    /// 2026-03-01
    YearFirst,
    /// 01.03.2026
    DayFirst,
    /// 03/01/2026
    MonthFirst,
}

/// The reason why the times of a column are not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeTrouble {
    /// Hardly one is a time.
    #[error(
        "holds `{example}`, which is not understood as a time between 1990 and 2100; say how it is written, such as {FLAG} '%d.%m.%Y %H:%M:%S', or do without times with --time-column none"
    )]
    Unknown {
        /// One of them.
        example: String,
    },
    /// Numbers have two readings.
    #[error(
        "holds numbers such as `{example}`, which may be seconds or days; say which with {FLAG} seconds or {FLAG} spreadsheet-days, or do without times with \
         --time-column none"
    )]
    Unclear {
        /// One of them.
        example: String,
    },
    /// They do not rise.
    #[error(
        "holds numbers such as `{example}` that go up and down, so that they are no times since a beginning; say what they are, such as with {FLAG} seconds, or do without times with --time-column none"
    )]
    Unordered {
        /// The first that is lower than the one before.
        example: String,
    },
    /// They have two readings.
    #[error("holds times such as `{example}`, which may mean {} or {}; say which with {FLAG} {} or {FLAG} {}", readings[0].1, readings[1].1, readings[0].0, readings[1].0)]
    Ambiguous {
        /// One of them.
        example: String,
        /// The first two readings of it: how it would be written, and the day that it would mean.
        readings: [(DateOrder, NaiveDate); 2],
    },
}

const FLAG: &str = "--time-format";

/// The formats of numbers, as a user says them.
const OF_NUMBERS: [(&str, TimeFormat); 7] = [
    ("seconds", TimeFormat::Elapsed),
    ("spreadsheet-days", TimeFormat::SerialDays),
    ("compact", TimeFormat::Compact),
    ("unix-s", TimeFormat::Unix { per_second: 1 }),
    ("unix-ms", TimeFormat::Unix { per_second: 1_000 }),
    ("unix-us", TimeFormat::Unix { per_second: 1_000_000 }),
    ("unix-ns", TimeFormat::Unix { per_second: 1_000_000_000 }),
];

const DATE_ORDERS: [(DateOrder, &str); 3] = [
    (DateOrder::YearFirst, "year-first"),
    (DateOrder::DayFirst, "day-first"),
    (DateOrder::MonthFirst, "month-first"),
];

impl TimeFormat {
    /// Recognises the format of some times.
    ///
    /// # Errors
    ///
    /// Fails when most are no times, and when their days and months could be exchanged.
    pub(crate) fn of(texts: &[String]) -> Result<Self, TimeTrouble> {
        let written = DATE_ORDERS.map(|(order, _)| Self::Written(order));
        let counts = [1, 1_000, 1_000_000, 1_000_000_000];
        let counts = counts.map(|per_second| Self::Unix { per_second });
        // Of formats that read as many, the first is meant: 2026030112 is an hour, not a second of the year 2034.
        let formats = written.into_iter().chain([Self::Compact]).chain(counts);
        let formats = formats.chain([Self::SerialDays, Self::Elapsed]);
        let n_read =
            |format: &Self| texts.iter().filter(|text| format.read(text).is_some()).count();
        let found = formats.map(|format| (n_read(&format), format));
        let found = found.reduce(|best, next| if next.0 > best.0 { next } else { best });
        let (n_best, best) = found.expect("there are formats");
        if n_best == 0 || 2 * n_best < texts.len() {
            let example = texts.iter().find(|text| best.read(text).is_none());
            let example = example.cloned().unwrap_or_default();
            return Err(TimeTrouble::Unknown { example });
        }
        let Self::Written(first) = best else { return best.of_numbers(texts) };
        let others = DATE_ORDERS
            .into_iter()
            .map(|(order, _)| order)
            .filter(|&order| order != first && n_read(&Self::Written(order)) == n_best);
        let differs = |&order: &DateOrder| {
            texts.iter().any(|text| Self::Written(order).read(text) != best.read(text))
        };
        let Some(other) = others.clone().find(differs).or_else(|| others.clone().next()) else {
            return Ok(best);
        };
        let day_of = |order, text: &str| Some((order, Self::Written(order).day(text)?));
        let readings =
            |text: &String| Some((text.clone(), [day_of(first, text)?, day_of(other, text)?]));
        let different = texts.iter().filter_map(readings).find(|(_, days)| days[0].1 != days[1].1);
        match different {
            Some((example, readings)) => Err(TimeTrouble::Ambiguous { example, readings }),
            None => Ok(Self::Undecided(first, other)),
        }
    }

    /// Checks that numbers cannot mean something else.
    fn of_numbers(self, texts: &[String]) -> Result<Self, TimeTrouble> {
        if !matches!(self, Self::SerialDays | Self::Elapsed) {
            return Ok(self);
        }
        let numbers: Vec<(&String, f64)> =
            texts.iter().filter_map(|text| Some((text, number(text)?))).collect();
        let falls = numbers.windows(2).find(|pair| pair[1].1 < pair[0].1);
        if let Some([_, (text, _)]) = falls {
            return Err(TimeTrouble::Unordered { example: (*text).clone() });
        }
        // Days have hours and minutes behind the point; seconds hardly come thousands of times a second.
        let has_parts = numbers.iter().any(|(_, number)| number.fract() != 0.0);
        let is_fast = numbers.windows(2).all(|pair| pair[1].1 - pair[0].1 < 0.5);
        let is_late = numbers.first().is_some_and(|(_, first)| *first > LATE_BEGINNING_S);
        let is_unclear = match self {
            Self::SerialDays => !(has_parts && is_fast),
            // Days since another beginning, such as the year 0.
            _ => is_late && has_parts && is_fast,
        };
        if is_unclear { Err(TimeTrouble::Unclear { example: texts[0].clone() }) } else { Ok(self) }
    }

    /// Reads a time.
    pub(crate) fn read(&self, text: &str) -> Option<Time> {
        let time = match self {
            Self::Written(order) => written(text, *order)?,
            Self::Undecided(first, other) => match (written(text, *first), written(text, *other)) {
                (Some(first), Some(other)) if first != other => return None,
                (first, other) => first.or(other)?,
            },
            Self::Compact => Time::local(compact(text)?),
            Self::Unix { per_second } => Time::utc(unix(text, *per_second)?),
            Self::SerialDays => Time::local(serial(text)?),
            Self::Elapsed => return elapsed(text).map(Time::utc),
            Self::Strftime(format) => strftime(text, format)?,
        };
        (SINCE_S * SECOND_US..UNTIL_S * SECOND_US).contains(&time.us).then_some(time)
    }

    /// Returns how a user says it.
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::Written(order) | Self::Undecided(order, _) => order.to_string(),
            Self::Strftime(format) => format.clone(),
            numbers => {
                let known = OF_NUMBERS.iter().find(|(_, format)| format == numbers);
                known.map_or_else(String::new, |(name, _)| String::from(*name))
            }
        }
    }

    fn day(&self, text: &str) -> Option<NaiveDate> {
        DateTime::from_timestamp_micros(self.read(text)?.us).map(|time| time.date_naive())
    }
}

impl fmt::Display for TimeFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written(order) => write!(f, "dates, {order}"),
            Self::Undecided(..) => f.write_str("dates"),
            Self::Compact => f.write_str("dates without separators"),
            Self::Unix { per_second: 1 } => f.write_str("seconds since 1970"),
            Self::Unix { per_second: 1_000 } => f.write_str("milliseconds since 1970"),
            Self::Unix { per_second: 1_000_000 } => f.write_str("microseconds since 1970"),
            Self::Unix { .. } => f.write_str("nanoseconds since 1970"),
            Self::SerialDays => f.write_str("days of a spreadsheet"),
            Self::Elapsed => f.write_str("seconds since the beginning"),
            Self::Strftime(format) => write!(f, "{format}"),
        }
    }
}

impl FromStr for TimeFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let order = DATE_ORDERS.iter().find(|(_, name)| *name == text);
        let of_numbers = OF_NUMBERS.iter().find(|(name, _)| *name == text);
        let has = |code: &str| text.contains(code);
        match (order, of_numbers) {
            (Some((order, _)), _) => Ok(Self::Written(*order)),
            (_, Some((_, format))) => Ok(format.clone()),
            _ if has("%Z") => Err(String::from(
                "names of time zones, %Z, say no offset; write them as they are, such as CET, for times in UTC, or use %z",
            )),
            _ if has("%I") && !has("%p") && !has("%P") => {
                Err(String::from("an hour of 12, %I, needs AM or PM, %p"))
            }
            _ if has("%") => Ok(Self::Strftime(text.to_owned())),
            _ => Err(format!(
                "must be day-first, month-first, year-first, {}, or like '%d.%m.%Y %H:%M:%S'",
                OF_NUMBERS.map(|(name, _)| name).join(", ")
            )),
        }
    }
}

impl fmt::Display for DateOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = DATE_ORDERS.iter().find(|(order, _)| order == self).map(|(_, name)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

/// A time as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Time {
    /// Microseconds since 1970: in UTC, or on the clock of the place.
    pub(crate) us: i64,
    /// `true` for what a clock shows, of which the offset from UTC is not said.
    pub(crate) is_local: bool,
}

impl Time {
    fn utc(us: i64) -> Self {
        Self { us, is_local: false }
    }

    fn local(us: i64) -> Self {
        Self { us, is_local: true }
    }
}

/// A time in parts, which is read from the front.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    /// Takes a number of 1 to `len_max` digits, and tells how many there were.
    fn number(&mut self, len_max: usize) -> Option<(u32, usize)> {
        let digits = self.0.bytes().take(len_max).take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.0.split_at(digits);
        self.0 = rest;
        Some((number.parse().ok()?, digits))
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let mut rest = self.0.chars();
        let first = rest.next().filter(|&first| wanted(first))?;
        self.0 = rest.as_str();
        Some(first)
    }

    /// Takes a word, whatever its case.
    fn word(&mut self, word: &str) -> bool {
        let Some((start, rest)) = self.0.split_at_checked(word.len()) else { return false };
        let is_found = start.eq_ignore_ascii_case(word);
        if is_found {
            self.0 = rest;
        }
        is_found
    }

    fn skip_blanks(&mut self) {
        self.0 = self.0.trim_start();
    }
}

fn written(text: &str, order: DateOrder) -> Option<Time> {
    let mut rest = Rest(text);
    let date = date(&mut rest, order)?;
    let is_apart = rest.take(|c| matches!(c, 'T' | 't' | ' ' | ',' | '_')).is_some();
    rest.skip_blanks();
    let has_time = is_apart && !rest.0.is_empty();
    let (time, offset) =
        if has_time { time_of_day(&mut rest)? } else { (NaiveTime::MIN, Offset::Untold) };
    let shown_us = date.and_time(time).and_utc().timestamp_micros();
    let time = match offset {
        Offset::Untold => Time::local(shown_us),
        Offset::Seconds(offset_s) => Time::utc(shown_us - offset_s * SECOND_US),
    };
    rest.0.is_empty().then_some(time)
}

/// The distance of a clock from UTC.
#[derive(Debug, Clone, Copy)]
enum Offset {
    Untold,
    Seconds(i64),
}

fn date(rest: &mut Rest<'_>, order: DateOrder) -> Option<NaiveDate> {
    let is_separator = |c| matches!(c, '-' | '/' | '.' | ' ');
    let mut parts = [(0, 0); 3];
    let mut separators = [' '; 2];
    let mut named_month = None;
    for index in 0..3 {
        match month(rest) {
            Some(month) if named_month.is_none() => {
                (named_month, parts[index]) = (Some(index), (month, 2));
            }
            _ => parts[index] = rest.number(4)?,
        }
        if index < 2 {
            separators[index] = rest.take(is_separator)?;
        }
    }
    let [first, second, third] = parts;
    // Four digits are a year; points and the name of a month stand behind a day.
    let is_year_first = first.1 > 2;
    let is_behind_day = separators == ['.', '.'] || named_month == Some(1);
    let (year, month, day) = match order {
        DateOrder::YearFirst if third.1 <= 2 && (is_year_first || !is_behind_day) => {
            (first, second, third)
        }
        DateOrder::DayFirst if !is_year_first => (third, second, first),
        DateOrder::MonthFirst if !is_year_first && !is_behind_day => (third, first, second),
        _ => return None,
    };
    let is_named_elsewhere = named_month.is_some_and(|index| parts[index] != month);
    if separators[0] != separators[1] || is_named_elsewhere || month.1 > 2 || day.1 > 2 {
        return None;
    }
    let year_of_two = || if year.0 < 70 { 2_000 + year.0 } else { 1_900 + year.0 };
    let year = match year.1 {
        4 => year.0,
        2 => year_of_two(),
        _ => return None,
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month.0, day.0)
}

/// Takes the name of a month in English, and returns its number.
fn month(rest: &mut Rest<'_>) -> Option<u32> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let index = MONTHS.iter().position(|month| rest.word(month))?;
    u32::try_from(index + 1).ok()
}

/// Reads the time of the day, and the offset from UTC.
fn time_of_day(rest: &mut Rest<'_>) -> Option<(NaiveTime, Offset)> {
    let (mut hour, n_digits_of_hour) = rest.number(2)?;
    let has_colons = rest.take(|c| c == ':').is_some();
    let (minute, n_digits) = rest.number(2)?;
    let (mut second, mut nano) = (0, 0);
    if n_digits != 2 || !has_colons && n_digits_of_hour != 2 {
        return None;
    }
    let has_seconds = if has_colons {
        rest.take(|c| c == ':').is_some()
    } else {
        rest.0.starts_with(|c: char| c.is_ascii_digit())
    };
    if has_seconds {
        second = rest.number(2)?.0;
        if rest.take(|c| c == '.' || c == ',').is_some() {
            let (fraction, n_digits) = rest.number(9)?;
            nano = fraction * 10_u32.pow(9 - u32::try_from(n_digits).ok()?);
        }
    }
    rest.skip_blanks();
    let half = [("am", 0), ("a.m.", 0), ("pm", 12), ("p.m.", 12)];
    if let Some((_, hours)) = half.iter().find(|(word, _)| rest.word(word)) {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + hours;
        rest.skip_blanks();
    }
    let offset = offset(rest)?;
    // A leap second counts as the one before.
    Some((NaiveTime::from_hms_nano_opt(hour, minute, second.min(59), nano)?, offset))
}

fn offset(rest: &mut Rest<'_>) -> Option<Offset> {
    if rest.0.is_empty() {
        return Some(Offset::Untold);
    }
    if ["utc", "gmt", "z"].iter().any(|word| rest.word(word)) {
        return Some(Offset::Seconds(0));
    }
    let sign = if rest.take(|c| matches!(c, '+' | '-'))? == '+' { 1 } else { -1 };
    let (hours, n_digits) = rest.number(2)?;
    let is_apart = rest.take(|c| c == ':').is_some();
    let minutes = match rest.number(2) {
        Some((minutes, 2)) => minutes,
        None if !is_apart && rest.0.is_empty() => 0,
        _ => return None,
    };
    let is_offset = n_digits == 2 && hours < 24 && minutes < 60;
    let offset_s = sign * (i64::from(hours) * 3_600 + i64::from(minutes) * 60);
    is_offset.then_some(Offset::Seconds(offset_s))
}

fn compact(text: &str) -> Option<i64> {
    let is_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let format = match text.len() {
        8 if is_digits => return compact(&format!("{text}000000")),
        10 if is_digits => return compact(&format!("{text}0000")),
        12 if is_digits => return compact(&format!("{text}00")),
        14 if is_digits => "%Y%m%d%H%M%S",
        _ => return None,
    };
    let time = NaiveDateTime::parse_from_str(text, format).ok()?;
    Some(time.and_utc().timestamp_micros())
}

fn unix(text: &str, per_second: i64) -> Option<i64> {
    // Whole numbers are exact also where a float is not.
    if let Ok(count) = text.parse::<i64>() {
        let whole_s = count.div_euclid(per_second);
        let part_us = i128::from(count.rem_euclid(per_second)) * i128::from(SECOND_US);
        let part_us = i64::try_from(part_us / i128::from(per_second)).ok()?;
        return whole_s.checked_mul(SECOND_US)?.checked_add(part_us);
    }
    from_seconds(number(text)? / per_second as f64)
}

fn serial(text: &str) -> Option<i64> {
    from_seconds((number(text)? - SERIAL_1970) * DAY_S as f64)
}

fn elapsed(text: &str) -> Option<i64> {
    let seconds = number(text)?;
    let is_elapsed = (0.0..SINCE_S as f64).contains(&seconds);
    is_elapsed.then_some(EARLIEST_US)?.checked_add(from_seconds(seconds)?)
}

#[expect(clippy::cast_possible_truncation, reason = "the bounds are far below 2^63")]
fn from_seconds(seconds: f64) -> Option<i64> {
    (0.0..=UNTIL_S as f64).contains(&seconds).then(|| (seconds * SECOND_US as f64).round() as i64)
}

/// Reads a number of seconds or days, whose decimal mark is the only one.
fn number(text: &str) -> Option<f64> {
    text.parse().or_else(|_| text.replacen(',', ".", 1).parse()).ok()
}

fn strftime(text: &str, format: &str) -> Option<Time> {
    if let Ok(time) = DateTime::parse_from_str(text, format) {
        return Some(Time::utc(time.timestamp_micros()));
    }
    // An hour without minutes is a whole one; a day without an hour begins at midnight.
    let [hour, day] = [" %M", " %H:%M"].map(|more| format!("{format}{more}"));
    let read = |text: &str, format: &str| NaiveDateTime::parse_from_str(text, format).ok();
    let time = read(text, format)
        .or_else(|| read(&format!("{text} 00"), &hour))
        .or_else(|| read(&format!("{text} 00:00"), &day))?;
    Some(Time::local(time.and_utc().timestamp_micros()))
}

/// Returns `true` for a time of a day, without the day.
pub(crate) fn is_time_of_day(text: &str) -> bool {
    let is_written = |text: &str| written(text, DateOrder::YearFirst).is_some();
    is_written(&format!("2026-12-31 {text}")) && !is_written(text)
}

/// Returns `true` for a date, with or without a time, that is no number.
pub(crate) fn may_be_time(text: &str) -> bool {
    let is_read = |order| TimeFormat::Written(order).read(text).is_some();
    text.len() >= 6 && DATE_ORDERS.iter().any(|(order, _)| is_read(*order)) || is_clock(text)
}

/// Returns `true` for a time of a day with colons.
fn is_clock(text: &str) -> bool {
    text.contains(':') && is_time_of_day(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(texts: &[&str]) -> Result<TimeFormat, TimeTrouble> {
        TimeFormat::of(&texts.iter().map(|text| String::from(*text)).collect::<Vec<_>>())
    }

    fn read(format: &TimeFormat, text: &str) -> Option<i64> {
        format.read(text).map(|time| time.us)
    }

    #[test]
    fn one_moment_has_many_spellings() {
        let expected = sensor::timestamp::parse("2026-01-22T15:04:05Z").unwrap();
        for text in [
            "2026-01-22T16:04:05+01:00",
            "2026-01-22T16:04:05+0100",
            "2026-01-22 16:04:05+01",
            "2026-01-22 15:04:05",
            "2026-01-22T15:04:05Z",
            "2026-01-22 15:04:05 UTC",
            "2026-01-22 15:04:05,000",
            "2026/01/22 15:04:05.000",
            "22.01.2026 15:04:05",
            "22.01.26 15:04:05",
            "22/1/2026 15:04:05",
            "01/22/2026 3:04:05 PM",
            "22-Jan-26 15:04:05",
            "Jan 22 2026 15:04:05",
            "20260122150405",
            "1769094245",
            "1769094245.0",
            "1769094245000",
            "1769094245000000",
            "1769094245000000000",
        ] {
            let read = format(&[text]).map(|format| read(&format, text));
            assert_eq!(read, Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn a_time_of_no_day_and_of_no_hour() {
        let midnight = sensor::timestamp::parse("2026-01-22T00:00:00Z").unwrap();
        for text in ["2026-01-22", "22.01.2026", "20260122", "2026012200", "01/22/2026 12:00:00 AM"]
        {
            assert_eq!(read(&format(&[text]).unwrap(), text), Some(midnight), "{text}");
        }
        let serial = format(&["46044.5", "46044,75"]).unwrap();
        assert_eq!(read(&serial, "46044.25"), Some(midnight + 21_600 * SECOND_US));
    }

    #[test]
    fn seconds_since_the_beginning_are_counted_from_2000() {
        let elapsed = format(&["0", "0.5", "40000"]).unwrap();
        assert_eq!(elapsed, TimeFormat::Elapsed);
        assert_eq!(read(&elapsed, "1.5"), Some(EARLIEST_US + 1_500_000));
        assert_eq!(read(&elapsed, "-1"), None);
        assert_eq!(format(&["0,0", "0,1"]), Ok(TimeFormat::Elapsed));
        // Seconds of a day, or days.
        assert!(matches!(format(&["40000", "40001"]), Err(TimeTrouble::Unclear { .. })));
        let days_since_year_0 = format(&["739315.208333", "739315.209028"]);
        assert!(matches!(days_since_year_0, Err(TimeTrouble::Unclear { .. })));
        assert!(matches!(format(&["7", "3"]), Err(TimeTrouble::Unordered { .. })));
        let said: TimeFormat = "seconds".parse().unwrap();
        assert_eq!(read(&said, "40000"), Some(EARLIEST_US + 40_000 * SECOND_US));
    }

    #[test]
    fn what_may_be_two_days_is_not_guessed() {
        let error = format(&["03/01/2026 12:00:00 AM", "03/02/2026 12:00:00 AM"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "holds times such as `03/01/2026 12:00:00 AM`, which may mean 2026-01-03 or 2026-03-01; say which with \
             --time-format day-first or --time-format month-first"
        );
        // A day that is no month decides, and so does one that is the same both ways.
        let decided = format(&["03/01/2026", "13/01/2026"]);
        assert_eq!(decided, Ok(TimeFormat::Written(DateOrder::DayFirst)));
        let undecided = format(&["03/03/2026"]).unwrap();
        assert!(
            read(&undecided, "03/03/2026").is_some() && read(&undecided, "03/13/2026").is_some()
        );
        assert_eq!(read(&undecided, "03/04/2026"), None);
        assert!(format(&["01-02-03"]).is_err());
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "noon",
            "2026-02-30",
            "nan",
            "1e300",
            "03:04:05",
            "26120110052320",
            "2026-01-22 25:00",
        ] {
            assert!(matches!(format(&[text]), Err(TimeTrouble::Unknown { .. })), "{text}");
        }
        let year_first = TimeFormat::Written(DateOrder::YearFirst);
        for text in ["0026-03-01", "2612-01-10 05:23:20", "2026-03-01 00:00:00 CET", "2026-03/01"] {
            assert_eq!(read(&year_first, text), None, "{text}");
        }
        let given: TimeFormat = "%d|%m|%Y %Hh%M".parse().unwrap();
        let expected = sensor::timestamp::parse("2026-01-22T15:04:00Z").unwrap();
        assert_eq!(read(&given, "22|01|2026 15h04"), Some(expected));
        let hour: TimeFormat = "%Y-%m-%d %H".parse().unwrap();
        assert_eq!(read(&hour, "2026-01-22 15"), Some(expected - 4 * 60 * SECOND_US));
        for wrong in ["iso", "%Y-%m-%d %I:%M", "%Y-%m-%d %H:%M %Z"] {
            assert!(wrong.parse::<TimeFormat>().is_err(), "{wrong}");
        }
    }
}
