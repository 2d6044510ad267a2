//! The door for JSON: an object straight into an event, or all its faults.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::{Parts, SensorEvent, check_time};
use crate::fault::{FaultKind, Faults, InvalidEvent};
use crate::schema::{FeatureSchema, SEQUENCE, STATION_ID, TIMESTAMP};
use crate::station_id::StationId;
use crate::timestamp;

/// An event may be this far ahead of the receiver's clock.
const AHEAD_MAX_US: i64 = 24 * 3_600 * 1_000_000;

impl FeatureSchema {
    /// Parses and checks one JSON object, received at `now_us`.
    ///
    /// # Errors
    ///
    /// Fails with every fault of the event at once; when the text is not JSON, with that.
    pub fn parse(&self, json: &[u8], now_us: i64) -> Result<SensorEvent, InvalidEvent> {
        let text = check_encoding(json).map_err(InvalidEvent::whole)?;
        let raw = read_object(self, text).map_err(InvalidEvent::whole)?;
        raw.check(self, now_us)
    }
}

fn check_encoding(json: &[u8]) -> Result<&str, FaultKind> {
    if json.starts_with(b"\xEF\xBB\xBF") {
        return Err(FaultKind::ByteOrderMark);
    }
    // A text of JSON starts with two ASCII characters, so a zero means UTF-16 or UTF-32.
    if json.iter().take(2).any(|&byte| byte == 0) {
        return Err(FaultKind::NotUtf8);
    }
    let text = std::str::from_utf8(json).map_err(|_| FaultKind::NotUtf8)?;
    if text.trim_ascii().is_empty() { Err(FaultKind::EmptyBody) } else { Ok(text) }
}

fn read_object<'a>(schema: &FeatureSchema, text: &'a str) -> Result<RawEvent<'a>, FaultKind> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let is_object = text.trim_ascii_start().starts_with('{');
    let raw = if is_object {
        deserializer.deserialize_map(ObjectVisitor { schema }).map(Some)
    } else {
        deserializer.deserialize_ignored_any(IgnoredAny).map(|_| None)
    };
    let raw =
        raw.map_err(|error| FaultKind::JsonSyntax { line: error.line(), column: error.column() })?;
    deserializer
        .end()
        .map_err(|error| FaultKind::JsonTrailing { line: error.line(), column: error.column() })?;
    raw.ok_or(FaultKind::NotAnObject)
}

/// The values of an object as they are written in the text, well-formed but not yet understood.
struct RawEvent<'a> {
    station_id: Slot<'a>,
    sequence: Slot<'a>,
    timestamp: Slot<'a>,
    values: Vec<Slot<'a>>,
    n_ignored_keys: usize,
}

/// The text of the value under a known key.
#[derive(Clone, Copy, Default)]
enum Slot<'a> {
    #[default]
    Missing,
    Once(&'a str),
    Twice,
}

/// The meaning of a key of the object to the schema.
enum Key {
    StationId,
    Sequence,
    Timestamp,
    Feature(usize),
    Unknown,
}

struct ObjectVisitor<'s> {
    schema: &'s FeatureSchema,
}

impl<'de> Visitor<'de> for ObjectVisitor<'_> {
    type Value = RawEvent<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawEvent<'de>, A::Error> {
        let mut raw = RawEvent {
            station_id: Slot::Missing,
            sequence: Slot::Missing,
            timestamp: Slot::Missing,
            values: vec![Slot::Missing; self.schema.len()],
            n_ignored_keys: 0,
        };
        while let Some(key) = map.next_key_seed(KeySeed { schema: self.schema })? {
            let slot = match key {
                Key::StationId => &mut raw.station_id,
                Key::Sequence => &mut raw.sequence,
                Key::Timestamp => &mut raw.timestamp,
                Key::Feature(index) => &mut raw.values[index],
                Key::Unknown => {
                    map.next_value::<IgnoredAny>()?;
                    raw.n_ignored_keys += 1;
                    continue;
                }
            };
            let text = map.next_value::<&RawValue>()?.get();
            *slot = match slot {
                Slot::Missing => Slot::Once(text),
                Slot::Once(_) | Slot::Twice => Slot::Twice,
            };
        }
        Ok(raw)
    }
}

struct KeySeed<'s> {
    schema: &'s FeatureSchema,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(match key {
            STATION_ID => Key::StationId,
            SEQUENCE => Key::Sequence,
            TIMESTAMP => Key::Timestamp,
            name => self.schema.position(name).map_or(Key::Unknown, Key::Feature),
        })
    }
}

