//! Faults of a station, and their durations.

use std::fmt;

use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use crate::behaviour::{N_FEATURES, NORMAL_DEVIATIONS, Station};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// One sensor shows one wild value, 6 to 12 deviations off its mean.
    Spike,
    /// One sensor is off by 3 to 6 deviations from one event to the next.
    LevelShift,
    /// One sensor creeps away, to 3 to 6 deviations in the end.
    Drift,
    /// One sensor repeats its last value.
    StuckSensor,
    /// One sensor falls to its floor, 8 deviations below its mean.
    Dropout,
    /// Sound rises by 3 to 6 deviations, and temperature after it.
    BearingWear,
    /// Temperature goes against the load instead of with it; every value alone is normal.
    LostCorrelation,
}

const DROPOUT_DEPTH: f64 = 8.0;
/// A bearing that wears out for good: deviations in the end, and events until then.
const WEAR_SIZE: f64 = 6.0;
const WEAR_LEN: u32 = 120;
const TEMPERATURE: usize = 0;
const SOUND: usize = 2;

impl Fault {
    /// All kinds.
    pub const ALL: [Self; 7] = [
        Self::Spike,
        Self::LevelShift,
        Self::Drift,
        Self::StuckSensor,
        Self::Dropout,
        Self::BearingWear,
        Self::LostCorrelation,
    ];

    /// Returns the name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::LevelShift => "level_shift",
            Self::Drift => "drift",
            Self::StuckSensor => "stuck_sensor",
            Self::Dropout => "dropout",
            Self::BearingWear => "bearing_wear",
            Self::LostCorrelation => "lost_correlation",
        }
    }

    /// Returns the least and the greatest number of events that it lasts.
    fn len_range(self) -> (u32, u32) {
        match self {
            Self::Spike => (1, 1),
            Self::Dropout => (2, 6),
            Self::LevelShift => (4, 12),
            Self::StuckSensor => (6, 14),
            Self::Drift | Self::LostCorrelation => (8, 16),
            Self::BearingWear => (10, 20),
        }
    }

    /// Returns the frequency compared with the other faults: the shorter, the more often.
    fn weight(self) -> u32 {
        match self {
            Self::Spike => 16,
            Self::Dropout => 4,
            Self::LevelShift => 2,
            Self::StuckSensor | Self::Drift | Self::BearingWear | Self::LostCorrelation => 1,
        }
    }

    /// Returns the mean number of events that a fault lasts.
    pub(crate) fn mean_len() -> f64 {
        let weights: u32 = Self::ALL.iter().map(|fault| fault.weight()).sum();
        let doubled: u32 = Self::ALL
            .iter()
            .map(|fault| {
                let (least, greatest) = fault.len_range();
                fault.weight() * (least + greatest)
            })
            .sum();
        f64::from(doubled) / 2.0 / f64::from(weights)
    }

    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let weights: u32 = Self::ALL.iter().map(|fault| fault.weight()).sum();
        let mut rest = rng.random_range(0..weights);
        for fault in Self::ALL {
            match rest.checked_sub(fault.weight()) {
                Some(smaller) => rest = smaller,
                None => return fault,
            }
        }
        unreachable!("the draw is below the sum of all weights")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault of one station while it lasts.
#[derive(Debug)]
pub(crate) struct Episode {
    fault: Fault,
    sensor: usize,
    /// In normal deviations, with the direction of the fault.
    size: f64,
    len: u32,
    /// `true` if it stays as it is after that.
    is_for_good: bool,
    n_past: u32,
    /// The value that a stuck sensor repeats.
    stuck_at: Option<f64>,
}

impl Episode {
    pub(crate) fn draw(rng: &mut ChaCha8Rng) -> Self {
        let fault = Fault::draw(rng);
        let (least, greatest) = fault.len_range();
        let len = rng.random_range(least..=greatest);
        let sensor = rng.random_range(0..N_FEATURES);
        let magnitude = match fault {
            Fault::Spike => rng.random_range(6.0..12.0),
            _ => rng.random_range(3.0..6.0),
        };
        let size = if rng.random_bool(0.5) { magnitude } else { -magnitude };
        Self { fault, sensor, size, len, is_for_good: false, n_past: 0, stuck_at: None }
    }

    /// Returns a bearing that wears out and stays so.
    pub(crate) fn wear() -> Self {
        Self {
            fault: Fault::BearingWear,
            sensor: SOUND,
            size: WEAR_SIZE,
            len: WEAR_LEN,
            is_for_good: true,
            n_past: 0,
            stuck_at: None,
        }
    }

    pub(crate) fn fault(&self) -> Fault {
        self.fault
    }

    pub(crate) fn is_over(&self) -> bool {
        self.n_past >= self.len && !self.is_for_good
    }

    /// Returns what is measured instead of the normal values of event `index`.
    pub(crate) fn apply(
        &mut self,
        station: &Station,
        index: u64,
        normal: [f64; N_FEATURES],
    ) -> [f64; N_FEATURES] {
        self.n_past = self.len.min(self.n_past + 1);
        let progress = f64::from(self.n_past) / f64::from(self.len);
        let sensor = self.sensor;
        let deviations = |size: f64, sensor: usize| size * NORMAL_DEVIATIONS[sensor];

        let mut values = normal;
        match self.fault {
            Fault::Spike => {
                values[sensor] = station.baselines()[sensor] + deviations(self.size, sensor);
            }
            Fault::LevelShift => values[sensor] += deviations(self.size, sensor),
            Fault::Drift => values[sensor] += deviations(self.size * progress, sensor),
            Fault::StuckSensor => values[sensor] = *self.stuck_at.get_or_insert(normal[sensor]),
            Fault::Dropout => {
                values[sensor] = station.baselines()[sensor] - deviations(DROPOUT_DEPTH, sensor);
            }
            Fault::BearingWear => {
                let size = self.size.abs();
                // Heat follows when a third of the time is gone.
                let progress_of_heat = ((progress - 1.0 / 3.0) * 1.5).max(0.0);
                values[SOUND] += deviations(size * progress, SOUND);
                values[TEMPERATURE] += deviations(size * progress_of_heat, TEMPERATURE);
            }
            Fault::LostCorrelation => {
                values[TEMPERATURE] -= 2.0 * station.load_effect(index)[TEMPERATURE];
            }
        }
        values
    }
}
