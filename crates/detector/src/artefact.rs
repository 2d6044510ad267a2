//! A detector as bytes. `docs/model-format.md` describes them one by one.

use std::borrow::Cow;
use std::fmt::Write as _;

use isoforest::{DecodeError, IsolationForest, PathSum, envelope};
use sensor::{Feature, FeatureSchema, InvalidSchema, SensorEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artefact::ArtefactError::Inconsistent;
use crate::baselines::{Baselines, Center, StationBaseline};
use crate::calibration::{AlarmRule, Calibration};
use crate::detector::RowScore;
use crate::judge::{Column, Judge, Relation, Tail, TailParts};
use crate::learning::{row_major, samples};
use crate::lessons::{Lessons, StationLesson};
use crate::scorer::{Scorer, by_forest};

/// The first eight bytes of an `isoforest.bin`.
pub const DETECTOR_KIND: [u8; 8] = *b"\x89IFD\r\n\x1a\n";
/// The newest format version; this and all earlier ones are read.
///
/// A detector is written in the oldest version that can hold it, so that earlier programs can read it: baselines of
/// stations need the third, and lessons this one.
pub const DETECTOR_VERSION: u32 = 4;

/// An error that occurs when bytes are read as a detector.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ArtefactError {
    /// The file, or the forest within it, could not be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The features make no schema.
    #[error("its features cannot be used")]
    Schema(#[from] InvalidSchema),
    /// Parts of the file do not belong together.
    #[error("it contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// The parts of a detector that are kept in its file.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) schema: FeatureSchema,
    /// Judges values as they were measured.
    pub(crate) scorer: Scorer,
    /// Judges the values of stations that have a baseline; `None` where none has.
    pub(crate) of_stations: Option<OfStations>,
    /// Taught to stations in time order.
    pub(crate) lessons: Lessons,
}

/// Baselines, and what judges the values that they normalise.
#[derive(Debug, Clone)]
pub(crate) struct OfStations {
    pub(crate) baselines: Baselines,
    pub(crate) scorer: Scorer,
}

/// The payload of version 1. Names and columns are borrowed from it: their length is checked
/// against the bytes that are there before anything is made from them.
#[derive(Serialize, Deserialize)]
struct DetectorV1<'a> {
    #[serde(borrow)]
    features: Vec<FeatureV1<'a>>,
    cut: CutV1,
    /// A `u64` an out-of-bag path sum, ascending.
    sums: &'a [u8],
    /// A forest in its own envelope.
    forest: &'a [u8],
}

/// The payload of version 2.
#[derive(Serialize, Deserialize)]
struct DetectorV2<'a> {
    #[serde(borrow)]
    features: Vec<FeatureV1<'a>>,
    rule: RuleV2,
    #[serde(borrow)]
    scorer: ScorerV2<'a>,
}

/// The payload of version 3: what judges values as they were measured, then what judges those of stations with a
/// baseline.
#[derive(Serialize, Deserialize)]
struct DetectorV3<'a> {
    #[serde(borrow)]
    detector: DetectorV2<'a>,
    /// The pattern of station names.
    group_by: &'a str,
    /// The names of the groups, ascending.
    #[serde(borrow)]
    groups: Vec<&'a str>,
    /// For each feature of each group: two `f64`, the median and the scale, negative where the values were equal.
    #[serde(borrow)]
    centers: Cow<'a, [u8]>,
    /// The strangeness that an anomaly exceeds; of contamination only.
    limit: f64,
    #[serde(borrow)]
    scorer: ScorerV2<'a>,
}

/// The payload of version 4.
#[derive(Serialize, Deserialize)]
struct DetectorV4<'a> {
    /// A detector of an earlier version in its own envelope.
    #[serde(borrow)]
    detector: Cow<'a, [u8]>,
    /// By the names of their stations, ascending.
    #[serde(borrow)]
    lessons: Vec<LessonV4<'a>>,
}

/// The events of a station, in the order of measurement.
#[derive(Serialize, Deserialize)]
struct LessonV4<'a> {
    station: &'a str,
    /// An `i64` an event.
    #[serde(borrow)]
    timestamps: Cow<'a, [u8]>,
    /// An `f64` a value, those of one event after another.
    #[serde(borrow)]
    values: Cow<'a, [u8]>,
}

