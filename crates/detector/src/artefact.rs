//! A detector as bytes. `docs/model-format.md` describes them one by one.

use std::borrow::Cow;
use std::fmt::Write as _;

use isoforest::{DecodeError, IsolationForest, PathSum, envelope};
use sensor::{Baseline, Evidence, Feature, FeatureSchema, InvalidSchema, SensorEvent};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::artefact::ArtefactError::Inconsistent;
use crate::baselines::{Baselines, Center, StationBaseline};
use crate::calibration::{AlarmRule, Calibration};
use crate::detector::RowScore;
use crate::judge::{Column, Judge, Relation, Strangeness, Tail, TailParts};
use crate::learning::{row_major, samples};

/// The first eight bytes of an `isoforest.bin`.
pub const DETECTOR_KIND: [u8; 8] = *b"\x89IFD\r\n\x1a\n";
/// The newest format version; this and all earlier ones are read.
///
/// A detector is written in the oldest version that can hold it, so that earlier programs can read it: only
/// baselines of stations need this one.
pub const DETECTOR_VERSION: u32 = 3;

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
    /// The baselines that values are normalised by; `None` where the forest and the views see them as they are.
    pub(crate) baselines: Option<Baselines>,
    pub(crate) forest: IsolationForest,
    /// Out-of-bag path sums, ascending: the most anomalous first.
    pub(crate) sums: Vec<PathSum>,
    /// The views beside the forest; detectors of version 1 have none.
    pub(crate) judge: Option<Judge>,
    pub(crate) calibration: Calibration,
    /// The calibration of rows that are judged by the baseline of the fleet: stations differ, so they are stranger.
    pub(crate) of_fleet: Option<Calibration>,
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
    /// A `u64` an out-of-bag path sum, ascending.
    sums: &'a [u8],
    /// A forest in its own envelope.
    forest: &'a [u8],
    #[serde(borrow)]
    judge: Option<JudgeV2<'a>>,
}

/// The payload of version 3.
#[derive(Serialize, Deserialize)]
struct DetectorV3<'a> {
    #[serde(borrow)]
    detector: DetectorV2<'a>,
    #[serde(borrow)]
    baselines: BaselinesV3<'a>,
}

