//! Stations whose values hardly overlap: what is normal for one hides what is wrong with another.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use detector::GroupPattern;
use sensor::SensorEvent;
use wording::{counted, listed, readable};

use crate::data::TrainingData;

/// Stations with fewer events are not compared.
const EVENTS_MIN: usize = 30;
/// Decimals of values in the warning.
const N_PLACES: usize = 2;

/// Two stations that are far apart in a feature.
struct Gap<'a> {
    feature: &'a str,
    low: Span<'a>,
    high: Span<'a>,
    /// The distance between the two, in the width of the wider one.
    by_widths: f64,
}

/// Nine in ten of the values of a station.
#[derive(Debug, Clone, Copy)]
struct Span<'a> {
    station: &'a str,
    from: f64,
    to: f64,
}

impl TrainingData {
    /// Returns the warning that stations with one baseline hardly overlap, if any do.
    pub(crate) fn apart_warning(&self, group_by: Option<&GroupPattern>) -> Option<String> {
        let mut groups: BTreeMap<Cow<'_, str>, BTreeMap<&str, Vec<&SensorEvent>>> = BTreeMap::new();
        for event in &self.events {
            let station = event.station_id().as_str();
            let group = group_by.map_or(Cow::default(), |group_by| group_by.group_of(station));
            groups.entry(group).or_default().entry(station).or_default().push(event);
        }
        let all = groups.iter_mut().filter_map(|(group, stations)| {
            stations.retain(|_, events| events.len() >= EVENTS_MIN);
            let names = self.schema.features().iter().map(|feature| &*feature.name).enumerate();
            let gaps = names.filter_map(|(index, name)| gap(stations, index, name));
            let gaps: Vec<Gap<'_>> = gaps.collect();
            let widest = gaps.iter().max_by(|a, b| a.by_widths.total_cmp(&b.by_widths));
            Some((widest?.by_widths, group, gaps))
        });
        let (_, group, gaps) = all.max_by(|a, b| a.0.total_cmp(&b.0))?;
        let widest = gaps.iter().max_by(|a, b| a.by_widths.total_cmp(&b.by_widths))?;
        let (of_group, remedy) = match group_by {
            None => (String::new(), "or groups of them with --group-by"),
            Some(_) => (format!(" of the group `{group}`"), "or group them by another pattern"),
        };
        let span = |span: Span<'_>| {
            let [from, to] = [span.from, span.to].map(|end| readable(end, N_PLACES));
            format!("`{}` has {from} to {to}", span.station)
        };
        let others = match gaps.len() - 1 {
            0 => String::new(),
            n_others => format!(", as in {}", counted(n_others as u64, "other feature")),
        };
        Some(format!(
            "stations{of_group} hardly overlap: in `{}`, {} and {} (nine of ten values){others}. One baseline for both takes the \
             normal values of either as normal for the other, and does not see a station that behaves like another: let each have its \
             own baseline with --per-station, {remedy}",
            widest.feature,
            span(widest.low),
            span(widest.high),
        ))
    }
}

impl TrainingData {
    /// Returns the warning that a pattern groups no stations, or not all, if that is so.
    pub(crate) fn ungrouped_warning(&self, group_by: Option<&GroupPattern>) -> Option<String> {
        let group_by = group_by?;
        if group_by.is_per_station() {
            return Some(format!(
                "`{group_by}` has no *, so that each station has its own baseline, as with --per-station; a * stands for the part \
                 of the name in which the stations of a group differ, as in site.line.*"
            ));
        }
        let stations: BTreeSet<&str> =
            self.events.iter().map(|event| event.station_id().as_str()).collect();
        let others: Vec<&str> =
            stations.into_iter().filter(|station| group_by.group_of(station) == *station).collect();
        let named = listed(&others);
        (!others.is_empty()).then(|| {
            format!("these names of stations do not have the parts of `{group_by}`, so that each is a group of its own: {named}")
        })
    }
}

/// Returns the two stations that are furthest apart in a feature, if their values hardly overlap.
fn gap<'a>(
    stations: &BTreeMap<&'a str, Vec<&SensorEvent>>,
    index: usize,
    feature: &'a str,
) -> Option<Gap<'a>> {
    let spans = stations.iter().filter_map(|(station, events)| span(station, events, index));
    let spans: Vec<Span<'_>> = spans.collect();
    let low = *spans.iter().min_by(|a, b| a.to.total_cmp(&b.to))?;
    let high = *spans.iter().max_by(|a, b| a.from.total_cmp(&b.from))?;
    let width = (low.to - low.from).max(high.to - high.from);
    let by_widths = (high.from - low.to) / width;
    // Two constants have no width.
    (high.from > low.to).then_some(Gap { feature, low, high, by_widths })
}

fn span<'a>(station: &'a str, events: &[&SensorEvent], index: usize) -> Option<Span<'a>> {
    let values = events.iter().map(|event| event.values()[index]);
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    let twentieth = values.len() / 20;
    let last = values.len().checked_sub(1)?;
    Some(Span { station, from: values[twentieth], to: values[last - twentieth] })
}
