//! The features of a station, as data.

use std::sync::Arc;

use serde::Deserialize;

/// A measured quantity.
#[derive(Debug, Clone, PartialEq)]
pub struct Feature {
    /// Key of the value in an event; unique in its schema.
    pub name: Arc<str>,
    /// Unit of the value, for people.
    pub unit: Option<String>,
    /// Least value that is physically possible.
    pub minimum: Option<f64>,
    /// Greatest value that is physically possible.
    pub maximum: Option<f64>,
    /// `true` if the value may be missing.
    pub optional: bool,
}

/// The features of an event, in the order in which a forest sees them.
///
/// The default is the plant of the simulation: temperature, humidity and sound.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureSchema {
    features: Vec<Feature>,
    /// The names of the features, which all their values share.
    names: Arc<[Arc<str>]>,
    /// Positions in the order of names, which no file can change.
    by_name: Vec<usize>,
}

/// An error that occurs when features are made a schema.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidSchema {
    /// Nothing is measured.
    #[error("a schema has at least one feature")]
    Empty,
    /// More than a forest can learn.
    #[error("a schema has up to {} features, not {n_features}", FeatureSchema::LEN_MAX)]
    TooMany {
        /// As given.
        n_features: usize,
    },
    /// A name is empty, too long, or has a control character.
    #[error(
        "a feature's name has 1 to {} bytes and no control characters, unlike {name:?}",
        FeatureSchema::NAME_LEN_MAX
    )]
    Name {
        /// As given.
        name: String,
    },
    /// A name means something else in an event.
    #[error("a feature cannot be called `{name}`, which is a key of every event")]
    Reserved {
        /// As given.
        name: String,
    },
    /// Two features share a name.
    #[error("two features are called `{name}`")]
    Duplicate {
        /// As given.
        name: String,
    },
    /// A bound is not finite, or they leave no room.
    #[error("`{name}` has no possible value: its minimum must be finite and below its maximum")]
    Range {
        /// Name of the feature.
        name: String,
    },
    /// The text is not TOML, or has other keys.
    #[error("not a schema file")]
    Toml(#[from] toml::de::Error),
}

/// Keys that every event has beside its features.
pub(crate) const STATION_ID: &str = "station_id";
pub(crate) const SEQUENCE: &str = "sequence";
pub(crate) const TIMESTAMP: &str = "timestamp";

impl Feature {
    /// Returns a feature of which nothing but its name is known.
    pub fn named(name: &str) -> Self {
        Self { name: name.into(), unit: None, minimum: None, maximum: None, optional: false }
    }

    /// Returns `true` if a value is physically possible.
    pub fn allows(&self, value: f64) -> bool {
        self.minimum.is_none_or(|minimum| value >= minimum)
            && self.maximum.is_none_or(|maximum| value <= maximum)
    }
}

impl FeatureSchema {
    /// The most features of a schema.
    pub const LEN_MAX: usize = 10_000;
    /// The longest name of a feature, in bytes.
    pub const NAME_LEN_MAX: usize = 128;

    /// Checks a list of features.
    ///
    /// # Errors
    ///
    /// Fails when there is none, when names are unusable or duplicated, or a range is empty.
    pub fn new(features: Vec<Feature>) -> Result<Self, InvalidSchema> {
        if features.is_empty() {
            return Err(InvalidSchema::Empty);
        }
        if features.len() > Self::LEN_MAX {
            return Err(InvalidSchema::TooMany { n_features: features.len() });
        }
        for feature in &features {
            let name = String::from(&*feature.name);
            if name.is_empty() || name.len() > Self::NAME_LEN_MAX || name.contains(char::is_control)
            {
                return Err(InvalidSchema::Name { name });
            }
            if [STATION_ID, SEQUENCE, TIMESTAMP].contains(&name.as_str()) {
                return Err(InvalidSchema::Reserved { name });
            }
            let bounds = [feature.minimum, feature.maximum];
            let leaves_room = feature
                .minimum
                .zip(feature.maximum)
                .is_none_or(|(minimum, maximum)| minimum < maximum);
            if !leaves_room || bounds.iter().flatten().any(|bound| !bound.is_finite()) {
                return Err(InvalidSchema::Range { name });
            }
        }
        let mut by_name: Vec<usize> = (0..features.len()).collect();
        by_name.sort_by_key(|&index| &features[index].name);
        if let Some(twins) =
            by_name.windows(2).find(|pair| features[pair[0]].name == features[pair[1]].name)
        {
            return Err(InvalidSchema::Duplicate { name: String::from(&*features[twins[0]].name) });
        }
        let names = features.iter().map(|feature| Arc::clone(&feature.name)).collect();
        Ok(Self { features, names, by_name })
    }