/// A scorer.
#[derive(Serialize, Deserialize)]
struct ScorerV2<'a> {
    /// A `u64` an out-of-bag path sum, ascending.
    #[serde(borrow)]
    sums: Cow<'a, [u8]>,
    /// A forest in its own envelope.
    #[serde(borrow)]
    forest: Cow<'a, [u8]>,
    #[serde(borrow)]
    judge: Option<JudgeV2<'a>>,
}

#[derive(Serialize, Deserialize)]
struct FeatureV1<'a> {
    name: &'a str,
    unit: Option<&'a str>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    optional: bool,
}

#[derive(Serialize, Deserialize)]
enum CutV1 {
    FalseAlarmRate { rate: f64 },
    Contamination { share: f64, lower: u64, upper: u64, weight: f64 },
}

#[derive(Serialize, Deserialize)]
enum RuleV2 {
    FalseAlarmRate { rate: f64 },
    Contamination { share: f64, limit: f64 },
}

/// The views beside the forest.
#[derive(Serialize, Deserialize)]
struct JudgeV2<'a> {
    /// Upper and lower tail of each feature, then those of its residuals, then the scales of the views.
    tails: Vec<TailV2>,
    /// The features that vary.
    columns: Vec<ColumnV2>,
    /// An `f64` a value of the upper triangle of the inverse of their correlations, row after row.
    #[serde(borrow)]
    precision: Cow<'a, [u8]>,
    /// An `f64` a training row: how strange it is, descending.
    #[serde(borrow)]
    normal: Cow<'a, [u8]>,
}

#[derive(Serialize, Deserialize)]
struct TailV2 {
    n: u32,
    knots: Vec<(f64, u32)>,
    step: f64,
}

#[derive(Serialize, Deserialize)]
struct ColumnV2 {
    feature: u32,
    center: f64,
    scale: f64,
}

