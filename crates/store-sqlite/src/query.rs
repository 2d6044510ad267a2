//! The queries of readers.

use rusqlite::{Connection, OptionalExtension as _, Params, named_params, params};
use sensor::{Glance, StationId};
use store::{
    AnomalyQuery, EventKey, EventQuery, Listed, Listing, Neighbours, Station, StationQuery,
    StoredPrediction,
};

use crate::error::QueryError;
use crate::prediction_row::{self, COLUMNS, column};
use crate::reader::ReadOnly;

pub(crate) fn anomalies(
    connection: &ReadOnly,
    query: &AnomalyQuery,
) -> Result<Listed<StoredPrediction>, QueryError> {
    let mut listing = Listing::new(query.limit);
    // A parameter has to appear, so the first says that there is no station to ask for.
    let (index, of_station) = match (&query.station_id, query.since_us) {
        (Some(_), _) => ("anomalies_by_station", "station_id = :station_id"),
        (None, Some(since_us)) if connection.or_nothing(are_few_since(connection, since_us))? => {
            ("anomalies_by_time", ":station_id IS NULL")
        }
        (None, _) => ("anomalies_by_id", ":station_id IS NULL"),
    };
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions INDEXED BY {index}
         WHERE is_anomaly AND id < :before_id AND {of_station} AND timestamp_us >= :since_us
         ORDER BY id DESC"
    );
    // Not limited here: damaged rows are left out, and the list continues behind them.
    let mut statement = connection.prepare_cached(&sql)?;
    let parameters = named_params! {
        ":before_id": query.before_id.unwrap_or(i64::MAX),
        ":station_id": query.station_id.as_ref().map(StationId::as_str),
        ":since_us": query.since_us.unwrap_or(i64::MIN),
    };
    let rows = statement.query_map(parameters, prediction_row::read)?;
    connection.take_while(rows, |stored| add(&mut listing, stored))?;
    Ok(listing.end())
}

fn add(listing: &mut Listing<StoredPrediction>, stored: StoredPrediction) -> bool {
    let n_bytes = stored.size();
    listing.add(stored, n_bytes)
}

/// Returns `true` if few anomalies were measured since a time: then it is faster to look at all of
/// them than at those that arrived last.
fn are_few_since(connection: &ReadOnly, since_us: i64) -> rusqlite::Result<bool> {
    const FEW: u32 = 5_000;
    let sql = "
        SELECT count(*) FROM (
            SELECT 1 FROM predictions INDEXED BY anomalies_by_time
            WHERE is_anomaly AND timestamp_us >= ?1 LIMIT ?2)";
    let n_found: u32 =
        connection.prepare_cached(sql)?.query_row(params![since_us, FEW], |row| row.get(0))?;
    Ok(n_found < FEW)
}

/// Returns the anomaly that was the `id`th prediction to arrive.
pub(crate) fn anomaly(
    connection: &ReadOnly,
    id: i64,
) -> Result<Option<StoredPrediction>, QueryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions INDEXED BY anomalies_by_id WHERE is_anomaly AND id = ?1"
    );
    first_readable(connection, &sql, [id])
}

/// Returns the first row that a query finds and that is not damaged.
fn first_readable(
    connection: &ReadOnly,
    sql: &str,
    parameters: impl Params,
) -> Result<Option<StoredPrediction>, QueryError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(parameters, prediction_row::read)?;
    Ok(connection.first(rows)?)
}

pub(crate) fn neighbours(
    connection: &ReadOnly,
    key: &EventKey,
    n_each: u32,
) -> Result<Neighbours, QueryError> {
    let read = |comparison: &str, order: &str| -> Result<Vec<StoredPrediction>, QueryError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM predictions
             WHERE station_id = ?1 AND (timestamp_us, sequence) {comparison} (?2, ?3)
             ORDER BY timestamp_us {order}, sequence {order} LIMIT ?4"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let sequence = key.sequence.cast_signed();
        let parameters = params![key.station_id.as_str(), key.timestamp_us, sequence, n_each];
        let rows = statement.query_map(parameters, prediction_row::read)?;
        Ok(connection.collect(rows)?)
    };
    let mut before = read("<", "DESC")?;
    before.reverse();
    Ok(Neighbours { before, after: read(">", "ASC")? })
}

/// Stations in the order of their names, each with its last `len_max` predictions, the last to be
/// measured first.
pub(crate) fn glances(
    connection: &ReadOnly,
    query: &StationQuery,
    len_max: u32,
) -> Result<Vec<(StationId, Vec<Glance>)>, QueryError> {
    let mut found = Vec::new();
    let mut last = query.after.as_ref().map_or(String::new(), |after| after.as_str().into());
    while found.len() < query.limit as usize
        && let Some(name) = connection.or_nothing(next_station(connection, &last))?
    {
        if let Ok(station_id) = StationId::parse(&name) {
            let glances = past(connection, &station_id, len_max)?;
            found.push((station_id, glances));
        }
        last = name;
    }
    Ok(found)
}

