//! A view of a run that stays in its place on a terminal.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::time::Duration;

use figures::number::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sensor::timestamp;
use terminal::style::{ANOMALY, QUIET};

use crate::client::Outcome;
use crate::report::{Confusion, Report};
use crate::source::Message;

/// Scores in the sparkline.
const SCORES: usize = 64;
/// Anomalies that are listed.
const ANOMALIES: usize = 6;
/// Heights of the sparkline.
const HEIGHTS: [char; 8] = [
    '\u{2581}', '\u{2582}', '\u{2583}', '\u{2584}', '\u{2585}', '\u{2586}', '\u{2587}', '\u{2588}',
];
/// Scores from the bottom of the sparkline to its top: normal ones lie near the bottom.
const SCORE_RANGE: (f64, f64) = (0.35, 0.75);

/// How far a run is, what was found, and how fast it goes.
#[derive(Debug)]
pub(crate) struct LiveView {
    progress: ProgressBar,
    scores: VecDeque<(f64, bool)>,
    anomalies: VecDeque<String>,
}

impl LiveView {
    pub(crate) fn new(n_messages: u64) -> Self {
        let template = "{wide_bar} {human_pos} of {human_len} events, {per_sec}, {eta} left\n{msg}";
        let style =
            ProgressStyle::with_template(template).expect("the template names known fields");
        let progress =
            ProgressBar::with_draw_target(Some(n_messages), ProgressDrawTarget::stderr());
        progress.set_style(style);
        progress.enable_steady_tick(Duration::from_millis(200));
        Self { progress, scores: VecDeque::new(), anomalies: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, message: &Message, outcome: Option<&Outcome>, report: &Report) {
        self.progress.inc(1);
        if let Some(Outcome::Answered { anomaly_score, is_anomaly, .. }) = outcome {
            push(&mut self.scores, (*anomaly_score, *is_anomaly), SCORES);
            if *is_anomaly {
                push(&mut self.anomalies, anomaly(message, *anomaly_score), ANOMALIES);
            }
        }
        self.progress.set_message(self.text(report));
    }

    /// Does something on the terminal that the view must not run into.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.progress.suspend(write)
    }

    pub(crate) fn end(&self) {
        self.progress.finish_and_clear();
    }

    fn text(&self, report: &Report) -> String {
        let mut text = String::from("scores    ");
        for (score, is_anomaly) in &self.scores {
            let height = height(*score);
            if *is_anomaly {
                write!(text, "{ANOMALY}{height}{ANOMALY:#}").expect("a string takes everything");
            } else {
                text.push(height);
            }
        }
        let count = |count: u64| grouped(count as f64);
        let Confusion { true_positives, false_positives, false_negatives, .. } = report.confusion;
        write!(
            text,
            "\nevents    {} stored, {} refused, {} failed\nanomalies {} caught, {} missed, {} false alarms",
            count(report.stored + report.duplicates),
            count(report.refused),
            count(report.failed),
            count(true_positives),
            count(false_negatives),
            count(false_positives),
        )
        .expect("a string takes everything");
        for line in self.anomalies.iter().rev() {
            write!(text, "\n{line}").expect("a string takes everything");
        }
        text
    }
}

fn push<T>(recent: &mut VecDeque<T>, new: T, len_max: usize) {
    recent.push_back(new);
    if recent.len() > len_max {
        recent.pop_front();
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few")]
fn height(score: f64) -> char {
    let (low, high) = SCORE_RANGE;
    let share = ((score - low) / (high - low)).clamp(0.0, 0.999);
    HEIGHTS[(share * HEIGHTS.len() as f64) as usize]
}

fn anomaly(message: &Message, score: f64) -> String {
    let time = message.timestamp_us.map(timestamp::format).unwrap_or_default();
    let time = time.split('T').nth(1).and_then(|time| time.get(..8)).unwrap_or_default();
    let (shown, _) = message.shown();
    let values: Vec<String> =
        shown.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!(
        "{QUIET}{time}{QUIET:#}  {}  {ANOMALY}{score:.3}{ANOMALY:#}  {}  {QUIET}{}{QUIET:#}",
        message.station_id,
        values.join("  "),
        message.cause.as_deref().unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_higher_a_score_the_higher_it_is_drawn() {
        assert_eq!(
            [0.0, 0.36, 0.55, 0.74, 1.0].map(height),
            ['\u{2581}', '\u{2581}', '\u{2585}', '\u{2588}', '\u{2588}']
        );
    }

    #[test]
    fn only_the_latest_are_kept() {
        let mut recent = VecDeque::new();
        for number in 0..10 {
            push(&mut recent, number, 3);
        }
        assert_eq!(recent, [7, 8, 9]);
    }
}
