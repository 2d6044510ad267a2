//! What every request passes on its way in and out: it is numbered, checked and measured.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use crate::api_error::take_problem;
use crate::framing;
use crate::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The number of a request, among its extensions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(pub String);

/// Lets every request pass the gate on its way to `router`.
///
/// `refusals` is a layer that may turn the refusals of the router into pages; what it leaves becomes
/// a problem document.
pub fn guarded(
    router: Router,
    metrics: Arc<Metrics>,
    refusals: impl Fn(Router) -> Router,
) -> Router {
    refusals(router.layer(from_fn(check_framing))).layer(from_fn_with_state(metrics, pass))
}

async fn check_framing(request: Request, next: Next) -> Response {
    match framing::check(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn pass(State(metrics): State<Arc<Metrics>>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let request_id = next_request_id();
    request.extensions_mut().insert(RequestId(request_id.clone()));
    let mut response = next.run(request).await;
    if let Some(problem) = take_problem(&mut response, &request_id) {
        let (parts, body) = problem.into_response().into_parts();
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    let value = HeaderValue::from_str(&request_id).expect("hex digits are a header value");
    response.headers_mut().insert(REQUEST_ID, value);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    metrics.answered(route, &method, response.status(), begun.elapsed());
    response
}

/// Returns a number that no other request has: a random part for this start of the server, and a
/// count.
fn next_request_id() -> String {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:08x}", *START, COUNT.fetch_add(1, Ordering::Relaxed) + 1)
}
