//! The shell of all pages: their headers, and what they may do in the browser.

use std::convert::Infallible;
use std::fmt;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use http_door::HTML;

/// The way from a page to the root of all pages, such as `../../`. All links begin with it, so that
/// pages work under any path that a proxy puts before them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Root(String);

impl Root {
    /// Returns the way from the page at a path.
    pub(crate) fn of(path: &str) -> Self {
        let depth = path.bytes().filter(|byte| *byte == b'/').count().saturating_sub(1);
        Self(if depth == 0 { String::from("./") } else { "../".repeat(depth) })
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Sync> FromRequestParts<S> for Root {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts.uri.path()))
    }
}

/// The permissions of a page in the browser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Only what this server sends: no script and no style within the page itself.
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

/// Makes an answer of a page.
pub(crate) fn page(template: &impl Template, policy: Policy) -> Response {
    let html = template.render().expect("templates have no part that can fail");
    let headers: [(HeaderName, HeaderValue); 6] = [
        (CONTENT_TYPE, HeaderValue::from_static(HTML)),
        (CONTENT_SECURITY_POLICY, policy.header()),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        // Other sites do not hear of the page; without any, browsers would not say where a form comes from.
        (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (VARY, HeaderValue::from_static("accept")),
    ];
    (headers, html).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_leads_back_from_any_depth() {
        let root = |path: &str| Root::of(path).to_string();
        assert_eq!(root("/"), "./");
        assert_eq!(root("/ui/model"), "../");
        assert_eq!(root("/ui/stations/press_1"), "../../");
        assert_eq!(root("/nowhere"), "./");
    }
}
