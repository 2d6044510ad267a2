//! A look at a file before anything is learnt from it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use figures::{Report, Sparkline};
use files::write_atomically;
use recording::{Column, Missing, Numbers, Profile, ProfileArgs, Recording, Role, Survey};
use terminal::style::WARNING;
use wording::{counted, grouped, readable, significant};

use crate::args::shell_word;
use crate::data::{Files, TrainingData};
use crate::timeline::Timeline;

/// Columns of the terminal for a name, a first cell, and a course.
const NAME_WIDTH: usize = 32;
const CELL_WIDTH: usize = 24;
const COURSE_WIDTH: usize = 24;
/// Decimals of values.
const N_PLACES: usize = 4;

/// Says how a file is read and what its columns hold, before anything is learnt from it
///
/// It also says what training would warn of, and which profile reads other files of this kind in the same way.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The file: CSV, plain or packed with gzip or zstd, a workbook, or Parquet
    #[arg(value_name = "FILE")]
    pub input: PathBuf,

    /// Write the profile, for --profile of train, score and simulate
    #[arg(long, value_name = "FILE.toml")]
    pub save: Option<PathBuf>,

    /// Write a page that shows the course of each column
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,

    /// The way to read the file.
    #[command(flatten)]
    pub reading: ProfileArgs,
}

/// Everything that is to be said about a file.
struct Inspection<'a> {
    args: &'a InspectArgs,
    read_as: String,
    survey: Survey,
    timeline: Option<Timeline>,
    warnings: Vec<String>,
    /// The whole profile.
    profile: Profile,
    /// The part of it that is not recognised.
    needed: Profile,
}

/// Looks at a file at the time `now_us`, and writes to `out` what it holds.
///
/// # Errors
///
/// Fails when the file cannot be read in one way, and when a file cannot be written.
pub fn inspect(args: &InspectArgs, now_us: i64, out: &mut dyn Write) -> anyhow::Result<()> {
    let is_input = |path: &&PathBuf| {
        args.input
            .canonicalize()
            .is_ok_and(|input| path.canonicalize().is_ok_and(|path| path == input))
    };
    if let Some(path) = args.save.iter().chain(&args.report).find(is_input) {
        bail!("`{}` would be replaced: choose another file to write", path.display());
    }
    let inspection = Inspection::of(args, now_us)?;
    if let Some(path) = &args.save {
        write_atomically(path, inspection.profile.to_toml().as_bytes())?;
    }
    if let Some(path) = &args.report {
        write_atomically(path, inspection.report().as_bytes())?;
    }
    inspection.write(out).context("cannot write what was found")
}

