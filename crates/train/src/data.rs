//! The training data.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use detector::{DataMeta, Detector, FitError, LeftOutMeta, ModelMeta};
use indicatif::ProgressBar;
use recording::{BadRow, Missing, Profile, RecordedEvent, Recording};
use sensor::{Feature, FeatureSchema, SensorEvent};
use wording::{counted, grouped, listed, readable};

use crate::args::Args;

/// The number of bad rows that are listed.
const BAD_ROWS_TOLD: usize = 10;
/// The number of rows left out that are named.
const LEFT_OUT_NAMED: usize = 3;

/// The endings of the files that are read of a folder.
const ENDINGS: [&str; 5] = [".csv", ".csv.gz", ".csv.zst", ".xlsx", ".parquet"];

/// Files to learn from, and what of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Files<'a> {
    /// Files and folders.
    pub(crate) inputs: &'a [PathBuf],
    pub(crate) profile: &'a Profile,
    /// The names of the features, where they are chosen.
    pub(crate) features: Option<&'a [String]>,
    /// A file with what is known about them.
    pub(crate) schema: Option<&'a Path>,
    pub(crate) max_bad_rows: usize,
    /// `true` if rows that are labelled anomalous teach, too.
    pub(crate) learns_labelled: bool,
    /// `true` if stations or groups of them have a baseline each.
    pub(crate) is_grouped: bool,
}

