//! Lengths of time as a user writes them.

use std::fmt;
use std::str::FromStr;

/// The units, the longest first, in microseconds.
const UNITS: [(&str, i64); 5] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
];

/// A length of time above zero, of whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    us: i64,
}

impl Interval {
    /// The longest, some thousand years.
    const LONGEST_MS: i64 = 100_000_000_000_000;

    /// Returns the whole milliseconds of some microseconds, at least one.
    pub(crate) fn of_us(us: i64) -> Self {
        Self { us: (us / 1_000).clamp(1, Self::LONGEST_MS) * 1_000 }
    }

    /// Returns its microseconds.
    pub(crate) fn us(self) -> i64 {
        self.us
    }
}

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let n_digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (count, unit) = text.split_at(n_digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
        let us = unit.and_then(|(_, us)| count.parse::<i64>().ok()?.checked_mul(*us));
        let is_possible = |us: &i64| (1..=Self::LONGEST_MS * 1_000).contains(us);
        us.filter(is_possible).map(|us| Self { us }).ok_or_else(|| {
            String::from(
                "must be a whole number with a unit of ms, s, min, h or d, such as 10s or 5min",
            )
        })
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, us)| self.us % us == 0);
        let (name, us) = unit.expect("it is of whole milliseconds");
        write!(f, "{}{name}", self.us / us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_have_units() {
        for (text, us) in
            [("1s", 1_000_000), ("250 ms", 250_000), ("5min", 300_000_000), ("2d", 172_800_000_000)]
        {
            let interval: Interval = text.parse().unwrap();
            assert_eq!((interval.us(), interval.to_string()), (us, text.replace(' ', "")));
        }
        for text in [
            "",
            "1",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "1 week",
            "99999999999999999999s",
            "999999999999999d",
        ] {
            assert!(text.parse::<Interval>().is_err(), "{text}");
        }
        assert_eq!(Interval::of_us(90_000_000).to_string(), "90s");
    }
}
