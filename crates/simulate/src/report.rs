//! The result of a run: what was detected, what was missed, and the latencies.

use std::collections::BTreeMap;
use std::fmt;

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use wording::grouped;

use crate::alarms::Alarms;
use crate::client::{Delivery, Outcome};
use crate::source::Message;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Events that were sent, each counted once.
    pub sent: u64,
    /// Events that the server stored.
    pub stored: u64,
    /// Events that it had stored before.
    pub duplicates: u64,
    /// Events that it refused.
    pub refused: u64,
    /// Refusals by their code.
    pub refused_by_code: BTreeMap<String, u64>,
    /// Events that got no answer; they may be stored or not.
    pub failed: u64,
    /// Times that an event had to be sent again.
    pub retries: u64,
    /// Events that the server called anomalies.
    pub called: u64,
    /// Answers against the truth, of the events whose truth is known.
    pub confusion: Confusion,
    /// Share of the anomalies called that are some; null when none was called.
    pub precision: Option<f64>,
    /// Share of anomalous events that were called anomalies; null when there was none.
    pub recall: Option<f64>,
    /// Share of normal events that were called anomalies; null when there was none.
    pub false_alarm_rate: Option<f64>,
    /// Detection by cause.
    pub detection: BTreeMap<String, Detection>,
    /// Alarms in time order.
    pub alarms: Alarms,
    /// Time from sending, or with `--rate` from when it was due, to the answer.
    pub latency_ms: LatencyMs,
    /// Time of the whole run.
    pub seconds: f64,
    /// `true` if somebody ended the run early.
    pub interrupted: bool,
}

/// Answers against the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// Anomalous, and called so.
    pub true_positives: u64,
    /// Normal, but called anomalous.
    pub false_positives: u64,
    /// Anomalous, but called normal.
    pub false_negatives: u64,
    /// Normal, and called so.
    pub true_negatives: u64,
}

/// The share of one cause that was detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Detection {
    /// Events with this cause.
    pub events: u64,
    /// Those that were called anomalies.
    pub detected: u64,
}

/// Percentiles of the time to an answer, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct LatencyMs {
    /// Half of the answers were faster.
    pub p50: f64,
    /// 95 of 100 were faster.
    pub p95: f64,
    /// 99 of 100 were faster.
    pub p99: f64,
}

impl Report {
    pub(crate) fn note(&mut self, message: &Message, delivery: &Delivery) {
        self.sent += 1;
        self.retries += u64::from(delivery.n_tries - 1);
        let is_called = match &delivery.outcome {
            Outcome::Refused { code, .. } => {
                self.refused += 1;
                *self.refused_by_code.entry(code.clone()).or_default() += 1;
                return;
            }
            Outcome::Answered { is_anomaly, duplicate, alarm, .. } => {
                *(if *duplicate { &mut self.duplicates } else { &mut self.stored }) += 1;
                if let Some(alarm) = alarm.filter(|_| !duplicate) {
                    self.alarms.note(message, alarm);
                }
                *is_anomaly
            }
        };
        self.called += u64::from(is_called);
        if let Some(is_anomaly) = message.is_anomaly {
            self.confusion.note(is_anomaly, is_called);
            let Confusion { true_positives, false_positives, false_negatives, true_negatives } =
                self.confusion;
            self.precision = share(true_positives, true_positives + false_positives);
            self.recall = share(true_positives, true_positives + false_negatives);
            self.false_alarm_rate = share(false_positives, false_positives + true_negatives);
        }
        if let Some(cause) = &message.cause {
            let detection = self.detection.entry(cause.clone()).or_default();
            detection.events += 1;
            detection.detected += u64::from(is_called);
        }
    }

    /// Events that got an answer with a score.
    pub(crate) fn answered(&self) -> u64 {
        self.stored + self.duplicates
    }

    /// Returns `true` if the truth of any answered event is known.
    pub(crate) fn has_truth(&self) -> bool {
        self.confusion.total() > 0
    }

    /// Writes how many events were called anomalies.
    pub(crate) fn called_words(&self) -> String {
        let [called, answered] = [self.called, self.answered()].map(|count| grouped(count as f64));
        let share = share(self.called, self.answered()).map_or(0.0, |share| share * 100.0);
        format!("{called} of {answered} events ({share:.1} %)")
    }

    /// Explains why anomalies that no single event shows may have been missed; nothing if none were.
    pub(crate) fn hidden_words(&self) -> Option<String> {
        let is_missed = |cause: &&str| {
            self.detection.get(*cause).is_some_and(|seen| seen.detected < seen.events)
        };
        let hidden: Vec<&str> = WITHOUT_TRACE.into_iter().filter(is_missed).collect();
        (!hidden.is_empty()).then(|| {
            let hidden = hidden.join(" and ");
            format!(
                "{hidden}: every single value is normal, and the model sees one event at a time"
            )
        })
    }

