//! Answers in JSON.

use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::answers::NoRoomNeeded;

pub(crate) const JSON: &str = "application/json";

/// A body of JSON that ends its line, for terminals and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonLine<T>(pub T);

impl<T: Serialize> IntoResponse for JsonLine<T> {
    fn into_response(self) -> Response {
        json_text(wire::line(&self.0))
    }
}

/// Makes an answer of JSON that is written already.
pub(crate) fn json_text(text: impl IntoResponse) -> Response {
    let mut response = text.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// Makes an answer of JSON that is written once, and whose memory all clients share.
pub(crate) fn shared_json(text: Bytes) -> Response {
    let mut response = json_text(text);
    response.extensions_mut().insert(NoRoomNeeded);
    response
}
