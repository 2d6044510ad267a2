//! Workbooks of spreadsheet programs.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use calamine::{Data, Ods, Range, Reader, Sheets, Xls, Xlsb, Xlsx, XlsxError};

use super::{Kind, unusable};

/// A sheet of more places for cells may have few cells that lie far apart.
const PLACES_MANY: u64 = 20_000_000;
/// Tables have a cell in one of so many places.
const PLACES_PER_CELL: u64 = 20;
/// Times within the first day of the calendar are those of a clock, without a day.
const FIRST_DAY: f64 = 1.0;

/// Writes the cells of a sheet, and tells which it is.
pub(super) fn write_csv(
    path: &Path,
    kind: Kind,
    wanted: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<String> {
    let mut workbook = open(path, kind)?;
    let (name, cells) = sheet(&mut workbook, wanted)?;
    // Rows keep their numbers.
    let (first_row, _) = cells.start().unwrap_or_default();
    for _ in 0..first_row {
        out.write_all(b"\n")?;
    }
    let mut writer = csv::Writer::from_writer(out);
    for row in cells.rows() {
        writer.write_record(row.iter().map(text))?;
    }
    writer.flush()?;
    Ok(format!("sheet `{name}` of a workbook"))
}

fn open(path: &Path, kind: Kind) -> io::Result<Sheets<BufReader<File>>> {
    let file = || File::open(path).map(BufReader::new);
    if kind == Kind::OldWorkbook {
        return Xls::new(file()?).map(Sheets::Xls).map_err(|error| {
            unusable(&format!(
                "it is an old Excel workbook, or one with a password, which cannot be read: {error}"
            ))
        });
    }
    match Xlsx::new(file()?) {
        Ok(workbook) => return Ok(Sheets::Xlsx(workbook)),
        Err(XlsxError::Password) => {
            return Err(unusable("it is a workbook with a password; save it without one"));
        }
        Err(_) => {}
    }
    let binary = || Xlsb::new(file()?).map(Sheets::Xlsb).map_err(io::Error::other);
    let open = || Ods::new(file()?).map(Sheets::Ods).map_err(io::Error::other);
    binary().or_else(|_| open()).map_err(|_| {
        unusable("it is a ZIP archive, and no workbook that can be read; unpack it, or save the table as CSV")
    })
}

/// Returns the sheet of this name, or the only one that has cells.
fn sheet(
    workbook: &mut Sheets<BufReader<File>>,
    wanted: Option<&str>,
) -> io::Result<(String, Range<Data>)> {
    let names = workbook.sheet_names();
    let mut read = |name: &String| {
        check_extent(workbook, name)?;
        let cells = workbook.worksheet_range(name).map_err(|error| unusable(&error.to_string()))?;
        Ok::<_, io::Error>((name.clone(), cells))
    };
    let quoted = |names: &[&String]| {
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        wording::listed(&quoted)
    };
    if let Some(wanted) = wanted {
        let found = names.iter().find(|name| *name == wanted);
        let missing = || {
            let others = quoted(&names.iter().collect::<Vec<_>>());
            unusable(&format!("it has no sheet `{wanted}`; it has {others}"))
        };
        return read(found.ok_or_else(missing)?);
    }
    let mut with_cells = Vec::new();
    for name in &names {
        let sheet = read(name)?;
        with_cells.extend((!sheet.1.is_empty()).then_some(sheet));
    }
    match with_cells.len() {
        0 => Err(unusable("it is a workbook without cells")),
        1 => Ok(with_cells.remove(0)),
        _ => {
            let names: Vec<&String> = with_cells.iter().map(|(name, _)| name).collect();
            let first = names[0];
            Err(unusable(&format!(
                "it is a workbook with several sheets: {}; say which, such as --sheet '{first}'",
                quoted(&names)
            )))
        }
    }
}

/// Fails when few cells of a sheet lie so far apart that the rows and columns between them would fill the memory.
fn check_extent(workbook: &mut Sheets<BufReader<File>>, name: &str) -> io::Result<()> {
    let Sheets::Xlsx(workbook) = workbook else { return Ok(()) };
    let broken = |error: XlsxError| unusable(&error.to_string());
    let mut cells = workbook.worksheet_cells_reader(name).map_err(broken)?;
    let (mut n_cells, mut first, mut last) = (0_u64, (u32::MAX, u32::MAX), (0, 0));
    while let Some(cell) = cells.next_cell().map_err(broken)? {
        let (row, column) = cell.get_position();
        n_cells += 1;
        first = (row.min(first.0), column.min(first.1));
        last = (row.max(last.0), column.max(last.1));
    }
    let sides = [last.0.saturating_sub(first.0), last.1.saturating_sub(first.1)];
    let n_places: u64 = sides.iter().map(|side| u64::from(*side) + 1).product();
    if n_places > PLACES_MANY && n_places > PLACES_PER_CELL * n_cells {
        return Err(unusable(&format!(
            "sheet `{name}` reaches to row {} and column {}, and hardly any cell there holds something: delete the rows or columns that do not \
             belong to the table",
            last.0 + 1,
            last.1 + 1
        )));
    }
    Ok(())
}

fn text(cell: &Data) -> String {
    match cell {
        Data::DateTime(time) if time.is_duration() || time.as_f64() < FIRST_DAY => {
            let clock = |time: chrono::NaiveDateTime| time.format("%H:%M:%S%.f").to_string();
            // A duration of days has no clock.
            let seconds = || (time.as_f64() * 86_400.0).to_string();
            let is_of_day = (0.0..FIRST_DAY).contains(&time.as_f64());
            is_of_day.then(|| time.as_datetime()).flatten().map_or_else(seconds, clock)
        }
        Data::DateTime(time) => {
            let written =
                |time: chrono::NaiveDateTime| time.format("%Y-%m-%d %H:%M:%S%.f").to_string();
            time.as_datetime().map_or_else(|| time.as_f64().to_string(), written)
        }
        cell => cell.to_string(),
    }
}
