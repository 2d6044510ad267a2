//! One station: what it sent last, and what that makes of it.

use sensor::StationId;
use store::Glance;

use super::strip::{Strip, StripCells};

/// Events that say how a station is; so many normal ones end a row of anomalies.
pub(super) const RECENT_LEN: u32 = 20;
/// A station whose last events, so many, are all normal has got over a single alarm.
const PASSED_AFTER: u32 = 5;
/// So many anomalies among the recent events are no chance.
const SICK_FROM: u32 = 3;
/// A station is silent when nothing came for so many of its longest recent pauses...
const SILENT_GAPS: i64 = 3;
/// ... and at least so long.
const SILENT_MIN_US: i64 = 10_000_000;
/// Events that are closer than this came together, as of one batch.
const TOGETHER_US: i64 = 100_000;

/// How a station is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It sends, and what it sends is normal.
    Normal,
    /// It has sent an anomaly just now, or several lately.
    Anomaly,
    /// It has sent nothing for longer than it uses to.
    Silent,
}

impl State {
    /// The name on the wire and on pages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomaly => "anomaly",
            Self::Silent => "silent",
        }
    }
}

/// A station at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct StationNow {
    pub(crate) station_id: StationId,
    pub(crate) state: State,
    /// When the first anomaly was measured that hangs together with the recent ones.
    pub(crate) since_us: Option<i64>,
    /// Anomalies among the recent events.
    pub(crate) n_recent_anomalies: u32,
    /// Recent events, up to [`RECENT_LEN`].
    pub(crate) n_recent: u32,
    /// The event that arrived last.
    pub(crate) latest: Glance,
    /// The beat before which its last event arrived.
    pub(crate) arrived: u64,
    /// The beat before which its state changed last.
    pub(crate) changed: u64,
}

impl StationNow {
    /// Whether so many of its recent events are anomalies that it is no chance.
    pub(crate) fn is_sick(&self) -> bool {
        self.n_recent_anomalies >= SICK_FROM
    }
}

/// What is remembered of a station.
#[derive(Debug)]
pub(super) struct StationPast {
    /// The event that arrived last.
    latest: Glance,
    /// A bit an event, 1 for an anomaly, the last to arrive in the lowest.
    recent: u32,
    n_recent: u32,
    since_us: Option<i64>,
    /// The longest recent pause between two arrivals, in microseconds; older ones fade.
    gap_us: i64,
    strip: Strip,
    /// The state that was told last.
    told: State,
    arrived: u64,
    changed: u64,
}

impl StationPast {
    /// A station that is about to send its first event.
    pub(super) fn new(first: &Glance) -> Self {
        Self {
            latest: *first,
            recent: 0,
            n_recent: 0,
            since_us: None,
            gap_us: 0,
            strip: Strip::new(first.timestamp_us.min(first.received_us)),
            told: State::Normal,
            arrived: 0,
            changed: 0,
        }
    }

    /// Takes in an event; says whether somebody should know at once.
    pub(super) fn note(&mut self, glance: &Glance, beat: u64) -> bool {
        let was_calm = self.recent_anomalies() == 0;
        self.recent = self.recent << 1 | u32::from(glance.is_anomaly);
        self.n_recent = (self.n_recent + 1).min(RECENT_LEN);
        if glance.is_anomaly && was_calm {
            self.since_us = Some(glance.timestamp_us);
        } else if self.recent_anomalies() == 0 {
            self.since_us = None;
        }
        let gap_us = glance.received_us - self.latest.received_us;
        if gap_us >= TOGETHER_US {
            self.gap_us = gap_us.max(self.gap_us - self.gap_us / 8);
        }
        self.latest = *glance;
        // A station whose clock is ahead is shown as of now.
        let measured_us = glance.timestamp_us.min(glance.received_us);
        self.strip.note(measured_us, glance.anomaly_score, glance.is_anomaly);
        self.arrived = beat;
        glance.is_anomaly | self.tell(self.state(glance.received_us), beat)
    }

