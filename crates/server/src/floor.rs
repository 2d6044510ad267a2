//! How the stations are right now: what the pages and their stream show.
//!
//! The writer tells of every prediction that it has stored ([`Floor::note`]); what was before the
//! start is read from the database ([`Floor::recall`]). Nothing here is needed to judge or to keep
//! an event: a server that forgets it all is as good as before.

mod pace;
mod recall;
mod station;
mod strip;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sensor::StationId;
use store::{Arrival, Glance};
use tokio::sync::watch;

use crate::clock::Clock;

use pace::Pace;
pub(crate) use pace::Rates;
pub(crate) use station::{State, StationNow};
use station::{StationPast, sick_from};
pub(crate) use strip::{STRIP_US, StripCell, StripCells};

/// Stations that are known one by one. More would make every look at the floor slow; they are
/// judged and kept like the others, and `GET /stations` lists them.
pub(crate) const STATIONS_MAX: usize = 10_000;
/// A station that was silent for so long is none any more: a week.
const FORGOTTEN_AFTER_US: i64 = 7 * 86_400_000_000;
/// Where there is no room for another station, one makes room that was silent for so long: an hour.
const MAKES_ROOM_AFTER_US: i64 = 3_600_000_000;
/// For a station with an anomaly, it is enough to be silent for so long: ten seconds.
const ANOMALY_NEEDS_ROOM_US: i64 = 10_000_000;
/// Time between two looks at whether somebody has to be told.
const LOOK_PAUSE: Duration = Duration::from_millis(250);
/// Stations are forgotten so often.
const TIDY_PAUSE: Duration = Duration::from_mins(1);
/// Time between two beats when nothing is urgent: numbers change all the time.
const CALM_PAUSE: Duration = Duration::from_secs(1);
/// Time between two beats when nothing happens, so that what is `5 s ago` does not stay so.
const IDLE_PAUSE: Duration = Duration::from_secs(10);

/// All stations as they are.
#[derive(Debug)]
pub(crate) struct Floor {
    stations: Mutex<Stations>,
    /// Rings for those who watch.
    bell: watch::Sender<Beat>,
    started_us: i64,
}

/// What those who watch are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Look: everything up to this beat is there to be seen.
    Look(u64),
    /// The server stops.
    Stop,
}

#[derive(Debug)]
struct Stations {
    by_id: BTreeMap<StationId, StationPast>,
    pace: Pace,
    /// The next beat: what happens now bears its number.
    beat: u64,
    has_changed: bool,
    /// Whether an anomaly has arrived, or the state of a station has changed.
    is_urgent: bool,
    /// The latest time of measuring.
    newest_us: Option<i64>,
    /// Whether stations were left out because there were too many.
    has_more: bool,
    /// Share of normal events that are called anomalous.
    alarm_rate: f64,
    /// How many anomalies among its recent events make a station sick.
    sick_from: u32,
}

/// How many stations are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) normal: usize,
    pub(crate) anomaly: usize,
    pub(crate) silent: usize,
    /// Of those with an anomaly, how many are sick.
    pub(crate) sick: usize,
}

impl Counts {
    pub(crate) fn total(self) -> usize {
        self.normal + self.anomaly + self.silent
    }

    fn add(&mut self, station: &StationNow) {
        self.sick += usize::from(station.is_sick);
        *match station.state {
            State::Normal => &mut self.normal,
            State::Anomaly => &mut self.anomaly,
            State::Silent => &mut self.silent,
        } += 1;
    }
}

/// The floor at a moment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FloorNow {
    pub(crate) counts: Counts,
    pub(crate) rates: Rates,
    pub(crate) newest_us: Option<i64>,
    /// Whether there are stations beside those that are known here.
    pub(crate) has_more: bool,
    /// The stations that were asked for, in the order of their names.
    pub(crate) stations: Vec<StationNow>,
}

impl Floor {
    pub(crate) fn new(started_us: i64) -> Self {
        let stations = Stations {
            by_id: BTreeMap::new(),
            pace: Pace::default(),
            beat: 1,
            has_changed: false,
            is_urgent: false,
            newest_us: None,
            has_more: false,
            alarm_rate: 0.0,
            sick_from: sick_from(0.0, 1),
        };
        let bell = watch::Sender::new(Beat::Look(0));
        Self { stations: Mutex::new(stations), bell, started_us }
    }

