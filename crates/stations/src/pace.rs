//! The rates at which events arrive.

use sensor::Glance;

/// The number of seconds that are remembered.
const N_SECONDS: u8 = 64;
/// The seconds that the rate of events is averaged over.
const RATE_S: i64 = 10;
/// The seconds that anomalies are counted over.
const MINUTE_S: i64 = 60;

/// Events that arrive later than this count at their arrival.
const LATE_MAX_US: i64 = 3_600_000_000;

/// Counts what arrived in each of the last seconds.
#[derive(Debug)]
pub(crate) struct Pace {
    seconds: [OneSecond; N_SECONDS as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct OneSecond {
    /// Seconds since 1970.
    number: i64,
    /// Events that arrived.
    n_events: u64,
    /// Events, and anomalies among them, that count in this second.
    n_counted: u64,
    n_anomalies: u64,
}

/// The rates at which events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// Events a second over the last ten seconds.
    pub events_per_second: f64,
    /// Anomalies of the last minute, by the time of measurement.
    pub anomalies_per_minute: u64,
    /// Events of the last minute.
    pub events_per_minute: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { seconds: [OneSecond::default(); N_SECONDS as usize] }
    }
}

impl Pace {
    /// Takes in an event; of a backlog, only that it arrived.
    pub(crate) fn note(&mut self, glance: &Glance, is_backlog: bool) {
        self.count(glance.received_us, |second| second.n_events += 1);
        if is_backlog {
            return;
        }
        // A backlog of the last hour is no news of this minute. An older recording counts as it comes.
        let late_us = glance.received_us - glance.timestamp_us;
        let is_late = (0..=LATE_MAX_US).contains(&late_us);
        let when_us = if is_late { glance.timestamp_us } else { glance.received_us };
        // Its second has been reused.
        if glance.received_us - when_us > MINUTE_S * 1_000_000 {
            return;
        }
        self.count(when_us, |second| {
            second.n_counted += 1;
            second.n_anomalies += u64::from(glance.is_anomaly);
        });
    }

    /// Counts in the second of a time, unless that second is forgotten.
    fn count(&mut self, time_us: i64, count: impl FnOnce(&mut OneSecond)) {
        let number = time_us.div_euclid(1_000_000);
        let slot = usize::try_from(number.rem_euclid(N_SECONDS.into())).expect("it is a remainder");
        let place = &mut self.seconds[slot];
        // A second that lies far ahead comes from a wrong clock.
        let ahead = place.number - number;
        if (1..=N_SECONDS.into()).contains(&ahead) {
            return;
        }
        if ahead != 0 {
            *place = OneSecond { number, ..OneSecond::default() };
        }
        count(place);
    }

    pub(crate) fn rates(&self, now_us: i64) -> Rates {
        let now = now_us.div_euclid(1_000_000);
        // The present second is not over, and would make the rate too small.
        let of_last = |n_seconds: i64| {
            let within = now - n_seconds..now;
            self.seconds.iter().filter(move |place| within.contains(&place.number))
        };
        let n_events: u64 = of_last(RATE_S).map(|place| place.n_events).sum();
        let minute = now - MINUTE_S + 1..=now;
        let of_minute = || self.seconds.iter().filter(|place| minute.contains(&place.number));
        Rates {
            events_per_second: n_events as f64 / RATE_S as f64,
            anomalies_per_minute: of_minute().map(|place| place.n_anomalies).sum(),
            events_per_minute: of_minute().map(|place| place.n_counted).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_seconds() {
        let mut pace = Pace::default();
        for index in 0..1_000 {
            // Ten events a second, every hundredth an anomaly.
            let received_us = 1_700_000_000_000_000 + index * 100_000;
            let is_anomaly = index % 100 == 99;
            let glance = Glance {
                timestamp_us: 0,
                received_us,
                anomaly_score: 0.5,
                is_anomaly,
                alarm: None,
            };
            pace.note(&glance, false);
        }
        let end_us = 1_700_000_000_000_000 + 100_000_000;
        let expected =
            Rates { events_per_second: 10.0, anomalies_per_minute: 6, events_per_minute: 590 };
        let rates = pace.rates(end_us);
        assert_eq!(rates, expected);
        assert_eq!(pace.rates(end_us + 5_000_000).events_per_second, 5.0);
        assert_eq!(pace.rates(end_us + 100_000_000), Rates::default());

        let anomaly = |timestamp_us| Glance {
            timestamp_us,
            received_us: end_us,
            anomaly_score: 0.7,
            is_anomaly: true,
            alarm: None,
        };
        for late_s in 60..700 {
            pace.note(&anomaly(end_us - late_s * 1_000_000), false);
        }
        assert_eq!(pace.rates(end_us), expected, "a backlog is no news and takes no place");
        pace.note(&anomaly(0), false);
        assert_eq!(pace.rates(end_us).anomalies_per_minute, 7, "a recording");
    }
}
