//! How values went over a time, in as few numbers as a picture needs.

use std::fmt;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use sensor::{ModelVersion, StationId};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};

use crate::error::ReadError;
use crate::prediction_row::conversion_error;
use crate::query::{next_station, readable};

/// Which part of a station's past to read, and in how many buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesQuery {
    /// Who measured.
    pub station_id: StationId,
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: i64,
    /// Measured before this time.
    pub until_us: i64,
    /// Equal parts of the time, each as wide as what can be told apart in a picture.
    pub n_buckets: u32,
    /// The features to read, by name.
    pub features: Vec<Arc<str>>,
}

/// Predictions of one part of the time; a bucket without any is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Bucket {
    /// When the first was measured, in microseconds since 1970.
    pub first_us: i64,
    /// When the last was measured.
    pub last_us: i64,
    /// How many were read.
    pub n_events: u32,
    /// How many of those are anomalies.
    pub n_anomalies: u32,
    /// Whether these are all that there are: of very many, a bucket reads the first, and anomalies.
    pub is_whole: bool,
    /// Their scores.
    pub score: Extent,
    /// Values of the features that were asked for; `None` where all are missing.
    pub values: Vec<Option<Extent>>,
}

/// The lowest and the highest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

/// Which predictions to take a sample of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleQuery {
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: i64,
    /// Measured before this time.
    pub until_us: i64,
    /// At most so many, spread evenly over stations and time.
    pub len_max: u32,
    /// The features to read, by name.
    pub features: Vec<Arc<str>>,
}

/// One prediction of a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampled {
    /// Values of the features that were asked for; `None` for a missing one.
    pub values: Vec<Option<f64>>,
    /// In (0, 1]; higher is more anomalous.
    pub anomaly_score: f64,
    /// Which model gave the score.
    pub model_version: ModelVersion,
}

/// Rows that a series reads at most, shared by its buckets.
const SERIES_ROWS_MAX: u32 = 200_000;
/// Anomalies that are read besides, where buckets are not whole.
const SERIES_ANOMALIES_MAX: u32 = 10_000;

impl Extent {
    fn of(value: f64) -> Self {
        Self { min: value, max: value }
    }

    fn with(self, value: f64) -> Self {
        Self { min: self.min.min(value), max: self.max.max(value) }
    }
}

impl Bucket {
    fn begin(row: &SeriesRow) -> Self {
        Self {
            first_us: row.timestamp_us,
            last_us: row.timestamp_us,
            n_events: 0,
            n_anomalies: 0,
            is_whole: true,
            score: Extent::of(row.anomaly_score),
            values: vec![None; row.values.len()],
        }
    }

    fn add(&mut self, row: &SeriesRow) {
        self.last_us = self.last_us.max(row.timestamp_us);
        self.n_events += 1;
        self.n_anomalies += u32::from(row.is_anomaly);
        self.score = self.score.with(row.anomaly_score);
        for (extent, value) in self.values.iter_mut().zip(&row.values) {
            if let Some(value) = *value {
                *extent = Some(extent.map_or(Extent::of(value), |extent| extent.with(value)));
            }
        }
    }
}

pub(crate) fn series(
    connection: &Connection,
    query: &SeriesQuery,
) -> Result<Vec<Bucket>, ReadError> {
    let rows_max = SERIES_ROWS_MAX / query.n_buckets.max(1);
    let sql = "
        SELECT timestamp_us, features, anomaly_score, is_anomaly FROM predictions
        WHERE station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
        ORDER BY timestamp_us, sequence LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let mut buckets = Vec::new();
    for (from_us, to_us) in parts(query.since_us, query.until_us, query.n_buckets) {
        // One more than is read tells whether there are more.
        let parameters = params![query.station_id.as_str(), from_us, to_us, rows_max + 1];
        let rows = statement.query_map(parameters, |row| SeriesRow::read(row, &query.features))?;
        let mut bucket: Option<Bucket> = None;
        for row in rows.filter_map(readable) {
            let row = row?;
            let bucket = bucket.get_or_insert_with(|| Bucket::begin(&row));
            if bucket.n_events == rows_max {
                bucket.is_whole = false;
                break;
            }
            bucket.add(&row);
        }
        buckets.extend(bucket);
    }
    if buckets.iter().any(|bucket| !bucket.is_whole) {
        add_anomalies(connection, query, &mut buckets)?;
    }
    Ok(buckets)
}

/// Adds anomalies that buckets have not come to, the latest of them at least: a picture may leave out
/// much, but not what it is looked at for.
fn add_anomalies(
    connection: &Connection,
    query: &SeriesQuery,
    buckets: &mut [Bucket],
) -> Result<(), ReadError> {
    let sql = "
        SELECT timestamp_us, features, anomaly_score, is_anomaly
        FROM predictions INDEXED BY anomalies_by_station
        WHERE is_anomaly AND station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
        ORDER BY id DESC LIMIT ?4";
    let mut statement = connection.prepare_cached(sql)?;
    let parameters =
        params![query.station_id.as_str(), query.since_us, query.until_us, SERIES_ANOMALIES_MAX];
    let rows = statement.query_map(parameters, |row| SeriesRow::read(row, &query.features))?;
    // How far each bucket has read.
    let ends: Vec<i64> = buckets.iter().map(|bucket| bucket.last_us).collect();
    for row in rows.filter_map(readable) {
        let row = row?;
        let index = buckets.partition_point(|bucket| bucket.first_us <= row.timestamp_us);
        let Some(index) = index.checked_sub(1) else { continue };
        if !buckets[index].is_whole && row.timestamp_us > ends[index] {
            buckets[index].add(&row);
        }
    }
    Ok(())
}

