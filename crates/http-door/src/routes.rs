//! All routes.

mod alarm;
mod events;
mod health;
mod inference;
mod latest_anomalies;
mod live;
mod metrics;
mod model;
mod predict;
mod predict_batch;
mod refusals;
mod series;
mod stations;
mod texts;

pub(crate) use model::ModelText;

use std::future::ready;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderValue;
use axum::http::header::LOCATION;
use axum::middleware::{from_extractor, map_response};
use axum::response::Response;
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::{self, Content, Ref, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};
use wire::line;

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::shared_json;
use crate::query::NoQuery;

/// The parts of `/openapi.json` besides the routes.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Anomaly detection for sensor streams",
        description = "Events of stations are judged by an isolation forest, and kept. Everything that is refused is a problem document (RFC 9457) with a `code` that does not change."
    ),
    // The folder that this document lies in, under whatever path a proxy shows it.
    servers((url = "./", description = "This server")),
    tags(
        (name = "events", description = "What stations send, and what became of it"),
        (name = "model", description = "By what events are judged"),
        (name = "health", description = "For those who watch over the server"),
        (name = "inference", description = "Open Inference Protocol v2"),
    )
)]
struct Document;

/// Makes the routes of the API and of its documentation.
pub fn router(api: Api) -> Router {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(predict::predict))
        .routes(routes!(predict_batch::predict_batch))
        .routes(routes!(latest_anomalies::latest_anomalies))
        .routes(routes!(events::events))
        .routes(routes!(stations::stations))
        .routes(routes!(refusals::refusals))
        .routes(routes!(series::series))
        .routes(routes!(alarm::act))
        .routes(routes!(live::live))
        .routes(routes!(model::model))
        .routes(routes!(model::reload))
        .routes(routes!(health::health))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(metrics::metrics))
        .routes(routes!(inference::server_metadata))
        .routes(routes!(inference::live))
        .routes(routes!(inference::ready))
        .routes(routes!(inference::model_metadata))
        .routes(routes!(inference::model_ready))
        .routes(routes!(inference::infer))
        .routes(routes!(inference::version_metadata))
        .routes(routes!(inference::version_ready))
        .routes(routes!(inference::version_infer))
        .split_for_parts();
    add_common_refusals(&mut document);
    // As seen from `/docs/`, under whatever path a proxy shows it.
    let config = Config::new(["../openapi.json"]);
    let text = Bytes::from(line(&document));
    let documents = Router::from(SwaggerUi::new("/docs").config(config))
        .layer(map_response(redirect_relatively))
        .route("/openapi.json", get(move || ready(shared_json(text.clone()))));
    router
        .merge(documents.layer(from_extractor::<NoQuery>()))
        .fallback(async || ApiError::NotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .with_state(api)
}

/// Makes a redirection stay under the path at which a proxy shows the server.
async fn redirect_relatively(mut response: Response) -> Response {
    let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
    if let Some(relative) = target.and_then(|target| target.strip_prefix('/')) {
        let relative = HeaderValue::from_str(relative).expect("a part of a header value is one");
        response.headers_mut().insert(LOCATION, relative);
    }
    response
}

/// Adds to every route the refusals that all routes have in common.
fn add_common_refusals(document: &mut openapi::OpenApi) {
    let refusal = |description: &str| {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", problem)
            .build()
    };
    let refusals = [
        ("400", "The request is not well-formed"),
        ("414", "The path with its query is longer than 2,048 bytes"),
        ("421", "The request is for another host"),
        ("422", "A parameter cannot be used"),
    ];
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, description) in refusals {
                let common = || refusal(description).into();
                responses.entry(String::from(status)).or_insert_with(common);
            }
        }
    }
}
