//! One message of a station, checked.

use sha2::{Digest, Sha256};

use crate::fault::{FaultKind, Faults, InvalidEvent};
use crate::schema::{FeatureSchema, TIMESTAMP};
use crate::station_id::StationId;
use crate::timestamp;

/// An event whose values are finite and physically possible.
///
/// It is only made by a [`FeatureSchema`], so code that holds one need not check again.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorEvent {
    station_id: StationId,
    sequence: u64,
    timestamp_us: i64,
    values: Box<[f64]>,
    n_ignored_keys: usize,
}

/// A digest of everything that an event says: equal for the same event sent twice.
pub type Fingerprint = [u8; 16];

impl SensorEvent {
    /// Returns the station that sent it.
    pub fn station_id(&self) -> &StationId {
        &self.station_id
    }

    /// Its number at the station, up to 2^63 - 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns when it was measured, in microseconds since 1970 (UTC).
    pub fn timestamp_us(&self) -> i64 {
        self.timestamp_us
    }

    /// Its values in the order of the schema's features; NaN for an optional one that is missing.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Returns the values of events, one row after another.
    pub fn rows<'a>(events: impl IntoIterator<Item = &'a Self>) -> Vec<f64> {
        events.into_iter().flat_map(Self::values).copied().collect()
    }

    /// Returns the same event with some of its values only: an event of the schema that has these
    /// features in this order, which need not be checked again.
    ///
    /// # Panics
    ///
    /// Panics when an index is not below the number of values.
    #[must_use]
    pub fn with_features(&self, indices: &[usize]) -> Self {
        let values = indices.iter().map(|&index| self.values[index]).collect();
        Self { station_id: self.station_id.clone(), values, ..*self }
    }

    /// Returns the number of unknown keys that the event had.
    pub fn n_ignored_keys(&self) -> usize {
        self.n_ignored_keys
    }
}

/// The findings of [`FeatureSchema::parse`] and [`FeatureSchema::event`] about an event.
pub(crate) struct Parts {
    pub(crate) station_id: StationId,
    pub(crate) sequence: u64,
    pub(crate) timestamp_us: i64,
    pub(crate) values: Vec<f64>,
    pub(crate) n_ignored_keys: usize,
}

impl FeatureSchema {
    /// Checks an event that is already numbers: a row of a recording, a message of the plant.
    ///
    /// `values` are in the order of the features, NaN for a missing one.
    ///
    /// # Errors
    ///
    /// Fails when the sequence number, the time or a value is not possible, or one that is not
    /// optional is missing.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as features.
    pub fn event(
        &self,
        station_id: StationId,
        sequence: u64,
        timestamp_us: i64,
        values: &[f64],
    ) -> Result<SensorEvent, InvalidEvent> {
        assert_eq!(values.len(), self.len(), "an event has a value for every feature");
        let mut faults = Faults::default();
        if i64::try_from(sequence).is_err() {
            faults.add(crate::schema::SEQUENCE, FaultKind::SequenceTooLarge);
        }
        if let Err(kind) = check_time(timestamp_us) {
            faults.add(TIMESTAMP, kind);
        }
        self.add_faults_of_values(values, &mut faults);
        match faults.into_invalid() {
            Some(invalid) => Err(invalid),
            None => Ok(SensorEvent::new(Parts {
                station_id,
                sequence,
                timestamp_us,
                values: values.to_vec(),
                n_ignored_keys: 0,
            })),
        }
    }

    /// Checks the values of an event of which nothing else is known, in the order of the features,
    /// NaN for a missing one.
    ///
    /// # Errors
    ///
    /// Fails when a value is not possible, or one that is not optional is missing.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as features.
    pub fn check_values(&self, values: &[f64]) -> Result<(), InvalidEvent> {
        assert_eq!(values.len(), self.len(), "an event has a value for every feature");
        let mut faults = Faults::default();
        self.add_faults_of_values(values, &mut faults);
        faults.into_invalid().map_or(Ok(()), Err)
    }

    fn add_faults_of_values(&self, values: &[f64], faults: &mut Faults) {
        for (index, &value) in values.iter().enumerate() {
            if let Err(kind) = self.check_value(index, (!value.is_nan()).then_some(value)) {
                faults.add(&self.features()[index].name, kind);
            }
        }
    }

