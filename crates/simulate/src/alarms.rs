//! Alarms in time order against the truth: the faults that were found, how soon, and the false alarms.

use std::collections::HashMap;

use sensor::{AlarmState, StationId};
use serde::Serialize;
use wording::{counted, grouped, readable};

use crate::client::Alarm;
use crate::source::Message;

/// An alarm that opens as late after a fault is because of it: that is how many events an alarm looks at.
const AT_FAULT: u32 = 5;
/// Faults of fewer events open no alarm: three of the last five events have to be surprising.
const FAULT_EVENTS_MIN: u32 = 3;
const US_OF_DAY: f64 = 86_400e6;

/// Alarms in time order, as the answers told.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Alarms {
    /// Events from which stations learned what is usual.
    pub taught: u64,
    /// Events by which stations were watched.
    pub watched: u64,
    /// Alarms that opened.
    pub opened: u64,
    /// Those that opened with an anomalous event, or within a few events after one; 0 where the truth is not known.
    pub opened_at_faults: u64,
    /// Faults of three events and more that ended, at stations that were watched.
    pub faults: u64,
    /// Those at which an alarm opened.
    pub faults_found: u64,
    /// Events of half of the faults found, at most, until their alarm opened; null when none was found.
    pub median_delay_events: Option<u32>,
    /// The time for which stations were watched, by the times of their events; of all together, in days.
    pub station_days: f64,
    /// Alarms that the server lets open at a station in a day; null when it does not say.
    pub allowed_a_day: Option<f64>,
    #[serde(skip)]
    by_station: HashMap<StationId, AtStation>,
    /// For each fault found, its events until the alarm opened.
    #[serde(skip)]
    delays: Vec<u32>,
}

/// The last answers about a station.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct AtStation {
    episode_id: Option<u32>,
    last_us: Option<i64>,
    fault: Option<SeenFault>,
}

/// A fault that lasts, or ended just before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenFault {
    cause: Option<String>,
    n_events: u32,
    /// Events since it ended.
    n_since: u32,
    /// Its events until an alarm opened.
    found_after: Option<u32>,
}

impl Alarms {
    /// Notes what the server says of the station of an event that it stored.
    pub(crate) fn note(&mut self, message: &Message, alarm: Alarm) {
        match alarm.state {
            AlarmState::Late => return,
            AlarmState::Learning => {
                self.taught += 1;
                return;
            }
            _ => self.watched += 1,
        }
        let at = self.by_station.entry(message.station_id.clone()).or_default();
        let passed_us = |now_us: i64| at.last_us.map_or(0, |last_us| now_us - last_us);
        self.station_days += message.timestamp_us.map_or(0, passed_us) as f64 / US_OF_DAY;
        at.last_us = message.timestamp_us;

        let ended = at.note_truth(message);
        if alarm.state == AlarmState::Open && alarm.episode_id != at.episode_id {
            at.episode_id = alarm.episode_id;
            self.opened += 1;
            self.opened_at_faults += u64::from(at.fault.is_some());
            if let Some(fault) = &mut at.fault {
                fault.found_after.get_or_insert(fault.n_events + fault.n_since);
            }
        }
        self.count(ended);
    }

    /// Counts the faults that last.
    pub(crate) fn end(&mut self) {
        let open: Vec<_> = self.by_station.values_mut().map(|at| at.fault.take()).collect();
        for fault in open {
            self.count(fault);
        }
    }

    fn count(&mut self, fault: Option<SeenFault>) {
        let Some(fault) = fault.filter(|fault| fault.n_events >= FAULT_EVENTS_MIN) else { return };
        self.faults += 1;
        if let Some(delay) = fault.found_after {
            self.faults_found += 1;
            let place = self.delays.partition_point(|earlier| *earlier <= delay);
            self.delays.insert(place, delay);
            self.median_delay_events = Some(self.delays[self.delays.len() / 2]);
        }
    }

    /// Returns the number a day at each station.
    fn rate(&self, n_alarms: u64) -> String {
        readable(n_alarms as f64 / self.station_days, 2)
    }

