//! Deleting what is too old, a little at a time.

use rusqlite::{Connection, params};
use store::{Place, Sweep, Swept, Totals};

use crate::alarm_records;
use crate::query::next_station;
use crate::schema::Ledger;

/// Predictions that a step looks at: few, since events wait meanwhile.
const STEP_LEN: usize = 500;
/// Pages that a step gives back to the system, and how many must be free for it.
const STEP_PAGES: u32 = 256;

/// Takes a step of a sweep.
pub(crate) fn step(
    connection: &Connection,
    sweep: &Sweep,
    totals: &mut Totals,
) -> rusqlite::Result<Swept> {
    let limit_us = sweep.before_us.max(sweep.anomalies_before_us).unwrap_or(i64::MIN);
    let mut place = match &sweep.from {
        Some(place) => Some(place.clone()),
        None => begin_of_next_station(connection, None)?,
    };
    let mut n_seen = 0;
    let (mut n_deleted, mut n_anomalies) = (0, 0);
    while let Some(from) = &place
        && n_seen < STEP_LEN
    {
        let rows = old_rows(connection, from, limit_us, STEP_LEN - n_seen)?;
        let is_whole = rows.len() == STEP_LEN - n_seen;
        n_seen += rows.len();
        let rows = rows.iter().flatten();
        let last = rows.clone().last();
        let last = last.map(|row| Place { station_id: from.station_id.clone(), ..row.place });
        for row in rows {
            // A damaged one is passed over.
            let Some((is_anomaly, received_us)) = row.facts else { continue };
            let before_us = if is_anomaly { sweep.anomalies_before_us } else { sweep.before_us };
            let is_old = |before_us| row.place.timestamp_us < before_us && received_us < before_us;
            if before_us.is_some_and(is_old) {
                delete(connection, &from.station_id, &row.place)?;
                n_deleted += 1;
                n_anomalies += u64::from(is_anomaly);
            }
        }
        place = match last {
            Some(last) if is_whole => Some(last),
            _ => {
                // A station without an old prediction was looked at, too.
                n_seen += 1;
                alarm_records::delete_orphan(connection, &from.station_id)?;
                begin_of_next_station(connection, Some(&from.station_id))?
            }
        };
    }
    let left = (totals.events.checked_sub(n_deleted), totals.anomalies.checked_sub(n_anomalies));
    *totals = match left {
        (Some(events), Some(anomalies)) => Totals { events, anomalies },
        // They were wrong before.
        _ => Ledger::count(connection)?.totals,
    };
    give_pages_back(connection)?;
    Ok(Swept { n_deleted, next: place })
}

struct OldRow {
    /// Without its station, which the caller knows.
    place: Place,
    /// `true` for an anomaly, and when it was received; `None` where that cannot be read.
    facts: Option<(bool, i64)>,
}

/// Returns old rows of a station; `None` for one whose key cannot be read.
fn old_rows(
    connection: &Connection,
    from: &Place,
    before_us: i64,
    len_max: usize,
) -> rusqlite::Result<Vec<Option<OldRow>>> {
    let sql = "
        SELECT timestamp_us, sequence, is_anomaly, received_us FROM predictions
        WHERE station_id = ?1 AND (timestamp_us, sequence) > (?2, ?3) AND timestamp_us < ?4
        ORDER BY timestamp_us, sequence LIMIT ?5";
    let mut statement = connection.prepare_cached(sql)?;
    let parameters = params![from.station_id, from.timestamp_us, from.sequence, before_us, len_max];
    let rows = statement.query_map(parameters, |row| {
        let (Ok(timestamp_us), Ok(sequence)) = (row.get(0), row.get(1)) else { return Ok(None) };
        let place = Place { station_id: String::new(), timestamp_us, sequence };
        Ok(Some(OldRow { place, facts: row.get(2).ok().zip(row.get(3).ok()) }))
    })?;
    rows.collect()
}

fn delete(connection: &Connection, station_id: &str, place: &Place) -> rusqlite::Result<()> {
    let sql =
        "DELETE FROM predictions WHERE station_id = ?1 AND timestamp_us = ?2 AND sequence = ?3";
    connection
        .prepare_cached(sql)?
        .execute(params![station_id, place.timestamp_us, place.sequence])
        .map(drop)
}

fn begin_of_next_station(
    connection: &Connection,
    station_id: Option<&str>,
) -> rusqlite::Result<Option<Place>> {
    let next = next_station(connection, station_id.unwrap_or_default())?;
    Ok(next.map(|station_id| Place { station_id, timestamp_us: i64::MIN, sequence: i64::MIN }))
}

fn give_pages_back(connection: &Connection) -> rusqlite::Result<()> {
    let n_free: u32 = connection.query_row("PRAGMA freelist_count", [], |row| row.get(0))?;
    if n_free < STEP_PAGES {
        return Ok(());
    }
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
