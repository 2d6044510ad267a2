//! Checks that apply to every request.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, EXPECT, HOST, ORIGIN, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use crate::api_error::ApiError;
use crate::hosts::{Hosts, host_of, named};
use crate::limits::URI_LEN_MAX;

/// The origin of the page that makes a browser send something.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The host that a browser has asked a proxy for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Refuses requests that two programs could understand differently, that are too long, that are for
/// another host, or that a page of another site makes a browser send.
pub(crate) fn check(request: &Request, hosts: &Hosts) -> Result<(), ApiError> {
    let uri_len = request.uri().path_and_query().map_or(0, |uri| uri.as_str().len());
    if uri_len > URI_LEN_MAX {
        let detail = "a path with its query has up to 2,048 bytes";
        return refuse(StatusCode::URI_TOO_LONG, "uri_too_long", detail);
    }
    let headers = request.headers();
    if headers.get_all(CONTENT_TYPE).iter().count() > 1 {
        let detail = "there must be one Content-Type header";
        return refuse(StatusCode::BAD_REQUEST, "duplicate_header", detail);
    }
    check_coding(request)?;
    check_host(request, hosts)?;
    let only_reads = [Method::GET, Method::HEAD].contains(request.method());
    if !only_reads && is_of_other_site(headers) {
        let detail = "a page of another site cannot send anything here";
        return refuse(StatusCode::FORBIDDEN, "cross_site", detail);
    }
    Ok(())
}

fn refuse(status: StatusCode, code: &'static str, detail: &'static str) -> Result<(), ApiError> {
    Err(ApiError::BadRequest { status, code, detail: Cow::Borrowed(detail) })
}

fn check_coding(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let mut expected = headers.get_all(EXPECT).iter();
    if expected.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        let detail = "the only expectation that is met is 100-continue";
        return refuse(StatusCode::EXPECTATION_FAILED, "expectation", detail);
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else { return Ok(()) };
    if request.version() == Version::HTTP_10 {
        let detail = "HTTP/1.0 has no Transfer-Encoding";
        return refuse(StatusCode::BAD_REQUEST, "framing", detail);
    }
    if codings.next().is_some() {
        let detail = "there must be one Transfer-Encoding header";
        return refuse(StatusCode::BAD_REQUEST, "duplicate_header", detail);
    }
    if !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
        let detail = "the only transfer coding is chunked";
        return refuse(StatusCode::NOT_IMPLEMENTED, "transfer_coding", detail);
    }
    Ok(())
}

fn check_host(request: &Request, hosts: &Hosts) -> Result<(), ApiError> {
    let mut headers = request.headers().get_all(HOST).iter();
    let is_required = request.version() == Version::HTTP_11;
    let host = match (headers.next(), headers.next()) {
        (None, _) if is_required => {
            let detail = "HTTP/1.1 needs a Host header";
            return refuse(StatusCode::BAD_REQUEST, "host_required", detail);
        }
        (None, _) => None,
        (Some(host), None) => Some(host),
        (Some(_), Some(_)) => {
            let detail = "there must be one Host header";
            return refuse(StatusCode::BAD_REQUEST, "host_duplicate", detail);
        }
    };
    // Proxies that put their own name into Host tell here what they were asked for.
    let forwarded = request.headers().get(FORWARDED_HOST).map(HeaderValue::as_bytes);
    let forwarded = forwarded.into_iter().flat_map(|hosts| hosts.split(|byte| *byte == b','));
    let forwarded = forwarded.map(<[u8]>::trim_ascii).filter(|host| !host.is_empty());
    for bytes in host.map(HeaderValue::as_bytes).into_iter().chain(forwarded) {
        let Some(host) = str::from_utf8(bytes).ok().and_then(host_of) else {
            let detail = "Host and X-Forwarded-Host must be the name or the address of a host";
            return refuse(StatusCode::BAD_REQUEST, "host_invalid", detail);
        };
        check_listed(host, hosts)?;
    }
    // A request line with a whole URL overrides the header.
    match request.uri().host().map(named) {
        None => Ok(()),
        Some(Some(host)) => check_listed(host, hosts),
        Some(None) => {
            let detail = "the request line must name a host";
            refuse(StatusCode::BAD_REQUEST, "host_invalid", detail)
        }
    }
}

fn check_listed(host: &str, hosts: &Hosts) -> Result<(), ApiError> {
    if hosts.accept(host) {
        return Ok(());
    }
    tracing::warn!(
        host,
        "refused a request for a host that is not listed; if it is a name of this server, add it with --host"
    );
    let detail =
        "this server does not answer for that host; its operator can add the name with --host";
    refuse(StatusCode::MISDIRECTED_REQUEST, "host_unknown", detail)
}

/// Returns `true` if a browser sends a request for a page of another origin. Programs send neither
/// header.
///
/// `Origin` has to name the server: browsers leave out `Sec-Fetch-Site` where the server is reached over
/// plain HTTP at an address that is not loopback. A proxy that changes `Host` has to pass the original one
/// as `X-Forwarded-Host`.
fn is_of_other_site(headers: &HeaderMap) -> bool {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_other_site =
        text(FETCH_SITE).is_some_and(|site| !["same-origin", "none"].contains(&site));
    let is_other_origin = text(ORIGIN).is_some_and(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        let forwarded = text(FORWARDED_HOST).and_then(|hosts| hosts.split(',').next());
        let hosts = [text(HOST), forwarded.map(str::trim)];
        host.is_none() || !hosts.contains(&host)
    });
    is_other_site || is_other_origin
}
