//! The roles of a file's columns: as a user says, else recognised by their names and what they hold.

use crate::layout::SampleCells;
use crate::profile::Profile;
use crate::time::{DateOrder, TimeFormat, TimeTrouble};

/// The role of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The time, or a part of it.
    Timestamp,
    /// The sequence number.
    Sequence,
    /// The name of the station.
    StationId,
    /// The truth, for judging a detector and never for teaching it.
    Label,
    /// A column without a name, such as the row numbers that a data frame writes, and one that a user leaves out.
    Unused,
    /// A value.
    Feature,
}

/// Names by which columns are recognised, those that say it best first.
const ROLES: [(Role, &[&str]); 4] = [
    (
        Role::Timestamp,
        &[
            "timestamp",
            "datetime",
            "date_time",
            "time",
            "date",
            "ts",
            "zeitstempel",
            "zeit",
            "datum",
        ],
    ),
    (Role::Sequence, &["sequence", "seq", "sequence_number", "row_number"]),
    (
        Role::StationId,
        &[
            "station_id",
            "station",
            "device_id",
            "machine_id",
            "sensor_id",
            "asset_id",
            "equipment_id",
            "entity_id",
            "device",
            "machine",
            "asset",
            "equipment",
            "host",
            "hostname",
            "maschine",
            "anlage",
        ],
    ),
    (
        Role::Label,
        &[
            "label",
            "anomaly",
            "is_anomaly",
            "outlier",
            "is_outlier",
            "changepoint",
            "fault",
            "is_fault",
        ],
    ),
];

/// Names of columns that have the date and the time of the day apart.
const APART: [(&str, &str); 3] = [("date", "time"), ("datum", "zeit"), ("datum", "uhrzeit")];

/// Names of columns that name the quantity of a row, of its value, and of what else is a word beside it.
const TAGS: [&str; 25] = [
    "tag",
    "tag_name",
    "tag_path",
    "tag_id",
    "variable",
    "variable_name",
    "var_name",
    "metric",
    "parameter",
    "parameter_name",
    "name",
    "point",
    "point_name",
    "channel",
    "channel_name",
    "signal",
    "signal_name",
    "item",
    "measurement",
    "field",
    "sensor",
    "sensor_name",
    "quantity",
    "messstelle",
    "kanal",
];
const VALUES: [&str; 8] =
    ["value", "val", "reading", "var_value", "data_value", "wert", "messwert", "valeur"];
const REMARKS: [&str; 9] =
    ["quality", "status", "state", "flag", "validity", "unit", "comment", "note", "remark"];

/// The columns of a file by what they hold.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    /// The first cell of each column that holds something; empty where there is none.
    examples: Vec<String>,
    roles: Vec<Role>,
    /// The columns that together are the time: none, one, or two.
    time: Vec<usize>,
    time_format: Option<Result<TimeFormat, TimeTrouble>>,
    sequence: Option<usize>,
    station: Option<usize>,
    label: Option<usize>,
    long: Option<Long>,
}

/// The columns of a table that holds one value in each row, of something that the row names.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Long {
    /// The columns of the name and of the value.
    pub(crate) columns: [usize; 2],
    /// `false` if the names of the first rows do not show whether they come again.
    pub(crate) is_sure: bool,
}

impl Role {
    /// Returns its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "time",
            Self::Sequence => "sequence number",
            Self::StationId => "station",
            Self::Label => "label",
            Self::Unused => "not used",
            Self::Feature => "feature",
        }
    }
}