/// Baselines of stations.
#[derive(Serialize, Deserialize)]
struct BaselinesV3<'a> {
    /// The pattern of station names.
    group_by: &'a str,
    /// The names of the groups, ascending.
    #[serde(borrow)]
    groups: Vec<&'a str>,
    /// For each feature of the fleet, then of each group: two `f64`, the median and the scale, negative where the values
    /// were equal.
    centers: &'a [u8],
    /// An `f64` a training row: how strange it is by the baseline of the fleet, descending.
    normal: &'a [u8],
    /// The strangeness that such a row exceeds as an anomaly; of contamination only.
    limit: f64,
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
    precision: &'a [u8],
    /// An `f64` a training row: how strange it is, descending.
    normal: &'a [u8],
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
        let Self { schema, baselines, forest, sums, judge, calibration, of_fleet } = self;
        let features = schema.features().iter().map(FeatureV1::from);
        let rule = match calibration.rule() {
            AlarmRule::FalseAlarmRate(rate) => RuleV2::FalseAlarmRate { rate },
            AlarmRule::Contamination(share) => {
                RuleV2::Contamination { share, limit: calibration.limit() }
            }
        };
        let sums: Vec<u8> = sums.iter().flat_map(|sum| sum.to_bits().to_le_bytes()).collect();
        let forest = forest.encode();
        let (precision, normal);
        let judge = match judge {
            None => None,
            Some(judge) => {
                let (columns, upper) = judge.relation.to_parts();
                precision = bytes(&upper);
                normal = bytes(calibration.normal());
                Some(JudgeV2 {
                    tails: judge.all_tails().map(|tail| TailV2::from(tail.to_parts())).collect(),
                    columns: columns.iter().map(ColumnV2::from).collect(),
                    precision: &precision,
                    normal: &normal,
                })
            }
        };
        let detector =
            DetectorV2 { features: features.collect(), rule, sums: &sums, forest: &forest, judge };
        let (Some(baselines), Some(of_fleet)) = (baselines, of_fleet) else {
            return envelope::seal(DETECTOR_KIND, self.version(), &detector);
        };
        let centers: Vec<f64> = baselines
            .centers()
            .iter()
            .flat_map(|&Center { median, scale, is_constant }| {
                [median, if is_constant { -scale } else { scale }]
            })
            .collect();
        let baselines = BaselinesV3 {
            group_by: baselines.group_by().as_str(),
            groups: baselines.groups().iter().map(|group| &**group).collect(),
            centers: &self::bytes(&centers),
            normal: &self::bytes(of_fleet.normal()),
            limit: of_fleet.limit(),
        };
        envelope::seal(DETECTOR_KIND, self.version(), &DetectorV3 { detector, baselines })
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ArtefactError> {
        match envelope::version(bytes) {
            Some(1) => Self::decode_v1(bytes),
            Some(2) => envelope::open::<DetectorV2<'_>>(DETECTOR_KIND, 2, bytes)?.decode(None),
            _ => {
                let DetectorV3 { detector, baselines } =
                    envelope::open(DETECTOR_KIND, DETECTOR_VERSION, bytes)?;
                detector.decode(Some(baselines))
            }
        }
    }

    fn decode_v1(bytes: &[u8]) -> Result<Self, ArtefactError> {
        let detector: DetectorV1<'_> = envelope::open(DETECTOR_KIND, 1, bytes)?;
        let (schema, forest) = schema_and_forest(detector.features, detector.forest)?;
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
        Ok(Self { schema, baselines: None, forest, sums, judge: None, calibration, of_fleet: None })
    }

    /// Returns the score above which the forest alone calls an event anomalous.
    pub(crate) fn threshold(&self) -> f64 {
        self.threshold_of(StationBaseline::fleet(None))
    }

    /// Returns the baseline of a station.
    pub(crate) fn baseline_of(&self, station: &str) -> StationBaseline {
        match &self.baselines {
            Some(baselines) => baselines.of_station(station),
            None => StationBaseline::fleet(None),
        }
    }

    /// Returns measured values as the forest and the views see them.
    pub(crate) fn normalised<'a>(
        &self,
        baseline: StationBaseline,
        row: &'a [f64],
    ) -> Cow<'a, [f64]> {
        let Some(baselines) = &self.baselines else { return Cow::Borrowed(row) };
        baselines.normalised(baseline, row).collect()
    }

    /// Returns the calibration for a row that is judged by a baseline.
    pub(crate) fn calibration_of(&self, baseline: StationBaseline) -> &Calibration {
        match &self.of_fleet {
            Some(of_fleet) if baseline.kind() == Some(Baseline::Fleet) => of_fleet,
            _ => &self.calibration,
        }
    }

    /// Judges events in parallel.
    pub(crate) fn judge_events(&self, events: &[&SensorEvent]) -> Vec<RowScore> {
        let of_events = self.baselines.as_ref().map(|baselines| baselines.of_events(events));
        let values = row_major(&self.schema, events.iter().copied());
        self.judge_rows(&of_events.unwrap_or_default(), &values)
    }

    /// Judges measured rows in parallel, one after another, each by its baseline; where all share one, none need be named.
    pub(crate) fn judge_rows(&self, of_rows: &[StationBaseline], values: &[f64]) -> Vec<RowScore> {
        let Some(baselines) = &self.baselines else {
            let one = StationBaseline::fleet(None);
            return self.forest.map_path_sums(&samples(values, &self.schema), |row, sum| {
                self.row_score(one, sum, self.strangeness(row, sum))
            });
        };
        let rows = baselines.normalised_rows(of_rows, values);
        let judged = self.forest.map_path_sums(&samples(&rows, &self.schema), |row, sum| {
            (sum, self.strangeness(row, sum))
        });
        let judged = of_rows.iter().zip(judged);
        judged
            .map(|(baseline, (sum, strangeness))| self.row_score(*baseline, sum, strangeness))
            .collect()
    }

    /// Returns the score of a row that is judged by a baseline.
    pub(crate) fn row_score(
        &self,
        baseline: StationBaseline,
        sum: PathSum,
        strangeness: Strangeness,
    ) -> RowScore {
        let Strangeness { value, evidence } = strangeness;
        let calibration = self.calibration_of(baseline);
        RowScore {
            anomaly_score: self.forest.score(sum),
            p_value: calibration.p_value(value),
            is_anomaly: calibration.is_anomaly(value),
            evidence,
        }
    }

    /// Returns the format version that it is written in.
    pub(crate) fn version(&self) -> u32 {
        if self.baselines.is_some() { 3 } else { 2 }
    }

    /// Says how strange a row with this path sum is, both as the forest sees them.
    pub(crate) fn strangeness(&self, row: &[f64], sum: PathSum) -> Strangeness {
        match &self.judge {
            Some(judge) => judge.strangeness(row, self.forest.exponent(sum)),
            None => Strangeness { value: by_forest(sum), evidence: Evidence::Forest },
        }
    }

    /// Returns the score above which the forest alone calls an event anomalous that is judged by a baseline.
    pub(crate) fn threshold_of(&self, baseline: StationBaseline) -> f64 {
        let limit = self.calibration_of(baseline).limit();
        match &self.judge {
            Some(judge) => judge.forest_at(limit).exp2().clamp(f64::MIN_POSITIVE, 1.0),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturation is what is wanted"
            )]
            None => match (-limit) as u64 {
                0 => 1.0,
                below => self.forest.score(PathSum::from_bits(below - 1)),
            },
        }
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
    fn decode(self, baselines: Option<BaselinesV3<'_>>) -> Result<Parts, ArtefactError> {
        let (schema, forest) = schema_and_forest(self.features, self.forest)?;
        let sums = path_sums(self.sums)?;
        let (rule, limit) = match self.rule {
            RuleV2::FalseAlarmRate { rate } => (AlarmRule::FalseAlarmRate(rate), 0.0),
            RuleV2::Contamination { share, limit } => (AlarmRule::Contamination(share), limit),
        };
        let (judge, normal) = match self.judge {
            None => (None, by_sums(&sums)),
            Some(judge) => {
                let normal = numbers(judge.normal)?;
                (Some(judge.decode(schema.len())?), normal)
            }
        };
        let calibration = calibration(rule, normal, limit)?;
        let baselines =
            baselines.map(|baselines| baselines.decode(schema.len(), rule)).transpose()?;
        let (baselines, of_fleet) = baselines.unzip();
        Ok(Parts { schema, baselines, forest, sums, judge, calibration, of_fleet })
    }
}

