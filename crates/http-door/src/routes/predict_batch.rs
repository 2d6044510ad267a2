//! `POST /predict/batch`: many events in one request, each with its own answer.

use std::fmt;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use pipeline::{Explain, Receipt, Refusal};
use serde::Deserializer as _;
use serde::de::{SeqAccess, Visitor};
use serde_json::value::RawValue;
use store::{KeepError, Store};
use utoipa::ToSchema;
use wire::{EventBody, PredictionBody, ProblemBody, line};

use crate::api::Api;
use crate::api_error::ApiError;
use crate::body::{BatchBody, BatchFormat};
use crate::json::json_text;
use crate::limits::BATCH_EVENTS_MAX;
use crate::query::{self, Query};
use crate::routes::predict::answer;

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
    mut query: Query,
    BatchBody { bytes, format, _memory }: BatchBody,
) -> Result<Response, ApiError> {
    let explain = query.take("explain", query::explain).unwrap_or(Explain::Anomalies);
    query.finish()?;
    let texts = split(bytes, format).await?;

    // One model for the whole batch, and one transaction after another.
    let model = api.pipeline.models.current();
    let mut answers = Answers { text: String::with_capacity(texts.len() * 300), format, len: 0 };
    let mut chunks = texts.chunks(Store::BATCH_LEN_MAX).enumerate();
    while let Some((number, chunk)) = chunks.next() {
        let receipt = api.pipeline.submit_batch(chunk.to_vec(), &model, explain).await?;
        let failure = receipt.failure;
        receipt.outcomes.into_iter().for_each(|outcome| answers.add_outcome(outcome));
        let Some(error) = failure else { continue };
        if number == 0 {
            return Err(error.into());
        }
        // What follows would have to wait as long, most likely for the same reason.
        let skipped = ApiError::from(KeepError::Full).problem();
        for _ in chunks.by_ref().flat_map(|(_, chunk)| chunk) {
            answers.add(&skipped);
        }
    }
    Ok(answers.into_response())
}

/// Finds the events of a batch, on a thread for work that takes a while.
async fn split(bytes: Bytes, format: BatchFormat) -> Result<Vec<Bytes>, ApiError> {
    let split = move || match format {
        BatchFormat::Array => elements(&bytes),
        BatchFormat::Lines => Ok(lines(&bytes)),
    };
    let texts = tokio::task::spawn_blocking(split).await??;
    let is_too_long = texts.len() > BATCH_EVENTS_MAX;
    if is_too_long {
        Err(ApiError::TooManyEvents { n_events_max: BATCH_EVENTS_MAX })
    } else {
        Ok(texts)
    }
}

/// Answers in the format of the request.
struct Answers {
    text: String,
    format: BatchFormat,
    len: usize,
}

impl Answers {
    fn add_outcome(&mut self, outcome: Result<Receipt, Refusal>) {
        match outcome {
            Ok(receipt) => self.add(&answer(&receipt)),
            Err(refusal) => self.add(&ApiError::from(refusal).problem()),
        }
    }

    fn add(&mut self, answer: &impl serde::Serialize) {
        if self.format == BatchFormat::Array {
            self.text.push(if self.len == 0 { '[' } else { ',' });
        }
        self.text.push_str(&line(answer));
        self.len += 1;
    }

    fn into_response(mut self) -> Response {
        if self.format == BatchFormat::Lines {
            let mut response = json_text(self.text);
            let lines = HeaderValue::from_static("application/x-ndjson");
            response.headers_mut().insert(CONTENT_TYPE, lines);
            return response;
        }
        self.text.push_str(if self.len == 0 { "[]\n" } else { "]\n" });
        json_text(self.text)
    }
}

/// Returns the texts of the elements of an array, whatever they are; those beyond one too many are not kept.
fn elements(bytes: &Bytes) -> Result<Vec<Bytes>, ApiError> {
    struct Elements<'a>(&'a Bytes);

    impl<'de> Visitor<'de> for Elements<'de> {
        type Value = Vec<Bytes>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Bytes>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = seq.next_element::<&RawValue>()? {
                if elements.len() <= BATCH_EVENTS_MAX {
                    elements.push(self.0.slice_ref(element.get().as_bytes()));
                }
            }
            Ok(elements)
        }
    }

    let mut json = serde_json::Deserializer::from_slice(bytes);
    let elements = json.deserialize_seq(Elements(bytes)).map_err(|_| ApiError::NotABatch)?;
    json.end().map_err(|_| ApiError::NotABatch)?;
    Ok(elements)
}

/// Returns the lines that hold anything, up to one too many.
fn lines(bytes: &Bytes) -> Vec<Bytes> {
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(BATCH_EVENTS_MAX + 1)
        .map(|line| bytes.slice_ref(line))
        .collect()
}
