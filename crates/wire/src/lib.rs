//! The JSON bodies of the API, spelled once for the server and its clients.
//!
//! A body is a plain struct that serializes into what the server sends, and deserializes where a
//! client of ours reads it: [`EventBody`] is what stations send, [`PredictionBody`] what they get,
//! [`ProblemBody`] a refusal (RFC 9457). The same structs describe themselves in `/openapi.json`.
//!
//! ```
//! let json = r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"...","code":"sequence_conflict","errors":[]}"#;
//! let problem: wire::ProblemBody = serde_json::from_str(json)?;
//! assert_eq!(problem.code, "sequence_conflict");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! It knows no HTTP, no model and no database.

mod event;
mod fleet;
mod health;
mod prediction;
mod problem;
mod refusals;
mod series;

pub use event::{EventBody, StationName};
pub use fleet::{LiveBody, LiveCounts, LiveStation};
pub use health::{HealthBody, HealthModelBody, StatusBody, TotalsBody, UnavailableBody};
pub use prediction::{
    AlarmBody, AnomaliesBody, AttributionBody, EventsBody, PredictionBody, StationAlarmBody,
    StationBody, StationsBody,
};
pub use problem::{ProblemBody, ProblemItem};
pub use refusals::{RefusalBody, RefusalsBody};
pub use series::{BucketBody, SeriesBody};

/// Writes a body as one line of JSON, for terminals and logs.
///
/// # Panics
///
/// Panics when the body cannot be serialized, which holds for none of this crate.
pub fn line(body: &impl serde::Serialize) -> String {
    /// Bytes that most bodies fit in.
    const LINE_LEN: usize = 512;
    let mut text = Vec::with_capacity(LINE_LEN);
    serde_json::to_writer(&mut text, body).expect("names, numbers and texts are JSON");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is text")
}
