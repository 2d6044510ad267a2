//! A station that is watched.

use isoforest::{DecodeError, envelope};
use serde::{Deserialize, Serialize};

use crate::forecast::Forecaster;
use crate::learning::Model;
use crate::ring::Ring;
use crate::scaling::{Level, UNITS};
use crate::shapes::SHAPE_ROWS;
use crate::tail::NATS_MIN;
use crate::threshold::{AlarmState, Budgeted};

/// Rows over which the forest sees mean and deviation.
const SHORT_ROWS: usize = 8;
/// Rows over which errors are averaged.
pub(crate) const LONG_ROWS: usize = 16;
/// Features of each sensor that the forest sees: value, mean, deviation, change.
pub(crate) const FEATURES_EACH: usize = 4;
/// Units of a scale in which features are: a sixteenth of it, divided by the number of rows of a mean.
pub(crate) const FEATURE_UNITS: f64 = UNITS * SHORT_ROWS as f64;
/// The share of the other views in the surprise.
const OTHERS: f64 = 0.3;
/// The relative depth in the forest is no less.
const DEPTH_MIN: f64 = 1e-4;
/// The rows of a mean that says whether a sensor has returned to what it was in the warm-up.
pub(crate) const MEAN_ROWS: usize = 5;
/// The values of an alarm have returned after this many such means, one after another.
const RETURNED_ROWS: u32 = 16;
/// A level that was settled counts as the mean of so many rows.
const ROWS_OF_SETTLED: u32 = 8;
/// The kind and the version of a watch that is written.
const WATCH_KIND: [u8; 8] = *b"ISOWATCH";
const WATCH_VERSION: u32 = 3;

/// The place of the view of shapes among all.
const SHAPE: usize = 2;

/// A view of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Values and their changes together, by an isolation forest.
    Joint,
    /// The difference between a row and what the rows before forecast.
    Relation,
    /// The shape of the last rows.
    Shape,
}

impl View {
    /// All views, in the order of [`Step::views`].
    pub const ALL: [Self; 3] = [Self::Joint, Self::Relation, Self::Shape];

    /// Returns the name, as files and programs write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Joint => "joint",
            Self::Relation => "relation",
            Self::Shape => "shape",
        }
    }
}

/// The answer to a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// In nats, from -1 to 32.
    pub surprise: f64,
    /// The surprise above which a row counts towards an alarm.
    pub threshold: f64,
    /// The state of the station.
    pub state: AlarmState,
    /// The nats of each view, from -1 to 20, in the order of [`View::ALL`].
    pub views: [f64; 3],
    /// The view that says most.
    pub view: View,
    /// The sensor that this view finds strangest, by its place in a row.
    pub sensor: usize,
    /// `true` if its value lies above the level that it follows.
    pub is_high: bool,
}

impl Step {
    /// Returns `true` while an alarm is open.
    pub fn is_alarm(&self) -> bool {
        self.state == AlarmState::Open
    }
}

/// Everything that a station carries from row to row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    n_rows: u64,
    /// Rows before the last gap.
    n_before_gap: u64,
    /// Rows before a level that was settled is known: until then, nothing opens.
    n_unsettled: u64,
    levels: Vec<Level>,
    /// The last rows of values, in which a missing one is the one before.
    values: Ring<f64>,
    /// The last rows of scaled values.
    scaled: Ring<i16>,
    /// The last rows of what was not forecast, in scales.
    pub(crate) errors: Ring<f64>,
    forecaster: Forecaster,
    pub(crate) threshold: Budgeted,
    standing: Option<Box<Standing>>,
    #[serde(skip)]
    room: Room,
}

/// The changes that alarms have found and that have not returned, while one is open and after it has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Standing {
    changes: Vec<Change>,
    /// The forecaster as the first one began, by which a settled level is forecast, and the middle of the threshold.
    forecaster: Forecaster,
    middle: f64,
}