/// Events to learn from, and where they come from.
#[derive(Debug, Clone)]
pub struct TrainingData {
    /// The source of the events, for people.
    pub source: String,
    /// The way in which the source is read, in words; `None` for one that is no file.
    pub read_as: Option<String>,
    /// The features of the events.
    pub schema: FeatureSchema,
    /// The events, in the order of the source.
    pub events: Vec<SensorEvent>,
    /// The line of each event in the source; empty when it has none.
    pub lines: Vec<u64>,
    /// The files of the source, each with the number of events before its own.
    pub files: Vec<(usize, PathBuf)>,
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
        if args.input.is_empty() && !args.reading.is_empty() {
            bail!("there is no --input to read in another way");
        }
        if !args.input.is_empty() {
            let profile = args.reading.profile();
            return Self::of_files(&args.files(&profile), progress);
        }
        Ok(Self {
            source: format!("a simulated plant of {} stations", plant::N_STATIONS),
            read_as: None,
            schema: FeatureSchema::default(),
            events: plant::normal_events(plant::TRAINING_EVENTS, args.seed),
            lines: Vec::new(),
            files: Vec::new(),
            has_times: true,
            n_bad_rows: 0,
            warnings: Vec::new(),
        })
    }

    /// Reads files.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub(crate) fn of_files(files: &Files<'_>, progress: &ProgressBar) -> anyhow::Result<Self> {
        let mut data = Self::with_all_features(files, progress)?;
        data.drop_empty_features()?;
        Ok(data)
    }

    fn with_all_features(files: &Files<'_>, progress: &ProgressBar) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| Recording::open(path, files.profile);
        let recordings: Vec<Recording> =
            files_of(files.inputs)?.iter().map(open).collect::<Result<_, _>>()?;
        let (first, others) = recordings.split_first().expect("there is an input");
        if files.is_grouped && others.is_empty() && !first.has_stations() {
            bail!(
                "`{}` does not name the stations, so none can have its own baseline: name the column that does with \
                 --station-column",
                first.path().display()
            );
        }
        let (schema, mut warnings) = schema(&recordings, files)?;
        let read_as = first.in_words();
        let differs = others.iter().filter(|recording| recording.in_words() != read_as);
        warnings.extend(differs.map(|recording| {
            format!("`{}` is read otherwise: {}", recording.path().display(), recording.in_words())
        }));
        let mut left_out = LeftOut::default();
        let mut data = Self {
            source: match others {
                [] => format!("`{}`", first.path().display()),
                [.., last] => format!(
                    "{} files, `{}` to `{}`",
                    grouped(recordings.len() as f64),
                    first.path().display(),
                    last.path().display()
                ),
            },
            read_as: Some(read_as),
            schema: schema.clone(),
            events: Vec::new(),
            lines: Vec::new(),
            files: Vec::new(),
            has_times: recordings.iter().all(Recording::has_times),
            n_bad_rows: 0,
            warnings,
        };
        for recording in &recordings {
            data.files.push((data.events.len(), recording.path().to_owned()));
            for row in recording.events(&schema)? {
                match row? {
                    Ok(RecordedEvent { is_anomaly: Err(label), .. }) => {
                        bail!(
                            "{label}; name the column of the labels with --label-column, or none"
                        );
                    }
                    Ok(row) if row.is_anomaly == Ok(Some(true)) && !files.learns_labelled => {
                        left_out.n_labelled += 1;
                    }
                    Ok(row) => {
                        let is_labelled = row.is_anomaly == Ok(Some(true));
                        left_out.n_learnt_labelled += u64::from(is_labelled);
                        data.events.push(row.event);
                        data.lines.push(row.line);
                    }
                    Err(bad_row) => left_out.note_bad(&bad_row),
                }
                if data.events.len() > Detector::N_EVENTS_MAX {
                    bail!(FitError::TooManyEvents { n_events: data.events.len() });
                }
                progress.inc(1);
            }
        }
        left_out.check(files.max_bad_rows)?;
        if data.events.is_empty() {
            bail!(
                "{} has a header and no rows to learn from{}",
                data.source,
                if left_out.n_labelled > 0 {
                    ": all are labelled anomalous; name another column with --label-column, or none"
                } else {
                    ""
                }
            );
        }
        data.n_bad_rows = left_out.n_bad;
        data.warnings.extend(left_out.into_warnings());
        Ok(data)
    }

    /// Leaves out the features that are missing in every event, and warns of those that are constant.
    fn drop_empty_features(&mut self) -> anyhow::Result<()> {
        let kinds: Vec<Variation> =
            (0..self.schema.len()).map(|feature| self.variation(feature)).collect();
        if !kinds.contains(&Variation::Varies) {
            bail!(
                "every feature of {} is the same in every row: there is nothing to learn",
                self.source
            );
        }
        let features = self.schema.features();
        let constant = features.iter().zip(&kinds).filter_map(|(feature, kind)| match kind {
            Variation::Constant(value) => {
                Some(format!("`{}` at {}", feature.name, readable(*value, 4)))
            }
            _ => None,
        });
        let constant: Vec<String> = constant.collect();
        if !constant.is_empty() {
            self.warnings.push(format!(
                "constant in every row, so that any other value will be an anomaly: {}; name the features with --features \
                 where that is not wanted",
                listed(&constant)
            ));
        }
        let is_empty = |feature: &usize| kinds[*feature] == Variation::Empty;
        let (empty, kept): (Vec<usize>, Vec<usize>) = (0..self.schema.len()).partition(is_empty);
        if !empty.is_empty() {
            let names: Vec<&str> = empty.iter().map(|&feature| &*features[feature].name).collect();
            self.warnings.extend(left_out("missing in every row", &names));
            let schema =
                FeatureSchema::new(kept.iter().map(|&feature| features[feature].clone()).collect())
                    .expect("a part of a schema is a schema");
            self.events = self.events.iter().map(|event| event.with_features(&kept)).collect();
            self.schema = schema;
        }
        Ok(())
    }

    fn variation(&self, feature: usize) -> Variation {
        let values = self.events.iter().map(|event| event.values()[feature]);
        let mut present = values.filter(|value| !value.is_nan());
        match present.next() {
            None => Variation::Empty,
            Some(first) if present.any(|value| value != first) => Variation::Varies,
            Some(first) => Variation::Constant(first),
        }
    }

    /// Returns what tells this data from other.
    pub(crate) fn meta(&self, profile: &Profile) -> DataMeta {
        let name = |path: &PathBuf| {
            path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
        };
        let files = self.files.iter().map(|(_, path)| name(path)).collect();
        let profile = (*profile != Profile::default()).then(|| profile.to_toml());
        DataMeta::new(files, &self.schema, &self.events, profile.as_deref())
    }

    /// Returns where the event of this number is: its line in the source, if it has lines.
    pub(crate) fn place(&self, row: usize) -> String {
        let Some(line) = self.lines.get(row - 1) else { return format!("row {row}") };
        let of_row = self.files.iter().rfind(|(n_before, _)| *n_before < row);
        match of_row {
            Some((_, path)) if self.files.len() > 1 => {
                format!("line {line} of `{}`", path.display())
            }
            _ => format!("line {line}"),
        }
    }

    /// Returns the warning about rows that the detector has left out, if there are any.
    pub(crate) fn left_out_warning(&self, meta: &ModelMeta) -> Option<String> {
        // Often one value stands for "no reading", in many rows.
        let mut values: Vec<(&LeftOutMeta, usize)> = Vec::new();
        for row in &meta.left_out {
            let is_same = |(first, _): &&mut (&LeftOutMeta, usize)| {
                first.feature == row.feature && first.value == row.value
            };
            match values.iter_mut().find(is_same) {
                Some((_, n_rows)) => *n_rows += 1,
                None => values.push((row, 1)),
            }
        }
        let at_least = if meta.left_out_rows > meta.left_out.len() { "at least " } else { "" };
        let named = values.iter().take(LEFT_OUT_NAMED).map(|(first, n_rows)| {
            let value = format!("`{}` is {}", first.feature, readable(first.value, 4));
            match n_rows {
                1 => format!("{value} in {}", self.place(first.row)),
                _ => format!(
                    "{value} in {at_least}{n_rows} rows, first in {}",
                    self.place(first.row)
                ),
            }
        });
        let mut named: Vec<String> = named.collect();
        if values.len() > named.len() {
            named.push(String::from("others"));
        }
        let n_left_out = meta.left_out_rows;
        (n_left_out > 0).then(|| {
            format!(
                "left out: {} with a value {}: {}; name cells that hold no measurement with --na-values, or learn from these rows too \
                 with --keep-all-rows",
                counted(n_left_out as u64, "row"),
                meta.left_out_in_words(),
                listed(&named)
            )
        })
    }
}