impl RawEvent<'_> {
    fn check(self, schema: &FeatureSchema, now_us: i64) -> Result<SensorEvent, InvalidEvent> {
        let mut faults = Faults::default();
        let mut note = |key: &str, kind: FaultKind| faults.add(key, kind);

        let station_id = self
            .station_id
            .required()
            .and_then(station_id)
            .map_err(|kind| note(STATION_ID, kind))
            .ok();
        // Senders without a counter leave it out: the time is a part of the key, too.
        let sequence = match self.sequence {
            Slot::Missing => Ok(0),
            slot => slot.required().and_then(sequence),
        };
        let sequence = sequence.map_err(|kind| note(SEQUENCE, kind)).ok();
        let timestamp_us = self
            .timestamp
            .required()
            .and_then(|value| time(value, now_us))
            .map_err(|kind| note(TIMESTAMP, kind))
            .ok();
        let mut values = Vec::with_capacity(schema.len());
        for (index, slot) in self.values.iter().enumerate() {
            let feature = &schema.features()[index];
            let value = if feature.optional { slot.optional() } else { slot.required().map(Some) };
            let checked = value
                .and_then(|text| text.map(number).transpose())
                .and_then(|value| schema.check_value(index, value));
            match checked {
                Ok(value) => values.push(value),
                Err(kind) => note(&feature.name, kind),
            }
        }

        match (faults.into_invalid(), station_id, sequence, timestamp_us) {
            (None, Some(station_id), Some(sequence), Some(timestamp_us)) => {
                Ok(SensorEvent::new(Parts {
                    station_id,
                    sequence,
                    timestamp_us,
                    values,
                    n_ignored_keys: self.n_ignored_keys,
                }))
            }
            (invalid, station_id, ..) => {
                let invalid = invalid.expect("a part that is not there left a fault");
                Err(invalid.of_station(station_id))
            }
        }
    }
}

impl<'a> Slot<'a> {
    fn required(self) -> Result<&'a str, FaultKind> {
        match self {
            Self::Missing => Err(FaultKind::MissingField),
            Self::Twice => Err(FaultKind::DuplicateKey),
            Self::Once("null") => Err(FaultKind::NullNotAllowed),
            Self::Once(text) => Ok(text),
        }
    }

    fn optional(self) -> Result<Option<&'a str>, FaultKind> {
        match self {
            Self::Missing | Self::Once("null") => Ok(None),
            _ => self.required().map(Some),
        }
    }
}

fn station_id(value: &str) -> Result<StationId, FaultKind> {
    let text = string(value)?.ok_or(FaultKind::NotAString)?;
    Ok(StationId::parse(&text)?)
}

fn sequence(value: &str) -> Result<u64, FaultKind> {
    if !is_number(value) {
        return Err(FaultKind::SequenceNotInteger);
    }
    // Ahead of the kind of number, so that what no program can hold is always called the same.
    let magnitude = number(value)?;
    let digits = value.strip_prefix('-').unwrap_or(value);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FaultKind::SequenceNotInteger);
    }
    if magnitude < 0.0 {
        return Err(FaultKind::SequenceNegative);
    }
    if value.starts_with('-') {
        // -0 is a floating-point number; no counter writes it.
        return Err(FaultKind::SequenceNotInteger);
    }
    match digits.parse::<i64>() {
        Ok(sequence) => Ok(sequence.cast_unsigned()),
        Err(_) => Err(FaultKind::SequenceTooLarge),
    }
}

fn time(value: &str, now_us: i64) -> Result<i64, FaultKind> {
    let text = string(value)?.ok_or(timestamp::InvalidTimestamp::Format)?;
    let timestamp_us = timestamp::parse(&text)?;
    check_time(timestamp_us)?;
    if timestamp_us > now_us.saturating_add(AHEAD_MAX_US) {
        return Err(FaultKind::TimestampInFuture);
    }
    Ok(timestamp_us)
}

/// Returns the number that a well-formed JSON value is.
fn number(value: &str) -> Result<f64, FaultKind> {
    if !is_number(value) {
        return Err(FaultKind::NotANumber);
    }
    // JSON's numbers are a part of those that Rust reads, to the nearest.
    let number: f64 = value.parse().map_err(|_| FaultKind::NotANumber)?;
    if number.is_finite() { Ok(number) } else { Err(FaultKind::NumberOutOfRange) }
}

fn is_number(value: &str) -> bool {
    value.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Returns the text that a well-formed JSON value is; `None` when it is no string.
fn string(value: &str) -> Result<Option<Cow<'_, str>>, FaultKind> {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(None);
    };
    if !inner.contains('\\') {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    // The syntax has been checked, so an escape can only be wrong in its meaning.
    serde_json::from_str(value)
        .map(|text: String| Some(Cow::Owned(text)))
        .map_err(|_| FaultKind::LoneSurrogate)
}

#[cfg(test)]
mod tests;
