//! The behaviour of a healthy station.

use std::f64::consts::TAU;

use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StudentT};

use crate::change;

/// Temperature, humidity and sound.
pub const N_FEATURES: usize = 3;

/// Events that a station sends in a day of its plant.
pub const EVENTS_A_DAY: u64 = 125;

/// Standard deviations of the normal values of the whole plant: °C, %, dB.
///
/// The size of a fault is measured with them.
pub const NORMAL_DEVIATIONS: [f64; N_FEATURES] = [1.41, 1.74, 1.50];

/// Means over all stations.
const CENTRES: [f64; N_FEATURES] = [70.0, 45.0, 66.0];
/// A station's mean lies this far from the centre at most.
const BASELINE_SPREADS: [f64; N_FEATURES] = [0.4, 0.5, 0.4];
/// Swing of the daily rhythm: afternoons are warm, dry and loud.
const DAILY_AMPLITUDES: [f64; N_FEATURES] = [0.9, -1.2, 0.6];
/// Swing of a load cycle: work heats and sounds, and heat dries.
const LOAD_AMPLITUDES: [f64; N_FEATURES] = [1.5, -1.8, 1.7];
/// Scale of a sensor's noise, which follows Student's t: mostly small, now and then not.
const NOISE_SCALES: [f64; N_FEATURES] = [0.5, 0.6, 0.6];
const NOISE_DEGREES_OF_FREEDOM: f64 = 5.0;
/// In its scale; a sensor's filter lets nothing larger through.
const NOISE_MAX: f64 = 6.0;

/// A station of the plant: all about it follows from its number.
#[derive(Debug, Clone)]
pub struct Station {
    number: u32,
    baselines: [f64; N_FEATURES],
    /// Events that a load cycle takes.
    load_period: f64,
    /// `true` if it changes from day to day.
    changes: bool,
}

impl Station {
    /// Returns the station with this number, which never changes.
    pub fn new(number: u32) -> Self {
        // Powers of the plastic number's root, for three axes.
        let spread = |step: f64| spread(number, step);
        let steps = [0.819_172_513_396_164_5, 0.671_043_606_703_789_3, 0.549_700_477_901_970_6];
        let baselines =
            std::array::from_fn(|i| CENTRES[i] + BASELINE_SPREADS[i] * spread(steps[i]));
        let load_period = 14.0 + 3.0 * spread(0.618_033_988_749_894_9);
        Self { number, baselines, load_period, changes: false }
    }

    /// Returns the same station, changing from day to day or not.
    #[must_use]
    pub fn changing(self, changes: bool) -> Self {
        Self { changes, ..self }
    }

    /// Returns the number of the station.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Returns the mean values of the station.
    pub fn baselines(&self) -> [f64; N_FEATURES] {
        self.baselines
    }

    /// Returns what the load adds to the values of event `index`.
    pub(crate) fn load_effect(&self, index: u64) -> [f64; N_FEATURES] {
        let share = if self.changes { change::load(index) } else { 1.0 };
        let load = share * (TAU * index as f64 / self.load_period).sin();
        LOAD_AMPLITUDES.map(|amplitude| amplitude * load)
    }

    /// Returns the values of event `index`, with the noise of the sensors.
    pub(crate) fn normal_values(&self, index: u64, rng: &mut ChaCha8Rng) -> [f64; N_FEATURES] {
        let time_of_day = (index % EVENTS_A_DAY) as f64 / EVENTS_A_DAY as f64;
        let daily = -(TAU * time_of_day).cos();
        let load = self.load_effect(index);
        let noise =
            StudentT::new(NOISE_DEGREES_OF_FREEDOM).expect("five degrees of freedom are enough");
        let change =
            if self.changes { change::effect(self.number, index) } else { [0.0; N_FEATURES] };
        std::array::from_fn(|i| {
            let noise = noise.sample(rng).clamp(-NOISE_MAX, NOISE_MAX);
            let usual = self.baselines[i] + DAILY_AMPLITUDES[i] * daily + load[i];
            usual + NOISE_SCALES[i] * noise + change[i]
        })
    }
}

/// Returns a number from -1 to 1 for a station. Multiples of irrational numbers spread evenly, so neighbours differ and no
/// number is far from those that a model has learnt.
pub(crate) fn spread(number: u32, step: f64) -> f64 {
    2.0 * (f64::from(number) * step).fract() - 1.0
}
