//! The training data.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use recording::Recording;
use sensor::{Feature, FeatureSchema, SensorEvent};
use wording::listed;

use crate::args::Args;

/// The number of bad rows that are listed.
const BAD_ROWS_TOLD: usize = 10;

/// Events to learn from, and where they come from.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// The source of the events, for people.
    pub source: String,
    /// The features of the events.
    pub schema: FeatureSchema,
    /// The events, in the order of the source.
    pub events: Vec<SensorEvent>,
    /// `true` if the source says when events were measured.
    pub has_times: bool,
    /// Number of rows that were left out.
    pub n_bad_rows: usize,
    /// Warnings about the data: what was left out and why, and what is doubtful.
    pub warnings: Vec<String>,
}

impl TrainingData {
    /// Reads the file that the arguments name, or asks the plant.
    ///
    /// # Errors
    ///
    /// Fails when the file or the schema cannot be read, a column is missing, or more rows are bad
    /// than the arguments allow.
    pub fn read(args: &Args, progress: &ProgressBar) -> anyhow::Result<Self> {
        match &args.input {
            Some(path) => {
                let mut data = Self::from_file(path, args, progress)?;
                data.drop_constant_features()?;
                Ok(data)
            }
            None => Ok(Self {
                source: format!("a simulated plant of {} stations", plant::N_STATIONS),
                schema: FeatureSchema::default(),
                events: plant::normal_events(plant::TRAINING_EVENTS, args.seed),
                has_times: true,
                n_bad_rows: 0,
                warnings: Vec::new(),
            }),
        }
    }

    fn from_file(path: &Path, args: &Args, progress: &ProgressBar) -> anyhow::Result<Self> {
        let recording = Recording::open(path)?;
        let (schema, warnings) = schema(&recording, args)?;
        let mut bad_rows = Vec::new();
        let mut n_labelled = 0;
        let mut data = Self {
            source: format!("`{}`", path.display()),
            schema: schema.clone(),
            events: Vec::new(),
            has_times: recording.has_times(),
            n_bad_rows: 0,
            warnings,
        };
        for row in recording.events(&schema)? {
            match row? {
                Ok(row) => {
                    n_labelled += usize::from(row.is_anomaly == Ok(Some(true)));
                    data.events.push(row.event);
                }
                Err(bad_row) => {
                    data.n_bad_rows += 1;
                    if bad_rows.len() < BAD_ROWS_TOLD {
                        bad_rows.push(bad_row.to_string());
                    }
                }
            }
            progress.inc(1);
        }
        if data.n_bad_rows > args.max_bad_rows {
            bail!(
                "{} of the rows are bad, and --max-bad-rows allows {}:\n  {}\n{}fix them, choose other columns with --features, \
                 mark as optional in a --schema what may be missing, or allow more bad rows",
                data.n_bad_rows,
                args.max_bad_rows,
                bad_rows.join("\n  "),
                if data.n_bad_rows > bad_rows.len() { "  and more\n" } else { "" },
            );
        }
        let n_untold = data.n_bad_rows - bad_rows.len();
        data.warnings
            .extend(bad_rows.into_iter().map(|message| format!("left out: bad row: {message}")));
        if n_untold > 0 {
            data.warnings.push(format!("left out: {n_untold} more bad rows"));
        }
        if n_labelled > 0 {
            data.warnings.push(format!(
                "{n_labelled} rows are labelled anomalous and are learnt as normal all the same; leave them out, or \
                 say with --contamination how many there are"
            ));
        }
        if data.events.is_empty() {
            bail!("{} has a header and no rows to learn from", data.source);
        }
        Ok(data)
    }

    /// Leaves out the features that are the same, or missing, in every event.
    fn drop_constant_features(&mut self) -> anyhow::Result<()> {
        let varies = |feature: usize| {
            let mut present = self
                .events
                .iter()
                .map(|event| event.values()[feature])
                .filter(|value| !value.is_nan());
            let first = present.next();
            present.any(|value| Some(value) != first)
        };
        let (kept, dropped): (Vec<usize>, Vec<usize>) =
            (0..self.schema.len()).partition(|&feature| varies(feature));
        if kept.is_empty() {
            bail!(
                "every feature of {} is the same in every row: there is nothing to learn",
                self.source
            );
        }
        let features = self.schema.features();
        if !dropped.is_empty() {
            let names: Vec<&str> =
                dropped.iter().map(|&feature| &*features[feature].name).collect();
            self.warnings.extend(left_out("the same in every row, which teaches nothing", &names));
            let schema =
                FeatureSchema::new(kept.iter().map(|&feature| features[feature].clone()).collect())
                    .expect("a part of a schema is a schema");
            self.events = self.events.iter().map(|event| event.with_features(&kept)).collect();
            self.schema = schema;
        }
        Ok(())
    }
}

/// Returns the features to learn, as named, else those of the schema file, else all columns of numbers; and
/// a warning about the others.
fn schema(recording: &Recording, args: &Args) -> anyhow::Result<(FeatureSchema, Vec<String>)> {
    let known = match &args.schema {
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read `{}`", path.display()))?;
            let schema = FeatureSchema::from_toml(&text)
                .with_context(|| format!("cannot use `{}`", path.display()))?;
            Some(schema)
        }
        None => None,
    };
    match (&args.features, known) {
        (Some(names), known) => {
            let known = known.iter().flat_map(FeatureSchema::features);
            let known: Vec<&Feature> = known.collect();
            let names = names.iter().map(|name| name.trim());
            let feature = |name: &str| match known.iter().find(|feature| *feature.name == *name) {
                Some(&feature) => feature.clone(),
                None => Feature::named(name),
            };
            let schema = FeatureSchema::new(names.map(feature).collect());
            Ok((schema.context("cannot use --features")?, Vec::new()))
        }
        (None, Some(schema)) => {
            let mut others = recording.feature_columns();
            others.retain(|column| schema.features().iter().all(|known| *known.name != **column));
            Ok((schema, left_out("not in the schema", &others).into_iter().collect()))
        }
        (None, None) => columns_of_numbers(recording),
    }
}

fn columns_of_numbers(recording: &Recording) -> anyhow::Result<(FeatureSchema, Vec<String>)> {
    let names = recording.numeric_columns()?;
    let mut others = recording.feature_columns();
    if names.is_empty() {
        bail!(
            "`{}` has no row with a number to learn from; its columns that could be features are: {}",
            recording.path().display(),
            listed(&others)
        );
    }
    others.retain(|other| !names.iter().any(|name| name == other));
    let left_out = left_out("without any number", &others);
    let features = names.iter().map(|name| Feature::named(name)).collect();
    Ok((
        FeatureSchema::new(features).context("cannot use the columns")?,
        left_out.into_iter().collect(),
    ))
}

/// Returns the warning that columns are not learnt, if there are any.
fn left_out(why: &str, columns: &[&str]) -> Option<String> {
    let columns: Vec<String> = columns.iter().map(|column| format!("`{column}`")).collect();
    (!columns.is_empty()).then(|| format!("left out: {why}: {}", listed(&columns)))
}
