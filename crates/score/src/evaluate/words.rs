//! An evaluation for people on a terminal, and for programs.

use std::io::{self, Write};

use wording::{counted, grouped, listed, percent, readable, rounded};

use super::{Called, Report};
use crate::measures::{Cut, Measured};

impl Report {
    /// Writes it for people, or as JSON.
    pub(super) fn write(&self, is_json: bool, out: &mut dyn Write) -> io::Result<()> {
        if is_json {
            serde_json::to_writer(&mut *out, self)?;
            return writeln!(out);
        }
        self.write_recordings(out)?;
        let n_unlabelled = match self.unlabelled_rows {
            0 => String::new(),
            n => format!("; {} without a label left out", grouped(n as f64)),
        };
        writeln!(
            out,
            "rows         {} of {}, {} of them anomalous in {}{n_unlabelled}",
            grouped(self.rows as f64),
            counted(self.stations as u64, "station"),
            grouped(self.anomalous_rows as f64),
            counted(self.faults as u64, "fault")
        )?;
        for (name, ranked) in [("model", &self.judged), ("forest alone", &self.forest)] {
            writeln!(
                out,
                "{name:<13}ROC AUC {}; average precision {}",
                with_interval(ranked.auroc),
                with_interval(ranked.average_precision)
            )?;
        }
        let Cut { threshold: [of_p, _], precision, recall, f1 } = self.judged.best_f1;
        writeln!(
            out,
            "best F1      {} with p-values up to {}: precision {}, recall {}",
            rounded(f1, 3),
            readable(-of_p, 5),
            rounded(precision, 3),
            rounded(recall, 3)
        )?;
        let Called { precision, recall, false_alarms, delay_rows, .. } = &self.at_threshold;
        writeln!(
            out,
            "as judged    precision {}, recall {}, {} of the normal rows called anomalous{}",
            precision.map_or(String::from("-"), |precision| rounded(precision, 3)),
            rounded(*recall, 3),
            percent(*false_alarms),
            match delay_rows {
                Some(rows) => format!(
                    "; half of the faults found within {}",
                    counted(*rows as u64 + 1, "row")
                ),
                None => String::new(),
            }
        )?;
        writeln!(out)?;
        self.write_rates(out)?;
        writeln!(
            out,
            "\nA rate is set with train rethreshold --false-alarm-rate RATE; what is found by chance needs no model."
        )
    }

    /// Writes a line for each of several recordings.
    fn write_recordings(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.recordings.is_empty() {
            return Ok(());
        }
        let widths = self.recordings.iter().map(|report| report.source.chars().count());
        let width = widths.max().unwrap_or_default().max(9);
        writeln!(
            out,
            "{:width$}{:>12}{:>10}{:>19}{:>14}{:>12}",
            "recording", "rows", "ROC AUC", "average precision", "faults found", "by chance"
        )?;
        for report in &self.recordings {
            let called = &report.at_threshold;
            writeln!(
                out,
                "{:width$}{:>12}{:>10}{:>19}{:>14}{:>12}",
                report.source,
                grouped(report.rows as f64),
                rounded(report.judged.auroc.value, 4),
                rounded(report.judged.average_precision.value, 4),
                format!("{} of {}", called.faults_found, report.faults),
                rounded(called.faults_by_chance, 1),
            )?;
        }
        if !self.of_one_kind.is_empty() {
            let names = listed(&self.of_one_kind);
            writeln!(out, "rows of one kind alone, only in all together: {names}")?;
        }
        writeln!(out)
    }

    /// Writes the table of rates.
    fn write_rates(&self, out: &mut dyn Write) -> io::Result<()> {
        let a_day = if self.days.is_some() { "false alarms a day" } else { "false alarms" };
        writeln!(
            out,
            "{:<18}{:>12}{:>14}{:>12}{:>20}",
            "false-alarm rate", "rows found", "faults found", "by chance", a_day
        )?;
        for (name, called) in self.rates() {
            let n_false = called
                .false_episodes_a_day
                .map_or_else(|| grouped(called.false_episodes as f64), |a_day| readable(a_day, 2));
            writeln!(
                out,
                "{name:<18}{:>12}{:>14}{:>12}{n_false:>20}",
                percent(called.recall),
                format!("{} of {}", called.faults_found, self.faults),
                rounded(called.faults_by_chance, 1),
            )?;
        }
        Ok(())
    }
}

pub(super) fn with_interval(measured: Measured) -> String {
    let Measured { value, low, high } = measured;
    format!("{} ({} to {})", rounded(value, 4), rounded(low, 4), rounded(high, 4))
}
