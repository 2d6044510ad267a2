//! Learning from events, and judging one.

use std::sync::Arc;

use isoforest::{Engine, EngineError, IsolationForest, PathSum, Samples, Threshold};
use sensor::{Attribution, FeatureSchema, FeatureValues, Prediction, SensorEvent};

use crate::artefact::{ArtefactError, Parts, sha256_hex};
use crate::calibration::{AlarmRule, Calibration};
use crate::meta::{ModelMeta, Training};
use crate::params::Params;
use crate::summary::FeatureSummary;

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
    /// The rate is no share that could be missed and met.
    #[error("a false-alarm rate must be between 0 and 1, not {rate}")]
    FalseAlarmRate {
        /// As given.
        rate: f64,
    },
    /// The share is none that a training set can be contaminated by.
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
    /// The forest could not be fitted.
    #[error(transparent)]
    Forest(#[from] isoforest::FitError),
}

/// The judgement of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowScore {
    /// In (0, 1], higher is more anomalous.
    pub anomaly_score: f64,
    /// Share of normal events that score as high, in (0, 1].
    pub p_value: f64,
    /// `true` if the row is anomalous by the alarm rule.
    pub is_anomaly: bool,
}

/// A schema, a forest and its calibration: everything that an event is judged by.
#[derive(Debug, Clone)]
pub struct Detector {
    parts: Parts,
    threshold: Threshold,
    /// The threshold as a score.
    threshold_score: f64,
    meta: ModelMeta,
    /// The artefact, where `fit` has just encoded it for its checksum.
    artefact: Option<Arc<[u8]>>,
}

impl Detector {
    /// Fewer events cannot be learnt from.
    pub const N_EVENTS_MIN: usize = 4;
    /// More events are not taken: each leaves its path sum in the file.
    pub const N_EVENTS_MAX: usize = 1 << 24;

    /// Learns what is normal from `events` of this `schema`; they should be normal, by and large.
    ///
    /// `trained_at_us` is the time of the training, in microseconds since 1970 (UTC). It names the
    /// model and does not change what it learns.
    ///
    /// # Errors
    ///
    /// Fails when a parameter is out of its range, and when there are too few events for it.
    ///
    /// # Panics
    ///
    /// Panics when an event is of another schema.
    pub fn fit(
        schema: &FeatureSchema,
        events: &[SensorEvent],
        params: &Params,
        trained_at_us: i64,
    ) -> Result<Self, FitError> {
        check(params, events.len())?;
        let values = row_major(schema, events);
        let (parts, sample_size) = Parts::fit(schema, &values, params)?;
        let (_, threshold) = parts.calibration.threshold(&parts.forest);
        let n_features = schema.len();
        let column = |feature: usize| values.iter().skip(feature).step_by(n_features).copied();
        let training = Training {
            schema,
            summaries: (0..n_features).map(|feature| FeatureSummary::of(column(feature))).collect(),
            n_rows: events.len(),
            params,
            sample_size,
            threshold,
        };
        let artefact: Arc<[u8]> = parts.encode().into();
        let meta = ModelMeta::new(training, sha256_hex(&artefact), trained_at_us);
        Ok(Self { artefact: Some(artefact), ..Self::new(parts, meta) })
    }

    /// Returns the number of alarms that a detector fitted to `learnt` raises for `judged`. Nothing else
    /// of that detector is made.
    ///
    /// # Errors
    ///
    /// Fails like [`Detector::fit`].
    ///
    /// # Panics
    ///
    /// Panics when an event is of another schema.
    pub fn alarms_after(
        schema: &FeatureSchema,
        params: &Params,
        learnt: &[&SensorEvent],
        judged: &[&SensorEvent],
    ) -> Result<usize, FitError> {
        check(params, learnt.len())?;
        let values = row_major(schema, learnt.iter().copied());
        let (parts, _) = Parts::fit(schema, &values, params)?;
        let (threshold, _) = parts.calibration.threshold(&parts.forest);
        let values = row_major(schema, judged.iter().copied());
        let is_alarm = |sum| threshold.is_exceeded_by(sum);
        let alarms = parts.forest.map_path_sums(&samples(&values, schema), is_alarm);
        Ok(alarms.into_iter().filter(|is_alarm| *is_alarm).count())
    }

