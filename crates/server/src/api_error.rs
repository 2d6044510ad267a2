//! Everything that is refused, as `application/problem+json` (RFC 9457).

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use sensor::InvalidEvent;
use serde::Serialize;
use store::{KeepError, ReadError};
use utoipa::ToSchema;

use crate::query::InvalidQuery;
use crate::wire::{JSON, JsonLine};

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
    #[error("there is nothing here; GET /docs shows what there is")]
    NotFound,
    /// What a page is about is not kept.
    #[error("{0}")]
    NotKept(&'static str),
    /// Another event has the same station, time and sequence number.
    #[error("another event has the same station, time and sequence number")]
    Conflict,
    /// What is stored under the event's station, time and sequence number cannot be read any more.
    #[error("what is stored under the event's station, time and sequence number is damaged")]
    Unreadable,
    /// The bodies of other requests take all the memory that there is for bodies.
    #[error("too many large requests at once; send it again later")]
    BodiesFull,
    /// An event of a batch is larger than any that is sent alone.
    #[error("an event has up to 16,384 bytes")]
    EventTooLarge,
    /// A batch is not an array of events.
    #[error("the body must be a JSON array of events, or one event a line as application/x-ndjson")]
    NotABatch,
    /// A batch has more events than are taken at once.
    #[error("a batch has up to {most} events")]
    TooManyEvents {
        /// So many are taken.
        most: usize,
    },
    /// The model's files cannot be used; the one before goes on.
    #[error("the model in use goes on: {0}")]
    ModelUnusable(String),
    /// The request is not one of the inference protocol, or its values are not possible.
    #[error("{0}")]
    Inference(String),
    /// As many watch the stations as may.
    #[error("{most} clients watch already; ask GET /stations now and then instead")]
    TooManyStreams {
        /// So many may.
        most: usize,
    },
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
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    r#type: &'static str,
    pub(crate) title: &'static str,
    pub(crate) status: u16,
    pub(crate) detail: String,
    code: &'static str,
    /// What became of the event, where that is not plain: `not_stored` or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    pub(crate) errors: Vec<ProblemItem>,
    /// The detail again, where the inference protocol looks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Not within a batch, whose answer has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) request_id: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct ProblemItem {
    pub(crate) pointer: String,
    code: &'static str,
    pub(crate) detail: String,
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::InvalidEvent(invalid) if invalid.malformed().is_some() => StatusCode::BAD_REQUEST,
            Self::InvalidEvent(_) | Self::InvalidQuery(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Framing { status, .. } => *status,
            Self::NotFound | Self::NotKept(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::ModelUnusable(_) => StatusCode::CONFLICT,
            Self::NotABatch | Self::Inference(_) => StatusCode::BAD_REQUEST,
            Self::TooManyEvents { .. } | Self::EventTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Read(ReadError::Panic(_)) | Self::Panic(_) | Self::Unreadable => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::BodiesFull | Self::TooManyStreams { .. } | Self::Keep(_) | Self::Read(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::InvalidEvent(invalid) => {
                invalid.malformed().map_or("invalid_event", |fault| fault.kind.code())
            }
            Self::InvalidQuery(_) => "invalid_query",
            Self::Framing { code, .. } => code,
            Self::NotFound | Self::NotKept(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "sequence_conflict",
            Self::NotABatch => "not_a_batch",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::EventTooLarge => "body_too_large",
            Self::ModelUnusable(_) => "model_unusable",
            Self::Inference(_) => "invalid_inference",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::Unreadable => "row_damaged",
            Self::Keep(KeepError::Full) | Self::Read(ReadError::Busy) | Self::BodiesFull => {
                "overloaded"
            }
            Self::Read(ReadError::TimeLimit) => "time_limit",
            Self::Read(ReadError::Panic(_)) | Self::Panic(_) => "internal",
            Self::Keep(KeepError::NotStored(_)) | Self::Read(_) => "store_unavailable",
            Self::Keep(KeepError::Unknown(_)) => "outcome_unknown",
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
            Self::Keep(KeepError::Full) => {
                format!("{self}; nothing was stored, send the event again later")
            }
            Self::Keep(KeepError::NotStored(trouble)) => {
                format!("{trouble}; nothing was stored, send the event again later")
            }
            Self::Keep(KeepError::Unknown(trouble)) => format!(
                "{trouble}; the event may be stored or not: send it again later, it will not be stored twice"
            ),
            Self::Read(ReadError::TimeLimit) => {
                String::from("reading takes too long; ask for less, such as a shorter time")
            }
            Self::Panic(_) | Self::Read(ReadError::Panic(_)) => {
                String::from("this is a fault of the server; its log knows more")
            }
            Self::Read(_) => String::from("the database cannot be read; ask again later"),
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
            Self::Keep(KeepError::Full) | Self::Read(ReadError::Busy) | Self::BodiesFull => Some(1),
            Self::Read(ReadError::TimeLimit | ReadError::Panic(_)) => None,
            Self::Keep(_) | Self::Read(_) | Self::TooManyStreams { .. } => Some(5),
            _ => None,
        }
    }
}

impl Problem {
    /// A refusal of which only the status is known.
    fn bare(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        Self {
            r#type: "about:blank",
            title,
            status: status.as_u16(),
            detail: title.to_lowercase(),
            code: if status == StatusCode::NOT_FOUND { "not_found" } else { "bad_request" },
            outcome: None,
            errors: Vec::new(),
            error: None,
            request_id: String::new(),
        }
    }
}

impl ApiError {
    /// What is known of an event that this happened to.
    fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::BodiesFull | Self::Keep(KeepError::Full | KeepError::NotStored(_)) => {
                Some("not_stored")
            }
            Self::Keep(KeepError::Unknown(_)) => Some("unknown"),
            _ => None,
        }
    }

    /// The document, but for the number of the request.
    pub(crate) fn problem(&self) -> Problem {
        let status = self.status();
        let detail = self.detail();
        Problem {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: self.code(),
            outcome: self.outcome(),
            errors: self.items(),
            error: matches!(self, Self::Inference(_)).then(|| detail.clone()),
            detail,
            request_id: String::new(),
        }
    }
}

