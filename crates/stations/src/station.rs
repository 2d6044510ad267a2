//! One station: what it sent last, and what that says about it.

use sensor::{AlarmGlance, AlarmState, Glance, StationId};

use crate::strip::Strip;

/// The number of recent events that a station is judged by. As many normal events end a run of
/// anomalies.
pub const RECENT_LEN: u32 = 20;
/// A single alarm has passed after this many normal events.
const PASSED_AFTER: usize = 5;
/// Fewer anomalies among the recent events may be chance, however rare false alarms are.
const SICK_FROM_MIN: u32 = 3;
/// The number of stations that may look sick by chance at any time.
const SICK_BY_CHANCE: f64 = 0.05;
/// A sick station that has been silent for longer than an hour counts as silent only.
const SICK_MEMORY_US: i64 = 3_600_000_000;
/// A station is silent after this many of its longest recent pauses...
const SILENT_GAPS: i64 = 3;
/// ... and at least after ten seconds.
const SILENT_MIN_US: i64 = 10_000_000;
/// An event that was measured more than a minute before the latest one is part of a backlog.
const BACKLOG_AFTER_US: i64 = 60_000_000;
/// Events closer than this arrived together, as of one batch.
const TOGETHER_US: i64 = 100_000;

/// The state of a station.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StationState {
    /// It sends normal events.
    Normal,
    /// It has just sent an anomaly, or several recently.
    Anomaly,
    /// It has sent nothing for longer than usual.
    Silent,
}

impl StationState {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Anomaly, Self::Silent];

    /// Returns the name on the wire and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Anomaly => "anomaly",
            Self::Silent => "silent",
        }
    }
}

/// The reason why a station needs a look, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    /// Its alarm is open; where it is not watched in time order, it has more recent anomalies than chance explains.
    Sick,
    /// One of its sensors fails.
    SensorFault,
    /// An alarm has ended, and its values have not returned.
    Changed,
    /// It has just sent an anomaly.
    Anomaly,
}

impl Concern {
    /// All reasons.
    pub const ALL: [Self; 4] = [Self::Sick, Self::SensorFault, Self::Changed, Self::Anomaly];

    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sick => "sick",
            Self::SensorFault => "sensor_fault",
            Self::Changed => "changed",
            Self::Anomaly => "anomaly",
        }
    }
}

/// A station at a moment.
#[derive(Debug, Clone, PartialEq)]
pub struct StationNow {
    /// Its name.
    pub station_id: StationId,
    /// Its state.
    pub state: StationState,
    /// When the first of its present run of anomalies was measured, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// Anomalies among the recent events.
    pub n_recent_anomalies: u32,
    /// Recent events, up to [`RECENT_LEN`].
    pub n_recent: u32,
    /// Normal events since the last anomaly, up to [`RECENT_LEN`].
    pub n_calm: u32,
    /// The reason why it needs a look, if its state is an anomaly.
    pub concern: Option<Concern>,
    /// Its alarm in time order; `None` where it is not watched.
    pub alarm: Option<AlarmGlance>,
    /// `true` if it has sent nothing for longer than usual.
    pub is_silent: bool,
    /// The event that was measured last, and when the last one was received.
    pub latest: Glance,
    /// The number of the first snapshot with its last event.
    pub arrived: u64,
    /// The number of the first snapshot with its present state.
    pub changed: u64,
    /// Its last hour.
    pub strip: Strip,
}

impl StationNow {
    /// Returns `true` if its alarm is open; where it is not watched in time order, if it has more recent anomalies than chance
    /// explains.
    pub fn is_sick(&self) -> bool {
        self.concern == Some(Concern::Sick)
    }

    /// Returns `true` if it has sent enough events to be one of the plant, and not an invented name.
    pub fn is_established(&self) -> bool {
        self.n_recent >= RECENT_LEN
    }
}

