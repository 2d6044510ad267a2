//! Baselines: what each station's values are compared with, where stations differ.
//!
//! Two machines of one kind can differ in what is normal for them: one runs at 60 °C, the other at 75.
//! So the values of each station are normalised by its own median and scale, and what is normal
//! around these is learnt from all stations together. A station that has no baseline is judged by
//! its values as they were measured, beside those of all stations.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use sensor::{Baseline, SensorEvent};

use crate::column::{column, is_rounded, present, quantile};
use crate::group_pattern::GroupPattern;
use crate::judge::{LeftOutRow, rows_beyond_a_gap};
use crate::learning::FitError;

/// A group with fewer events has no baseline of its own: the scale of so few is so uncertain that new events would give
/// several times the false alarms.
pub(crate) const GROUP_EVENTS_MIN: usize = 100;
/// Groups times one more than features: as many as fit the metadata.
pub(crate) const GROUP_FEATURES_MAX: usize = 100_000;

/// The median distance from the median is this share of the standard deviation of normal values.
const DEVIATIONS_PER_MAD: f64 = 1.4826;
/// A scale is at least this share of the standard deviation, since most values of a switch are equal.
const DEVIATION_SHARE_MIN: f64 = 0.3;

/// The baseline that a station is judged by, as [`Detector::baseline_of`](crate::Detector::baseline_of)
/// returns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StationBaseline {
    /// The number of the group; `None` for the fleet.
    group: Option<usize>,
    kind: Option<Baseline>,
}

impl StationBaseline {
    /// The baseline of rows whose station has none of its own.
    pub(crate) const FLEET: Self = Self { group: None, kind: Some(Baseline::Fleet) };
    /// The baseline of all rows where stations have none.
    pub(crate) const ONE_FOR_ALL: Self = Self { group: None, kind: None };

    /// Returns the number of the group; `None` for a station without a baseline of its own.
    pub(crate) fn group(self) -> Option<usize> {
        self.group
    }

    /// Returns `true` if the station has no baseline while others have one.
    pub fn is_of_fleet(self) -> bool {
        self.kind == Some(Baseline::Fleet)
    }

    /// Returns the name of its kind on the wire; `None` where all stations share one.
    pub fn name(self) -> Option<&'static str> {
        self.kind.map(Baseline::name)
    }

    /// Returns whose baseline it is; `None` where all stations share one.
    pub fn kind(self) -> Option<Baseline> {
        self.kind
    }
}

/// The median and scale of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Center {
    pub(crate) median: f64,
    /// In the unit of the feature, positive.
    pub(crate) scale: f64,
    /// `true` if all values were equal.
    pub(crate) is_constant: bool,
}

/// The baselines of groups of stations.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Baselines {
    group_by: GroupPattern,
    /// The number of each group.
    indices: HashMap<Box<str>, usize>,
    /// Ascending.
    groups: Vec<Box<str>>,
    /// Of each feature for the first group, then for the second, and so on.
    centers: Vec<Center>,
    n_features: usize,
}

/// Baselines, and what they were learnt from.
pub(crate) struct LearntBaselines {
    pub(crate) baselines: Baselines,
    /// The rows that were left out, in their order.
    pub(crate) left_out: Vec<LeftOutRow>,
}

