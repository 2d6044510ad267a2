//! Values in tables.

use detector::FeatureMeta;
use figures::number::readable;
use sensor::FeatureValues;

/// A value in a table, and whether the training has seen such.
pub(super) struct ValueCell {
    pub(super) text: String,
    /// Beyond all that was in training.
    pub(super) is_outside: bool,
}

impl ValueCell {
    /// The value of a feature, of which something may be known.
    pub(super) fn new(
        FeatureValues(values): &FeatureValues,
        name: &str,
        known: Option<&FeatureMeta>,
    ) -> Self {
        let value = values.iter().find(|(other, _)| **other == *name).and_then(|(_, value)| *value);
        let quantiles = known.and_then(|known| known.quantiles.as_ref());
        let is_seen = |value: f64| {
            quantiles.is_none_or(|quantiles| (quantiles.min..=quantiles.max).contains(&value))
        };
        let text = |value: f64| match known {
            Some(known) => known.value_text(value),
            None => readable(value, 3),
        };
        Self {
            text: value.map_or_else(|| String::from("\u{2013}"), text),
            is_outside: value.is_some_and(|value| !is_seen(value)),
        }
    }
}
