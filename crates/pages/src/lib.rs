//! The pages that people see in a browser: the state of the stations, and the reasons.
//!
//! [`router`] has the pages, [`forms`] what they send and [`assets()`] what they are shown with;
//! [`page_of_refusal`] makes a page of a refusal that a person would read. A page is complete before any
//! script has run; scripts keep it up to date and make its charts interactive. Pages read snapshots of the fleet and the stored predictions,
//! put them into words and figures, and hand both to a template, which escapes everything.
//!
//! It changes nothing but the model and the alarms of stations, and holds no lock that the writer needs.

mod alarm;
mod anomaly;
mod anomaly_rows;
mod assets;
mod model;
mod overview;
mod refusal;
mod shell;
mod station;
mod strip;
mod values;
mod words;

use axum::Router;
use axum::routing::{get, post};
use pipeline::Pipeline;

pub use refusal::page_of_refusal;

/// Makes the routes of the assets.
pub fn assets() -> Router {
    Router::new().route("/assets/{digest}/{name}", get(assets::asset))
}

/// Makes the routes of the forms on the pages.
pub fn forms(pipeline: Pipeline) -> Router {
    Router::new()
        .route("/ui/model/reload", post(model::reload))
        .route("/ui/stations/{station_id}/alarm/{action}", post(alarm::act))
        .with_state(pipeline)
}

/// Makes the routes of the pages.
pub fn router(pipeline: Pipeline) -> Router {
    Router::new()
        .route("/", get(overview::overview))
        .route("/ui/stations/{station_id}", get(station::station))
        .route("/ui/anomalies/{id}", get(anomaly::anomaly))
        .route("/ui/model", get(model::model))
        .with_state(pipeline)
}

/// Returns `true` if a route leads to a page.
fn is_page(route: &str) -> bool {
    route == "/" || route.starts_with("/ui/")
}
