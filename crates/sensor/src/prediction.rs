//! What the system answers about an event, and keeps.

use std::fmt;
use std::sync::Arc;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::SensorEvent;
use crate::schema::FeatureSchema;
use crate::station_id::StationId;

/// The answer about one event.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// Who sent the event.
    pub station_id: StationId,
    /// The event's number at its station.
    pub sequence: u64,
    /// When it was measured, in microseconds since 1970 (UTC).
    pub timestamp_us: i64,
    /// What was measured.
    pub features: FeatureValues,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// The lowest score that is called anomalous.
    pub threshold: f64,
    /// Whether the event is called anomalous.
    pub is_anomaly: bool,
    /// Share of normal events that score as high, in (0, 1].
    pub p_value: f64,
    /// Which model answered.
    pub model_version: Arc<str>,
    /// What pushed the score, largest push towards anomalous first; empty when nobody asked.
    pub attributions: Vec<Attribution>,
}

impl Prediction {
    /// `anomaly` or `normal`, for people.
    pub fn label(&self) -> &'static str {
        if self.is_anomaly { "anomaly" } else { "normal" }
    }
}

/// How much one feature pushed a score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attribution {
    /// Name of the feature.
    pub feature: Arc<str>,
    /// Its value; `None` for a missing one.
    pub value: Option<f64>,
    /// Its push, positive towards anomalous: the score is 2^(sum of contributions - 1).
    pub contribution: f64,
}

/// Values by name, in the order of the schema; `None` for a missing one. An object in JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureValues(pub Vec<(Arc<str>, Option<f64>)>);

impl FeatureValues {
    /// The value of a name, if there is such a name.
    pub fn get(&self, name: &str) -> Option<Option<f64>> {
        self.0.iter().find(|(known, _)| **known == *name).map(|(_, value)| *value)
    }
}

impl FeatureSchema {
    /// The values of an event of this schema, by name.
    ///
    /// # Panics
    ///
    /// Panics when the event has another number of values.
    pub fn feature_values(&self, event: &SensorEvent) -> FeatureValues {
        assert_eq!(event.values().len(), self.len(), "the event is of this schema");
        let named = self.features().iter().zip(event.values());
        let present = |value: f64| (!value.is_nan()).then_some(value);
        FeatureValues(
            named.map(|(feature, &value)| (Arc::clone(&feature.name), present(value))).collect(),
        )
    }
}

impl Serialize for FeatureValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(&**name, value)?;
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
        let mut values = Vec::new();
        while let Some((name, value)) = map.next_entry::<String, _>()? {
            values.push((name.into(), value));
        }
        Ok(FeatureValues(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_order_in_json() {
        let values = FeatureValues(vec![("z".into(), Some(0.1)), ("a".into(), None)]);
        let json = serde_json::to_string(&values).unwrap();
        assert_eq!(json, r#"{"z":0.1,"a":null}"#);
        assert_eq!(serde_json::from_str::<FeatureValues>(&json).unwrap(), values);
    }
}
