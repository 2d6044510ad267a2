//! Refusals for people: a page instead of a problem document.

use askama::Template;
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::http::header::ACCEPT;
use axum::http::{HeaderName, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use http_door::{Problem, RequestId, take_problem};
use wire::ProblemBody;

use crate::assets::Links;
use crate::is_page;
use crate::shell::{Policy, page};

/// What a browser wants a response for.
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    links: &'static Links,
    problem: &'a ProblemBody,
}

/// Turns the refusals that a person meets into pages. Programs still get problem documents.
pub fn refusals_as_pages(router: Router) -> Router {
    router.layer(from_fn(as_page))
}

async fn as_page(request: Request, next: Next) -> Response {
    let request_id = request.extensions().get::<RequestId>().cloned();
    let is_for_people = is_for_people(&request);
    let mut response = next.run(request).await;
    let Some(RequestId(request_id)) = request_id.filter(|_| is_for_people) else { return response };
    if let Some(Problem(problem)) = take_problem(&mut response, &request_id) {
        let (parts, body) =
            page(&ProblemPage { links: Links::get(), problem: &problem }, Policy::Strict)
                .into_parts();
        response.headers_mut().extend(parts.headers);
        *response.body_mut() = body;
    }
    response
}

/// Returns `true` if a person would read the answer, in a browser: programs that accept HTML, too,
/// still get documents from routes of the API.
fn is_for_people(request: &Request) -> bool {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let accepts_pages = header(ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
    let wants_page = route.is_none_or(is_page) || header(FETCH_DEST) == Some("document");
    accepts_pages && wants_page && [Method::GET, Method::HEAD].contains(request.method())
}