impl<'a> Inspection<'a> {
    fn of(args: &'a InspectArgs, now_us: i64) -> anyhow::Result<Self> {
        let input = args.input.as_path();
        let kind = std::fs::metadata(input);
        if kind.as_ref().is_ok_and(std::fs::Metadata::is_dir) {
            bail!("`{}` is a folder: inspect one of its files", input.display());
        }
        if input == Path::new("-") || kind.is_ok_and(|kind| !kind.is_file()) {
            bail!("`{}` can be read only once: save it as a file first", input.display());
        }
        let mut needed = args.reading.profile();
        let mut recording = Recording::open(input, &needed)?;
        let mut profile = recording.profile(&needed);
        if let Some(columns) = recording.long_format()?.map(|names| names.map(String::from)) {
            needed.long = columns.to_vec();
            profile.long.clone_from(&needed.long);
            recording = Recording::open(input, &profile)?;
        }
        let survey = recording.survey()?;
        let lacks_some = |column: &Column| {
            column.role == Role::Feature && column.numbers.n > 0 && column.n_missing > 0
        };
        if profile.missing.is_none() && survey.columns.iter().any(lacks_some) {
            needed.missing = Some(Missing::Allow);
            profile.missing = Some(Missing::Allow);
        }
        let files = Files {
            inputs: std::slice::from_ref(&args.input),
            profile: &profile,
            features: None,
            schema: None,
            max_bad_rows: usize::MAX,
            learns_labelled: false,
            is_grouped: false,
        };
        let (timeline, warnings) =
            match TrainingData::of_files(&files, &indicatif::ProgressBar::hidden()) {
                Ok(data) => {
                    let timeline = data.timeline();
                    let doubts = data.doubts(None, timeline.as_ref(), now_us);
                    let stops = (data.n_bad_rows > 0).then(|| {
                        format!(
                            "training stops at {}, unless --max-bad-rows allows them",
                            counted(data.n_bad_rows as u64, "bad row")
                        )
                    });
                    (timeline, data.warnings.into_iter().chain(stops).chain(doubts).collect())
                }
                Err(error) => (None, vec![format!("training would stop: {error:#}")]),
            };
        let read_as = recording.in_words();
        Ok(Self { args, read_as, survey, timeline, warnings, profile, needed })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for (name, fact) in self.facts() {
            writeln!(out, "{name:<12} {fact}")?;
        }
        let columns = &self.survey.columns;
        let names: Vec<String> = columns.iter().map(|c| shortened(&c.name, NAME_WIDTH)).collect();
        let firsts = self.survey.first_rows.first();
        let first = |index| firsts.and_then(|row| row.get(index)).map_or("", String::as_str);
        let firsts: Vec<String> =
            (0..columns.len()).map(|index| shortened(first(index), CELL_WIDTH)).collect();
        let width = |cells: &[String], title: &str| {
            let widths = cells.iter().map(|cell| cell.chars().count());
            widths.max().unwrap_or_default().max(title.len())
        };
        let (name_width, first_width) = (width(&names, ""), width(&firsts, "first cell"));
        writeln!(
            out,
            "columns      {:name_width$}  {:<15}  {:<first_width$}  {:<COURSE_WIDTH$}  cells",
            "", "role", "first cell", "course"
        )?;
        for ((column, name), first) in columns.iter().zip(names).zip(firsts) {
            writeln!(
                out,
                "             {name:name_width$}  {:<15}  {first:<first_width$}  {:<COURSE_WIDTH$}  {}",
                role(column),
                course(column),
                cells(column)
            )?;
        }
        for warning in &self.warnings {
            writeln!(out, "{WARNING}warning:{WARNING:#} {warning}")?;
        }
        let saved = self.args.save.as_ref().map(|path| format!("`{}`", path.display()));
        writeln!(
            out,
            "profile      {}",
            saved.unwrap_or_else(|| String::from("of files like this"))
        )?;
        for line in self.profile.to_toml().lines() {
            writeln!(out, "             {line}")?;
        }
        for (index, command) in self.next_commands().iter().enumerate() {
            writeln!(out, "{:<12} {command}", if index == 0 { "next" } else { "" })?;
        }
        Ok(())
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let Self { survey, .. } = self;
        let file = self.args.input.file_name().unwrap_or(self.args.input.as_os_str());
        let mut facts = vec![
            ("file", format!("`{}`, {}", file.display(), counted(survey.n_rows, "row"))),
            ("read as", self.read_as.clone()),
        ];
        if let Some(timeline) = &self.timeline {
            facts.push(("time", timeline.span()));
            facts.push(("", timeline.pace()));
        }
        facts
    }

    /// Returns the commands that learn from the file, and that measure the model where there are labels.
    fn next_commands(&self) -> Vec<String> {
        let input = shell_word(&self.args.input.display().to_string());
        let (saved, needed) = (&self.args.save, self.needed.flags().into_iter());
        let saved = saved.iter().map(|path| (String::from("profile"), path.display().to_string()));
        let flags: Vec<(String, String)> =
            if saved.len() > 0 { saved.collect() } else { needed.collect() };
        let flags = flags.iter().flat_map(|(flag, value)| {
            [String::from(" --"), flag.clone(), String::from(" "), shell_word(value)]
        });
        let flags: String = flags.collect();
        let mut commands = vec![format!("train --input {input}{flags}")];
        if self.survey.columns.iter().any(|column| column.role == Role::Label) {
            commands.push(format!("score --evaluate --input {input}{flags}"));
        }
        commands
    }

