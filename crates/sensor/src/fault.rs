//! Faults of an event.

use std::fmt;

use crate::station_id::{InvalidStationId, StationId};

/// Everything that is wrong with an event; there is at least one fault.
#[derive(Debug, Clone, PartialEq)]
pub struct InvalidEvent {
    /// The first [`InvalidEvent::FAULTS_MAX`].
    faults: Vec<Fault>,
    n_faults: usize,
    station_id: Option<StationId>,
}

/// One fault, and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Place in the event as a JSON pointer (RFC 6901); empty for the event as a whole.
    pub pointer: String,
    /// The kind of the fault.
    pub kind: FaultKind,
}

/// A kind of fault. The text says what is expected and never repeats what was sent.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FaultKind {
    /// Nothing was sent.
    #[error("the body is empty; an event is a JSON object")]
    EmptyBody,
    /// The bytes are not UTF-8.
    #[error("the body is not UTF-8")]
    NotUtf8,
    /// The text starts with a byte order mark, which JSON must not.
    #[error("the body starts with a byte order mark, which JSON must not have")]
    ByteOrderMark,
    /// The text is not JSON.
    #[error("the body is not well-formed JSON at line {line}, column {column}")]
    JsonSyntax {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1.
        column: usize,
    },
    /// Something follows the JSON value.
    #[error("something follows the JSON value at line {line}, column {column}")]
    JsonTrailing {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1.
        column: usize,
    },
    /// An escape in a string is half a character.
    #[error("a string has half of a surrogate pair")]
    LoneSurrogate,
    /// A number is too large for 64-bit floating point.
    #[error("the number is too large to be represented")]
    NumberOutOfRange,
    /// The JSON value is no object.
    #[error("an event is a JSON object")]
    NotAnObject,
    /// A known key is duplicated.
    #[error("is duplicated")]
    DuplicateKey,
    /// A key that is needed is not there.
    #[error("is missing")]
    MissingField,
    /// The value is null.
    #[error("must not be null")]
    NullNotAllowed,
    /// The value of a feature is no number.
    #[error("must be a number")]
    NotANumber,
    /// The value is no string.
    #[error("must be a string")]
    NotAString,
    /// A value is not physically possible.
    #[error("must be {}", RangeText { minimum: *.minimum, maximum: *.maximum })]
    OutOfRange {
        /// Least possible value.
        minimum: Option<f64>,
        /// Greatest possible value.
        maximum: Option<f64>,
    },
    /// A value is infinite.
    #[error("must be finite")]
    NotFinite,
    /// A sequence number has a decimal point, an exponent or quotes.
    #[error("must be an integer")]
    SequenceNotInteger,
    /// A sequence number is below 0.
    #[error("must not be negative")]
    SequenceNegative,
    /// A sequence number is above 2^63 - 1.
    #[error("must not be above {}", i64::MAX)]
    SequenceTooLarge,
    /// The text is no time.
    #[error(transparent)]
    Timestamp(#[from] crate::timestamp::InvalidTimestamp),
    /// The time is before 2000.
    #[error("must not be before the year 2000")]
    TimestampTooOld,
    /// The time is more than a day ahead.
    #[error(
        "must not be more than 24 hours ahead of the server's clock: check the clocks of the station and of the server"
    )]
    TimestampInFuture,
    /// The text is no station's name.
    #[error(transparent)]
    StationId(#[from] InvalidStationId),
}

struct RangeText {
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// The faults of an event as they are found.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    listed: Vec<Fault>,
    n_faults: usize,
}

impl Faults {
    pub(crate) fn add(&mut self, key: &str, kind: FaultKind) {
        self.n_faults += 1;
        if self.listed.len() < InvalidEvent::FAULTS_MAX {
            self.listed.push(Fault::at(key, kind));
        }
    }

    /// Returns what was found; `None` when that is nothing.
    pub(crate) fn into_invalid(self) -> Option<InvalidEvent> {
        let Self { listed, n_faults } = self;
        (n_faults > 0).then_some(InvalidEvent { faults: listed, n_faults, station_id: None })
    }
}

impl InvalidEvent {
    /// The largest number of faults that are listed: an event of a thousand features may have a thousand.
    pub const FAULTS_MAX: usize = 16;

    pub(crate) fn whole(kind: FaultKind) -> Self {
        Self { faults: vec![Fault::whole(kind)], n_faults: 1, station_id: None }
    }

    /// Returns the same faults, of an event whose station is known.
    pub(crate) fn of_station(self, station_id: Option<StationId>) -> Self {
        Self { station_id, ..self }
    }

    /// Returns the station that sent the event, where its name could be read.
    pub fn station_id(&self) -> Option<&StationId> {
        self.station_id.as_ref()
    }

    /// Returns the first [`InvalidEvent::FAULTS_MAX`] faults, in the order of the event's keys.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Returns the number of faults.
    pub fn n_faults(&self) -> usize {
        self.n_faults
    }

