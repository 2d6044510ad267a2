//! One station: what it sent last, and what that makes of it.

use sensor::StationId;
use store::Glance;

use super::strip::{Strip, StripCells};

/// Events that say how a station is; so many normal ones end a row of anomalies.
pub(super) const RECENT_LEN: u32 = 20;
/// A station whose last events, so many, are all normal has got over a single alarm.
const PASSED_AFTER: u32 = 5;
/// Fewer anomalies among the recent events may be chance, however rare false alarms are.
const SICK_FROM_LEAST: u32 = 3;
/// How many stations may look sick by chance at any time.
const SICK_BY_CHANCE: f64 = 0.05;
/// A sick station that is silent for longer than this is silent and nothing else: an hour.
const SICK_MEMORY_US: i64 = 3_600_000_000;
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
    /// Normal events since the last anomaly, as far as is remembered.
    pub(crate) n_calm: u32,
    /// Whether so many of its recent events are anomalies that it is no chance.
    pub(crate) is_sick: bool,
    /// Whether it has sent nothing for longer than it uses to.
    pub(crate) is_silent: bool,
    /// The event that arrived last.
    pub(crate) latest: Glance,
    /// The beat before which its last event arrived.
    pub(crate) arrived: u64,
    /// The beat before which its state changed last.
    pub(crate) changed: u64,
}

