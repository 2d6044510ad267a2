//! The Open Inference Protocol v2 of `KServe`: the model as its clients know models.
//!
//! Rows are judged as events are, but nothing is stored: they have no station and no time.

use std::fmt;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use detector::{Detector, RowScore};
use pipeline::{Model, WORK_OF_PIECE};
use sensor::FeatureSchema;
use serde::de::{self, DeserializeSeed, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use wire::ProblemBody;

use crate::api::Api;
use crate::api_error::ApiError;
use crate::body::{DocumentBody, Held};
use crate::json::JsonLine;
use crate::limits::{INFERENCE_ID_LEN_MAX, INFERENCE_ROWS_MAX};
use crate::query::NoQuery;
use crate::shares::Client;

/// The name of the one model.
const MODEL_NAME: &str = "isoforest";
/// The tensor that holds all features.
const ALL_FEATURES: &str = "features";

/// The metadata of the server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    extensions: [&'static str; 0],
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    live: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    ready: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

/// The metadata of the model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelMetadata<'a> {
    name: &'static str,
    versions: [&'a str; 1],
    platform: &'static str,
    inputs: Vec<TensorMetadata>,
    outputs: Vec<TensorMetadata>,
}

/// A tensor without its data; a size of -1 may be any.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TensorMetadata {
    name: String,
    datatype: &'static str,
    shape: Vec<i64>,
}

/// Rows to judge: one tensor `features` of shape [rows, features], or one tensor for each feature.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct InferenceRequest {
    id: Option<String>,
    inputs: Vec<InputTensor>,
    #[serde(default)]
    outputs: Vec<RequestedOutput>,
}

/// A tensor of numbers, flat or nested, row by row; null is a missing value.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct InputTensor {
    name: String,
    shape: Vec<usize>,
    datatype: String,
    #[schema(value_type = Vec<f64>)]
    data: Numbers,
}

/// Numbers in their order in the text, however they are nested.
#[derive(Debug, Default)]
struct Numbers {
    values: Vec<f64>,
    /// The depth of nesting; a flat array is 1.
    depth: usize,
    /// The length of the innermost arrays; `None` when they differ.
    row_len: Option<usize>,
    n_rows: usize,
}

/// More nesting than any shape has.
const DEPTH_MAX: usize = 8;

/// A tensor that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct RequestedOutput {
    name: String,
}

/// The judgements of the rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InferenceResponse<'a> {
    model_name: &'static str,
    model_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    outputs: Vec<OutputTensor>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutputTensor {
    name: &'static str,
    datatype: &'static str,
    shape: [usize; 1],
    data: OutputData,
}

/// A value for each row.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OutputData {
    Numbers(Vec<f64>),
    Booleans(Vec<bool>),
    Texts(Vec<&'static str>),
}

/// Describe the server
#[utoipa::path(get, path = "/v2", operation_id = "inference_server", tag = "inference", responses((status = 200, description = "The name and the version of the server", body = ServerMetadata)))]
pub(crate) async fn server_metadata(_: NoQuery) -> Response {
    let name = "server";
    JsonLine(ServerMetadata { name, version: env!("CARGO_PKG_VERSION"), extensions: [] })
        .into_response()
}

/// Report that the process answers
#[utoipa::path(get, path = "/v2/health/live", operation_id = "inference_live", tag = "inference", responses((status = 200, description = "The process answers", body = Live)))]
pub(crate) async fn live(_: NoQuery) -> Response {
    JsonLine(Live { live: true }).into_response()
}

/// Report whether the model is ready
#[utoipa::path(get, path = "/v2/health/ready", operation_id = "inference_ready", tag = "inference", responses((status = 200, description = "The model can be asked", body = Ready)))]
pub(crate) async fn ready(_: NoQuery) -> Response {
    JsonLine(Ready { ready: true }).into_response()
}

