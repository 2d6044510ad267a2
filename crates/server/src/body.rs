//! Reading the body of an event within its bounds.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;

use crate::api_error::ApiError;

/// The largest event.
const BODY_LEN_MAX: usize = 16 * 1024;
/// Time to send it.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The bytes of an event that is said to be JSON.
pub(crate) struct EventBody(pub(crate) Bytes);

impl<S: Sync> FromRequest<S> for EventBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let refuse = |status, code, detail| ApiError::Framing { status, code, detail };
        if !is_json(request.headers()) {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_type",
                "send the event as Content-Type: application/json",
            ));
        }
        if request.headers().contains_key(CONTENT_ENCODING) {
            return Err(refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_encoding",
                "send the event as it is, without Content-Encoding",
            ));
        }
        let too_large = || {
            refuse(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "an event has up to 16,384 bytes",
            )
        };
        let body = request.into_body();
        // What says itself that it is too large is not read.
        if body.size_hint().lower() > BODY_LEN_MAX as u64 {
            return Err(too_large());
        }
        match tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_LEN_MAX).collect()).await {
            Ok(Ok(collected)) => Ok(Self(collected.to_bytes())),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(_)) => Err(refuse(
                StatusCode::BAD_REQUEST,
                "body_incomplete",
                "the body is not what its headers say",
            )),
            Err(_) => Err(refuse(
                StatusCode::REQUEST_TIMEOUT,
                "body_timeout",
                "an event has to arrive within 10 seconds",
            )),
        }
    }
}

/// `application/json`, or another type that ends with `+json`; parameters do not matter.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}
