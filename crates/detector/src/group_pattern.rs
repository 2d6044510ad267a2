//! Groups of stations, by a pattern of their names.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Characters between the parts of a name.
const SEPARATORS: &str = "._:-";
/// In a pattern, any of them.
const ANY: char = '/';

/// Groups stations by name: stations share a baseline if their names differ only where the pattern has `*`.
///
/// `site.line.*` puts all stations of a line into one group, such as `berlin.line_3.*`. Words stand for any text, `/` for any
/// separator, and the last part takes all that is left. A name with fewer parts is a group of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupPattern {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Part {
    /// `false` for a `*`.
    is_kept: bool,
    /// The separator behind it, which may be [`ANY`]; `None` at the end.
    separator: Option<char>,
}

/// The reason why a text is not a pattern of station names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a pattern of station names: it has words and `*`, with one of . _ : - between them, or / for any of \
     these, and at least one word, as in `site.line.*`"
)]
pub struct InvalidGroupPattern(String);

impl GroupPattern {
    /// Returns the pattern that makes each station a group of its own.
    pub fn per_station() -> Self {
        let part = Part { is_kept: true, separator: None };
        Self { text: String::from("station"), parts: vec![part] }
    }

    /// Returns `true` if each station is a group of its own.
    pub fn is_per_station(&self) -> bool {
        self.parts.iter().all(|part| part.is_kept)
    }

    /// Returns the name of the group of a station, with `*` for the parts in which its stations differ.
    pub fn group_of<'a>(&self, station: &'a str) -> Cow<'a, str> {
        if self.is_per_station() {
            return Cow::Borrowed(station);
        }
        let mut group = String::with_capacity(station.len());
        let mut rest = station;
        for Part { is_kept, separator } in &self.parts {
            let is_end = |letter: char| match separator {
                None => false,
                Some(ANY) => SEPARATORS.contains(letter),
                Some(separator) => letter == *separator,
            };
            let (part, others) = match separator {
                None => (rest, ""),
                Some(_) => match rest.find(is_end).and_then(|end| rest.split_at_checked(end)) {
                    Some(split) => split,
                    None => return Cow::Borrowed(station),
                },
            };
            group.push_str(if *is_kept { part } else { "*" });
            let mut others = others.chars();
            group.extend(others.next());
            rest = others.as_str();
        }
        Cow::Owned(group)
    }

    /// Returns the pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Returns `true` if a character ends a part of a pattern.
fn is_separator(letter: char) -> bool {
    letter == ANY || SEPARATORS.contains(letter)
}

impl FromStr for GroupPattern {
    type Err = InvalidGroupPattern;

    fn from_str(text: &str) -> Result<Self, InvalidGroupPattern> {
        let mut parts = Vec::new();
        for part in text.split_inclusive(is_separator) {
            let word = part.trim_end_matches(is_separator);
            let is_kept = word != "*";
            if word.is_empty()
                || (is_kept && !word.bytes().all(|byte| byte.is_ascii_alphanumeric()))
            {
                return Err(InvalidGroupPattern(text.into()));
            }
            let separator = part.chars().last().filter(|letter| is_separator(*letter));
            parts.push(Part { is_kept, separator });
        }
        let is_whole = parts.last().is_some_and(|part| part.separator.is_none());
        if !is_whole || parts.iter().all(|part| !part.is_kept) {
            return Err(InvalidGroupPattern(text.into()));
        }
        Ok(Self { text: text.into(), parts })
    }
}

impl TryFrom<String> for GroupPattern {
    type Error = InvalidGroupPattern;

    fn try_from(text: String) -> Result<Self, InvalidGroupPattern> {
        text.parse()
    }
}

impl From<GroupPattern> for String {
    fn from(pattern: GroupPattern) -> Self {
        pattern.text
    }
}

impl fmt::Display for GroupPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stations_that_differ_where_the_pattern_has_a_star_are_one_group() {
        let group = |pattern: &str, station: &str| {
            GroupPattern::from_str(pattern).unwrap().group_of(station).into_owned()
        };
        assert_eq!(group("site/line/*", "berlin.3:press_7"), "berlin.3:*");
        assert_eq!(group("site/line/*", "berlin_3-press"), "berlin_3-*");
        assert_eq!(group("site/line/*", "berlin.3"), "berlin.3");
        assert_eq!(group("*-kind-*", "berlin-press-7"), "*-press-*");
        assert_eq!(group("*-kind", "berlin-press-7"), "*-press-7");
        assert_eq!(group("kind_*", "press_7"), "press_*");
        assert_eq!(group("kind_*", "boiler"), "boiler");
        assert_eq!(group("station", "press_7"), "press_7");
        assert_eq!(GroupPattern::per_station().group_of("a.b"), "a.b");
        assert_eq!("station".parse(), Ok(GroupPattern::per_station()));
    }

    #[test]
    fn other_texts_are_no_patterns() {
        for text in
            ["", "*", "*.*", "line.", ".line", "a..b", "press*", "a b", "l\u{ef}ne.*", "**.a"]
        {
            let error = GroupPattern::from_str(text).unwrap_err();
            assert!(error.to_string().starts_with(&format!("`{text}` is not")), "{error}");
        }
    }
}
