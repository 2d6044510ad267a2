//! Checks that apply to every request.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::api_error::ApiError;
use crate::limits::URI_LEN_MAX;

/// The origin of the page that makes a browser send something.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses requests that two programs could understand differently, or that are too long.
pub(crate) fn check(request: &Request) -> Result<(), ApiError> {
    fault(request).map_or(Ok(()), Err)
}

fn fault(request: &Request) -> Option<ApiError> {
    let refuse = |status, code, detail| {
        Some(ApiError::BadRequest { status, code, detail: Cow::Borrowed(detail) })
    };
    let headers = request.headers();
    let count = |name| headers.get_all(name).iter().count();

    let uri_len = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri_len > URI_LEN_MAX {
        return refuse(
            StatusCode::URI_TOO_LONG,
            "uri_too_long",
            "a path with its query has up to 2,048 bytes",
        );
    }
    match (request.version(), count(HOST)) {
        (Version::HTTP_11, 0) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "host_required",
                "HTTP/1.1 needs a Host header",
            );
        }
        (_, 0 | 1) => {}
        _ => {
            return refuse(
                StatusCode::BAD_REQUEST,
                "host_duplicate",
                "there must be one Host header",
            );
        }
    }
    if count(CONTENT_TYPE) > 1 {
        return refuse(
            StatusCode::BAD_REQUEST,
            "duplicate_header",
            "there must be one Content-Type header",
        );
    }
    let fetch_site = headers.get(FETCH_SITE).map(HeaderValue::as_bytes);
    if request.method() == Method::POST && fetch_site == Some(b"cross-site") {
        return refuse(
            StatusCode::FORBIDDEN,
            "cross_site",
            "a page of another site cannot send anything here",
        );
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        if request.version() == Version::HTTP_10 {
            return refuse(StatusCode::BAD_REQUEST, "framing", "HTTP/1.0 has no Transfer-Encoding");
        }
        if !is_chunked(headers) {
            return refuse(
                StatusCode::NOT_IMPLEMENTED,
                "transfer_coding",
                "the only transfer coding is chunked",
            );
        }
    }
    None
}

fn is_chunked(headers: &HeaderMap) -> bool {
    headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}
