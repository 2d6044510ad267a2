//! Scores as CSV.

use std::io::{self, Write};

use detector::{Detector, RowScore, StationBaseline};
use rayon::prelude::*;

use crate::input::Block;

/// Rows that one thread puts into words at a time.
const ROWS_PER_TASK: usize = 2_048;

/// The names of our columns; rows count from 1, without the header.
const COLUMNS: [&str; 5] = ["row", "anomaly_score", "p_value", "is_anomaly", "evidence"];
/// One more, of models that have several baselines.
const BASELINE: &str = "baseline";

/// Returns `true` if a column is called as one of ours.
pub(crate) fn is_ours(name: &str, detector: &Detector) -> bool {
    let baseline = detector.has_baselines().then_some(&BASELINE);
    COLUMNS.iter().chain(baseline).any(|column| column.eq_ignore_ascii_case(name))
}

/// Writes the names of the columns: those that are repeated, and ours.
pub(crate) fn write_header(
    out: &mut dyn Write,
    repeated: &[String],
    detector: &Detector,
) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    let baseline = detector.has_baselines().then_some(BASELINE);
    writer.write_record(repeated.iter().map(String::as_str).chain(COLUMNS).chain(baseline))?;
    writer.flush()
}

/// Scores a block and puts it into words, on all cores.
pub(crate) fn score(detector: &Detector, block: &Block) -> io::Result<Vec<Vec<u8>>> {
    let scores = detector.judge_rows_by(&block.baselines, &block.values);
    let mut scores = scores.into_iter().zip(&block.baselines);
    let scores: Vec<Option<(RowScore, &StationBaseline)>> =
        block.is_good.iter().map(|&is_good| if is_good { scores.next() } else { None }).collect();
    scores
        .par_chunks(ROWS_PER_TASK)
        .enumerate()
        .map(|(task, scores)| {
            let first = task * ROWS_PER_TASK;
            let mut writer = csv::Writer::from_writer(Vec::with_capacity(48 * scores.len()));
            for (index, score) in scores.iter().enumerate() {
                if let Some(cells) = block.cells.get(first + index) {
                    for cell in cells {
                        writer.write_field(cell)?;
                    }
                }
                let row = block.n_before + (first + index) as u64 + 1;
                let [anomaly_score, p_value, is_anomaly, evidence] = match score {
                    None => Default::default(),
                    Some((score, _)) => [
                        score.anomaly_score.to_string(),
                        score.p_value.to_string(),
                        score.is_anomaly.to_string(),
                        score.evidence.name().to_owned(),
                    ],
                };
                let ours = [row.to_string(), anomaly_score, p_value, is_anomaly, evidence];
                let baseline = score.as_ref().and_then(|(_, baseline)| baseline.name());
                let baseline = detector.has_baselines().then_some(baseline.unwrap_or_default());
                writer.write_record(ours.iter().map(String::as_str).chain(baseline))?;
            }
            writer.into_inner().map_err(csv::IntoInnerError::into_error)
        })
        .collect()
}
