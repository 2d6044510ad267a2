//! A simulated plant: stations that behave, and now and then do not.
//!
//! [`normal_events`] is what a model learns from. A [`Plant`] is an endless stream of
//! [`Message`]s, each with the [`Fault`] it was measured under, if any. A station's baseline and
//! rhythm follow from its number alone, so training and simulation meet the same factory; the seed
//! moves noise and faults.
//!
//! ```
//! use plant::{Plant, PlantParams};
//!
//! let plant = Plant::new(&PlantParams { anomaly_rate: 0.2, ..PlantParams::default() });
//! let n_faulty = plant.take(1_000).filter(|message| message.fault.is_some()).count();
//! assert!((100..300).contains(&n_faulty));
//! ```
//!
//! It reads no clock. The phase of a day comes from the number of the event.

mod behaviour;
mod change;
mod fault;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use sensor::{FeatureSchema, SensorEvent, StationId};

use crate::fault::Episode;

pub use behaviour::{EVENTS_A_DAY, N_FEATURES, NORMAL_DEVIATIONS, Station};
pub use fault::Fault;

/// Number of stations that [`normal_events`] come from.
pub const N_STATIONS: u32 = 16;

/// The number of [`normal_events`] that a model of this plant learns from: five whole days.
pub const TRAINING_EVENTS: usize = 10_000;

/// Parameters of a simulation.
#[derive(Debug, Clone, PartialEq)]
pub struct PlantParams {
    /// Number of stations; they take turns.
    pub n_stations: u32,
    /// Share of events that are measured under a fault, in the long run; 0 to 0.9.
    pub anomaly_rate: f64,
    /// A station that falls ill and stays so.
    pub worn: Option<WornStation>,
    /// `true` if stations change from day to day: they drift until they are maintained, make one product after another, and
    /// have less to do on the seventh day.
    pub changes: bool,
    /// Seed of noise and faults.
    pub seed: u64,
}

/// A station one of whose bearings wears out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WornStation {
    /// Its number, from 1.
    pub number: u32,
    /// The number of healthy events that it sends before.
    pub from_index: u64,
}

impl Default for PlantParams {
    /// Returns the first thirty events of this seed have a fault that stands out and one that does not yet.
    fn default() -> Self {
        Self { n_stations: 4, anomaly_rate: 0.1, worn: None, changes: false, seed: 115 }
    }
}

/// One measurement, and the truth about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Number of the station, from 1.
    pub station_number: u32,
    /// The number of events that the station has sent before.
    pub index: u64,
    /// Temperature in °C, humidity in %, sound in dB.
    pub values: [f64; N_FEATURES],
    /// The fault it was measured under.
    pub fault: Option<Fault>,
}

/// An endless stream of messages, the stations taking turns.
#[derive(Debug)]
pub struct Plant {
    stations: Vec<SimulatedStation>,
    next: usize,
    /// Chance that a healthy station falls into a fault with its next event.
    fault_chance: f64,
}

#[derive(Debug)]
struct SimulatedStation {
    station: Station,
    rng: ChaCha8Rng,
    index: u64,
    episode: Option<Episode>,
    /// The event with which a bearing begins to wear out.
    worn_from: Option<u64>,
}

impl Plant {
    /// The share of faulty events cannot be higher, since stations recover in between.
    pub const ANOMALY_RATE_MAX: f64 = 0.9;

    /// Starts a plant.
    ///
    /// # Panics
    ///
    /// Panics when there is no station, or the anomaly rate is not within its range.
    pub fn new(params: &PlantParams) -> Self {
        let &PlantParams { n_stations, anomaly_rate, worn, changes, seed } = params;
        assert!(n_stations > 0, "a plant has at least one station");
        assert!(
            (0.0..=Self::ANOMALY_RATE_MAX).contains(&anomaly_rate),
            "an anomaly rate is 0 to 0.9"
        );
        let stations = (1..=n_stations).map(|number| SimulatedStation {
            station: Station::new(number).changing(changes),
            rng: station_rng(seed, number),
            index: 0,
            episode: None,
            worn_from: worn.filter(|worn| worn.number == number).map(|worn| worn.from_index),
        });
        // With chance p, (1 - p) / p healthy events pass between faults of mean length L. They are
        // a share 1 - r of all for this p.
        let fault_chance = anomaly_rate / (anomaly_rate + Fault::mean_len() * (1.0 - anomaly_rate));
        Self { stations: stations.collect(), next: 0, fault_chance }
    }
}

impl Iterator for Plant {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        let current = self.next;
        self.next = (current + 1) % self.stations.len();
        let fault_chance = self.fault_chance;

        let SimulatedStation { station, rng, index, episode, worn_from } =
            &mut self.stations[current];
        let normal = station.normal_values(*index, rng);
        // A new fault can follow an old one at once, or high rates could not be reached.
        if episode.as_ref().is_none_or(Episode::is_over) {
            *episode = rng.random_bool(fault_chance).then(|| Episode::draw(rng));
        }
        if *worn_from == Some(*index) {
            *episode = Some(Episode::wear());
        }
        let (values, fault) = match episode {
            Some(episode) => (episode.apply(station, *index, normal), Some(episode.fault())),
            None => (normal, None),
        };
        let message = Message {
            station_number: station.number(),
            index: *index,
            values: values.map(rounded),
            fault,
        };
        *index += 1;
        Some(message)
    }
}

/// Returns `count` events without a fault, in order of time, from [`N_STATIONS`] stations in turn.
///
/// They begin at the turn of the year 2026 and are spread over the day as
/// [`EVENTS_A_DAY`] says: 10,000 of them cover five whole days.
pub fn normal_events(count: usize, seed: u64) -> Vec<SensorEvent> {
    let schema = FeatureSchema::default();
    let ids: Vec<StationId> = (1..=N_STATIONS).map(station_id).collect();
    let healthy =
        PlantParams { n_stations: N_STATIONS, anomaly_rate: 0.0, seed, ..PlantParams::default() };
    let plant = Plant::new(&healthy);
    plant
        .take(count)
        .map(|message| {
            let station_id = ids[message.station_number as usize - 1].clone();
            let timestamp_us = START_US + message.index.cast_signed() * EVENT_INTERVAL_US;
            schema
                .event(station_id, message.index, timestamp_us, &message.values)
                .expect("the plant obeys the laws of physics")
        })
        .collect()
}

/// Returns the name of the station with this number.
pub fn station_id(number: u32) -> StationId {
    StationId::parse(&format!("station_{number:03}")).expect("letters, an underscore and digits")
}

/// 2026-01-01T00:00:00Z.
const START_US: i64 = 1_767_225_600_000_000;
const EVENT_INTERVAL_US: i64 = 86_400_000_000 / EVENTS_A_DAY.cast_signed();

/// One stream of random numbers a station, so that another number of stations changes none.
fn station_rng(seed: u64, number: u32) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(number));
    rng
}

/// Sensors resolve hundredths. Rounding also hides the last bit of a platform's sine.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests;
