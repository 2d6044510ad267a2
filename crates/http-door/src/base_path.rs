//! The path under which a proxy shows the application.
//!
//! Pages link relatively, so a proxy that takes the prefix away needs nothing here. One that passes it
//! on does.

use std::str::FromStr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Uri;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};

/// A prefix of all paths, such as `/plant`; empty at the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BasePath(Arc<str>);

impl BasePath {
    /// Serves `app` under this path. Requests without the prefix are answered, too, so that a probe on
    /// the same machine need not know it.
    pub fn hold(self, app: Router) -> Router {
        if self.0.is_empty() {
            return app;
        }
        Router::new().fallback_service(app).layer(from_fn_with_state(self, strip))
    }

    /// Returns what follows the prefix in a path; `None` when it has another beginning.
    fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&*self.0)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl FromStr for BasePath {
    type Err = &'static str;

    /// Reads a path such as `/plant` or `/plant/line-2/`; `/` is the root.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |segment: &str| {
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
                && !segment.bytes().all(|byte| byte == b'.')
        };
        let path = text.strip_suffix('/').unwrap_or(text);
        // An empty variable of the environment is the root, too.
        if path.is_empty() {
            return Ok(Self("".into()));
        }
        match path.strip_prefix('/') {
            Some(segments) if segments.split('/').all(is_plain) => Ok(Self(path.into())),
            _ => Err(
                "must be a path such as /plant: letters, digits, `-`, `_`, `.` and `~` between slashes",
            ),
        }
    }
}

async fn strip(State(base): State<BasePath>, mut request: Request, next: Next) -> Response {
    match base.strip(request.uri().path()) {
        None => {}
        // The links of a page are relative to the folder that its path names.
        Some("") => {
            let name = base.0.rsplit('/').next().unwrap_or_default();
            let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
            return Redirect::temporary(&format!("{name}/{query}")).into_response();
        }
        Some(rest) => {
            let path_and_query = match request.uri().query() {
                None => String::from(rest),
                Some(query) => format!("{rest}?{query}"),
            };
            let mut parts = request.uri().clone().into_parts();
            parts.path_and_query = path_and_query.parse().ok();
            // The rest of a valid path is a valid path.
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_away_between_slashes_only() {
        let base: BasePath = "/plant/line-2/".parse().unwrap();
        assert_eq!(base.strip("/plant/line-2/predict"), Some("/predict"));
        assert_eq!(base.strip("/plant/line-2/"), Some("/"));
        assert_eq!(base.strip("/plant/line-2"), Some(""));
        for other in ["/plant/line-22/predict", "/predict", "/", "*"] {
            assert_eq!(base.strip(other), None, "{other}");
        }
        assert_eq!("/".parse(), Ok(BasePath("".into())));
        assert_eq!("".parse(), Ok(BasePath("".into())));
        for wrong in ["plant", "//", "/plant//x", "/../x", "/pl ant", "/plant?x", "http://x/"] {
            assert!(wrong.parse::<BasePath>().is_err(), "{wrong}");
        }
    }
}