    /// Checks a value, `None` for a missing one, and gives what a forest is to see.
    pub(crate) fn check_value(&self, index: usize, value: Option<f64>) -> Result<f64, FaultKind> {
        let feature = &self.features()[index];
        match value {
            None if feature.optional => Ok(f64::NAN),
            None => Err(FaultKind::MissingField),
            Some(value) if !value.is_finite() => Err(FaultKind::NotFinite),
            Some(value) if feature.allows(value) => Ok(value),
            Some(_) => {
                Err(FaultKind::OutOfRange { minimum: feature.minimum, maximum: feature.maximum })
            }
        }
    }

    /// Returns the digest of an event of this schema, by which a repetition is known.
    ///
    /// It covers station, sequence, time and the values by name, in the order of names: another
    /// order of features, as another model may have, does not change it.
    pub fn fingerprint(&self, event: &SensorEvent) -> Fingerprint {
        let mut hasher = Sha256::new();
        let add_text = |hasher: &mut Sha256, text: &str| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        add_text(&mut hasher, event.station_id.as_str());
        hasher.update(event.sequence.to_le_bytes());
        hasher.update(event.timestamp_us.to_le_bytes());
        for (index, feature) in self.by_name() {
            let value = event.values[index];
            if !value.is_nan() {
                add_text(&mut hasher, &feature.name);
                hasher.update(value.to_le_bytes());
            }
        }
        let digest = hasher.finalize();
        *digest.first_chunk().expect("a SHA-256 digest has 32 bytes")
    }
}

/// Returns the part of the rules on time that needs no clock.
pub(crate) fn check_time(timestamp_us: i64) -> Result<(), FaultKind> {
    if timestamp_us < timestamp::EARLIEST_US {
        return Err(FaultKind::TimestampTooOld);
    }
    if timestamp_us > timestamp::LATEST_US {
        return Err(FaultKind::TimestampInFuture);
    }
    Ok(())
}

impl SensorEvent {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { station_id, sequence, timestamp_us, mut values, n_ignored_keys } = parts;
        for value in &mut values {
            // -0 is the same measurement as 0 and must not make another event.
            *value += 0.0;
        }
        Self { station_id, sequence, timestamp_us, values: values.into(), n_ignored_keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Feature;

    const NOON_US: i64 = 1_767_355_200_000_000;

    fn station() -> StationId {
        StationId::parse("station_001").unwrap()
    }

    #[test]
    fn rows_of_numbers_pass_the_same_checks() {
        let schema = FeatureSchema::default();
        let event = schema.event(station(), 7, NOON_US, &[70.0, 100.0, -0.0]).unwrap();
        assert_eq!(event.values(), [70.0, 100.0, 0.0]);
        assert!(event.values()[2].is_sign_positive());

        let invalid =
            schema.event(station(), u64::MAX, 0, &[-300.0, f64::NAN, f64::INFINITY]).unwrap_err();
        let codes: Vec<_> = invalid.faults().iter().map(|fault| fault.kind.code()).collect();
        assert_eq!(
            codes,
            [
                "sequence_too_large",
                "timestamp_too_old",
                "out_of_range",
                "missing_field",
                "not_finite"
            ]
        );
        assert_eq!(invalid.malformed(), None);
    }

    #[test]
    fn a_fingerprint_covers_what_an_event_says_and_no_more() {
        let schema = FeatureSchema::new(vec![Feature::named("a"), Feature::named("b")]).unwrap();
        let turned = FeatureSchema::new(vec![Feature::named("b"), Feature::named("a")]).unwrap();
        let print = |schema: &FeatureSchema, sequence, timestamp_us, values: &[f64]| {
            schema.fingerprint(&schema.event(station(), sequence, timestamp_us, values).unwrap())
        };
        let original = print(&schema, 1, NOON_US, &[0.0, 2.0]);
        assert_eq!(print(&schema, 1, NOON_US, &[-0.0, 2.0]), original);
        assert_eq!(print(&turned, 1, NOON_US, &[2.0, 0.0]), original);
        for other in [
            print(&schema, 2, NOON_US, &[0.0, 2.0]),
            print(&schema, 1, NOON_US + 1, &[0.0, 2.0]),
            print(&schema, 1, NOON_US, &[2.0, 0.0]),
            print(&schema, 1, NOON_US, &[0.0, 2.0_f64.next_up()]),
        ] {
            assert_ne!(other, original);
        }
    }
}
