//! The history of values, in as few numbers as a chart needs.

use std::fmt;
use std::sync::Arc;

use rusqlite::{OptionalExtension as _, params};
use sensor::ModelVersion;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use store::{Bucket, Extent, SampleQuery, Sampled, SeriesQuery};

use crate::error::QueryError;
use crate::limits::{SERIES_ANOMALIES_MAX, SERIES_ROWS_MAX};
use crate::prediction_row::{COLUMNS, check_intact, column, conversion_error};
use crate::query::next_station;
use crate::reader::ReadOnly;

/// Returns an extent of one value.
fn extent_of(value: f64) -> Extent {
    Extent { min: value, max: value }
}

fn widened(extent: Extent, value: f64) -> Extent {
    Extent { min: extent.min.min(value), max: extent.max.max(value) }
}

/// Returns an empty bucket that begins with a row.
fn begin(row: &SeriesRow) -> Bucket {
    Bucket {
        first_us: row.timestamp_us,
        last_us: row.timestamp_us,
        n_events: 0,
        n_anomalies: 0,
        is_whole: true,
        score: extent_of(row.anomaly_score),
        threshold: row.threshold,
        model_version: row.model_version.clone(),
        values: vec![None; row.values.len()],
    }
}

/// Adds a row to its bucket.
fn add(bucket: &mut Bucket, row: &SeriesRow) {
    if row.timestamp_us >= bucket.last_us {
        bucket.last_us = row.timestamp_us;
        bucket.threshold = row.threshold;
        bucket.model_version.clone_from(&row.model_version);
    }
    bucket.n_events += 1;
    bucket.n_anomalies += u32::from(row.is_anomaly);
    bucket.score = widened(bucket.score, row.anomaly_score);
    for (extent, value) in bucket.values.iter_mut().zip(&row.values) {
        if let Some(value) = *value {
            *extent = Some(extent.map_or(extent_of(value), |extent| widened(extent, value)));
        }
    }
}

pub(crate) fn series(
    connection: &ReadOnly,
    query: &SeriesQuery,
) -> Result<Vec<Bucket>, QueryError> {
    let rows_max = SERIES_ROWS_MAX / query.n_buckets.max(1);
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions
         WHERE station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
         ORDER BY timestamp_us, sequence LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut buckets = Vec::new();
    for (from_us, to_us) in parts(query.since_us, query.until_us, query.n_buckets) {
        // One more than is read tells whether there are more.
        let parameters = params![query.station_id.as_str(), from_us, to_us, rows_max + 1];
        let rows = statement.query_map(parameters, |row| SeriesRow::read(row, &query.features))?;
        let mut bucket: Option<Bucket> = None;
        for row in connection.collect(rows)? {
            let bucket = bucket.get_or_insert_with(|| begin(&row));
            if bucket.n_events == rows_max {
                bucket.is_whole = false;
                break;
            }
            add(bucket, &row);
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
    connection: &ReadOnly,
    query: &SeriesQuery,
    buckets: &mut [Bucket],
) -> Result<(), QueryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions INDEXED BY anomalies_by_station
         WHERE is_anomaly AND station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
         ORDER BY id DESC LIMIT ?4"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let parameters =
        params![query.station_id.as_str(), query.since_us, query.until_us, SERIES_ANOMALIES_MAX];
    let rows = statement.query_map(parameters, |row| SeriesRow::read(row, &query.features))?;
    // How far each bucket has read.
    let ends: Vec<i64> = buckets.iter().map(|bucket| bucket.last_us).collect();
    for row in connection.collect(rows)? {
        let index = buckets.partition_point(|bucket| bucket.first_us <= row.timestamp_us);
        let Some(index) = index.checked_sub(1) else { continue };
        if !buckets[index].is_whole && row.timestamp_us > ends[index] {
            add(&mut buckets[index], &row);
        }
    }
    Ok(())
}

pub(crate) fn sample(
    connection: &ReadOnly,
    query: &SampleQuery,
) -> Result<Vec<Sampled>, QueryError> {
    let mut stations = Vec::new();
    let mut last = String::new();
    while stations.len() < query.len_max as usize
        && let Some(station) = connection.or_nothing(next_station(connection, &last))?
    {
        last.clone_from(&station);
        stations.push(station);
    }
    let n_parts = query.len_max / u32::try_from(stations.len().max(1)).unwrap_or(u32::MAX);
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions
         WHERE station_id = ?1 AND timestamp_us >= ?2 AND timestamp_us < ?3
         ORDER BY timestamp_us, sequence LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = Vec::new();
    for station in &stations {
        let span = connection.or_nothing(span(connection, station, query))?;
        let Some((first_us, last_us)) = span else { continue };
        for (from_us, to_us) in parts(first_us, last_us + 1, n_parts) {
            let row = statement.query_map(params![station, from_us, to_us], |row| {
                check_intact(row)?;
                Ok(Sampled {
                    values: values(row, &query.features)?,
                    anomaly_score: row.get(column::ANOMALY_SCORE)?,
                    model_version: row.get_ref(column::MODEL_VERSION)?.as_str()?.into(),
                })
            })?;
            found.extend(connection.collect(row)?);
        }
    }
    Ok(found)
}

/// Returns when the first and the last prediction of a station were measured, within the time of a query.
fn span(
    connection: &ReadOnly,
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

/// Cuts a time into equal parts, each from one moment up to another.
fn parts(since_us: i64, until_us: i64, n_parts: u32) -> impl Iterator<Item = (i64, i64)> {
    let width = i128::from(until_us) - i128::from(since_us);
    let edge = move |index: u32| {
        let edge = i128::from(since_us) + width * i128::from(index) / i128::from(n_parts);
        i64::try_from(edge).expect("it lies between two times")
    };
    let n_parts = if width > 0 { n_parts } else { 0 };
    (0..n_parts).map(move |index| (edge(index), edge(index + 1))).filter(|(from, to)| from < to)
}

/// The columns that a series reads.
struct SeriesRow {
    timestamp_us: i64,
    values: Vec<Option<f64>>,
    anomaly_score: f64,
    is_anomaly: bool,
    threshold: f64,
    model_version: ModelVersion,
}

impl SeriesRow {
    fn read(row: &rusqlite::Row<'_>, features: &[Arc<str>]) -> rusqlite::Result<Self> {
        check_intact(row)?;
        Ok(Self {
            timestamp_us: row.get(column::TIMESTAMP_US)?,
            values: values(row, features)?,
            anomaly_score: row.get(column::ANOMALY_SCORE)?,
            is_anomaly: row.get(column::IS_ANOMALY)?,
            threshold: row.get(column::THRESHOLD)?,
            model_version: row.get_ref(column::MODEL_VERSION)?.as_str()?.into(),
        })
    }
}

/// Picks values by name out of the features of a row.
fn values(row: &rusqlite::Row<'_>, features: &[Arc<str>]) -> rusqlite::Result<Vec<Option<f64>>> {
    if features.is_empty() {
        return Ok(Vec::new());
    }
    let text = row.get_ref(column::FEATURES)?.as_str().map_err(rusqlite::Error::from)?;
    Picked(features)
        .deserialize(&mut serde_json::Deserializer::from_str(text))
        .map_err(|error| conversion_error(column::FEATURES, error))
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
    /// The index at which it is looked for first: names mostly come in their order.
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