impl IntoResponse for InvalidQuery {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}

impl IntoResponse for ApiError {
    /// The problem travels beside the response until the gate writes it down.
    fn into_response(self) -> Response {
        // What a client can bring about at will is no error of ours.
        let is_refusal = matches!(self, Self::Read(ReadError::Busy | ReadError::TimeLimit));
        match &self {
            Self::Panic(_) | Self::Read(ReadError::Panic(_)) => {
                let error: &dyn std::error::Error = &self;
                tracing::error!(error, "a request failed");
            }
            Self::Read(_) if !is_refusal => log_failed_read(&self),
            _ => {}
        }
        let mut response = self.status().into_response();
        if let Some(seconds) = self.retry_after_s() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self.problem());
        response
    }
}

/// Logs that a read failed, but not more than once a second: many may ask while a disk is away.
fn log_failed_read(failure: &ApiError) {
    const PAUSE: Duration = Duration::from_secs(1);
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= PAUSE) {
        *last = Some(Instant::now());
        let error: &dyn std::error::Error = failure;
        tracing::error!(error, "a request failed");
    }
}

impl Problem {
    /// Takes the problem of an answer that has any, for it to be written down; the request gets its
    /// number.
    pub(crate) fn take(response: &mut Response, request_id: &str) -> Option<Self> {
        let status = response.status();
        let is_bare = |response: &Response| {
            let kind = response.headers().get(CONTENT_TYPE);
            let is_ours = kind.is_some_and(|kind| kind == JSON || kind == HTML);
            (status.is_client_error() || status.is_server_error()) && !is_ours
        };
        let problem = match response.extensions_mut().remove::<Self>() {
            Some(problem) => problem,
            None if is_bare(response) => Self::bare(status),
            None => return None,
        };
        tracing::debug!(
            request.id = request_id,
            code = problem.code,
            status = problem.status,
            "refused a request"
        );
        Some(Self { request_id: request_id.into(), ..problem })
    }
}

impl IntoResponse for Problem {
    /// The document, for programs.
    fn into_response(self) -> Response {
        let mut response = JsonLine(self).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

pub(crate) const HTML: &str = "text/html; charset=utf-8";