    /// Returns why what was sent is not JSON that a program can hold; `None` when only its content is at
    /// fault.
    pub fn malformed(&self) -> Option<&Fault> {
        self.faults.iter().find(|fault| !fault.kind.is_well_formed())
    }
}

impl std::error::Error for InvalidEvent {}

impl fmt::Display for InvalidEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{fault}")?;
        }
        let n_unlisted = self.n_faults - self.faults.len();
        if n_unlisted > 0 {
            write!(f, "; and {n_unlisted} more")?;
        }
        Ok(())
    }
}

impl Fault {
    /// Returns a fault of the value under a key.
    pub(crate) fn at(key: &str, kind: FaultKind) -> Self {
        Self { pointer: format!("/{}", key.replace('~', "~0").replace('/', "~1")), kind }
    }

    /// Returns a fault of the event as a whole.
    pub(crate) fn whole(kind: FaultKind) -> Self {
        Self { pointer: String::new(), kind }
    }

    /// Returns the key of the invalid value; `None` for the event as a whole.
    pub fn key(&self) -> Option<String> {
        Some(self.pointer.strip_prefix('/')?.replace("~1", "/").replace("~0", "~"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key() {
            Some(key) => write!(f, "{key} {}", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}

impl FaultKind {
    /// All that [`FaultKind::code`] returns.
    pub const CODES: &[&str] = &[
        "empty_body",
        "not_utf8",
        "bom",
        "json_syntax",
        "json_trailing",
        "lone_surrogate",
        "number_out_of_range",
        "not_an_object",
        "duplicate_key",
        "missing_field",
        "null_not_allowed",
        "not_a_number",
        "not_a_string",
        "out_of_range",
        "not_finite",
        "sequence_not_integer",
        "sequence_negative",
        "sequence_too_large",
        "timestamp_format",
        "timezone_required",
        "timestamp_invalid",
        "timestamp_too_old",
        "timestamp_in_future",
        "station_id_empty",
        "station_id_too_long",
        "station_id_charset",
    ];

    /// Returns the name of the fault for programs; it does not change.
    pub fn code(&self) -> &'static str {
        use crate::timestamp::InvalidTimestamp;
        match self {
            Self::EmptyBody => "empty_body",
            Self::NotUtf8 => "not_utf8",
            Self::ByteOrderMark => "bom",
            Self::JsonSyntax { .. } => "json_syntax",
            Self::JsonTrailing { .. } => "json_trailing",
            Self::LoneSurrogate => "lone_surrogate",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateKey => "duplicate_key",
            Self::MissingField => "missing_field",
            Self::NullNotAllowed => "null_not_allowed",
            Self::NotANumber => "not_a_number",
            Self::NotAString => "not_a_string",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotFinite => "not_finite",
            Self::SequenceNotInteger => "sequence_not_integer",
            Self::SequenceNegative => "sequence_negative",
            Self::SequenceTooLarge => "sequence_too_large",
            Self::Timestamp(InvalidTimestamp::Format) => "timestamp_format",
            Self::Timestamp(InvalidTimestamp::TimezoneRequired) => "timezone_required",
            Self::Timestamp(InvalidTimestamp::Invalid) => "timestamp_invalid",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::StationId(InvalidStationId::Empty) => "station_id_empty",
            Self::StationId(InvalidStationId::TooLong) => "station_id_too_long",
            Self::StationId(InvalidStationId::Charset) => "station_id_charset",
        }
    }

    /// Returns `true` if JSON with this fault is JSON all the same.
    fn is_well_formed(&self) -> bool {
        !matches!(
            self,
            Self::EmptyBody
                | Self::NotUtf8
                | Self::ByteOrderMark
                | Self::JsonSyntax { .. }
                | Self::JsonTrailing { .. }
                | Self::LoneSurrogate
                | Self::NumberOutOfRange
        )
    }
}

impl fmt::Display for RangeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.minimum, self.maximum) {
            (Some(minimum), Some(maximum)) => write!(f, "between {minimum} and {maximum}"),
            (Some(minimum), None) => write!(f, "at least {minimum}"),
            (None, Some(maximum)) => write!(f, "at most {maximum}"),
            (None, None) => write!(f, "a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_codes_are_listed() {
        let source = include_str!("fault.rs");
        let (_, rest) = source.split_once("pub fn code(&self)").unwrap();
        let (codes, _) = rest.split_once("\n    }\n").unwrap();
        let codes: Vec<&str> =
            codes.split("=> \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(codes, FaultKind::CODES);
    }

    #[test]
    fn faults_beyond_the_bound_are_counted_but_not_listed() {
        let mut faults = Faults::default();
        for index in 0..1_000 {
            faults.add(&format!("f{index}"), FaultKind::MissingField);
        }
        let invalid = faults.into_invalid().unwrap();
        assert_eq!((invalid.n_faults(), invalid.faults().len()), (1_000, InvalidEvent::FAULTS_MAX));
        assert!(invalid.to_string().ends_with("f15 is missing; and 984 more"), "{invalid}");
    }
}
