//! Learning from events, and judging one.

use std::borrow::Cow;
use std::sync::Arc;

use isoforest::{Engine, EngineError, IsolationForest, PathSum};
use sensor::{
    Attribution, Direction, Evidence, Excess, FeatureSchema, FeatureValues, Prediction, SensorEvent,
};

use crate::artefact::{ArtefactError, Parts, sha256_hex};
use crate::baselines::{GROUP_EVENTS_MIN, StationBaseline};
use crate::calibration::AlarmRule;
use crate::judge::{Judge, RELATED_MAX};
use crate::learning::{FitError, Learnt, samples, too_small};
use crate::lessons::{Lessons, StationLesson};
use crate::meta::{BaselinesMeta, DataMeta, FeatureMeta, ModelMeta, Training};
use crate::params::Params;
use crate::scorer::Scorer;
use crate::summary::{FeatureSummary, Quantiles};

/// The judgement of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RowScore {
    /// In (0, 1], higher is more anomalous.
    pub anomaly_score: f64,
    /// Share of normal events that are as strange, in (0, 1].
    pub p_value: f64,
    /// `true` if the row is anomalous by the alarm rule.
    pub is_anomaly: bool,
    /// The evidence that speaks most for an anomaly.
    pub evidence: Evidence,
}

/// A schema, a forest, the views beside it and their calibration: everything that an event is judged by.
#[derive(Debug, Clone)]
pub struct Detector {
    parts: Parts,
    meta: ModelMeta,
    /// The artefact, where `fit` has just encoded it for its checksum.
    artefact: Option<Arc<[u8]>>,
}

impl Detector {
    /// Fewer events cannot be learnt from.
    pub const N_EVENTS_MIN: usize = 4;
    /// Of more features that vary, the values are not compared with each other.
    pub const RELATED_MAX: usize = RELATED_MAX;
    /// A group with fewer events has no baseline of its own.
    pub const BASELINE_EVENTS_MIN: usize = GROUP_EVENTS_MIN;
    /// Larger values are not learnt: their spread would be no number.
    pub const VALUE_MAX: f64 = 1e150;
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
        let events: Vec<&SensorEvent> = events.iter().collect();
        let learnt = Learnt::from_events(schema, &events, params)?;
        let Learnt { mut parts, kept, left_out } = learnt;
        if params.keeps_lessons {
            parts.lessons = Lessons::learn(&events, |place| kept.binary_search(&place).is_ok());
        }
        let kept = kept.into_iter().map(|index| events[index]);
        let column = |index: usize| kept.clone().map(move |event| event.values()[index]);
        let baselines = parts.baselines();
        let training = Training {
            schema,
            summaries: (0..schema.len()).map(|index| FeatureSummary::of(column(index))).collect(),
            n_rows: kept.len(),
            left_out: &left_out,
            baselines: baselines
                .map(|baselines| BaselinesMeta::new(baselines, schema.len(), kept.clone())),
            lessons: parts.lessons.meta(),
            format: parts.version(),
            params,
            sample_size: parts.main_scorer().forest.conventions().sample_size,
            threshold: parts.main_scorer().threshold,
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
        let detector = Learnt::from_events(schema, learnt, params)?.parts;
        let judged = detector.judge_events(judged);
        Ok(judged.into_iter().filter(|row| row.is_anomaly).count())
    }

