//! The roles of a file's columns, recognised by their names.

/// The role of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Timestamp,
    Sequence,
    StationId,
    /// The truth, for judging a detector and never for teaching it.
    Label,
    /// A column without a name, such as the row numbers that a data frame writes.
    Nameless,
    /// A value.
    Feature,
}

const ROLES: [(Role, &[&str]); 4] = [
    (Role::Timestamp, &["timestamp", "datetime", "date_time", "time", "date", "ts"]),
    (Role::Sequence, &["sequence", "seq", "sequence_number", "row_number"]),
    (Role::StationId, &["station_id", "station", "device_id", "machine_id", "sensor_id"]),
    (Role::Label, &["label", "anomaly", "is_anomaly", "outlier", "is_outlier", "changepoint"]),
];

/// The columns of a file by what they hold.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    names: Vec<String>,
    roles: Vec<Role>,
}

impl Columns {
    pub(crate) fn new(names: Vec<String>) -> Self {
        let roles = names.iter().map(|name| role(name)).collect();
        Self { names, roles }
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Returns the columns that are neither time, sequence, station nor label.
    pub(crate) fn features(&self) -> Vec<&str> {
        self.of_role(Role::Feature).map(|index| self.names[index].as_str()).collect()
    }

    pub(crate) fn role(&self, index: usize) -> Role {
        self.roles[index]
    }

    /// Returns the column that tells a role: of several, the one whose name says it best.
    pub(crate) fn telling(&self, role: Role) -> Option<usize> {
        let rank = |index: usize| {
            let variants = variants(role);
            variants.iter().position(|variant| self.names[index].eq_ignore_ascii_case(variant))
        };
        self.of_role(role).min_by_key(|&index| rank(index))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|column| column == name)
    }

    fn of_role(&self, role: Role) -> impl Iterator<Item = usize> {
        (0..self.roles.len()).filter(move |&index| self.roles[index] == role)
    }
}

fn role(name: &str) -> Role {
    if name.is_empty() || name.starts_with("Unnamed: ") {
        return Role::Nameless;
    }
    let is_variant =
        |variants: &[&str]| variants.iter().any(|variant| name.eq_ignore_ascii_case(variant));
    ROLES.iter().find(|(_, variants)| is_variant(variants)).map_or(Role::Feature, |(role, _)| *role)
}

fn variants(role: Role) -> &'static [&'static str] {
    ROLES.iter().find(|(other, _)| *other == role).map_or(&[], |(_, variants)| variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_known_by_their_names() {
        let names = [
            "DateTime",
            "Pressure",
            "changepoint",
            "anomaly",
            "seq",
            "time of flight",
            "",
            "Unnamed: 0",
        ];
        let columns = Columns::new(names.map(String::from).to_vec());
        assert_eq!(columns.features(), ["Pressure", "time of flight"]);
        assert_eq!(columns.telling(Role::Timestamp), Some(0));
        assert_eq!(columns.telling(Role::Sequence), Some(4));
        assert_eq!(columns.telling(Role::StationId), None);
        // Both are labels, so neither is a feature; `anomaly` is the one to believe.
        assert_eq!(columns.telling(Role::Label), Some(3));
    }
}
