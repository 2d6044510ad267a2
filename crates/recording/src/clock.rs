//! The clock of a place: the times that it shows, as times of the world.

use std::collections::BTreeMap;

use chrono::{DateTime, LocalResult, TimeZone as _};
use chrono_tz::Tz;
use sensor::StationId;

use crate::time::Time;

/// With steps from here on, an hour that a clock shows twice may have one row each time.
const HALF_AN_HOUR_US: i64 = 1_800_000_000;

/// Local times of one file, which are read in the order of its rows.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// The place; `None` for UTC.
    timezone: Option<Tz>,
    /// The last times of each station.
    last: BTreeMap<StationId, Last>,
}

#[derive(Debug, Clone, Copy)]
struct Last {
    time_us: i64,
    /// The time since the one before.
    step_us: i64,
}

impl Clock {
    pub(crate) fn new(timezone: Option<Tz>) -> Self {
        Self { timezone, last: BTreeMap::new() }
    }

    /// Returns the time of the next row of a station in microseconds since 1970 (UTC); `None` for a time that a clock of the place
    /// never shows, since it is put forward.
    ///
    /// An hour that it shows twice is the first one, until the times of the station go back by half an hour or more.
    pub(crate) fn utc_us(&mut self, time: Time, station_id: &StationId) -> Option<i64> {
        let Some(timezone) = self.timezone else { return Some(time.us) };
        let time_us =
            if time.is_local { self.of_place(timezone, time.us, station_id)? } else { time.us };
        let step_us = self.last.get(station_id).map_or(0, |last| time_us - last.time_us);
        match self.last.get_mut(station_id) {
            Some(last) => *last = Last { time_us, step_us },
            None => drop(self.last.insert(station_id.clone(), Last { time_us, step_us })),
        }
        Some(time_us)
    }

    fn of_place(&self, timezone: Tz, shown_us: i64, station_id: &StationId) -> Option<i64> {
        let shown = DateTime::from_timestamp_micros(shown_us)?.naive_utc();
        match timezone.from_local_datetime(&shown) {
            LocalResult::None => None,
            LocalResult::Single(time) => Some(time.timestamp_micros()),
            LocalResult::Ambiguous(first, second) => {
                let [first_us, second_us] = [first, second].map(|time| time.timestamp_micros());
                let is_second = self.last.get(station_id).is_some_and(|last| {
                    let is_again = first_us == last.time_us && last.step_us >= HALF_AN_HOUR_US;
                    // A row that comes a little late is no second hour, and rows are rarely an hour late.
                    let goes_back = first_us + HALF_AN_HOUR_US <= last.time_us;
                    let is_near = last.time_us < second_us + 2 * HALF_AN_HOUR_US;
                    goes_back && is_near || is_again
                });
                Some(if is_second { second_us } else { first_us })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the hours and minutes in UTC of times that a clock in Berlin shows on a day, at two stations that take turns.
    fn in_utc(day: &str, shown: &[&str]) -> Vec<Option<String>> {
        let stations = ["a", "b"].map(|name| StationId::parse(name).unwrap());
        let mut clock = Clock::new(Some(chrono_tz::Europe::Berlin));
        let mut times = Vec::new();
        for shown in shown {
            let us = sensor::timestamp::parse(&format!("{day}T{shown}:00Z")).unwrap();
            let both = stations.each_ref().map(|station| {
                clock.utc_us(Time { us, is_local: true }, station).map(sensor::timestamp::format)
            });
            assert_eq!(both[0], both[1]);
            times.push(both[0].as_ref().and_then(|time| time.get(11..16)).map(String::from));
        }
        times
    }

    #[test]
    fn an_hour_that_comes_twice_is_the_first_until_times_go_back() {
        let expected = |times: &[&str]| -> Vec<Option<String>> {
            times.iter().map(|time| Some(String::from(*time))).collect()
        };
        let autumn = "2025-10-26";
        assert_eq!(
            in_utc(autumn, &["01:30", "02:00", "02:30", "02:00", "02:00", "02:30", "03:00"]),
            expected(&["23:30", "00:00", "00:30", "01:00", "01:00", "01:30", "02:00"])
        );
        assert_eq!(
            in_utc(autumn, &["01:00", "02:00", "02:00", "03:00"]),
            expected(&["23:00", "00:00", "01:00", "02:00"])
        );
        // Rows of a clock that is read several times a second.
        assert_eq!(
            in_utc(autumn, &["02:15", "02:15", "02:16"]),
            expected(&["00:15", "00:15", "00:16"])
        );
        // A row that comes late.
        assert_eq!(
            in_utc(autumn, &["02:11", "02:10", "02:59", "02:10", "02:09"]),
            expected(&["00:11", "00:10", "00:59", "01:10", "01:09"])
        );
        // Another night before it says nothing of this one.
        assert_eq!(in_utc(autumn, &["09:00", "02:15"]), expected(&["08:00", "00:15"]));
    }

    #[test]
    fn an_hour_that_is_left_out_is_no_time() {
        let spring = in_utc("2025-03-30", &["01:59", "02:30", "03:00"]);
        assert_eq!(spring, [Some(String::from("00:59")), None, Some(String::from("01:00"))]);
    }

    #[test]
    fn what_says_its_offset_is_what_it_says() {
        let station_id = StationId::parse("a").unwrap();
        let time = Time { us: 7, is_local: false };
        assert_eq!(Clock::new(Some(chrono_tz::Asia::Tokyo)).utc_us(time, &station_id), Some(7));
        assert_eq!(Clock::new(None).utc_us(Time { us: 7, is_local: true }, &station_id), Some(7));
    }
}
