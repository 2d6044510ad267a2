//! Rules that tell a sensor that fails from a process that changes.

use serde::{Deserialize, Serialize};

/// A sensor with fewer values in the warm-up is not judged.
const VALUES_MIN: u32 = 20;
/// A sensor is stuck or silent after more rows than this number of longest runs of the warm-up, and `ROWS_OF_STUCK`.
const RUNS_OF_STUCK: u32 = 8;
const ROWS_OF_STUCK: u32 = 64;
/// The same for a value outside of the range of the warm-up: a sensor that is at its limit shows it by that, too.
const RUNS_OF_LIMIT: u32 = 2;
const ROWS_OF_LIMIT: u32 = 16;
/// The same for a value that is further outside than the range is wide.
const RUNS_OF_FAR: u32 = 1;
const ROWS_OF_FAR: u32 = 2;
/// A constant moves when it differs in `MOVED_OF` of the last `MOVED_IN` rows.
const MOVED_OF: u32 = 3;
const MOVED_IN: u32 = 5;
/// A constant that has another value in all of the last 64 rows has become that one.
const ROWS_OF_CONSTANT: u32 = 64;

/// The way in which a sensor fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SensorFaultKind {
    /// Its value stays for much longer than any did in the warm-up.
    Stuck,
    /// Its value is missing for much longer than any was in the warm-up.
    Silent,
    /// It had one value in the whole warm-up, and has others.
    Moves,
    /// Its value stays outside of the range of the warm-up, at what seems to be the end of what it can measure.
    AtLimit,
    /// Its value stays further below the range of the warm-up than that is wide.
    Dropout,
}

impl SensorFaultKind {
    /// Returns the name, as files and programs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stuck => "stuck",
            Self::Silent => "silent",
            Self::Moves => "moves",
            Self::AtLimit => "at_limit",
            Self::Dropout => "dropout",
        }
    }
}

/// A sensor that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SensorFault {
    /// Its place in a row.
    pub sensor: usize,
    /// The way in which it fails.
    pub kind: SensorFaultKind,
    /// The time of the first row that shows it.
    pub since: i64,
}

/// The usual runs of each sensor, learnt from a warm-up. They never change.
#[derive(Debug, Clone, PartialEq)]
pub struct SensorRules {
    sensors: Vec<Usual>,
}

/// The runs of each sensor up to the last row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorWatch {
    sensors: Vec<Runs>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    n_values: u32,
    lowest: f64,
    highest: f64,
    /// Rows of the longest runs.
    longest_equal: u32,
    longest_missing: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Runs {
    /// The last value, the rows that had it, and the time of the first.
    value: f64,
    n_equal: u32,
    equal_since: i64,
    /// The last rows without a value.
    n_missing: u32,
    missing_since: i64,
    /// The constant that it is expected to be.
    constant: f64,
    /// A bit for each of the last rows with a value, 1 for another one, the newest in the lowest; and the time of the first.
    differs: u32,
    differs_since: i64,
    /// `true` from enough such rows on, until there is none.
    moves: bool,
    /// A value that is no fault.
    settled: Option<f64>,
}

impl SensorRules {
    /// Learns from the rows of a warm-up and their times, a number that grows: the rules, and the watch over the rows that
    /// follow.
    ///
    /// # Panics
    ///
    /// Panics when there are no rows, or one is not whole.
    pub fn learn(times: &[i64], rows: &[f64]) -> (Self, SensorWatch) {
        let n_sensors = rows.len() / times.len();
        assert_eq!(rows.len(), n_sensors * times.len(), "rows are whole");
        let mut rules = Self { sensors: vec![Usual::NOTHING; n_sensors] };
        let mut watch = SensorWatch { sensors: vec![Runs::NONE; n_sensors] };
        for (&time, row) in times.iter().zip(rows.chunks_exact(n_sensors)) {
            let sensors = rules.sensors.iter_mut().zip(&mut watch.sensors);
            for ((usual, runs), &value) in sensors.zip(row) {
                runs.note(value, time);
                usual.note(value, runs);
            }
        }
        for (usual, runs) in rules.sensors.iter().zip(&mut watch.sensors) {
            runs.constant = usual.lowest;
        }
        (rules, watch)
    }

    /// Returns about how many bytes the rules for so many sensors take.
    pub fn size_of(n_sensors: usize) -> usize {
        n_sensors * size_of::<Usual>()
    }
}

impl SensorWatch {
    /// Takes the next row: its time, and a value for each sensor, NaN for a missing one.
    pub fn advance(&mut self, rules: &SensorRules, time: i64, row: &[f64]) {
        let sensors = rules.sensors.iter().zip(&mut self.sensors);
        for ((usual, runs), &value) in sensors.zip(row) {
            runs.note(value, time);
            if usual.is_constant() {
                runs.note_constant(value, time);
            }
        }
    }