    fn new(parts: Parts, meta: ModelMeta) -> Self {
        Self { parts, meta, artefact: None }
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

    /// Returns the detector with metadata that says what it learnt from.
    #[must_use]
    pub fn with_data(mut self, data: DataMeta) -> Self {
        self.meta.data = Some(data);
        self
    }

    /// Returns the rule by which an event is called anomalous.
    pub fn alarm_rule(&self) -> AlarmRule {
        self.parts.scorer.calibration.rule()
    }

    /// Returns the number of trees, and of the samples of each.
    pub(crate) fn forest_size(&self) -> (usize, usize) {
        (self.forest().n_trees(), self.forest().conventions().sample_size)
    }

    /// Returns the score above which the forest alone calls an event anomalous; of stations with a baseline, where
    /// there are such. The other evidence can do so below it.
    pub fn threshold(&self) -> f64 {
        self.parts.main_scorer().threshold
    }

    /// Returns the threshold for the events of a station.
    pub fn threshold_of(&self, station: &str) -> f64 {
        self.parts.scorer_of(self.baseline_of(station)).threshold
    }

    /// Returns the same detector with another false-alarm rate; nothing is learnt again.
    ///
    /// # Errors
    ///
    /// Fails when the rate is none, and when the training had too few events to tell it.
    pub fn with_false_alarm_rate(self, rate: f64) -> Result<Self, FitError> {
        if !AlarmRule::FalseAlarmRate(rate).is_valid() {
            return Err(FitError::FalseAlarmRate { rate });
        }
        let with_rate = |Scorer { forest, sums, judge, calibration, .. }: Scorer| {
            let n_events = calibration.normal().len();
            let calibration =
                calibration.with_rate(rate).ok_or_else(|| too_small(rate, n_events))?;
            Ok::<_, FitError>(Scorer::new(forest, sums, judge, calibration))
        };
        let parts = self.parts.with_scorers(with_rate)?;
        Ok(Self::new(parts, self.meta))
    }

    /// Returns the model of the same training with another false-alarm rate: as another version, to be saved. Nothing is learnt
    /// again.
    ///
    /// # Errors
    ///
    /// Fails when the rate is none, and when the training had too few events to tell it.
    pub fn rethreshold(self, rate: f64) -> Result<Self, FitError> {
        let detector = self.with_false_alarm_rate(rate)?;
        let artefact: Arc<[u8]> = detector.parts.encode().into();
        let threshold = detector.threshold();
        let meta = detector.meta.with_threshold(threshold, rate, sha256_hex(&artefact));
        Ok(Self { artefact: Some(artefact), ..Self::new(detector.parts, meta) })
    }

    /// Judges one event; explains it when it is an anomaly.
    ///
    /// # Panics
    ///
    /// Panics when the event is of another schema.
    pub fn assess(&self, event: &SensorEvent) -> Prediction {
        let baseline = self.baseline_of(event.station_id().as_str());
        let (scorer, row) = self.parts.seen(baseline, event.values());
        let RowScore { anomaly_score, p_value, is_anomaly, evidence } = scorer.judge_row(&row);
        Prediction {
            station_id: event.station_id().clone(),
            sequence: event.sequence(),
            timestamp_us: event.timestamp_us(),
            features: self.schema().feature_values(event),
            anomaly_score,
            threshold: scorer.threshold,
            is_anomaly,
            p_value,
            evidence: Some(evidence),
            outside: self.outside(baseline, event.values()),
            baseline: baseline.kind(),
            alarm: None,
            model_version: self.meta.model_version.clone(),
            attributions: if is_anomaly {
                self.attributions(event.values(), scorer.pushes(&row, evidence))
            } else {
                Vec::new()
            },
        }
    }

    /// Returns the baseline that a station is judged by.
    pub fn baseline_of(&self, station: &str) -> StationBaseline {
        self.parts.baseline_of(station)
    }

    /// Returns the baseline for rows whose station is not known.
    pub fn baseline_of_fleet(&self) -> StationBaseline {
        self.parts.baseline_of_fleet()
    }

    /// Returns `true` if groups of stations have baselines of their own.
    pub fn has_baselines(&self) -> bool {
        self.parts.of_stations.is_some()
    }

    /// Returns the features, and how their values were distributed in training: at this station, where it has a baseline,
    /// else at all stations together.
    pub fn features_of(&self, station: &str) -> Cow<'_, [FeatureMeta]> {
        let all = &self.meta.features;
        let group = self.baseline_of(station).group();
        match group.zip(self.meta.baselines.as_ref()) {
            None => Cow::Borrowed(all),
            Some((group, baselines)) => {
                let of_group = &baselines.groups[group].features;
                all.iter().zip(of_group).map(|(all, of_group)| all.in_group(of_group)).collect()
            }
        }
    }

    /// Returns how the values of a feature were distributed in training where a baseline was learnt.
    fn quantiles_of(&self, baseline: StationBaseline, feature: usize) -> Option<&Quantiles> {
        match baseline.group().zip(self.meta.baselines.as_ref()) {
            None => self.meta.features[feature].quantiles.as_ref(),
            Some((group, of_groups)) => {
                of_groups.groups[group].features[feature].quantiles.as_ref()
            }
        }
    }

    /// Returns what a station learns from in time order; `None` if the training did not have it.
    pub fn lesson_of(&self, station: &str) -> Option<&StationLesson> {
        self.parts.lessons.of_station(station)
    }

    /// Returns `true` if the metadata counts the lessons.
    pub(crate) fn has_lessons_of_meta(&self) -> bool {
        self.meta.lessons == self.parts.lessons.meta()
    }

    /// Returns `true` if the metadata describes the baselines that events are judged by.
    pub(crate) fn has_baselines_of_meta(&self) -> bool {
        match (&self.meta.baselines, self.parts.baselines()) {
            (None, None) => true,
            (Some(described), Some(baselines)) => described.is_of(baselines),
            _ => false,
        }
    }

