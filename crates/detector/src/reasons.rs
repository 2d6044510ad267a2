//! Reasons in words.

use std::borrow::Cow;

use sensor::{Attribution, Baseline, Direction, Evidence, Excess, Prediction};
use wording::{places_of, readable, rounded};

use crate::detector::Detector;
use crate::meta::{FeatureMeta, ModelMeta};

/// Unusual values that are named one by one.
const UNUSUAL_NAMED: usize = 4;
/// Usual values that are named one by one.
const USUAL_NAMED: usize = 3;
/// Values that another model names have this share of the largest push.
const NAMED_FROM: f64 = 0.5;
/// Of two values that do not fit, both are named if the second is this share as far off as the first, or more.
const AS_FAR_FROM: f64 = 0.9;
/// Distances below this are not worth a number, in ranges.
const TENTH_OF_RANGE: f64 = 0.05;

impl Detector {
    /// Explains why an event is an anomaly by what speaks most for it:
    ///
    /// - `sound 91.2 dB is 2.1 ranges above anything in training, normally 58 to 74; temperature as usual`,
    /// - `pressure 3.9 bar does not fit the other sensors: expected 3.1 to 3.4 bar`,
    /// - `temperature 116.1 °C and current 79 A do not fit together: expected temperature 103 to 106 °C or current
    ///   88 to 91 A`,
    /// - `sound 73.5 dB, normally 58 to 72; temperature as usual`.
    ///
    /// Normal is what 98 of 100 values in training were, at the station or in its group where these have a baseline of
    /// their own. A prediction of another model gets its
    /// values only, since what was normal for that one is not known here.
    pub fn reasons(&self, prediction: &Prediction) -> String {
        let meta = self.meta();
        if !meta.model_version.judges_like(&prediction.model_version) {
            return meta.judged_by_another(prediction);
        }
        let features = self.features_of(prediction.station_id.as_str());
        match prediction.evidence {
            Some(Evidence::Relation) => {
                let misfit = self.misfit(&features, prediction);
                misfit.unwrap_or_else(|| unusual_values(&features, prediction, &[]))
            }
            _ => unusual_values(&features, prediction, &[]),
        }
    }

    /// Describes the value that fits the others least, or two where either could be the one.
    fn misfit(&self, features: &[FeatureMeta], prediction: &Prediction) -> Option<String> {
        let row = self.row(&prediction.features)?;
        let baseline = self.baseline_of(prediction.station_id.as_str());
        let described = |pushed: &Attribution| {
            let index = self.schema().names().iter().position(|name| *name == pushed.feature)?;
            let (low, high) = self.expected(baseline, &row, index)?;
            let feature = &features[index];
            let [low, high] = feature.range_text(low, high, pushed.value);
            let unit = feature.unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
            Some((feature, feature.with_value(pushed.value), format!("{low} to {high}{unit}")))
        };
        let (first, rest) = prediction.attributions.split_first()?;
        let is_as_far =
            |second: &&Attribution| second.contribution >= first.contribution * AS_FAR_FROM;
        let second = rest.first().filter(is_as_far);
        let (feature, measured, expected) = described(first)?;
        let (misfit, named) = match second.and_then(described).zip(second) {
            None => (
                format!("{measured} does not fit the other sensors: expected {expected}"),
                vec![&*first.feature],
            ),
            Some(((other, other_measured, other_expected), second)) => {
                let [feature, other] = [feature, other].map(FeatureMeta::plain_name);
                let misfit = format!(
                    "{measured} and {other_measured} do not fit together: expected {feature} {expected} \
                     or {other} {other_expected}"
                );
                (misfit, vec![&*first.feature, &*second.feature])
            }
        };
        let others = unusual_values(features, prediction, &named);
        Some(if others.is_empty() { misfit } else { format!("{misfit}; {others}") })
    }
}

