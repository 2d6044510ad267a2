//! Columns of numbers that may measure nothing: counters, and states or labels.

use std::collections::BTreeMap;

use detector::GroupPattern;
use wording::{listed, readable};

use crate::data::TrainingData;
use crate::timeline::Timeline;

/// In fewer rows, a column rises by chance.
const ROWS_MIN: usize = 50;
/// A counter rises in this part of the rows at least.
const RISES_MIN: f64 = 0.5;
/// Decimals of values in the warning.
const N_PLACES: usize = 2;

impl TrainingData {
    /// Returns when the events were measured, where the data says.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        if self.has_times { Timeline::of(&self.events) } else { None }
    }

    /// Returns all warnings about the events that were read, at the time `now_us`.
    pub(crate) fn doubts(
        &self,
        group_by: Option<&GroupPattern>,
        timeline: Option<&Timeline>,
        now_us: i64,
    ) -> Vec<String> {
        let mut doubts: Vec<String> = self.apart_warning(group_by).into_iter().collect();
        doubts.extend(self.sentinel_warnings());
        let is_of_files = !self.files.is_empty();
        if is_of_files {
            doubts.extend(self.doubtful_warnings());
            let about_times = timeline.map(|timeline| timeline.warnings(self.events.len(), now_us));
            doubts.extend(about_times.into_iter().flatten());
        }
        doubts
    }

    /// Returns a warning about the columns that only rise, and one about those with two values.
    fn doubtful_warnings(&self) -> Vec<String> {
        let names = self.schema.features().iter().map(|feature| &*feature.name).enumerate();
        let rising: Vec<String> = names
            .clone()
            .filter(|(index, _)| self.only_rises(*index))
            .map(|(_, name)| format!("`{name}`"))
            .collect();
        let of_two = names.filter_map(|(index, name)| {
            let [low, high] = self.two_values(index)?.map(|value| readable(value, N_PLACES));
            Some(format!("`{name}` ({low} and {high})"))
        });
        let of_two: Vec<String> = of_two.collect();
        let warning = |columns: Vec<String>, what: &str| {
            (!columns.is_empty()).then(|| format!("{}: {what}", listed(&columns)))
        };
        let rising = warning(
            rising,
            "values that only rise, as counters, numbers of rows and times do: later ones will all be beyond what was learnt; \
             leave the column out with --ignore, name the time with --time-column, or learn differences",
        );
        let of_two = warning(
            of_two,
            "two values alone; leave out with --ignore what is no measurement, and name a column that tells which rows are \
             anomalous with --label-column",
        );
        rising.into_iter().chain(of_two).collect()
    }

    fn only_rises(&self, index: usize) -> bool {
        let mut last = BTreeMap::new();
        let (mut n_pairs, mut n_rises) = (0_usize, 0_usize);
        for event in &self.events {
            let value = event.values()[index];
            if value.is_nan() {
                continue;
            }
            if let Some(before) = last.insert(event.station_id(), value) {
                if value < before {
                    return false;
                }
                n_pairs += 1;
                n_rises += usize::from(value > before);
            }
        }
        n_pairs >= ROWS_MIN && n_rises as f64 >= RISES_MIN * n_pairs as f64
    }

    /// Returns the values of a feature, if there are two.
    fn two_values(&self, index: usize) -> Option<[f64; 2]> {
        let values = self.events.iter().map(|event| event.values()[index]);
        let mut present = values.filter(|value| !value.is_nan());
        let first = present.next()?;
        let second = present.find(|value| *value != first)?;
        let is_known = present.all(|value| value == first || value == second);
        (is_known && self.events.len() >= ROWS_MIN).then(|| [first.min(second), first.max(second)])
    }
}