/// Returns the number of anomalies among its recent events from which a station is sick: enough that
/// of all stations hardly one reaches it by chance, if normal events are called anomalous at this
/// rate.
///
/// Computed from the tail of the binomial distribution.
pub(crate) fn sick_from(alarm_rate: f64, n_stations: usize) -> u32 {
    let n = RECENT_LEN;
    let mut tail = 0.0;
    let mut coefficient = 1.0;
    for k in (0..=n).rev() {
        let probability =
            coefficient * alarm_rate.powf(k.into()) * (1.0 - alarm_rate).powf((n - k).into());
        tail += probability;
        if tail * n_stations as f64 > SICK_BY_CHANCE {
            return (k + 1).clamp(SICK_FROM_MIN, n);
        }
        // From "k of n" to "k - 1 of n".
        coefficient *= f64::from(k) / f64::from(n - k + 1);
    }
    SICK_FROM_MIN
}

/// One of the last events of a station.
#[derive(Debug, Clone, Copy)]
struct Recent {
    measured_us: i64,
    is_anomaly: bool,
}

/// The urgency of an event for those who watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It changes nothing: it was measured long before the latest event.
    Backlog,
    /// An ordinary event.
    Ordinary,
    /// An anomaly, or a change of state.
    Urgent,
}

/// The memory of a station.
#[derive(Debug)]
pub(crate) struct StationMemory {
    /// The event that was measured last.
    latest: Glance,
    /// Its alarm after the last event that was not late.
    alarm: Option<AlarmGlance>,
    /// When the last event was received, in microseconds since 1970 (UTC).
    received_us: i64,
    /// The last events in the order of measurement, the latest last; up to [`RECENT_LEN`].
    recent: Vec<Recent>,
    since_us: Option<i64>,
    /// The longest recent pause between two arrivals, in microseconds; older ones fade.
    gap_us: i64,
    /// When the present burst of events began to arrive.
    burst_us: i64,
    strip: Strip,
    /// The last concern that was told, and whether the station was silent then.
    told: (Option<Concern>, bool),
    arrived: u64,
    changed: u64,
}

impl StationMemory {
    /// Begins a station before its first event.
    pub(crate) fn new(first: &Glance) -> Self {
        Self {
            latest: *first,
            alarm: None,
            received_us: first.received_us,
            recent: Vec::new(),
            since_us: None,
            gap_us: 0,
            burst_us: first.received_us,
            strip: Strip::new(measured_us(first)),
            told: (None, false),
            arrived: 0,
            changed: 0,
        }
    }

    /// Takes in an event. A station is judged by what it measured last, so a backlog that arrives late
    /// does not change its state.
    pub(crate) fn note(&mut self, glance: &Glance, number: u64, sick_from: u32) -> News {
        // A station whose clock is ahead counts as of now.
        let measured_us = measured_us(glance);
        let newest_us = self.recent.last().map_or(i64::MIN, |last| last.measured_us);
        self.note_recent(measured_us, glance);
        if measured_us >= newest_us {
            self.latest = *glance;
            let is_late = |alarm: &AlarmGlance| alarm.state == AlarmState::Late;
            self.alarm =
                if glance.alarm.as_ref().is_some_and(is_late) { self.alarm } else { glance.alarm };
        }
        let gap_us = glance.received_us - self.received_us;
        if !(0..TOGETHER_US).contains(&(glance.received_us - self.burst_us)) {
            self.gap_us = gap_us.max(self.gap_us - self.gap_us / 8);
            self.burst_us = glance.received_us;
        }
        self.received_us = glance.received_us;
        self.strip.note(measured_us, glance.anomaly_score, glance.is_anomaly);
        self.arrived = number;
        let has_changed = self.update_told(glance.received_us, number, sick_from);
        if measured_us < newest_us.saturating_sub(BACKLOG_AFTER_US) {
            News::Backlog
        } else if glance.is_anomaly || has_changed {
            News::Urgent
        } else {
            News::Ordinary
        }
    }

