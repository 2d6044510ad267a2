//! Values by name.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::SensorEvent;
use crate::schema::FeatureSchema;

/// Measured values by name, in the order of their schema. An object in JSON, with `null` for a
/// missing value.
///
/// All events of a schema share its names.
#[derive(Debug, Clone)]
pub struct FeatureValues {
    names: Arc<[Arc<str>]>,
    /// NaN for a missing value. As many as there are names.
    values: Box<[f64]>,
}

impl FeatureValues {
    /// Names values; NaN for a missing one.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as names.
    pub fn new(names: Arc<[Arc<str>]>, values: impl Into<Box<[f64]>>) -> Self {
        let values = values.into();
        assert_eq!(values.len(), names.len(), "each value has a name");
        Self { names, values }
    }

    /// Returns the number of names.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns `true` if there is no name.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Returns the number of missing values.
    pub fn n_missing(&self) -> usize {
        self.values.iter().filter(|value| value.is_nan()).count()
    }

    /// Returns the names in order.
    pub fn names(&self) -> &[Arc<str>] {
        &self.names
    }

    /// Returns the values in order; NaN for a missing one.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns names and values in order; `None` for a missing value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<f64>)> {
        self.names.iter().zip(&self.values).map(|(name, value)| (&**name, present(*value)))
    }

    /// Returns the value of a name, if there is such a name.
    pub fn get(&self, name: &str) -> Option<Option<f64>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

fn present(value: f64) -> Option<f64> {
    (!value.is_nan()).then_some(value)
}

impl PartialEq for FeatureValues {
    /// Missing values are equal.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a> FromIterator<(&'a str, Option<f64>)> for FeatureValues {
    fn from_iter<I: IntoIterator<Item = (&'a str, Option<f64>)>>(named: I) -> Self {
        let (names, values): (Vec<Arc<str>>, Vec<f64>) = named
            .into_iter()
            .map(|(name, value)| (Arc::from(name), value.unwrap_or(f64::NAN)))
            .unzip();
        Self::new(names.into(), values)
    }
}

impl FeatureSchema {
    /// Returns the values of an event of this schema, by name.
    ///
    /// # Panics
    ///
    /// Panics when the event has another number of values.
    pub fn feature_values(&self, event: &SensorEvent) -> FeatureValues {
        FeatureValues::new(Arc::clone(self.names()), event.values())
    }
}

impl Serialize for FeatureValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for FeatureValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FeatureValuesVisitor)
    }
}

struct FeatureValuesVisitor;

impl<'de> Visitor<'de> for FeatureValuesVisitor {
    type Value = FeatureValues;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FeatureValues, A::Error> {
        let (mut names, mut values) = (Vec::new(), Vec::new());
        while let Some((name, value)) = map.next_entry::<String, Option<f64>>()? {
            names.push(Arc::from(name));
            values.push(value.unwrap_or(f64::NAN));
        }
        Ok(FeatureValues::new(names.into(), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_in_json() {
        let values: FeatureValues = [("z", Some(0.1)), ("a", None)].into_iter().collect();
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"z":0.1,"a":null}"#);
        assert_eq!(serde_json::from_str::<FeatureValues>(&json).unwrap(), values);
        assert_eq!((values.get("a"), values.get("b")), (Some(None), None));
    }
}
