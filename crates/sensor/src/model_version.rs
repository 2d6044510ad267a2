//! The name of a model.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a model: the date of its training and the start of its checksum, joined by a hyphen.
///
/// Clones share the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelVersion(Arc<str>);

impl ModelVersion {
    /// Names the model of a training that ended at this RFC 3339 time, with this checksum in hex.
    pub fn new(trained_at: &str, sha256: &str) -> Self {
        let date = trained_at.split('T').next().unwrap_or_default();
        let digits: String = sha256.chars().take(12).collect();
        Self(format!("{date}-{digits}").into())
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns `true` if models of both names judge alike: they have one checksum, whatever the days
    /// of their trainings.
    pub fn judges_like(&self, other: &Self) -> bool {
        self.checksum() == other.checksum()
    }

    fn checksum(&self) -> Option<&str> {
        self.0.rsplit('-').next()
    }
}

impl From<&str> for ModelVersion {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_of_the_training_does_not_matter() {
        let version = ModelVersion::new("2026-11-22T12:00:00Z", "0123456789abcdef");
        assert_eq!(version.as_str(), "2026-11-22-0123456789ab");
        assert!(version.judges_like(&"2026-11-23-0123456789ab".into()));
        assert!(!version.judges_like(&"2026-11-22-0123456789ac".into()));
    }
}
