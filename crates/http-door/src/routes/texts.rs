//! The texts of the events of a batch, found one part after another: a list of all of them would take
//! several times the memory of the body, in each batch that waits for its turn.

use std::fmt;

use axum::body::Bytes;
use hyper::body::Buf as _;
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::api_error::ApiError;
use crate::body::BatchFormat;
use crate::limits::BATCH_EVENTS_MAX;

/// The events that are left of a batch, whatever they are.
#[derive(Debug, Clone)]
pub(super) struct Texts {
    rest: Bytes,
    format: BatchFormat,
    len: usize,
}

impl Texts {
    /// Counts the events of a body.
    ///
    /// # Errors
    ///
    /// Fails when it is no array where it should be, or has too many.
    pub(super) fn of(body: Bytes, format: BatchFormat) -> Result<Self, ApiError> {
        let (rest, len) = match format {
            BatchFormat::Array => {
                let len = n_elements(&body)?;
                let elements = body.trim_ascii_start().strip_prefix(b"[").unwrap_or_default();
                (body.slice_ref(elements), len)
            }
            BatchFormat::Lines => {
                let lines = body.split(|byte| *byte == b'\n').filter(|line| has_text(line));
                let len = lines.take(BATCH_EVENTS_MAX + 1).count();
                (body, len)
            }
        };
        if len > BATCH_EVENTS_MAX {
            return Err(ApiError::TooManyEvents { n_events_max: BATCH_EVENTS_MAX });
        }
        Ok(Self { rest, format, len })
    }

    /// Returns the number of events.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes the next events, up to `n`.
    pub(super) fn take(&mut self, n: usize) -> Vec<Bytes> {
        let n = n.min(self.len);
        self.len -= n;
        (0..n).map_while(|_| self.next()).collect()
    }

    fn next(&mut self) -> Option<Bytes> {
        match self.format {
            BatchFormat::Array => self.next_element(),
            BatchFormat::Lines => self.next_line(),
        }
    }

    fn next_element(&mut self) -> Option<Bytes> {
        let unread = self.rest.trim_ascii_start();
        let unread = unread.strip_prefix(b",").unwrap_or(unread);
        let mut values = serde_json::Deserializer::from_slice(unread).into_iter::<&RawValue>();
        let element = self.rest.slice_ref(values.next()?.ok()?.get().as_bytes());
        self.rest = self.rest.slice_ref(&unread[values.byte_offset()..]);
        Some(element)
    }

    fn next_line(&mut self) -> Option<Bytes> {
        loop {
            let len = self.rest.iter().position(|byte| *byte == b'\n');
            let line = self.rest.split_to(len.unwrap_or(self.rest.len()));
            self.rest.advance(self.rest.len().min(1));
            if has_text(&line) {
                return Some(line);
            }
            if self.rest.is_empty() {
                return None;
            }
        }
    }
}

fn has_text(line: &[u8]) -> bool {
    !line.trim_ascii().is_empty()
}

/// Counts the elements of an array, whatever they are.
fn n_elements(bytes: &[u8]) -> Result<usize, ApiError> {
    struct Count;

    impl<'de> Visitor<'de> for Count {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<usize, A::Error> {
            let mut n_elements = 0;
            // As they are cut out later, so that each that is counted is found.
            while seq.next_element::<&RawValue>()?.is_some() {
                n_elements += 1;
            }
            Ok(n_elements)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(bytes);
    let n_elements = json.deserialize_seq(Count).map_err(|_| ApiError::NotABatch)?;
    json.end().map_err(|_| ApiError::NotABatch)?;
    Ok(n_elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(body: &'static str, format: BatchFormat, n: usize) -> Vec<Vec<Bytes>> {
        let mut texts = Texts::of(Bytes::from_static(body.as_bytes()), format).unwrap();
        let mut parts = Vec::new();
        while texts.len() > 0 {
            parts.push(texts.take(n));
        }
        parts
    }

    #[test]
    fn elements_are_found_whatever_they_are() {
        let body = " [ {\"a\": [1, \",]\"]} ,2,[3 , [4]],\"x,\" , null,-1.5e3 ] \n";
        let expected = ["{\"a\": [1, \",]\"]}", "2", "[3 , [4]]", "\"x,\"", "null", "-1.5e3"];
        for n in 1..=7 {
            assert_eq!(parts(body, BatchFormat::Array, n).concat(), expected, "{n}");
        }
        assert!(parts("[]", BatchFormat::Array, 3).is_empty());
        // A byte that is no text hides no event behind it.
        for body in [&b""[..], b"{}", b"[1", b"[1,]", b"[1] 2", b"[1,,2]", b"[\"\xff\", 1]"] {
            let refused = Texts::of(Bytes::from_static(body), BatchFormat::Array);
            assert!(refused.is_err(), "{body:?}");
        }
    }

    #[test]
    fn lines_without_text_are_no_events() {
        let body = "\n{}\r\n \n[1]\n\n\nx";
        for n in 1..=4 {
            assert_eq!(parts(body, BatchFormat::Lines, n).concat(), ["{}\r", "[1]", "x"], "{n}");
        }
    }
}