    /// Names this floor, so that beats of another one are not taken for its own.
    pub(crate) fn started_us(&self) -> i64 {
        self.started_us
    }

    /// Events are judged by a model that calls this share of those like its training anomalous.
    pub(crate) fn judged_at(&self, alarm_rate: f64) {
        let mut stations = self.lock();
        stations.alarm_rate = alarm_rate;
        stations.weigh();
    }

    /// Takes in what was stored.
    pub(crate) fn note(&self, arrivals: &[Arrival<'_>]) {
        if arrivals.is_empty() {
            return;
        }
        let mut stations = self.lock();
        for arrival in arrivals {
            stations.note(arrival);
        }
    }

    /// The floor at a moment, with those stations that `is_wanted` finds worth showing.
    pub(crate) fn now(&self, now_us: i64, is_wanted: impl Fn(&StationNow) -> bool) -> FloorNow {
        let stations = self.lock();
        let mut counts = Counts::default();
        let mut wanted = Vec::new();
        for (station_id, past) in &stations.by_id {
            let station = past.now(station_id, now_us, stations.sick_from);
            counts.add(&station);
            if is_wanted(&station) {
                wanted.push(station);
            }
        }
        FloorNow {
            counts,
            rates: stations.pace.rates(now_us),
            newest_us: stations.newest_us,
            has_more: stations.has_more,
            stations: wanted,
        }
    }

    /// One station at a moment, if it is known.
    pub(crate) fn station(&self, station_id: &StationId, now_us: i64) -> Option<StationNow> {
        let stations = self.lock();
        let past = stations.by_id.get(station_id);
        past.map(|past| past.now(station_id, now_us, stations.sick_from))
    }

    /// The latest time of measuring.
    pub(crate) fn newest_us(&self) -> Option<i64> {
        self.lock().newest_us
    }

    /// The hour before `until_us` of a station.
    pub(crate) fn strip(&self, station_id: &StationId, until_us: i64) -> StripCells {
        let stations = self.lock();
        let past = stations.by_id.get(station_id);
        past.map_or_else(StripCells::default, |past| past.strip(until_us))
    }

    /// The last beat: what bears a higher number may be seen by now in part.
    pub(crate) fn last_beat(&self) -> u64 {
        self.lock().beat - 1
    }

    /// A bell for somebody who watches from now on: what has happened until now belongs to a beat that
    /// is over.
    pub(crate) fn watch(&self) -> watch::Receiver<Beat> {
        self.lock().beat += 1;
        self.bell.subscribe()
    }

    /// Tells those who watch that there will be nothing more.
    pub(crate) fn stop(&self) {
        self.bell.send_replace(Beat::Stop);
    }

    /// Rings the bell whenever those who watch should look, as long as the server runs.
    pub(crate) async fn keep_beating(&self, clock: Clock) -> Infallible {
        let (mut rung, mut tidied) = (Instant::now(), Instant::now());
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            if tidied.elapsed() >= TIDY_PAUSE {
                tidied = Instant::now();
                self.lock().forget(clock());
            }
            if self.bell.receiver_count() == 0 {
                continue;
            }
            if let Some(beat) = self.lock().beat(clock(), rung.elapsed()) {
                rung = Instant::now();
                // A stop is the last thing that is told.
                self.bell.send_if_modified(|told| {
                    let goes_on = *told != Beat::Stop;
                    if goes_on {
                        *told = Beat::Look(beat);
                    }
                    goes_on
                });
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Stations> {
        // Each station is a value by itself, so a panic elsewhere leaves nothing half done.
        self.stations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stations {
    fn note(&mut self, arrival: &Arrival<'_>) {
        let Arrival { station_id, glance } = arrival;
        self.pace.note(glance);
        // Not the time of a station whose clock is ahead.
        self.newest_us = self.newest_us.max(Some(glance.timestamp_us.min(glance.received_us)));
        self.has_changed = true;
        if let Some(past) = self.by_id.get_mut(station_id) {
            self.is_urgent |= past.note(glance, self.beat, self.sick_from);
        } else if self.by_id.len() < STATIONS_MAX || self.make_room(glance) {
            let mut past = StationPast::new(glance);
            past.note(glance, self.beat, self.sick_from);
            self.by_id.insert((*station_id).clone(), past);
            self.weigh();
            self.is_urgent = true;
        } else {
            self.has_more = true;
        }
    }

    /// Says how many anomalies are no chance, of as many stations as there are.
    fn weigh(&mut self) {
        self.sick_from = sick_from(self.alarm_rate, self.by_id.len());
    }

    /// Forgets stations that were heard of very long ago.
    fn forget(&mut self, now_us: i64) {
        self.by_id.retain(|_, past| past.received_us() > now_us - FORGOTTEN_AFTER_US);
        self.weigh();
    }

    /// Forgets the station that was heard of longest ago, if that is long enough; an anomaly need not
    /// wait for its place, where that is of a station without any.
    fn make_room(&mut self, glance: &Glance) -> bool {
        let stations = self.by_id.iter();
        let heard_of = stations
            .filter(|(_, past)| !(glance.is_anomaly && past.has_recent_anomalies()))
            .map(|(id, past)| (past.received_us(), id));
        let Some((received_us, station_id)) = heard_of.min() else { return false };
        let after_us = if glance.is_anomaly { ANOMALY_NEEDS_ROOM_US } else { MAKES_ROOM_AFTER_US };
        let is_long = received_us < glance.received_us - after_us;
        if is_long {
            let station_id = station_id.clone();
            self.by_id.remove(&station_id);
            self.has_more = true;
        }
        is_long
    }

    /// The beat that it is time for, if it is.
    fn beat(&mut self, now_us: i64, since_last: Duration) -> Option<u64> {
        // Time makes stations silent, without anything arriving.
        for past in self.by_id.values_mut() {
            self.is_urgent |= past.look(now_us, self.beat, self.sick_from);
        }
        let is_time = self.is_urgent
            || (self.has_changed && since_last >= CALM_PAUSE)
            || since_last >= IDLE_PAUSE;
        if !is_time {
            return None;
        }
        (self.is_urgent, self.has_changed) = (false, false);
        self.beat += 1;
        Some(self.beat - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_US: i64 = 1_000_000;

    fn station(name: &str) -> StationId {
        StationId::parse(name).unwrap()
    }

    fn arrive(floor: &Floor, name: &str, second: i64, is_anomaly: bool) {
        let time_us = second * SECOND_US;
        let anomaly_score = if is_anomaly { 0.7 } else { 0.4 };
        let glance =
            Glance { timestamp_us: time_us, received_us: time_us, anomaly_score, is_anomaly };
        floor.note(&[Arrival { station_id: &station(name), glance }]);
    }

    #[test]
    fn a_station_is_normal_anomalous_or_silent() {
        let floor = Floor::new(0);
        for second in 0..30 {
            arrive(&floor, "a", second, false);
            arrive(&floor, "b", second, second >= 20);
            if second < 15 {
                arrive(&floor, "c", second, false);
            }
        }
        let now = floor.now(30 * SECOND_US, |_| true);
        assert_eq!(now.counts, Counts { normal: 1, anomaly: 1, silent: 1, sick: 1 });
        let states: Vec<_> = now.stations.iter().map(|station| station.state).collect();
        assert_eq!(states, [State::Normal, State::Anomaly, State::Silent]);
        assert_eq!(now.stations[1].since_us, Some(20 * SECOND_US));
        assert_eq!((now.stations[1].n_recent_anomalies, now.stations[1].n_recent), (10, 20));
        assert_eq!(now.newest_us, Some(29 * SECOND_US));
        // Silence does not heal a sick station, for an hour.
        let silent = |second: i64| floor.now(second * SECOND_US, |_| false).counts.silent;
        assert_eq!((silent(90), silent(29 + 3_600), silent(29 + 3_601)), (2, 2, 3));
    }

    #[test]
    fn an_alarm_that_stays_alone_passes() {
        let floor = Floor::new(0);
        for second in 0..40 {
            arrive(&floor, "a", second, second == 30);
            let state = floor.now(second * SECOND_US, |_| true).stations[0].state;
            let is_expected = (30..35).contains(&second);
            assert_eq!(state == State::Anomaly, is_expected, "{second}: {state:?}");
        }
    }

    #[test]
    fn a_beat_comes_at_once_for_what_is_urgent_and_otherwise_now_and_then() {
        let floor = Floor::new(0);
        let beat = |second: i64, since_last_ms: u64| {
            floor.lock().beat(second * SECOND_US, Duration::from_millis(since_last_ms))
        };
        assert_eq!(beat(0, 0), None, "nothing has happened");
        assert_eq!(beat(0, 10_000), Some(1), "but time goes by");
        arrive(&floor, "a", 1, false);
        assert_eq!(beat(1, 0), Some(2), "a new station");
        arrive(&floor, "a", 2, false);
        assert_eq!((beat(2, 500), beat(2, 1_000)), (None, Some(3)), "just another event");
        arrive(&floor, "a", 3, true);
        assert_eq!(beat(3, 0), Some(4), "an anomaly");
        assert_eq!(beat(60, 0), Some(5), "silence");
        assert_eq!(beat(61, 0), None);
        let station = floor.now(61 * SECOND_US, |_| true).stations[0].clone();
        assert_eq!((station.arrived, station.changed), (4, 5));
    }

    #[test]
    fn stations_beyond_the_bound_are_not_known_one_by_one() {
        let floor = Floor::new(0);
        arrive(&floor, "first", 0, true);
        for number in 1..=STATIONS_MAX {
            arrive(&floor, &format!("s{number}"), 1, false);
        }
        let now = floor.now(SECOND_US, |_| false);
        assert_eq!((now.counts.total(), now.has_more), (STATIONS_MAX, true));
        // One that was silent for long makes room for another, and sooner for an anomaly, if it has
        // none itself.
        arrive(&floor, "ill", 12, true);
        let is_known = |name: &str| floor.station(&station(name), 0).is_some();
        assert!(is_known("ill") && is_known("first"));
        arrive(&floor, "late", 2 * 3_600, false);
        assert!(floor.station(&station("late"), 0).is_some());
        assert_eq!(floor.now(SECOND_US, |_| false).counts.total(), STATIONS_MAX);
    }

    #[test]
    fn a_station_that_is_gone_is_forgotten_after_a_week() {
        let floor = Floor::new(0);
        arrive(&floor, "gone", 0, true);
        arrive(&floor, "here", 7 * 86_400, false);
        floor.lock().forget(7 * 86_400 * SECOND_US);
        assert!(floor.station(&station("gone"), 0).is_none());
        assert!(floor.station(&station("here"), 0).is_some());
    }

    #[test]
    fn wrong_clocks_freeze_nothing() {
        let floor = Floor::new(0);
        let name = station("a");
        let arrive_with = |timestamp_s: i64, received_s: i64, anomaly_score: f64| {
            let glance = Glance {
                timestamp_us: timestamp_s * SECOND_US,
                received_us: received_s * SECOND_US,
                anomaly_score,
                is_anomaly: false,
            };
            floor.note(&[Arrival { station_id: &name, glance }]);
        };
        // The clock of the station is 23 hours ahead, once.
        arrive_with(100_000, 17_000, 0.3);
        arrive_with(17_001, 17_001, 0.4);
        let now = floor.station(&name, 17_002 * SECOND_US).unwrap();
        assert_eq!((now.latest.anomaly_score, now.latest.received_us), (0.4, 17_001 * SECOND_US));
        assert_eq!(floor.newest_us(), Some(17_001 * SECOND_US));
        let strip = floor.strip(&name, 17_002 * SECOND_US);
        assert!(strip.0[119].score().is_some());

        // The clock of the server is set back by an hour.
        for second in 0..20 {
            arrive_with(13_400 + second, 13_400 + second, 0.4);
        }
        let now_us = 13_420 * SECOND_US;
        assert_eq!(floor.now(now_us, |_| true).rates.events_per_second, 1.0);
        assert_eq!(floor.station(&name, now_us).unwrap().state, State::Normal);
        assert_eq!(floor.station(&name, now_us + 11 * SECOND_US).unwrap().state, State::Silent);
    }
}
