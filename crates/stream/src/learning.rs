//! Learning from a warm-up.

use std::ops::RangeInclusive;

use isoforest::{RandomCutForest, RandomCutParams};

use crate::scaling::Scaling;
use crate::shapes::{SHAPE_ROWS, Shapes};
use crate::statistics::{column, mean_and_deviation, median, scale};
use crate::tail::{NATS_MIN, Tail};
use crate::threshold::Budgeted;
use crate::watch::{
    FEATURE_UNITS, FEATURES_EACH, LONG_ROWS, MEAN_ROWS, Watch, largest_mean, surprise,
};

/// Fewer rows cannot be learnt from.
const ROWS_MIN: usize = 160;
/// Larger values cannot be learnt: their square would be no number.
const VALUE_MAX: f64 = 1e150;
/// Rows at the beginning that nothing is learnt from but scales, at most.
const UNSETTLED_ROWS: usize = 60;
/// Errors are held to this.
const ERROR_MAX: f64 = 10.0;
/// Features and errors with a smaller deviation do not move.
const DEVIATION_MIN: f64 = 1e-9;
const ERROR_SCALE_MIN: f64 = 1e-6;
/// Sensors whose shapes are looked at, the first that move.
const SHAPE_SENSORS: usize = 8;
/// The least mean excess of the views, and that of shapes, which are in excesses themselves.
const EXCESS_MIN: f64 = 1e-3;
const SHAPE_EXCESS_MIN: f64 = 0.3;

/// The choices of a user.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// Alarms that may open for each row, above 0 and below 1: 1e-4 is 8.6 a day at a row a second.
    pub budget: f64,
    /// Seed of the forest: equal rows, parameters and seed give an equal model.
    pub seed: u64,
}

impl Params {
    /// Checks the choices for a warm-up of so many rows.
    ///
    /// # Errors
    ///
    /// Fails when the rows are too few, and when the budget is none.
    pub fn check(&self, n_rows: usize) -> Result<(), WarmUpError> {
        let budget = self.budget;
        if !(budget > 0.0 && budget < 1.0) {
            return Err(WarmUpError::Budget { budget });
        }
        if n_rows < ROWS_MIN {
            return Err(WarmUpError::TooFewRows { n_rows });
        }
        Ok(())
    }
}

impl Default for Params {
    fn default() -> Self {
        Self { budget: 1e-4, seed: 0 }
    }
}

/// The reason why a warm-up cannot be learnt from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WarmUpError {
    /// There are too few rows.
    #[error(
        "{n_rows} rows are too few to learn from: at least {ROWS_MIN} are needed, and 1,000 and more are better"
    )]
    TooFewRows {
        /// Number of rows given.
        n_rows: usize,
    },
    /// Nothing moves.
    #[error("no sensor moves in the {n_rows} rows to learn from")]
    NothingMoves {
        /// Number of rows given.
        n_rows: usize,
    },
    /// The spread of such values would be no number.
    #[error("the value {value:?} is too large to learn from: up to {VALUE_MAX:?} can be learnt")]
    ValueTooLarge {
        /// The value.
        value: f64,
    },
    /// The budget must lie between 0 and 1.
    #[error("a budget of alarms must be above 0 and below 1 for each row, not {budget}")]
    Budget {
        /// As given.
        budget: f64,
    },
}

/// The usual behaviour, learnt from a warm-up. It never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(crate) scaling: Scaling,
    /// Of each sensor that moves.
    pub(crate) error_scales: Vec<f64>,
    /// The features that move, and their means and deviations.
    pub(crate) used: Vec<usize>,
    pub(crate) centers: Vec<(f64, f64)>,
    /// `None` where no feature moves.
    pub(crate) forest: Option<RandomCutForest>,
    pub(crate) shapes: Vec<Shapes>,
    /// Of each sensor that moves, the means of scaled values over a few rows.
    pub(crate) usual_means: Vec<RangeInclusive<f64>>,
    /// Of each view.
    pub(crate) tails: [Tail; 3],
}

