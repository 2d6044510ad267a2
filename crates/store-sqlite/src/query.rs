//! The queries of readers.

use rusqlite::{Connection, OptionalExtension as _, Params, named_params, params};
use sensor::{Alarm, Glance, Prediction, StationId};
use store::{
    AnomalyQuery, EventKey, EventQuery, Listed, Listing, Neighbours, Station, StationQuery,
    StoredPrediction,
};

use crate::error::QueryError;
use crate::prediction_row::{self, COLUMNS, column};
use crate::reader::{ReadOnly, Taken};

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
    let mut before_id = query.before_id.unwrap_or(i64::MAX);
    let mut statement = connection.prepare_cached(&sql)?;
    let station_id = query.station_id.as_ref().map(StationId::as_str);
    let since_us = query.since_us.unwrap_or(i64::MIN);
    loop {
        let parameters = named_params! {
            ":before_id": before_id, ":station_id": station_id, ":since_us": since_us
        };
        let rows = statement.query_map(parameters, prediction_row::read)?;
        let taken = connection.take_while(rows, |stored| {
            before_id = stored.id;
            add(&mut listing, stored)
        })?;
        if taken == Taken::All {
            return Ok(listing.end());
        }
        let next = format!("{} LIMIT 1", sql.replacen(COLUMNS, "id", 1));
        let reads = |before_id: i64| {
            let parameters = named_params! {
                ":before_id": before_id, ":station_id": station_id, ":since_us": since_us
            };
            connection.reads_a_row(&next, parameters)
        };
        match behind_damage(before_id, reads)? {
            Some(readable) => before_id = readable,
            None => return Ok(listing.end()),
        }
    }
}

/// Finds the highest of the numbers from 0 to `from` below which a row can be read again, behind damage: steps that double
/// find one close by, and halving the last step the highest. `None` where there is none.
///
/// `reads` says of a number whether the first row below it can be read, or that there is none.
fn behind_damage(
    from: i64,
    reads: impl Fn(i64) -> Result<Option<bool>, QueryError>,
) -> Result<Option<i64>, QueryError> {
    let (mut damaged, mut step) = (from, 1_i64);
    // Either a row below it can be read, or there is none.
    let mut sound = loop {
        let place = from.saturating_sub(step).max(0);
        if place == 0 || reads(place)? != Some(false) {
            break place;
        }
        damaged = place;
        step = step.saturating_mul(2);
    };
    while damaged - sound > 1 {
        let middle = sound.midpoint(damaged);
        if reads(middle)? == Some(false) { damaged = middle } else { sound = middle }
    }
    Ok((reads(sound)? == Some(true)).then_some(sound))
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
        && let Some(name) = next_readable_station(connection, &last)?
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
            alarm: prediction_row::alarm(row)?.as_ref().map(Alarm::glance),
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
        (None, None) => next_readable_station(connection, "")?,
    };
    while let Some(station_id) = station
        && !listing.is_full()
    {
        events_of(connection, query, &station_id, &mut listing)?;
        station = match query.station_id {
            None if !listing.is_full() => next_readable_station(connection, &station_id)?,
            _ => None,
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
    let since_us = query.since_us.unwrap_or(i64::MIN);
    let mut before = after
        .map_or((i64::MAX, i64::MAX), |after| (after.timestamp_us, after.sequence.cast_signed()));
    loop {
        let (timestamp_us, sequence) = before;
        let until_us = query.until_us.unwrap_or(i64::MAX);
        let parameters =
            params![station_id, timestamp_us, sequence, since_us, until_us, query.is_anomaly];
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(parameters, prediction_row::read)?;
        let taken = connection.take_while(rows, |stored| {
            let Prediction { timestamp_us, sequence, .. } = &stored.prediction;
            before = (*timestamp_us, sequence.cast_signed());
            add(listing, stored)
        })?;
        if taken == Taken::All {
            return Ok(());
        }
        // The keys lead to the damage, which may lie behind predictions that were not asked for.
        let mut damaged = before.0.min(until_us);
        let keys = "
            SELECT timestamp_us FROM predictions
            WHERE station_id = ?1 AND timestamp_us < ?2 AND timestamp_us >= ?3
            ORDER BY timestamp_us DESC, sequence DESC";
        let mut statement = connection.prepare_cached(keys)?;
        let rows = statement.query_map(params![station_id, damaged, since_us], |row| row.get(0))?;
        connection.take_while(rows, |timestamp_us| {
            damaged = timestamp_us;
            true
        })?;
        let next = format!("{keys} LIMIT 1");
        let reads =
            |time_us: i64| connection.reads_a_row(&next, params![station_id, time_us, since_us]);
        match behind_damage(damaged, reads)? {
            Some(readable) => before = (readable, i64::MIN),
            None => return Ok(()),
        }
    }
}

pub(crate) fn stations(
    connection: &ReadOnly,
    query: &StationQuery,
) -> Result<Listed<Station>, QueryError> {
    let mut listing = Listing::new(query.limit);
    let mut last = query.after.as_ref().map_or(String::new(), |after| after.as_str().into());
    while !listing.is_full()
        && let Some(name) = next_readable_station(connection, &last)?
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

/// Returns a station, unless nothing of it can be read.
fn station(connection: &ReadOnly, name: &str) -> Result<Option<Station>, QueryError> {
    let mut latest = Listing::new(1);
    events_of(connection, &EventQuery::all(1), name, &mut latest)?;
    let Some(latest) = latest.end().entries.pop() else { return Ok(None) };
    let station_id = latest.prediction.station_id.clone();
    let of_station = AnomalyQuery {
        limit: 1,
        station_id: Some(station_id.clone()),
        since_us: None,
        before_id: None,
    };
    let latest_anomaly = anomalies(connection, &of_station)?.entries.pop();
    Ok(Some(Station { station_id, latest, latest_anomaly }))
}

/// Returns the name after this one. Behind a damaged page, it is the next that another tree knows, or else the first that can
/// be reached from the last name.
fn next_readable_station(connection: &ReadOnly, name: &str) -> Result<Option<String>, QueryError> {
    match next_station(connection, name) {
        Err(error) if connection.is_damage(&error) => {}
        next => return Ok(next?),
    }
    let from_elsewhere = [
        "SELECT station_id FROM alarm_records WHERE station_id > ?1 ORDER BY station_id LIMIT 1",
        "SELECT station_id FROM predictions INDEXED BY anomalies_by_station
         WHERE is_anomaly AND station_id > ?1 ORDER BY station_id LIMIT 1",
    ];
    let mut known: Option<String> = None;
    for sql in from_elsewhere {
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.query_row([name], |row| row.get(0)).optional();
        let found: Option<String> = connection.or_nothing(found)?;
        known = known.into_iter().chain(found).min();
    }
    if known.is_some() {
        return Ok(known);
    }
    let last =
        "SELECT station_id FROM predictions WHERE station_id > ?1 ORDER BY station_id DESC LIMIT 1";
    let before = "SELECT station_id FROM predictions WHERE station_id > ?1 AND station_id < ?2
                  ORDER BY station_id DESC LIMIT 1";
    let mut found: Option<String> = None;
    loop {
        let next = match &found {
            None => connection.prepare_cached(last)?.query_row([name], |row| row.get(0)),
            Some(found) => {
                connection.prepare_cached(before)?.query_row([name, found], |row| row.get(0))
            }
        };
        match connection.or_nothing(next.optional())? {
            None => return Ok(found),
            next => found = next,
        }
    }
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