/// A sensor that opened an alarm, among those that move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Change {
    sensor: usize,
    /// Rows in which its values seemed to have returned, one after another.
    n_returned: u32,
}

/// Room for one row.
#[derive(Debug, Clone, Default, PartialEq)]
struct Room {
    row: Vec<i16>,
    values: Vec<f64>,
    errors: Vec<f64>,
    sums: Vec<f64>,
    is_missing: Vec<bool>,
    features: Vec<i16>,
    point: Vec<i16>,
}

impl Room {
    /// Makes room for as many sensors that move.
    fn of(n_sensors: usize) -> Self {
        Self {
            row: vec![0; n_sensors],
            values: vec![0.0; n_sensors],
            errors: vec![0.0; n_sensors],
            sums: vec![0.0; n_sensors],
            is_missing: vec![false; n_sensors],
            features: vec![0; FEATURES_EACH * n_sensors],
            point: Vec::with_capacity((FEATURES_EACH * n_sensors).next_multiple_of(8)),
        }
    }
}

/// The raw value of a view, and the sensor that it finds strangest, among those that move.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) value: f64,
    pub(crate) sensor: usize,
}

impl Watch {
    /// Makes a station of so many sensors that move, without rows.
    pub(crate) fn new(levels: Vec<Level>) -> Self {
        let n_sensors = levels.len();
        Self {
            n_rows: 0,
            n_before_gap: 0,
            n_unsettled: 0,
            levels,
            values: Ring::zeros(SHORT_ROWS, n_sensors),
            scaled: Ring::zeros(SHAPE_ROWS, n_sensors),
            errors: Ring::zeros(LONG_ROWS, n_sensors),
            forecaster: Forecaster::new(n_sensors),
            threshold: Budgeted::new(1.0, &[]),
            standing: None,
            room: Room::of(n_sensors),
        }
    }

    /// Returns how the station is.
    pub fn state(&self) -> AlarmState {
        self.state_of(self.threshold.state())
    }

    /// Returns how the station is, from what its threshold says.
    fn state_of(&self, state: AlarmState) -> AlarmState {
        let is_closed = matches!(state, AlarmState::Watching | AlarmState::BudgetSpent);
        if is_closed && self.standing.is_some() { AlarmState::Accepted } else { state }
    }

    /// Returns the alarms that may open for each row.
    pub fn budget(&self) -> f64 {
        self.threshold.budget()
    }

    /// Lets so many alarms open for each row from now on, above 0 and below 1.
    pub fn set_budget(&mut self, budget: f64) {
        self.threshold.set_budget(budget);
    }

    /// Returns about how many bytes a watch over so many sensors takes.
    pub fn size_of(n_sensors: usize) -> usize {
        let floats = LONG_ROWS + SHORT_ROWS + 1;
        let rings = SHAPE_ROWS * size_of::<i16>() + floats * size_of::<f64>();
        size_of::<Self>() + n_sensors * rings + 2 * Forecaster::size_of(n_sensors)
    }

    /// Writes all that it carries.
    pub fn to_bytes(&self) -> Vec<u8> {
        envelope::seal(WATCH_KIND, WATCH_VERSION, self)
    }

    /// Reads a watch by a model that was learnt from the same warm-up: it continues as the one that was written would.
    ///
    /// # Errors
    ///
    /// Fails when the bytes are damaged or of another version, and when the model is of other sensors.
    pub fn from_bytes(model: &Model, bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut watch: Self = envelope::open(WATCH_KIND, WATCH_VERSION, bytes)?;
        let n_sensors = model.scaling.sensors.len();
        let is_whole = watch.n_before_gap <= watch.n_rows
            && watch.levels.len() == n_sensors
            && watch.values.is_of(SHORT_ROWS, n_sensors)
            && watch.scaled.is_of(SHAPE_ROWS, n_sensors)
            && watch.errors.is_of(LONG_ROWS, n_sensors)
            && watch.forecaster.is_of(n_sensors)
            && watch.standing.as_ref().is_none_or(|standing| {
                let of_model = |change: &Change| change.sensor < n_sensors;
                standing.forecaster.is_of(n_sensors) && standing.changes.iter().all(of_model)
            });
        if !is_whole {
            return Err(DecodeError::Malformed("the watch is of other sensors"));
        }
        watch.room = Room::of(n_sensors);
        Ok(watch)
    }

