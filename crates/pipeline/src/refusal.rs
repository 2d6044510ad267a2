//! Refusals, independent of any protocol.

use sensor::InvalidEvent;
use store::KeepError;
use tokio::task::JoinError;

/// The reason why an event is refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not JSON, or not a valid event.
    #[error(transparent)]
    InvalidEvent(#[from] InvalidEvent),
    /// It is larger than an event of the model can be.
    #[error("an event has up to {} bytes", wording::grouped(*len_max as f64))]
    TooLarge {
        /// The largest size, in bytes.
        len_max: usize,
    },
    /// Another event has the same station, time and sequence number.
    #[error("another event has the same station, time and sequence number")]
    Conflict,
    /// The event stored under the same station, time and sequence number is damaged.
    #[error("what is stored under the event's station, time and sequence number is damaged")]
    Unreadable,
    /// The clock of the server is not set.
    #[error(
        "the clock of the server is not set: it shows {}",
        sensor::timestamp::format(*now_us)
    )]
    ClockUnset {
        /// The time that it shows, in microseconds since 1970 (UTC).
        now_us: i64,
    },
    /// Its prediction could not be stored.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// Judging it panicked.
    #[error("a task has panicked")]
    Panic(#[from] JoinError),
}

impl Refusal {
    /// The name of [`Refusal::TooLarge`].
    pub(crate) const TOO_LARGE: &str = "body_too_large";

    /// Returns the stable name of the reason.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidEvent(invalid) => {
                invalid.malformed().map_or("invalid_event", |fault| fault.kind.code())
            }
            Self::TooLarge { .. } => Self::TOO_LARGE,
            Self::Conflict => "sequence_conflict",
            Self::Unreadable => "row_damaged",
            Self::ClockUnset { .. } => "clock_unset",
            Self::Keep(KeepError::Full) => "overloaded",
            Self::Keep(KeepError::NotStored(_)) => "store_unavailable",
            Self::Keep(KeepError::Unknown(_)) => "outcome_unknown",
            Self::Panic(_) => "internal",
        }
    }

    /// Returns what became of the event where that is not obvious: `not_stored` or `unknown`.
    pub fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::ClockUnset { .. } | Self::Keep(KeepError::Full | KeepError::NotStored(_)) => {
                Some("not_stored")
            }
            Self::Keep(KeepError::Unknown(_)) => Some("unknown"),
            _ => None,
        }
    }
}
