//! Numbers as they are written in recordings.

use std::borrow::Cow;

/// The mark before the decimals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecimalMark {
    /// 1234.5, or 1,234.5
    Point,
    /// 1234,5
    Comma,
    /// 1.234,5: a point stands between thousands.
    CommaAfterPoints,
}

/// The cells that say that there is no value, as data frames, spreadsheets and historians write them.
const MISSING: [&str; 18] = [
    "",
    "nan",
    "-nan",
    "na",
    "<na>",
    "n/a",
    "#n/a",
    "null",
    "none",
    "nil",
    "?",
    "-",
    "--",
    "bad input",
    "bad",
    "no data",
    "unavailable",
    "unknown",
];

impl DecimalMark {
    /// Recognises the mark of a file from its cells.
    pub(crate) fn of<'a>(cells: impl Iterator<Item = &'a str>, delimiter: u8) -> Self {
        let (mut n_points, mut n_commas, mut n_unclear, mut n_both) = (0, 0, 0, 0);
        for cell in cells.filter(|cell| cell.bytes().all(|byte| b"0123456789.,+-".contains(&byte)))
        {
            match (cell.rfind('.'), cell.rfind(',')) {
                (Some(point), Some(comma)) if point < comma => n_both += 1,
                (Some(_), Some(_)) => n_points += 1,
                (None, Some(_)) if is_grouped(cell, ',') => n_unclear += 1,
                // A date has several.
                (Some(first), None) if cell.find('.') == Some(first) => n_points += 1,
                (None, Some(first)) if cell.find(',') == Some(first) => n_commas += 1,
                _ => {}
            }
        }
        // A comma that could stand between thousands does not where another separates cells.
        let n_commas = n_commas + if delimiter == b',' { 0 } else { n_unclear };
        match () {
            () if n_both > 0 => Self::CommaAfterPoints,
            () if n_commas > 0 && n_commas >= n_points => Self::Comma,
            () => Self::Point,
        }
    }

    /// Reads a finite number.
    pub(crate) fn read(self, text: &str) -> Option<f64> {
        let plain = match self {
            Self::Point if text.contains(',') => {
                let whole = text.split('.').next().unwrap_or_default();
                is_grouped(whole, ',').then(|| Cow::Owned(text.replace(',', "")))?
            }
            Self::Comma if text.contains(',') => {
                let has_point = text.contains('.');
                (!has_point).then(|| Cow::Owned(text.replacen(',', ".", 1)))?
            }
            Self::CommaAfterPoints if text.contains(['.', ',']) => {
                let whole = text.split(',').next().unwrap_or_default();
                let is_whole = !whole.contains('.') || is_grouped(whole, '.');
                is_whole.then(|| Cow::Owned(text.replace('.', "").replacen(',', ".", 1)))?
            }
            _ => Cow::Borrowed(text),
        };
        plain.parse::<f64>().ok().filter(|number| number.is_finite())
    }
}

/// Returns `true` for digits in groups of three.
fn is_grouped(whole: &str, separator: char) -> bool {
    let mut groups = whole.trim_start_matches(['+', '-']).split(separator);
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let has_first = (1..=3).contains(&first.len()) && is_digits(first);
    has_first && groups.all(|group| group.len() == 3 && is_digits(group))
}

/// Returns `true` if a cell says that there is no value.
pub(crate) fn is_missing(text: &str) -> bool {
    // Most cells are numbers.
    let may_be = text.len() <= 11 && !text.ends_with(|last: char| last.is_ascii_digit());
    may_be && MISSING.iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_mark_and_thousands_are_in_groups() {
        let read = |mark: DecimalMark, text: &str| mark.read(text);
        assert_eq!(read(DecimalMark::Point, "1.5e3"), Some(1_500.0));
        assert_eq!(read(DecimalMark::Point, "-1,234,567.5"), Some(-1_234_567.5));
        assert_eq!(read(DecimalMark::Comma, "1,5"), Some(1.5));
        assert_eq!(read(DecimalMark::Comma, "1.5"), Some(1.5));
        assert_eq!(read(DecimalMark::CommaAfterPoints, "1.234,5"), Some(1_234.5));
        assert_eq!(read(DecimalMark::CommaAfterPoints, "1.234"), Some(1_234.0));
        for (mark, texts) in [
            (DecimalMark::Point, ["1,5", "", "inf", "nan", "0x10", "1.2.3", "12,34,567"]),
            (DecimalMark::Comma, ["1,2,3", "1.234,5", "1,234.5", "", ",", "a", "1,2e"]),
            (DecimalMark::CommaAfterPoints, ["1.5", "1,2,3", "1.23,4", "", ".", ",", "x"]),
        ] {
            for text in texts {
                assert_eq!(mark.read(text), None, "{mark:?} {text}");
            }
        }
    }

    #[test]
    fn the_mark_of_a_file_is_that_of_its_cells() {
        let mark = |cells: &[&str], delimiter| DecimalMark::of(cells.iter().copied(), delimiter);
        assert_eq!(mark(&["a", "1.5", "2"], b';'), DecimalMark::Point);
        assert_eq!(mark(&["1,5", "2", "10:00,250"], b';'), DecimalMark::Comma);
        assert_eq!(mark(&["1,250"], b';'), DecimalMark::Comma);
        assert_eq!(mark(&["1,250"], b','), DecimalMark::Point);
        assert_eq!(mark(&["69,53", "1,250"], b','), DecimalMark::Comma);
        assert_eq!(mark(&["1.234,5", "7,1"], b';'), DecimalMark::CommaAfterPoints);
        assert_eq!(mark(&["1,234.5", "7"], b'\t'), DecimalMark::Point);
    }

    #[test]
    fn there_are_many_words_for_no_value() {
        for text in ["", "NaN", "-nan", "#N/A", "<NA>", "Bad Input", "-", "?", "Unavailable"] {
            assert!(is_missing(text), "{text}");
        }
        for text in ["0", "-1", "bad pump", "off"] {
            assert!(!is_missing(text), "{text}");
        }
    }
}
