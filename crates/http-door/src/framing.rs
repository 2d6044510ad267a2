//! Checks that apply to every request.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use crate::api_error::ApiError;
use crate::limits::URI_LEN_MAX;

/// The origin of the page that makes a browser send something.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The host that a browser has asked a proxy for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Returns `true` if a browser sends a request for a page of another origin. Programs send neither
/// header.
///
/// Browsers leave out `Sec-Fetch-Site` where the server is reached over plain HTTP at an address that is
/// not loopback; `Origin` then has to name the server. A proxy that changes `Host` has to pass the
/// original one as `X-Forwarded-Host`.
fn is_of_other_site(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(FETCH_SITE), text(ORIGIN)) {
        (Some(site), _) => !["same-origin", "none"].contains(&site),
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            let hosts = [text(HOST), text(FORWARDED_HOST)];
            host.is_none() || !hosts.contains(&host)
        }
        (None, None) => false,
    }
}

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
    if request.method() == Method::POST && is_of_other_site(headers) {
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
