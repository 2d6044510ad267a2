//! Comparisons in `f32` that decide as those in `f64` do.

use crate::conventions::InputPrecision;

/// Returns the `f32` that can take the place of a threshold, where there is one.
///
/// Among values that are rounded to `f32` the next lower `f32` separates the same ones. Values that
/// are compared as they are may lie between the two, so there the threshold has to be an `f32`.
pub(super) fn narrowed(threshold: f64, precision: InputPrecision) -> Option<f32> {
    let nearest = threshold as f32;
    match precision {
        InputPrecision::F64 => (f64::from(nearest) == threshold).then_some(nearest),
        InputPrecision::F32 if f64::from(nearest) > threshold => Some(nearest.next_down()),
        InputPrecision::F32 => Some(nearest),
    }
}

/// Returns the least `f32` that is not below `value`, written so that it takes no branch; NaN for NaN.
///
/// For every `f32` threshold t, `value > t` exactly when the result is above t: if the result is
/// above t and `value` were not, then t would be a lesser such `f32`.
#[inline]
pub(super) fn round_up(value: f64) -> f32 {
    let nearest = value as f32;
    let bits = nearest.to_bits();
    // The next `f32` upwards is one bit pattern on, or one back below zero. No rounding takes a
    // value to -0.0 from above.
    let is_negative = bits >> 31;
    let is_below = u32::from(f64::from(nearest) < value);
    f32::from_bits(bits.wrapping_add(is_below).wrapping_sub(2 * (is_below & is_negative)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_up_gives_the_least_float_that_is_not_below() {
        let floats = [0.0, 1.0, -1.0, 0.1, 1e-40, 3.4e38, f32::MIN_POSITIVE];
        let values = floats.into_iter().flat_map(|float: f32| {
            let value = f64::from(float);
            [value, value.next_up(), value.next_down(), -value, -value * 1.000_000_01]
        });
        let extremes = [1e300, -1e300, 1e-300, -1e-300, f64::INFINITY, f64::NEG_INFINITY, -0.0];
        for value in values.chain(extremes) {
            let up = round_up(value);
            assert!(f64::from(up) >= value, "{value:e} became {up:e}");
            assert!(
                up == f32::NEG_INFINITY || f64::from(up.next_down()) < value,
                "{value:e} {up:e}"
            );
        }
        assert!(round_up(f64::NAN).is_nan());
    }

    #[test]
    fn a_threshold_is_narrowed_where_nothing_changes() {
        let between = 1.0_f64.next_up();
        assert_eq!(narrowed(1.5, InputPrecision::F64), Some(1.5));
        assert_eq!(narrowed(between, InputPrecision::F64), None);
        assert_eq!(narrowed(between, InputPrecision::F32), Some(1.0));
        assert_eq!(narrowed(1.0_f64.next_down(), InputPrecision::F32), Some(1.0_f32.next_down()));
        assert_eq!(narrowed(f64::MAX, InputPrecision::F32), Some(f32::MAX));
        assert_eq!(narrowed(f64::MIN, InputPrecision::F32), Some(f32::NEG_INFINITY));
    }
}