impl Baselines {
    /// Learns from the values of one row after another, NaN for a missing one, and the station of each row.
    /// Rows that no tail of their group explains are left out, unless all are to be kept.
    pub(crate) fn learn(
        group_by: &GroupPattern,
        stations: &[&str],
        values: &[f64],
        keep_all_rows: bool,
    ) -> Result<LearntBaselines, FitError> {
        let n_features = values.len() / stations.len();
        let mut groups: BTreeMap<Cow<'_, str>, Vec<usize>> = BTreeMap::new();
        for (row, station) in stations.iter().enumerate() {
            groups.entry(group_by.group_of(station)).or_default().push(row);
        }
        groups.retain(|_, rows| rows.len() >= GROUP_EVENTS_MIN);
        if groups.is_empty() {
            return Err(FitError::SmallGroups { group_by: group_by.clone() });
        }
        if groups.len() * (n_features + 1) > GROUP_FEATURES_MAX {
            return Err(FitError::TooManyGroups { n_groups: groups.len(), n_features });
        }

        let all: Vec<usize> = (0..stations.len()).collect();
        let left_out = if keep_all_rows {
            Vec::new()
        } else {
            beyond_gaps(&groups.values().collect::<Vec<_>>(), &all, values, n_features)
        };
        let is_kept =
            |row: &&usize| left_out.binary_search_by_key(*row, |outlier| outlier.row).is_err();
        let kept = |rows: &Vec<usize>| {
            let kept: Vec<usize> = rows.iter().filter(is_kept).copied().collect();
            rows_of(values, n_features, &kept)
        };
        let fleet = kept(&all);
        let learnt: Vec<Vec<f64>> = groups.values().map(kept).collect();
        let mut centers = vec![Center::UNKNOWN; learnt.len() * n_features];
        for feature in 0..n_features {
            let of_feature = |rows: &Vec<f64>| Center::of(&column(rows, n_features, feature));
            let of_groups = learnt.iter().map(of_feature).collect();
            let of_groups = with_fallbacks(of_feature(&fleet), of_groups);
            for (group, center) in of_groups.into_iter().enumerate() {
                centers[group * n_features + feature] = center;
            }
        }
        let groups = groups.into_keys().map(|name| name.into_owned().into_boxed_str()).collect();
        let baselines = Self::new(group_by.clone(), groups, centers, n_features);
        Ok(LearntBaselines { baselines, left_out })
    }

    fn new(
        group_by: GroupPattern,
        groups: Vec<Box<str>>,
        centers: Vec<Center>,
        n_features: usize,
    ) -> Self {
        let indices = groups.iter().enumerate().map(|(index, group)| (group.clone(), index));
        Self { group_by, indices: indices.collect(), groups, centers, n_features }
    }

    /// Takes over what was written down; `None` when it makes no baselines.
    pub(crate) fn from_parts(
        group_by: GroupPattern,
        groups: Vec<Box<str>>,
        centers: Vec<Center>,
        n_features: usize,
    ) -> Option<Self> {
        let is_valid = groups.is_sorted_by(|a, b| a < b)
            && centers.len() == groups.len() * n_features
            && centers.iter().all(|center| {
                center.median.is_finite() && center.scale.is_finite() && center.scale > 0.0
            });
        is_valid.then(|| Self::new(group_by, groups, centers, n_features))
    }

    pub(crate) fn group_by(&self) -> &GroupPattern {
        &self.group_by
    }

    /// Returns the names of the groups, ascending.
    pub(crate) fn groups(&self) -> &[Box<str>] {
        &self.groups
    }

    /// Returns all centers as [`Baselines::from_parts`] takes them.
    pub(crate) fn centers(&self) -> &[Center] {
        &self.centers
    }

    /// Returns the baseline that a station is judged by: the fleet's, if its group was not in the training.
    pub(crate) fn of_station(&self, station: &str) -> StationBaseline {
        let group = self.group_by.group_of(station);
        match self.indices.get(&*group) {
            Some(&index) => {
                let kind = if group == station { Baseline::Station } else { Baseline::Group };
                StationBaseline { group: Some(index), kind: Some(kind) }
            }
            None => StationBaseline::FLEET,
        }
    }

    /// Returns the baselines of the stations of events.
    pub(crate) fn of_events(&self, events: &[&SensorEvent]) -> Vec<StationBaseline> {
        events.iter().map(|event| self.of_station(event.station_id().as_str())).collect()
    }

    /// Returns measured values in scales from the medians of a group.
    pub(crate) fn normalised<'a>(
        &'a self,
        group: usize,
        values: &'a [f64],
    ) -> impl Iterator<Item = f64> + 'a {
        self.of_group(group).iter().zip(values).map(|(center, &value)| center.normalised(value))
    }

    /// Returns the medians and scales of a group, in the order of the features.
    pub(crate) fn of_group(&self, group: usize) -> &[Center] {
        &self.centers[group * self.n_features..][..self.n_features]
    }
}