    fn new(parts: Parts, meta: ModelMeta) -> Self {
        let (threshold, threshold_score) = parts.calibration.threshold(&parts.forest);
        Self { parts, threshold, threshold_score, meta, artefact: None }
    }

    /// Returns the content of `isoforest.bin`. Equal detectors give equal bytes.
    pub fn encode(&self) -> Arc<[u8]> {
        self.artefact.as_ref().map_or_else(|| self.parts.encode().into(), Arc::clone)
    }

    /// Reads what [`Detector::encode`] wrote. The bytes need not be trusted; `meta` must be theirs.
    pub(crate) fn decode(bytes: &[u8], meta: ModelMeta) -> Result<Self, ArtefactError> {
        Ok(Self::new(Parts::decode(bytes)?, meta))
    }

    /// Returns the features of an event.
    pub fn schema(&self) -> &FeatureSchema {
        &self.parts.schema
    }

    /// Returns the metadata.
    pub fn meta(&self) -> &ModelMeta {
        &self.meta
    }

    /// Returns the rule by which an event is called anomalous.
    pub fn alarm_rule(&self) -> AlarmRule {
        self.parts.calibration.rule()
    }

    /// Returns the number of trees, and of the samples of each.
    pub(crate) fn forest_size(&self) -> (usize, usize) {
        (self.parts.forest.n_trees(), self.parts.forest.conventions().sample_size)
    }

    /// Returns the lowest score that is called anomalous.
    ///
    /// With [`AlarmRule::Contamination`], a score must be above it.
    pub fn threshold(&self) -> f64 {
        self.threshold_score
    }

    /// Judges one event; explains it when it is an anomaly.
    ///
    /// # Panics
    ///
    /// Panics when the event is of another schema.
    pub fn assess(&self, event: &SensorEvent) -> Prediction {
        let sum = self.parts.forest.path_sum(event.values());
        let is_anomaly = self.threshold.is_exceeded_by(sum);
        Prediction {
            station_id: event.station_id().clone(),
            sequence: event.sequence(),
            timestamp_us: event.timestamp_us(),
            features: self.schema().feature_values(event),
            anomaly_score: self.parts.forest.score(sum),
            threshold: self.threshold_score,
            is_anomaly,
            p_value: self.parts.calibration.p_value(sum),
            model_version: self.meta.model_version.clone(),
            attributions: if is_anomaly { self.explain(event) } else { Vec::new() },
        }
    }

    /// Returns the attributions of an event, the largest towards anomalous first.
    ///
    /// # Panics
    ///
    /// Panics when the event is of another schema.
    pub fn explain(&self, event: &SensorEvent) -> Vec<Attribution> {
        let contributions = self.contributions(event.values());
        let named = self.schema().names().iter().zip(event.values());
        let mut attributions: Vec<Attribution> = named
            .zip(contributions)
            .map(|((name, &value), contribution)| Attribution {
                feature: Arc::clone(name),
                value: (!value.is_nan()).then_some(value),
                contribution,
            })
            .collect();
        attributions.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        attributions
    }

    /// Returns the contribution of each value of a row, positive towards anomalous.
    pub(crate) fn contributions(&self, values: &[f64]) -> Vec<f64> {
        self.parts.forest.contributions(values)
    }

    /// Judges rows of bare values in parallel, each as [`Detector::assess`] judges an event.
    ///
    /// `values` are those of one row after another, in the order of the features, NaN for a missing
    /// one. What the schema thinks of them is not asked.
    ///
    /// # Panics
    ///
    /// Panics when the last row is not whole.
    pub fn judge_rows(&self, values: &[f64]) -> Vec<RowScore> {
        let samples = samples(values, self.schema());
        self.parts.forest.map_path_sums(&samples, |sum| self.row_score(sum))
    }

    /// Judges one row of bare values, as [`Detector::judge_rows`] does.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as features.
    pub fn judge_row(&self, values: &[f64]) -> RowScore {
        self.row_score(self.parts.forest.path_sum(values))
    }

    fn row_score(&self, sum: PathSum) -> RowScore {
        RowScore {
            anomaly_score: self.parts.forest.score(sum),
            p_value: self.parts.calibration.p_value(sum),
            is_anomaly: self.threshold.is_exceeded_by(sum),
        }
    }

    /// Returns the forest.
    pub fn forest(&self) -> &IsolationForest {
        &self.parts.forest
    }

