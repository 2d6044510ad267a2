//! Times, states and links as pages write them.

use std::time::Duration;

use form_urlencoded::byte_serialize;
use pipeline::Origin;
use sensor::{
    Alarm, AlarmState, AlarmView, SensorFault, SensorFaultKind, StationId, Surprise, timestamp,
};
use wording::{duration, grouped, readable, rounded};

use stations::{AlarmTally, Concern, StationNow, StationState};

/// A moment: for machines, and for people who have no script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) iso: String,
    pub(crate) text: String,
}

impl Moment {
    pub(crate) fn of(timestamp_us: i64) -> Self {
        let iso = timestamp::format(timestamp_us);
        let to_second = iso.split(['.', 'Z']).next().unwrap_or_default();
        Self { text: format!("{} UTC", to_second.replacen('T', " ", 1)), iso }
    }
}

/// The present run of a station's anomalies, or its open alarm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) is_alarm: bool,
    pub(crate) since: Moment,
    pub(crate) lasting: String,
}

impl Run {
    /// Returns the run of a station that is anomalous now: a single anomaly of a while ago is none.
    pub(crate) fn of(station: &StationNow, now_us: i64) -> Option<Self> {
        let alarm =
            station.alarm.filter(|alarm| alarm.state == AlarmState::Open && station.is_sick());
        let opened_us = alarm.and_then(|alarm| alarm.opened_us);
        let run_us = station.since_us.filter(|_| station.state == StationState::Anomaly);
        let since_us = opened_us.or(run_us)?;
        let (since, lasting) = (Moment::of(since_us), lasting(since_us, now_us));
        Some(Self { is_alarm: opened_us.is_some(), since, lasting })
    }
}

/// The age of something, which a script keeps counting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Age {
    pub(crate) seconds: i64,
    pub(crate) text: String,
}

impl Age {
    pub(crate) fn of(then_us: i64, now_us: i64) -> Self {
        Self { seconds: (now_us - then_us).max(0) / 1_000_000, text: ago(then_us, now_us) }
    }
}

/// Writes how long ago something was; a little of the future counts as now.
pub(crate) fn ago(then_us: i64, now_us: i64) -> String {
    format!("{} ago", lasting(then_us, now_us))
}

/// Writes how long something has lasted.
pub(crate) fn lasting(since_us: i64, now_us: i64) -> String {
    duration(Duration::from_micros(now_us.saturating_sub(since_us).try_into().unwrap_or(0)))
}

/// Returns the page of a station, from the root of all pages.
pub(crate) fn station_link(station_id: &StationId) -> String {
    format!("ui/stations/{}", in_url(station_id.as_str()))
}

/// Returns the page of an anomaly, from the root of all pages.
pub(crate) fn anomaly_link(id: i64) -> String {
    format!("ui/anomalies/{id}")
}

/// Returns a text as a part of a path or query.
pub(crate) fn in_url(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Describes the anomalies among the last events of a station.
pub(crate) fn of_last(station: &StationNow) -> String {
    match (station.n_recent_anomalies, station.n_recent) {
        (0, _) => String::from("none of its last events is an anomaly on its own"),
        (1, 1) => String::from("its only event is an anomaly"),
        (1, n_events) => format!("1 of its last {n_events} events is an anomaly"),
        (n, n_events) => format!("{n} of its last {n_events} events are anomalies"),
    }
}

/// Returns the state of a station in a word.
pub(crate) fn state_word(station: &StationNow) -> &'static str {
    match station.concern {
        Some(Concern::Sick) => "sick",
        Some(Concern::SensorFault) => "sensor fault",
        Some(Concern::Changed) => "changed",
        Some(Concern::Anomaly) | None => station.state.name(),
    }
}

