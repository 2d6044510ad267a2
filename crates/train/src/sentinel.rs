//! One value that stands in many rows, far from all others: it may stand for "no reading".

use wording::{percent, readable};

use crate::data::TrainingData;

/// The detector leaves rows out up to this share; beyond it, the value is part of what is normal.
const SHARE_MIN: f64 = 0.1;
/// The distance from the other values, in their range.
const GAP_MIN: f64 = 4.0;
/// Decimals of values in the warning.
const N_PLACES: usize = 2;

impl TrainingData {
    /// Returns a warning for each feature of which more than a tenth of the values are the same and far from
    /// all others.
    pub(crate) fn sentinel_warnings(&self) -> Vec<String> {
        let names = self.schema.features().iter().map(|feature| &*feature.name).enumerate();
        names.filter_map(|(index, name)| self.sentinel(index, name)).collect()
    }

    fn sentinel(&self, index: usize, name: &str) -> Option<String> {
        let values = self.events.iter().map(|event| event.values()[index]);
        let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&lowest, &highest) = sorted.first().zip(sorted.last())?;
        let above = &sorted[sorted.partition_point(|&value| value <= lowest)..];
        let below = &sorted[..sorted.partition_point(|&value| value < highest)];
        let share_outside = |rest: &[f64]| 1.0 - rest.len() as f64 / sorted.len() as f64;
        let (value, rest) =
            [(lowest, above), (highest, below)].into_iter().find(|&(value, rest)| {
                let [from, .., to] = rest else { return false };
                let gap = (value - from).abs().min((value - to).abs());
                share_outside(rest) > SHARE_MIN && to > from && gap > GAP_MIN * (to - from)
            })?;
        let [from, to] = [rest.first()?, rest.last()?].map(|end| readable(*end, N_PLACES));
        Some(format!(
            "`{name}` is {} in {} of the rows, far from all other values ({from} to {to}): clear these cells if it stands for no \
             reading; if it is a state of its own, values between the two look normal",
            readable(value, N_PLACES),
            percent(share_outside(rest))
        ))
    }
}
