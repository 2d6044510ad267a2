//! Learning what is normal.

use std::collections::HashSet;

use isoforest::Samples;
use sensor::{FeatureSchema, SensorEvent};

use crate::artefact::{OfStations, Parts};
use crate::baselines::{
    Baselines, GROUP_EVENTS_MIN, GROUP_FEATURES_MAX, LearntBaselines, StationBaseline, rows_of,
};
use crate::calibration::AlarmRule;
use crate::detector::Detector;
use crate::group_pattern::GroupPattern;
use crate::judge::{LeftOutRow, rows_beyond_a_gap};
use crate::lessons::Lessons;
use crate::params::Params;
use crate::scorer::{Scorer, Uncalibrated};

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
        "`{feature}` has the value {value:?}, and {:?} is the largest that can be learnt",
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
}

impl Learnt {
    /// Learns from events: leaves out what no tail explains, and learns what to judge all others by; where stations have
    /// baselines of their own, once more from the normalised values of those that have one.
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
        let values = rows_of(&measured, n_features, &kept);
        let Some(baselines) = baselines else {
            let (rows, all) = (samples(&values, schema), samples(&measured, schema));
            let scorer = Scorer::learn(&rows, &all, params)?;
            let lessons = Lessons::default();
            let parts = Parts { schema: schema.clone(), scorer, of_stations: None, lessons };
            return Ok(Self { parts, kept, left_out });
        };
        let groups: Vec<Option<usize>> =
            baselines.of_events(events).into_iter().map(StationBaseline::group).collect();
        let groups_of_kept: Vec<Option<usize>> = kept.iter().map(|&row| groups[row]).collect();
        let n_folds = baselines.groups().len().min(N_FOLDS);
        let scorer = of_fleet(schema, &values, &groups_of_kept, n_folds, params)?;
        let normalised = |rows: &mut dyn Iterator<Item = usize>| -> Vec<f64> {
            let of_groups = rows.filter_map(|row| Some((row, groups[row]?)));
            let row = |row: usize| &measured[row * n_features..][..n_features];
            of_groups.flat_map(|(index, group)| baselines.normalised(group, row(index))).collect()
        };
        let learnt = normalised(&mut kept.iter().copied());
        let all = normalised(&mut (0..events.len()));
        let of_stations = OfStations {
            scorer: Scorer::learn(&samples(&learnt, schema), &samples(&all, schema), params)?,
            baselines,
        };
        let (of_stations, lessons) = (Some(of_stations), Lessons::default());
        let parts = Parts { schema: schema.clone(), scorer, of_stations, lessons };
        Ok(Self { parts, kept, left_out })
    }
}

/// Folds of the groups, each judged by what was learnt from the others.
const N_FOLDS: usize = 5;

/// Learns to judge stations that have no baseline, by the measured values of all. `groups` has the group of each row, if
/// it has one.
///
/// Stations differ, so that a new one looks stranger than those that were learnt. So for the calibration, the groups are
/// parted into folds, and the rows of each are judged by what was learnt from the others.
fn of_fleet(
    schema: &FeatureSchema,
    values: &[f64],
    groups: &[Option<usize>],
    n_folds: usize,
    params: &Params,
) -> Result<Scorer, FitError> {
    let (learnt, mut raw) = Uncalibrated::learn(&samples(values, schema), &params.forest)?;
    if n_folds > 1 {
        raw.clear();
        for fold in 0..n_folds {
            let (judged, others): (Vec<usize>, Vec<usize>) = (0..groups.len())
                .partition(|&row| groups[row].is_some_and(|group| group % n_folds == fold));
            let [judged, others] =
                [judged, others].map(|rows| rows_of(values, schema.len(), &rows));
            let [judged, others] = [&judged, &others].map(|values| samples(values, schema));
            raw.extend(learnt.raw_without(&others, &judged, &params.forest)?);
        }
    }
    learnt.calibrated(params.alarms, &raw, None)
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
