//! All stations, and the fleet at a moment.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sensor::{Arrival, Glance, StationId};

use crate::pace::{Pace, Rates};
use crate::station::{Concern, News, StationMemory, StationNow, StationState, sick_from};

/// The memory of all stations.
#[derive(Debug)]
pub struct Fleet {
    by_id: BTreeMap<StationId, StationMemory>,
    pace: Pace,
    /// The number of the next snapshot: what happens now is new in that one.
    next_number: u64,
    has_changed: bool,
    /// `true` if an anomaly has arrived, or the state of a station has changed.
    is_urgent: bool,
    /// The latest time of measurement.
    newest_us: Option<i64>,
    /// `true` if stations were left out because there were too many.
    has_more: bool,
    /// The stations that make room for others.
    room: Room,
    /// Share of normal events that the model calls anomalous.
    alarm_rate: f64,
    /// Number of recent anomalies from which a station counts as sick.
    sick_from: u32,
}

/// The number of stations in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Stations that send normal events.
    pub normal: usize,
    /// Stations with a recent anomaly.
    pub anomaly: usize,
    /// Stations that have stopped sending.
    pub silent: usize,
    /// Stations with an open alarm, or with more recent anomalies than chance explains; they also count under `anomaly`.
    pub sick: usize,
    /// Other stations with a sensor that fails; they also count under `anomaly`.
    pub sensor_fault: usize,
    /// Other stations that are watched on a new level; they also count under `anomaly`.
    pub changed: usize,
}

/// The fleet at a moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Snapshot {
    /// The number of the snapshot. Later snapshots have higher numbers.
    pub number: u64,
    /// When it was taken, in microseconds since 1970 (UTC).
    pub taken_us: i64,
    /// The number of stations in each state.
    pub counts: Counts,
    /// The rates at which events arrive.
    pub rates: Rates,
    /// The latest time of measurement.
    pub newest_us: Option<i64>,
    /// `true` if there are stations beyond [`Fleet::STATIONS_MAX`], which are not followed.
    pub has_more: bool,
    /// The stations in the order of their names.
    pub stations: Vec<StationNow>,
}

/// A station that has been silent for a week is forgotten.
const FORGOTTEN_AFTER_US: i64 = 7 * 86_400_000_000;
/// When there is no room for a new station, one that has been silent for an hour makes room.
const MAKES_ROOM_AFTER_US: i64 = 3_600_000_000;
/// For a new station with an anomaly, ten seconds of silence of one that has sent little are enough.
const ANOMALY_NEEDS_ROOM_US: i64 = 10_000_000;
/// Time between two snapshots when nothing is urgent: counts and rates change all the time.
const CALM_PAUSE: Duration = Duration::from_secs(1);
/// Time between two snapshots when nothing arrives, so that ages stay current.
const IDLE_PAUSE: Duration = Duration::from_secs(10);

impl Counts {
    /// Returns the number of all stations.
    pub fn total(self) -> usize {
        self.normal + self.anomaly + self.silent
    }

    fn add(&mut self, station: &StationNow) {
        match station.concern {
            Some(Concern::Sick) => self.sick += 1,
            Some(Concern::SensorFault) => self.sensor_fault += 1,
            Some(Concern::Changed) => self.changed += 1,
            Some(Concern::Anomaly) | None => {}
        }
        *match station.state {
            StationState::Normal => &mut self.normal,
            StationState::Anomaly => &mut self.anomaly,
            StationState::Silent => &mut self.silent,
        } += 1;
    }
}

impl Snapshot {
    /// Returns a station, if it is known.
    pub fn station(&self, station_id: &StationId) -> Option<&StationNow> {
        let found = self.stations.binary_search_by(|station| station.station_id.cmp(station_id));
        found.ok().map(|index| &self.stations[index])
    }
}

impl Default for Fleet {
    fn default() -> Self {
        Self {
            by_id: BTreeMap::new(),
            pace: Pace::default(),
            next_number: 1,
            has_changed: false,
            is_urgent: false,
            newest_us: None,
            has_more: false,
            room: Room::default(),
            alarm_rate: 0.0,
            sick_from: sick_from(0.0, 1),
        }
    }
}

impl Fleet {
    /// The number of stations that are followed one by one. More would make every snapshot slow; they
    /// are judged and stored like the others.
    pub const STATIONS_MAX: usize = 10_000;

    /// Returns the earliest time of receipt that is still of interest.
    pub fn remembered_since_us(now_us: i64) -> i64 {
        now_us - FORGOTTEN_AFTER_US
    }

    /// Sets the share of normal events that the model calls anomalous.
    pub fn set_alarm_rate(&mut self, alarm_rate: f64) {
        self.alarm_rate = alarm_rate;
        self.update_sick_from();
    }

