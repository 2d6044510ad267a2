//! The last events that were refused.

use serde::Serialize;
use utoipa::ToSchema;

/// The last events that were refused, the latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalsBody {
    /// The number of events refused since the start.
    pub total: u64,
    /// The last ones.
    pub refusals: Vec<RefusalBody>,
}

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RefusalBody {
    /// When it was received, RFC 3339.
    pub received_at: String,
    /// The name of its station; null where it could not be read.
    pub station_id: Option<String>,
    /// The reason, for programs: of its first fault.
    pub code: &'static str,
    /// The reason, for people.
    pub detail: String,
}