    /// Takes the present value of each sensor that fails as usual.
    pub fn settle(&mut self, rules: &SensorRules) {
        for (usual, runs) in rules.sensors.iter().zip(&mut self.sensors) {
            if runs.fault(usual).is_some() && runs.n_missing == 0 {
                (runs.settled, runs.constant) = (Some(runs.value), runs.value);
                (runs.differs, runs.moves) = (0, false);
            }
        }
    }

    /// Returns the sensors that fail.
    pub fn faults(&self, rules: &SensorRules) -> impl Iterator<Item = SensorFault> {
        let sensors = rules.sensors.iter().zip(&self.sensors);
        sensors.enumerate().filter_map(|(sensor, (usual, runs))| {
            let (kind, since) = runs.fault(usual)?;
            Some(SensorFault { sensor, kind, since })
        })
    }

    /// Returns `true` if it watches the sensors of the rules, as one that was read must.
    pub fn is_of(&self, rules: &SensorRules) -> bool {
        self.sensors.len() == rules.sensors.len()
    }

    /// Returns about how many bytes a watch over so many sensors takes.
    pub fn size_of(n_sensors: usize) -> usize {
        n_sensors * size_of::<Runs>()
    }
}

impl Usual {
    const NOTHING: Self = Self {
        n_values: 0,
        lowest: f64::INFINITY,
        highest: f64::NEG_INFINITY,
        longest_equal: 0,
        longest_missing: 0,
    };

    /// Notes a row, after its runs.
    fn note(&mut self, value: f64, runs: &Runs) {
        self.longest_missing = self.longest_missing.max(runs.n_missing);
        if !value.is_nan() {
            self.n_values += 1;
            self.lowest = self.lowest.min(value);
            self.highest = self.highest.max(value);
            self.longest_equal = self.longest_equal.max(runs.n_equal);
        }
    }

    fn is_constant(&self) -> bool {
        self.lowest == self.highest
    }
}

impl Runs {
    const NONE: Self = Self {
        value: 0.0,
        n_equal: 0,
        equal_since: 0,
        n_missing: 0,
        missing_since: 0,
        constant: 0.0,
        differs: 0,
        differs_since: 0,
        moves: false,
        settled: None,
    };

    /// Notes the next value, NaN for a missing one.
    fn note(&mut self, value: f64, time: i64) {
        if value.is_nan() {
            if self.n_missing == 0 {
                self.missing_since = time;
            }
            self.n_missing = self.n_missing.saturating_add(1);
            return;
        }
        self.n_missing = 0;
        if self.n_equal == 0 || value != self.value {
            (self.value, self.n_equal, self.equal_since) = (value, 0, time);
        }
        self.n_equal = self.n_equal.saturating_add(1);
    }

    /// Notes whether a constant has its value.
    fn note_constant(&mut self, value: f64, time: i64) {
        if value.is_nan() {
            return;
        }
        if self.n_equal >= ROWS_OF_CONSTANT {
            (self.constant, self.differs) = (value, 0);
        }
        let differs = value != self.constant;
        if differs && self.differs == 0 {
            self.differs_since = time;
        }
        self.differs = (self.differs << 1 | u32::from(differs)) & ((1 << MOVED_IN) - 1);
        self.moves = self.differs > 0 && (self.moves || self.differs.count_ones() >= MOVED_OF);
    }

    /// Returns the fault of the sensor, and since when it has it.
    fn fault(&self, usual: &Usual) -> Option<(SensorFaultKind, i64)> {
        let exceeds = |n_rows: u32, longest: u32, (runs, rows): (u32, u32)| {
            n_rows > longest.saturating_mul(runs).saturating_add(rows)
        };
        let of_stuck = (RUNS_OF_STUCK, ROWS_OF_STUCK);
        if usual.n_values < VALUES_MIN {
            return None;
        }
        if exceeds(self.n_missing, usual.longest_missing, of_stuck) {
            return Some((SensorFaultKind::Silent, self.missing_since));
        }
        if usual.is_constant() {
            return self.moves.then_some((SensorFaultKind::Moves, self.differs_since));
        }
        if self.settled == Some(self.value) {
            return None;
        }
        let range = usual.highest - usual.lowest;
        let (of_far, of_limit) = ((RUNS_OF_FAR, ROWS_OF_FAR), (RUNS_OF_LIMIT, ROWS_OF_LIMIT));
        let (kind, of_kind) = match self.value {
            value if value < usual.lowest - range => (SensorFaultKind::Dropout, of_far),
            value if value > usual.highest + range => (SensorFaultKind::AtLimit, of_far),
            value if value < usual.lowest || value > usual.highest => {
                (SensorFaultKind::AtLimit, of_limit)
            }
            _ => (SensorFaultKind::Stuck, of_stuck),
        };
        exceeds(self.n_equal, usual.longest_equal, of_kind).then_some((kind, self.equal_since))
    }
}