    /// Notes that there are stations that are not followed.
    pub fn set_has_more(&mut self) {
        self.has_more = true;
    }

    /// Takes in a stored prediction.
    pub fn note(&mut self, arrival: &Arrival) {
        let Arrival { station_id, glance } = arrival;
        // Not the time of a station whose clock is ahead.
        self.newest_us = self.newest_us.max(Some(glance.timestamp_us.min(glance.received_us)));
        self.has_changed = true;
        let mut news = News::Urgent;
        if let Some(station) = self.by_id.get_mut(station_id) {
            news = station.note(glance, self.next_number, self.sick_from);
        } else if self.by_id.len() < Self::STATIONS_MAX || self.make_room(glance) {
            let mut station = StationMemory::new(glance);
            station.note(glance, self.next_number, self.sick_from);
            self.by_id.insert(station_id.clone(), station);
            self.update_sick_from();
        } else {
            self.has_more = true;
            news = News::Ordinary;
        }
        self.is_urgent |= news == News::Urgent;
        self.pace.note(glance, news == News::Backlog);
    }

    /// Takes in the stored past of one part of a station's strip.
    pub fn recall_part(
        &mut self,
        station_id: &StationId,
        timestamp_us: i64,
        max_score: f64,
        n_anomalies: u32,
    ) {
        if let Some(station) = self.by_id.get_mut(station_id) {
            station.recall_part(timestamp_us, max_score, n_anomalies);
        }
    }

    /// Moves the beginning of a station's present anomalies back to `since_us`.
    pub fn recall_since(&mut self, station_id: &StationId, since_us: i64) {
        if let Some(station) = self.by_id.get_mut(station_id) {
            station.recall_since(since_us);
        }
    }

    /// Forgets stations that were heard of very long ago.
    pub fn forget_old(&mut self, now_us: i64) {
        let since_us = Self::remembered_since_us(now_us);
        self.by_id.retain(|_, station| station.received_us() > since_us);
        self.update_sick_from();
    }

    /// Returns `true` if it is time for a snapshot: at once for an anomaly or a change of state, once
    /// a second for other events, and every ten seconds without any.
    pub fn is_due(&mut self, now_us: i64, since_last: Duration) -> bool {
        // Stations go silent as time passes, without anything arriving.
        for station in self.by_id.values_mut() {
            self.is_urgent |= station.look(now_us, self.next_number, self.sick_from);
        }
        let is_due = self.is_urgent
            || (self.has_changed && since_last >= CALM_PAUSE)
            || since_last >= IDLE_PAUSE;
        if is_due {
            (self.is_urgent, self.has_changed) = (false, false);
        }
        is_due
    }

    /// Takes a snapshot.
    pub fn snapshot(&mut self, now_us: i64) -> Snapshot {
        let mut counts = Counts::default();
        let stations: Vec<StationNow> = self
            .by_id
            .iter()
            .map(|(station_id, station)| station.now(station_id, now_us, self.sick_from))
            .inspect(|station| counts.add(station))
            .collect();
        let number = self.next_number;
        self.next_number += 1;
        Snapshot {
            number,
            taken_us: now_us,
            counts,
            rates: self.pace.rates(now_us),
            newest_us: self.newest_us,
            has_more: self.has_more,
            stations,
        }
    }

    /// Adapts the limit of sickness to the alarm rate and to the number of stations.
    fn update_sick_from(&mut self) {
        self.sick_from = sick_from(self.alarm_rate, self.by_id.len());
    }

    /// Forgets a station for a new one, if one has been silent for long enough: first among those that
    /// have sent little, so that invented names replace each other and not the stations of the plant.
    fn make_room(&mut self, glance: &Glance) -> bool {
        if self.room.is_due(glance.received_us) {
            self.room.find(&self.by_id, glance.received_us);
        }
        while let Some((received_us, station_id)) = self.room.candidates.front() {
            let station = self.by_id.get(station_id);
            let Some(station) = station.filter(|station| station.received_us() == *received_us)
            else {
                // It is gone, or has sent something since.
                self.room.candidates.pop_front();
                continue;
            };
            if glance.received_us.saturating_sub(*received_us) < station.replaced_after_us(glance) {
                return false;
            }
            self.by_id.remove(station_id);
            self.room.candidates.pop_front();
            self.has_more = true;
            return true;
        }
        false
    }
}

impl StationMemory {
    /// Returns how long this station must have been silent to make room for one that sends `glance`.
    fn replaced_after_us(&self, glance: &Glance) -> i64 {
        let is_weak = !self.is_established() && !self.has_recent_anomalies();
        if is_weak && glance.is_anomaly { ANOMALY_NEEDS_ROOM_US } else { MAKES_ROOM_AFTER_US }
    }
}

