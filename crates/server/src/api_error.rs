//! Everything that is refused, as `application/problem+json` (RFC 9457).

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sensor::InvalidEvent;
use serde::Serialize;
use store::{KeepError, ReadError};

use crate::query::InvalidQuery;
use crate::wire::JsonLine;

/// Why a request is refused.
///
/// What a client did wrong is told to the client in full. What went wrong here is told to the log.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The body is not JSON, or no event.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// Parameters of the query are unknown, stand twice or have impossible values.
    #[error(transparent)]
    InvalidQuery(#[from] InvalidQuery),
    /// The request breaks the rules of HTTP.
    #[error("{detail}")]
    Framing {
        /// Which answer that has.
        status: StatusCode,
        /// Name of the fault.
        code: &'static str,
        /// What is expected.
        detail: &'static str,
    },
    /// There is nothing at this path.
    #[error("there is nothing here; see POST /predict, GET /health and GET /latest_anomalies")]
    NotFound,
    /// The path has no such method.
    #[error("this path has other methods; see the Allow header")]
    MethodNotAllowed,
    /// Predictions cannot be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Predictions cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A task of ours panicked.
    #[error("a task has panicked")]
    Panic(#[from] tokio::task::JoinError),
}

/// The document that a refusal is told in.
#[derive(Debug, Clone, Serialize)]
struct Problem {
    r#type: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
    code: &'static str,
    errors: Vec<ProblemItem>,
    request_id: String,
}

#[derive(Debug, Clone, Serialize)]
struct ProblemItem {
    pointer: String,
    code: &'static str,
    detail: String,
}

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidEvent(invalid) if invalid.malformed().is_some() => StatusCode::BAD_REQUEST,
            Self::InvalidEvent(_) | Self::InvalidQuery(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Framing { status, .. } => *status,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Keep(KeepError::Conflict) => StatusCode::CONFLICT,
            Self::Keep(_) | Self::Read(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panic(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidEvent(invalid) => {
                invalid.malformed().map_or("invalid_event", |fault| fault.kind.code())
            }
            Self::InvalidQuery(_) => "invalid_query",
            Self::Framing { code, .. } => code,
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Keep(KeepError::Conflict) => "sequence_conflict",
            Self::Keep(KeepError::Full) => "overloaded",
            Self::Keep(KeepError::Failed(_)) | Self::Read(_) => "store_unavailable",
            Self::Keep(KeepError::Unknown(_) | KeepError::WriterGone) => "outcome_unknown",
            Self::Panic(_) => "internal",
        }
    }

    /// What the client is told.
    fn detail(&self) -> String {
        match self {
            Self::InvalidEvent(invalid) if invalid.malformed().is_none() => {
                match invalid.faults().len() {
                    1 => String::from("the event has a fault; see errors"),
                    n_faults => format!("the event has {n_faults} faults; see errors"),
                }
            }
            Self::Keep(KeepError::Failed(_)) => String::from(
                "the database is not available; nothing was stored, send the event again later",
            ),
            Self::Read(_) => String::from("the database cannot be read; ask again later"),
            Self::Keep(KeepError::Unknown(_) | KeepError::WriterGone) => String::from(
                "the event may be stored or not; send it again later, it will not be stored twice",
            ),
            Self::Panic(_) => String::from("this is a fault of the server; its log knows more"),
            _ => self.to_string(),
        }
    }

    fn items(&self) -> Vec<ProblemItem> {
        match self {
            Self::InvalidEvent(invalid) => invalid
                .faults()
                .iter()
                .map(|fault| ProblemItem {
                    pointer: fault.pointer.clone(),
                    code: fault.kind.code(),
                    detail: fault.kind.to_string(),
                })
                .collect(),
            Self::InvalidQuery(invalid) => invalid
                .faults
                .iter()
                .map(|fault| ProblemItem {
                    pointer: fault.pointer(),
                    code: fault.kind.code(),
                    detail: fault.kind.to_string(),
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Seconds after which it is worth trying again.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Keep(KeepError::Conflict) => None,
            Self::Keep(KeepError::Full) => Some(1),
            Self::Keep(_) | Self::Read(_) => Some(5),
            _ => None,
        }
    }
}

impl IntoResponse for ApiError {
    /// The problem travels beside the response until [`with_request_id`] writes it down.
    fn into_response(self) -> Response {
        let status = self.status();
        if matches!(self, Self::Panic(_) | Self::Read(_)) {
            let error: &dyn std::error::Error = &self;
            tracing::error!(error, "a request failed");
        }
        let problem = Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: self.detail(),
            code: self.code(),
            errors: self.items(),
            request_id: String::new(),
        };
        let mut response = status.into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(problem);
        response
    }
}

/// Numbers every answer, and writes down the problem of one that has any.
pub(crate) async fn with_request_id(request: Request, next: Next) -> Response {
    let request_id = next_request_id();
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let problem = Problem { request_id: request_id.clone(), ..problem };
        tracing::debug!(
            request.id = request_id,
            code = problem.code,
            status = problem.status,
            "refused a request"
        );
        let (mut parts, body) = JsonLine(problem).into_response().into_parts();
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    let value = HeaderValue::from_str(&request_id).expect("hex digits are a header value");
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

/// A number that no other request of this process has.
fn next_request_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    format!("{:08x}-{:08x}", std::process::id(), LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
