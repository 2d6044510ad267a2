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
const MISSING: [&str; 23] = [
    "",
    "nan",
    "-nan",
    "na",
    "<na>",
    "n/a",
    "#n/a",
    "#div/0!",
    "#value!",
    "#num!",
    "#ref!",
    "#null!",
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

/// The marks of a file, as far as its cells tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marks<'a> {
    pub(crate) decimal: DecimalMark,
    /// `true` if it is known, or a number can only be read with it.
    pub(crate) is_clear: bool,
    /// A number with a comma, where all of them could have decimals or thousands.
    pub(crate) unclear: Option<&'a str>,
}

impl<'a> Marks<'a> {
    /// Recognises the marks of a file from its cells, as far as the decimal mark is not known.
    pub(crate) fn of(
        cells: impl Iterator<Item = &'a str>,
        delimiter: u8,
        known: Option<DecimalMark>,
    ) -> Self {
        let mut unclear = None;
        let (mut n_points, mut n_commas, mut n_both) = (0, 0, 0);
        // A mark with three digits behind it may stand between thousands.
        let (mut n_unclear_points, mut n_unclear_commas) = (0, 0);
        for cell in cells.filter(|cell| is_of_digits(cell)) {
            match (cell.rfind('.'), cell.rfind(',')) {
                (Some(point), Some(comma)) if point < comma => n_both += 1,
                (Some(_), Some(_)) => n_points += 1,
                (Some(_), None) if is_grouped(cell, '.') => n_unclear_points += 1,
                (None, Some(_)) if is_grouped(cell, ',') => {
                    n_unclear_commas += 1;
                    unclear.get_or_insert(cell);
                }
                // A date has several.
                (Some(last), None) if cell.find('.') == Some(last) => n_points += 1,
                (None, Some(last)) if cell.find(',') == Some(last) => n_commas += 1,
                _ => {}
            }
        }
        let has_comma = match known {
            Some(known) => known != DecimalMark::Point,
            None if n_both > 0 => true,
            None if n_points + n_commas > 0 => n_commas > n_points,
            // A comma that could stand between thousands does not where other commas separate cells.
            None => n_unclear_commas > 0 && n_unclear_points == 0 && delimiter != b',',
        };
        let decimal = match has_comma {
            // Beside decimal commas, a point stands between thousands, unless it is seen not to.
            true if known == Some(DecimalMark::CommaAfterPoints) => DecimalMark::CommaAfterPoints,
            true if n_points == 0 && n_both + n_unclear_points > 0 => DecimalMark::CommaAfterPoints,
            true => DecimalMark::Comma,
            false => DecimalMark::Point,
        };
        let is_clear = known.is_some() || n_both + n_points + n_commas > 0;
        Self { decimal, is_clear, unclear: unclear.filter(|_| !is_clear) }
    }
}

impl DecimalMark {
    /// Reads a finite number.
    pub(crate) fn read(self, text: &str) -> Option<f64> {
        let (decimal, thousands) = match self {
            Self::Point => ('.', ','),
            Self::Comma | Self::CommaAfterPoints => (',', '.'),
        };
        let (whole, rest) =
            text.split_once(decimal).map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let is_plain = !text.contains(',') && (self == Self::Point || !text.contains('.'));
        let plain = if is_plain || self == Self::Comma && rest.is_none() {
            Cow::Borrowed(text)
        } else {
            let is_number = !whole.contains(thousands) || is_grouped(whole, thousands);
            let is_decimal = rest.is_none_or(|rest| !rest.contains(['.', ',']));
            let joined = || format!("{}.{}", whole.replace(thousands, ""), rest.unwrap_or("0"));
            (is_number && is_decimal).then(|| Cow::Owned(joined()))?
        };
        plain.parse::<f64>().ok().filter(|number| number.is_finite())
    }
}

/// Returns a number with a point, if those of a column have one exactly from a thousand on, and then three digits behind it.
pub(crate) fn with_points_from_thousand_on<'a>(
    cells: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    let (mut grouped, mut n_whole) = (None, 0);
    for cell in cells.filter(|cell| is_of_digits(cell) && !cell.is_empty()) {
        let digits = cell.trim_start_matches(['+', '-']);
        let is_whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        match (is_whole, is_grouped(cell, '.')) {
            (true, _) if digits.len() <= 3 => n_whole += 1,
            (false, true) => grouped = grouped.or(Some(cell)),
            _ => return None,
        }
    }
    grouped.filter(|_| n_whole > 0)
}

