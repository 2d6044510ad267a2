//! What people see in a browser: pages that say how the stations are, and why.
//!
//! A page is whole before any script has run; scripts keep it up to date and make its charts
//! interactive. What a page shows is put into words and figures here, and the templates in
//! `templates` only place it, so that everything is escaped in one place.

mod anomaly;
mod anomaly_rows;
mod assets;
mod model;
mod overview;
mod station;
mod strip;
mod values;
mod words;

use askama::Template;
use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::api_error::{HTML, Problem};
use crate::state::AppState;

use assets::Links;

/// The routes of all pages, and of what they are made of.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/", get(overview::overview))
        .route("/ui/stations/{station_id}", get(station::station))
        .route("/ui/anomalies/{id}", get(anomaly::anomaly))
        .route("/ui/model", get(model::model))
        .route("/ui/model/reload", post(model::reload))
        .route("/assets/{digest}/{name}", get(assets::asset))
}

/// Whether a route leads to a page.
pub(crate) fn is_page(route: &str) -> bool {
    route == "/" || route.starts_with("/ui/")
}

/// What a page may do in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Policy {
    /// Nothing but what this server gives: no script and no style within the page itself.
    Strict,
    /// The same, but the chart library may set styles.
    Charts,
}

impl Policy {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Strict => {
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                 base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            }
            Self::Charts => {
                "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                 connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
            }
        })
    }
}

/// A page as an answer.
fn page(template: &impl Template, policy: Policy) -> Response {
    let html = template.render().expect("templates have no part that can fail");
    let headers: [(HeaderName, HeaderValue); 6] = [
        (CONTENT_TYPE, HeaderValue::from_static(HTML)),
        (CONTENT_SECURITY_POLICY, policy.header()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept")),
    ];
    (headers, html).into_response()
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    links: &'static Links,
    problem: &'a Problem,
}

/// A refusal for those who read pages; its status is set by whoever refuses.
pub(crate) fn problem(problem: &Problem) -> Response {
    page(&ProblemPage { links: Links::get(), problem }, Policy::Strict)
}