/// How many anomalies among its recent events make a station sick: so many that of all stations
/// hardly one has them by chance, where normal events are called anomalous at this rate.
///
/// The tail of a binomial distribution says how often that is.
pub(super) fn sick_from(alarm_rate: f64, n_stations: usize) -> u32 {
    let n = RECENT_LEN;
    let mut tail = 0.0;
    let mut coefficient = 1.0;
    for k in (0..=n).rev() {
        let probability =
            coefficient * alarm_rate.powf(k.into()) * (1.0 - alarm_rate).powf((n - k).into());
        tail += probability;
        if tail * n_stations as f64 > SICK_BY_CHANCE {
            return (k + 1).clamp(SICK_FROM_LEAST, n);
        }
        // From "k of n" to "k - 1 of n".
        coefficient *= f64::from(k) / f64::from(n - k + 1);
    }
    SICK_FROM_LEAST
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
    /// When those events began to arrive that belong together.
    burst_us: i64,
    strip: Strip,
    /// The state that was told last, and whether it was silent.
    told: (State, bool),
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
            burst_us: first.received_us,
            strip: Strip::new(first.timestamp_us.min(first.received_us)),
            told: (State::Normal, false),
            arrived: 0,
            changed: 0,
        }
    }

    /// Takes in an event; says whether somebody should know at once.
    pub(super) fn note(&mut self, glance: &Glance, beat: u64, sick_from: u32) -> bool {
        let was_calm = self.recent_anomalies() == 0;
        self.recent = self.recent << 1 | u32::from(glance.is_anomaly);
        self.n_recent = (self.n_recent + 1).min(RECENT_LEN);
        if glance.is_anomaly && was_calm {
            self.since_us = Some(glance.timestamp_us);
        } else if self.recent_anomalies() == 0 {
            self.since_us = None;
        }
        let gap_us = glance.received_us - self.latest.received_us;
        if !(0..TOGETHER_US).contains(&(glance.received_us - self.burst_us)) {
            self.gap_us = gap_us.max(self.gap_us - self.gap_us / 8);
            self.burst_us = glance.received_us;
        }
        self.latest = *glance;
        // A station whose clock is ahead is shown as of now.
        let measured_us = glance.timestamp_us.min(glance.received_us);
        self.strip.note(measured_us, glance.anomaly_score, glance.is_anomaly);
        self.arrived = beat;
        glance.is_anomaly | self.tell(glance.received_us, beat, sick_from)
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
    pub(super) fn look(&mut self, now_us: i64, beat: u64, sick_from: u32) -> bool {
        // After a clock was set back, what came before counts from now.
        self.latest.received_us = self.latest.received_us.min(now_us);
        self.tell(now_us, beat, sick_from)
    }

    /// When it was heard of last, in microseconds since 1970.
    pub(super) fn received_us(&self) -> i64 {
        self.latest.received_us
    }

    /// Whether there are anomalies among its recent events.
    pub(super) fn has_recent_anomalies(&self) -> bool {
        self.recent_anomalies() > 0
    }

    pub(super) fn now(&self, station_id: &StationId, now_us: i64, sick_from: u32) -> StationNow {
        StationNow {
            station_id: station_id.clone(),
            state: self.state(now_us, sick_from),
            since_us: self.since_us,
            n_recent_anomalies: self.recent_anomalies(),
            n_recent: self.n_recent,
            n_calm: self.recent.trailing_zeros().min(self.n_recent),
            is_sick: self.is_sick(now_us, sick_from),
            is_silent: self.silence_us(now_us).is_some(),
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

    fn tell(&mut self, now_us: i64, beat: u64, sick_from: u32) -> bool {
        let present = (self.state(now_us, sick_from), self.silence_us(now_us).is_some());
        let has_changed = present != self.told;
        if has_changed {
            (self.told, self.changed) = (present, beat);
        }
        has_changed
    }

    fn state(&self, now_us: i64, sick_from: u32) -> State {
        if self.is_sick(now_us, sick_from) {
            State::Anomaly
        } else if self.silence_us(now_us).is_some() {
            State::Silent
        } else if self.recent & ones(PASSED_AFTER) != 0 {
            State::Anomaly
        } else {
            State::Normal
        }
    }

    /// Whether its recent events are anomalous beyond chance; its silence does not heal it at once.
    fn is_sick(&self, now_us: i64, sick_from: u32) -> bool {
        let is_over = self.silence_us(now_us).is_some_and(|silence_us| silence_us > SICK_MEMORY_US);
        self.recent_anomalies() >= sick_from && !is_over
    }

    /// For how long it has been silent, if that is longer than it uses to be.
    fn silence_us(&self, now_us: i64) -> Option<i64> {
        let silence_us = now_us - self.latest.received_us;
        let usual_us = (SILENT_GAPS * self.gap_us).max(SILENT_MIN_US);
        (silence_us > usual_us).then_some(silence_us)
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
            past.note(&glance(second), 1, SICK_FROM_LEAST);
        }
        past
    }

    #[track_caller]
    fn check_silent(past: &StationPast, from_second: i64) {
        let state = |second: i64| past.state(second * 1_000_000, SICK_FROM_LEAST);
        assert_eq!((state(from_second), state(from_second + 1)), (State::Normal, State::Silent));
    }

    #[test]
    fn silence_is_measured_by_what_a_station_uses_to_do() {
        check_silent(&sent_at((0..10).map(f64::from)), 19);
        check_silent(&sent_at((0..10).map(|i| 60.0 * f64::from(i))), 540 + 180);
        // Batches of a hundred every minute: what comes together is no pause.
        let batches =
            (0..5).flat_map(|i| (0..100).map(move |j| 60.0 * f64::from(i) + f64::from(j) / 1e3));
        check_silent(&sent_at(batches), 240 + 179);
        // A pause is forgotten also by a station that sends very fast.
        let fast = (0..2_000).map(|i| 60.0 + f64::from(i) / 70.0);
        check_silent(&sent_at([0.0].into_iter().chain(fast)), 98);
    }

    #[test]
    fn the_silence_of_a_sick_station_is_told() {
        let anomaly = |second: i64| Glance {
            timestamp_us: second * 1_000_000,
            received_us: second * 1_000_000,
            anomaly_score: 0.7,
            is_anomaly: true,
        };
        let mut past = StationPast::new(&anomaly(0));
        for second in 0..5 {
            past.note(&anomaly(second), 1, SICK_FROM_LEAST);
        }
        let mut look = |second: i64, beat| past.look(second * 1_000_000, beat, SICK_FROM_LEAST);
        assert!(!look(10, 2) && look(20, 3) && !look(30, 4), "once");
        let now = past.now(&StationId::parse("a").unwrap(), 30_000_000, SICK_FROM_LEAST);
        assert!(now.is_sick && now.is_silent);
        assert_eq!((now.state, now.changed), (State::Anomaly, 3));
    }

    #[test]
    fn what_is_chance_depends_on_the_rate_and_on_how_many_there_are() {
        for (rate, n_stations, expected) in [
            (0.01, 1, 3),
            (0.01, 40, 3),
            (0.01, 1_000, 4),
            (0.01, 10_000, 5),
            (0.001, 10_000, 3),
            (0.05, 8, 5),
            (0.05, 200, 7),
            (0.1, 200, 9),
            (0.5, 10_000, 20),
        ] {
            assert_eq!(sick_from(rate, n_stations), expected, "{rate} of {n_stations}");
        }
    }
}
