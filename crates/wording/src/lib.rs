//! Numbers, sizes and durations as people read them.
//!
//! Every text for people takes its numbers from here, so that a count, a share or a duration is
//! written in the same way on pages, in reports and on terminals.
//!
//! ```
//! assert_eq!(wording::grouped(10_000.0), "10,000");
//! assert_eq!(wording::percent(0.0075), "0.75 %");
//! assert_eq!(wording::bytes(1_234_000_000), "1.2 GB");
//! ```
//!
//! It knows no units of sensors and no languages but English.

use std::time::Duration;

/// Joins the messages of an error and of its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Writes a number without decimals and with its thousands separated: 10,000.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a share as a percentage with up to two decimals: 0.75 %.
pub fn percent(share: f64) -> String {
    format!("{} %", rounded(share * 100.0, 2))
}

/// Writes a number with about five significant digits: 69.973, or 1.2346e-9 where zeros would fill
/// the line.
pub fn significant(number: f64) -> String {
    let size = number.abs();
    if number != 0.0 && !(1e-3..1e7).contains(&size) {
        return format!("{number:.4e}");
    }
    let n_places = match size {
        0.0 => 0,
        _ if size < 0.01 => 6,
        _ if size < 0.1 => 5,
        _ if size < 10.0 => 4,
        _ if size < 100.0 => 3,
        _ if size < 1_000.0 => 2,
        _ => 1,
    };
    format!("{number:.n_places$}")
}

/// Writes a number with at most `n_places` decimals and no trailing zeros: 36, 0.8.
pub fn rounded(number: f64, n_places: usize) -> String {
    let text = format!("{number:.n_places$}");
    let text = match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.'),
        None => &text,
    };
    // Zero has no sign.
    String::from(if text == "-0" { "0" } else { text })
}

/// Writes a number with at most `n_places` decimals, or as a power of ten where it is too large or
/// too small for them: 91.2, 1.5e12, 3e-9.
pub fn readable(number: f64, n_places: usize) -> String {
    let text = rounded(number, n_places);
    let is_lost = number != 0.0 && text == "0";
    if number.abs() >= 1e9 || is_lost {
        let text = format!("{number:.2e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{power}");
    }
    text
}

/// Returns the number of decimals that distinguish values of a range of this width: its width has
/// about three digits.
pub fn places_of(width: f64) -> usize {
    if !width.is_finite() || width <= 0.0 {
        return 2;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between 0 and 9"
    )]
    let n_places = (2.0 - width.log10().floor()).clamp(0.0, 9.0) as usize;
    n_places
}

/// Writes a size in bytes in its largest unit: 971 kB, 1.2 GB.
pub fn bytes(size: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    let size = size as f64;
    match units.into_iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) if size < 10.0 * unit => format!("{} {name}", rounded(size / unit, 1)),
        Some((unit, name)) => format!("{:.0} {name}", size / unit),
        None => format!("{size:.0} B"),
    }
}

/// Writes a duration in its largest unit, followed by the next unit for small counts: 45 s, 3 min,
/// 2 h 5 min, 20 d, 3 months, 6 years.
pub fn duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    const MONTH: u64 = 30 * DAY;
    const YEAR: u64 = 365 * DAY;
    const TWO_MONTHS: u64 = 2 * MONTH;
    const TWO_YEARS: u64 = 2 * YEAR;
    let seconds = duration.as_secs();
    let with = |unit: u64, name: &str, smaller: u64, smaller_name: &str| {
        let (count, rest) = (seconds / unit, seconds % unit / smaller);
        if count < 10 && rest > 0 {
            format!("{count} {name} {rest} {smaller_name}")
        } else {
            format!("{count} {name}")
        }
    };
    match seconds {
        0..MINUTE => format!("{seconds} s"),
        MINUTE..HOUR => format!("{} min", seconds / MINUTE),
        HOUR..DAY => with(HOUR, "h", MINUTE, "min"),
        DAY..TWO_MONTHS => with(DAY, "d", HOUR, "h"),
        TWO_MONTHS..TWO_YEARS => format!("{} months", seconds / MONTH),
        _ => format!("{} years", seconds / YEAR),
    }
}

/// Writes a count and its noun, which gets an s unless there is one: 1 event, 20 events.
pub fn counted(n: u64, noun: &str) -> String {
    let ending = if n == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(n as f64))
}

/// Writes the first names of a list and the number of the others: a, b, c and 197 more.
pub fn listed<T: AsRef<str>>(names: &[T]) -> String {
    /// Enough to recognise a list by.
    const SHOWN_MAX: usize = 8;
    let (shown, others) = names.split_at(names.len().min(SHOWN_MAX));
    let shown = shown.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    match others.len() {
        0 => shown,
        n_others => format!("{shown} and {n_others} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [0.0, 999.4, 1_000.0, 1_234_567.0, -123_456.0].map(grouped),
            ["0", "999", "1,000", "1,234,567", "-123,456"]
        );
        assert_eq!([0.01, 0.5, 0.0015, 1.0].map(percent), ["1 %", "50 %", "0.15 %", "100 %"]);
        assert_eq!(
            [0.0, 69.973_4, -273.15, 0.004_49, 1.5e-9, 1e300].map(significant),
            ["0", "69.973", "-273.15", "0.004490", "1.5000e-9", "1.0000e300"]
        );
        assert_eq!(
            [36.0, 0.83, -0.04, 100.0].map(|number| rounded(number, 1)),
            ["36", "0.8", "0", "100"]
        );
        assert_eq!(
            [91.234, 1.5e12, -3e-9, 1e300, 0.0].map(|number| readable(number, 1)),
            ["91.2", "1.5e12", "-3e-9", "1e300", "0"]
        );
        assert_eq!([1_200.0, 16.0, 0.5, 1e-300, 0.0, f64::NAN].map(places_of), [0, 1, 3, 9, 2, 2]);
        assert_eq!(
            [0, 999, 971_000, 1_234_000_000].map(bytes),
            ["0 B", "999 B", "971 kB", "1.2 GB"]
        );
    }

    #[test]
    fn durations_are_written_for_people() {
        let durations = [0, 59, 60, 3_599, 3_600, 7_500, 86_399, 86_400, 100_000, 8_640_000];
        assert_eq!(
            durations.map(|seconds| duration(Duration::from_secs(seconds))),
            [
                "0 s",
                "59 s",
                "1 min",
                "59 min",
                "1 h",
                "2 h 5 min",
                "23 h",
                "1 d",
                "1 d 3 h",
                "3 months"
            ]
        );
        let years = Duration::from_hours(2_456 * 24);
        assert_eq!(duration(years), "6 years");
    }

    #[test]
    fn nouns_and_lists_follow_their_number() {
        assert_eq!(
            [0, 1, 2_000].map(|n| counted(n, "event")),
            ["0 events", "1 event", "2,000 events"]
        );
        assert_eq!(listed(&["a", "b"]), "a, b");
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
        assert_eq!(listed(&names), "a, b, c, d, e, f, g, h and 2 more");
        assert_eq!(listed::<&str>(&[]), "");
    }
}