    /// Reads a schema file: a `[[feature]]` table for each, with `name`, and where known `unit`,
    /// `minimum`, `maximum` and `optional`.
    ///
    /// # Errors
    ///
    /// Fails when the text is no such file, or the features make no schema.
    pub fn from_toml(text: &str) -> Result<Self, InvalidSchema> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct SchemaFile {
            feature: Vec<FeatureTable>,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct FeatureTable {
            name: String,
            unit: Option<String>,
            minimum: Option<f64>,
            maximum: Option<f64>,
            #[serde(default)]
            optional: bool,
        }

        let file: SchemaFile = toml::from_str(text)?;
        let features = file.feature.into_iter().map(
            |FeatureTable { name, unit, minimum, maximum, optional }| Feature {
                name: name.into(),
                unit,
                minimum,
                maximum,
                optional,
            },
        );
        Self::new(features.collect())
    }

    /// Returns the features in order.
    pub fn features(&self) -> &[Feature] {
        &self.features
    }

    /// Returns the names of the features in order.
    pub fn names(&self) -> &Arc<[Arc<str>]> {
        &self.names
    }

    /// Returns the largest size of an event as JSON, in bytes: 16 KiB, or more where the schema has so
    /// many features that their names and numbers need it.
    pub fn event_len_max(&self) -> usize {
        const LEN_MIN: usize = 16 * 1024;
        /// Everything but the features.
        const HEAD_LEN: usize = 1024;
        /// The longest number, its punctuation, and as much white space again.
        const VALUE_LEN: usize = 64;
        let features = self.features().iter().map(|feature| feature.name.len() + VALUE_LEN);
        LEN_MIN.max(HEAD_LEN + features.sum::<usize>())
    }

    /// Returns the number of features.
    #[expect(clippy::len_without_is_empty, reason = "a schema is never empty")]
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Returns the features in the order of their names.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = (usize, &Feature)> {
        self.by_name.iter().map(|&index| (index, &self.features[index]))
    }

    /// Returns the position of a feature.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name
            .binary_search_by(|&index| (*self.features[index].name).cmp(name))
            .ok()
            .map(|i| self.by_name[i])
    }
}

impl Default for FeatureSchema {
    fn default() -> Self {
        let feature = |name: &str, unit: &str, minimum, maximum| Feature {
            name: name.into(),
            unit: Some(String::from(unit)),
            minimum: Some(minimum),
            maximum: Some(maximum),
            optional: false,
        };
        Self::new(vec![
            feature("temperature_c", "°C", -273.15, 2_000.0),
            feature("humidity_pct", "%", 0.0, 100.0),
            feature("sound_db", "dB", 0.0, 200.0),
        ])
        .expect("three features with names and ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_file_is_read() {
        let text = "
            [[feature]]
            name = 'Pressure'
            unit = 'bar'
            minimum = 0

            [[feature]]
            name = 'Flow rate'
            optional = true
        ";
        let schema = FeatureSchema::from_toml(text).unwrap();
        assert_eq!(schema.len(), 2);
        assert_eq!(schema.features()[0].minimum, Some(0.0));
        assert_eq!(schema.features()[1], Feature { optional: true, ..Feature::named("Flow rate") });
    }

    #[test]
    fn unusable_schemas_are_refused() {
        let message = |text: &str| FeatureSchema::from_toml(text).unwrap_err().to_string();
        assert_eq!(message("feature = []"), "a schema has at least one feature");
        let error = FeatureSchema::from_toml("[[feature]]\nname = 'a'\nmaximun = 3").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("maximun"), "{source}");
        assert!(
            message("[[feature]]\nname = ''").starts_with("a feature's name has 1 to 128 bytes")
        );
        assert_eq!(
            message("[[feature]]\nname = 'sequence'"),
            "a feature cannot be called `sequence`, which is a key of every event"
        );
        assert_eq!(
            message("[[feature]]\nname = 'a'\n[[feature]]\nname = 'a'"),
            "two features are called `a`"
        );
        for bounds in ["minimum = 2\nmaximum = 2", "minimum = nan", "maximum = inf"] {
            assert!(
                message(&format!("[[feature]]\nname = 'a'\n{bounds}"))
                    .starts_with("`a` has no possible value")
            );
        }
    }

    #[test]
    fn positions_are_found_by_name() {
        let schema = FeatureSchema::default();
        for (index, feature) in schema.features().iter().enumerate() {
            assert_eq!(schema.position(&feature.name), Some(index));
        }
        assert_eq!(schema.position("Temperature_C"), None);
    }
}
