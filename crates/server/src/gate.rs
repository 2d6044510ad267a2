//! What every request passes on its way in and out: it is checked, numbered and measured.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::ACCEPT;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api_error::Problem;
use crate::framing;
use crate::metrics::Metrics;
use crate::page;

/// What a browser asks for something as.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

pub(crate) async fn pass(
    State(metrics): State<Arc<Metrics>>,
    request: Request,
    next: Next,
) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let is_for_people = is_for_people(&request, route.as_ref().map(MatchedPath::as_str));
    let mut response = match framing::check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let request_id = next_request_id();
    if let Some(problem) = Problem::take(&mut response, &request_id) {
        let written = if is_for_people { page::problem(&problem) } else { problem.into_response() };
        let (parts, body) = written.into_parts();
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    let value = HeaderValue::from_str(&request_id).expect("hex digits are a header value");
    response.headers_mut().insert(REQUEST_ID, value);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.answered(route, &method, response.status(), begun.elapsed());
    response
}

/// Whether a person reads a refusal, in a browser: programs that take HTML, too, still get documents.
fn is_for_people(request: &Request, route: Option<&str>) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let takes_pages = header(ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
    let is_page = route.is_none_or(page::is_page) || header(FETCH_DEST) == Some("document");
    takes_pages && is_page && [Method::GET, Method::HEAD].contains(request.method())
}

/// A number that no other request of this process has.
fn next_request_id() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    format!("{:08x}-{:08x}", *PROCESS, LAST.fetch_add(1, Ordering::Relaxed) + 1)
}
