//! The layout of a text: where its table begins, and what separates its cells.
//!
//! It is recognised from the first rows, parsed with each separator that could be meant, and not from the first line: names have
//! separators in quotes, and loggers write lines of their own before the header.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::number::{self, DecimalMark};
use crate::time::{TimeFormat, TimeTrouble};

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows of the text that are looked at.
const ROWS_MAX: usize = 300;
/// Rows before the header.
const PREAMBLE_MAX: usize = 100;
/// Rows between the header and the first values: units, and how a logger has reduced them.
const UNITS_ROWS_MAX: usize = 2;
/// Of the rows behind the header, the part that has to have as many cells.
const LIKE_HEADER: f64 = 0.8;

/// The layout of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) delimiter: u8,
    pub(crate) decimal: DecimalMark,
    pub(crate) comment: Option<u8>,
    /// The names of the columns.
    pub(crate) names: Vec<String>,
    /// Lines before the first row of values.
    pub(crate) n_lines_before: u64,
    /// Rows before the header, without comments, and rows of units behind it.
    pub(crate) n_preamble: usize,
    pub(crate) n_units_rows: usize,
}

/// The cells of the first rows of values.
#[derive(Debug, Clone, Default)]
pub(crate) struct SampleCells {
    rows: Vec<Vec<String>>,
    decimal: Option<DecimalMark>,
}

/// What a user says of a layout.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LayoutWish {
    pub(crate) delimiter: Option<u8>,
    pub(crate) decimal: Option<DecimalMark>,
    /// `true` if the first row has names, whatever they are; `false` if there is no header.
    pub(crate) has_header: Option<bool>,
}

/// The reason why no layout is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LayoutTrouble {
    /// There is no row.
    Empty,
    /// The first row has nothing but values.
    NoHeader { first: Vec<String> },
}

/// A row of the beginning.
struct SampleRow {
    cells: Vec<String>,
    /// The line after it, from 1.
    next_line: u64,
}

/// The rows of the beginning, for one separator.
struct Sample {
    delimiter: u8,
    rows: Vec<SampleRow>,
    /// The row of the header.
    header: usize,
    /// The number of columns.
    width: usize,
    /// `true` if nearly all rows behind the header have as many cells.
    is_table: bool,
}

impl Layout {
    /// Recognises the layout of a text from its beginning; `is_whole` says that there is no more of it.
    pub(crate) fn of(
        start: &[u8],
        is_whole: bool,
        wish: LayoutWish,
    ) -> Result<(Self, SampleCells), LayoutTrouble> {
        let declared = start.strip_prefix(b"sep=").and_then(|rest| rest.first()).copied();
        let comment = start.starts_with(b"#").then_some(b'#');
        let wanted = wish.delimiter.or(declared.filter(|byte| SEPARATORS.contains(byte)));
        let separators = wanted.as_ref().map_or(&SEPARATORS[..], std::slice::from_ref);
        let samples = separators.iter().filter_map(|&delimiter| {
            let n_declared = usize::from(declared.is_some());
            Sample::read(start, is_whole, delimiter, comment, n_declared)
        });
        // The separator that makes most columns of rows that are like their header, and leaves out the least before it.
        let rank = |sample: &Sample| (sample.is_table, Reverse(sample.header), sample.width);
        let best = samples.reduce(|best, next| if rank(&next) > rank(&best) { next } else { best });
        best.ok_or(LayoutTrouble::Empty)?.into_layout(comment, start, wish)
    }
}

impl Layout {
    /// Returns the layout of something that has columns of these names, and no text.
    pub(crate) fn of_names(names: Vec<String>) -> Self {
        Self {
            delimiter: b',',
            decimal: DecimalMark::Point,
            comment: None,
            names,
            n_lines_before: 0,
            n_preamble: 0,
            n_units_rows: 0,
        }
    }
}

