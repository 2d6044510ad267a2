//! Statistics of a column of numbers.

/// Returns a quantile, linear between order statistics; `None` of no numbers.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * sorted.len().checked_sub(1)? as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a slice"
    )]
    let below = place as usize;
    let above = (below + 1).min(sorted.len() - 1);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64))
}

/// Returns the median; `None` of no numbers.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(&sorted(values), 0.5)
}

/// Returns numbers in ascending order, without missing ones.
pub(crate) fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// Returns mean and standard deviation of numbers that are there; 0 of no numbers.
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count().max(1) as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

/// Returns a scale by the median distance from the middle, and by the standard deviation where most values are equal, as
/// those of a switch.
pub(crate) fn scale(distance: f64, deviation: f64) -> f64 {
    /// A median distance, times this, is the standard deviation of normal values.
    const DEVIATIONS_PER_DISTANCE: f64 = 1.4826;
    const DEVIATION_SHARE_MIN: f64 = 0.3;
    (DEVIATIONS_PER_DISTANCE * distance).max(DEVIATION_SHARE_MIN * deviation)
}

/// Returns a column of rows of a width that lie one after another.
pub(crate) fn column<T: Copy>(
    rows: &[T],
    width: usize,
    index: usize,
) -> impl Iterator<Item = T> + Clone {
    rows.iter().skip(index).step_by(width).copied()
}