impl Center {
    /// Of a feature that was always missing.
    const UNKNOWN: Self = Self { median: 0.0, scale: 1.0, is_constant: false };

    /// Learns from the values of a column, NaN for a missing one; `None` when all are missing. The scale of
    /// equal values is 0.
    fn of(column: &[f64]) -> Option<Self> {
        let sorted = present(column);
        let median = quantile(&sorted, 0.5)?;
        if sorted.first() == sorted.last() {
            return Some(Self { median, scale: 0.0, is_constant: true });
        }
        let n = sorted.len() as f64;
        let mean = sorted.iter().map(|x| x / n).sum::<f64>();
        let deviation = sorted.iter().map(|x| (x - mean).powi(2) / n).sum::<f64>().sqrt();
        let distances: Vec<f64> = sorted.iter().map(|x| (x - median).abs()).collect();
        let distance = quantile(&present(&distances), 0.5)?;
        let scale = f64::max(DEVIATIONS_PER_MAD * distance, DEVIATION_SHARE_MIN * deviation);
        Some(Self { median, scale, is_constant: false })
    }

    /// Returns a value as its distance from the median, in scales.
    pub(crate) fn normalised(self, value: f64) -> f64 {
        // A sender that rounds to 32 bits has not moved.
        if self.is_constant && is_rounded(self.median, value) {
            return 0.0;
        }
        ((value - self.median) / self.scale).clamp(-f64::MAX, f64::MAX)
    }

    /// Returns the value at a distance from the median.
    pub(crate) fn value_at(self, normalised: f64) -> f64 {
        (self.median + normalised * self.scale).clamp(-f64::MAX, f64::MAX)
    }
}

/// Fills gaps: a group without values of a feature gets the center of all rows, and a constant gets the median scale of
/// the other groups.
fn with_fallbacks(fleet: Option<Center>, of_groups: Vec<Option<Center>>) -> Vec<Center> {
    let fleet = fleet.unwrap_or(Center::UNKNOWN);
    let scales = of_groups.iter().flatten().map(|center| center.scale);
    let scales = present(&scales.filter(|scale| *scale > 0.0).collect::<Vec<_>>());
    let candidates = [quantile(&scales, 0.5).unwrap_or(0.0), fleet.scale, 1.0];
    let usual = candidates.into_iter().find(|scale| *scale > 0.0).unwrap_or(1.0);
    let centers = of_groups.into_iter().map(|center| match center.unwrap_or(fleet) {
        center if center.scale > 0.0 => center,
        center => Center { scale: usual, ..center },
    });
    centers.collect()
}

/// Returns the rows that have a value beyond a gap in their group, in their order. Rows of small groups are too few to
/// tell, so they are looked at beside all others.
fn beyond_gaps(
    groups: &[&Vec<usize>],
    all: &[usize],
    values: &[f64],
    n_features: usize,
) -> Vec<LeftOutRow> {
    let in_groups: HashSet<usize> = groups.iter().copied().flatten().copied().collect();
    let of_others =
        beyond_a_gap(all, values, n_features).filter(|outlier| !in_groups.contains(&outlier.row));
    let of_groups = groups.iter().flat_map(|rows| beyond_a_gap(rows, values, n_features));
    let mut outliers: Vec<LeftOutRow> = of_groups.chain(of_others).collect();
    outliers.sort_unstable_by_key(|outlier| outlier.row);
    outliers
}

/// Returns those of some rows that have a value beyond a gap among them.
fn beyond_a_gap(
    rows: &[usize],
    values: &[f64],
    n_features: usize,
) -> impl Iterator<Item = LeftOutRow> {
    let outliers = rows_beyond_a_gap(&rows_of(values, n_features, rows), n_features);
    outliers.into_iter().map(|outlier| LeftOutRow { row: rows[outlier.row], ..outlier })
}

/// Returns some of the rows, one after another.
pub(crate) fn rows_of(values: &[f64], n_features: usize, rows: &[usize]) -> Vec<f64> {
    rows.iter().flat_map(|row| &values[row * n_features..][..n_features]).copied().collect()
}