    /// Puts an event among the last ones, by its time of measurement.
    fn note_recent(&mut self, measured_us: i64, glance: &Glance) {
        let was_calm = self.recent_anomalies() == 0;
        let place = self.recent.partition_point(|recent| recent.measured_us <= measured_us);
        if place == 0 && self.recent.len() == RECENT_LEN as usize {
            return;
        }
        self.recent.insert(place, Recent { measured_us, is_anomaly: glance.is_anomaly });
        if self.recent.len() > RECENT_LEN as usize {
            self.recent.remove(0);
        }
        if self.recent_anomalies() == 0 {
            self.since_us = None;
        } else if glance.is_anomaly {
            let begun_us = if was_calm { None } else { self.since_us };
            self.since_us = Some(
                begun_us.map_or(glance.timestamp_us, |known_us| known_us.min(glance.timestamp_us)),
            );
        }
    }

    /// Takes in the stored past of one part of its strip.
    pub(crate) fn recall_part(&mut self, timestamp_us: i64, max_score: f64, n_anomalies: u32) {
        self.strip.recall(timestamp_us, max_score, n_anomalies);
    }

    /// Moves the beginning of its present run of anomalies back, if it has one.
    pub(crate) fn recall_since(&mut self, since_us: i64) {
        self.since_us = self.since_us.map(|known_us| known_us.min(since_us));
    }

    /// Lets time pass. Returns `true` if the state has changed.
    pub(crate) fn look(&mut self, now_us: i64, number: u64, sick_from: u32) -> bool {
        // After the clock was set back, what came before counts from now.
        self.received_us = self.received_us.min(now_us);
        self.update_told(now_us, number, sick_from)
    }

    /// Returns when the last event was received, in microseconds since 1970.
    pub(crate) fn received_us(&self) -> i64 {
        self.received_us
    }

    /// Returns `true` if there are anomalies among its recent events.
    pub(crate) fn has_recent_anomalies(&self) -> bool {
        self.recent_anomalies() > 0
    }

    /// Returns `true` if it has sent enough events to be one of the plant, and not an invented name.
    pub(crate) fn is_established(&self) -> bool {
        self.recent.len() >= RECENT_LEN as usize
    }

    pub(crate) fn now(&self, station_id: &StationId, now_us: i64, sick_from: u32) -> StationNow {
        let concern = self.concern(now_us, sick_from);
        let is_silent = self.silence_us(now_us).is_some();
        StationNow {
            station_id: station_id.clone(),
            state: match concern {
                Some(_) => StationState::Anomaly,
                None if is_silent => StationState::Silent,
                None => StationState::Normal,
            },
            concern,
            since_us: self.since_us,
            n_recent_anomalies: self.recent_anomalies(),
            n_recent: count(self.recent.len()),
            n_calm: count(self.recent.iter().rev().take_while(|recent| !recent.is_anomaly).count()),
            alarm: self.alarm,
            is_silent,
            latest: Glance { received_us: self.received_us, ..self.latest },
            arrived: self.arrived,
            changed: self.changed,
            strip: self.strip.clone(),
        }
    }

    fn update_told(&mut self, now_us: i64, number: u64, sick_from: u32) -> bool {
        let present = (self.concern(now_us, sick_from), self.silence_us(now_us).is_some());
        let has_changed = present != self.told;
        if has_changed {
            (self.told, self.changed) = (present, number);
        }
        has_changed
    }

    /// Returns why it needs a look, of several reasons the most urgent. The others end with its silence.
    fn concern(&self, now_us: i64, sick_from: u32) -> Option<Concern> {
        let is_silent = self.silence_us(now_us).is_some();
        let mut last = self.recent.iter().rev().take(PASSED_AFTER);
        if self.is_sick(now_us, sick_from) {
            Some(Concern::Sick)
        } else if is_silent {
            None
        } else if self.alarm.is_some_and(|alarm| alarm.sensor_fault.is_some()) {
            Some(Concern::SensorFault)
        } else if self.alarm.is_some_and(|alarm| alarm.state == AlarmState::Accepted) {
            Some(Concern::Changed)
        } else {
            last.any(|recent| recent.is_anomaly).then_some(Concern::Anomaly)
        }
    }

