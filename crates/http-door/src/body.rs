//! Reading a body within its bounds.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use tokio::sync::OwnedSemaphorePermit;

use crate::api::Api;
use crate::api_error::ApiError;
use crate::limits::{BATCH_BYTES_MAX, BODY_TIMEOUT, UNRESERVED_BYTES_MAX};

/// The body of an event.
pub(crate) struct EventBody {
    pub(crate) bytes: Bytes,
    /// Held until the answer is written.
    pub(crate) _memory: Option<OwnedSemaphorePermit>,
}

/// The body of a batch.
pub(crate) struct BatchBody {
    pub(crate) bytes: Bytes,
    pub(crate) format: BatchFormat,
    /// Held until the answer is written.
    pub(crate) _memory: OwnedSemaphorePermit,
}

/// The format of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFormat {
    /// One JSON array.
    Array,
    /// One JSON object a line (NDJSON).
    Lines,
}

/// The body of another JSON document, as large as a batch.
pub(crate) struct DocumentBody {
    pub(crate) bytes: Bytes,
    /// Held until the answer is written.
    pub(crate) _memory: OwnedSemaphorePermit,
}

impl FromRequest<Api> for EventBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        expect_type(
            is_json(request.headers()),
            "send the event as Content-Type: application/json",
        )?;
        let model = api.pipeline.models.current();
        let len_max = model.detector.schema().event_len_max();
        let is_large = len_max > UNRESERVED_BYTES_MAX;
        let memory = if is_large { Some(reserve_memory(api, &request, len_max)?) } else { None };
        let bytes = read(request, len_max).await?;
        let bytes = bytes.ok_or_else(|| api.pipeline.refuse_too_large(len_max))?;
        Ok(Self { bytes, _memory: memory })
    }
}

impl FromRequest<Api> for BatchBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let is_lines = essence(request.headers()).is_some_and(|essence| {
            ["application/x-ndjson", "application/jsonl"].contains(&essence.as_str())
        });
        expect_type(
            is_lines || is_json(request.headers()),
            "send an array as Content-Type: application/json, or a line for each event as application/x-ndjson",
        )?;
        let format = if is_lines { BatchFormat::Lines } else { BatchFormat::Array };
        let memory = reserve_memory(api, &request, BATCH_BYTES_MAX)?;
        Ok(Self { bytes: read_batch(request).await?, format, _memory: memory })
    }
}

impl FromRequest<Api> for DocumentBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        expect_type(is_json(request.headers()), "send Content-Type: application/json")?;
        let memory = reserve_memory(api, &request, BATCH_BYTES_MAX)?;
        Ok(Self { bytes: read_batch(request).await?, _memory: memory })
    }
}

/// Reserves memory for a body of up to `len_max` bytes, before any of it is read.
fn reserve_memory(
    api: &Api,
    request: &Request,
    len_max: usize,
) -> Result<OwnedSemaphorePermit, ApiError> {
    let size = request.body().size_hint();
    let len = size.upper().unwrap_or(u64::MAX).min(len_max as u64);
    let kib = u32::try_from(len.div_ceil(1024)).expect("a body is bounded");
    Arc::clone(&api.body_memory).try_acquire_many_owned(kib).map_err(|_| ApiError::BodiesFull)
}

fn expect_type(is_expected: bool, detail: &'static str) -> Result<(), ApiError> {
    if is_expected {
        Ok(())
    } else {
        Err(refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type", detail))
    }
}

fn refused(status: StatusCode, code: &'static str, detail: &'static str) -> ApiError {
    ApiError::BadRequest { status, code, detail: detail.into() }
}

/// Reads the body of a batch or of a document.
async fn read_batch(request: Request) -> Result<Bytes, ApiError> {
    let bytes = read(request, BATCH_BYTES_MAX).await?;
    let too_large = "a batch has up to 4,194,304 bytes";
    bytes.ok_or_else(|| refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", too_large))
}

/// Reads a body that has no content encoding. Returns `None` if it is larger than `len_max`.
async fn read(request: Request, len_max: usize) -> Result<Option<Bytes>, ApiError> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "send the body as it is, without Content-Encoding",
        ));
    }
    let body = request.into_body();
    // A body that declares itself too large is not read.
    if body.size_hint().lower() > len_max as u64 {
        return Ok(None);
    }
    match tokio::time::timeout(BODY_TIMEOUT, collect(Limited::new(body, len_max))).await {
        Ok(Ok(bytes)) => Ok(Some(bytes)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Ok(None),
        Ok(Err(_)) => Err(refused(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "the body is not what its headers say",
        )),
        Err(_) => Err(refused(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "a body has to arrive within 10 seconds",
        )),
    }
}

/// Reads a body into one allocation: many small ones would take more memory than they hold.
async fn collect(mut body: Limited<Body>) -> Result<Bytes, axum::BoxError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            // Usually, this is all.
            if whole.is_empty() && body.is_end_stream() {
                return Ok(data);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.into())
}

/// Returns `true` for `application/json` and types that end with `+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    essence(headers).is_some_and(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// Returns the content type without its parameters.
fn essence(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(content_type.split(';').next()?.trim().to_ascii_lowercase())
}