/// Returns `true` for digits, marks and signs alone.
fn is_of_digits(cell: &str) -> bool {
    cell.bytes().all(|byte| b"0123456789.,+-".contains(&byte))
}

/// Returns `true` for digits in groups of three, several of them.
fn is_grouped(whole: &str, separator: char) -> bool {
    let mut groups = whole.trim_start_matches(['+', '-']).split(separator);
    let is_digits = |group: &str| group.bytes().all(|byte| byte.is_ascii_digit());
    let first = groups.next().unwrap_or_default();
    let has_first = (1..=3).contains(&first.len()) && is_digits(first) && !first.starts_with('0');
    let mut others = groups.peekable();
    has_first && others.peek().is_some() && others.all(|group| group.len() == 3 && is_digits(group))
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
        for (mark, text, expected) in [
            (DecimalMark::Point, "1.5e3", 1_500.0),
            (DecimalMark::Point, "-1,234,567.5", -1_234_567.5),
            (DecimalMark::Point, "12,345", 12_345.0),
            (DecimalMark::Comma, "1,5", 1.5),
            (DecimalMark::Comma, "1,5e3", 1_500.0),
            (DecimalMark::Comma, "1.5", 1.5),
            (DecimalMark::Comma, "1.234,5", 1_234.5),
            (DecimalMark::CommaAfterPoints, "1.234,5", 1_234.5),
            (DecimalMark::CommaAfterPoints, "1.234", 1_234.0),
            (DecimalMark::CommaAfterPoints, "-7", -7.0),
        ] {
            assert_eq!(mark.read(text), Some(expected), "{mark:?} {text}");
        }
        for (mark, texts) in [
            (
                DecimalMark::Point,
                ["1,5", "", "inf", "nan", "0x10", "1.2.3", "12,34,567", "1.234,5", "0,125"],
            ),
            (
                DecimalMark::Comma,
                ["1,2,3", "1,234.5", "", ",", "a", "1,2e", "12.34,5", "inf", "nan"],
            ),
            (
                DecimalMark::CommaAfterPoints,
                ["1.5", "1,2,3", "1.23,4", "", ".", ",", "x", "1,234.5", "0.125"],
            ),
        ] {
            for text in texts {
                assert_eq!(mark.read(text), None, "{mark:?} {text}");
            }
        }
    }

    #[test]
    fn the_mark_of_a_file_is_that_of_its_cells() {
        let mark =
            |cells: &[&str], delimiter| Marks::of(cells.iter().copied(), delimiter, None).decimal;
        assert_eq!(mark(&["a", "1.5", "2"], b';'), DecimalMark::Point);
        assert_eq!(mark(&["1,5", "2", "10:00,250", "01.02.2026"], b';'), DecimalMark::Comma);
        assert_eq!(mark(&["1,250"], b';'), DecimalMark::Comma);
        assert_eq!(mark(&["1,250"], b','), DecimalMark::Point);
        assert_eq!(mark(&["69,53", "1,250"], b','), DecimalMark::Comma);
        assert_eq!(mark(&["1.234,5", "7,1"], b';'), DecimalMark::CommaAfterPoints);
        assert_eq!(mark(&["1,234.5", "7"], b'\t'), DecimalMark::Point);
        // Beside clear marks, three digits are a group.
        assert_eq!(mark(&["1,250", "0.50"], b'\t'), DecimalMark::Point);
        assert_eq!(mark(&["1.234", "7,1"], b';'), DecimalMark::CommaAfterPoints);
        assert_eq!(mark(&["1.234"], b';'), DecimalMark::Point);
        let said = Marks::of(["1.234"].into_iter(), b';', Some(DecimalMark::Comma));
        assert_eq!((said.decimal, said.unclear), (DecimalMark::CommaAfterPoints, None));
        let unclear = Marks::of(["7", "1,250"].into_iter(), b';', None);
        assert_eq!((unclear.decimal, unclear.unclear), (DecimalMark::Comma, Some("1,250")));
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
