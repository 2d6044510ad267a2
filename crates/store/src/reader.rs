//! Reading, on a connection that can do nothing else.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, named_params};
use sensor::StationId;

use crate::StoredPrediction;
use crate::error::{OpenError, ReadError};
use crate::prediction_row::{self, COLUMNS};
use crate::schema;

/// Which anomalies to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnomalyQuery {
    /// At most so many.
    pub limit: u32,
    /// Of this station only.
    pub station_id: Option<StationId>,
    /// Measured at this time or later, in microseconds since 1970.
    pub since_us: Option<i64>,
    /// That arrived before the one with this id.
    pub before_id: Option<i64>,
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// Readers take turns. Nobody holds it across an `.await`: reading is blocking work.
    connection: Mutex<Connection>,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { connection: Mutex::new(schema::open_for_reading(path)?) })
    }

    pub(crate) fn latest_anomalies(
        &self,
        query: &AnomalyQuery,
    ) -> Result<Vec<StoredPrediction>, ReadError> {
        // A panic of another reader leaves a connection that is as good as before.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // A parameter has to appear, so the first says that there is no station to ask for.
        let (index, of_station) = match query.station_id {
            None => ("anomalies_by_id", ":station_id IS NULL"),
            Some(_) => ("anomalies_by_station", "station_id = :station_id"),
        };
        let sql = format!(
            "SELECT {COLUMNS} FROM predictions INDEXED BY {index}
             WHERE is_anomaly AND id < :before_id AND {of_station} AND timestamp_us >= :since_us
             ORDER BY id DESC LIMIT :limit"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let parameters = named_params! {
            ":before_id": query.before_id.unwrap_or(i64::MAX),
            ":station_id": query.station_id.as_ref().map(StationId::as_str),
            ":since_us": query.since_us.unwrap_or(i64::MIN),
            ":limit": query.limit,
        };
        let rows = statement.query_map(parameters, prediction_row::read)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