/// The rows that teach nothing, or should not.
#[derive(Debug, Default)]
struct LeftOut {
    n_bad: usize,
    /// The faults of the first bad rows.
    bad: Vec<String>,
    n_labelled: u64,
    n_learnt_labelled: u64,
}

impl LeftOut {
    fn note_bad(&mut self, bad_row: &BadRow) {
        self.n_bad += 1;
        if self.bad.len() < BAD_ROWS_TOLD {
            self.bad.push(bad_row.to_string());
        }
    }

    /// Fails when there are more bad rows than may be.
    fn check(&self, max_bad_rows: usize) -> anyhow::Result<()> {
        let Self { n_bad, bad, .. } = self;
        if *n_bad <= max_bad_rows {
            return Ok(());
        }
        bail!(
            "{n_bad} of the rows are bad, and --max-bad-rows allows {max_bad_rows}:\n  {}\n{}fix them, choose other columns with \
             --features, take empty cells for missing values with --missing allow, or allow more bad rows",
            bad.join("\n  "),
            if *n_bad > bad.len() { "  and more\n" } else { "" },
        );
    }

    fn into_warnings(self) -> Vec<String> {
        let n_untold = self.n_bad - self.bad.len();
        let told = self.bad.into_iter().map(|message| format!("left out: bad row: {message}"));
        let mut warnings: Vec<String> = told.collect();
        if n_untold > 0 {
            warnings.push(format!("left out: {n_untold} more bad rows"));
        }
        let labelled = |n_rows: u64| format!("{} labelled anomalous", counted(n_rows, "row"));
        if self.n_labelled > 0 {
            let labelled = labelled(self.n_labelled);
            warnings
                .push(format!("left out: {labelled}; --labelled include learns from them as well"));
        }
        if self.n_learnt_labelled > 0 {
            let labelled = labelled(self.n_learnt_labelled);
            warnings.push(format!("learnt as normal all the same: {labelled}"));
        }
        warnings
    }
}