    /// Returns the values that lie outside of what training has seen: of the station, where it has a baseline.
    fn outside(&self, baseline: StationBaseline, values: &[f64]) -> Vec<Excess> {
        let Some(judge) = &self.parts.scorer.judge else { return Vec::new() };
        let excess = |(feature, (name, &value)): (usize, (&Arc<str>, &f64))| {
            let by_ranges = match baseline.group() {
                None => judge.by_ranges(feature, value)?,
                Some(_) => self.quantiles_of(baseline, feature)?.by_ranges(value)?,
            };
            Some(Excess {
                feature: Arc::clone(name),
                side: if by_ranges > 0.0 { Direction::High } else { Direction::Low },
                by_ranges: by_ranges.is_finite().then_some(by_ranges.abs()),
            })
        };
        self.schema().names().iter().zip(values).enumerate().filter_map(excess).collect()
    }

    /// Returns the attributions of an event, the largest towards anomalous first.
    ///
    /// # Panics
    ///
    /// Panics when the event is of another schema.
    pub fn explain(&self, event: &SensorEvent) -> Vec<Attribution> {
        let (scorer, row) =
            self.parts.seen(self.baseline_of(event.station_id().as_str()), event.values());
        let evidence = scorer.judge_row(&row).evidence;
        self.attributions(event.values(), scorer.pushes(&row, evidence))
    }

    /// Returns the attributions of measured values by how much each pushes.
    fn attributions(
        &self,
        values: &[f64],
        pushes: Vec<(f64, Option<Direction>)>,
    ) -> Vec<Attribution> {
        let named = self.schema().names().iter().zip(values);
        let mut attributions: Vec<Attribution> = named
            .zip(pushes)
            .map(|((name, &value), (contribution, direction))| Attribution {
                feature: Arc::clone(name),
                value: (!value.is_nan()).then_some(value),
                contribution,
                direction,
            })
            .collect();
        attributions.sort_by(|a, b| b.contribution.total_cmp(&a.contribution));
        attributions
    }

    /// Returns the range in which the other values of a row say that this one lies.
    pub(crate) fn expected(
        &self,
        baseline: StationBaseline,
        values: &[f64],
        feature: usize,
    ) -> Option<(f64, f64)> {
        let (scorer, row) = self.parts.seen(baseline, values);
        let (low, high) = scorer.judge.as_ref()?.expected(&row, feature)?;
        Some(match self.parts.baselines().zip(baseline.group()) {
            None => (low, high),
            Some((baselines, group)) => {
                let center = baselines.of_group(group)[feature];
                (center.value_at(low), center.value_at(high))
            }
        })
    }

    /// Returns how much each value of a row pushes it towards anomalous.
    pub(crate) fn contributions(&self, baseline: StationBaseline, values: &[f64]) -> Vec<f64> {
        let (scorer, row) = self.parts.seen(baseline, values);
        let pushes = scorer.pushes(&row, scorer.judge_row(&row).evidence);
        pushes.into_iter().map(|(push, _)| push).collect()
    }

    /// Returns the importance of each feature to the forest over some events: its share of all that moves their scores,
    /// in either direction. The shares add up to 1, or are 0 where nothing moves.
    ///
    /// # Panics
    ///
    /// Panics when an event is of another schema.
    pub fn importance(&self, events: &[&SensorEvent]) -> Vec<f64> {
        let mut moved = vec![0.0; self.schema().len()];
        for event in events {
            let baseline = self.baseline_of(event.station_id().as_str());
            let (scorer, row) = self.parts.seen(baseline, event.values());
            for (moved, contribution) in moved.iter_mut().zip(scorer.forest.contributions(&row)) {
                *moved += contribution.abs();
            }
        }
        let total: f64 = moved.iter().sum();
        if total > 0.0 {
            for moved in &mut moved {
                *moved /= total;
            }
        }
        moved
    }

    /// Judges events in parallel, each as [`Detector::assess`] does.
    ///
    /// # Panics
    ///
    /// Panics when an event is of another schema.
    pub fn judge_events(&self, events: &[&SensorEvent]) -> Vec<RowScore> {
        self.parts.judge_events(events)
    }

    /// Judges rows of bare values in parallel, each as [`Detector::assess`] judges an event of a station that it does
    /// not know.
    ///
    /// `values` are those of one row after another, in the order of the features, NaN for a missing
    /// one. What the schema thinks of them is not asked.
    ///
    /// # Panics
    ///
    /// Panics when the last row is not whole.
    pub fn judge_rows(&self, values: &[f64]) -> Vec<RowScore> {
        self.parts.scorer.judge_rows(&samples(values, self.schema()))
    }

