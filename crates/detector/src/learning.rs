//! Learning what is normal.

use std::borrow::Cow;
use std::collections::HashSet;

use isoforest::{IsolationForest, PathSum, Samples};
use sensor::{FeatureSchema, SensorEvent};

use crate::artefact::Parts;
use crate::baselines::{
    Baselines, GROUP_EVENTS_MIN, GROUP_FEATURES_MAX, LearntBaselines, StationBaseline,
};
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
    #[error(
        "a detector learns from up to {} events, and there are {n_events} or more: give a part of them",
        Detector::N_EVENTS_MAX
    )]
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
        "{n_groups} groups of stations with {n_features} features are too many: groups times one more than features may be \
         up to {GROUP_FEATURES_MAX}; group more stations together, or learn fewer features"
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
        let measured = row_major(schema, events.iter().copied());
        if let Some(index) = measured.iter().position(|value| value.abs() > Detector::VALUE_MAX) {
            let feature = String::from(&*schema.features()[index % n_features].name);
            return Err(FitError::ValueTooLarge { feature, value: measured[index] });
        }
        let (baselines, left_out) = match &params.group_by {
            Some(group_by) => {
                let stations: Vec<&str> =
                    events.iter().map(|event| event.station_id().as_str()).collect();
                let LearntBaselines { baselines, left_out } =
                    Baselines::learn(group_by, &stations, &measured, params.keep_all_rows)?;
                (Some(baselines), left_out)
            }
            None if params.keep_all_rows => (None, Vec::new()),
            None => (None, rows_beyond_a_gap(&measured, n_features)),
        };
        let kept = without(events.len(), &left_out);
        check(params, kept.len())?;
        let kept_of = |all: &[f64]| -> Vec<f64> {
            kept.iter().flat_map(|row| &all[row * n_features..][..n_features]).copied().collect()
        };
        // As the forest and the views see them.
        let all = match &baselines {
            None => Cow::Borrowed(&measured),
            Some(baselines) => {
                Cow::Owned(baselines.normalised_rows(&baselines.of_events(events), &measured))
            }
        };
        let values = kept_of(&all);

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
        let strangeness = |rows: &[f64]| {
            forest.map_path_sums(&self::samples(rows, schema), |row, sum| {
                judge.strangeness(row, forest.exponent(sum)).value
            })
        };
        let calibration = calibration(params.alarms, normal, || strangeness(&all))?;
        // As a station would be judged that the training did not have.
        let of_fleet = match &baselines {
            None => None,
            Some(baselines) => {
                let fleet = vec![StationBaseline::fleet(Some(baselines)); kept.len()];
                let normal = strangeness(&baselines.normalised_rows(&fleet, &kept_of(&measured)));
                Some(self::calibration(params.alarms, normal.clone(), || normal)?)
            }
        };
        let mut sums: Vec<PathSum> = sums.into_iter().flatten().collect();
        sums.sort_unstable();
        let schema = schema.clone();
        let judge = Some(judge);
        let parts = Parts { schema, baselines, forest, sums, judge, calibration, of_fleet };
        Ok(Self { parts, kept, left_out, sample_size })
    }
}

/// Calibrates by what normal rows got. `all` says what all rows of the training got, where that matters.
fn calibration(
    alarms: AlarmRule,
    normal: Vec<f64>,
    all: impl FnOnce() -> Vec<f64>,
) -> Result<Calibration, FitError> {
    match alarms {
        AlarmRule::FalseAlarmRate(rate) => {
            let n_events = normal.len();
            Calibration::for_rate(normal, rate).ok_or_else(|| too_small(rate, n_events))
        }
        AlarmRule::Contamination(share) => Ok(Calibration::for_contamination(normal, share, all())),
    }
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
