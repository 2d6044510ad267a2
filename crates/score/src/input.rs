//! Rows to score, block by block.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, bail};
use detector::{Detector, StationBaseline};
use recording::{BadRow, Element, Labels, Matrix, Profile, ValueRows};
use sensor::StationId;

use crate::args::Format;

/// Rows of a block: enough for all cores to have work.
const ROWS_PER_BLOCK: usize = 32_768;
/// Blocks of wide rows have fewer, so that they hold no more values than these.
const VALUES_PER_BLOCK: usize = 1 << 20;

/// The way to read an input.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) format: Format,
    pub(crate) profile: Profile,
    /// `true` if bad rows have no scores, and do not end it.
    pub(crate) skips_bad: bool,
    /// `true` if the cells of rows are kept.
    pub(crate) keeps_cells: bool,
}

/// The source of rows.
pub(crate) struct Input<'a> {
    rows: Rows<'a>,
    detector: &'a Detector,
    reading: Reading,
    /// The truth about the rows, where it is asked for.
    truth: Option<Truth<'a>>,
    /// Rows of the blocks so far.
    n_rows: u64,
}

#[expect(clippy::large_enum_variant, reason = "there is one of them")]
enum Rows<'a> {
    Table(ValueRows<'a>),
    Matrix(Matrix<'a>),
}

/// The place of the truth about rows.
#[derive(Debug, Clone, Copy)]
enum Truth<'a> {
    Unknown,
    InRows,
    InFile(&'a Labels),
}

impl Rows<'_> {
    /// Returns the station of the row that was read last; empty where the row should name one and does not.
    fn station(&mut self) -> &str {
        match self {
            Rows::Table(rows) => rows.station().map_or("", StationId::as_str),
            Rows::Matrix(matrix) => matrix.station(),
        }
    }
}

/// A row about itself, beside its values.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    /// Its number, from 0.
    pub(crate) row: u64,
    pub(crate) station_id: StationId,
    /// When it was measured, in microseconds since 1970 (UTC).
    pub(crate) timestamp_us: Option<i64>,
    /// `true` if it is anomalous.
    pub(crate) label: Option<bool>,
}

/// Some rows.
#[derive(Debug, Default)]
pub(crate) struct Block {
    /// Number of the rows before, bad ones included.
    pub(crate) n_before: u64,
    /// The values of the good rows, one row after another.
    pub(crate) values: Vec<f64>,
    /// For every row, whether it is good.
    pub(crate) is_good: Vec<bool>,
    /// The fault of the first bad row.
    pub(crate) first_bad: Option<BadRow>,
    /// The baselines of the good rows.
    pub(crate) baselines: Vec<StationBaseline>,
    /// The number of good rows of stations that have none, where others have one.
    pub(crate) n_without_baseline: u64,
    /// The first such station.
    pub(crate) without_baseline: Option<String>,
    /// The good rows about themselves, where that is asked for.
    pub(crate) told: Vec<Told>,
    /// For every row its cells, where they are to be repeated.
    pub(crate) cells: Vec<csv::ByteRecord>,
}

