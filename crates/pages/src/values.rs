//! Values in tables.

use detector::FeatureMeta;
use sensor::FeatureValues;
use wording::readable;

/// A value in a table, and whether the training has seen such.
pub(crate) struct ValueCell {
    pub(crate) text: String,
    /// Beyond all that was in training.
    pub(crate) is_outside: bool,
}

impl ValueCell {
    /// Returns the value of a feature, of which something may be known.
    pub(crate) fn new(features: &FeatureValues, name: &str, known: Option<&FeatureMeta>) -> Self {
        let value = features.get(name).flatten();
        let is_unseen = |value: f64| known.is_some_and(|known| known.is_unseen(value));
        let text = |value: f64| match known {
            Some(known) => known.value_text(value),
            None => readable(value, 3),
        };
        Self {
            text: value.map_or_else(|| String::from("\u{2013}"), text),
            is_outside: value.is_some_and(is_unseen),
        }
    }
}
