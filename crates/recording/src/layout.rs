//! The layout of a text: where its table begins, and what separates its cells.
//!
//! It is recognised from the first rows, parsed with each separator that could be meant, and not from the first line: names have
//! separators in quotes, and loggers write lines of their own before the header.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use crate::columns;
use crate::number::{self, DecimalMark, Marks};
use crate::time::{self, TimeFormat, TimeTrouble};

const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Rows of the text that are looked at.
const ROWS_MAX: usize = 300;
/// Of the rows of values, the part that has to have as many cells as most.
const LIKE_HEADER: f64 = 0.8;

/// The layout of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) delimiter: u8,
    pub(crate) decimal: DecimalMark,
    pub(crate) comment: Option<u8>,
    /// Lines before the first row of values.
    pub(crate) n_lines_before: u64,
    /// Rows before the header, without comments.
    pub(crate) n_preamble: usize,
    /// The rows between the header and the first values, such as units.
    pub(crate) between: Vec<String>,
}

/// The names of the columns, and the cells of the first rows of values.
#[derive(Debug, Clone)]
pub(crate) struct SampleCells {
    pub(crate) names: Vec<String>,
    rows: Vec<Vec<String>>,
    decimal: Option<DecimalMark>,
}

/// The wishes of a user about a layout.
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
    /// The first row has values.
    NoHeader { first: Vec<String> },
    /// A number may have decimals or thousands.
    DecimalMark { example: String },
}

/// A row of the beginning.
struct SampleRow {
    cells: Vec<String>,
    /// The line after it, from 1.
    next_line: u64,
}

/// The content of a row, in the columns that mostly have values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowKind {
    /// Words, such as names or units.
    Words,
    /// Values, or nothing.
    Values,
}

/// The rows of the beginning, for one separator.
struct Sample {
    delimiter: u8,
    decimal: DecimalMark,
    /// A number of which that is not clear.
    unclear: Option<String>,
    rows: Vec<SampleRow>,
    /// The number of cells that most rows have.
    usual: usize,
    /// `true` if the last of them is empty in all rows of values.
    has_empty_end: bool,
    /// The row of the header; `None` if the first row of the table has values.
    header: Option<usize>,
    /// The first row that may be of the table.
    first: usize,
    /// The first row of values.
    values: usize,
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
            let rows = rows(start, is_whole, delimiter, comment);
            Sample::new(rows, usize::from(declared.is_some()), delimiter, wish)
        });
        let best = samples.reduce(|best, next| if next.rank() > best.rank() { next } else { best });
        best.ok_or(LayoutTrouble::Empty)?.into_layout(comment, start, wish)
    }

    /// Returns a layout for what has no text.
    pub(crate) fn plain() -> Self {
        Self {
            delimiter: b',',
            decimal: DecimalMark::Point,
            comment: None,
            n_lines_before: 0,
            n_preamble: 0,
            between: Vec::new(),
        }
    }
}

/// Returns the first rows of a text.
fn rows(start: &[u8], is_whole: bool, delimiter: u8, comment: Option<u8>) -> Vec<SampleRow> {
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
    rows
}