impl Parts {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let detector = self.encode_detector();
        if self.lessons.is_empty() {
            return detector;
        }
        let lessons = self.lessons.iter().map(|(station, lesson)| LessonV4 {
            station,
            timestamps: lesson.timestamps_us().iter().flat_map(|time| time.to_le_bytes()).collect(),
            values: bytes(lesson.values()),
        });
        let payload = DetectorV4 { detector: detector.into(), lessons: lessons.collect() };
        envelope::seal(DETECTOR_KIND, self.version(), &payload)
    }

    /// Encodes all but the lessons.
    fn encode_detector(&self) -> Vec<u8> {
        let Self { schema, scorer, of_stations, lessons: _ } = self;
        let limit = scorer.calibration.limit();
        let detector = DetectorV2 {
            features: schema.features().iter().map(FeatureV1::from).collect(),
            rule: match scorer.calibration.rule() {
                AlarmRule::FalseAlarmRate(rate) => RuleV2::FalseAlarmRate { rate },
                AlarmRule::Contamination(share) => RuleV2::Contamination { share, limit },
            },
            scorer: ScorerV2::from(scorer),
        };
        let Some(OfStations { baselines, scorer }) = of_stations else {
            return envelope::seal(DETECTOR_KIND, 2, &detector);
        };
        let center = |&Center { median, scale, is_constant }: &Center| {
            [median, if is_constant { -scale } else { scale }]
        };
        let centers: Vec<f64> = baselines.centers().iter().flat_map(center).collect();
        let with_baselines = DetectorV3 {
            detector,
            group_by: baselines.group_by().as_str(),
            groups: baselines.groups().iter().map(|group| &**group).collect(),
            centers: bytes(&centers),
            limit: scorer.calibration.limit(),
            scorer: ScorerV2::from(scorer),
        };
        envelope::seal(DETECTOR_KIND, 3, &with_baselines)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ArtefactError> {
        match envelope::version(bytes) {
            Some(1..=3) => Self::decode_detector(bytes),
            _ => envelope::open::<DetectorV4<'_>>(DETECTOR_KIND, DETECTOR_VERSION, bytes)?.decode(),
        }
    }

    /// Decodes a detector of a version before there were lessons.
    fn decode_detector(bytes: &[u8]) -> Result<Self, ArtefactError> {
        match envelope::version(bytes) {
            Some(1) => Self::decode_v1(bytes),
            Some(2) => envelope::open::<DetectorV2<'_>>(DETECTOR_KIND, 2, bytes)?.decode(),
            _ => envelope::open::<DetectorV3<'_>>(DETECTOR_KIND, 3, bytes)?.decode(),
        }
    }

    fn decode_v1(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let detector: DetectorV1<'_> = envelope::open(DETECTOR_KIND, 1, bytes)?;
        let schema = schema(detector.features)?;
        let forest = forest(detector.forest, schema.len())?;
        let sums = path_sums(detector.sums)?;
        let (rule, limit) = match detector.cut {
            CutV1::FalseAlarmRate { rate } => (AlarmRule::FalseAlarmRate(rate), 0.0),
            CutV1::Contamination { share, lower, upper, weight } => {
                if lower > upper || !(0.0..1.0).contains(&weight) {
                    return Err(Inconsistent("the cut lies outside of its neighbours"));
                }
                let [lower, upper] =
                    [lower, upper].map(|sum| forest.score(PathSum::from_bits(sum)));
                let threshold = forest.threshold_above(lower + (upper - lower) * weight);
                let least = threshold.least_anomalous().map_or(0, |sum| sum.to_bits() + 1);
                (AlarmRule::Contamination(share), by_forest(PathSum::from_bits(least)))
            }
        };
        let calibration = calibration(rule, by_sums(&sums), limit)?;
        let scorer = Scorer::new(forest, sums, None, calibration);
        Ok(Self { schema, scorer, of_stations: None, lessons: Lessons::default() })
    }

    /// Returns the format version that it is written in.
    pub(crate) fn version(&self) -> u32 {
        match (self.lessons.is_empty(), &self.of_stations) {
            (false, _) => 4,
            (true, Some(_)) => 3,
            (true, None) => 2,
        }
    }

    pub(crate) fn baselines(&self) -> Option<&Baselines> {
        self.of_stations.as_ref().map(|of_stations| &of_stations.baselines)
    }

    /// Returns the baseline of a station.
    pub(crate) fn baseline_of(&self, station: &str) -> StationBaseline {
        self.baselines()
            .map_or(StationBaseline::ONE_FOR_ALL, |baselines| baselines.of_station(station))
    }

    /// Returns the baseline of rows whose station is not known.
    pub(crate) fn baseline_of_fleet(&self) -> StationBaseline {
        self.baselines().map_or(StationBaseline::ONE_FOR_ALL, |_| StationBaseline::FLEET)
    }

    /// Returns all that judges rows.
    pub(crate) fn scorers(&self) -> impl Iterator<Item = &Scorer> {
        let of_stations = self.of_stations.as_ref().map(|of_stations| &of_stations.scorer);
        of_stations.into_iter().chain([&self.scorer])
    }

    /// Changes all that judges rows.
    pub(crate) fn with_scorers<E>(
        self,
        mut change: impl FnMut(Scorer) -> Result<Scorer, E>,
    ) -> Result<Self, E> {
        let Self { schema, scorer, of_stations, lessons } = self;
        let scorer = change(scorer)?;
        let of_stations = of_stations.map(|OfStations { baselines, scorer }| {
            Ok(OfStations { baselines, scorer: change(scorer)? })
        });
        Ok(Self { schema, scorer, of_stations: of_stations.transpose()?, lessons })
    }

    /// Returns what judges most rows: those of stations with a baseline, where there are such.
    pub(crate) fn main_scorer(&self) -> &Scorer {
        self.of_stations.as_ref().map_or(&self.scorer, |of_stations| &of_stations.scorer)
    }

    /// Returns what judges rows by a baseline.
    pub(crate) fn scorer_of(&self, baseline: StationBaseline) -> &Scorer {
        match self.of_stations.as_ref().zip(baseline.group()) {
            None => &self.scorer,
            Some((of_stations, _)) => &of_stations.scorer,
        }
    }

    /// Returns what judges rows by a baseline, and a row as it sees it.
    pub(crate) fn seen<'a>(
        &self,
        baseline: StationBaseline,
        row: &'a [f64],
    ) -> (&Scorer, Cow<'a, [f64]>) {
        let row = match self.baselines().zip(baseline.group()) {
            None => Cow::Borrowed(row),
            Some((baselines, group)) => baselines.normalised(group, row).collect(),
        };
        (self.scorer_of(baseline), row)
    }

    /// Judges events in parallel.
    pub(crate) fn judge_events(&self, events: &[&SensorEvent]) -> Vec<RowScore> {
        let of_events = self.baselines().map(|baselines| baselines.of_events(events));
        let values = row_major(&self.schema, events.iter().copied());
        self.judge_rows(&of_events.unwrap_or_default(), &values)
    }

    /// Judges measured rows in parallel, one after another, each by its baseline; where all share one, none need be named.
    pub(crate) fn judge_rows(&self, of_rows: &[StationBaseline], values: &[f64]) -> Vec<RowScore> {
        let Some(OfStations { baselines, scorer }) = &self.of_stations else {
            return self.scorer.judge_rows(&samples(values, &self.schema));
        };
        let (mut measured, mut normalised) = (Vec::new(), Vec::new());
        for (baseline, row) in of_rows.iter().zip(values.chunks_exact(self.schema.len())) {
            match baseline.group() {
                None => measured.extend_from_slice(row),
                Some(group) => normalised.extend(baselines.normalised(group, row)),
            }
        }
        let mut of_fleet = self.scorer.judge_rows(&samples(&measured, &self.schema)).into_iter();
        let mut of_groups = scorer.judge_rows(&samples(&normalised, &self.schema)).into_iter();
        let in_order = of_rows.iter().map(|baseline| match baseline.group() {
            None => of_fleet.next(),
            Some(_) => of_groups.next(),
        });
        in_order.map(|row| row.expect("each row was judged")).collect()
    }
}

