//! `POST /predict/batch`: many events in one request, each with its own answer.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::{self, StreamExt as _};
use pipeline::{Explain, Model};
use sensor::{FeatureSchema, InvalidEvent};
use store::{KeepError, Store};
use utoipa::ToSchema;
use wire::{EventBody, PredictionBody, ProblemBody, line};

use crate::answers::{NoRoomNeeded, Room};
use crate::api::Api;
use crate::api_error::ApiError;
use crate::body::{BatchBody, BatchFormat, Held};
use crate::json::JSON;
use crate::limits::{ANSWER_PART_BYTES, ANSWER_TIMEOUT};
use crate::query::{self, Query};
use crate::routes::predict::answer;
use crate::routes::texts::Texts;
use crate::shares::Client;

/// The outcome of an event of a batch.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "says what the JSON of a batch's answer looks like")]
#[serde(untagged)]
enum BatchAnswer<'a> {
    Prediction(PredictionBody<'a>),
    Problem(ProblemBody),
}

/// Judges up to 10,000 events
///
/// Each gets its own answer, in order: with its prediction when it is stored, and otherwise with a
/// problem, which has a `status`. The answer has the format of the request.
#[utoipa::path(
    post,
    path = "/predict/batch",
    tag = "events",
    params(("explain" = Option<bool>, Query, description = "Whether to explain normal events, too")),
    request_body(
        description = "A JSON array of events, or one event a line",
        content((Vec<EventBody<'static>> = "application/json"), (String = "application/x-ndjson"))
    ),
    responses(
        (
            status = 200,
            description = "A prediction or a problem for each event",
            content((Vec<BatchAnswer<'static>> = "application/json"), (String = "application/x-ndjson"))
        ),
        (status = 400, description = "Not an array", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than 4 MiB or 10,000 events", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "None could be stored", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn predict_batch(
    State(api): State<Api>,
    client: Client,
    mut query: Query,
    BatchBody { body, format }: BatchBody,
) -> Result<Response, ApiError> {
    let explain = query.take("explain", query::explain).unwrap_or(Explain::Anomalies);
    query.finish()?;
    let bytes = body.bytes.clone();
    let turns = api.turns(client);
    let texts = api.pipeline.processors.run(&turns, move || Texts::of(bytes, format)).await??;
    let mut batch = Batch::new(api, client, explain, format, texts, body);
    let room = tokio::time::timeout(ANSWER_TIMEOUT, batch.room()).await;
    let first = batch.next_part(room.map_err(|_| ApiError::AnswersFull)?).await?;
    let body = if batch.is_done() {
        Body::from(first)
    } else {
        let rest = stream::unfold(batch, |mut batch| async move {
            if batch.is_done() {
                return None;
            }
            let room = batch.room().await;
            Some((batch.next_part(room).await, batch))
        });
        Body::from_stream(stream::once(async { Ok(first) }).chain(rest))
    };
    let content_type = match format {
        BatchFormat::Array => JSON,
        BatchFormat::Lines => "application/x-ndjson",
    };
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    // Its parts hold their room.
    response.extensions_mut().insert(NoRoomNeeded);
    Ok(response)
}

/// A batch, which is judged, stored and answered in parts, each when there is memory for its answers.
struct Batch {
    api: Api,
    client: Client,
    /// One model for the whole batch.
    model: Arc<Model>,
    explain: Explain,
    format: BatchFormat,
    texts: Texts,
    /// Events of a part, which is stored in one transaction.
    part_len: usize,
    /// The largest size of an answer, in bytes.
    answer_len: usize,
    n_answered: usize,
    /// `true` if nothing could be stored: the rest would have to wait as long for the same reason.
    has_failed: bool,
    /// The body, which the texts are parts of.
    _body: Held,
}

impl Batch {
    fn new(
        api: Api,
        client: Client,
        explain: Explain,
        format: BatchFormat,
        texts: Texts,
        body: Held,
    ) -> Self {
        let model = api.pipeline.models.current();
        let answer_len = answer_len_max(model.detector.schema());
        Self {
            part_len: (ANSWER_PART_BYTES / answer_len).clamp(1, Store::BATCH_LEN_MAX),
            api,
            client,
            model,
            explain,
            format,
            texts,
            answer_len,
            n_answered: 0,
            has_failed: false,
            _body: body,
        }
    }

    fn is_done(&self) -> bool {
        self.texts.len() == 0
    }

    /// Waits for room for the answers to the next events.
    async fn room(&self) -> Room {
        let n_bytes = self.texts.len().min(self.part_len) * self.answer_len;
        self.api.answers.room(self.client, n_bytes).await
    }

    /// Returns the answers to the next events, which hold their room until they are sent.
    ///
    /// Fails when not even the first part could be stored.
    async fn next_part(&mut self, room: Room) -> Result<Bytes, ApiError> {
        let texts = self.next_texts().await?;
        let mut text = String::new();
        if self.n_answered == 0 && self.format == BatchFormat::Array {
            text.push('[');
        }
        if self.has_failed {
            let skipped = ApiError::from(KeepError::Full).problem();
            for _ in texts {
                self.add(&mut text, &skipped);
            }
        } else {
            let share = self.api.share(self.client);
            let batch = self.api.pipeline.submit_batch(texts, &self.model, self.explain, &share);
            let receipt = batch.await?;
            if let Some(error) = receipt.failure {
                if self.n_answered == 0 {
                    return Err(error.into());
                }
                self.has_failed = true;
            }
            for outcome in receipt.outcomes {
                match outcome {
                    Ok(receipt) => self.add(&mut text, &answer(&receipt)),
                    Err(refusal) => self.add(&mut text, &ApiError::from(refusal).problem()),
                }
            }
        }
        if self.is_done() && self.format == BatchFormat::Array {
            text.push_str("]\n");
        }
        Ok(room.hold(text))
    }

    /// Takes the texts of the next part, on a thread for work that takes a while.
    async fn next_texts(&mut self) -> Result<Vec<Bytes>, ApiError> {
        let (mut texts, n_texts) = (self.texts.clone(), self.part_len);
        let take = move || (texts.take(n_texts), texts);
        let turns = self.api.turns(self.client);
        let (taken, rest) = self.api.pipeline.processors.run(&turns, take).await?;
        self.texts = rest;
        Ok(taken)
    }

    fn add(&mut self, text: &mut String, answer: &impl serde::Serialize) {
        if self.n_answered > 0 && self.format == BatchFormat::Array {
            text.push(',');
        }
        text.push_str(&line(answer));
        self.n_answered += 1;
    }
}

/// Returns the largest size of the answer to an event, in bytes: a prediction with an attribution and an
/// excess for each feature, or a refusal with all listed faults.
fn answer_len_max(schema: &FeatureSchema) -> usize {
    const HEAD_LEN: usize = 512;
    const ATTRIBUTION_LEN: usize = 120;
    const EXCESS_LEN: usize = 64;
    const FAULT_LEN: usize = 160;
    let features = schema.features().iter();
    let explanations =
        features.map(|feature| 2 * feature.name.len() + ATTRIBUTION_LEN + EXCESS_LEN);
    let longest_name = schema.features().iter().map(|feature| feature.name.len()).max();
    let faults = InvalidEvent::FAULTS_MAX * (longest_name.unwrap_or_default() + FAULT_LEN);
    HEAD_LEN + explanations.sum::<usize>().max(faults)
}