/// Describe the inputs and outputs of the model
#[utoipa::path(
    get,
    path = "/v2/models/{name}",
    operation_id = "inference_model",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`")),
    responses((status = 200, description = "Its inputs and outputs", body = ModelMetadata<'static>), (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(crate) async fn model_metadata(Named(model): Named) -> Response {
    JsonLine(metadata(&model)).into_response()
}

/// Describe the inputs and outputs of a version of the model
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}",
    operation_id = "inference_version",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`"), ("version" = String, Path, description = "The version in use")),
    responses((status = 200, description = "Its inputs and outputs", body = ModelMetadata<'static>), (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(crate) async fn version_metadata(Named(model): Named) -> Response {
    JsonLine(metadata(&model)).into_response()
}

/// Report whether the model is ready
#[utoipa::path(
    get,
    path = "/v2/models/{name}/ready",
    operation_id = "inference_model_ready",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`")),
    responses((status = 200, description = "It can be asked", body = ModelReady<'static>), (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(crate) async fn model_ready(Named(_model): Named) -> Response {
    JsonLine(ModelReady { name: MODEL_NAME, ready: true }).into_response()
}

/// Report whether a version of the model is ready
#[utoipa::path(
    get,
    path = "/v2/models/{name}/versions/{version}/ready",
    operation_id = "inference_version_ready",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`"), ("version" = String, Path, description = "The version in use")),
    responses((status = 200, description = "It can be asked", body = ModelReady<'static>), (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"))
)]
pub(crate) async fn version_ready(Named(_model): Named) -> Response {
    JsonLine(ModelReady { name: MODEL_NAME, ready: true }).into_response()
}

/// Judges rows; nothing is stored
///
/// Rows have no station: a model with several baselines judges them as those of a station that it does not know.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    operation_id = "infer",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`")),
    request_body = InferenceRequest,
    responses(
        (status = 200, description = "A score, a p-value and a label for each row", body = InferenceResponse<'static>),
        (status = 400, description = "Not such a request, or a value is not possible", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than 4 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many large requests at once", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn infer(
    State(api): State<Api>,
    client: Client,
    Named(model): Named,
    DocumentBody(body): DocumentBody,
) -> Result<Response, ApiError> {
    judge_aside(&api, client, model, body).await
}

/// Judges rows by a version of the model; nothing is stored
///
/// Rows have no station: a model with several baselines judges them as those of a station that it does not know.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/versions/{version}/infer",
    operation_id = "infer_version",
    tag = "inference",
    params(("name" = String, Path, description = "`isoforest`"), ("version" = String, Path, description = "The version in use")),
    request_body = InferenceRequest,
    responses(
        (status = 200, description = "A score, a p-value and a label for each row", body = InferenceResponse<'static>),
        (status = 400, description = "Not such a request, or a value is not possible", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "No such model or version", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than 4 MiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Too many large requests at once", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn version_infer(
    State(api): State<Api>,
    client: Client,
    Named(model): Named,
    DocumentBody(body): DocumentBody,
) -> Result<Response, ApiError> {
    judge_aside(&api, client, model, body).await
}

/// The model in use, if it goes by the name in the path, and by the version where there is one.
pub(crate) struct Named(Arc<Model>);

#[derive(Deserialize)]
struct ModelPath {
    name: String,
    version: Option<String>,
}

impl FromRequestParts<Api> for Named {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        NoQuery::from_request_parts(parts, api).await?;
        let path = Path::<ModelPath>::from_request_parts(parts, api).await;
        let Ok(Path(ModelPath { name, version })) = path else { return Err(ApiError::NotFound) };
        let model = api.pipeline.models.current();
        let is_version = version.is_none_or(|version| version == model.version().as_str());
        if name == MODEL_NAME && is_version { Ok(Self(model)) } else { Err(ApiError::NotFound) }
    }
}

fn metadata(model: &Model) -> ModelMetadata<'_> {
    let tensor =
        |name: &str, datatype, shape| TensorMetadata { name: name.into(), datatype, shape };
    let n_features = i64::try_from(model.detector.schema().len()).expect("a schema is bounded");
    ModelMetadata {
        name: MODEL_NAME,
        versions: [model.version().as_str()],
        platform: "isolation_forest",
        inputs: vec![tensor(ALL_FEATURES, "FP64", vec![-1, n_features])],
        outputs: vec![
            tensor("anomaly_score", "FP64", vec![-1]),
            tensor("p_value", "FP64", vec![-1]),
            tensor("is_anomaly", "BOOL", vec![-1]),
            tensor("evidence", "BYTES", vec![-1]),
        ],
    }
}

/// Judges on threads for work that takes a while, in pieces: others need not wait for a large request.
async fn judge_aside(
    api: &Api,
    client: Client,
    model: Arc<Model>,
    body: Held,
) -> Result<Response, ApiError> {
    // Their turns come in the order of their pieces, so that all that are read hold their values.
    let _place = api.inferences.take(client, 1).await;
    let turns = api.turns(client);
    let processors = &api.pipeline.processors;
    let of_model = Arc::clone(&model);
    let bytes = body.bytes.clone();
    let (request, values) = processors.run(&turns, move || read(&of_model, &bytes)).await??;
    drop(body);
    let values = Arc::new(values);
    let n_rows = values.len() / model.detector.schema().len();
    let mut scores = Vec::with_capacity(n_rows);
    while scores.len() < n_rows {
        let (model, values, first) = (Arc::clone(&model), Arc::clone(&values), scores.len());
        let piece = move || judge_piece(&model.detector, &values, first);
        scores.extend(processors.run(&turns, piece).await?);
    }
    processors.run(&turns, move || answer(&model, request, &scores)).await?
}

/// Judges rows from `first` on, until a processor has worked for long enough that others may be waiting.
fn judge_piece(detector: &Detector, values: &[f64], first: usize) -> Vec<RowScore> {
    let n_features = detector.schema().len();
    let rest = &values[first * n_features..];
    let mut n_work = 0;
    let in_piece = rest.chunks_exact(n_features).take_while(|row| {
        let is_in_piece = n_work < WORK_OF_PIECE;
        n_work += detector.work_of(row);
        is_in_piece
    });
    let n_rows = in_piece.count();
    detector.judge_rows(&rest[..n_rows * n_features])
}

/// Reads a request, and the values of all its rows.
fn read(model: &Model, body: &[u8]) -> Result<(InferenceRequest, Vec<f64>), ApiError> {
    let refuse = |reason: String| Err(ApiError::Inference(reason));
    let mut request: InferenceRequest = match serde_json::from_slice(body) {
        Ok(request) => request,
        // What serde says may repeat what was sent; the place is enough.
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return refuse(format!("not an inference request, at line {line}, column {column}"));
        }
    };
    if request.id.as_ref().is_some_and(|id| id.len() > INFERENCE_ID_LEN_MAX) {
        return refuse(format!("an id has up to {INFERENCE_ID_LEN_MAX} bytes"));
    }
    let values = rows(model, std::mem::take(&mut request.inputs))?;
    Ok((request, values))
}

/// Answers a request whose rows got these scores.
fn answer(
    model: &Model,
    request: InferenceRequest,
    scores: &[RowScore],
) -> Result<Response, ApiError> {
    let output =
        |name, datatype, data| OutputTensor { name, datatype, shape: [scores.len()], data };
    let mut outputs = vec![
        output(
            "anomaly_score",
            "FP64",
            OutputData::Numbers(scores.iter().map(|score| score.anomaly_score).collect()),
        ),
        output(
            "p_value",
            "FP64",
            OutputData::Numbers(scores.iter().map(|score| score.p_value).collect()),
        ),
        output(
            "is_anomaly",
            "BOOL",
            OutputData::Booleans(scores.iter().map(|score| score.is_anomaly).collect()),
        ),
        output(
            "evidence",
            "BYTES",
            OutputData::Texts(scores.iter().map(|score| score.evidence.name()).collect()),
        ),
    ];
    if !request.outputs.is_empty() {
        let is_known =
            |wanted: &RequestedOutput| outputs.iter().any(|known| known.name == wanted.name);
        if !request.outputs.iter().all(is_known) {
            return Err(ApiError::Inference(String::from(
                "the outputs are anomaly_score, p_value, is_anomaly and evidence",
            )));
        }
        outputs.retain(|known| request.outputs.iter().any(|wanted| wanted.name == known.name));
    }
    let model_version = model.version().as_str();
    Ok(JsonLine(InferenceResponse {
        model_name: MODEL_NAME,
        model_version,
        id: request.id,
        outputs,
    })
    .into_response())
}

/// Returns the values of all rows, one row after another, in the order of the schema.
fn rows(model: &Model, mut inputs: Vec<InputTensor>) -> Result<Vec<f64>, ApiError> {
    let schema = model.detector.schema();
    let n_features = schema.len();
    let values = if is_matrix(&inputs, schema) {
        let all = inputs.remove(0);
        if all.shape.len() != 2 || all.shape[1] != n_features {
            return Err(ApiError::Inference(format!(
                "`{ALL_FEATURES}` has the shape [rows, {n_features}]"
            )));
        }
        all.numbers()?
    } else {
        let columns = schema
            .features()
            .iter()
            .map(|feature| column(&mut inputs, &feature.name))
            .collect::<Result<Vec<_>, _>>()?;
        let n_rows = columns[0].len();
        if !inputs.is_empty() || columns.iter().any(|column| column.len() != n_rows) {
            return Err(ApiError::Inference(format!(
                "there must be one tensor `{ALL_FEATURES}`, or one of the same length for each feature of the model"
            )));
        }
        (0..n_rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect()
    };
    for (index, row) in values.chunks_exact(n_features).enumerate() {
        if let Err(invalid) = schema.check_values(row) {
            let fault = &invalid.faults()[0];
            let (pointer, kind) = (fault.pointer.trim_start_matches('/'), &fault.kind);
            return Err(ApiError::Inference(format!("row {index}: {pointer} {kind}")));
        }
    }
    Ok(values)
}

/// Returns `true` if there is one tensor for all features: clients have names of their own for it.
fn is_matrix(inputs: &[InputTensor], schema: &FeatureSchema) -> bool {
    let is_feature = |name: &str| schema.features().iter().any(|feature| *feature.name == *name);
    match inputs {
        [all] => all.name == ALL_FEATURES || (all.shape.len() == 2 && !is_feature(&all.name)),
        _ => false,
    }
}

/// Takes the values of one feature.
fn column(inputs: &mut Vec<InputTensor>, name: &str) -> Result<Vec<f64>, ApiError> {
    let Some(index) = inputs.iter().position(|input| input.name == name) else {
        return Err(ApiError::Inference(format!(
            "there must be one tensor for the feature {name}"
        )));
    };
    let input = inputs.remove(index);
    match input.shape[..] {
        [_] | [_, 1] => input.numbers(),
        _ => Err(ApiError::Inference(format!("the tensor of {name} has the shape [rows]"))),
    }
}

impl InputTensor {
    /// Returns the numbers in order, as many as the shape says; NaN for a missing one.
    fn numbers(self) -> Result<Vec<f64>, ApiError> {
        let refuse = |reason: &str| Err(ApiError::Inference(String::from(reason)));
        if !["FP64", "FP32", "INT64", "INT32"].contains(&self.datatype.as_str()) {
            return refuse("tensors hold FP64, FP32, INT64 or INT32");
        }
        let n_values = self.shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
        if self.shape[0] > INFERENCE_ROWS_MAX {
            return refuse("a request has up to 100,000 rows");
        }
        let Numbers { values, depth, row_len, .. } = self.data;
        let is_of_rows =
            depth == 1 || (depth == self.shape.len() && row_len == self.shape.last().copied());
        if Some(values.len()) != n_values || (n_values != Some(0) && !is_of_rows) {
            return refuse("the data of a tensor are numbers, as many as its shape says");
        }
        if self.datatype.starts_with("INT") && values.iter().any(|value| value.fract() != 0.0) {
            return refuse("a tensor of integers holds whole numbers");
        }
        Ok(values)
    }
}

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Self::default();
        Element { numbers: &mut numbers, depth: 0 }.deserialize(deserializer)?;
        Ok(numbers)
    }
}

/// A number, or an array of such, so deep within an array.
struct Element<'a> {
    numbers: &'a mut Numbers,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Element<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        if self.depth == 0 {
            return Err(E::custom("not an array"));
        }
        self.numbers.values.push(value);
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    /// Takes `null` as a missing value.
    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.visit_f64(f64::NAN)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            return Err(de::Error::custom("nested too deep"));
        }
        self.numbers.depth = self.numbers.depth.max(depth);
        let (n_before, n_rows) = (self.numbers.values.len(), self.numbers.n_rows);
        while seq.next_element_seed(Element { numbers: &mut *self.numbers, depth })?.is_some() {}
        if self.numbers.n_rows == n_rows {
            // Nothing was nested in it, so it is a row.
            let len = Some(self.numbers.values.len() - n_before);
            self.numbers.row_len =
                if n_rows == 0 || self.numbers.row_len == len { len } else { None };
            self.numbers.n_rows += 1;
        }
        Ok(())
    }
}
