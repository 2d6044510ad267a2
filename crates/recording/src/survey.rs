//! The columns of a recording and what they hold, in all rows.

use crate::columns::Role;
use crate::error::ReadError;
use crate::file::Recording;
use crate::layout::Layout;
use crate::profile::Profile;
use crate::time::TimeFormat;

/// Different texts that are kept of a column.
const TEXTS_KEPT: usize = 4;
/// Rows that are kept as they are written.
const ROWS_KEPT: usize = 5;
/// The most points of a course; with twice as many, neighbours become one.
const POINTS_MAX: usize = 240;

/// A look at all rows of a recording.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Number of rows.
    pub n_rows: u64,
    /// The columns in order.
    pub columns: Vec<Column>,
    /// The cells of the first rows, as they are written.
    pub first_rows: Vec<Vec<String>>,
}

/// A column and what its cells hold.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// The number of cells without a value.
    pub n_missing: u64,
    /// The numbers.
    pub numbers: Numbers,
    /// The number of cells with something else.
    pub n_texts: u64,
    /// The first different texts.
    pub texts: Vec<String>,
    /// The line of the first text.
    pub first_text_line: Option<u64>,
}

/// The numbers of a column.
#[derive(Debug, Clone, Default)]
pub struct Numbers {
    /// Their number.
    pub n: u64,
    /// The lowest.
    pub lowest: f64,
    /// The highest.
    pub highest: f64,
    sum: f64,
    /// The lowest and the highest of rows that follow each other, of as many each; `None` where there is none.
    course: Vec<Option<[f64; 2]>>,
    /// Rows of a point of the course.
    rows_per_point: u64,
    n_rows: u64,
}

impl Numbers {
    /// Returns the mean; `None` if there are no numbers.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }

    /// Returns the lowest and the highest number of parts of the file that are equally long, from its begin to its end; `None` for
    /// one without numbers.
    pub fn course(&self) -> &[Option<[f64; 2]>] {
        &self.course
    }

    fn add(&mut self, number: Option<f64>) {
        let rows_per_point = self.rows_per_point.max(1);
        if self.n_rows.is_multiple_of(rows_per_point) {
            if self.course.len() == 2 * POINTS_MAX {
                let both = |pair: &[Option<[f64; 2]>]| joined(pair[0], pair[1]);
                self.course = self.course.chunks(2).map(both).collect();
                self.rows_per_point = 2 * rows_per_point;
            }
            self.course.push(None);
        }
        self.n_rows += 1;
        let Some(number) = number else { return };
        (self.lowest, self.highest) = match self.n {
            0 => (number, number),
            _ => (self.lowest.min(number), self.highest.max(number)),
        };
        self.n += 1;
        self.sum += number;
        if let Some(last) = self.course.last_mut() {
            *last = joined(*last, Some([number; 2]));
        }
    }
}

impl Column {
    fn new(name: &str, role: Role) -> Self {
        Self {
            name: String::from(name),
            role,
            n_missing: 0,
            numbers: Numbers::default(),
            n_texts: 0,
            texts: Vec::new(),
            first_text_line: None,
        }
    }

    fn add_text(&mut self, text: &str, line: u64) {
        self.n_texts += 1;
        self.first_text_line.get_or_insert(line);
        if self.texts.len() < TEXTS_KEPT && self.texts.iter().all(|known| known != text) {
            self.texts.push(String::from(text));
        }
    }
}

impl Recording {
    /// Reads all rows, and tells of each column what it holds.
    ///
    /// # Errors
    ///
    /// Fails when the file cannot be read.
    pub fn survey(&self) -> Result<Survey, ReadError> {
        let names = self.columns().names().iter().enumerate();
        let columns = names.map(|(index, name)| Column::new(name, self.columns().used_as(index)));
        let mut survey = Survey { n_rows: 0, columns: columns.collect(), first_rows: Vec::new() };
        let mut rows = self.reader()?;
        let mut record = csv::ByteRecord::new();
        while rows.read(&mut record).map_err(|error| self.read_error(error))? {
            survey.n_rows += 1;
            let line = rows.line(&record);
            if survey.first_rows.len() < ROWS_KEPT {
                let cell = |cell| String::from_utf8_lossy(cell).into_owned();
                survey.first_rows.push(record.iter().map(cell).collect());
            }
            for (index, column) in survey.columns.iter_mut().enumerate() {
                // A row that is cut off is bad, and has no cell that would mean no value.
                let Some(cell) = record.get(index) else { continue };
                let cell = String::from_utf8_lossy(cell);
                let cell = cell.trim();
                let number = self.decimal().read(cell).filter(|_| !self.is_missing(cell));
                column.numbers.add(number);
                match number {
                    Some(_) => {}
                    None if self.is_missing(cell) => column.n_missing += 1,
                    None => column.add_text(cell, line),
                }
            }
        }
        Ok(survey)
    }

    /// Returns the profile that says what was recognised by the content of this file, so that others of its kind are read in the
    /// same way: `given` and the rest. Columns that are known by their names are not in it, since others may lack them.
    pub fn profile(&self, given: &Profile) -> Profile {
        if !given.long.is_empty() {
            // The table that was made says nothing of the file.
            return given.clone();
        }
        let Layout { delimiter, decimal, .. } = *self.layout();
        let encoding = Some(self.encoding()).filter(|encoding| *encoding != encoding_rs::UTF_8);
        let time_column = match given.time_column.as_slice() {
            [] => {
                let time = self.columns().time().iter();
                time.map(|&column| self.columns().names()[column].clone()).collect()
            }
            given => given.to_vec(),
        };
        let known = self.columns().time_format().and_then(|format| format.as_ref().ok());
        let known = known.filter(|format| !matches!(format, TimeFormat::Undecided(..)));
        Profile {
            encoding: given.encoding.or(encoding),
            separator: given.separator.or(self.is_text().then_some(delimiter)),
            decimal: given.decimal.or(self.is_text().then_some(decimal)),
            time_column,
            time_format: given.time_format.clone().or_else(|| known.cloned()),
            ..given.clone()
        }
    }
}

fn joined(a: Option<[f64; 2]>, b: Option<[f64; 2]>) -> Option<[f64; 2]> {
    match (a, b) {
        (Some([low, high]), Some([other_low, other_high])) => {
            Some([low.min(other_low), high.max(other_high)])
        }
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_stays_short_and_loses_no_peak() {
        let mut numbers = Numbers::default();
        for row in 0..10_000_u32 {
            let number = if row == 7_777 { 99.0 } else { f64::from(row % 10) };
            numbers.add((!(2_000..4_000).contains(&row)).then_some(number));
        }
        assert_eq!((numbers.n, numbers.lowest, numbers.highest), (8_000, 0.0, 99.0));
        let course = numbers.course();
        assert!(course.len() > POINTS_MAX && course.len() <= 2 * POINTS_MAX, "{}", course.len());
        let peak = course.iter().position(|point| point.is_some_and(|[_, high]| high == 99.0));
        assert_eq!(peak, Some(7_777 * course.len() / 10_000));
        assert_eq!(course[course.len() * 3 / 10], None);
    }
}
