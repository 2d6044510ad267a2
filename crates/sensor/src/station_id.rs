//! Names of stations.

use std::fmt;
use std::sync::Arc;

/// The name of a station: 1 to 64 letters, digits and `. _ : -`, the first a letter or digit.
///
/// Such a name is safe in a URL, a log line, a spreadsheet and a page. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StationId(Arc<str>);

/// The reason why a text is not the name of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidStationId {
    /// Nothing is there.
    #[error("must not be empty")]
    Empty,
    /// The name is longer than 64 bytes.
    #[error("must not be longer than {} characters", StationId::LEN_MAX)]
    TooLong,
    /// A character could be misread by another program.
    #[error("may have ASCII letters, digits and . _ : - only, and starts with a letter or digit")]
    Charset,
}

impl StationId {
    /// The longest name.
    pub const LEN_MAX: usize = 64;

    /// Checks a name.
    ///
    /// # Errors
    ///
    /// Fails when the text is empty, too long, or has other characters.
    pub fn parse(text: &str) -> Result<Self, InvalidStationId> {
        let [first, rest @ ..] = text.as_bytes() else {
            return Err(InvalidStationId::Empty);
        };
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || b"._:-".contains(byte);
        if !first.is_ascii_alphanumeric() || !rest.iter().all(is_inner) {
            return Err(InvalidStationId::Charset);
        }
        if text.len() > Self::LEN_MAX {
            return Err(InvalidStationId::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for name in ["a", "station_001", "7", "plant:hall-2.press_4", &"x".repeat(64)] {
            assert_eq!(StationId::parse(name).unwrap().as_str(), name);
        }
        assert_eq!(StationId::parse(""), Err(InvalidStationId::Empty));
        assert_eq!(StationId::parse(&"x".repeat(65)), Err(InvalidStationId::TooLong));
        for name in
            [" ", "_a", "-a", "../x", "a b", "a\n", "\u{e9}", "a\u{200b}", "<b>", "%2e", "=1"]
        {
            assert_eq!(StationId::parse(name), Err(InvalidStationId::Charset), "{name:?}");
        }
    }
}