    /// Notes that the next row does not follow the last one. What forecasts and shapes would say of rows on both sides is left out;
    /// the forest compares them all the same, since a station may come back changed.
    pub fn note_gap(&mut self) {
        self.n_before_gap = self.n_rows;
    }

    /// Takes the present level as usual, as a person decides who knows why it changed: an alarm that is open, or whose values
    /// have not returned, ends, and its opening does not count in the budget. Nothing opens in the next 32 rows, which show the
    /// level. Returns `false` if there is no such alarm.
    pub fn settle(&mut self, model: &Model) -> bool {
        if !matches!(self.state(), AlarmState::Open | AlarmState::Accepted) {
            return false;
        }
        let mut has_moved = false;
        for sensor in 0..self.levels.len() {
            if [MEAN_ROWS, SHAPE_ROWS].iter().all(|&n_rows| self.is_usual(model, sensor, n_rows)) {
                continue;
            }
            let mut values: [f64; MEAN_ROWS] =
                std::array::from_fn(|age| self.values.row(age)[sensor]);
            values.sort_unstable_by(f64::total_cmp);
            let level = values[MEAN_ROWS / 2];
            has_moved = true;
            self.levels[sensor] = Level::new(level, ROWS_OF_SETTLED);
            for age in 0..SHORT_ROWS {
                let value = self.values.row(age)[sensor];
                self.scaled.row_mut(age)[sensor] = model.scaling.units(sensor, value, level);
            }
        }
        let standing = self.standing.take();
        self.threshold.settle(standing.as_ref().map_or(self.threshold.middle(), |old| old.middle));
        // A level that was followed meanwhile is forecast by what was learnt meanwhile.
        if let Some(standing) = standing.filter(|_| has_moved) {
            self.forecaster = standing.forecaster;
        }
        self.note_gap();
        self.n_unsettled = self.n_rows + SHAPE_ROWS as u64;
        true
    }

    /// Returns `true` if the mean of the last rows of a sensor is within what it was in the warm-up.
    fn is_usual(&self, model: &Model, sensor: usize, n_rows: usize) -> bool {
        let units = (0..n_rows).map(|age| f64::from(self.scaled.row(age)[sensor]));
        let mean = units.sum::<f64>() / n_rows as f64;
        model.usual_means[sensor].contains(&mean)
    }

