//! Counterfactuals: the nearest values that would have been normal.

use std::borrow::Cow;
use std::sync::Arc;

use crate::baselines::StationBaseline;
use crate::detector::Detector;
use crate::meta::FeatureMeta;

/// Values that would have made an anomaly normal: all but the last changed to their medians in
/// training, and the last to anything in a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Counterfactual {
    /// The changes, as few as were found.
    pub changes: Vec<Change>,
}

/// A value that would have been normal.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The feature.
    pub feature: Arc<str>,
    /// From here on the event is normal, in the unit of the feature.
    pub low: f64,
    /// Up to here.
    pub high: f64,
}

/// More changes explain nothing.
const CHANGES_MAX: usize = 4;
/// Multiplications of one judgement beyond which nothing is searched: a search takes hundreds of judgements.
const WORK_MAX: usize = 500_000;
/// Halvings of the step between a normal value and one that is not.
const N_HALVINGS: u32 = 12;

impl Detector {
    /// Finds values that would have made an anomaly of a station normal, everything else being as it was.
    ///
    /// `values` are in the order of the features, NaN for a missing one. Values that
    /// the training has never seen are changed in any case, and then those that pushed the score most:
    /// one alone where that is enough, otherwise several. Only values within what the training has
    /// seen are considered. `None` when nothing was found, when too much would have to change to
    /// explain anything, when many of hundreds of values are missing, so that a search would take seconds,
    /// and when the metadata does not say how the values of the training were
    /// distributed.
    ///
    /// # Panics
    ///
    /// Panics when there are not as many values as features.
    pub fn counterfactual(&self, station: &str, values: &[f64]) -> Option<Counterfactual> {
        if self.work_of(values) > WORK_MAX {
            return None;
        }
        let search = Search {
            detector: self,
            baseline: self.baseline_of(station),
            features: self.features_of(station),
        };
        search.run(values)
    }
}

/// A search among the values that a station had in training.
struct Search<'a> {
    detector: &'a Detector,
    baseline: StationBaseline,
    features: Cow<'a, [FeatureMeta]>,
}

impl Search<'_> {
    fn run(&self, values: &[f64]) -> Option<Counterfactual> {
        let contributions = self.detector.contributions(self.baseline, values);
        let mut order: Vec<usize> = (0..values.len()).collect();
        let is_unseen = |index: usize| self.features[index].is_unseen(values[index]);
        order.sort_by(|&a, &b| {
            // What was never seen in training is to be changed, whatever else is.
            let by_push = contributions[b].total_cmp(&contributions[a]);
            is_unseen(b).cmp(&is_unseen(a)).then(by_push)
        });
        let n_unseen = order.iter().filter(|&&index| is_unseen(index)).count();
        if n_unseen > CHANGES_MAX {
            return None;
        }
        order.truncate(CHANGES_MAX);

        // One change is best, where it leaves nothing that is unseen.
        let singles = match n_unseen {
            0 => &order[..],
            1 => &order[..1],
            _ => &[],
        };
        let alone = singles.iter().find_map(|&feature| self.normal_change(values, feature));
        if let Some(change) = alone {
            return Some(Counterfactual { changes: vec![change] });
        }
        let mut changed = values.to_vec();
        let mut changes = Vec::new();
        for (index, feature) in order.into_iter().enumerate() {
            if index + 1 >= n_unseen
                && let Some(change) = self.normal_change(&changed, feature)
            {
                changes.push(change);
                return Some(Counterfactual { changes });
            }
            let percentiles = self.percentiles(feature)?;
            let median = *percentiles.get(percentiles.len() / 2)?;
            changed[feature] = median;
            changes.push(Change { feature: self.name(feature), low: median, high: median });
        }
        None
    }

    /// Returns the values of one feature that make an event normal: those around the usual ones.
    fn normal_change(&self, values: &[f64], feature: usize) -> Option<Change> {
        let percentiles = self.percentiles(feature)?;
        // The percentiles, and what lies half-way between them.
        let grid: Vec<f64> = percentiles
            .windows(2)
            .flat_map(|pair| [pair[0], f64::midpoint(pair[0], pair[1])])
            .chain(percentiles.last().copied())
            .collect();
        let mut changed = values.to_vec();
        let mut is_normal = |value: f64| {
            changed[feature] = value;
            !self.detector.judge_row_by(self.baseline, &changed).is_anomaly
        };
        let normal: Vec<bool> = grid.iter().map(|&value| is_normal(value)).collect();
        let middle = grid.len() / 2;
        let nearest =
            (0..normal.len()).filter(|&i| normal[i]).min_by_key(|i| i.abs_diff(middle))?;
        let first = (0..nearest).rev().take_while(|&i| normal[i]).last().unwrap_or(nearest);
        let last = (nearest..normal.len()).take_while(|&i| normal[i]).last().unwrap_or(nearest);

        // Between a normal value and its neighbour that is not, the edge is sought by halving.
        let mut edge = |inside: f64, outside: Option<&f64>| {
            let Some(&outside) = outside else { return inside };
            let (mut inside, mut outside) = (inside, outside);
            for _ in 0..N_HALVINGS {
                let middle = f64::midpoint(inside, outside);
                *(if is_normal(middle) { &mut inside } else { &mut outside }) = middle;
            }
            inside
        };
        let below = first.checked_sub(1).and_then(|index| grid.get(index));
        Some(Change {
            feature: self.name(feature),
            low: edge(grid[first], below),
            high: edge(grid[last], grid.get(last + 1)),
        })
    }

    /// Returns the percentiles of a feature: of a group of stations, as its quantiles tell them.
    fn percentiles(&self, feature: usize) -> Option<Cow<'_, [f64]>> {
        let feature = &self.features[feature];
        match &feature.percentiles {
            Some(percentiles) => Some(Cow::Borrowed(percentiles)),
            None if self.baseline.group().is_some() => {
                feature.quantiles.as_ref().map(|quantiles| Cow::Owned(quantiles.percentiles()))
            }
            None => None,
        }
    }

    fn name(&self, feature: usize) -> Arc<str> {
        Arc::clone(&self.detector.schema().features()[feature].name)
    }
}
