//! Columns of rows that lie one after another.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is an index, and a sender rounds"
)]

/// Returns the values of a feature in the order of the rows, NaN for a missing one.
pub(crate) fn column(values: &[f64], n_features: usize, feature: usize) -> Vec<f64> {
    values.iter().skip(feature).step_by(n_features).copied().collect()
}

/// Returns the values that are not missing, in ascending order.
pub(crate) fn present(column: &[f64]) -> Vec<f64> {
    let mut present: Vec<f64> = column.iter().copied().filter(|value| !value.is_nan()).collect();
    present.sort_unstable_by(f64::total_cmp);
    present
}

/// Returns `true` if a value is what a sender that rounds to `f32` makes of a constant.
pub(crate) fn is_rounded(constant: f64, x: f64) -> bool {
    x == f64::from(constant as f32)
}

/// Returns how far a value lies outside of a range, in its widths: negative below, positive above, infinite beside a
/// constant; `None` within, for a missing value, and for a rounded constant.
pub(crate) fn by_ranges(lowest: f64, highest: f64, x: f64) -> Option<f64> {
    let beyond = if x > highest {
        x - highest
    } else if x < lowest {
        x - lowest
    } else {
        return None;
    };
    if highest == lowest {
        return (!is_rounded(highest, x)).then(|| beyond.signum() * f64::INFINITY);
    }
    Some((beyond / (highest - lowest)).clamp(-f64::MAX, f64::MAX))
}

/// Returns a quantile of values in ascending order, interpolated between neighbours; `None` without values.
pub(crate) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = share * last as f64;
    let index = (rank as usize).min(last);
    let upper = sorted[(index + 1).min(last)];
    Some(sorted[index] + (upper - sorted[index]) * (rank - index as f64))
}
