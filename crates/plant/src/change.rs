//! The changes of a healthy station from day to day, as real plants have them: it drifts until it is maintained, makes one
//! product after another, and has less to do on the seventh day.
//!
//! They follow from the number of the station and of its event, and begin small: on the first day, a station is as the
//! training knows it.

use crate::behaviour::{EVENTS_A_DAY, N_FEATURES, NORMAL_DEVIATIONS, spread};

/// The most that a sensor drifts in a day, in normal deviations.
const DRIFT_A_DAY: f64 = 0.4;
/// Multiples of these tell how fast the sensors of a station drift.
const DRIFT_STEPS: [f64; N_FEATURES] =
    [0.754_877_666_246_692_8, 0.569_840_290_998_053_3, 0.618_033_988_749_894_9];
/// The first day of maintenance is this or one of the next two; then it comes as often.
const MAINTENANCE_DAYS: u64 = 5;
/// Days with the same product.
const PRODUCT_DAYS: u64 = 2;
/// The effect of a product on each sensor, in normal deviations.
const PRODUCTS: [[f64; N_FEATURES]; 3] = [[0.0; N_FEATURES], [0.6, -0.4, 0.5], [-0.4, 0.5, -0.3]];
const WEEK_DAYS: u64 = 7;
/// The share of the load on the last day of a week.
const QUIET_LOAD: f64 = 0.4;

/// Returns what the drift since the last maintenance and the product add to the values of event `index`.
pub(crate) fn effect(number: u32, index: u64) -> [f64; N_FEATURES] {
    let day = index / EVENTS_A_DAY;
    let first_maintenance = MAINTENANCE_DAYS + u64::from(number % 3);
    let since_day = match day.checked_sub(first_maintenance) {
        None => 0,
        Some(days) => day - days % MAINTENANCE_DAYS,
    };
    let days = (index - since_day * EVENTS_A_DAY) as f64 / EVENTS_A_DAY as f64;
    let n_products = day / PRODUCT_DAYS;
    let product = match (n_products, (n_products + u64::from(number)) % 3) {
        (0, _) | (_, 0) => PRODUCTS[0],
        (_, 1) => PRODUCTS[1],
        _ => PRODUCTS[2],
    };
    std::array::from_fn(|sensor| {
        let drift = DRIFT_A_DAY * spread(number, DRIFT_STEPS[sensor]) * days;
        NORMAL_DEVIATIONS[sensor] * (drift + product[sensor])
    })
}

/// Returns the share of the usual load under which a station makes event `index`.
pub(crate) fn load(index: u64) -> f64 {
    let day = index / EVENTS_A_DAY;
    if day % WEEK_DAYS == WEEK_DAYS - 1 { QUIET_LOAD } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_grows_until_maintenance_and_products_take_turns() {
        let number = 3;
        let on_day =
            |day: u64| effect(number, day * EVENTS_A_DAY).map(|value| (value * 1e6).round());
        assert_eq!(on_day(0), [0.0; N_FEATURES]);
        let drift_a_day = DRIFT_A_DAY * spread(number, DRIFT_STEPS[0]) * NORMAL_DEVIATIONS[0];
        assert_eq!(on_day(1)[0], (drift_a_day * 1e6).round());
        // Station 3 makes the second product on days 2 and 3, and is maintained on day 5.
        let product = PRODUCTS[1][0] * NORMAL_DEVIATIONS[0];
        assert_eq!(on_day(3)[0], ((3.0 * drift_a_day + product) * 1e6).round());
        let product = PRODUCTS[2].map(|effect| (effect * 1e6).round());
        let scaled = |sensor: usize| (product[sensor] * NORMAL_DEVIATIONS[sensor]).round();
        assert_eq!(on_day(5), std::array::from_fn(scaled));
        assert_eq!([5, 6, 7].map(|day| load(day * EVENTS_A_DAY)), [1.0, QUIET_LOAD, 1.0]);
    }
}