    /// Describes them, line by line; nothing before a station was watched.
    pub(crate) fn in_words(&self, has_truth: bool) -> Vec<String> {
        if self.watched == 0 {
            return Vec::new();
        }
        // A rate of less than a day would only puzzle.
        let a_day = |n_alarms: u64| match self.allowed_a_day {
            _ if self.station_days < 1.0 => String::new(),
            None => format!(", {} a day at each station", self.rate(n_alarms)),
            Some(allowed) => {
                let allowed = readable(allowed, 3);
                format!(", {} a day at each station where {allowed} may open", self.rate(n_alarms))
            }
        };
        let mut lines = Vec::new();
        if self.faults > 0 {
            let [found, faults] =
                [self.faults_found, self.faults].map(|count| grouped(count as f64));
            let soon = self.median_delay_events.map_or(String::new(), |delay| {
                format!(", half of them within {}", counted(u64::from(delay), "event"))
            });
            lines.push(format!(
                "{found} of {faults} faults of {FAULT_EVENTS_MIN} events and more found in time order{soon}"
            ));
        }
        let (n_alarms, of) = if has_truth {
            (self.opened - self.opened_at_faults, "false alarm")
        } else {
            (self.opened, "alarm")
        };
        lines.push(format!("{} in time order{}", counted(n_alarms, of), a_day(n_alarms)));
        if self.taught > 0 {
            let [taught, watched] = [self.taught, self.watched].map(|count| grouped(count as f64));
            lines.push(format!(
                "stations learned from {taught} events and were watched for {watched}"
            ));
        }
        lines
    }
}

impl AtStation {
    /// Notes if an event is of a fault, and returns the fault that ended.
    fn note_truth(&mut self, message: &Message) -> Option<SeenFault> {
        let is_fault = message.is_anomaly == Some(true);
        match &mut self.fault {
            Some(fault) if is_fault && fault.n_since == 0 && fault.cause == message.cause => {
                fault.n_events += 1;
                None
            }
            Some(fault) if !is_fault && fault.n_since < AT_FAULT => {
                fault.n_since += 1;
                None
            }
            _ => {
                let cause = message.cause.clone();
                let begun = SeenFault { cause, n_events: 1, n_since: 0, found_after: None };
                std::mem::replace(&mut self.fault, is_fault.then_some(begun))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(alarms: &mut Alarms, second: u32, is_fault: bool, episode_id: Option<u32>) {
        let message = Message {
            station_id: StationId::parse("press").unwrap(),
            sequence: second.into(),
            place: None,
            timestamp_us: Some(i64::from(second) * 3_600_000_000),
            features: [("heat", Some(1.0))].into_iter().collect(),
            is_anomaly: Some(is_fault),
            cause: is_fault.then(|| String::from("drift")),
        };
        let state = if episode_id.is_some() { AlarmState::Open } else { AlarmState::Watching };
        alarms.note(&message, Alarm { state, episode_id });
    }

    #[test]
    fn faults_are_found_by_alarms_and_other_alarms_are_false() {
        let mut alarms = Alarms { allowed_a_day: Some(1.0), ..Alarms::default() };
        let is_fault = |hour: u32| {
            (10..14).contains(&hour)
                || (30..35).contains(&hour)
                || hour == 60
                || (72..76).contains(&hour)
        };
        let episode = |hour: u32| match hour {
            // Found by its fourth event.
            13..18 => Some(1),
            // One that nothing explains, and during which a third fault begins.
            70..75 => Some(2),
            _ => None,
        };
        (0..97).for_each(|hour| note(&mut alarms, hour, is_fault(hour), episode(hour)));
        alarms.end();
        assert_eq!((alarms.faults, alarms.faults_found), (3, 1));
        assert_eq!((alarms.opened, alarms.opened_at_faults), (2, 1));
        assert_eq!(alarms.median_delay_events, Some(4));
        assert!((alarms.station_days - 4.0).abs() < 1e-9);
        assert_eq!(
            alarms.in_words(true),
            [
                "1 of 3 faults of 3 events and more found in time order, half of them within 4 events",
                "1 false alarm in time order, 0.25 a day at each station where 1 may open"
            ]
        );
    }

    #[test]
    fn an_alarm_just_after_a_fault_has_found_it_and_one_at_the_end_counts() {
        let mut alarms = Alarms::default();
        let episode = |hour: u32| (hour >= 16).then_some(1);
        (0..18).for_each(|hour| note(&mut alarms, hour, (10..14).contains(&hour), episode(hour)));
        alarms.end();
        assert_eq!((alarms.faults, alarms.faults_found, alarms.opened_at_faults), (1, 1, 1));
        assert_eq!(alarms.median_delay_events, Some(7));
    }
}