    /// Returns the values that a prediction of this detector was made from, in the order of the features, NaN
    /// for a missing one; `None` when they are of another detector.
    pub fn row(&self, values: &FeatureValues) -> Option<Vec<f64>> {
        let value = |name: &str| Some(values.get(name)?.unwrap_or(f64::NAN));
        self.schema().features().iter().map(|feature| value(&feature.name)).collect()
    }

    /// Returns the scores that the detector is calibrated with: those of the training events as if they
    /// had not been learnt.
    pub fn calibration(&self) -> CalibrationScores<'_> {
        CalibrationScores { forest: &self.parts.forest, sums: &self.parts.calibration.sums }
    }

    /// Returns the engine that scores.
    pub fn engine(&self) -> Engine {
        self.parts.forest.engine()
    }

    /// Returns the names of the features that take longer to score, since 32 bits do not tell their values
    /// apart.
    pub fn wide_features(&self) -> Vec<&str> {
        let features = self.schema().features();
        let wide = self.parts.forest.wide_features().into_iter();
        wide.map(|feature| &*features[feature].name).collect()
    }

    /// Returns the same detector with another engine; it judges in the same way.
    ///
    /// # Errors
    ///
    /// Fails when this machine cannot run the engine.
    pub fn with_engine(self, engine: Engine) -> Result<Self, EngineError> {
        let forest = self.parts.forest.with_engine(engine)?;
        Ok(Self { parts: Parts { forest, ..self.parts }, ..self })
    }
}

/// The scores that a detector is calibrated with.
#[derive(Debug, Clone, Copy)]
pub struct CalibrationScores<'a> {
    forest: &'a IsolationForest,
    /// Ascending: the most anomalous first.
    sums: &'a [PathSum],
}

impl CalibrationScores<'_> {
    /// Returns the number of scores.
    #[expect(clippy::len_without_is_empty, reason = "a calibration has scores")]
    pub fn len(self) -> usize {
        self.sums.len()
    }

    /// Returns the lowest and the highest score.
    pub fn score_range(self) -> (f64, f64) {
        let [most_anomalous, .., least_anomalous] = self.sums else {
            let score = self.forest.score(self.sums[0]);
            return (score, score);
        };
        (self.forest.score(*least_anomalous), self.forest.score(*most_anomalous))
    }

    /// Returns the number of scores that are at least this one.
    pub fn n_from(self, score: f64) -> usize {
        self.sums.partition_point(|&sum| self.forest.score(sum) >= score)
    }

    /// Returns the share of scores below this one, 0 to 1.
    pub fn share_below(self, score: f64) -> f64 {
        1.0 - self.n_from(score) as f64 / self.len() as f64
    }
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

impl Parts {
    /// Grows a forest and calibrates it. Also returns the sample size of its trees.
    fn fit(
        schema: &FeatureSchema,
        values: &[f64],
        params: &Params,
    ) -> Result<(Self, usize), FitError> {
        let samples = samples(values, schema);
        // At most half of the rows, so that every row has trees that did not draw it.
        let sample_size = params.forest.sample_size.min(samples.len() / 2);
        let forest_params = isoforest::Params { sample_size, ..params.forest };
        let fit = IsolationForest::fit(&samples, &forest_params)?;
        let calibration = Calibration::new(fit.training_path_sums(&samples), params.alarms);
        if let AlarmRule::FalseAlarmRate(rate) = params.alarms
            && !calibration.is_usable()
        {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, which is enough"
            )]
            let n_needed = (1.0 / rate - 1.0).ceil() as usize;
            let n_events = calibration.sums.len();
            return Err(FitError::RateTooSmall { rate, n_events, n_needed });
        }
        Ok((Self { schema: schema.clone(), forest: fit.forest, calibration }, sample_size))
    }
}

fn row_major<'a>(
    schema: &FeatureSchema,
    events: impl IntoIterator<Item = &'a SensorEvent, IntoIter: Clone>,
) -> Vec<f64> {
    let events = events.into_iter();
    let is_of_schema = |event: &SensorEvent| event.values().len() == schema.len();
    assert!(events.clone().all(is_of_schema), "events are of the schema of the detector");
    SensorEvent::rows(events)
}

fn samples<'a>(values: &'a [f64], schema: &FeatureSchema) -> Samples<'a> {
    Samples::new(values, schema.len())
        .expect("an event has a value for each of the schema's features")
}