pub(crate) fn sample(
    connection: &Connection,
    query: &SampleQuery,
) -> Result<Vec<Sampled>, ReadError> {
    let mut stations = Vec::new();
    let mut last = String::new();
    while stations.len() < query.len_max as usize
        && let Some(station) = next_station(connection, &last)?
    {
        last.clone_from(&station);
        stations.push(station);
    }
    let n_parts = query.len_max / u32::try_from(stations.len().max(1)).unwrap_or(u32::MAX);
    let sql = "
        SELECT features, anomaly_score, model_version FROM predictions
        WHERE station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
        ORDER BY timestamp_us, sequence LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = Vec::new();
    for station in &stations {
        let Some((first_us, last_us)) = span(connection, station, query)? else { continue };
        for (from_us, to_us) in parts(first_us, last_us + 1, n_parts) {
            let row = statement.query_map(params![station, from_us, to_us], |row| {
                Ok(Sampled {
                    values: values(row, 0, &query.features)?,
                    anomaly_score: row.get(1)?,
                    model_version: row.get::<_, String>(2)?.as_str().into(),
                })
            })?;
            for sampled in row.filter_map(readable) {
                found.push(sampled?);
            }
        }
    }
    Ok(found)
}

/// When the first and the last prediction of a station were measured, within the time of a query.
fn span(
    connection: &Connection,
    station: &str,
    query: &SampleQuery,
) -> rusqlite::Result<Option<(i64, i64)>> {
    let end = |order: &str| {
        let sql = format!(
            "SELECT timestamp_us FROM predictions
             WHERE station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
             ORDER BY timestamp_us {order} LIMIT 1"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        statement
            .query_row(params![station, query.since_us, query.until_us], |row| row.get(0))
            .optional()
    };
    Ok(end("ASC")?.zip(end("DESC")?))
}

/// Equal parts of a time, each from one moment up to another.
fn parts(since_us: i64, until_us: i64, n_parts: u32) -> impl Iterator<Item = (i64, i64)> {
    let width = i128::from(until_us) - i128::from(since_us);
    let edge = move |index: u32| {
        let edge = i128::from(since_us) + width * i128::from(index) / i128::from(n_parts);
        i64::try_from(edge).expect("it lies between two times")
    };
    let n_parts = if width > 0 { n_parts } else { 0 };
    (0..n_parts).map(move |index| (edge(index), edge(index + 1))).filter(|(from, to)| from < to)
}

/// What a series reads of a row.
struct SeriesRow {
    timestamp_us: i64,
    values: Vec<Option<f64>>,
    anomaly_score: f64,
    is_anomaly: bool,
}

impl SeriesRow {
    fn read(row: &rusqlite::Row<'_>, features: &[Arc<str>]) -> rusqlite::Result<Self> {
        Ok(Self {
            timestamp_us: row.get(0)?,
            values: values(row, 1, features)?,
            anomaly_score: row.get(2)?,
            is_anomaly: row.get(3)?,
        })
    }
}

/// Picks values by name out of the JSON in a column.
fn values(
    row: &rusqlite::Row<'_>,
    column: usize,
    features: &[Arc<str>],
) -> rusqlite::Result<Vec<Option<f64>>> {
    if features.is_empty() {
        return Ok(Vec::new());
    }
    let text = row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?;
    Picked(features)
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|error| conversion_error(column, error))
}

/// Reads the values of some features, without making anything of the others.
struct Picked<'a>(&'a [Arc<str>]);

impl<'de> DeserializeSeed<'de> for Picked<'_> {
    type Value = Vec<Option<f64>>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Picked<'_> {
    type Value = Vec<Option<f64>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = vec![None; self.0.len()];
        let mut expected = 0;
        while let Some(index) = map.next_key_seed(IndexOf { names: self.0, expected })? {
            match index {
                Some(index) => {
                    values[index] = map.next_value()?;
                    expected = index + 1;
                }
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(values)
    }
}

/// Reads a name as its place among others, if it has one.
struct IndexOf<'a> {
    names: &'a [Arc<str>],
    /// Where it is looked for first: mostly, names come in their order.
    expected: usize,
}

impl<'de> DeserializeSeed<'de> for IndexOf<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_str(self)
    }
}

impl Visitor<'_> for IndexOf<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        let is_meant = |feature: &Arc<str>| **feature == *name;
        if self.names.get(self.expected).is_some_and(is_meant) {
            return Ok(Some(self.expected));
        }
        Ok(self.names.iter().position(is_meant))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_time_meet_and_cover_it() {
        let found: Vec<_> = parts(-1, 9, 3).collect();
        assert_eq!(found, [(-1, 2), (2, 5), (5, 9)]);
        assert_eq!(parts(0, 2, 5).collect::<Vec<_>>(), [(0, 1), (1, 2)]);
        assert_eq!(parts(i64::MIN, i64::MAX, 2).count(), 2);
        assert_eq!(parts(5, 5, 3).count() + parts(6, 5, 3).count() + parts(0, 9, 0).count(), 0);
    }
}