/// Opens the input, and says what errors call it; `-` means `stdin`.
pub(crate) fn open(
    path: &Path,
    stdin: impl Read + Send + 'static,
) -> anyhow::Result<(&Path, Box<dyn Read + Send>)> {
    if path == Path::new("-") {
        return Ok((Path::new("standard input"), Box::new(stdin)));
    }
    let file = File::open(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    Ok((path, Box::new(file)))
}

impl<'a> Input<'a> {
    /// Opens a file; `-` means `stdin`.
    pub(crate) fn open(
        reading: Reading,
        path: &Path,
        detector: &'a Detector,
        stdin: impl Read + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (name, bytes) = open(path, stdin)?;
        if reading.format != Format::Csv && reading.profile != Profile::default() {
            bail!("a raw matrix has no text to read in another way");
        }
        let schema = detector.schema();
        let rows = match reading.format {
            Format::Csv => Rows::Table(ValueRows::begin(bytes, name, schema, &reading.profile)?),
            Format::F32 => Rows::Matrix(Matrix::new(bytes, name, Element::F32, schema)),
            Format::F64 => Rows::Matrix(Matrix::new(bytes, name, Element::F64, schema)),
        };
        Ok(Self { rows, detector, reading, truth: None, n_rows: 0 })
    }

    /// Asks for the truth about each row as well: that of a file, or that of the rows themselves.
    pub(crate) fn with_truth(mut self, labels: Option<&'a Labels>) -> anyhow::Result<Self> {
        let Rows::Table(rows) = &self.rows else {
            bail!("labels are read from tables, whose columns have names")
        };
        let name = rows.path().display();
        match labels {
            None if !rows.has_labels() => bail!(
                "no column of `{name}` has labels; name it with --label-column, or a file that has them with --labels"
            ),
            Some(labels) if labels.needs_times() && !rows.has_times() => bail!(
                "`{name}` does not say when its rows were measured, as --labels needs; name the column with --time-column"
            ),
            _ => rows.check_times()?,
        }
        self.truth = Some(labels.map_or(Truth::InRows, Truth::InFile));
        Ok(self)
    }

    /// Asks for what each row says of itself, and for the truth about it where rows tell.
    pub(crate) fn with_truth_if_any(mut self) -> anyhow::Result<Self> {
        let Rows::Table(rows) = &self.rows else {
            bail!("only tables, whose columns have names, can be judged by two models")
        };
        rows.check_times()?;
        self.truth = Some(if rows.has_labels() { Truth::InRows } else { Truth::Unknown });
        Ok(self)
    }

    /// Describes how the input is read; `None` for a raw matrix.
    pub(crate) fn in_words(&self) -> Option<String> {
        match &self.rows {
            Rows::Table(rows) => Some(rows.in_words()),
            Rows::Matrix(_) => None,
        }
    }

    /// Returns the names of the columns that can be repeated.
    pub(crate) fn columns(&self) -> Vec<String> {
        match &self.rows {
            Rows::Table(rows) => rows.columns().to_vec(),
            Rows::Matrix(_) => {
                let features = self.detector.schema().features().iter();
                features.map(|feature| feature.name.to_string()).collect()
            }
        }
    }

    /// Returns the next rows; `None` at the end.
    pub(crate) fn read(&mut self) -> anyhow::Result<Option<Block>> {
        let mut block = Block { n_before: self.n_rows, ..Block::default() };
        let n_features = self.detector.schema().len();
        let n_rows = (VALUES_PER_BLOCK / n_features).clamp(1, ROWS_PER_BLOCK);
        while block.is_good.len() < n_rows {
            let row = match &mut self.rows {
                Rows::Table(rows) => rows.read(&mut block.values)?,
                Rows::Matrix(matrix) => matrix.read(&mut block.values)?,
            };
            let row = row.map(|row| row.and_then(|()| self.tell(&mut block)));
            match row {
                None => break,
                Some(Err(bad_row)) if !self.reading.skips_bad => {
                    bail!("{bad_row}; --skip-bad leaves the scores of bad rows empty");
                }
                Some(row) => {
                    if row.is_ok() {
                        let baseline = self.baseline();
                        if baseline.is_of_fleet() {
                            block.n_without_baseline += 1;
                            let station = self.rows.station();
                            block.without_baseline.get_or_insert_with(|| String::from(station));
                        }
                        block.baselines.push(baseline);
                    }
                    block.is_good.push(row.is_ok());
                    block.first_bad = block.first_bad.or(row.err());
                }
            }
            if self.reading.keeps_cells {
                block.cells.push(self.cells(&block));
            }
        }
        self.n_rows += block.is_good.len() as u64;
        Ok((!block.is_good.is_empty()).then_some(block))
    }

    /// Notes what the row that was read last says of itself, where that is asked for. If that is bad, the row is.
    fn tell(&mut self, block: &mut Block) -> Result<(), BadRow> {
        let (Some(truth), Rows::Table(rows)) = (self.truth, &mut self.rows) else { return Ok(()) };
        let row = self.n_rows + block.is_good.len() as u64;
        let told = rows.station().cloned().and_then(|station_id| {
            let timestamp_us = rows.timestamp_us()?;
            let label = match truth {
                Truth::Unknown => None,
                Truth::InRows => rows.label()?,
                Truth::InFile(labels) => labels.of(row, &station_id, timestamp_us),
            };
            Ok(Told { row, station_id, timestamp_us, label })
        });
        match told {
            Ok(told) => {
                block.told.push(told);
                Ok(())
            }
            Err(bad_row) => {
                let n_features = self.detector.schema().len();
                block.values.truncate(block.values.len() - n_features);
                Err(bad_row)
            }
        }
    }

    /// Returns the baseline for the row that was read last.
    fn baseline(&mut self) -> StationBaseline {
        if !self.detector.has_baselines() {
            return self.detector.baseline_of_fleet();
        }
        self.detector.baseline_of(self.rows.station())
    }

    /// Returns the cells of the row that was read last.
    fn cells(&self, block: &Block) -> csv::ByteRecord {
        match &self.rows {
            // A bad row may have another width.
            Rows::Table(rows) => {
                let cells = rows.record().iter().chain(std::iter::repeat(&b""[..]));
                cells.take(rows.columns().len()).collect()
            }
            Rows::Matrix(_) if block.is_good.last() == Some(&true) => {
                let row = &block.values[block.values.len() - self.detector.schema().len()..];
                row.iter().map(f64::to_string).collect()
            }
            Rows::Matrix(_) => self.detector.schema().features().iter().map(|_| "").collect(),
        }
    }
}