    /// Takes the next row: a value for each sensor, NaN for a missing one.
    ///
    /// # Panics
    ///
    /// Panics when the row has fewer values than the rows of the warm-up, and when the model is of other sensors.
    pub fn advance(&mut self, model: &Model, row: &[f64]) -> Step {
        self.take(model, row);
        model.scale_row(&mut self.room.errors);
        self.errors.push(&self.room.errors);

        let seen = [self.joint(model), self.relation(), self.shape(model)];
        let n_after_gap = self.n_rows - self.n_before_gap;
        let relation_rows = LONG_ROWS + self.forecaster.n_lags();
        let rows_seen = [1, relation_rows, SHAPE_ROWS].map(|rows| rows as u64);
        let is_mute = rows_seen.map(|rows| n_after_gap + 1 < rows);
        let views: [f64; 3] = std::array::from_fn(|view| {
            if is_mute[view] { NATS_MIN } else { model.tails[view].nats(seen[view].value) }
        });
        let surprise = surprise(views);
        let most = (1..views.len())
            .fold(0, |most, view| if views[view] > views[most] { view } else { most });
        let strangest = seen[most].sensor;
        let now = self.threshold.now();
        // Values have not returned as long as a view that may have raised the alarm cannot say so.
        let says_nothing = now.1 != AlarmState::Watching && surprise <= now.0;
        let is_unsettled = self.n_rows < self.n_unsettled;
        let (threshold, state) = if is_unsettled || says_nothing && is_mute.contains(&true) {
            now
        } else {
            let middle = self.threshold.middle();
            let next = self.threshold.advance(surprise, self.n_rows);
            if next.1 == AlarmState::Open && now.1 != AlarmState::Open {
                self.note_opening(strangest, middle);
            } else if matches!(next.1, AlarmState::Watching | AlarmState::BudgetSpent) {
                self.note_returned(model);
            }
            next
        };
        let state = self.state_of(state);
        self.n_rows += 1;
        Step {
            surprise,
            threshold,
            state,
            views,
            view: View::ALL[most],
            sensor: model.scaling.sensors[strangest],
            is_high: self.scaled.row(0)[strangest] > 0,
        }
    }

    /// Notes that a sensor has opened an alarm.
    fn note_opening(&mut self, sensor: usize, middle: f64) {
        let forecaster = &self.forecaster;
        let standing = self.standing.get_or_insert_with(|| {
            Box::new(Standing { changes: Vec::new(), forecaster: forecaster.clone(), middle })
        });
        if standing.changes.iter().all(|change| change.sensor != sensor) {
            standing.changes.push(Change { sensor, n_returned: 0 });
        }
        for change in &mut standing.changes {
            // The rows that close the alarm count, too.
            change.n_returned = RETURNED_ROWS - 1;
        }
    }

    /// Notes which changes have returned, or have become the level that is followed.
    fn note_returned(&mut self, model: &Model) {
        let Some(mut standing) = self.standing.take() else { return };
        standing.changes.retain_mut(|change| {
            let is_usual = self.is_usual(model, change.sensor, MEAN_ROWS);
            change.n_returned = if is_usual { change.n_returned + 1 } else { 0 };
            change.n_returned < RETURNED_ROWS
        });
        self.standing = Some(standing).filter(|standing| !standing.changes.is_empty());
    }

    /// Scales a row, and compares it with its forecast.
    fn take(&mut self, model: &Model, row: &[f64]) {
        let Room { row: scaled, errors, values, is_missing, .. } = &mut self.room;
        model.scaling.scale(row, self.scaled.row(0), &mut self.levels, scaled, is_missing);
        let measured = model.scaling.sensors.iter().map(|&sensor| row[sensor]);
        for ((value, measured), before) in values.iter_mut().zip(measured).zip(self.values.row(0)) {
            *value = if measured.is_nan() { *before } else { measured };
        }
        self.values.push(values);
        if self.n_rows >= self.forecaster.n_lags() as u64 {
            self.forecaster.errors(&self.scaled, scaled, is_missing, errors);
        } else {
            errors.fill(0.0);
        }
        self.scaled.push(scaled);
    }

    /// Takes a row of the warm-up; hands the scaled values, the errors without scale, and the features of the
    /// forest to `tell`.
    pub(crate) fn warm_up(
        &mut self,
        model: &Model,
        row: &[f64],
        tell: impl FnOnce(&[i16], &[f64], &[i16]),
    ) {
        self.take(model, row);
        self.n_rows += 1;
        self.describe();
        tell(&self.room.row, &self.room.errors, &self.room.features);
    }