    /// Returns `true` if its alarm is open, or, before it is watched in time order, if chance does not explain its recent
    /// anomalies. Silence does not heal a station at once.
    fn is_sick(&self, now_us: i64, sick_from: u32) -> bool {
        use AlarmState::{Accepted, BudgetSpent, Late, Learning, Open, Watching};

        let is_over = self.silence_us(now_us).is_some_and(|silence_us| silence_us > SICK_MEMORY_US);
        let is_sick = match self.alarm.map(|alarm| alarm.state) {
            Some(Open) => true,
            Some(Watching | Accepted | BudgetSpent) => false,
            Some(Learning | Late) | None => self.recent_anomalies() >= sick_from,
        };
        is_sick && !is_over
    }

    /// Returns the length of its silence, if it is longer than usual.
    fn silence_us(&self, now_us: i64) -> Option<i64> {
        let silence_us = now_us - self.received_us;
        let usual_us = (SILENT_GAPS * self.gap_us).max(SILENT_MIN_US);
        (silence_us > usual_us).then_some(silence_us)
    }

    fn recent_anomalies(&self) -> u32 {
        count(self.recent.iter().filter(|recent| recent.is_anomaly).count())
    }
}

/// Returns when an event was measured: not later than it was received.
fn measured_us(glance: &Glance) -> i64 {
    glance.timestamp_us.min(glance.received_us)
}

fn count(n_recent: usize) -> u32 {
    u32::try_from(n_recent).expect("few events are remembered")
}

#[cfg(test)]
mod tests {
    use sensor::SensorFaultKind;

    use super::*;

    /// Makes a station that sent at these times, in seconds.
    fn sent_at(seconds: impl IntoIterator<Item = f64>) -> StationMemory {
        let glance = |second: f64| {
            #[expect(clippy::cast_possible_truncation, reason = "small numbers")]
            let time_us = (second * 1e6) as i64;
            Glance {
                timestamp_us: time_us,
                received_us: time_us,
                anomaly_score: 0.4,
                is_anomaly: false,
                alarm: None,
            }
        };
        let mut memory = StationMemory::new(&glance(0.0));
        for second in seconds {
            memory.note(&glance(second), 1, SICK_FROM_MIN);
        }
        memory
    }

    #[track_caller]
    fn check_silent(memory: &StationMemory, from_second: i64) {
        let station_id = StationId::parse("a").unwrap();
        let state = |second: i64| memory.now(&station_id, second * 1_000_000, SICK_FROM_MIN).state;
        assert_eq!(
            (state(from_second), state(from_second + 1)),
            (StationState::Normal, StationState::Silent)
        );
    }

    #[test]
    fn silence_is_relative_to_the_usual_interval() {
        check_silent(&sent_at((0..10).map(f64::from)), 19);
        check_silent(&sent_at((0..10).map(|i| 60.0 * f64::from(i))), 540 + 180);
        // Batches of a hundred every minute: events of one batch make no pause.
        let batches =
            (0..5).flat_map(|i| (0..100).map(move |j| 60.0 * f64::from(i) + f64::from(j) / 1e3));
        check_silent(&sent_at(batches), 240 + 179);
        // A station that sends very fast forgets its pauses, too.
        let fast = (0..2_000).map(|i| 60.0 + f64::from(i) / 70.0);
        check_silent(&sent_at([0.0].into_iter().chain(fast)), 98);
    }

    #[test]
    fn a_sick_station_that_goes_silent_is_reported_once() {
        let anomaly = |second: i64| Glance {
            timestamp_us: second * 1_000_000,
            received_us: second * 1_000_000,
            anomaly_score: 0.7,
            is_anomaly: true,
            alarm: None,
        };
        let mut memory = StationMemory::new(&anomaly(0));
        for second in 0..5 {
            memory.note(&anomaly(second), 1, SICK_FROM_MIN);
        }
        let mut look = |second: i64, beat| memory.look(second * 1_000_000, beat, SICK_FROM_MIN);
        assert!(!look(10, 2) && look(20, 3) && !look(30, 4), "once");
        let now = memory.now(&StationId::parse("a").unwrap(), 30_000_000, SICK_FROM_MIN);
        assert!(now.is_sick() && now.is_silent);
        assert_eq!((now.state, now.changed), (StationState::Anomaly, 3));
    }

