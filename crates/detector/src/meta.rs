//! The contents of `model_meta.json`, which describes a detector to people and tools.

use sensor::{Feature, FeatureSchema, ModelVersion, SensorEvent, timestamp};
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use wording::counted;

use crate::artefact::{in_hex, sha256_hex};
use crate::baselines::{Baselines, Center};
use crate::calibration::AlarmRule;
use crate::group_pattern::GroupPattern;
use crate::judge::LeftOutRow;
use crate::lessons::LessonsMeta;
use crate::params::Params;
use crate::summary::{FeatureSummary, Quantiles};

/// Events left out of the training that are named one by one.
const LEFT_OUT_NAMED: usize = 100;

/// The content of `model_meta.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMeta {
    /// UTC date of the training, and the first 12 hex digits of `sha256`.
    pub model_version: ModelVersion,
    /// When the training ended: RFC 3339, UTC.
    pub trained_at: String,
    /// The features in the order in which the forest sees them.
    pub features: Vec<FeatureMeta>,
    /// Number of events learnt from.
    pub training_rows: usize,
    /// Number of events that were left out, since a value of each lay beyond anything that the others explain.
    #[serde(default)]
    pub left_out_rows: usize,
    /// The first of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOutMeta>,
    /// The groups of stations with a baseline of their own; absent where all stations share one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baselines: Option<BaselinesMeta>,
    /// The events of each station that are kept, from which it learns in time order; absent where the data had no times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lessons: Option<LessonsMeta>,
    /// The parameters of the forest.
    pub parameters: ForestMeta,
    /// Seed of the fit.
    pub seed: u64,
    /// The score above which the forest alone calls an event anomalous.
    pub threshold: f64,
    /// Wanted share of normal events that are called anomalous; null with `contamination`.
    pub false_alarm_rate: Option<f64>,
    /// Share of the training events taken to be anomalous; null with `false_alarm_rate`.
    pub contamination: Option<f64>,
    /// SHA-256 of the whole `isoforest.bin`, in hex.
    pub sha256: String,
    /// The data that was learnt from; absent where the training did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<DataMeta>,
    /// The versions that wrote it.
    pub versions: Versions,
}

/// The data of a training.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataMeta {
    /// The names of the files, without their folders; none for a simulated plant.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub files: Vec<String>,
    /// SHA-256 of the fingerprints of all events in their order, in hex: equal events have an equal hash, in whatever file they are.
    pub events_sha256: String,
    /// SHA-256 of the profile that the files were read by, as TOML, in hex; absent where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile_sha256: Option<String>,
}

impl DataMeta {
    /// Describes events of a schema from files of these names, which were read by a profile, as TOML.
    pub fn new(
        files: Vec<String>,
        schema: &FeatureSchema,
        events: &[SensorEvent],
        profile: Option<&str>,
    ) -> Self {
        let mut hasher = Sha256::new();
        for event in events {
            hasher.update(schema.fingerprint(event));
        }
        let profile_sha256 = profile.map(|profile| sha256_hex(profile.as_bytes()));
        Self { files, events_sha256: in_hex(&hasher.finalize()), profile_sha256 }
    }
}

/// An event that was left out of the training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeftOutMeta {
    /// Its number among the events of the training, from 1.
    pub row: usize,
    /// The feature whose value is too far out.
    pub feature: String,
    /// The value.
    pub value: f64,
}

/// The baselines of stations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselinesMeta {
    /// The pattern of the names of stations that have one in common; `station` where each has its own.
    pub group_by: GroupPattern,
    /// The groups, in order of their names.
    pub groups: Vec<GroupMeta>,
}

/// A group of stations that have a baseline in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupMeta {
    /// The name of the station, or what the names of its stations have in common.
    pub name: String,
    /// Number of its events that were learnt from.
    pub training_rows: usize,
    /// Its baseline for each feature, in the order of the features.
    #[serde(serialize_with = "each_on_one_line")]
    pub features: Vec<GroupFeatureMeta>,
}

/// A feature in a group of stations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupFeatureMeta {
    /// The median in training, which values are compared with.
    pub median: f64,
    /// The unit of their distance from it.
    pub scale: f64,
    /// Quantiles in training; null when all values were missing.
    pub quantiles: Option<Quantiles>,
}