impl<'a> From<&'a Scorer> for ScorerV2<'a> {
    fn from(scorer: &'a Scorer) -> Self {
        let sums = scorer.sums.iter().flat_map(|sum| sum.to_bits().to_le_bytes());
        let judge = scorer.judge.as_ref().map(|judge| {
            let (columns, upper) = judge.relation.to_parts();
            JudgeV2 {
                tails: judge.all_tails().map(|tail| TailV2::from(tail.to_parts())).collect(),
                columns: columns.iter().map(ColumnV2::from).collect(),
                precision: bytes(&upper),
                normal: bytes(scorer.calibration.normal()),
            }
        });
        Self { sums: sums.collect(), forest: scorer.forest.encode().into(), judge }
    }
}

impl<'a> From<&'a Feature> for FeatureV1<'a> {
    fn from(feature: &'a Feature) -> Self {
        Self {
            name: &feature.name,
            unit: feature.unit.as_deref(),
            minimum: feature.minimum,
            maximum: feature.maximum,
            optional: feature.optional,
        }
    }
}

impl From<FeatureV1<'_>> for Feature {
    fn from(feature: FeatureV1<'_>) -> Self {
        Self {
            name: feature.name.into(),
            unit: feature.unit.map(String::from),
            minimum: feature.minimum,
            maximum: feature.maximum,
            optional: feature.optional,
        }
    }
}

impl DetectorV2<'_> {
    fn decode(self) -> Result<Parts, ArtefactError> {
        let schema = schema(self.features)?;
        let (rule, limit) = match self.rule {
            RuleV2::FalseAlarmRate { rate } => (AlarmRule::FalseAlarmRate(rate), 0.0),
            RuleV2::Contamination { share, limit } => (AlarmRule::Contamination(share), limit),
        };
        let scorer = self.scorer.decode(schema.len(), rule, limit)?;
        Ok(Parts { schema, scorer, of_stations: None, lessons: Lessons::default() })
    }
}

impl DetectorV3<'_> {
    fn decode(self) -> Result<Parts, ArtefactError> {
        let parts = self.detector.decode()?;
        let n_features = parts.schema.len();
        let group_by = self.group_by.parse();
        let group_by = group_by.map_err(|_| Inconsistent("the pattern of groups is invalid"))?;
        let groups = self.groups.into_iter().map(Box::from).collect();
        let centers = numbers(&self.centers)?;
        let (centers, []) = centers.as_chunks::<2>() else {
            return Err(Inconsistent("a baseline has no scale"));
        };
        let centers = centers.iter().map(|&[median, scale]| Center {
            median,
            scale: scale.abs(),
            is_constant: scale < 0.0,
        });
        let baselines = Baselines::from_parts(group_by, groups, centers.collect(), n_features)
            .ok_or(Inconsistent("the baselines of stations are invalid"))?;
        let rule = parts.scorer.calibration.rule();
        let scorer = self.scorer.decode(n_features, rule, self.limit)?;
        Ok(Parts { of_stations: Some(OfStations { baselines, scorer }), ..parts })
    }
}