/// The stations that can make room, so that not all of them have to be looked at for each event.
#[derive(Debug, Default)]
struct Room {
    /// When each was last heard of, and its name; the first to go first.
    candidates: VecDeque<(i64, StationId)>,
    /// When all stations were last looked at; `None` before that.
    searched_us: Option<i64>,
}

impl Room {
    /// Stations that are found at once.
    const CANDIDATES_MAX: usize = 1_024;
    /// Time between two searches.
    const PAUSE_US: u64 = 1_000_000;

    /// Returns `true` if it is time to look at all stations, in either direction of the clock.
    fn is_due(&self, now_us: i64) -> bool {
        let is_long_ago = |searched_us: i64| now_us.abs_diff(searched_us) >= Self::PAUSE_US;
        self.searched_us.is_none_or(is_long_ago)
    }

    fn find(&mut self, by_id: &BTreeMap<StationId, StationMemory>, now_us: i64) {
        self.searched_us = Some(now_us);
        let mut silent: Vec<_> = by_id
            .iter()
            .filter(|(_, station)| {
                now_us.saturating_sub(station.received_us()) >= ANOMALY_NEEDS_ROOM_US
            })
            .map(|(id, station)| {
                let standing = (station.is_established(), station.has_recent_anomalies());
                (standing, station.received_us(), id)
            })
            .collect();
        silent.sort_unstable();
        let first = silent.into_iter().take(Self::CANDIDATES_MAX);
        self.candidates = first.map(|(_, received_us, id)| (received_us, id.clone())).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn station(name: &str) -> StationId {
        StationId::parse(name).unwrap()
    }

    fn arrive(fleet: &mut Fleet, name: &str, second: i64, is_anomaly: bool) {
        let time_us = second * SECOND_US;
        let anomaly_score = if is_anomaly { 0.7 } else { 0.4 };
        let glance = Glance {
            timestamp_us: time_us,
            received_us: time_us,
            anomaly_score,
            is_anomaly,
            alarm: None,
        };
        fleet.note(&Arrival { station_id: station(name), glance });
    }

    fn state_of(fleet: &mut Fleet, name: &str, second: i64) -> Option<StationState> {
        fleet.snapshot(second * SECOND_US).station(&station(name)).map(|station| station.state)
    }

    #[test]
    fn a_station_is_normal_anomalous_or_silent() {
        let mut fleet = Fleet::default();
        for second in 0..30 {
            arrive(&mut fleet, "a", second, false);
            arrive(&mut fleet, "b", second, second >= 20);
            if second < 15 {
                arrive(&mut fleet, "c", second, false);
            }
        }
        let now = fleet.snapshot(30 * SECOND_US);
        assert_eq!(
            now.counts,
            Counts { normal: 1, anomaly: 1, silent: 1, sick: 1, ..Counts::default() }
        );
        let states: Vec<_> = now.stations.iter().map(|station| station.state).collect();
        assert_eq!(states, [StationState::Normal, StationState::Anomaly, StationState::Silent]);
        assert_eq!(now.stations[1].since_us, Some(20 * SECOND_US));
        assert_eq!((now.stations[1].n_recent_anomalies, now.stations[1].n_recent), (10, 20));
        assert_eq!(now.newest_us, Some(29 * SECOND_US));
        // Silence does not heal a sick station, for an hour.
        let mut silent = |second: i64| fleet.snapshot(second * SECOND_US).counts.silent;
        assert_eq!((silent(90), silent(29 + 3_600), silent(29 + 3_601)), (2, 2, 3));
    }

    #[test]
    fn a_single_alarm_passes() {
        let mut fleet = Fleet::default();
        for second in 0..40 {
            arrive(&mut fleet, "a", second, second == 30);
            let state = state_of(&mut fleet, "a", second).unwrap();
            let is_expected = (30..35).contains(&second);
            assert_eq!(state == StationState::Anomaly, is_expected, "{second}: {state:?}");
        }
    }

    #[test]
    fn urgent_news_is_due_at_once_and_the_rest_now_and_then() {
        let mut fleet = Fleet::default();
        let due = |fleet: &mut Fleet, second: i64, since_last_ms: u64| {
            let is_due = fleet.is_due(second * SECOND_US, Duration::from_millis(since_last_ms));
            is_due.then(|| fleet.snapshot(second * SECOND_US).number)
        };
        assert_eq!(due(&mut fleet, 0, 0), None, "nothing has happened");
        assert_eq!(due(&mut fleet, 0, 10_000), Some(1), "but time goes by");
        arrive(&mut fleet, "a", 1, false);
        assert_eq!(due(&mut fleet, 1, 0), Some(2), "a new station");
        arrive(&mut fleet, "a", 2, false);
        assert_eq!(due(&mut fleet, 2, 500), None, "another event");
        assert_eq!(due(&mut fleet, 2, 1_000), Some(3), "another event, a second later");
        arrive(&mut fleet, "a", 3, true);
        assert_eq!(due(&mut fleet, 3, 0), Some(4), "an anomaly");
        assert_eq!(due(&mut fleet, 60, 0), Some(5), "silence");
        assert_eq!(due(&mut fleet, 61, 0), None);
        let station = fleet.snapshot(61 * SECOND_US).stations[0].clone();
        assert_eq!((station.arrived, station.changed), (4, 5));
    }

    #[test]
    fn stations_beyond_the_bound_are_not_followed() {
        let mut fleet = Fleet::default();
        arrive(&mut fleet, "first", 0, true);
        for number in 1..=Fleet::STATIONS_MAX {
            arrive(&mut fleet, &format!("s{number}"), 1, false);
        }
        let now = fleet.snapshot(SECOND_US);
        assert_eq!((now.counts.total(), now.has_more), (Fleet::STATIONS_MAX, true));
        // A station that was silent for long makes room for another, and sooner for an anomaly if it
        // has none itself.
        arrive(&mut fleet, "ill", 12, true);
        assert!(state_of(&mut fleet, "ill", 12).is_some());
        assert!(state_of(&mut fleet, "first", 12).is_some());
        arrive(&mut fleet, "late", 2 * 3_600, false);
        assert!(state_of(&mut fleet, "late", 12).is_some());
        assert_eq!(fleet.snapshot(SECOND_US).counts.total(), Fleet::STATIONS_MAX);
    }

    /// Seen to fail with room that is made by silence alone: the stations of the plant were forgotten.
    #[test]
    fn invented_names_replace_each_other_and_no_station_of_the_plant() {
        let mut fleet = Fleet::default();
        for second in 0..30 {
            arrive(&mut fleet, "press", second, false);
        }
        for round in 0..5 {
            for number in 0..Fleet::STATIONS_MAX {
                arrive(
                    &mut fleet,
                    &format!("invented-{round}-{number}"),
                    30 + 11 * round,
                    round % 2 == 1,
                );
            }
        }
        assert!(state_of(&mut fleet, "press", 90).is_some());
        // A new station comes in, although all is full of invented names with anomalies.
        arrive(&mut fleet, "new", 4_000, true);
        assert!(state_of(&mut fleet, "new", 4_000).is_some());
        assert!(state_of(&mut fleet, "press", 4_000).is_some());
    }

    #[test]
    fn a_station_that_is_gone_is_forgotten_after_a_week() {
        let mut fleet = Fleet::default();
        arrive(&mut fleet, "gone", 0, true);
        arrive(&mut fleet, "here", 7 * 86_400, false);
        fleet.forget_old(7 * 86_400 * SECOND_US);
        assert!(state_of(&mut fleet, "gone", 0).is_none());
        assert!(state_of(&mut fleet, "here", 0).is_some());
    }

    #[test]
    fn wrong_clocks_freeze_nothing() {
        let mut fleet = Fleet::default();
        let arrive_with = |fleet: &mut Fleet, timestamp_s: i64, received_s: i64, score: f64| {
            let glance = Glance {
                timestamp_us: timestamp_s * SECOND_US,
                received_us: received_s * SECOND_US,
                anomaly_score: score,
                is_anomaly: false,
                alarm: None,
            };
            fleet.note(&Arrival { station_id: station("a"), glance });
        };
        // The clock of the station is 23 hours ahead, once.
        arrive_with(&mut fleet, 100_000, 17_000, 0.3);
        arrive_with(&mut fleet, 17_001, 17_001, 0.4);
        let snapshot = fleet.snapshot(17_002 * SECOND_US);
        let now = snapshot.station(&station("a")).unwrap();
        assert_eq!((now.latest.anomaly_score, now.latest.received_us), (0.4, 17_001 * SECOND_US));
        assert_eq!(snapshot.newest_us, Some(17_001 * SECOND_US));
        let strip = now.strip.before(17_002 * SECOND_US);
        assert!(strip.0[119].score().is_some());

        // The clock of the server is set back by an hour.
        for second in 0..20 {
            arrive_with(&mut fleet, 13_400 + second, 13_400 + second, 0.4);
        }
        assert_eq!(fleet.snapshot(13_420 * SECOND_US).rates.events_per_second, 1.0);
        assert_eq!(state_of(&mut fleet, "a", 13_420), Some(StationState::Normal));
        assert_eq!(state_of(&mut fleet, "a", 13_431), Some(StationState::Silent));
    }
}