/// A warm-up that was learnt.
#[derive(Debug, Clone, PartialEq)]
pub struct WarmedUp {
    /// The usual behaviour.
    pub model: Model,
    /// The watch over the station that the rows are from.
    pub watch: Watch,
    /// The surprise of each row to what was learnt from all of them; the least that there is, -1, for
    /// the first, which only settle the scales.
    pub surprises: Vec<f64>,
}

/// All rows of a warm-up as the views see them, one after another.
#[derive(Default)]
struct WarmUp {
    scaled: Vec<i16>,
    errors: Vec<f64>,
    features: Vec<i16>,
}

impl Model {
    /// Learns from the rows of a warm-up, one after another, of so many sensors, NaN for a missing value.
    ///
    /// # Errors
    ///
    /// Fails when there are too few rows, when no sensor moves, and when the budget is none.
    ///
    /// # Panics
    ///
    /// Panics when there are no sensors, and when the last row is not whole.
    pub fn learn(rows: &[f64], n_sensors: usize, params: &Params) -> Result<WarmedUp, WarmUpError> {
        let n_rows = rows.len() / n_sensors;
        assert_eq!(rows.len(), n_rows * n_sensors, "rows are whole");
        params.check(n_rows)?;
        if let Some(&value) = rows.iter().find(|value| value.abs() > VALUE_MAX) {
            return Err(WarmUpError::ValueTooLarge { value });
        }
        let (scaling, levels) = Scaling::learn(rows, n_sensors);
        let n_moving = levels.len();
        if n_moving == 0 {
            return Err(WarmUpError::NothingMoves { n_rows });
        }
        let tails = [Tail::learn(&[], 1.0); 3];
        let mut model = Self {
            scaling,
            error_scales: vec![1.0; n_moving],
            used: Vec::new(),
            centers: Vec::new(),
            forest: None,
            shapes: Vec::new(),
            usual_means: Vec::new(),
            tails,
        };
        let mut watch = Watch::new(levels);
        let mut warm_up = WarmUp::default();
        for row in rows.chunks_exact(n_sensors) {
            watch.warm_up(&model, row, |scaled, errors, features| {
                warm_up.scaled.extend(scaled);
                warm_up.errors.extend(errors);
                warm_up.features.extend(features);
            });
        }

        let start = (SHAPE_ROWS - 1).max(UNSETTLED_ROWS.min(n_rows / 5));
        model.learn_forest(
            &warm_up.features[start * FEATURES_EACH * n_moving..],
            n_moving,
            params.seed,
        );
        model.scale_errors(&mut warm_up.errors, n_moving);
        let shape = model.learn_shapes(&warm_up.scaled, n_moving, start);
        let scaled = |sensor: usize| column(&warm_up.scaled, n_moving, sensor);
        model.usual_means = (0..n_moving).map(|sensor| means(scaled(sensor))).collect();

        let mut views = [const { Vec::new() }; 3];
        let (mut point, mut sums) = (Vec::new(), vec![0.0; n_moving]);
        for (end, shape) in (start..n_rows).zip(shape) {
            let features = &warm_up.features[end * FEATURES_EACH * n_moving..];
            let last = (end + 1 - LONG_ROWS) * n_moving..(end + 1) * n_moving;
            let errors = &warm_up.errors[last];
            let raw = [
                model.joint(&features[..FEATURES_EACH * n_moving], &mut point).value,
                largest_mean(errors.chunks_exact(n_moving), &mut sums).value,
                shape,
            ];
            views.iter_mut().zip(raw).for_each(|(view, value)| view.push(value));
        }
        let least = [EXCESS_MIN, EXCESS_MIN, SHAPE_EXCESS_MIN];
        model.tails = std::array::from_fn(|view| Tail::learn(&views[view], least[view]));
        let mut surprises = vec![NATS_MIN; start];
        surprises.extend((0..n_rows - start).map(|row| {
            surprise(std::array::from_fn(|view| model.tails[view].nats(views[view][row])))
        }));
        watch.threshold = Budgeted::new(params.budget, &surprises[start..]);
        for end in n_rows - LONG_ROWS..n_rows {
            let of_row = end * n_moving..(end + 1) * n_moving;
            watch.errors.push(&warm_up.errors[of_row]);
        }
        Ok(WarmedUp { model, watch, surprises })
    }

