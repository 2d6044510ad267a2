//! `GET /model` and `POST /model/reload`: the model that events are judged by.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use detector::{AlarmRule, ModelMeta};
use pipeline::{Model, OtherFeatures, Turns};
use sensor::timestamp;
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;
use wire::{ProblemBody, line};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::json::json_text;
use crate::query::{self, NoQuery, Query};

/// The model in use.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelBody<'a> {
    version: &'a str,
    /// `file`, or `starter` when there was no trained model.
    origin: &'static str,
    /// The engine that scores on this machine.
    engine: String,
    /// When it was loaded, RFC 3339.
    loaded_at: String,
    /// The score above which the forest alone calls an event anomalous.
    threshold: f64,
    /// The false-alarm rate in use, which `--false-alarm-rate` can change; null with a contamination.
    false_alarm_rate: Option<f64>,
    /// The content of `model_meta.json`.
    #[schema(value_type = Object)]
    metadata: &'a ModelMeta,
}

impl<'a> ModelBody<'a> {
    fn of(model: &'a Model) -> Self {
        Self {
            version: model.version().as_str(),
            origin: model.origin.name(),
            engine: model.detector.engine().to_string(),
            loaded_at: timestamp::format(model.loaded_us),
            threshold: model.detector.threshold(),
            false_alarm_rate: match model.detector.alarm_rule() {
                AlarmRule::FalseAlarmRate(rate) => Some(rate),
                AlarmRule::Contamination(_) => None,
            },
            metadata: model.detector.meta(),
        }
    }
}

/// The model in use
#[utoipa::path(get, path = "/model", tag = "model", responses((status = 200, description = "The model and its metadata", body = ModelBody<'static>)))]
pub(crate) async fn model(State(api): State<Api>, _: NoQuery) -> Result<Response, ApiError> {
    let model = api.pipeline.models.current();
    described(&api, model).await
}

/// Describes a model.
async fn described(api: &Api, model: Arc<Model>) -> Result<Response, ApiError> {
    Ok(json_text(api.model_text.of(api, model).await?))
}

/// The description of the model in use, made once: of many stations, it takes much time and memory.
#[derive(Debug, Default)]
pub(crate) struct ModelText(Mutex<Option<(Arc<Model>, Bytes)>>);

impl ModelText {
    /// Returns the text of a model, which those share who ask for it while it is in use. It still takes room until it is
    /// sent, since there is another one after each reload.
    async fn of(&self, api: &Api, model: Arc<Model>) -> Result<Bytes, ApiError> {
        let mut kept = self.0.lock().await;
        if let Some((known, text)) = &*kept
            && Arc::ptr_eq(known, &model)
        {
            return Ok(text.clone());
        }
        let described = Arc::clone(&model);
        let describe = move || Bytes::from(line(&ModelBody::of(&described)));
        // Not a turn of the client: others wait for this text, too.
        let text = api.pipeline.processors.run(&Turns::default(), describe).await?;
        *kept = Some((model, text.clone()));
        Ok(text)
    }
}

/// Replaces the model with the one in the folder
///
/// The files are checked first. Events that are being judged keep the model that they began with. If
/// the files cannot be used, the current model stays active.
#[utoipa::path(
    post,
    path = "/model/reload",
    tag = "model",
    params(("force" = Option<bool>, Query, description = "Whether a model with other features may take over")),
    responses(
        (status = 200, description = "The model in use now", body = ModelBody<'static>),
        (status = 409, description = "The files cannot be used, or their model has other features; nothing has changed", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn reload(State(api): State<Api>, mut query: Query) -> Result<Response, ApiError> {
    let force = query.take("force", query::boolean).unwrap_or(false);
    query.finish()?;
    let other_features = if force { OtherFeatures::Accept } else { OtherFeatures::Refuse };
    let model = api.pipeline.models.reload(other_features).await?;
    described(&api, model).await
}
