//! Parameters of a query: each known, each once, each possible.

#![expect(clippy::missing_errors_doc, reason = "a reader fails with the fault of its value")]

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use pipeline::{AlarmParams, Explain};
use sensor::timestamp::InvalidTimestamp;
use sensor::{InvalidStationId, StationId, timestamp};
use store::EventKey;

/// The decoded parameters of a query.
#[derive(Debug)]
pub struct Query {
    pairs: Vec<(String, String)>,
    /// The parameters that were asked for.
    known: Vec<&'static str>,
    faults: Vec<QueryFault>,
}

/// All faults of a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the query has parameters that cannot be used")]
pub struct InvalidQuery {
    /// The faults, in the order in which parameters are read.
    pub faults: Vec<QueryFault>,
}

/// One fault of a query, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryFault {
    /// The name of the parameter. An unknown one is repeated if it looks like a name.
    pub parameter: Option<Cow<'static, str>>,
    /// The fault.
    pub kind: QueryFaultKind,
}

/// A fault of a parameter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryFaultKind {
    /// This path has no such parameter.
    #[error("is unknown; {}", the_known(known))]
    UnknownParameter {
        /// The parameters that the path has.
        known: Vec<&'static str>,
    },
    /// A parameter is duplicated.
    #[error("is duplicated")]
    DuplicateParameter,
    /// The value is not a whole number.
    #[error("must be a whole number")]
    NotInteger,
    /// The number is out of range.
    #[error("must be from 1 to {most}")]
    LimitRange {
        /// The largest that is possible.
        most: u32,
    },
    /// The number is no length of a lesson.
    #[error(
        "must be from {} to {}",
        AlarmParams::EVENTS_TO_LEARN.start(),
        AlarmParams::EVENTS_TO_LEARN.end()
    )]
    EventsToLearn,
    /// The value is not a place in a list.
    #[error("must be the `next` of an answer")]
    Cursor,
    /// The value is not one of the allowed words.
    #[error("must be one of the words that the page offers")]
    Choice,
    /// The indices are too many, duplicated, or out of range.
    #[error("must be up to {most} different indices of features, counted from 0")]
    Indices {
        /// The largest number.
        most: usize,
    },
    /// The names are too many, duplicated, or not a JSON array.
    #[error("must be a JSON array of up to {most} different names of features")]
    Names {
        /// The largest number.
        most: usize,
    },
    /// The value is neither true nor false.
    #[error("must be true or false")]
    NotBoolean,
    /// The value is not the name of a station.
    #[error(transparent)]
    StationId(InvalidStationId),
    /// The value is not a time.
    #[error(transparent)]
    Timestamp(InvalidTimestamp),
}

/// Unknown parameters that are named.
const UNKNOWN_TOLD_MAX: usize = 3;

/// Returns the name of an unknown parameter if it can be repeated without harm.
fn repeatable(name: String) -> Option<Cow<'static, str>> {
    const LEN_MAX: usize = 32;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let is_name = (1..=LEN_MAX).contains(&name.len()) && name.bytes().all(is_plain);
    is_name.then_some(Cow::Owned(name))
}

fn the_known(known: &[&str]) -> String {
    match known {
        [] => String::from("this path has no parameters"),
        [only] => format!("the only parameter here is {only}"),
        [others @ .., last] => {
            format!("the parameters here are {} and {last}", others.join(", "))
        }
    }
}

impl QueryFault {
    /// Returns the parameter as a JSON pointer, as if the query were an object.
    pub fn pointer(&self) -> String {
        self.parameter.as_ref().map_or(String::new(), |name| format!("/{name}"))
    }
}

