//! The gate that every request passes: it is numbered, checked and measured.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use wire::ProblemBody;

use crate::api::Api;
use crate::api_error::{ApiError, Problem, take_problem};
use crate::framing;
use crate::limits::IDLE_TIMEOUT_TOLD_S;
use crate::shares::Client;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The purpose for which a browser wants a response.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// A question of a browser, whose refusal a person may read.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The route that was asked for; `None` where there is none.
    pub route: Option<MatchedPath>,
    /// The path that was asked for.
    pub path: String,
    /// `true` if the browser wants to show what it reads as a document of its own.
    pub is_document: bool,
}

/// Makes a page of a refusal, where a person would read it.
pub type PageOfRefusal = fn(&Asked, &ProblemBody) -> Option<Response>;

/// Lets every request pass the gate on its way to `router`. A refusal becomes what `page_of_refusal`
/// makes of it, or a problem document.
pub fn guarded(router: Router, api: Api, page_of_refusal: PageOfRefusal) -> Router {
    router.layer(from_fn_with_state(Gate { api, page_of_refusal }, pass))
}

/// Lets pages be made one at a time for each client, and some at a time for all.
pub fn in_turn(pages: Router, api: Api) -> Router {
    pages.layer(from_fn_with_state(api, wait_for_turn))
}

async fn wait_for_turn(
    State(api): State<Api>,
    client: Client,
    request: Request,
    next: Next,
) -> Response {
    let turn = match api.page_turn(client).await {
        Ok(turn) => turn,
        Err(error) => return ApiError::from(error).into_response(),
    };
    // What the page reads is read to its end after the client has gone, and keeps the turn.
    let page = tokio::spawn(async move {
        let page = next.run(request).await;
        drop(turn);
        page
    });
    page.await.unwrap_or_else(|panic| ApiError::from(panic).into_response())
}

#[derive(Clone)]
struct Gate {
    api: Api,
    page_of_refusal: PageOfRefusal,
}

impl Asked {
    /// Returns what a browser asks for, also by a form; `None` for other clients.
    fn of(request: &Request) -> Option<Self> {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let accepts_page = header(ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        accepts_page.then(|| Self {
            route: request.extensions().get::<MatchedPath>().cloned(),
            path: String::from(request.uri().path()),
            is_document: reads && header(FETCH_DEST) == Some("document"),
        })
    }
}

async fn pass(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let is_kept_alive = request.version() == Version::HTTP_11;
    let asked = Asked::of(&request);
    let is_inference = request.uri().path() == "/v2" || request.uri().path().starts_with("/v2/");
    let client = Client::of_request(&request);
    let mut response = match framing::check(&request, &gate.api.hosts) {
        Ok(()) => {
            let response = next.run(request).await;
            let held = gate.api.answers.hold(client, response).await;
            held.unwrap_or_else(IntoResponse::into_response)
        }
        Err(error) => error.into_response(),
    };
    let request_id = next_request_id();
    if let Some(mut problem) = take_problem(&mut response, &request_id) {
        if is_inference {
            // Its clients look for the reason here.
            problem.error = Some(problem.detail.clone());
        }
        let page = asked.and_then(|asked| (gate.page_of_refusal)(&asked, &problem));
        let written = page.unwrap_or_else(|| Problem(problem).into_response());
        let (parts, body) = written.into_parts();
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    say_how_it_may_be_shown(response.headers_mut());
    if is_kept_alive {
        response.headers_mut().insert(KEEP_ALIVE, told_idle_timeout());
    }
    let value = HeaderValue::from_str(&request_id).expect("hex digits are a header value");
    response.headers_mut().insert(REQUEST_ID, value);
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    gate.api.metrics.answered(route, &method, response.status(), begun.elapsed());
    response
}

/// Tells browsers not to guess what an answer is, and not to show it within a page of another site.
/// Pages say more about themselves.
fn say_how_it_may_be_shown(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        let unframed = HeaderValue::from_static("frame-ancestors 'none'");
        headers.insert(CONTENT_SECURITY_POLICY, unframed);
    }
}

/// Returns how long a client may leave its connection idle.
fn told_idle_timeout() -> HeaderValue {
    static TOLD: LazyLock<HeaderValue> = LazyLock::new(|| {
        let text = format!("timeout={IDLE_TIMEOUT_TOLD_S}");
        HeaderValue::from_str(&text).expect("a number is a header value")
    });
    TOLD.clone()
}

/// Returns a number that no other request has: a random part for this start of the server, and a
/// count.
fn next_request_id() -> String {
    static START: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(()));
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{:016x}-{:08x}", *START, COUNT.fetch_add(1, Ordering::Relaxed) + 1)
}
