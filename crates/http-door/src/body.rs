//! Reading a body within its bounds.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;

use crate::api::Api;
use crate::api_error::ApiError;
use crate::limits::{BATCH_BYTES_MAX, BODY_STEP_KIB, BODY_TIMEOUT, UNRESERVED_BYTES_MAX};
use crate::shares::{Client, Part};

/// The length of the JSON before binary tensors, in the inference protocol.
const BINARY_TENSORS: HeaderName = HeaderName::from_static("inference-header-content-length");

/// A body, and the room that it takes, for as long as this lives.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _room: Option<Part>,
}

/// The body of an event.
pub(crate) struct EventBody(pub(crate) Held);

/// The body of a batch.
pub(crate) struct BatchBody {
    pub(crate) body: Held,
    pub(crate) format: BatchFormat,
}

/// The format of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchFormat {
    /// One JSON array.
    Array,
    /// One JSON object a line (NDJSON).
    Lines,
}

/// The body of an inference request, as large as a batch.
pub(crate) struct DocumentBody(pub(crate) Held);

impl FromRequest<Api> for EventBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        expect_type(
            is_json(request.headers()),
            "send the event as Content-Type: application/json",
        )?;
        let model = api.pipeline.models.current();
        let len_max = model.detector.schema().event_len_max();
        let body = read(api, request, len_max).await?;
        Ok(Self(body.ok_or_else(|| api.pipeline.refuse_too_large(len_max))?))
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
        Ok(Self { body: read_batch(api, request).await?, format })
    }
}

impl FromRequest<Api> for DocumentBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, api: &Api) -> Result<Self, ApiError> {
        let headers = request.headers();
        if headers.contains_key(BINARY_TENSORS) {
            let detail = "the extension for binary tensors is not supported; send the data as JSON";
            return Err(refused(StatusCode::BAD_REQUEST, "binary_tensors", detail));
        }
        // Clients of the inference protocol leave the type out.
        let is_json = !headers.contains_key(CONTENT_TYPE) || is_json(headers);
        expect_type(is_json, "send Content-Type: application/json")?;
        Ok(Self(read_batch(api, request).await?))
    }
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
async fn read_batch(api: &Api, request: Request) -> Result<Held, ApiError> {
    let body = read(api, request, BATCH_BYTES_MAX).await?;
    let too_large = "a batch has up to 4,194,304 bytes";
    body.ok_or_else(|| refused(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", too_large))
}

/// Reads a body that has no content encoding. Returns `None` if it is larger than `len_max`.
async fn read(api: &Api, request: Request, len_max: usize) -> Result<Option<Held>, ApiError> {
    if request.headers().contains_key(CONTENT_ENCODING) {
        return Err(refused(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_encoding",
            "send the body as it is, without Content-Encoding",
        ));
    }
    let client = Client::of_request(&request);
    let body = request.into_body();
    // A body that declares itself too large is not read.
    if body.size_hint().lower() > len_max as u64 {
        return Ok(None);
    }
    let timeout = "a body has to arrive within 10 seconds";
    tokio::time::timeout(BODY_TIMEOUT, collect(api, client, body, len_max))
        .await
        .unwrap_or_else(|_| Err(refused(StatusCode::REQUEST_TIMEOUT, "body_timeout", timeout)))
}

/// Reads a body into one allocation: many small ones would take more memory than they hold. Room for
/// a large one is taken as it arrives, so that a client that sends nothing reserves nothing.
async fn collect(
    api: &Api,
    client: Client,
    mut body: Body,
    len_max: usize,
) -> Result<Option<Held>, ApiError> {
    let mut whole = Vec::new();
    let mut room = None::<Part>;
    let mut n_reserved = UNRESERVED_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            let detail = "the body is not what its headers say";
            return Err(refused(StatusCode::BAD_REQUEST, "body_incomplete", detail));
        };
        let Ok(data) = frame.into_data() else { continue };
        let len = whole.len() + data.len();
        if len > len_max {
            return Ok(None);
        }
        while len > n_reserved {
            let step = api.bodies.try_take(client, BODY_STEP_KIB).ok_or(ApiError::BodiesFull)?;
            n_reserved += BODY_STEP_KIB as usize * 1024;
            match &mut room {
                None => room = Some(step),
                Some(room) => room.merge(step),
            }
        }
        // Usually, this is all.
        if whole.is_empty() && body.is_end_stream() {
            return Ok(Some(Held { bytes: data, _room: room }));
        }
        whole.extend_from_slice(&data);
    }
    Ok(Some(Held { bytes: whole.into(), _room: room }))
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