/// The variation of a feature.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Variation {
    /// There are none.
    Empty,
    Constant(f64),
    Varies,
}

/// Returns the features to learn, as named, else those of the schema file, else all columns of numbers; and
/// a warning about the others.
fn schema(
    recordings: &[Recording],
    files: &Files<'_>,
) -> anyhow::Result<(FeatureSchema, Vec<String>)> {
    let optional = files.profile.missing == Some(Missing::Allow);
    let known = match files.schema {
        Some(path) => {
            let text = fs::read_to_string(path)
                .with_context(|| format!("cannot read `{}`", path.display()))?;
            let schema = FeatureSchema::from_toml(&text)
                .with_context(|| format!("cannot use `{}`", path.display()))?;
            Some(schema)
        }
        None => None,
    };
    match (files.features, known) {
        (Some(names), known) => {
            let known = known.iter().flat_map(FeatureSchema::features);
            let known: Vec<&Feature> = known.collect();
            let names = names.iter().map(|name| name.trim());
            let feature = |name: &str| match known.iter().find(|feature| *feature.name == *name) {
                Some(&feature) => feature.clone(),
                None => Feature { optional, ..Feature::named(name) },
            };
            let schema = FeatureSchema::new(names.map(feature).collect());
            Ok((schema.context("cannot use --features")?, Vec::new()))
        }
        (None, Some(schema)) => {
            let mut others = recordings[0].feature_columns();
            others.retain(|column| schema.features().iter().all(|known| *known.name != **column));
            Ok((schema, left_out("not in the schema", &others).into_iter().collect()))
        }
        (None, None) => columns_of_numbers(recordings, optional),
    }
}

fn columns_of_numbers(
    recordings: &[Recording],
    optional: bool,
) -> anyhow::Result<(FeatureSchema, Vec<String>)> {
    let mut names: Vec<String> = Vec::new();
    for recording in recordings {
        let found = recording.numeric_columns()?;
        names.extend(found.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    let first = &recordings[0];
    let mut others = first.feature_columns();
    if names.is_empty() {
        bail!(
            "`{}` has no row with a number to learn from; its columns that could be features are: {}",
            first.path().display(),
            listed(&others)
        );
    }
    others.retain(|other| !names.iter().any(|name| name == other));
    let shown = |column: &&str| match first.example(column) {
        Some(example) => format!("`{column}` (such as `{example}`)"),
        None => format!("`{column}`"),
    };
    let starts_with_number = |column: &&str| {
        first
            .example(column)
            .is_some_and(|example| example.starts_with(|c: char| c.is_ascii_digit()))
    };
    let left_out = (!others.is_empty()).then(|| {
        let columns: Vec<String> = others.iter().map(shown).collect();
        let hint = if others.iter().any(starts_with_number) {
            "; to learn from numbers with a unit, write the numbers alone"
        } else {
            ""
        };
        format!("left out: without any number: {}{hint}", listed(&columns))
    });
    let feature = |name: &String| Feature { optional, ..Feature::named(name) };
    let features = names.iter().map(feature).collect();
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

/// Returns the files of some paths, of which some may be folders.
fn files_of(inputs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for input in inputs {
        if !input.is_dir() {
            files.push(input.clone());
            continue;
        }
        let cannot_read = || format!("cannot read `{}`", input.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(input).with_context(cannot_read)? {
            let path = entry.with_context(cannot_read)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
            if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
                found.push(path);
            }
        }
        if found.is_empty() {
            bail!("no file in `{}` ends with one of {}", input.display(), ENDINGS.join(", "));
        }
        found.sort_unstable();
        files.extend(found);
    }
    Ok(files)
}
