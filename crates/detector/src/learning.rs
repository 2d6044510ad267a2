//! Learning what is normal.

use std::collections::HashSet;

use isoforest::{IsolationForest, PathSum, Samples};
use sensor::{FeatureSchema, SensorEvent};

use crate::artefact::Parts;
use crate::baselines::{Baselines, GROUP_EVENTS_MIN, GROUP_FEATURES_MAX, LearntBaselines};
use crate::calibration::{AlarmRule, Calibration};
use crate::detector::Detector;
use crate::group_pattern::GroupPattern;
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
    /// No group of stations is large enough for a baseline.
    #[error(
        "no station or group of stations has {GROUP_EVENTS_MIN} events, which a baseline needs (grouped by {group_by}): \
         give more events, group more stations together, or learn one baseline for all"
    )]
    SmallGroups {
        /// As given.
        group_by: GroupPattern,
    },
    /// The baselines would not fit the metadata.
    #[error(
        "{n_groups} groups of stations with {n_features} features are too many: their product may be up to \
         {GROUP_FEATURES_MAX}; group more stations together, or learn fewer features"
    )]
    TooManyGroups {
        /// Number of groups.
        n_groups: usize,
        /// Number of features.
        n_features: usize,
    },
    /// The forest could not be fitted.
    #[error(transparent)]
    Forest(#[from] isoforest::FitError),
}

/// The result of a training, and its data.
pub(crate) struct Learnt {
    pub(crate) parts: Parts,
    /// The events that were learnt, as their positions among all.
    pub(crate) kept: Vec<usize>,
    /// The rows that were left out, in their order.
    pub(crate) left_out: Vec<LeftOutRow>,
    /// Number of samples of each tree.
    pub(crate) sample_size: usize,
}

impl Learnt {
    /// Learns from events: leaves out what no tail explains, normalises values where stations have baselines of
    /// their own, grows a forest, learns the views beside it, and calibrates all three.
    pub(crate) fn from_events(
        schema: &FeatureSchema,
        events: &[&SensorEvent],
        params: &Params,
    ) -> Result<Self, FitError> {
        let n_features = schema.len();
        check(params, events.len())?;
        let all = row_major(schema, events.iter().copied());
        if let Some(index) = all.iter().position(|value| value.abs() > Detector::VALUE_MAX) {
            let feature = String::from(&*schema.features()[index % n_features].name);
            return Err(FitError::ValueTooLarge { feature, value: all[index] });
        }
        let (baselines, left_out) = match &params.group_by {
            Some(group_by) => {
                let LearntBaselines { baselines, left_out } =
                    self::baselines(group_by, events, &all, params.keep_all_rows)?;
                (Some(baselines), left_out)
            }
            None if params.keep_all_rows => (None, Vec::new()),
            None => (None, rows_beyond_a_gap(&all, n_features)),
        };
        let kept = without(events.len(), &left_out);
        check(params, kept.len())?;
        // From here on, values are as the forest and the views see them.
        let all = normalised(baselines.as_ref(), events, all);
        let values: Vec<f64> =
            kept.iter().flat_map(|row| &all[row * n_features..][..n_features]).copied().collect();

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
                let judged = forest.map_path_sums(&self::samples(&all, schema), |row, sum| {
                    judge.strangeness(row, forest.exponent(sum)).value
                });
                Calibration::for_contamination(normal, share, judged)
            }
        };
        let mut sums: Vec<PathSum> = sums.into_iter().flatten().collect();
        sums.sort_unstable();
        let schema = schema.clone();
        let parts = Parts { schema, baselines, forest, sums, judge: Some(judge), calibration };
        Ok(Self { parts, kept, left_out, sample_size })
    }
}

/// Learns a baseline for each group of stations.
fn baselines(
    group_by: &GroupPattern,
    events: &[&SensorEvent],
    values: &[f64],
    keep_all_rows: bool,
) -> Result<LearntBaselines, FitError> {
    let stations: Vec<&str> = events.iter().map(|event| event.station_id().as_str()).collect();
    let learnt = Baselines::learn(group_by, &stations, values, keep_all_rows);
    let learnt = learnt.ok_or_else(|| FitError::SmallGroups { group_by: group_by.clone() })?;
    let (n_groups, n_features) = (learnt.baselines.groups().len(), values.len() / events.len());
    if n_groups * n_features > GROUP_FEATURES_MAX {
        return Err(FitError::TooManyGroups { n_groups, n_features });
    }
    Ok(learnt)
}

/// Returns the values of all events, normalised by the baselines of their stations.
pub(crate) fn normalised(
    baselines: Option<&Baselines>,
    events: &[&SensorEvent],
    values: Vec<f64>,
) -> Vec<f64> {
    let Some(baselines) = baselines else { return values };
    let rows = events.iter().flat_map(|event| {
        let centers = baselines.of(baselines.of_station(event.station_id().as_str()));
        centers.iter().zip(event.values()).map(|(center, &value)| center.normalised(value))
    });
    rows.collect()
}

/// Returns all rows but some.
fn without(n_rows: usize, left_out: &[LeftOutRow]) -> Vec<usize> {
    let left_out: HashSet<usize> = left_out.iter().map(|row| row.row).collect();
    (0..n_rows).filter(|row| !left_out.contains(row)).collect()
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
