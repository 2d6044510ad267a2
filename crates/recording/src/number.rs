//! Numbers as they are written in recordings.

/// Reads a finite number. Where `;` separates cells, `,` may be the decimal mark.
pub(crate) fn parse(text: &str, delimiter: u8) -> Option<f64> {
    let number = match text.parse::<f64>() {
        Err(_) if delimiter == b';' && !text.contains('.') => {
            text.replacen(',', ".", 1).parse().ok()
        }
        number => number.ok(),
    };
    number.filter(|number| number.is_finite())
}

/// Returns `true` if a cell says that there is no value, as data frames and spreadsheets write it.
pub(crate) fn is_missing(text: &str) -> bool {
    ["", "nan", "na", "n/a", "null", "none"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_is_a_decimal_mark_only_where_it_separates_nothing() {
        assert_eq!(parse("1.5e3", b','), Some(1_500.0));
        assert_eq!(parse("1,5", b';'), Some(1.5));
        assert_eq!(parse("1.5", b';'), Some(1.5));
        for text in ["1,5", "", "inf", "nan", "1.234,5", "0x10"] {
            assert_eq!(parse(text, b','), None, "{text}");
        }
        for text in ["1,234.5", "1,2,3", "1.234,5"] {
            assert_eq!(parse(text, b';'), None, "{text}");
        }
    }
}