/// Describes the alarm of a station in time order.
pub(crate) fn alarm_words(alarm: &Alarm) -> String {
    let Alarm { state, lesson, surprise, episode, sensor_fault: _ } = alarm;
    let strangest = surprise.as_ref().map_or_else(String::new, |surprise| {
        let view = match surprise.view {
            AlarmView::Joint => "values and their changes together",
            AlarmView::Relation => "it does not follow from the events before",
            AlarmView::Shape => "the shape of its last values",
        };
        format!(": {} is {} ({view})", surprise.feature, surprise.direction.name())
    });
    let at = episode
        .map_or_else(String::new, |episode| format!(" at {}", Moment::of(episode.opened_us).text));
    match state {
        AlarmState::Learning => {
            let (learnt, needed) =
                lesson.map_or((0, 0), |lesson| (lesson.events_learnt, lesson.events_to_learn));
            format!(
                "learning what is usual, {} of {} events",
                grouped(learnt.into()),
                grouped(needed.into())
            )
        }
        AlarmState::Watching => match surprise {
            Some(Surprise { surprise, threshold, .. }) => format!(
                "watching; the last event has a surprise of {}, and several above {} open an alarm",
                rounded(*surprise, 1),
                rounded(*threshold, 1)
            ),
            None => String::from("watching"),
        },
        AlarmState::Open => format!("an alarm opened{at}{strangest}"),
        AlarmState::Accepted => format!(
            "an alarm opened{at}, and its values have not returned; a further change opens another"
        ),
        AlarmState::BudgetSpent => {
            String::from("so many alarms opened that none can open for a while")
        }
        AlarmState::Late => String::from("the last event came late"),
    }
}

/// Describes the alarms of a station beside its budget.
pub(crate) fn tally_words(tally: AlarmTally) -> String {
    const DAY_US: f64 = 86_400e6;
    let AlarmTally { watched_us, n_opened, alarms_per_day } = tally;
    let watched = lasting(0, watched_us);
    let a_day = readable(alarms_per_day, 3);
    let allowed = alarms_per_day * watched_us as f64 / DAY_US;
    let budget = if allowed < 1.0 {
        format!("the budget is {a_day} a day")
    } else {
        format!("the budget is {} ({a_day} a day)", rounded(allowed, 0))
    };
    let opened = match n_opened {
        1 => String::from("1 alarm has opened"),
        n => format!("{} alarms have opened", grouped(n.into())),
    };
    format!("{opened} in {watched} of watching; {budget}")
}

/// Describes the sensor that fails.
pub(crate) fn sensor_fault_words(fault: &SensorFault) -> String {
    let SensorFault { feature, kind, since_us, n_features } = fault;
    let others = match n_features - 1 {
        0 => String::new(),
        1 => String::from(", and another sensor fails"),
        n => format!(", and {} other sensors fail", grouped(n.into())),
    };
    let since = Moment::of(*since_us).text;
    format!("the sensor of {feature} {} ({since}){others}", fault_words(*kind))
}

/// Describes how a sensor fails.
pub(crate) fn fault_words(kind: SensorFaultKind) -> &'static str {
    match kind {
        SensorFaultKind::Stuck => "is stuck",
        SensorFaultKind::Silent => "is silent",
        SensorFaultKind::Moves => "moves although it was constant",
        SensorFaultKind::AtLimit => "is at the end of its range",
        SensorFaultKind::Dropout => "has dropped out",
    }
}

/// Returns the symbol of a state, which can be recognised without colours.
pub(crate) fn symbol(state: StationState) -> &'static str {
    match state {
        StationState::Normal => "\u{25cf}",
        StationState::Anomaly => "\u{25b2}",
        StationState::Silent => "\u{25cb}",
    }
}

/// Returns the origin of a model in words.
pub(crate) fn origin_words(origin: Origin) -> &'static str {
    match origin {
        Origin::File => "trained",
        Origin::Starter => "a starter that knows only the simulated plant",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_to_the_second() {
        let moment = Moment::of(1_795_348_800_123_456);
        assert_eq!(moment.text, "2026-11-22 12:00:00 UTC");
        assert_eq!(moment.iso, "2026-11-22T12:00:00.123456Z");
        assert_eq!(ago(0, 61_000_000), "1 min ago");
        assert_eq!(ago(5, 0), "0 s ago");
        assert_eq!(in_url("a b/ü?"), "a%20b%2F%C3%BC%3F");
        let station_id = StationId::parse("hall:1.press").unwrap();
        assert_eq!(station_link(&station_id), "ui/stations/hall%3A1.press");
    }
}
