//! The names of stations, as a recording writes them and as they can be.

use std::collections::BTreeMap;
use std::path::Path;

use sensor::StationId;

use crate::columns::Role;
use crate::error::{CellFault, CellFaultKind};
use crate::row::Row;

/// The stations of a recording so far.
#[derive(Debug)]
pub(crate) struct Stations {
    /// The station of all rows where they name none.
    of_file: StationId,
    /// The name of the row before, as it is written and as it is: rows of one station come together.
    last: Option<(Box<str>, StationId)>,
    /// Each name, and how it is written.
    known: BTreeMap<StationId, Box<str>>,
}

impl Stations {
    /// Begins with the name of a file, as far as a station can be called so.
    pub(crate) fn of_file(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let stem = name.split('.').next().unwrap_or_default();
        let of_file = StationId::parse(&safe(stem))
            .unwrap_or_else(|_| StationId::parse("recording").expect("letters only"));
        Self { of_file, last: None, known: BTreeMap::new() }
    }

    /// Returns the station of a row, which is that of the file where rows name none. What stations cannot have in their names
    /// becomes `_`; two that would then be one are a fault.
    pub(crate) fn of_row(&mut self, row: &Row<'_>) -> Result<&StationId, CellFault> {
        let Some((column, text)) = row.of_role(Role::StationId)? else { return Ok(&self.of_file) };
        if self.last.as_ref().is_none_or(|(last, _)| **last != *text) {
            let station_id = self.named(text).map_err(|kind| row.fault(column, kind))?;
            self.last = Some((text.into(), station_id));
        }
        Ok(self.last.as_ref().map_or(&self.of_file, |(_, station_id)| station_id))
    }

    /// Returns the station of rows that name none.
    pub(crate) fn of_file_itself(&self) -> &StationId {
        &self.of_file
    }

    /// Returns the station that the file names.
    pub(crate) fn into_of_file(self) -> StationId {
        self.of_file
    }

    fn named(&mut self, text: &str) -> Result<StationId, CellFaultKind> {
        let station_id = StationId::parse(text).or_else(|kind| {
            StationId::parse(&safe(text)).map_err(|_| CellFaultKind::StationId(kind))
        })?;
        let written = self.known.entry(station_id.clone()).or_insert_with(|| text.into());
        if **written == *text {
            return Ok(station_id);
        }
        let (text, other) = (String::from(text), String::from(&**written));
        Err(CellFaultKind::SameStation { text, other, station_id })
    }
}

/// Returns a name with `_` for what stations cannot have in theirs.
fn safe(name: &str) -> String {
    let safe = |character: char| {
        let is_allowed = character.is_ascii_alphanumeric() || ".:-".contains(character);
        if is_allowed { character } else { '_' }
    };
    let safe: String = name.chars().map(safe).take(StationId::LEN_MAX).collect();
    String::from(safe.trim_start_matches('_'))
}
