//! The summary of a training for people.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use detector::{
    ARTEFACT_FILE, AlarmRule, BaselinesMeta, Detector, FeatureMeta, LessonsMeta, META_FILE,
};
use stations::AlarmParams;
use wording::{bytes, counted, grouped, listed, percent, readable, rounded, significant};

use crate::alarm_trial::AlarmTrial;
use crate::args::Args;
use crate::data::TrainingData;
use crate::stability::StabilityTrial;
use crate::timeline::Timeline;
use crate::{REPORT_FILE, SAMPLE_FILE};

pub(crate) struct Summary<'a> {
    pub(crate) args: &'a Args,
    pub(crate) data: &'a TrainingData,
    /// When the events were measured, where the data says.
    pub(crate) timeline: Option<Timeline>,
    pub(crate) detector: &'a Detector,
    pub(crate) trial: Option<&'a StabilityTrial>,
    pub(crate) alarm_trial: Option<AlarmTrial>,
    pub(crate) took: Duration,
}

const HOUR_S: f64 = 3_600.0;

impl Summary<'_> {
    /// Returns `true` if there is anything to be warned of.
    pub(crate) fn has_warnings(&self) -> bool {
        let is_unstable = self.trial.is_some_and(StabilityTrial::is_unstable);
        is_unstable || !self.data.warnings.is_empty()
    }

    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_data(out)?;
        self.write_features(out)?;
        self.write_model(out)?;
        self.write_files(out)?;
        self.write_trial(out)?;
        self.write_alarm_trial(out)
    }

    fn write_data(&self, out: &mut dyn Write) -> io::Result<()> {
        let data = self.data;
        writeln!(out, "data         {}", data.source)?;
        if let Some(read_as) = &data.read_as {
            writeln!(out, "read as      {read_as}")?;
        }
        writeln!(
            out,
            "rows         {} learnt, {} left out, {} bad",
            grouped(self.detector.meta().training_rows as f64),
            grouped(self.detector.meta().left_out_rows as f64),
            grouped(data.n_bad_rows as f64)
        )?;
        let Some(timeline) = &self.timeline else {
            return writeln!(
                out,
                "time         the data does not say; rows are taken in their order"
            );
        };
        writeln!(out, "time         {}", timeline.span())?;
        writeln!(out, "             {}", timeline.pace())
    }

    fn write_features(&self, out: &mut dyn Write) -> io::Result<()> {
        let features = &self.detector.meta().features;
        let titles = features.iter().map(title).collect::<Vec<_>>();
        let width = titles.iter().map(|title| title.chars().count()).max().unwrap_or(0);
        writeln!(
            out,
            "features     {:width$}  {:>12} {:>12} {:>12} {:>12} {:>9}",
            "", "mean", "deviation", "lowest", "highest", "missing"
        )?;
        for (index, (feature, title)) in features.iter().zip(titles).enumerate() {
            let number = |value: Option<f64>| value.map_or(String::from("-"), significant);
            let n_missing =
                self.data.events.iter().filter(|event| event.values()[index].is_nan()).count();
            writeln!(
                out,
                "             {title:width$}  {:>12} {:>12} {:>12} {:>12} {:>9}",
                number(feature.mean),
                number(feature.standard_deviation),
                number(feature.quantiles.as_ref().map(|quantiles| quantiles.min)),
                number(feature.quantiles.as_ref().map(|quantiles| quantiles.max)),
                grouped(n_missing as f64),
            )?;
        }
        Ok(())
    }

    fn write_model(&self, out: &mut dyn Write) -> io::Result<()> {
        let meta = self.detector.meta();
        writeln!(out, "model        {}", meta.model_version)?;
        writeln!(
            out,
            "forest       {} trees of {} samples, seed {}",
            grouped(meta.parameters.n_trees as f64),
            grouped(meta.parameters.sample_size as f64),
            meta.seed
        )?;
        if let Some(baselines) = &meta.baselines {
            writeln!(out, "baselines    {}", self.baselines(baselines))?;
        }
        writeln!(out, "time order   {}", self.lessons())?;
        let [first, rest @ ..] = &*self.expectations() else { return Ok(()) };
        writeln!(out, "threshold    {:.4} {first}", meta.threshold)?;
        for (index, sentence) in rest.iter().enumerate() {
            let title = if index == 0 { "false alarms" } else { "" };
            writeln!(out, "{title:<12} {sentence}")?;
        }
        Ok(())
    }

    /// Describes whose baselines there are.
    pub(crate) fn baselines(&self, baselines: &BaselinesMeta) -> String {
        let learnt = baselines.in_words();
        let stations = self.data.events.iter().map(|event| event.station_id().as_str());
        let stations: BTreeSet<&str> = stations.collect();
        let is_without = |station: &&str| self.detector.baseline_of(station).is_of_fleet();
        let without: Vec<&str> = stations.into_iter().filter(is_without).collect();
        if without.is_empty() {
            return learnt;
        }
        let n_least = Detector::BASELINE_EVENTS_MIN;
        format!("{learnt}; none for {}, with fewer than {n_least} events", listed(&without))
    }

    /// Describes what stations learn from in time order.
    pub(crate) fn lessons(&self) -> String {
        match &self.detector.meta().lessons {
            Some(LessonsMeta { stations, events }) => {
                let n_needed = AlarmParams::default().events_to_learn as usize;
                let mut of_stations = BTreeMap::<&str, usize>::new();
                for event in &self.data.events {
                    *of_stations.entry(event.station_id().as_str()).or_default() += 1;
                }
                let n_short = of_stations.values().filter(|&&n_events| n_events < n_needed).count();
                let watched = "watched from their first event at the server";
                let then = match stations.saturating_sub(n_short) {
                    0 => format!("none has {n_needed}, so all learn the rest at the server"),
                    _ if n_short == 0 => format!("these are {watched}"),
                    n => format!(
                        "{} with {n_needed} are {watched}, and {} with fewer learn the rest there",
                        grouped(n as f64),
                        grouped(n_short as f64)
                    ),
                };
                format!(
                    "the last events of {} are kept, {} in all: {then}",
                    counted(*stations as u64, "station"),
                    grouped(*events as f64)
                )
            }
            None => String::from(
                "the data does not say when rows were measured: stations learn from their first events at the server",
            ),
        }
    }

    /// Describes the threshold and the expected false alarms.
    pub(crate) fn expectations(&self) -> Vec<String> {
        match self.detector.alarm_rule() {
            AlarmRule::FalseAlarmRate(rate) => {
                let mut expected = vec![
                    format!("of the forest; all evidence together: {} false alarms", percent(rate)),
                    format!("about {} an hour at one event a second", rounded(rate * HOUR_S, 1)),
                ];
                if let Some(events_an_hour) = self.events_an_hour() {
                    expected.push(format!(
                        "about {} an hour at the pace of the data, {} events an hour",
                        rounded(rate * events_an_hour, 1),
                        if events_an_hour < 1_000.0 {
                            rounded(events_an_hour, 1)
                        } else {
                            grouped(events_an_hour)
                        }
                    ));
                }
                expected
            }
            AlarmRule::Contamination(share) => {
                vec![format!(
                    "of the forest; all evidence together: {} of the training events",
                    percent(share)
                )]
            }
        }
    }

    /// Returns the number of events that the stations of the data send together in an hour.
    pub(crate) fn events_an_hour(&self) -> Option<f64> {
        let timeline = self.timeline.as_ref()?;
        let interval_s = timeline.interval_us as f64 / 1e6;
        (interval_s > 0.0).then(|| timeline.n_stations as f64 * HOUR_S / interval_s)
    }

    fn write_files(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.args.dry_run {
            writeln!(out, "files        none written (--dry-run)")?;
        } else {
            let model_dir = &self.args.model_dir;
            writeln!(
                out,
                "files        {} ({})",
                model_dir.join(ARTEFACT_FILE).display(),
                bytes(self.detector.encode().len() as u64)
            )?;
            writeln!(out, "             {}", model_dir.join(META_FILE).display())?;
            if !self.args.no_report {
                writeln!(out, "             {}", model_dir.join(REPORT_FILE).display())?;
            }
            writeln!(out, "             {}", self.args.data_dir.join(SAMPLE_FILE).display())?;
        }
        writeln!(out, "took         {:.2} s", self.took.as_secs_f64())
    }

    fn write_trial(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(trial) = self.trial else {
            return writeln!(
                out,
                "stability    not measured: too few rows, or too few of each station, to set a fifth of them aside"
            );
        };
        let (measured, asked) = (percent(trial.measured()), percent(trial.asked));
        writeln!(
            out,
            "stability    learnt from the first {} rows, {measured} of the last {} are called anomalous ({asked} asked)",
            grouped(trial.n_learnt as f64),
            grouped(trial.n_judged as f64),
        )
    }

    fn write_alarm_trial(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(alarms) = self.alarm_words() else { return Ok(()) };
        writeln!(out, "alarms       {alarms}")
    }

    /// Describes the alarms in time order that are to be expected.
    pub(crate) fn alarm_words(&self) -> Option<String> {
        let trial = self.alarm_trial?;
        Some(format!(
            "in time order, {} opened in the last fifth of {}: {} a day at each where {} may open",
            grouped(f64::from(trial.n_alarms)),
            counted(trial.n_stations as u64, "station"),
            readable(trial.a_day(), 2),
            readable(trial.allowed_a_day, 2)
        ))
    }
}

fn title(feature: &FeatureMeta) -> String {
    match &feature.unit {
        Some(unit) => format!("{} [{unit}]", feature.name),
        None => feature.name.clone(),
    }
}