impl ModelMeta {
    fn judged_by_another(&self, prediction: &Prediction) -> String {
        let most = prediction.attributions.first().map_or(0.0, |pushed| pushed.contribution);
        let named = prediction
            .attributions
            .iter()
            .filter(|pushed| pushed.contribution > 0.0 && pushed.contribution >= most * NAMED_FROM);
        let named = named.map(|pushed| match self.feature(&pushed.feature) {
            Some(known) => known.with_value(pushed.value),
            None => value_of(&pushed.feature, pushed.value),
        });
        format!("judged by another model; mostly because of {}", listed(named.collect()))
    }
}

/// Says where in the training the values were that a prediction compares with.
fn place_of(baseline: Option<Baseline>) -> &'static str {
    match baseline {
        None | Some(Baseline::Fleet) => "in training",
        Some(Baseline::Station) => "at this station in training",
        Some(Baseline::Group) => "in its group in training",
    }
}

/// Describes which values are not as in training, and which are. `described` was described already.
fn unusual_values(features: &[FeatureMeta], prediction: &Prediction, described: &[&str]) -> String {
    let place = place_of(prediction.baseline);
    let (mut unusual, mut usual) = (Vec::new(), Vec::new());
    for attribution in &prediction.attributions {
        let Some(feature) = FeatureMeta::named(features, &attribution.feature) else { continue };
        let is_of_it = |excess: &&Excess| excess.feature == attribution.feature;
        match prediction.outside.iter().find(is_of_it) {
            _ if described.contains(&&*attribution.feature) => {}
            Some(excess) => unusual.push(feature.outside(attribution.value, excess, place)),
            None if feature.is_usual(attribution) => usual.push((feature, attribution)),
            None => unusual.push(feature.unusual(attribution.value, place)),
        }
    }
    if unusual.is_empty() && described.is_empty() {
        let together = usual.iter().take(2);
        let together = together.map(|(feature, pushed)| feature.with_value(pushed.value)).collect();
        return format!("every value is usual, but not all at once: {}", listed(together));
    }
    let n_more = unusual.len().saturating_sub(UNUSUAL_NAMED);
    unusual.truncate(UNUSUAL_NAMED);
    let mut clauses = unusual;
    if n_more > 0 {
        clauses.push(format!("{n_more} more values unusual"));
    }
    match usual.len() {
        0 => {}
        1..=USUAL_NAMED => {
            let names = usual.iter().map(|(feature, _)| feature.plain_name().into_owned());
            clauses.push(format!("{} as usual", listed(names.collect())));
        }
        n_usual => clauses.push(format!("the other {n_usual} values as usual")),
    }
    clauses.join("; ")
}

/// Values with so many places are written in powers of ten.
const SMALL_PLACES: usize = 7;
/// ... and values so small are written in powers of ten.
const TINY: f64 = 1e-3;
/// More places are no help to anybody.
const MANY_PLACES: usize = 12;