    /// Takes in what is kept of a part of its last hour.
    pub(super) fn recall_part(&mut self, timestamp_us: i64, anomaly_score: f64, n_anomalies: u32) {
        self.strip.recall(timestamp_us, anomaly_score, n_anomalies);
    }

    /// Takes in since when its present anomalies go on, where they began before what is remembered.
    pub(super) fn recall_since(&mut self, since_us: i64) {
        self.since_us = self.since_us.map(|known_us| known_us.min(since_us));
    }

    /// Looks whether time has made it silent; says whether its state has changed.
    pub(super) fn look(&mut self, now_us: i64, beat: u64) -> bool {
        // After a clock was set back, what came before counts from now.
        self.latest.received_us = self.latest.received_us.min(now_us);
        self.tell(self.state(now_us), beat)
    }

    /// When it was heard of last, in microseconds since 1970.
    pub(super) fn received_us(&self) -> i64 {
        self.latest.received_us
    }

    /// Whether there are anomalies among its recent events.
    pub(super) fn has_recent_anomalies(&self) -> bool {
        self.recent_anomalies() > 0
    }

    pub(super) fn now(&self, station_id: &StationId, now_us: i64) -> StationNow {
        StationNow {
            station_id: station_id.clone(),
            state: self.state(now_us),
            since_us: self.since_us,
            n_recent_anomalies: self.recent_anomalies(),
            n_recent: self.n_recent,
            latest: self.latest,
            arrived: self.arrived,
            changed: self.changed,
        }
    }

    pub(super) fn strip(&self, until_us: i64) -> StripCells {
        self.strip.before(until_us)
    }

    /// When the hour of its strip begins and ends.
    pub(super) fn strip_span(&self) -> (i64, i64) {
        self.strip.span()
    }

    fn tell(&mut self, state: State, beat: u64) -> bool {
        let has_changed = state != self.told;
        if has_changed {
            (self.told, self.changed) = (state, beat);
        }
        has_changed
    }

    fn state(&self, now_us: i64) -> State {
        let silent_after_us = (SILENT_GAPS * self.gap_us).max(SILENT_MIN_US);
        if now_us - self.latest.received_us > silent_after_us {
            State::Silent
        } else if self.recent & ones(PASSED_AFTER) != 0 || self.recent_anomalies() >= SICK_FROM {
            State::Anomaly
        } else {
            State::Normal
        }
    }

    fn recent_anomalies(&self) -> u32 {
        (self.recent & ones(RECENT_LEN)).count_ones()
    }
}

/// So many of the lowest bits.
fn ones(n: u32) -> u32 {
    (1 << n) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A station that sent at these times, in seconds.
    fn sent_at(seconds: impl IntoIterator<Item = f64>) -> StationPast {
        let glance = |second: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
            let time_us = (second * 1e6) as i64;
            Glance {
                timestamp_us: time_us,
                received_us: time_us,
                anomaly_score: 0.4,
                is_anomaly: false,
            }
        };
        let mut past = StationPast::new(&glance(0.0));
        for second in seconds {
            past.note(&glance(second), 1);
        }
        past
    }

    #[track_caller]
    fn check_silent(past: &StationPast, from_second: i64) {
        assert_eq!(past.state(from_second * 1_000_000), State::Normal);
        assert_eq!(past.state((from_second + 1) * 1_000_000), State::Silent);
    }

    #[test]
    fn silence_is_measured_by_what_a_station_uses_to_do() {
        check_silent(&sent_at((0..10).map(f64::from)), 19);
        check_silent(&sent_at((0..10).map(|i| 60.0 * f64::from(i))), 540 + 180);
        // Batches of a hundred every minute: what comes together is no pause.
        let batches =
            (0..5).flat_map(|i| (0..100).map(move |j| 60.0 * f64::from(i) + f64::from(j) / 1e3));
        check_silent(&sent_at(batches), 240 + 179);
    }
}