    /// Returns the truth against what was called, for a table.
    pub(crate) fn confusion_rows(&self) -> Vec<Vec<String>> {
        let Confusion { true_positives, false_positives, false_negatives, true_negatives } =
            self.confusion;
        let row = |name: &str, anomalies: u64, normal: u64| {
            vec![String::from(name), grouped(anomalies as f64), grouped(normal as f64)]
        };
        vec![
            row("anomalous", true_positives, false_negatives),
            row("normal", false_positives, true_negatives),
        ]
    }

    /// Lists the detected events of each cause, for a table.
    pub(crate) fn cause_rows(&self) -> Vec<Vec<String>> {
        let row = |(cause, seen): (&String, &Detection)| {
            let counts = [seen.events, seen.detected, seen.events - seen.detected];
            let counts = counts.map(|count| grouped(count as f64));
            [cause.clone()].into_iter().chain(counts).collect()
        };
        self.detection.iter().map(row).collect()
    }

    /// Counts an event that got no answer after all attempts.
    pub(crate) fn note_failure(&mut self, n_tries: u32) {
        self.sent += 1;
        self.failed += 1;
        self.retries += u64::from(n_tries - 1);
    }
}

impl Confusion {
    fn note(&mut self, is_anomaly: bool, is_called: bool) {
        *match (is_anomaly, is_called) {
            (true, true) => &mut self.true_positives,
            (false, true) => &mut self.false_positives,
            (true, false) => &mut self.false_negatives,
            (false, false) => &mut self.true_negatives,
        } += 1;
    }

    fn total(&self) -> u64 {
        self.true_positives + self.false_positives + self.false_negatives + self.true_negatives
    }
}

impl LatencyMs {
    /// Percentiles of times in microseconds, by nearest rank; all 0 when there is no time.
    pub(crate) fn of(took_us: &mut [u64]) -> Self {
        took_us.sort_unstable();
        let percentile = |percent: usize| {
            let rank = (took_us.len() * percent).div_ceil(100);
            took_us.get(rank.saturating_sub(1)).map_or(0.0, |&us| us as f64 / 1_000.0)
        };
        Self { p50: percentile(50), p95: percentile(95), p99: percentile(99) }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Returns a table for a terminal, names to the left and numbers to the right.
fn table(titles: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(titles.to_vec());
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.add_rows(rows);
    table
}

/// Causes that no single event shows.
const WITHOUT_TRACE: [&str; 2] = ["lost_correlation", "stuck_sensor"];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: Option<f64>| {
            share.map_or(String::from("-"), |share| format!("{:.1} %", share * 100.0))
        };
        writeln!(
            f,
            "sent         {}: {} stored, {} duplicates, {} refused, {} failed, {} retries",
            self.sent, self.stored, self.duplicates, self.refused, self.failed, self.retries
        )?;
        for (code, count) in &self.refused_by_code {
            writeln!(f, "             refused {count} times: {code}")?;
        }
        if self.duplicates > 0 {
            writeln!(
                f,
                "             duplicates keep the answer of their first time, from the model of that time"
            )?;
        }
        if self.has_truth() {
            writeln!(
                f,
                "{}",
                table(&["truth", "called anomalies", "called normal"], self.confusion_rows())
            )?;
            writeln!(
                f,
                "             precision {}, recall {}, false-alarm rate {}",
                percent(self.precision),
                percent(self.recall),
                percent(self.false_alarm_rate)
            )?;
        } else if self.answered() > 0 {
            writeln!(f, "anomalies    {}; the truth is not known", self.called_words())?;
        }
        if !self.detection.is_empty() {
            writeln!(f, "{}", table(&["cause", "events", "caught", "missed"], self.cause_rows()))?;
        }
        if let Some(hidden) = self.hidden_words() {
            writeln!(f, "             {hidden}")?;
        }
        for (index, words) in self.alarms.in_words(self.has_truth()).into_iter().enumerate() {
            let title = if index == 0 { "alarms" } else { "" };
            writeln!(f, "{title:<12} {words}")?;
        }
        let LatencyMs { p50, p95, p99 } = self.latency_ms;
        writeln!(f, "latency      p50 {p50:.2} ms, p95 {p95:.2} ms, p99 {p99:.2} ms")?;
        writeln!(f, "took         {:.1} s", self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let mut took_us: Vec<u64> = (1..=200).rev().map(|ms| ms * 1_000).collect();
        assert_eq!(LatencyMs::of(&mut took_us), LatencyMs { p50: 100.0, p95: 190.0, p99: 198.0 });
        assert_eq!(LatencyMs::of(&mut [7_000]), LatencyMs { p50: 7.0, p95: 7.0, p99: 7.0 });
        assert_eq!(LatencyMs::of(&mut []), LatencyMs::default());
    }
}
