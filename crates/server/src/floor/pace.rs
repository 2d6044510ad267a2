//! How fast events arrive.

use store::Glance;

/// Seconds that are remembered.
const N_SECONDS: u8 = 64;
/// Seconds that rates of events are made of.
const RATE_S: i64 = 10;
/// Seconds that anomalies are counted over.
const MINUTE_S: i64 = 60;

/// What arrived in each of the last seconds.
#[derive(Debug)]
pub(super) struct Pace {
    seconds: [OneSecond; N_SECONDS as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct OneSecond {
    /// Which second since 1970.
    number: i64,
    n_events: u64,
    n_anomalies: u64,
}

/// How fast events arrive.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rates {
    /// Events a second, over the last ten.
    pub(crate) events_per_second: f64,
    /// Anomalies of the last minute.
    pub(crate) anomalies_per_minute: u64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { seconds: [OneSecond::default(); N_SECONDS as usize] }
    }
}

impl Pace {
    pub(super) fn note(&mut self, glance: &Glance) {
        let number = glance.received_us.div_euclid(1_000_000);
        let slot = usize::try_from(number.rem_euclid(N_SECONDS.into())).expect("it is a remainder");
        let place = &mut self.seconds[slot];
        if number < place.number {
            return;
        }
        if number > place.number {
            *place = OneSecond { number, ..OneSecond::default() };
        }
        place.n_events += 1;
        place.n_anomalies += u64::from(glance.is_anomaly);
    }

    pub(super) fn rates(&self, now_us: i64) -> Rates {
        let now = now_us.div_euclid(1_000_000);
        // The present second is not over, and would make the rate too small.
        let of_last = |n_seconds: i64| {
            let within = now - n_seconds..now;
            self.seconds.iter().filter(move |place| within.contains(&place.number))
        };
        let n_events: u64 = of_last(RATE_S).map(|place| place.n_events).sum();
        let is_of_minute = now - MINUTE_S + 1..=now;
        let of_minute = self.seconds.iter().filter(|place| is_of_minute.contains(&place.number));
        Rates {
            events_per_second: n_events as f64 / RATE_S as f64,
            anomalies_per_minute: of_minute.map(|place| place.n_anomalies).sum(),
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
            pace.note(&Glance { timestamp_us: 0, received_us, anomaly_score: 0.5, is_anomaly });
        }
        let end_us = 1_700_000_000_000_000 + 100_000_000;
        let rates = pace.rates(end_us);
        assert_eq!(rates, Rates { events_per_second: 10.0, anomalies_per_minute: 6 });
        assert_eq!(pace.rates(end_us + 5_000_000).events_per_second, 5.0);
        assert_eq!(pace.rates(end_us + 100_000_000), Rates::default());
    }
}