    /// Returns about how many bytes a model of so many sensors takes.
    pub fn size_of(n_sensors: usize) -> usize {
        /// Of the nodes of the forest: twenty trees of 127 at most.
        const NODES: usize = 20 * 127;
        /// Of a node without its box.
        const NODE: usize = 24;
        /// Of the shapes of a sensor.
        const SHAPES: usize = 8_400;
        let n_features = (FEATURES_EACH * n_sensors).next_multiple_of(8);
        let boxes = NODES * (NODE + 2 * n_features * size_of::<i16>());
        boxes + n_sensors.min(SHAPE_SENSORS) * SHAPES
    }

    /// Grows the forest from the features of one row after another.
    fn learn_forest(&mut self, features: &[i16], n_moving: usize, seed: u64) {
        let n_features = FEATURES_EACH * n_moving;
        let in_scales = |units: i16| f64::from(units) / FEATURE_UNITS;
        let center = |feature: usize| {
            mean_and_deviation(column(features, n_features, feature).map(in_scales))
        };
        let all = (0..n_features).map(|feature| (feature, center(feature)));
        let moving = all.filter(|(_, (_, deviation))| *deviation > DEVIATION_MIN);
        (self.used, self.centers) = moving.unzip();
        let rows = features.chunks_exact(n_features);
        let points = rows.flat_map(|row| self.used.iter().map(|&feature| row[feature]));
        let points: Vec<i16> = points.collect();
        let weights = self.centers.iter().map(|(_, deviation)| 1.0 / (deviation * FEATURE_UNITS));
        let weights: Vec<f64> = weights.collect();
        let params = RandomCutParams { seed, ..RandomCutParams::default() };
        self.forest =
            (!weights.is_empty()).then(|| RandomCutForest::fit(&points, &weights, &params));
    }

    /// Learns the scales of errors from all rows but the first quarter, in which there was little to forecast from, and
    /// scales all.
    fn scale_errors(&mut self, errors: &mut [f64], n_moving: usize) {
        let late = errors.len() / n_moving / 4 * n_moving;
        for sensor in 0..n_moving {
            let late = column(&errors[late..], n_moving, sensor);
            let distance = median(late.clone().map(f64::abs)).unwrap_or(0.0);
            let scale = scale(distance, mean_and_deviation(late).1);
            self.error_scales[sensor] = if scale < ERROR_SCALE_MIN { 1.0 } else { scale };
        }
        for row in errors.chunks_exact_mut(n_moving) {
            self.scale_row(row);
        }
    }

    /// Scales the errors of a row.
    pub(crate) fn scale_row(&self, errors: &mut [f64]) {
        for (error, scale) in errors.iter_mut().zip(&self.error_scales) {
            *error = (*error / scale).clamp(-ERROR_MAX, ERROR_MAX);
        }
    }

    /// Learns the shapes of the first sensors; returns the largest distance of each row from `start` on.
    fn learn_shapes(&mut self, scaled: &[i16], n_moving: usize, start: usize) -> Vec<f64> {
        let n_rows = scaled.len() / n_moving;
        let mut furthest = vec![f64::NEG_INFINITY; n_rows - start];
        for sensor in 0..n_moving {
            let column: Vec<i16> = column(scaled, n_moving, sensor).collect();
            let Some((shapes, distances)) = Shapes::learn(sensor, &column, start) else { continue };
            self.shapes.push(shapes);
            for (furthest, distance) in furthest.iter_mut().zip(distances) {
                *furthest = furthest.max(distance);
            }
            if self.shapes.len() == SHAPE_SENSORS {
                break;
            }
        }
        if self.shapes.is_empty() {
            furthest.fill(0.0);
        }
        furthest
    }
}

/// Returns the least and the largest mean of values over a few rows.
fn means(column: impl Iterator<Item = i16>) -> RangeInclusive<f64> {
    let column: Vec<f64> = column.map(f64::from).collect();
    let means = column.windows(MEAN_ROWS).map(|values| values.iter().sum::<f64>());
    let means = means.map(|sum| sum / MEAN_ROWS as f64);
    means.clone().fold(f64::INFINITY, f64::min)..=means.fold(f64::NEG_INFINITY, f64::max)
}
