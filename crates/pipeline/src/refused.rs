//! The last events that were refused, for people: a station that is wired wrongly never appears among
//! the stations.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sensor::StationId;

use crate::limits::{
    REASON_LEN_MAX, REFUSAL_LOG_PAUSE, REFUSALS_LOGGED_MAX, REFUSALS_REMEMBERED_MAX,
};
use crate::refusal::Refusal;

/// An event that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedEvent {
    /// When it was received, in microseconds since 1970 (UTC).
    pub received_us: i64,
    /// Its station, where that could be read.
    pub station_id: Option<StationId>,
    /// The stable name of the reason: of its first fault, where it has several.
    pub code: &'static str,
    /// The reason for people, without anything of the event.
    pub reason: String,
}

/// The events that were refused recently.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefusedEvents {
    /// The number of events refused since the start.
    pub n_total: u64,
    /// The last ones, the latest first.
    pub latest: Vec<RefusedEvent>,
}

/// Remembers the last refusals, and logs each reason of a station once a minute.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    n_total: u64,
    /// The latest last.
    latest: VecDeque<RefusedEvent>,
    /// When a reason of a station was last logged, and how often it came since.
    logged: HashMap<(Option<StationId>, &'static str), Logged>,
    /// When expired entries were last removed from `logged`.
    cleaned_at: Option<Instant>,
}

/// Expired log entries are removed at most this often.
const CLEAN_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Logged {
    at: Instant,
    n_since: u64,
}

impl RefusalLog {
    /// Notes a refusal of an event received at `received_us`. What is not the sender's fault is not
    /// noted.
    pub(crate) fn note(&self, refusal: &Refusal, station_id: Option<&StationId>, received_us: i64) {
        let code = match refusal {
            Refusal::InvalidEvent(invalid) => invalid.faults()[0].kind.code(),
            Refusal::TooLarge { .. } | Refusal::Conflict => refusal.code(),
            Refusal::Unreadable
            | Refusal::ClockUnset { .. }
            | Refusal::Keep(_)
            | Refusal::Panic(_) => return,
        };
        let event = RefusedEvent {
            received_us,
            station_id: station_id.cloned(),
            code,
            reason: shortened(refusal.to_string()),
        };
        let logged = self.lock().remember(event);
        // Without the lock: the log may be slow.
        if let Some((event, n_not_logged)) = logged {
            tracing::warn!(
                code = event.code,
                station.id = event.station_id.as_ref().map_or("unknown", StationId::as_str),
                reason = event.reason,
                n_not_logged,
                "refused an event; further ones of this station for the same reason are logged once a minute"
            );
        }
    }

    /// Returns the last refusals.
    pub(crate) fn recent(&self) -> RefusedEvents {
        let remembered = self.lock();
        RefusedEvents {
            n_total: remembered.n_total,
            latest: remembered.latest.iter().rev().cloned().collect(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // A panic elsewhere leaves at most a refusal that is not counted.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Remembered {
    /// Counts a refusal and adds it to the list. Returns it if it is to be logged, with the number of
    /// those like it that were not logged since the last log line.
    fn remember(&mut self, event: RefusedEvent) -> Option<(RefusedEvent, u64)> {
        let logged = self.n_not_logged(&event).map(|n_not_logged| (event.clone(), n_not_logged));
        self.n_total += 1;
        if self.latest.len() == REFUSALS_REMEMBERED_MAX {
            self.latest.pop_front();
        }
        self.latest.push_back(event);
        logged
    }

    /// Decides whether a refusal is to be logged, and returns how many like it were not.
    fn n_not_logged(&mut self, event: &RefusedEvent) -> Option<u64> {
        let now = Instant::now();
        let key = (event.station_id.clone(), event.code);
        if let Some(logged) = self.logged.get_mut(&key) {
            if now.duration_since(logged.at) < REFUSAL_LOG_PAUSE {
                logged.n_since += 1;
                return None;
            }
        } else if self.logged.len() >= REFUSALS_LOGGED_MAX {
            // Rarely, since invented names of stations must not cost this each time.
            if self.cleaned_at.is_some_and(|at| now.duration_since(at) < CLEAN_PAUSE) {
                return None;
            }
            self.cleaned_at = Some(now);
            self.logged.retain(|_, logged| now.duration_since(logged.at) < REFUSAL_LOG_PAUSE);
            if self.logged.len() >= REFUSALS_LOGGED_MAX {
                return None;
            }
        }
        let before = self.logged.insert(key, Logged { at: now, n_since: 0 });
        Some(before.map_or(0, |before| before.n_since))
    }
}

fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_LEN_MAX {
        let end = reason.floor_char_boundary(REASON_LEN_MAX);
        reason.truncate(end);
        reason.push_str(" ...");
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_refusals_are_remembered_and_all_are_counted() {
        let log = RefusalLog::default();
        let station_id = StationId::parse("press").unwrap();
        for received_us in 0..250 {
            log.note(&Refusal::Conflict, Some(&station_id), received_us);
        }
        log.note(&Refusal::Keep(store::KeepError::Full), Some(&station_id), 999);
        let RefusedEvents { n_total, latest } = log.recent();
        assert_eq!((n_total, latest.len()), (250, REFUSALS_REMEMBERED_MAX));
        assert_eq!((latest[0].received_us, latest[0].code), (249, "sequence_conflict"));
    }

    #[test]
    fn memory_is_bounded_whatever_stations_are_called() {
        let log = RefusalLog::default();
        for number in 0..2 * REFUSALS_LOGGED_MAX {
            let station_id = StationId::parse(&format!("s{number}")).unwrap();
            log.note(&Refusal::Conflict, Some(&station_id), 0);
        }
        assert_eq!(log.lock().logged.len(), REFUSALS_LOGGED_MAX);
        assert!(shortened("\u{e9}".repeat(400)).len() < REASON_LEN_MAX + 8);
    }
}