impl FeatureMeta {
    /// Returns the name as a person says it: `sound` for `sound_db`, whose unit is dB. Without a unit, it stays as
    /// it is: its end may tell the unit.
    pub fn plain_name(&self) -> Cow<'_, str> {
        let Some(unit) = &self.unit else { return Cow::from(&self.name) };
        let splits = self.name.match_indices('_').map(|(at, _)| self.name.split_at(at));
        let front =
            splits.filter(|(_, end)| is_written_as(unit, end)).map(|(front, _)| front).next();
        let plain = front.unwrap_or(&self.name);
        if plain.contains('_') { plain.replace('_', " ").into() } else { plain.into() }
    }

    /// Returns the name with its unit, for titles: `sound [dB]`.
    pub fn title(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} [{unit}]", self.plain_name()),
            None => self.plain_name().into_owned(),
        }
    }

    /// Returns the range of normal values: that of 98 % of the training values.
    pub fn normal_range(&self) -> Option<(f64, f64)> {
        self.quantiles.as_ref().map(|quantiles| (quantiles.p01, quantiles.p99))
    }

    /// Returns a value as a person writes it, with as many places as tell the values of the training apart.
    pub fn value_text(&self, value: f64) -> String {
        let n_places = self.n_places();
        if self.is_tiny(value) { format!("{value:.3e}") } else { readable(value, n_places) }
    }

    /// Returns the ends of a range as people write them, neither beyond the range: rounded towards its middle,
    /// with more places where it would be empty otherwise, and whole where they are very large.
    pub fn range_within(&self, low: f64, high: f64) -> (String, String) {
        for n_places in self.n_places()..=MANY_PLACES {
            let factor = 10_f64.powi(i32::try_from(n_places).unwrap_or_default());
            let (inner_low, inner_high) =
                ((low * factor).ceil() / factor, (high * factor).floor() / factor);
            if inner_low <= inner_high {
                return (rounded(inner_low, n_places), rounded(inner_high, n_places));
            }
        }
        (low.to_string(), high.to_string())
    }

    /// Returns a value with its unit.
    pub fn measured(&self, value: Option<f64>) -> String {
        match (value, &self.unit) {
            (None, _) => String::from("missing"),
            (Some(value), Some(unit)) => format!("{} {unit}", self.value_text(value)),
            (Some(value), None) => self.value_text(value),
        }
    }

    /// Returns `true` if zeros would fill the line.
    fn is_tiny(&self, value: f64) -> bool {
        self.n_places() >= SMALL_PLACES && value != 0.0 && value.abs() < TINY
    }

    fn n_places(&self) -> usize {
        self.normal_range().map_or(2, |(low, high)| places_of(high - low))
    }

    /// Returns `true` if a value lies in the normal range, or is missing and pushed the score towards
    /// normal.
    pub fn is_usual(&self, attribution: &Attribution) -> bool {
        match (attribution.value, self.normal_range()) {
            (Some(value), Some((low, high))) => low <= value && value <= high,
            (Some(_), None) => false,
            (None, _) => attribution.contribution <= 0.0,
        }
    }

    /// Returns `true` if the training had no value as low, or none as high.
    pub fn is_unseen(&self, value: f64) -> bool {
        self.quantiles.as_ref().is_some_and(|seen| value < seen.min || value > seen.max)
    }

    /// Returns the ends of a range: rough, a place fewer than a value has, unless that would hide that the value
    /// lies outside.
    fn range_text(&self, low: f64, high: f64, value: Option<f64>) -> [String; 2] {
        let rough = self.n_places().saturating_sub(1);
        let at = |end: f64, n_places: usize| format!("{end:.n_places$}");
        let parsed = |text: String| text.parse::<f64>().unwrap_or_default();
        let seems_inside = value.is_some_and(|value| {
            (parsed(at(low, rough))..=parsed(at(high, rough))).contains(&value)
        });
        let is_short =
            low.abs().max(high.abs()) < 1e9 && ![low, high].iter().any(|end| self.is_tiny(*end));
        [low, high].map(|end| match (is_short, seems_inside) {
            (false, _) => self.value_text(end),
            (true, false) => at(end, rough),
            (true, true) => at(end, self.n_places()),
        })
    }

    fn with_value(&self, value: Option<f64>) -> String {
        format!("{} {}", self.plain_name(), self.measured(value))
    }

    /// Describes a value outside of what training has seen.
    fn outside(&self, value: Option<f64>, excess: &Excess, place: &str) -> String {
        let measured = self.with_value(value);
        let side = match excess.side {
            Direction::High => "above",
            Direction::Low => "below",
        };
        let Some(seen) = &self.quantiles else { return measured };
        match excess.by_ranges {
            None => {
                let value = value.unwrap_or(seen.min);
                let text = |value: f64, n_places: usize| readable(value, n_places);
                let differ = |n_places: &usize| text(value, *n_places) != text(seen.min, *n_places);
                let n_places = (self.n_places()..MANY_PLACES).find(differ).unwrap_or(MANY_PLACES);
                let unit = self.unit.as_ref().map_or(String::new(), |unit| format!(" {unit}"));
                let [value, constant] = [value, seen.min].map(|value| text(value, n_places));
                format!("{} {value}{unit}, constant at {constant} {place}", self.plain_name())
            }
            Some(by_ranges) => {
                let far = if by_ranges < TENTH_OF_RANGE {
                    String::new()
                } else {
                    format!("{} ranges ", rounded(by_ranges, usize::from(by_ranges < 100.0)))
                };
                let [low, high] = self.range_text(seen.p01, seen.p99, value);
                format!("{measured} is {far}{side} anything {place}, normally {low} to {high}")
            }
        }
    }

    fn unusual(&self, value: Option<f64>, place: &str) -> String {
        let measured = self.with_value(value);
        match self.normal_range() {
            Some((low, high)) => {
                let [low, high] = self.range_text(low, high, value);
                format!("{measured}, normally {low} to {high}")
            }
            None => format!("{measured}, always missing {place}"),
        }
    }
}

