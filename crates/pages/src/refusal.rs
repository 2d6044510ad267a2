//! Refusals for people: a page instead of a problem document.

use askama::Template;
use axum::extract::MatchedPath;
use axum::response::Response;
use http_door::Asked;
use wire::ProblemBody;

use crate::assets::Links;
use crate::is_page;
use crate::shell::{Policy, Root, page};

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    root: Root,
    links: &'static Links,
    problem: &'a ProblemBody,
    title: &'a str,
    /// The page that the reader came from: its address from the root of all pages, and its name.
    back: (&'a str, &'a str),
}

/// Makes a page of a refusal that a person would read. Programs that accept HTML, too, still get
/// documents from routes of the API.
pub fn page_of_refusal(asked: &Asked, problem: &ProblemBody) -> Option<Response> {
    let is_page = asked.route.as_ref().map(MatchedPath::as_str).is_none_or(is_page);
    let root = Root::of(&asked.path);
    let (title, back) = match asked.path.rsplit_once("/alarm/") {
        Some((station, _)) if problem.code == "alarm_unchanged" => {
            ("The alarm has not changed", (station.trim_start_matches('/'), "station"))
        }
        _ => (&*problem.title, ("", "overview")),
    };
    (is_page || asked.is_document).then(|| {
        page(&ProblemPage { root, links: Links::get(), problem, title, back }, Policy::Strict)
    })
}