impl Columns {
    /// Gives each column a role.
    ///
    /// # Errors
    ///
    /// Fails with the name of a column that a user names and that does not exist.
    pub(crate) fn new(sample: &SampleCells, profile: &Profile) -> Result<Self, String> {
        let names = sample.names.clone();
        let mut roles: Vec<Role> = names.iter().map(|name| role(name)).collect();
        let position = |name: &String| {
            let found = names.iter().position(|column| column == name);
            found.ok_or_else(|| name.clone())
        };
        for name in &profile.ignore {
            position(name)?;
            for (column, role) in names.iter().zip(&mut roles) {
                if column == name {
                    *role = Role::Unused;
                }
            }
        }
        // A name alone does not make a number with decimals a station.
        for (index, role) in roles.iter_mut().enumerate() {
            if *role == Role::StationId && sample.has_decimals(index) {
                *role = Role::Feature;
            }
        }
        let mut told = |role: Role, wish: &[String]| -> Result<Option<Vec<usize>>, String> {
            if wish.is_empty() {
                return Ok(None);
            }
            for other in roles.iter_mut().filter(|other| **other == role) {
                *other = Role::Unused;
            }
            let is_none = wish.len() == 1 && wish[0] == Profile::NONE;
            let wish = if is_none { &[] } else { wish };
            let columns: Vec<usize> = wish.iter().map(position).collect::<Result<_, _>>()?;
            for &column in &columns {
                roles[column] = role;
            }
            Ok(Some(columns))
        };
        let one = |wish: &Option<String>| wish.iter().cloned().collect::<Vec<_>>();
        let sequence = told(Role::Sequence, &one(&profile.sequence_column))?;
        let station = told(Role::StationId, &one(&profile.station_column))?;
        let label = told(Role::Label, &one(&profile.label_column))?;
        let time = told(Role::Timestamp, &profile.time_column)?;

        let best = |roles: &[Role], role: Role| {
            let rank = |index: &usize| rank(&names[*index], role);
            (0..roles.len()).filter(|&index| roles[index] == role).min_by_key(rank)
        };
        let first = |columns: Option<Vec<usize>>, role: Role| match columns {
            Some(columns) => columns.first().copied(),
            None => best(&roles, role),
        };
        let (sequence, station, label) = (
            first(sequence, Role::Sequence),
            first(station, Role::StationId),
            first(label, Role::Label),
        );
        let time = time.unwrap_or_else(|| time_columns(&names, &roles, sample));
        for &column in &time {
            roles[column] = Role::Timestamp;
        }
        let time_format = match &profile.time_format {
            _ if time.is_empty() => None,
            Some(format) => Some(Ok(format.clone())),
            None => Some(TimeFormat::of(&sample.texts_of(&time))),
        };
        let long = match *profile.long.as_slice() {
            [ref tag, ref value] => {
                Some(Long { columns: [position(tag)?, position(value)?], is_sure: true })
            }
            _ => long(&names, &roles, sample),
        };
        let first = |column| sample.texts_of(&[column]).into_iter().next().unwrap_or_default();
        let examples = (0..names.len()).map(first).collect();
        Ok(Self { names, examples, roles, time, time_format, sequence, station, label, long })
    }

