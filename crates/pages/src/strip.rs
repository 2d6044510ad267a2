//! The last hour of a station as a strip.

use figures::{Level, Strip};

use stations::{StripCell, StripCells};

/// Draws an hour; `threshold` is the score from which on an event is an anomaly.
pub(crate) fn drawn(StripCells(cells): &StripCells, threshold: f64) -> String {
    let levels: Vec<Level> = (0..cells.len()).map(|index| level(cells, index, threshold)).collect();
    let n_anomalous = cells.iter().filter(|cell| cell.n_anomalies > 0).count();
    let title = match n_anomalous {
        0 => String::from("last hour: no anomaly"),
        n => format!("last hour: anomalies in {n} of {} half-minutes", cells.len()),
    };
    Strip { title: &title, cells: &levels }.svg()
}

/// Returns the level of a part: its score as a share of the threshold, or its anomalies. One without
/// another beside it may be chance.
fn level(cells: &[StripCell], index: usize, threshold: f64) -> Level {
    let cell = cells[index];
    let Some(score) = cell.score() else { return Level::Nothing };
    // Of a slow station, neighbours have parts without anything between them.
    let is_measured = |cell: &&StripCell| cell.score().is_some();
    let before = cells[..index].iter().rev().find(is_measured);
    let after = cells[index + 1..].iter().find(is_measured);
    let has_anomaly = |cell: &StripCell| cell.n_anomalies > 0;
    match cell.n_anomalies {
        0 if score < 0.8 * threshold => Level::Usual,
        0 if score < 0.9 * threshold => Level::Raised,
        0 => Level::High,
        1 if !before.is_some_and(has_anomaly) && !after.is_some_and(has_anomaly) => Level::Alarm,
        _ => Level::Alarming,
    }
}
