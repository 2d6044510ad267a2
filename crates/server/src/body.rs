//! Reading a body within its bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::api_error::ApiError;
use crate::state::AppState;

/// The largest event, in bytes.
pub(crate) const EVENT_LEN_MAX: usize = 16 * 1024;
/// The largest batch, in bytes.
const BATCH_LEN_MAX: usize = 4 * 1024 * 1024;
/// Time to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of an event that is said to be JSON.
pub(crate) struct EventBody(pub(crate) Bytes);

/// The bytes of many events or rows.
pub(crate) struct BatchBody {
    pub(crate) bytes: Bytes,
    pub(crate) format: BatchFormat,
    /// Held until the answer is made.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// How the events of a batch follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFormat {
    /// One JSON array.
    Array,
    /// A JSON object in every line.
    Lines,
}

/// The bytes of another JSON document, as large as a batch.
pub(crate) struct DocumentBody {
    pub(crate) bytes: Bytes,
    /// Held until the answer is made.
    pub(crate) _room: OwnedSemaphorePermit,
}

impl FromRequest<AppState> for EventBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &AppState) -> Result<Self, ApiError> {
        expect_type(
            is_json(request.headers()),
            "send the event as Content-Type: application/json",
        )?;
        let too_large = "an event has up to 16,384 bytes";
        Ok(Self(read(request, EVENT_LEN_MAX, too_large).await?))
    }
}

impl FromRequest<AppState> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let is_lines = essence(request.headers()).is_some_and(|essence| {
            ["application/x-ndjson", "application/jsonl"].contains(&essence.as_str())
        });
        expect_type(
            is_lines || is_json(request.headers()),
            "send an array as Content-Type: application/json, or a line for each event as application/x-ndjson",
        )?;
        let format = if is_lines { BatchFormat::Lines } else { BatchFormat::Array };
        let room = room(state, &request)?;
        Ok(Self {
            bytes: read(request, BATCH_LEN_MAX, BATCH_TOO_LARGE).await?,
            format,
            _room: room,
        })
    }
}

impl FromRequest<AppState> for DocumentBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        expect_type(is_json(request.headers()), "send Content-Type: application/json")?;
        let room = room(state, &request)?;
        Ok(Self { bytes: read(request, BATCH_LEN_MAX, BATCH_TOO_LARGE).await?, _room: room })
    }
}

/// Takes room for a body as long as it may be, before any of it is read.
fn room(state: &AppState, request: &Request) -> Result<OwnedSemaphorePermit, ApiError> {
    let size = request.body().size_hint();
    let len = size.upper().unwrap_or(u64::MAX).min(BATCH_LEN_MAX as u64);
    let kib = u32::try_from(len.div_ceil(1024)).expect("a batch is bounded");
    Arc::clone(&state.body_room).try_acquire_many_owned(kib).map_err(|_| ApiError::BodiesFull)
}

const BATCH_TOO_LARGE: &str = "a batch has up to 4,194,304 bytes";

fn expect_type(is_expected: bool, detail: &'static str) -> Result<(), ApiError> {
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    if is_expected {
        Ok(())
    } else {
        Err(ApiError::Framing { status, code: "content_type", detail })
    }
}

/// Reads a body that is sent as it is.
async fn read(
    request: Request,
    len_max: usize,
    too_large: &'static str,
) -> Result<Bytes, ApiError> {
    let refuse = |status, code, detail| ApiError::Framing { status, code, detail };
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(refuse(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "send the body as it is, without Content-Encoding",
        ));
    }
    let too_large = || refuse(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", too_large);
    let body = request.into_body();
    // What says itself that it is too large is not read.
    if body.size_hint().lower() > len_max as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(Limited::new(body, len_max))).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(refuse(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "the body is not what its headers say",
        )),
        Err(_) => Err(refuse(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "a body has to arrive within 10 seconds",
        )),
    }
}

/// Reads a body into one piece of memory: many small ones would take more than they hold.
async fn collect(mut body: Limited<Body>) -> Result<Bytes, axum::BoxError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            // Mostly, this is all.
            if whole.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.into())
}

/// `application/json`, or another type that ends with `+json`; parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next()?.trim().to_ascii_lowercase())
}