/// Returns the last predictions of a station at a glance, the last to be measured first.
pub(crate) fn past(
    connection: &ReadOnly,
    station_id: &StationId,
    len_max: u32,
) -> Result<Vec<Glance>, QueryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions
         WHERE station_id = ?1 ORDER BY timestamp_us DESC, sequence DESC LIMIT ?2"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(params![station_id.as_str(), len_max], |row| {
        prediction_row::check_intact(row)?;
        Ok(Glance {
            timestamp_us: prediction_row::time(row)?,
            received_us: prediction_row::received(row)?,
            anomaly_score: row.get(column::ANOMALY_SCORE)?,
            is_anomaly: row.get(column::IS_ANOMALY)?,
        })
    })?;
    Ok(connection.collect(rows)?)
}

pub(crate) fn events(
    connection: &ReadOnly,
    query: &EventQuery,
) -> Result<Listed<StoredPrediction>, QueryError> {
    let mut listing = Listing::new(query.limit);
    let mut station = match (&query.station_id, &query.after) {
        (Some(station_id), _) => Some(String::from(station_id.as_str())),
        (None, Some(after)) => Some(String::from(after.station_id.as_str())),
        (None, None) => connection.or_nothing(next_station(connection, ""))?,
    };
    while let Some(station_id) = station
        && !listing.is_full()
    {
        events_of(connection, query, &station_id, &mut listing)?;
        station = match query.station_id {
            Some(_) => None,
            None => connection.or_nothing(next_station(connection, &station_id))?,
        };
    }
    Ok(listing.end())
}

/// Adds what a station has of the predictions that are asked for.
fn events_of(
    connection: &ReadOnly,
    query: &EventQuery,
    station_id: &str,
    listing: &mut Listing<StoredPrediction>,
) -> Result<(), QueryError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM predictions
         WHERE station_id = ?1 AND (timestamp_us, sequence) < (?2, ?3)
           AND timestamp_us >= ?4 AND timestamp_us < ?5 AND (?6 IS NULL OR is_anomaly = ?6)
         ORDER BY timestamp_us DESC, sequence DESC"
    );
    let after = query.after.as_ref().filter(|after| after.station_id.as_str() == station_id);
    let parameters = params![
        station_id,
        after.map_or(i64::MAX, |after| after.timestamp_us),
        after.map_or(i64::MAX, |after| after.sequence.cast_signed()),
        query.since_us.unwrap_or(i64::MIN),
        query.until_us.unwrap_or(i64::MAX),
        query.is_anomaly,
    ];
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(parameters, prediction_row::read)?;
    connection.take_while(rows, |stored| add(listing, stored))?;
    Ok(())
}

pub(crate) fn stations(
    connection: &ReadOnly,
    query: &StationQuery,
) -> Result<Listed<Station>, QueryError> {
    let mut listing = Listing::new(query.limit);
    let mut last = query.after.as_ref().map_or(String::new(), |after| after.as_str().into());
    while !listing.is_full()
        && let Some(name) = connection.or_nothing(next_station(connection, &last))?
    {
        if let Some(station) = station(connection, &name)? {
            let anomaly_size = station.latest_anomaly.as_ref().map(StoredPrediction::size);
            let n_bytes = station.latest.size() + anomaly_size.unwrap_or_default();
            listing.add(station, n_bytes);
        }
        last = name;
    }
    Ok(listing.end())
}

/// Damaged rows at the end of a station that are passed over.
const DAMAGED_MAX: u32 = 16;

/// Returns a station, unless all of its last rows are damaged.
fn station(connection: &ReadOnly, name: &str) -> Result<Option<Station>, QueryError> {
    let latest = format!(
        "SELECT {COLUMNS} FROM predictions WHERE station_id = ?1
         ORDER BY timestamp_us DESC, sequence DESC LIMIT ?2"
    );
    let latest = first_readable(connection, &latest, params![name, DAMAGED_MAX])?;
    let latest_anomaly = format!(
        "SELECT {COLUMNS} FROM predictions INDEXED BY anomalies_by_station
         WHERE is_anomaly AND station_id = ?1 ORDER BY id DESC LIMIT ?2"
    );
    let latest_anomaly = first_readable(connection, &latest_anomaly, params![name, DAMAGED_MAX])?;
    Ok(latest.map(|latest| Station {
        station_id: latest.prediction.station_id.clone(),
        latest,
        latest_anomaly,
    }))
}

/// Returns the name after this one: a step in the tree of keys, however many predictions a station has.
pub(crate) fn next_station(
    connection: &Connection,
    name: &str,
) -> rusqlite::Result<Option<String>> {
    let sql =
        "SELECT station_id FROM predictions WHERE station_id > ?1 ORDER BY station_id LIMIT 1";
    connection.prepare_cached(sql)?.query_row([name], |row| row.get(0)).optional()
}