impl BaselinesV3<'_> {
    fn decode(
        self,
        n_features: usize,
        rule: AlarmRule,
    ) -> Result<(Baselines, Calibration), ArtefactError> {
        let group_by = self.group_by.parse();
        let group_by = group_by.map_err(|_| Inconsistent("the pattern of groups is invalid"))?;
        let groups = self.groups.into_iter().map(Box::from).collect();
        let centers = numbers(self.centers)?;
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
        Ok((baselines, calibration(rule, numbers(self.normal)?, self.limit)?))
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
            Relation::from_parts(columns.collect(), &numbers(self.precision)?, n_features);
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

fn schema_and_forest(
    features: Vec<FeatureV1<'_>>,
    forest: &[u8],
) -> Result<(FeatureSchema, IsolationForest), ArtefactError> {
    let schema = FeatureSchema::new(features.into_iter().map(Feature::from).collect())?;
    let forest = IsolationForest::decode(forest)?;
    if forest.conventions().n_features != schema.len() {
        return Err(Inconsistent("the forest has another number of features than the schema"));
    }
    Ok((schema, forest))
}

fn calibration(
    rule: AlarmRule,
    normal: Vec<f64>,
    limit: f64,
) -> Result<Calibration, ArtefactError> {
    let calibration = Calibration::from_parts(rule, normal, limit);
    calibration.ok_or(Inconsistent("the alarm rule asks for more than the calibration can tell"))
}

/// Returns how strange the forest alone finds a row, rising with strangeness.
fn by_forest(sum: PathSum) -> f64 {
    -(sum.to_bits() as f64)
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

fn bytes(numbers: &[f64]) -> Vec<u8> {
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
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a string takes everything");
        hex
    })
}