    /// Judges rows of bare values in parallel, as [`Detector::judge_rows`] does, each by its
    /// [baseline](Detector::baseline_of).
    ///
    /// # Panics
    ///
    /// Panics when there are not as many rows as baselines, or a baseline is of another detector.
    pub fn judge_rows_by(&self, baselines: &[StationBaseline], values: &[f64]) -> Vec<RowScore> {
        assert_eq!(values.len(), baselines.len() * self.schema().len(), "each row has a baseline");
        self.parts.judge_rows(baselines, values)
    }

    /// Judges one row of bare values, as [`Detector::judge_rows`] does.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as features.
    pub fn judge_row(&self, values: &[f64]) -> RowScore {
        self.judge_row_by(self.baseline_of_fleet(), values)
    }

    pub(crate) fn judge_row_by(&self, baseline: StationBaseline, values: &[f64]) -> RowScore {
        let (scorer, row) = self.parts.seen(baseline, values);
        scorer.judge_row(&row)
    }

    /// Returns the approximate number of multiplications that judging a row takes, of half a nanosecond each. They are many
    /// where values are missing: each goes both ways at a cut, and out of the relation of hundreds it is
    /// integrated.
    pub fn work_of(&self, values: &[f64]) -> usize {
        let n_missing = values.iter().filter(|value| value.is_nan()).count();
        let n_related = self.n_related();
        let n_out = n_missing.min(n_related);
        let n_given = n_related - n_out;
        let of_relation = n_related * n_related + n_out * n_out * (n_given + n_out / 3);
        self.work_of_forest(n_missing as f64 / values.len() as f64) + of_relation
    }

    /// Returns the same for the forest. With a share of the values missing, a walk visits all nodes of a tree to the power of
    /// log2(1 + share), with the depth for each, but no more than there are.
    fn work_of_forest(&self, share_missing: f64) -> usize {
        /// Multiplications in the time of one node.
        const OF_NODE: f64 = 4.0;
        let (n_trees, sample_size) = self.forest_size();
        let n_nodes = 2.0 * sample_size as f64;
        let depth = n_nodes.log2();
        let n_visited = n_nodes.powf((1.0 + share_missing).log2()) * depth;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of nodes, or as many as there can be"
        )]
        let work = (n_trees as f64 * n_visited.min(n_nodes) * OF_NODE) as usize;
        work
    }

    /// Returns `true` if values are compared with each other; of more than 512 features that vary they are not.
    pub fn relates_values(&self) -> bool {
        self.n_related() > 0
    }

    /// Returns the number of features that are compared with each other, where it is larger.
    fn n_related(&self) -> usize {
        let judges = self.parts.scorers().filter_map(|scorer| scorer.judge.as_ref());
        judges.map(Judge::n_related).max().unwrap_or(0)
    }

    /// Returns the forest: that of stations with a baseline, where there are such.
    pub fn forest(&self) -> &IsolationForest {
        &self.parts.main_scorer().forest
    }

    /// Returns the values that a prediction of this detector was made from, in the order of the features, NaN
    /// for a missing one; `None` when they are of another detector.
    pub fn row(&self, values: &FeatureValues) -> Option<Vec<f64>> {
        let value = |name: &str| Some(values.get(name)?.unwrap_or(f64::NAN));
        self.schema().features().iter().map(|feature| value(&feature.name)).collect()
    }

    /// Returns the scores of the training events as if they had not been learnt.
    pub fn calibration(&self) -> CalibrationScores<'_> {
        let Scorer { forest, sums, .. } = self.parts.main_scorer();
        CalibrationScores { forest, sums }
    }

    /// Returns the engine that scores.
    pub fn engine(&self) -> Engine {
        self.forest().engine()
    }

    /// Returns the names of the features that take longer to score, since 32 bits do not tell their values
    /// apart.
    pub fn wide_features(&self) -> Vec<&str> {
        let features = self.schema().features();
        let wide = self.forest().wide_features().into_iter();
        wide.map(|feature| &*features[feature].name).collect()
    }

    /// Returns the same detector with another engine; it judges in the same way.
    ///
    /// # Errors
    ///
    /// Fails when this machine cannot run the engine.
    pub fn with_engine(self, engine: Engine) -> Result<Self, EngineError> {
        let with_engine =
            |scorer: Scorer| Ok(Scorer { forest: scorer.forest.with_engine(engine)?, ..scorer });
        let parts = self.parts.with_scorers(with_engine)?;
        Ok(Self { parts, ..self })
    }
}

/// The scores of the training events as if they had not been learnt.
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