    /// Writes what the forest sees, in [`FEATURE_UNITS`]: of all sensors the value, then the mean, the deviation and the
    /// change.
    fn describe(&mut self) {
        /// Feature units of a unit of scaled values: as many as there are rows, so that their sum is the mean.
        #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "8")]
        const EACH: i32 = SHORT_ROWS as i32;
        let n_sensors = self.levels.len();
        let rows: [&[i16]; SHORT_ROWS] = std::array::from_fn(|age| self.scaled.row(age));
        for sensor in 0..n_sensors {
            let values = rows.map(|row| i32::from(row[sensor]));
            let mean: i32 = values.iter().sum();
            let distances = values.map(|value| EACH * value - mean);
            let squares: i32 = distances.iter().map(|distance| distance * distance).sum();
            let deviation = (f64::from(squares) / f64::from(EACH)).sqrt();
            let (value, change) = (EACH * values[0], EACH * (values[0] - values[1]));
            #[expect(clippy::cast_possible_truncation, reason = "at most 2,560")]
            let features = [value, mean, (deviation + 0.5) as i32, change].map(|x| x as i16);
            for (kind, feature) in features.into_iter().enumerate() {
                self.room.features[kind * n_sensors + sensor] = feature;
            }
        }
    }

    /// Returns how soon a random cut parts the row from the warm-up: -ln of its relative depth.
    fn joint(&mut self, model: &Model) -> Seen {
        self.describe();
        let Room { features, point, .. } = &mut self.room;
        let seen = model.joint(features, point);
        Seen { sensor: seen.sensor % self.levels.len(), ..seen }
    }

    /// Returns the largest mean of errors.
    fn relation(&mut self) -> Seen {
        largest_mean(self.errors.rows(), &mut self.room.sums)
    }

    /// Returns the largest distance from known shapes, or less than says anything.
    fn shape(&self, model: &Model) -> Seen {
        let Some(first) = model.shapes.first() else { return Seen::default() };
        // Smaller distances say nothing.
        let least = Seen { value: model.tails[SHAPE].least(), sensor: first.sensor };
        model.shapes.iter().fold(least, |furthest, shapes| {
            let values = self.scaled.column(shapes.sensor);
            let distance = shapes.distance_above(values, furthest.value);
            distance.map_or(furthest, |value| Seen { value, sensor: shapes.sensor })
        })
    }
}

impl Model {
    /// Returns -ln of the relative depth of features in the forest, and the one that is furthest from its mean.
    pub(crate) fn joint(&self, features: &[i16], point: &mut Vec<i16>) -> Seen {
        let Some(forest) = &self.forest else { return Seen::default() };
        point.clear();
        point.extend(self.used.iter().map(|&index| features[index]));
        let distance = |(&x, (mean, deviation)): (&i16, &(f64, f64))| {
            (f64::from(x) / FEATURE_UNITS - mean).abs() / deviation
        };
        let furthest = largest(point.iter().zip(&self.centers).map(distance)).sensor;
        let value = -libm::log(forest.relative_depth(point).max(DEPTH_MIN));
        Seen { value, sensor: self.used[furthest] }
    }
}

/// Returns the largest mean of errors over the last rows, in either direction.
pub(crate) fn largest_mean<'a>(errors: impl Iterator<Item = &'a [f64]>, sums: &mut [f64]) -> Seen {
    sums.fill(0.0);
    for row in errors {
        for (sum, error) in sums.iter_mut().zip(row) {
            *sum += error;
        }
    }
    largest(sums.iter().map(|sum| (sum / LONG_ROWS as f64).abs()))
}

/// Returns the largest of some values, with its place.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> Seen {
    let mut all = values.enumerate().map(|(sensor, value)| Seen { value, sensor });
    let first = all.next().unwrap_or_default();
    all.fold(first, |largest, seen| if seen.value > largest.value { seen } else { largest })
}

/// Returns the nats of the largest view, and a part of the others'.
pub(crate) fn surprise(views: [f64; 3]) -> f64 {
    let largest = views.into_iter().fold(NATS_MIN, f64::max);
    let positive: f64 = views.into_iter().map(|nats| nats.max(0.0)).sum();
    largest + OTHERS * (positive - largest.max(0.0))
}