    /// Returns the page.
    fn report(&self) -> String {
        let file = self.args.input.file_name().unwrap_or(self.args.input.as_os_str());
        let mut report = Report::new(&format!("Columns of {}", file.display()));
        report.facts(self.facts());
        for warning in &self.warnings {
            report.warning(warning);
        }
        report.heading("Columns");
        let titles =
            ["column", "role", "lowest", "mean", "highest", "numbers", "missing", "other cells"];
        let row = |column: &Column| {
            let Numbers { n, lowest, highest, .. } = column.numbers;
            let number = |number: f64| if n > 0 { significant(number) } else { String::from("-") };
            vec![
                column.name.clone(),
                String::from(role(column)),
                number(lowest),
                column.numbers.mean().map_or(String::from("-"), significant),
                number(highest),
                grouped(n as f64),
                grouped(column.n_missing as f64),
                texts(column),
            ]
        };
        report.table(&titles, self.survey.columns.iter().map(row));
        report.heading("Course");
        report.paragraph("From the first row to the last, between the lowest and the highest value; gaps have none.");
        let drawn = self
            .survey
            .columns
            .iter()
            .filter(|column| column.numbers.n > 0 && column.role != Role::Timestamp);
        report.rows(drawn.map(|column| {
            let title = format!("{}: {}", column.name, cells(column));
            let svg = Sparkline { title: &title, course: column.numbers.course() }.svg();
            (column.name.clone(), svg)
        }));
        report.heading("First rows");
        let names: Vec<&str> = self.survey.columns.iter().map(|column| &*column.name).collect();
        report.table(&names, self.survey.first_rows.iter().cloned());
        report.heading("Profile");
        report.paragraph("In a file for --profile, it reads others of this kind in the same way:");
        report.code(&self.profile.to_toml());
        report.end()
    }
}

fn role(column: &Column) -> &'static str {
    let is_of_text = column.role == Role::Feature && column.numbers.n == 0;
    if is_of_text { "left out" } else { column.role.name() }
}

/// Describes the cells of a column.
fn cells(column: &Column) -> String {
    let Numbers { n, lowest, highest, .. } = column.numbers;
    let mut parts = Vec::new();
    if n > 0 && column.role != Role::Timestamp {
        let [lowest, highest] = [lowest, highest].map(|number| readable(number, N_PLACES));
        parts.push(format!("{lowest} to {highest}"));
    }
    if column.n_texts > 0 && column.role != Role::Timestamp {
        parts.push(texts(column));
    }
    if column.n_missing > 0 {
        parts.push(format!("{} missing", grouped(column.n_missing as f64)));
    }
    parts.join(", ")
}

/// Describes the cells that are no numbers.
fn texts(column: &Column) -> String {
    let quoted = |text: &String| format!("`{}`", shortened(text, CELL_WIDTH));
    let named = || column.texts.iter().map(quoted).collect::<Vec<_>>().join(", ");
    match column.first_text_line {
        None => String::new(),
        Some(_) if column.numbers.n == 0 => named(),
        Some(line) => format!(
            "{} no numbers, from line {line} on: {}",
            grouped(column.n_texts as f64),
            named()
        ),
    }
}

/// Draws the course of a column with letters.
fn course(Column { role, numbers, .. }: &Column) -> String {
    const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

    let course = numbers.course();
    let range = numbers.highest - numbers.lowest;
    let n_chars = course.len().min(COURSE_WIDTH);
    let letter = |index: usize| {
        let part = &course[index * course.len() / n_chars..(index + 1) * course.len() / n_chars];
        let middles = part.iter().flatten().map(|[low, high]| f64::midpoint(*low, *high));
        let (n, sum) = middles.fold((0.0, 0.0), |(n, sum), middle| (n + 1.0, sum + middle));
        let share = (sum / n - numbers.lowest) / range;
        let reaches = |level: &usize| share * LEVELS.len() as f64 >= *level as f64;
        let level = (1..LEVELS.len()).take_while(reaches).count();
        if n > 0.0 { LEVELS[level] } else { ' ' }
    };
    let is_drawn = numbers.n > 0 && *role != Role::Timestamp;
    if is_drawn { (0..n_chars).map(letter).collect() } else { String::new() }
}

/// Returns a text of at most so many characters, without those that control a terminal.
fn shortened(text: &str, width: usize) -> String {
    let safe = |character: char| if character.is_control() { ' ' } else { character };
    let mut short: String = text.chars().map(safe).take(width).collect();
    if text.chars().count() > width {
        short.pop();
        short.push('…');
    }
    short
}