impl Sample {
    fn read(
        start: &[u8],
        is_whole: bool,
        delimiter: u8,
        comment: Option<u8>,
        n_skipped: usize,
    ) -> Option<Self> {
        let mut builder = csv::ReaderBuilder::new();
        builder.delimiter(delimiter).comment(comment).flexible(true).has_headers(false);
        let mut reader = builder.from_reader(start);
        let mut rows = Vec::new();
        let mut record = csv::ByteRecord::new();
        while rows.len() < ROWS_MAX && reader.read_byte_record(&mut record).unwrap_or(false) {
            let cell = |cell| String::from(String::from_utf8_lossy(cell).trim());
            let next_line = reader.position().line();
            rows.push(SampleRow { cells: record.iter().map(cell).collect(), next_line });
        }
        if !is_whole && rows.len() < ROWS_MAX && rows.len() > 1 {
            // The last one is cut off.
            rows.pop();
        }
        let is_toa5 = rows.first().is_some_and(|row| row.cells[0] == "TOA5");
        let first = n_skipped.max(usize::from(is_toa5)).min(rows.len());
        let usual = usual_len(&rows[first..])?;
        // Firmware writes a separator behind the last cell of every row, and not always of the header.
        let of_usual = rows[first..].iter().skip(1).filter(|row| row.cells.len() == usual);
        let has_empty_end = usual > 1
            && of_usual.clone().count() > 0
            && of_usual.clone().all(SampleRow::has_empty_end);
        let is_header = |row: &SampleRow| {
            let len = row.cells.len();
            len == usual || has_empty_end && len + 1 == usual
        };
        let last = rows.len().min(first + PREAMBLE_MAX);
        let header = (first..last).find(|&index| is_header(&rows[index]))?;
        let is_empty =
            |row: &SampleRow| has_empty_end && row.cells.len() == usual && row.has_empty_end();
        let width = rows[header].cells.len() - usize::from(is_empty(&rows[header]));
        let behind = &rows[header + 1..];
        let n_like = behind.iter().filter(|row| row.cells.len() == usual).count();
        let is_behind_others = header > first && rows[header].has_only_values(DecimalMark::Point);
        let is_table =
            width > 1 && !is_behind_others && n_like as f64 >= LIKE_HEADER * behind.len() as f64;
        Some(Self { delimiter, rows, header, width, is_table })
    }

    fn into_layout(
        self,
        comment: Option<u8>,
        start: &[u8],
        wish: LayoutWish,
    ) -> Result<(Layout, SampleCells), LayoutTrouble> {
        let width = self.width;
        let behind = &self.rows[self.header + 1..];
        let cells = || behind.iter().flat_map(|row| &row.cells).map(String::as_str);
        let decimal = wish.decimal.unwrap_or_else(|| DecimalMark::of(cells(), self.delimiter));
        let header = &self.rows[self.header];
        // A line break in a name, as above a unit, is a space.
        let name = |cell: &String| cell.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut names: Vec<String> = header.cells[..width].iter().map(name).collect();
        let mut n_lines_before = header.next_line - 1;
        let mut n_units_rows = 0;
        let is_nameless = match wish.has_header {
            Some(has_header) => !has_header,
            None if !header.has_only_values(decimal) || is_counted(&names) => false,
            None => match names_in_comment(start, self.delimiter, header.next_line, width) {
                Some(found) => {
                    names = found;
                    n_lines_before = self.line_of_header() - 1;
                    false
                }
                None => return Err(LayoutTrouble::NoHeader { first: names }),
            },
        };
        if is_nameless {
            names = (1..=width).map(|number| format!("column_{number}")).collect();
            n_lines_before = self.line_of_header() - 1;
        } else if let Some((before, rows)) = behind.split_at_checked(UNITS_ROWS_MAX)
            && !rows.is_empty()
        {
            n_units_rows = before.iter().take_while(|row| row.is_of_units(rows, decimal)).count();
            if n_units_rows > 0 {
                n_lines_before = behind[n_units_rows - 1].next_line - 1;
            }
        }
        let layout = Layout {
            delimiter: self.delimiter,
            decimal,
            comment,
            names,
            n_lines_before,
            n_preamble: self.header,
            n_units_rows,
        };
        let is_of_values = |row: &SampleRow| row.next_line > n_lines_before + 1;
        let rows = self.rows.into_iter().filter(is_of_values).map(|row| row.cells);
        Ok((layout, SampleCells { rows: rows.collect(), decimal: Some(decimal) }))
    }

    /// Returns the line that the header begins on, or one before it that is blank.
    fn line_of_header(&self) -> u64 {
        self.header.checked_sub(1).map_or(1, |before| self.rows[before].next_line)
    }
}

impl SampleRow {
    fn has_empty_end(&self) -> bool {
        self.cells.last().is_some_and(String::is_empty)
    }

    /// Returns `true` if it has texts where most of the rows behind it have values.
    fn is_of_units(&self, behind: &[Self], decimal: DecimalMark) -> bool {
        let is_present = |cell: &str| !number::is_missing(cell);
        let mut texts =
            self.cells.iter().enumerate().filter(|(_, cell)| is_present(cell)).peekable();
        texts.peek().is_some()
            && texts.all(|(index, cell)| {
                let cells = behind.iter().filter_map(|row| row.cells.get(index));
                let present = cells.filter(|cell| is_present(cell));
                let n_values = present.clone().filter(|cell| is_value(cell, decimal)).count();
                !is_value(cell, decimal) && 2 * n_values > present.count()
            })
    }