impl QueryFaultKind {
    /// Returns the stable name of the fault.
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownParameter { .. } => "unknown_parameter",
            Self::DuplicateParameter => "duplicate_parameter",
            Self::NotInteger => "not_integer",
            Self::LimitRange { .. } => "limit_range",
            Self::EventsToLearn => "events_range",
            Self::Cursor => "cursor",
            Self::Choice => "choice",
            Self::Indices { .. } => "indices",
            Self::Names { .. } => "names",
            Self::NotBoolean => "not_boolean",
            Self::StationId(kind) => sensor::FaultKind::StationId(*kind).code(),
            Self::Timestamp(kind) => sensor::FaultKind::Timestamp(*kind).code(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// An empty query, for paths without parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoQuery;

impl<S: Sync> FromRequestParts<S> for NoQuery {
    type Rejection = InvalidQuery;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, InvalidQuery> {
        Query::parse(parts.uri.query().unwrap_or_default()).finish()?;
        Ok(Self)
    }
}

impl Query {
    /// Decodes the text behind the question mark.
    fn parse(text: &str) -> Self {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        Self { pairs, known: Vec::new(), faults: Vec::new() }
    }

    /// Takes the value of a parameter, read by `read`.
    pub fn take<T>(
        &mut self,
        parameter: &'static str,
        read: impl FnOnce(&str) -> Result<T, QueryFaultKind>,
    ) -> Option<T> {
        self.known.push(parameter);
        let mut fault =
            |kind| self.faults.push(QueryFault { parameter: Some(parameter.into()), kind });
        let mut values =
            self.pairs.extract_if(.., |(name, _)| name == parameter).map(|(_, value)| value);
        let value = values.next()?;
        if values.count() > 0 {
            fault(QueryFaultKind::DuplicateParameter);
            return None;
        }
        read(&value).map_err(fault).ok()
    }

    /// Refuses a parameter that contradicts another one.
    pub fn refuse(&mut self, parameter: &'static str, kind: QueryFaultKind) {
        self.faults.push(QueryFault { parameter: Some(parameter.into()), kind });
    }

    /// Ends the reading. All parameters must have been taken.
    ///
    /// # Errors
    ///
    /// Fails with all faults of the query.
    pub fn finish(mut self) -> Result<(), InvalidQuery> {
        for (name, _) in self.pairs.drain(..).take(UNKNOWN_TOLD_MAX) {
            let kind = QueryFaultKind::UnknownParameter { known: self.known.clone() };
            self.faults.push(QueryFault { parameter: repeatable(name), kind });
        }
        if self.faults.is_empty() { Ok(()) } else { Err(InvalidQuery { faults: self.faults }) }
    }
}

/// Reads a number of things to list, 1 to `most`.
pub fn limit(text: &str, most: u32) -> Result<u32, QueryFaultKind> {
    let number = integer(text)?;
    u32::try_from(number)
        .ok()
        .filter(|limit| (1..=most).contains(limit))
        .ok_or(QueryFaultKind::LimitRange { most })
}

/// Reads the length of a lesson.
pub fn events_to_learn(text: &str) -> Result<u32, QueryFaultKind> {
    let number = u32::try_from(integer(text)?).ok();
    let possible = number.filter(|number| AlarmParams::EVENTS_TO_LEARN.contains(number));
    possible.ok_or(QueryFaultKind::EventsToLearn)
}

/// Reads a whole number in decimal digits, with a sign only when it is negative.
pub fn integer(text: &str) -> Result<i64, QueryFaultKind> {
    let is_plain = !text.starts_with('+');
    text.parse().ok().filter(|_| is_plain).ok_or(QueryFaultKind::NotInteger)
}

/// Reads an index, from 0.
pub fn index(text: &str) -> Result<usize, QueryFaultKind> {
    usize::try_from(integer(text)?).map_err(|_| QueryFaultKind::NotInteger)
}

/// Reads up to `most` different indices below `len`, separated by commas.
pub fn indices(text: &str, len: usize, most: usize) -> Result<Vec<usize>, QueryFaultKind> {
    let indices: Vec<usize> = text.split(',').map(index).collect::<Result<_, _>>()?;
    let is_new = |(place, index): (usize, &usize)| !indices[..place].contains(index);
    let is_possible = indices.len() <= most
        && indices.iter().all(|index| *index < len)
        && indices.iter().enumerate().all(is_new);
    if is_possible { Ok(indices) } else { Err(QueryFaultKind::Indices { most }) }
}

/// Reads up to `most` different names from a JSON array.
pub fn names(text: &str, most: usize) -> Result<Vec<Arc<str>>, QueryFaultKind> {
    let names: Vec<Arc<str>> =
        serde_json::from_str(text).map_err(|_| QueryFaultKind::Names { most })?;
    let is_new = |(place, name): (usize, &Arc<str>)| !names[..place].contains(name);
    let is_possible = names.len() <= most && names.iter().enumerate().all(is_new);
    if is_possible { Ok(names) } else { Err(QueryFaultKind::Names { most }) }
}

/// Reads whether normal events are to be explained, too.
pub fn explain(text: &str) -> Result<Explain, QueryFaultKind> {
    Ok(if boolean(text)? { Explain::All } else { Explain::Anomalies })
}

/// Reads `true` or `false`.
pub fn boolean(text: &str) -> Result<bool, QueryFaultKind> {
    text.parse().map_err(|_| QueryFaultKind::NotBoolean)
}

/// Reads the name of a station.
pub fn station_id(text: &str) -> Result<StationId, QueryFaultKind> {
    StationId::parse(text).map_err(QueryFaultKind::StationId)
}

/// Reads an RFC 3339 time, in microseconds since 1970 (UTC).
pub fn time(text: &str) -> Result<i64, QueryFaultKind> {
    timestamp::parse(text).map_err(QueryFaultKind::Timestamp)
}

/// Writes the place of an event in a list.
pub fn cursor_text(key: &EventKey) -> String {
    format!("{}.{}.{}", key.timestamp_us, key.sequence, key.station_id)
}

/// Reads what [`cursor_text`] wrote.
pub fn cursor(text: &str) -> Result<EventKey, QueryFaultKind> {
    let mut parts = text.splitn(3, '.');
    let mut read = || {
        Some(EventKey {
            timestamp_us: integer(parts.next()?).ok()?,
            sequence: u64::try_from(integer(parts.next()?).ok()?).ok()?,
            station_id: StationId::parse(parts.next()?).ok()?,
        })
    };
    read().ok_or(QueryFaultKind::Cursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Queries of known and unknown parameters, with values that are nearly right.
    fn text() -> impl Strategy<Value = String> {
        let pair = "(limit|station_id|since|cursor|explain|LIMIT|[a-z%]{0,6})(=([0-9+-]{0,22}|[ -~]{0,30}|2026-01-0[1-9]T03:04:0[0-9]Z|[0-9]{1,20}\\.[0-9]{1,20}\\.[a-z.:]{0,9}|\\PC{0,8}))?";
        proptest::collection::vec(pair, 0..6).prop_map(|pairs| pairs.join("&"))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_query_is_understood_or_refused(text in text()) {
            let n_sent = form_urlencoded::parse(text.as_bytes()).count();
            let mut query = Query::parse(&text);
            let taken = [
                query.take("limit", |text| limit(text, 7)).inspect(|limit| assert!((1..=7).contains(limit))).is_some(),
                query.take("station_id", station_id).is_some(),
                query.take("since", time).is_some(),
                query.take("cursor", cursor).is_some(),
                query.take("explain", boolean).is_some(),
            ];
            let n_taken = taken.into_iter().filter(|taken| *taken).count();
            // What was sent was understood, all of it, or the query is refused.
            match query.finish() {
                Ok(()) => prop_assert_eq!(n_taken, n_sent),
                Err(invalid) => prop_assert!(!invalid.faults.is_empty()),
            }
        }

        #[test]
        fn a_cursor_is_read_back(timestamp_us: i64, sequence in 0..i64::MAX, name in "[A-Za-z0-9][A-Za-z0-9._:-]{0,63}") {
            let key = EventKey {
                station_id: StationId::parse(&name).unwrap(),
                timestamp_us,
                sequence: sequence.cast_unsigned(),
            };
            prop_assert_eq!(cursor(&cursor_text(&key)), Ok(key));
        }
    }
}