impl DetectorV4<'_> {
    fn decode(self) -> Result<Parts, ArtefactError> {
        let parts = Parts::decode_detector(&self.detector)?;
        let lesson = |lesson: LessonV4<'_>| {
            let (timestamps, []) = lesson.timestamps.as_chunks::<8>() else {
                return Err(Inconsistent("a time of a lesson is cut off"));
            };
            let timestamps_us = timestamps.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
            let values = numbers(&lesson.values)?;
            Ok((Box::from(lesson.station), StationLesson::new(timestamps_us, values)))
        };
        let lessons = self.lessons.into_iter().map(lesson).collect::<Result<Vec<_>, _>>()?;
        let lessons = Lessons::from_parts(lessons, parts.schema.len())
            .ok_or(Inconsistent("the lessons of stations are invalid"))?;
        Ok(Parts { lessons, ..parts })
    }
}

impl ScorerV2<'_> {
    fn decode(
        self,
        n_features: usize,
        rule: AlarmRule,
        limit: f64,
    ) -> Result<Scorer, ArtefactError> {
        let forest = forest(&self.forest, n_features)?;
        let sums = path_sums(&self.sums)?;
        let (judge, normal) = match self.judge {
            None => (None, by_sums(&sums)),
            Some(judge) => {
                let normal = numbers(&judge.normal)?;
                (Some(judge.decode(n_features)?), normal)
            }
        };
        Ok(Scorer::new(forest, sums, judge, calibration(rule, normal, limit)?))
    }
}

impl JudgeV2<'_> {
    fn decode(self, n_features: usize) -> Result<Judge, ArtefactError> {
        let tails = self.tails.into_iter().map(|TailV2 { n, knots, step }| {
            Tail::from_parts(&TailParts { n, knots, step }).ok_or(Inconsistent("a tail is invalid"))
        });
        let columns = self.columns.into_iter().map(|ColumnV2 { feature, center, scale }| Column {
            feature,
            center,
            scale,
        });
        let relation =
            Relation::from_parts(columns.collect(), &numbers(&self.precision)?, n_features);
        let relation =
            relation.ok_or(Inconsistent("the matrix of feature relations is invalid"))?;
        Judge::from_parts(tails.collect::<Result<_, _>>()?, relation, n_features)
            .ok_or(Inconsistent("there are more or fewer tails than the features need"))
    }
}

impl From<TailParts> for TailV2 {
    fn from(TailParts { n, knots, step }: TailParts) -> Self {
        Self { n, knots, step }
    }
}

impl From<&Column> for ColumnV2 {
    fn from(&Column { feature, center, scale }: &Column) -> Self {
        Self { feature, center, scale }
    }
}

fn schema(features: Vec<FeatureV1<'_>>) -> Result<FeatureSchema, ArtefactError> {
    Ok(FeatureSchema::new(features.into_iter().map(Feature::from).collect())?)
}

fn forest(bytes: &[u8], n_features: usize) -> Result<IsolationForest, ArtefactError> {
    let forest = IsolationForest::decode(bytes)?;
    if forest.conventions().n_features != n_features {
        return Err(Inconsistent("the forest has another number of features than the schema"));
    }
    Ok(forest)
}

fn calibration(
    rule: AlarmRule,
    normal: Vec<f64>,
    limit: f64,
) -> Result<Calibration, ArtefactError> {
    let calibration = Calibration::from_parts(rule, normal, limit);
    calibration.ok_or(Inconsistent("the alarm rule asks for more than the calibration can tell"))
}

fn by_sums(sums: &[PathSum]) -> Vec<f64> {
    sums.iter().map(|&sum| by_forest(sum)).collect()
}

fn path_sums(bytes: &[u8]) -> Result<Vec<PathSum>, ArtefactError> {
    let (sums, []) = bytes.as_chunks::<8>() else {
        return Err(Inconsistent("a path sum is cut off"));
    };
    let sums: Vec<PathSum> =
        sums.iter().map(|&bytes| PathSum::from_bits(u64::from_le_bytes(bytes))).collect();
    if sums.is_empty() || !sums.is_sorted() {
        return Err(Inconsistent("path sums are missing or out of order"));
    }
    Ok(sums)
}

fn bytes(numbers: &[f64]) -> Cow<'static, [u8]> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Result<Vec<f64>, ArtefactError> {
    let (numbers, []) = bytes.as_chunks::<8>() else {
        return Err(Inconsistent("a list of numbers has an incomplete last number"));
    };
    Ok(numbers.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

/// Returns the SHA-256 of bytes in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    in_hex(&Sha256::digest(bytes))
}

pub(crate) fn in_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