impl Sample {
    fn new(
        rows: Vec<SampleRow>,
        n_skipped: usize,
        delimiter: u8,
        wish: LayoutWish,
    ) -> Option<Self> {
        let first = n_skipped.min(rows.len());
        let usual = usual_len(&rows[first..])?;
        let of_table = || rows[first..].iter().filter(|row| row.cells.len() == usual);
        let cells = || of_table().flat_map(|row| &row.cells).map(String::as_str);
        let marks = Marks::of(cells(), delimiter, wish.decimal);
        // Where no other number tells, a column that has points exactly from a thousand on has them between thousands.
        let may_have_thousands = !marks.is_clear && delimiter != b',';
        let of_column =
            |column: usize| of_table().map(move |row: &SampleRow| row.cells[column].as_str());
        let of_thousands = (0..usual)
            .filter(|_| may_have_thousands)
            .find_map(|column| number::with_points_from_thousand_on(of_column(column)));
        let unclear = marks.unclear.or(of_thousands).map(String::from);
        let decimal = marks.decimal;
        let of_values = columns_of_values(&of_table().collect::<Vec<_>>(), usual, decimal);
        let is_of_table = |&index: &usize| rows[index].cells.len() == usual;
        let is_of_words = |index: &usize| rows[*index].kind(&of_values, decimal) == RowKind::Words;
        let begin = (first..rows.len()).find(is_of_table)?;
        let values = (begin..rows.len())
            .filter(is_of_table)
            .find(|index| !is_of_words(index) && !rows[*index].is_blank());
        let values = match (wish.has_header, values) {
            (Some(false), _) => begin,
            (None, Some(values)) if of_values.contains(&true) => values,
            // As it is said, or since there is nothing but words.
            _ => begin + 1,
        };
        let has_empty_end = usual > 1
            && values < rows.len()
            && rows[values..]
                .iter()
                .filter(|row| row.cells.len() == usual)
                .all(SampleRow::has_empty_end);
        // A header may lack the separator at the end of all rows, or the name of the first column, as that of the names of rows.
        let may_be_header = |&index: &usize| {
            let len = rows[index].cells.len();
            len == usual || usual > 2 && len + 1 == usual
        };
        let candidates: Vec<usize> = (first..values).filter(may_be_header).collect();
        let has_whole = candidates.iter().any(is_of_table);
        let candidates = candidates.into_iter().filter(|index| !has_whole || is_of_table(index));
        let names_a = |index: usize, is_known: fn(&str) -> bool| {
            rows[index].cells.iter().any(|cell| is_known(cell))
        };
        // A title stands alone in its row, also where a spreadsheet gives all rows as many cells.
        let is_filled = |index: usize| {
            let cells = &rows[index].cells;
            2 * cells.iter().filter(|cell| !cell.is_empty()).count() >= cells.len()
        };
        // Names that columns usually have tell the header from a title and from units.
        let rank = |index: &usize| {
            (
                names_a(*index, columns::is_time_name),
                names_a(*index, columns::is_role_name),
                is_filled(*index),
                Reverse(*index),
            )
        };
        let header = match wish.has_header {
            Some(true) => Some(begin),
            Some(false) => None,
            None => candidates.max_by_key(rank),
        };
        Some(Self {
            delimiter,
            decimal,
            unclear,
            rows,
            usual,
            has_empty_end,
            header,
            first,
            values,
        })
    }

    /// Returns the rank among separators: a table, in which most cells are values, and before which the least is left out.
    fn rank(&self) -> impl PartialOrd + use<> {
        let rows = &self.rows[self.values.min(self.rows.len())..];
        let n_like = rows.iter().filter(|row| row.cells.len() == self.usual).count();
        // Values below something else that names no columns are parts of other cells.
        let is_named = self.header.is_some() || self.values == self.first;
        let is_like = (n_like + 1) as f64 >= LIKE_HEADER * rows.len() as f64;
        let is_table = self.usual > 1 && is_named && is_like;
        let cells = || rows.iter().flat_map(|row| &row.cells);
        let n_values = cells().filter(|cell| is_value(cell, self.decimal)).count();
        let per_mille = 1_000 * n_values / cells().count().max(1);
        (is_table, self.header.is_some(), per_mille, Reverse(self.header), self.usual)
    }

    fn into_layout(
        self,
        comment: Option<u8>,
        start: &[u8],
        wish: LayoutWish,
    ) -> Result<(Layout, SampleCells), LayoutTrouble> {
        if let Some(example) = self.unclear {
            return Err(LayoutTrouble::DecimalMark { example });
        }
        let n_lines_before =
            self.values.checked_sub(1).map_or(0, |last| self.rows[last].next_line - 1);
        // A column that is empty so far has a name all the same.
        let names_all = self.header.is_some_and(|header| {
            let header = &self.rows[header];
            header.cells.len() == self.usual && !header.has_empty_end()
        });
        let width = self.usual - usize::from(self.has_empty_end && !names_all);
        let first = &self.rows[self.values.min(self.rows.len() - 1)].cells;
        let names = match self.header {
            Some(header) => self.rows[header].names(self.usual, width),
            None if wish.has_header == Some(false) => {
                (1..=width).map(|number| format!("column_{number}")).collect()
            }
            None => {
                let line = self.rows[self.values].next_line;
                let in_comment = names_in_comment(start, self.delimiter, line, width);
                in_comment.ok_or_else(|| LayoutTrouble::NoHeader { first: first.clone() })?
            }
        };
        let between = self.header.map_or(&[][..], |header| &self.rows[header + 1..self.values]);
        let between = between.iter().filter(|row| !row.is_blank());
        let layout = Layout {
            delimiter: self.delimiter,
            decimal: self.decimal,
            comment,
            n_lines_before,
            n_preamble: self.header.unwrap_or(self.values),
            between: between.map(|row| row.cells.join(", ")).collect(),
        };
        let rows = self.rows.into_iter().skip(self.values).map(|row| row.cells);
        Ok((layout, SampleCells { names, rows: rows.collect(), decimal: Some(self.decimal) }))
    }
}