    /// Seen to fail where anomalies alone make a station sick.
    #[test]
    fn a_station_that_is_watched_is_sick_while_its_alarm_is_open() {
        let glance = |second: i64, state: AlarmState, is_anomaly: bool| Glance {
            timestamp_us: second * 1_000_000,
            received_us: second * 1_000_000,
            anomaly_score: 0.5,
            is_anomaly,
            alarm: Some(AlarmGlance { state, opened_us: None, sensor_fault: None }),
        };
        let mut memory = StationMemory::new(&glance(0, AlarmState::Learning, false));
        let mut is_sick_after = |state, is_anomaly| {
            for second in 1..=20 {
                memory.note(&glance(second, state, is_anomaly), 1, SICK_FROM_MIN);
            }
            memory.is_sick(20_000_000, SICK_FROM_MIN)
        };
        assert!(is_sick_after(AlarmState::Learning, true), "more than chance explains");
        assert!(!is_sick_after(AlarmState::Watching, true));
        assert!(is_sick_after(AlarmState::Open, false));
        assert!(is_sick_after(AlarmState::Late, false), "a late event says nothing");
        assert!(!is_sick_after(AlarmState::Accepted, false));
        let now = memory.now(&StationId::parse("a").unwrap(), 20_000_000, SICK_FROM_MIN);
        assert_eq!(now.concern, Some(Concern::Changed), "not forgotten");
        assert_eq!(now.state, StationState::Anomaly);
    }

    #[test]
    fn a_sensor_that_fails_needs_a_look_until_the_station_is_silent() {
        let glance = |second: i64| Glance {
            timestamp_us: second * 1_000_000,
            received_us: second * 1_000_000,
            anomaly_score: 0.4,
            is_anomaly: false,
            alarm: Some(AlarmGlance {
                state: AlarmState::Watching,
                opened_us: None,
                sensor_fault: Some(SensorFaultKind::Stuck),
            }),
        };
        let mut memory = StationMemory::new(&glance(0));
        assert_eq!(memory.note(&glance(1), 1, SICK_FROM_MIN), News::Urgent);
        assert_eq!(memory.note(&glance(2), 2, SICK_FROM_MIN), News::Ordinary, "told once");
        let after = |second: i64| memory.concern(second * 1_000_000, SICK_FROM_MIN);
        assert_eq!((after(3), after(60)), (Some(Concern::SensorFault), None));
    }

    #[test]
    fn a_backlog_does_not_make_a_station_sick() {
        let minute_us = 60_000_000;
        let glance = |measured_us: i64, received_us: i64, is_anomaly: bool| Glance {
            timestamp_us: measured_us,
            received_us,
            anomaly_score: if is_anomaly { 0.7 } else { 0.4 },
            is_anomaly,
            alarm: None,
        };
        let now_us = 600 * minute_us;
        let mut station = StationMemory::new(&glance(now_us, now_us, false));
        for index in 0..30 {
            let time_us = now_us + index * minute_us;
            station.note(&glance(time_us, time_us, false), 1, SICK_FROM_MIN);
        }
        let end_us = now_us + 30 * minute_us;
        for index in 0..20 {
            let news = station.note(&glance(index * minute_us, end_us, true), 2, SICK_FROM_MIN);
            assert_eq!(news, News::Backlog);
        }
        let now = station.now(&StationId::parse("a").unwrap(), end_us, SICK_FROM_MIN);
        assert_eq!((now.state, now.n_recent_anomalies), (StationState::Normal, 0));
        assert_eq!(now.latest.anomaly_score, 0.4);
        // Events that come a little out of order find their place.
        let late_us = end_us - 2 * minute_us;
        station.note(&glance(late_us, end_us, true), 3, SICK_FROM_MIN);
        let now = station.now(&StationId::parse("a").unwrap(), end_us, SICK_FROM_MIN);
        assert_eq!((now.n_recent_anomalies, now.n_calm), (1, 1));
    }

    #[test]
    fn the_limit_of_sickness_follows_the_alarm_rate_and_the_number_of_stations() {
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