    /// Returns the columns of a table that was made of tags: the time, the station where rows name one, and a feature for each.
    pub(crate) fn of_tags(tags: Vec<String>, has_stations: bool) -> Self {
        let station = has_stations.then_some((String::from("station_id"), Role::StationId));
        let time = (String::from("timestamp"), Role::Timestamp);
        let tags = tags.into_iter().map(|tag| (tag, Role::Feature));
        let (names, roles) = std::iter::once(time).chain(station).chain(tags).unzip();
        Self {
            names,
            examples: Vec::new(),
            roles,
            time: vec![0],
            time_format: Some(Ok(TimeFormat::Written(DateOrder::YearFirst))),
            sequence: None,
            station: has_stations.then_some(1),
            label: None,
            long: None,
        }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the first cell of a column that holds something, as far as the first rows have one.
    pub(crate) fn example(&self, name: &str) -> Option<&str> {
        let index = self.names.iter().position(|column| column == name)?;
        self.examples.get(index).map(String::as_str).filter(|example| !example.is_empty())
    }

    /// Returns the columns that are neither time, sequence, station nor label.
    pub(crate) fn features(&self) -> impl Iterator<Item = usize> {
        (0..self.roles.len()).filter(|&index| self.roles[index] == Role::Feature)
    }

    pub(crate) fn role(&self, index: usize) -> Role {
        self.roles[index]
    }

    /// Returns the role that a column is used in: of several that could tell one, the others are not used.
    pub(crate) fn used_as(&self, index: usize) -> Role {
        let is_used = match self.roles[index] {
            Role::Timestamp => self.time.contains(&index),
            Role::Feature | Role::Unused => true,
            role => self.telling(role) == Some(index),
        };
        if is_used { self.roles[index] } else { Role::Unused }
    }

    /// Returns the columns that together are the time.
    pub(crate) fn time(&self) -> &[usize] {
        &self.time
    }

    /// Returns how the times are written.
    pub(crate) fn time_format(&self) -> Option<&Result<TimeFormat, TimeTrouble>> {
        self.time_format.as_ref()
    }

    /// Returns the column that tells a role other than the time.
    pub(crate) fn telling(&self, role: Role) -> Option<usize> {
        match role {
            Role::Sequence => self.sequence,
            Role::StationId => self.station,
            Role::Label => self.label,
            Role::Timestamp => self.time.first().copied(),
            Role::Unused | Role::Feature => None,
        }
    }

    /// Returns the columns of the name and of the value, where each row may hold one value of something that it names.
    pub(crate) fn long(&self) -> Option<Long> {
        self.long
    }

    /// Returns the column of this name, and `Err` if there are several.
    pub(crate) fn position(&self, name: &str) -> Result<Option<usize>, ()> {
        let is_called = |&index: &usize| self.names[index] == name;
        let is_used = |&index: &usize| self.roles[index] != Role::Unused;
        let all = || (0..self.names.len()).filter(is_called);
        let mut found = all().filter(is_used);
        if found.clone().next().is_none() {
            return Ok(all().next());
        }
        let first = found.next();
        if found.next().is_some() { Err(()) } else { Ok(first) }
    }
}

fn role(name: &str) -> Role {
    if name.is_empty() || name.starts_with("Unnamed: ") {
        return Role::Unused;
    }
    let is_variant = |variants: &[&str]| variants.iter().any(|variant| is_called(name, variant));
    ROLES.iter().find(|(_, variants)| is_variant(variants)).map_or(Role::Feature, |(role, _)| *role)
}

/// Returns the place of a name among those that say a role best.
fn rank(name: &str, role: Role) -> Option<usize> {
    let (_, variants) = ROLES.iter().find(|(other, _)| *other == role)?;
    variants.iter().position(|variant| is_called(name, variant))
}

/// Returns `true` for another spelling of a name.
pub(crate) fn is_called(name: &str, variant: &str) -> bool {
    // `Date Time`, `date_time` and `DateTime` are one name.
    let plain = |name: &str| name.replace([' ', '-', '_', '/'], "").to_lowercase();
    plain(name) == plain(variant)
}

/// Returns `true` for a name that columns of times have.
pub(crate) fn is_time_name(name: &str) -> bool {
    let apart = APART.iter().any(|(date, time)| is_called(name, date) || is_called(name, time));
    apart || role(name) == Role::Timestamp
}

/// Returns `true` for a name that says the role of its column.
pub(crate) fn is_role_name(name: &str) -> bool {
    !matches!(role(name), Role::Feature | Role::Unused)
}

/// Returns the columns that together are the time, by their names and what they hold.
fn time_columns(names: &[String], roles: &[Role], sample: &SampleCells) -> Vec<usize> {
    let of_role = |role: Role| (0..roles.len()).filter(move |&index| roles[index] == role);
    let is_apart = |[date, time]: &[usize; 2]| {
        let are_used = [date, time].iter().all(|&&index| roles[index] != Role::Unused);
        are_used && sample.is_time_of_day(*time)
    };
    if let Some(apart) = apart(names).filter(is_apart) {
        return apart.to_vec();
    }
    // Of several, one that holds times is better than one that is only called so.
    let rank = |&index: &usize| (!sample.holds_times(index), rank(&names[index], Role::Timestamp));
    let named = of_role(Role::Timestamp).min_by_key(rank);
    named.or_else(|| sample.column_of_dates(of_role(Role::Feature))).into_iter().collect()
}

/// Returns the columns of the date and of the time of day, where a better name is not there.
fn apart(names: &[String]) -> Option<[usize; 2]> {
    let position = |wanted: &str| names.iter().position(|name| is_called(name, wanted));
    let has_better =
        ["timestamp", "datetime", "date_time"].iter().any(|name| position(name).is_some());
    let pair = |(date, time): &(&str, &str)| Some([position(date)?, position(time)?]);
    APART.iter().find_map(pair).filter(|_| !has_better)
}

/// Returns the columns of the name and of the value, where each row may hold one value.
fn long(names: &[String], roles: &[Role], sample: &SampleCells) -> Option<Long> {
    let features = || (0..roles.len()).filter(|&index| roles[index] == Role::Feature);
    let is_one_of =
        |index: usize, known: &[&str]| known.iter().any(|name| is_called(&names[index], name));
    let numbers: Vec<usize> = features().filter(|&index| sample.is_of_numbers(index)).collect();
    let named = numbers.iter().copied().find(|&index| is_one_of(index, &VALUES));
    let value = named.or_else(|| if let [only] = *numbers { Some(only) } else { None })?;
    let may_be_tag =
        |&index: &usize| is_one_of(index, &TAGS) || named.is_some() && !is_one_of(index, &REMARKS);
    let words: Vec<usize> =
        features().filter(|&index| sample.holds_words(index)).filter(may_be_tag).collect();
    let repeated = words.iter().copied().find(|&index| sample.repeats_words(index));
    let tag = repeated.or_else(|| words.first().copied())?;
    Some(Long { columns: [tag, value], is_sure: repeated.is_some() })
}
