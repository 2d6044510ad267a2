//! Talking to the server, patiently.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{StatusCode, Url};
use sensor::AlarmState;
use serde::Deserialize;

/// The outcome of sending an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Delivery {
    pub(crate) outcome: Outcome,
    /// The number of attempts.
    pub(crate) n_tries: u32,
}

/// The answer of the server.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Answered { anomaly_score: f64, is_anomaly: bool, duplicate: bool, alarm: Option<Alarm> },
    Refused { status: u16, code: String },
}

/// An event that got no answer.
#[derive(Debug)]
pub(crate) struct Undelivered {
    /// The number of attempts.
    pub(crate) n_tries: u32,
    /// The last failure.
    pub(crate) error: anyhow::Error,
}

/// A response, before it is interpreted.
struct Answer {
    status: StatusCode,
    body: Vec<u8>,
    n_tries: u32,
    /// `true` if the request may have been taken before, and only its answer was lost.
    may_be_taken: bool,
}

/// The part of `GET /health` that is read. Like all answers, it is read tolerantly, since the server may be of
/// another version.
#[derive(Debug, Deserialize)]
pub(crate) struct Health {
    pub(crate) model: HealthModel,
    #[serde(default)]
    pub(crate) alarms_per_day: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct HealthModel {
    pub(crate) version: String,
    pub(crate) features: Vec<String>,
}

/// The part of a prediction that is read.
#[derive(Debug, Deserialize)]
struct Answered {
    anomaly_score: f64,
    is_anomaly: bool,
    #[serde(default)]
    duplicate: bool,
    #[serde(default)]
    alarm: Option<Alarm>,
}

/// The part of an alarm that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Alarm {
    pub(crate) state: AlarmState,
    #[serde(default)]
    pub(crate) episode_id: Option<u32>,
}

/// The part of a refusal that is read.
#[derive(Debug, Deserialize)]
struct Refused {
    code: String,
}

#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    predict: Url,
    health: Url,
}

/// A server that is missing at the start is an error; one that was there before may come back.
const TRIES_MAX_AT_START: u32 = 6;
const TRIES_MAX: u32 = 10;
/// The code of a refusal after which an event may be stored all the same.
const OUTCOME_UNKNOWN: &str = "outcome_unknown";
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_LEN_MAX: usize = 1 << 20;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let http = http_client()?;
        let predict = Url::parse(url).with_context(|| format!("--url `{url}` is no URL"))?;
        if !["http", "https"].contains(&predict.scheme()) || !predict.has_host() {
            bail!("--url `{url}` should be like http://127.0.0.1:5000/predict");
        }
        let health = predict
            .join("/health")
            .with_context(|| format!("--url `{url}` has no place for /health"))?;
        Ok(Self { http, predict, health })
    }

    /// Returns what the server reports about itself.
    pub(crate) async fn health(&self) -> anyhow::Result<Health> {
        let Answer { status, body, .. } = self
            .patiently(TRIES_MAX_AT_START, || self.http.get(self.health.clone()))
            .await
            .map_err(|Undelivered { error, .. }| {
                error.context(format!(
                    "there is no server at {}; start one with `server`, or name another with --url",
                    self.health
                ))
            })?;
        if !status.is_success() {
            bail!("{} answers {status}: {}", self.health, String::from_utf8_lossy(&body).trim());
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{} is no server of this kind", self.health))
    }

    /// Sends an event until the server has said yes or no.
    pub(crate) async fn deliver(&self, body: &str) -> Result<Delivery, Undelivered> {
        let request = || {
            self.http
                .post(self.predict.clone())
                .header(CONTENT_TYPE, "application/json")
                .body(String::from(body))
        };
        let Answer { status, body, n_tries, may_be_taken } =
            self.patiently(TRIES_MAX, request).await?;
        let outcome = if status.is_success() {
            let Answered { anomaly_score, is_anomaly, duplicate, alarm } =
                serde_json::from_slice(&body).map_err(|error| Undelivered {
                    n_tries,
                    error: anyhow::Error::new(error)
                        .context(format!("{} gives answers of another kind", self.predict)),
                })?;
            // What comes again because its first answer got lost was not sent before.
            let duplicate = duplicate && !may_be_taken;
            Outcome::Answered { anomaly_score, is_anomaly, duplicate, alarm }
        } else {
            Outcome::Refused { status: status.as_u16(), code: problem_code(&body) }
        };
        Ok(Delivery { outcome, n_tries })
    }

    /// Sends a request again, with growing pauses, while the server is unreachable or full.
    async fn patiently(
        &self,
        tries_max: u32,
        request: impl Fn() -> reqwest::RequestBuilder,
    ) -> Result<Answer, Undelivered> {
        let mut pause = FIRST_PAUSE;
        let mut may_be_taken = false;
        for n_tries in 1.. {
            let is_last = n_tries == tries_max;
            let wait = match exchange(request()).await {
                Ok((StatusCode::SERVICE_UNAVAILABLE, retry_after, body)) if !is_last => {
                    may_be_taken |= problem_code(&body) == OUTCOME_UNKNOWN;
                    retry_after.unwrap_or(pause)
                }
                Ok((status, _, body)) => return Ok(Answer { status, body, n_tries, may_be_taken }),
                Err(error) if is_last || error.is_builder() => {
                    return Err(Undelivered { n_tries, error: error.into() });
                }
                Err(error) => {
                    may_be_taken |= !error.is_connect();
                    pause
                }
            };
            tokio::time::sleep(wait.min(PAUSE_MAX)).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        unreachable!("the last try returns")
    }
}

/// Returns the reason why a request was refused.
fn problem_code(body: &[u8]) -> String {
    let refused: Result<Refused, _> = serde_json::from_slice(body);
    refused.map_or(String::from("without a reason"), |refused| refused.code)
}

/// Sends a request and reads its answer to the end: status, when to come again, and body.
async fn exchange(
    request: reqwest::RequestBuilder,
) -> reqwest::Result<(StatusCode, Option<Duration>, Vec<u8>)> {
    let mut response = request.send().await?;
    let seconds =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let mut body = Vec::new();
    // No server of this kind says more.
    while body.len() < ANSWER_LEN_MAX
        && let Some(chunk) = response.chunk().await?
    {
        body.extend_from_slice(&chunk);
    }
    Ok((response.status(), seconds.map(Duration::from_secs), body))
}

/// Returns the one way to an HTTP client: without a provider of cryptography, making one would panic.
///
/// # Errors
///
/// Fails when the system's certificates cannot be read.
pub fn http_client() -> anyhow::Result<reqwest::Client> {
    // The first to install it wins, and all install the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(ANSWER_TIMEOUT)
        // Stations talk to their server themselves.
        .no_proxy()
        .build()
        .context("cannot make an HTTP client")
}
