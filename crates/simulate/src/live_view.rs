//! A view of a run that stays in its place on a terminal.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io;
use std::time::Duration;

use anstyle::Style;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use sensor::timestamp;
use terminal::style::{ANOMALY, QUIET};
use wording::grouped;

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

/// The progress of a run, its findings and its rate.
#[derive(Debug)]
pub(crate) struct LiveView {
    progress: ProgressBar,
    /// Of anomalies, and of what need not be read.
    colours: (Style, Style),
    scores: VecDeque<(f64, bool)>,
    anomalies: VecDeque<String>,
}

impl LiveView {
    pub(crate) fn new(n_messages: u64, has_eta: bool) -> Self {
        let eta = if has_eta { ", {eta} left" } else { "" };
        let template =
            format!("{{wide_bar}} {{human_pos}} of {{human_len}} events, {{rate}}{eta}\n{{msg}}");
        let progress =
            ProgressBar::with_draw_target(Some(n_messages), ProgressDrawTarget::stderr());
        progress.set_style(style(&template).with_key("rate", write_rate));
        progress.enable_steady_tick(Duration::from_millis(200));
        let is_colourful = terminal::is_colourful(&io::stderr());
        let colours = if is_colourful { (ANOMALY, QUIET) } else { (Style::new(), Style::new()) };
        Self { progress, colours, scores: VecDeque::new(), anomalies: VecDeque::new() }
    }

    pub(crate) fn note(&mut self, message: &Message, outcome: Option<&Outcome>, report: &Report) {
        self.progress.inc(1);
        if let Some(Outcome::Answered { anomaly_score, is_anomaly, .. }) = outcome {
            push(&mut self.scores, (*anomaly_score, *is_anomaly), SCORES);
            if *is_anomaly {
                let line = anomaly(message, *anomaly_score, self.colours);
                push(&mut self.anomalies, line, ANOMALIES);
            }
        }
        self.progress.set_message(self.text(report));
    }

    /// Does something on the terminal that the view must not run into.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.progress.suspend(write)
    }

    /// Leaves the last anomalies on the terminal, and nothing else.
    pub(crate) fn end(&self) {
        if self.anomalies.is_empty() {
            self.progress.finish_and_clear();
            return;
        }
        self.progress.set_style(style("{msg}"));
        let lines: Vec<&str> = self.anomalies.iter().rev().map(String::as_str).collect();
        self.progress.finish_with_message(lines.join("\n"));
    }

    fn text(&self, report: &Report) -> String {
        let mut text = String::from("scores    ");
        for (score, is_anomaly) in &self.scores {
            let height = height(*score);
            if *is_anomaly {
                let red = self.colours.0;
                write!(text, "{red}{height}{red:#}").expect("a string takes everything");
            } else {
                text.push(height);
            }
        }
        let count = |count: u64| grouped(count as f64);
        let found = if report.has_truth() {
            let Confusion { true_positives, false_positives, false_negatives, .. } =
                report.confusion;
            format!(
                "{} caught, {} missed, {} false alarms",
                count(true_positives),
                count(false_negatives),
                count(false_positives)
            )
        } else {
            report.called_words()
        };
        write!(
            text,
            "\nevents    {} stored, {} refused, {} failed\nanomalies {found}",
            count(report.answered()),
            count(report.refused),
            count(report.failed),
        )
        .expect("a string takes everything");
        for line in self.anomalies.iter().rev() {
            write!(text, "\n{line}").expect("a string takes everything");
        }
        text
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template names known fields")
}

/// Events a second, with a place where there are few.
fn write_rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    let rate = state.per_sec();
    let n_places = usize::from(rate < 100.0);
    // Where this cannot be written, nothing can.
    let _ = write!(out, "{rate:.n_places$}/s");
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

fn anomaly(message: &Message, score: f64, (red, quiet): (Style, Style)) -> String {
    let time = message.timestamp_us.map(timestamp::format).unwrap_or_default();
    let time = time.split('T').nth(1).and_then(|time| time.get(..8)).unwrap_or_default();
    let (shown, _) = message.shown();
    let values: Vec<String> =
        shown.into_iter().map(|(name, value)| format!("{name} {value}")).collect();
    format!(
        "{quiet}{time}{quiet:#}  {}  {red}{score:.3}{red:#}  {}  {quiet}{}{quiet:#}",
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
