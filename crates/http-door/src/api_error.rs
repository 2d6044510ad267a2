//! Everything that is refused, as `application/problem+json` (RFC 9457).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use pipeline::{ActionError, Refusal, ReloadError};
use store::{KeepError, ReadError};
use tokio::task::JoinError;
use wire::{ProblemBody, ProblemItem};

use crate::json::{JSON, JsonLine};
use crate::query::InvalidQuery;

/// The content type of pages.
pub const HTML: &str = "text/html; charset=utf-8";

/// The reason why a request is refused.
///
/// A client gets all details of its own mistake. Our mistakes go to the log.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The pipeline refuses the event.
    #[error(transparent)]
    Refusal(#[from] Refusal),
    /// Parameters of the query are unknown, duplicated or impossible.
    #[error(transparent)]
    InvalidQuery(#[from] InvalidQuery),
    /// The request breaks a rule of HTTP or a limit of this server.
    #[error("{detail}")]
    BadRequest {
        /// The status of the answer.
        status: StatusCode,
        /// The stable name of the fault.
        code: &'static str,
        /// The expected value.
        detail: Cow<'static, str>,
    },
    /// There is nothing at this path.
    #[error("there is nothing here; GET /docs lists the routes")]
    NotFound,
    /// The subject of a page is not stored.
    #[error("{0}")]
    NotStored(&'static str),
    /// The bodies of other requests take all the memory reserved for bodies.
    #[error("too many large requests at once; send it again later")]
    BodiesFull,
    /// Answers to other requests take all the memory reserved for answers.
    #[error("too many large answers at once; ask again later")]
    AnswersFull,
    /// A batch is not an array of events.
    #[error("the body must be a JSON array of events, or one event a line as application/x-ndjson")]
    NotABatch,
    /// A batch has too many events.
    #[error("a batch has up to {n_events_max} events")]
    TooManyEvents {
        /// The largest number allowed.
        n_events_max: usize,
    },
    /// The model was not replaced.
    #[error("the current model stays active: {}", .0.reason())]
    Reload(#[from] Arc<ReloadError>),
    /// An action on the alarm of a station was not carried out.
    #[error(transparent)]
    AlarmAction(ActionError),
    /// The request does not follow the inference protocol, or its values are impossible.
    #[error("{0}")]
    Inference(String),
    /// Too many clients watch the stations.
    #[error(
        "there are {n_streams_max} streams, or this address has its share of them; poll GET /stations instead"
    )]
    TooManyStreams {
        /// The largest number allowed.
        n_streams_max: u32,
    },
    /// The path has no such method.
    #[error("method not allowed; see the Allow header")]
    MethodNotAllowed,
    /// Predictions cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A task of ours panicked.
    #[error("a task has panicked")]
    Panic(#[from] JoinError),
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        Self::Refusal(error.into())
    }
}

impl From<ActionError> for ApiError {
    fn from(error: ActionError) -> Self {
        match error {
            ActionError::Read(error) => Self::Read(error),
            ActionError::UnknownStation => Self::NotStored("nothing is kept of this station"),
            error => Self::AlarmAction(error),
        }
    }
}

fn is_panic(error: &ReloadError) -> bool {
    matches!(error, ReloadError::Panic(_))
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Refusal(refusal) => status_of(refusal),
            Self::InvalidQuery(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BadRequest { status, .. } => *status,
            Self::NotFound | Self::NotStored(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Reload(error) if !is_panic(error) => StatusCode::CONFLICT,
            Self::AlarmAction(ActionError::Keep(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::AlarmAction(_) => StatusCode::CONFLICT,
            Self::NotABatch | Self::Inference(_) => StatusCode::BAD_REQUEST,
            Self::TooManyEvents { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Read(ReadError::Panic(_)) | Self::Panic(_) | Self::Reload(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::BodiesFull | Self::AnswersFull | Self::TooManyStreams { .. } | Self::Read(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refusal(refusal) => refusal.code(),
            Self::InvalidQuery(_) => "invalid_query",
            Self::BadRequest { code, .. } => code,
            Self::NotFound | Self::NotStored(_) => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NotABatch => "not_a_batch",
            Self::TooManyEvents { .. } => "too_many_events",
            Self::Reload(error) => match **error {
                ReloadError::Panic(_) => "internal",
                ReloadError::OtherFeatures { .. } => "other_features",
                ReloadError::NoModel | ReloadError::Unusable(_) => "model_unusable",
            },
            Self::AlarmAction(ActionError::Keep(error)) => Refusal::Keep(*error).code(),
            Self::AlarmAction(_) => "alarm_unchanged",
            Self::Inference(_) => "invalid_inference",
            Self::TooManyStreams { .. } => "too_many_streams",
            Self::Read(ReadError::Busy) | Self::BodiesFull | Self::AnswersFull => "overloaded",
            Self::Read(ReadError::TimeLimit) => "time_limit",
            Self::Read(ReadError::Panic(_)) | Self::Panic(_) => "internal",
            Self::Read(_) => "store_unavailable",
        }
    }

    /// Returns the body for the client.
    fn detail(&self) -> String {
        match self {
            Self::Refusal(refusal) => detail_of(refusal),
            Self::Read(ReadError::TimeLimit) => {
                String::from("reading takes too long; ask for less, such as a shorter time")
            }
            Self::Panic(_) | Self::Read(ReadError::Panic(_)) => String::from(INTERNAL),
            Self::Reload(error) if is_panic(error) => String::from(INTERNAL),
            Self::Read(_) => String::from("the database cannot be read; try again later"),
            Self::AlarmAction(ActionError::Keep(KeepError::Unknown(trouble))) => format!(
                "{trouble}; the alarm may have changed or not: the next event of the station shows it"
            ),
            Self::AlarmAction(ActionError::Keep(error)) => {
                format!("{error}; the alarm has not changed, try again later")
            }
            _ => self.to_string(),
        }
    }

    fn items(&self) -> Vec<ProblemItem> {
        match self {
            Self::Refusal(Refusal::InvalidEvent(invalid)) => invalid
                .faults()
                .iter()
                .map(|fault| ProblemItem {
                    pointer: fault.pointer.clone(),
                    code: fault.kind.code().into(),
                    detail: fault.kind.to_string(),
                })
                .collect(),
            Self::InvalidQuery(invalid) => invalid
                .faults
                .iter()
                .map(|fault| ProblemItem {
                    pointer: fault.pointer(),
                    code: fault.kind.code().into(),
                    detail: fault.kind.to_string(),
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Returns the seconds after which it is worth trying again.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Refusal(Refusal::Keep(KeepError::Full))
            | Self::Read(ReadError::Busy)
            | Self::BodiesFull
            | Self::AnswersFull => Some(1),
            Self::Read(ReadError::TimeLimit | ReadError::Panic(_)) => None,
            Self::Refusal(Refusal::ClockUnset { .. } | Refusal::Keep(_))
            | Self::Read(_)
            | Self::AlarmAction(ActionError::Keep(_))
            | Self::TooManyStreams { .. } => Some(5),
            _ => None,
        }
    }

    /// Returns what became of the event where that is not obvious.
    fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::BodiesFull => Some("not_stored"),
            // An event may have been stored before its answer was refused.
            Self::AnswersFull => Some("unknown"),
            Self::Refusal(refusal) => refusal.outcome(),
            Self::AlarmAction(ActionError::Keep(error)) => Refusal::Keep(*error).outcome(),
            _ => None,
        }
    }

    /// Returns the document, without the number of the request.
    pub(crate) fn problem(&self) -> ProblemBody {
        let status = self.status();
        let detail = self.detail();
        ProblemBody {
            r#type: Cow::Borrowed("about:blank"),
            title: title(status).into(),
            status: status.as_u16(),
            code: self.code().into(),
            outcome: self.outcome().map(Cow::Borrowed),
            errors: self.items(),
            error: None,
            detail,
            request_id: String::new(),
        }
    }
}

const INTERNAL: &str = "this is a fault of the server; its log has the details";

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::InvalidEvent(invalid) if invalid.malformed().is_some() => StatusCode::BAD_REQUEST,
        Refusal::InvalidEvent(_) => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Conflict => StatusCode::CONFLICT,
        Refusal::Unreadable | Refusal::Panic(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Refusal::ClockUnset { .. } | Refusal::Keep(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

fn detail_of(refusal: &Refusal) -> String {
    match refusal {
        Refusal::InvalidEvent(invalid) if invalid.malformed().is_none() => {
            match (invalid.n_faults(), invalid.faults().len()) {
                (1, _) => String::from("the event has a fault; see errors"),
                (n_faults, n_listed) if n_listed < n_faults => {
                    format!("the event has {n_faults} faults; see errors for the first {n_listed}")
                }
                (n_faults, _) => format!("the event has {n_faults} faults; see errors"),
            }
        }
        Refusal::Keep(KeepError::Full) | Refusal::ClockUnset { .. } => {
            format!("{refusal}; nothing was stored, send the event again later")
        }
        Refusal::Keep(KeepError::NotStored(trouble)) => {
            format!("{trouble}; nothing was stored, send the event again later")
        }
        Refusal::Keep(KeepError::Unknown(trouble)) => format!(
            "{trouble}; the event may be stored or not: send it again later, it will not be stored twice"
        ),
        Refusal::Panic(_) => String::from(INTERNAL),
        _ => refusal.to_string(),
    }
}

fn title(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

impl IntoResponse for InvalidQuery {
    fn into_response(self) -> Response {
        ApiError::from(self).into_response()
    }
}

impl IntoResponse for ApiError {
    /// Attaches the problem to the response; the gate writes it as a document or as a page.
    fn into_response(self) -> Response {
        // What a client can cause at will is no error of ours.
        let is_refusal = matches!(self, Self::Read(ReadError::Busy | ReadError::TimeLimit));
        match &self {
            Self::Panic(_) | Self::Read(ReadError::Panic(_)) | Self::Refusal(Refusal::Panic(_)) => {
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

/// Takes the problem out of a refusal, to be written down with the number of the request. Returns
/// `None` for every other response.
pub(crate) fn take_problem(response: &mut Response, request_id: &str) -> Option<ProblemBody> {
    let status = response.status();
    let body = match response.extensions_mut().remove::<ProblemBody>() {
        Some(body) => body,
        None if is_bare(response) => bare(status),
        None => return None,
    };
    tracing::debug!(
        request.id = request_id,
        code = &*body.code,
        status = body.status,
        "refused a request"
    );
    Some(ProblemBody { request_id: request_id.into(), ..body })
}

/// A problem document as an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(pub(crate) ProblemBody);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = JsonLine(self.0).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

/// Returns `true` for a refusal of a library, of which only the status is known.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE);
    let is_ours = kind.is_some_and(|kind| kind == JSON || kind == HTML);
    (status.is_client_error() || status.is_server_error()) && !is_ours
}

fn bare(status: StatusCode) -> ProblemBody {
    let title = title(status);
    let code = if status == StatusCode::NOT_FOUND { "not_found" } else { "bad_request" };
    ProblemBody {
        r#type: Cow::Borrowed("about:blank"),
        title: title.into(),
        status: status.as_u16(),
        detail: title.to_lowercase(),
        code: code.into(),
        outcome: None,
        errors: Vec::new(),
        error: None,
        request_id: String::new(),
    }
}
