//! Learning what is normal.

use std::collections::HashSet;

use isoforest::{IsolationForest, PathSum, Samples};
use sensor::{FeatureSchema, SensorEvent};

use crate::artefact::Parts;
use crate::calibration::{AlarmRule, Calibration};
use crate::detector::Detector;
use crate::judge::{Judge, LeftOutRow, rows_beyond_a_gap};
use crate::params::Params;

/// An error that occurs when a detector is fitted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// Some events must be left over to judge the others.
    #[error(
        "{n_events} events are too few to learn from: at least {} are needed",
        Detector::N_EVENTS_MIN
    )]
    TooFewEvents {
        /// Number of events given.
        n_events: usize,
    },
    /// The calibration would not fit its file.
    #[error("a detector learns from up to {} events, not {n_events}", Detector::N_EVENTS_MAX)]
    TooManyEvents {
        /// Number of events given.
        n_events: usize,
    },
    /// The rate must lie strictly between 0 and 1.
    #[error("a false-alarm rate must be between 0 and 1, not {rate}")]
    FalseAlarmRate {
        /// As given.
        rate: f64,
    },
    /// The contamination must be above 0 and at most 0.5.
    #[error("a contamination must be above 0 and up to 0.5, not {share}")]
    Contamination {
        /// As given.
        share: f64,
    },
    /// So small a rate cannot be told from so few events.
    #[error(
        "a false-alarm rate of {rate} needs at least {n_needed} events to calibrate on, and there are {n_events}: \
         give more events or allow more false alarms"
    )]
    RateTooSmall {
        /// As given.
        rate: f64,
        /// Number of events that the forest can be calibrated on.
        n_events: usize,
        /// Number of events that would do.
        n_needed: usize,
    },
    /// Trees of one sample cut nothing, and all events would look alike.
    #[error("a tree must be grown from at least 2 samples, not {sample_size}")]
    SampleSize {
        /// As given.
        sample_size: usize,
    },
    /// The square of a value would be no number.
    #[error(
        "`{feature}` has the value {value}, and {} is the largest that can be learnt",
        Detector::VALUE_MAX
    )]
    ValueTooLarge {
        /// The feature.
        feature: String,
        /// The value.
        value: f64,
    },
    /// The forest could not be fitted.
    #[error(transparent)]
    Forest(#[from] isoforest::FitError),
}

/// The result of a training, and its data.
pub(crate) struct Learnt {
    pub(crate) parts: Parts,
    /// The values of the rows that were learnt, one row after another.
    pub(crate) values: Vec<f64>,
    /// The rows that were left out, in their order.
    pub(crate) left_out: Vec<LeftOutRow>,
    /// Number of samples of each tree.
    pub(crate) sample_size: usize,
}

impl Learnt {
    /// Learns from the values of one event after another: leaves out what no tail explains, grows a forest,
    /// learns the views beside it, and calibrates all three.
    pub(crate) fn from_rows(
        schema: &FeatureSchema,
        all: &[f64],
        params: &Params,
    ) -> Result<Self, FitError> {
        let n_features = schema.len();
        check(params, all.len() / n_features)?;
        if let Some(index) = all.iter().position(|value| value.abs() > Detector::VALUE_MAX) {
            let feature = String::from(&*schema.features()[index % n_features].name);
            return Err(FitError::ValueTooLarge { feature, value: all[index] });
        }
        let left_out =
            if params.keep_all_rows { Vec::new() } else { rows_beyond_a_gap(all, n_features) };
        let values = without(all, n_features, &left_out);
        check(params, values.len() / n_features)?;

        let samples = samples(&values, schema);
        // At most half of the rows, so that every row has trees that did not draw it.
        let sample_size = params.forest.sample_size.min(samples.len() / 2);
        let forest_params = isoforest::Params { sample_size, ..params.forest };
        let fit = IsolationForest::fit(&samples, &forest_params)?;
        let sums = fit.training_path_sums(&samples).out_of_bag;
        let forest = fit.forest;
        let exponent = |sum: &Option<PathSum>| sum.map_or(f64::NAN, |sum| forest.exponent(sum));
        let of_forest: Vec<f64> = sums.iter().map(exponent).collect();
        let (judge, normal) = Judge::learn(&values, n_features, &of_forest);
        let n_events = normal.len();
        let calibration = match params.alarms {
            AlarmRule::FalseAlarmRate(rate) => {
                Calibration::for_rate(normal, rate).ok_or_else(|| too_small(rate, n_events))?
            }
            AlarmRule::Contamination(share) => {
                let judged = forest.map_path_sums(&self::samples(all, schema), |row, sum| {
                    judge.strangeness(row, forest.exponent(sum)).value
                });
                Calibration::for_contamination(normal, share, judged)
            }
        };
        let mut sums: Vec<PathSum> = sums.into_iter().flatten().collect();
        sums.sort_unstable();
        let schema = schema.clone();
        let parts = Parts { schema, forest, sums, judge: Some(judge), calibration };
        Ok(Self { parts, values, left_out, sample_size })
    }
}

/// Returns the values of all rows but some.
fn without(values: &[f64], n_features: usize, left_out: &[LeftOutRow]) -> Vec<f64> {
    let left_out: HashSet<usize> = left_out.iter().map(|row| row.row).collect();
    let rows = values.chunks_exact(n_features).enumerate();
    rows.filter(|(row, _)| !left_out.contains(row)).flat_map(|(_, row)| row).copied().collect()
}

/// Returns the error that so few events cannot tell a rate.
pub(crate) fn too_small(rate: f64, n_events: usize) -> FitError {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates, which is enough"
    )]
    let n_needed = (1.0 / rate - 1.0).ceil() as usize;
    FitError::RateTooSmall { rate, n_events, n_needed }
}

/// Checks what can be checked before anything is computed.
fn check(params: &Params, n_events: usize) -> Result<(), FitError> {
    if !params.alarms.is_valid() {
        return Err(match params.alarms {
            AlarmRule::FalseAlarmRate(rate) => FitError::FalseAlarmRate { rate },
            AlarmRule::Contamination(share) => FitError::Contamination { share },
        });
    }
    if n_events < Detector::N_EVENTS_MIN {
        return Err(FitError::TooFewEvents { n_events });
    }
    if n_events > Detector::N_EVENTS_MAX {
        return Err(FitError::TooManyEvents { n_events });
    }
    if params.forest.sample_size < 2 {
        return Err(FitError::SampleSize { sample_size: params.forest.sample_size });
    }
    Ok(())
}

pub(crate) fn row_major<'a>(
    schema: &FeatureSchema,
    events: impl IntoIterator<Item = &'a SensorEvent, IntoIter: Clone>,
) -> Vec<f64> {
    let events = events.into_iter();
    let is_of_schema = |event: &SensorEvent| event.values().len() == schema.len();
    assert!(events.clone().all(is_of_schema), "events are of the schema of the detector");
    SensorEvent::rows(events)
}

pub(crate) fn samples<'a>(values: &'a [f64], schema: &FeatureSchema) -> Samples<'a> {
    Samples::new(values, schema.len())
        .expect("an event has a value for each of the schema's features")
}