/// Returns `true` if the end of a name is how its unit is written in names: `_c` for °C, `_pct` for %, `_mm_s` for mm/s.
fn is_written_as(unit: &str, end: &str) -> bool {
    let letters: String = unit.chars().filter(char::is_ascii_alphanumeric).collect();
    let end = end.replace('_', "");
    end.eq_ignore_ascii_case(&letters) || (unit == "%" && ["pct", "percent"].contains(&&*end))
}

fn value_of(name: &str, value: Option<f64>) -> String {
    value
        .map_or_else(|| format!("{name} missing"), |value| format!("{name} {}", readable(value, 3)))
}

/// Joins names: `a`, `a and b`, `a, b and c`.
fn listed(mut names: Vec<String>) -> String {
    match names.pop() {
        None => String::new(),
        Some(last) if names.is_empty() => last,
        Some(last) => format!("{} and {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::FeatureSummary;

    #[test]
    fn names_are_those_that_people_use() {
        let feature = |name: &str, unit: Option<&str>| {
            let mut feature = FeatureMeta::new(&sensor::Feature::named(name), None);
            feature.unit = unit.map(String::from);
            feature.plain_name().into_owned()
        };
        assert_eq!(feature("temperature_c", Some("°C")), "temperature");
        assert_eq!(feature("humidity_pct", Some("%")), "humidity");
        assert_eq!(feature("oil_pressure_bar", Some("bar")), "oil pressure");
        assert_eq!(feature("flow_rate", Some("l/min")), "flow rate");
        assert_eq!(feature("Current", None), "Current");
        assert_eq!(feature("vibration_mm_s", None), "vibration_mm_s");
        assert_eq!(feature("vibration_mm_s", Some("mm/s")), "vibration");
    }

    #[test]
    fn values_have_the_places_that_their_range_asks_for() {
        let values = (0..=1_000).map(|i| 58.0 + 16.0 * f64::from(i) / 1_000.0);
        let mut feature =
            FeatureMeta::new(&sensor::Feature::named("sound_db"), FeatureSummary::of(values));
        feature.unit = Some(String::from("dB"));
        assert_eq!(
            feature.unusual(Some(91.234), "in training"),
            "sound 91.2 dB, normally 58 to 74"
        );
        assert_eq!(feature.unusual(None, "in training"), "sound missing, normally 58 to 74");
        assert_eq!(
            feature.unusual(Some(73.9), "in training"),
            "sound 73.9 dB, normally 58.2 to 73.8"
        );
        assert_eq!(
            feature.unusual(Some(1e300), "in training"),
            "sound 1e300 dB, normally 58 to 74"
        );
        // Nearly constant: what tells values apart is far behind the point.
        let values = (0..=1_000).map(|i| 5.0 + f64::from(i) * 1e-8);
        let constant =
            FeatureMeta::new(&sensor::Feature::named("supply"), FeatureSummary::of(values));
        let said = constant.unusual(Some(5.000_02), "in training");
        assert_eq!(said, "supply 5.00002, normally 5.0000001 to 5.0000099");
        let is_usual = |value: Option<f64>, contribution: f64| {
            feature.is_usual(&Attribution {
                feature: "sound_db".into(),
                value,
                contribution,
                direction: None,
            })
        };
        assert!(is_usual(Some(60.0), 0.1) && !is_usual(Some(58.1), 0.1));
        assert!(is_usual(None, -0.1) && !is_usual(None, 0.1));
    }
}