/// One feature, and how it was distributed in training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeatureMeta {
    /// Key of the value in an event.
    pub name: String,
    /// Unit of the value.
    pub unit: Option<String>,
    /// Least possible value.
    pub minimum: Option<f64>,
    /// Greatest possible value.
    pub maximum: Option<f64>,
    /// `true` if the value may be missing.
    pub optional: bool,
    /// Mean in training; like what follows, null when all values were missing.
    pub mean: Option<f64>,
    /// Standard deviation in training.
    pub standard_deviation: Option<f64>,
    /// Quantiles in training.
    pub quantiles: Option<Quantiles>,
    /// The lowest value in training, its percentiles, and the highest, 101 in all: what values of
    /// later are compared with. Absent in the metadata of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "on_one_line")]
    pub percentiles: Option<Vec<f64>>,
}

/// The parameters that a forest was grown with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForestMeta {
    /// Number of trees.
    pub n_trees: usize,
    /// Number of samples of each tree.
    pub sample_size: usize,
    /// Number of features that a tree may cut; null for all.
    pub max_features: Option<usize>,
}

/// Versions of what wrote a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Format version of the artefact.
    pub format: u32,
    /// Version of the program.
    pub program: String,
}

/// The facts that only the training knows.
pub(crate) struct Training<'a> {
    pub(crate) schema: &'a FeatureSchema,
    pub(crate) summaries: Vec<Option<FeatureSummary>>,
    pub(crate) n_rows: usize,
    pub(crate) left_out: &'a [LeftOutRow],
    pub(crate) baselines: Option<BaselinesMeta>,
    pub(crate) lessons: Option<LessonsMeta>,
    pub(crate) format: u32,
    pub(crate) params: &'a Params,
    pub(crate) sample_size: usize,
    pub(crate) threshold: f64,
}

impl ModelMeta {
    pub(crate) fn new(training: Training<'_>, sha256: String, trained_at_us: i64) -> Self {
        let Training {
            schema,
            summaries,
            n_rows,
            left_out,
            baselines,
            lessons,
            format,
            params,
            sample_size,
            threshold,
        } = training;
        let left_out_meta = |row: &LeftOutRow| LeftOutMeta {
            row: row.row + 1,
            feature: String::from(&*schema.features()[row.feature].name),
            value: row.value,
        };
        let trained_at = timestamp::format(trained_at_us);
        let (false_alarm_rate, contamination) = shares(params.alarms);
        let features = schema.features().iter().zip(summaries);
        Self {
            model_version: ModelVersion::new(&trained_at, &sha256),
            trained_at,
            features: features
                .map(|(feature, summary)| FeatureMeta::new(feature, summary))
                .collect(),
            training_rows: n_rows,
            left_out_rows: left_out.len(),
            left_out: left_out.iter().take(LEFT_OUT_NAMED).map(left_out_meta).collect(),
            baselines,
            lessons,
            parameters: ForestMeta {
                n_trees: params.forest.n_trees,
                sample_size,
                max_features: params.forest.max_features,
            },
            seed: params.forest.seed,
            threshold,
            false_alarm_rate,
            contamination,
            sha256,
            data: None,
            versions: Versions { format, program: String::from(env!("CARGO_PKG_VERSION")) },
        }
    }

    /// Returns the metadata of the same training with the threshold of another false-alarm rate.
    pub(crate) fn with_threshold(
        self,
        threshold: f64,
        false_alarm_rate: f64,
        sha256: String,
    ) -> Self {
        let (false_alarm_rate, contamination) = shares(AlarmRule::FalseAlarmRate(false_alarm_rate));
        let model_version = ModelVersion::new(&self.trained_at, &sha256);
        Self { model_version, threshold, false_alarm_rate, contamination, sha256, ..self }
    }

    /// Says what the value of an event that was left out lies beyond.
    pub fn left_out_in_words(&self) -> &'static str {
        match &self.baselines {
            None => "far beyond all others",
            Some(baselines) if baselines.group_by.is_per_station() => {
                "far beyond all others of its station, or of all stations where that has no baseline"
            }
            Some(_) => {
                "far beyond all others of its group, or of all stations where that has no baseline"
            }
        }
    }

    /// Returns a feature by its name.
    pub fn feature(&self, name: &str) -> Option<&FeatureMeta> {
        FeatureMeta::named(&self.features, name)
    }
}

