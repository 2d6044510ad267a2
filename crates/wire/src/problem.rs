//! Refusals, as problem documents (RFC 9457).

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `about:blank`: the meaning is in the status and the code.
    pub r#type: Cow<'static, str>,
    /// The meaning of the status.
    pub title: Cow<'static, str>,
    /// The status of the answer, or of this event in a batch.
    pub status: u16,
    /// The reason, for people.
    pub detail: String,
    /// The reason, for programs. It does not change between versions.
    pub code: Cow<'static, str>,
    /// The outcome of the event where that is not obvious: `not_stored` or `unknown`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Cow<'static, str>>,
    /// All faults, where the reason has several.
    pub errors: Vec<ProblemItem>,
    /// The detail once more, where the inference protocol expects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The number of the request. Absent within a batch, whose answer has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub request_id: String,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemItem {
    /// The place, as a JSON pointer (RFC 6901).
    pub pointer: String,
    /// The fault, for programs.
    pub code: Cow<'static, str>,
    /// The fault, for people.
    pub detail: String,
}