    fn has_only_values(&self, decimal: DecimalMark) -> bool {
        let has_number = self.cells.iter().any(|cell| decimal.read(cell).is_some());
        has_number
            && self.cells.iter().all(|cell| number::is_missing(cell) || is_value(cell, decimal))
    }
}

impl SampleCells {
    /// Returns what some columns hold together in each row where they hold something.
    pub(crate) fn texts_of(&self, columns: &[usize]) -> Vec<String> {
        let text = |row: &Vec<String>| {
            let cells = columns.iter().map(|&column| row.get(column).map(String::as_str));
            let cells: Option<Vec<&str>> = cells.collect();
            let is_present = |cells: &Vec<&str>| !cells.iter().any(|cell| number::is_missing(cell));
            cells.filter(is_present).map(|cells| cells.join(" "))
        };
        self.rows.iter().filter_map(text).collect()
    }

    /// Returns the first of some columns that holds dates, and no numbers.
    pub(crate) fn column_of_dates(
        &self,
        mut columns: impl Iterator<Item = usize>,
    ) -> Option<usize> {
        let holds_dates = |&column: &usize| {
            let texts = self.texts_of(&[column]);
            let is_number = |text: &String| text.parse::<f64>().is_ok();
            let is_understood = !matches!(TimeFormat::of(&texts), Err(TimeTrouble::Unknown { .. }));
            !texts.is_empty() && is_understood && !texts.iter().any(is_number)
        };
        columns.find(holds_dates)
    }

    /// Returns `true` if most of what a column holds is a number.
    pub(crate) fn is_of_numbers(&self, column: usize) -> bool {
        let Some(decimal) = self.decimal else { return false };
        let texts = self.texts_of(&[column]);
        let n_numbers = texts.iter().filter(|text| decimal.read(text).is_some()).count();
        2 * n_numbers > texts.len()
    }

    /// Returns `true` if a column holds a few words again and again.
    pub(crate) fn repeats_words(&self, column: usize) -> bool {
        let texts = self.texts_of(&[column]);
        let distinct: BTreeSet<&String> = texts.iter().collect();
        distinct.len() > 1 && 2 * distinct.len() <= texts.len() && !self.is_of_numbers(column)
    }

    /// Returns `true` if a column holds times of a day, without the day.
    pub(crate) fn is_time_of_day(&self, column: usize) -> bool {
        let texts = self.texts_of(&[column]);
        let is_understood =
            |day: &str, text: &String| TimeFormat::of(&[format!("{day}{text}")]).is_ok();
        !texts.is_empty()
            && texts
                .iter()
                .all(|text| is_understood("2026-12-31 ", text) && !is_understood("", text))
    }
}

fn is_value(cell: &str, decimal: DecimalMark) -> bool {
    decimal.read(cell).is_some() || TimeFormat::of(&[String::from(cell)]).is_ok()
}

/// Returns `true` for names such as `0`, `1`, `2`, which data frames give.
fn is_counted(names: &[String]) -> bool {
    let begins_at = |begin: usize| {
        let mut numbers = names.iter().filter(|name| !name.is_empty()).zip(begin..);
        numbers.all(|(name, number)| *name == number.to_string())
    };
    names.len() > 1 && (begins_at(0) || begins_at(1))
}

/// Returns the number of cells that most rows have; of numbers that are as frequent, the largest.
fn usual_len(rows: &[SampleRow]) -> Option<usize> {
    let mut lens: Vec<usize> = rows.iter().map(|row| row.cells.len()).collect();
    lens.sort_unstable();
    lens.chunk_by(|a, b| a == b).max_by_key(|same| same.len()).map(|same| same[0])
}

/// Returns the names in the last comment before a line, if there are as many as columns.
fn names_in_comment(start: &[u8], delimiter: u8, line: u64, width: usize) -> Option<Vec<String>> {
    let lines = start.split(|&byte| byte == b'\n').take(usize::try_from(line).ok()?);
    let comment = lines.filter_map(|line| line.strip_prefix(b"#")).last()?;
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(comment);
    let record = reader.byte_records().next()?.ok()?;
    let name = |cell| String::from(String::from_utf8_lossy(cell).trim());
    (record.len() == width).then(|| record.iter().map(name).collect())
}