impl BaselinesMeta {
    /// Describes baselines by the events that were learnt.
    pub(crate) fn new<'a>(
        baselines: &Baselines,
        n_features: usize,
        events: impl Iterator<Item = &'a SensorEvent>,
    ) -> Self {
        let mut rows = vec![Vec::new(); baselines.groups().len()];
        for event in events {
            if let Some(group) = baselines.of_station(event.station_id().as_str()).group() {
                rows[group].push(event.values());
            }
        }
        let feature = |rows: &[&[f64]], index: usize, center: &Center| GroupFeatureMeta {
            median: center.median,
            scale: center.scale,
            quantiles: FeatureSummary::of(rows.iter().map(|row| row[index]))
                .map(|summary| summary.quantiles),
        };
        let groups = baselines.groups().iter().zip(&rows);
        let centers = baselines.centers().chunks_exact(n_features);
        let groups = groups.zip(centers).map(|((name, rows), centers)| GroupMeta {
            name: name.to_string(),
            training_rows: rows.len(),
            features: centers
                .iter()
                .enumerate()
                .map(|(index, center)| feature(rows, index, center))
                .collect(),
        });
        Self { group_by: baselines.group_by().clone(), groups: groups.collect() }
    }

    /// Says whose baselines these are.
    pub fn in_words(&self) -> String {
        let n_groups = self.groups.len() as u64;
        match (&*self.groups, self.group_by.is_per_station()) {
            ([one], true) => format!("one, for the station {}", one.name),
            ([one], false) => format!("one, for the stations {}, by {}", one.name, self.group_by),
            (_, true) => format!("one for each of {}", counted(n_groups, "station")),
            (_, false) => {
                format!(
                    "one for each of {} of stations, by {}",
                    counted(n_groups, "group"),
                    self.group_by
                )
            }
        }
    }

    /// Returns `true` if these are the baselines of the same groups.
    pub(crate) fn is_of(&self, baselines: &Baselines) -> bool {
        /// Numbers are written to the last bit.
        const TOLERANCE: f64 = 1e-12;
        let is_near = |told: f64, found: f64| (told - found).abs() <= TOLERANCE * found.abs();
        let names = self.groups.iter().map(|group| &*group.name);
        let n_features = baselines.centers().len() / baselines.groups().len().max(1);
        let told = self.groups.iter().flat_map(|group| &group.features);
        let found = baselines.centers().iter();
        self.group_by == *baselines.group_by()
            && names.eq(baselines.groups().iter().map(|name| &**name))
            && self.groups.iter().all(|group| group.features.len() == n_features)
            && told.zip(found).all(|(told, found)| {
                is_near(told.median, found.median) && is_near(told.scale, found.scale)
            })
    }
}

impl FeatureMeta {
    /// Returns that of some features which has a name.
    pub fn named<'a>(features: &'a [Self], name: &str) -> Option<&'a Self> {
        features.iter().find(|feature| feature.name == name)
    }

    pub(crate) fn new(feature: &Feature, summary: Option<FeatureSummary>) -> Self {
        Self {
            name: String::from(&*feature.name),
            unit: feature.unit.clone(),
            minimum: feature.minimum,
            maximum: feature.maximum,
            optional: feature.optional,
            mean: summary.as_ref().map(|summary| summary.mean),
            standard_deviation: summary.as_ref().map(|summary| summary.standard_deviation),
            quantiles: summary.as_ref().map(|summary| summary.quantiles.clone()),
            percentiles: summary.map(|summary| summary.percentiles),
        }
    }

    /// Describes the feature as it is in a group of stations, of which only quantiles are known.
    pub(crate) fn in_group(&self, of_group: &GroupFeatureMeta) -> Self {
        Self { quantiles: of_group.quantiles.clone(), ..self.without_summary() }
    }

    /// Describes a feature without the values of its training.
    pub(crate) fn without_summary(&self) -> Self {
        Self {
            mean: None,
            standard_deviation: None,
            quantiles: None,
            percentiles: None,
            ..self.clone()
        }
    }
}

/// Writes each entry of a list on a line of pretty JSON.
fn each_on_one_line<S: Serializer>(
    entries: &[impl Serialize],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let lines = entries.iter().map(serde_json::value::to_raw_value);
    serializer.collect_seq(lines.collect::<Result<Vec<_>, _>>().map_err(S::Error::custom)?)
}

/// Writes a list so that it does not fill a page of pretty JSON.
#[expect(clippy::ref_option, reason = "the signature that serde calls")]
fn on_one_line<S: Serializer>(values: &Option<Vec<f64>>, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::value::to_raw_value(values).map_err(S::Error::custom)?.serialize(serializer)
}

/// Returns the false-alarm rate and the contamination of a rule, one of which it has.
pub(crate) fn shares(alarms: AlarmRule) -> (Option<f64>, Option<f64>) {
    match alarms {
        AlarmRule::FalseAlarmRate(rate) => (Some(rate), None),
        AlarmRule::Contamination(share) => (None, Some(share)),
    }
}
