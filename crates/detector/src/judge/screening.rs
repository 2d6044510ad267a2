//! Training rows to leave out: those with a value that no tail explains.

use crate::column::{column, present, quantile};

/// A value this many times as far from the median as its inner neighbour is left out, and all beyond.
const GAP: f64 = 4.0;
/// Only the outermost tenth of a side can be left out.
const INNER_SHARE: f64 = 0.9;

/// A training row that is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LeftOutRow {
    /// Index of the row, from 0.
    pub(crate) row: usize,
    /// Index of a feature whose value is too far out.
    pub(crate) feature: usize,
    /// The value.
    pub(crate) value: f64,
}

/// Returns the rows that have a value beyond a gap, in their order. `values` are those of one row after
/// another, NaN for a missing one.
///
/// One absurd value, 9999 for "no reading", widens every cut of the trees that draw it and every scale.
/// A feature of which nine in ten values are equal has no scale, so that nothing is left out for it.
pub(crate) fn rows_beyond_a_gap(values: &[f64], n_features: usize) -> Vec<LeftOutRow> {
    let mut left_out: Vec<Option<LeftOutRow>> = vec![None; values.len() / n_features];
    for feature in 0..n_features {
        let column = column(values, n_features, feature);
        let sorted = present(&column);
        let Some(median) = quantile(&sorted, 0.5) else { continue };
        let distances = present(&column.iter().map(|x| (x - median).abs()).collect::<Vec<_>>());
        let reach = quantile(&distances, INNER_SHARE).unwrap_or(0.0);
        if reach.is_nan() || reach <= 0.0 {
            continue;
        }
        let above: Vec<f64> = sorted.iter().map(|x| x - median).collect();
        let below: Vec<f64> = sorted.iter().rev().map(|x| median - x).collect();
        let (above, below) = (beyond(&above, reach), beyond(&below, reach));
        for (row, &value) in column.iter().enumerate() {
            let is_beyond =
                |distance: f64, limit: Option<f64>| limit.is_some_and(|limit| distance >= limit);
            if left_out[row].is_none()
                && (is_beyond(value - median, above) || is_beyond(median - value, below))
            {
                left_out[row] = Some(LeftOutRow { row, feature, value });
            }
        }
    }
    left_out.into_iter().flatten().collect()
}

/// Returns the distance from which values lie beyond a gap. `side` are the distances from the median in one
/// direction, ascending.
fn beyond(side: &[f64], reach: f64) -> Option<f64> {
    let outer = &side[(INNER_SHARE * side.len() as f64) as usize..];
    outer.windows(2).find(|pair| pair[1] > GAP * pair[0].max(reach)).map(|pair| pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(values: &[f64]) -> Vec<usize> {
        rows_beyond_a_gap(values, 1).into_iter().map(|row| row.row).collect()
    }

    #[test]
    fn absurd_values_are_left_out_and_tails_are_not() {
        let mut values: Vec<f64> =
            (0..1_000).map(|i| 50.0 + f64::from(i % 41 - 20) / 10.0).collect();
        assert!(left_out(&values).is_empty());
        values[7] = 9_999.0;
        values[9] = -9_999.0;
        values[11] = f64::NAN;
        assert_eq!(left_out(&values), [7, 9]);
        // Heavy tails, but none of them beyond a gap.
        let heavy: Vec<f64> = (1..1_000).map(|i| 1e3 / f64::from(i)).collect();
        assert!(left_out(&heavy).is_empty());
    }

    #[test]
    fn at_most_a_tenth_of_a_side_is_left_out() {
        let values: Vec<f64> =
            (0..1_000).map(|i| f64::from(i % 10) + if i % 5 == 0 { 1e6 } else { 0.0 }).collect();
        assert!(left_out(&values).is_empty());
        let switch: Vec<f64> = (0..1_000).map(|i| f64::from(u8::from(i % 50 == 0))).collect();
        assert!(left_out(&switch).is_empty());
    }
}