impl SampleRow {
    /// Returns `true` for a row of which nothing is written in any cell.
    fn is_blank(&self) -> bool {
        self.cells.iter().all(String::is_empty)
    }

    fn has_empty_end(&self) -> bool {
        self.cells.last().is_some_and(String::is_empty)
    }

    /// Looks at the cells of the columns that mostly have values.
    fn kind(&self, of_values: &[bool], decimal: DecimalMark) -> RowKind {
        let cells = self.cells.iter().zip(of_values).filter(|(_, of_values)| **of_values);
        let mut present =
            cells.map(|(cell, _)| cell).filter(|cell| !number::is_missing(cell)).peekable();
        let has_words = present.peek().is_some() && !present.any(|cell| is_value(cell, decimal));
        if has_words { RowKind::Words } else { RowKind::Values }
    }

    /// Returns the names of so many columns, of rows with `usual` cells.
    fn names(&self, usual: usize, width: usize) -> Vec<String> {
        // A line break in a name, as above a unit, is a space.
        let name = |cell: &String| cell.split_whitespace().collect::<Vec<_>>().join(" ");
        let lacks_first = self.cells.len() < usual && width == usual;
        let first = lacks_first.then(String::new);
        first.into_iter().chain(self.cells.iter().map(name)).take(width).collect()
    }
}

impl SampleCells {
    /// Returns names without any cells.
    pub(crate) fn of_names(names: Vec<String>) -> Self {
        Self { names, rows: Vec::new(), decimal: None }
    }

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
            let differ = texts.iter().any(|text| *text != texts[0]) || texts.len() == 1;
            let of_dates = match TimeFormat::of(&texts) {
                Ok(format) => matches!(format, TimeFormat::Written(_) | TimeFormat::Undecided(..)),
                Err(trouble) => matches!(trouble, TimeTrouble::Ambiguous { .. }),
            };
            differ && of_dates
        };
        columns.find(holds_dates)
    }

    /// Returns `true` if a column holds times.
    pub(crate) fn holds_times(&self, column: usize) -> bool {
        let format = TimeFormat::of(&self.texts_of(&[column]));
        matches!(format, Ok(format) if !matches!(format, TimeFormat::Elapsed))
    }

    /// Returns `true` if most of what a column holds is a number.
    pub(crate) fn is_of_numbers(&self, column: usize) -> bool {
        let Some(decimal) = self.decimal else { return false };
        let texts = self.texts_of(&[column]);
        let n_numbers = texts.iter().filter(|text| decimal.read(text).is_some()).count();
        2 * n_numbers > texts.len()
    }

    /// Returns `true` if a column holds words.
    pub(crate) fn holds_words(&self, column: usize) -> bool {
        !self.texts_of(&[column]).is_empty() && !self.is_of_numbers(column)
    }

    /// Returns `true` if a column holds a few words again and again.
    pub(crate) fn repeats_words(&self, column: usize) -> bool {
        let texts = self.texts_of(&[column]);
        let distinct: BTreeSet<&String> = texts.iter().collect();
        distinct.len() > 1 && 2 * distinct.len() <= texts.len() && !self.is_of_numbers(column)
    }

    /// Returns `true` if a column holds decimals, which name nothing.
    pub(crate) fn has_decimals(&self, column: usize) -> bool {
        let Some(decimal) = self.decimal else { return false };
        let texts = self.texts_of(&[column]);
        let is_broken =
            |text: &String| decimal.read(text).is_some_and(|number| number.fract() != 0.0);
        2 * texts.iter().filter(|text| is_broken(text)).count() > texts.len()
    }

    /// Returns `true` if a column holds times of a day, without the day.
    pub(crate) fn is_time_of_day(&self, column: usize) -> bool {
        let texts = self.texts_of(&[column]);
        !texts.is_empty() && texts.iter().all(|text| time::is_time_of_day(text))
    }
}

fn is_value(cell: &str, decimal: DecimalMark) -> bool {
    decimal.read(cell).is_some() || time::may_be_time(cell)
}

/// Returns for each column whether it mostly has values, below all that stands before them.
fn columns_of_values(rows: &[&SampleRow], n_columns: usize, decimal: DecimalMark) -> Vec<bool> {
    let has_values = |column: usize| {
        let cells = rows[rows.len() / 2..].iter().map(|row| &row.cells[column]);
        let present: Vec<&String> = cells.filter(|cell| !number::is_missing(cell)).collect();
        let n_values = present.iter().filter(|cell| is_value(cell, decimal)).count();
        n_values > 0 && 2 * n_values >= present.len()
    };
    (0..n_columns).map(has_values).collect()
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
