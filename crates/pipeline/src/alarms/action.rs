//! Actions of operators on the alarms of stations.

use std::sync::atomic::Ordering;

use sensor::{Alarm, StationId};
use stations::{AlarmAction, NotPossible};
use store::{KeepError, ReadError};

use super::{Alarms, Occasion, Place};

/// The reason why an action was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ActionError {
    /// Events are judged alone.
    #[error("alarms in time order are off, or the model has too many features for them")]
    Off,
    /// Nothing is stored of the station.
    #[error("nothing is kept of this station")]
    UnknownStation,
    /// There is no memory for the station.
    #[error("there is no memory to watch this station; allow more with --alarm-memory-mib")]
    NoRoom,
    /// The station is in no state for it.
    #[error(transparent)]
    NotPossible(#[from] NotPossible),
    /// The past of the station cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The change could not be stored.
    #[error(transparent)]
    Keep(#[from] KeepError),
}

impl Alarms {
    /// Carries out an action on the alarm of a station, and returns how it is then. It is stored before.
    pub(crate) async fn act(
        &self,
        station_id: StationId,
        action: AlarmAction,
        occasion: Occasion<'_>,
    ) -> Result<Alarm, ActionError> {
        let is_known = !self.0.store.past(station_id.clone(), 1).await?.is_empty();
        if !is_known {
            return Err(ActionError::UnknownStation);
        }
        if let Some(failure) = self.0.store.failure() {
            return Err(failure.into());
        }
        let lane = self.lane(&station_id, false).expect("it is made");
        let mut place = self.turn(&lane, &station_id, occasion, false).await;
        // The record must not tell of events that are not stored in the end.
        drop(lane.flights.write().await);
        if lane.is_stale.swap(false, Ordering::AcqRel) {
            *place = self.read(&station_id, occasion).await;
        }
        let alarm = match &*place {
            Place::Known { alarm, .. } => alarm.clone(),
            Place::NoRoom(_) => return Err(ActionError::NoRoom),
            Place::Unread => return Err(ReadError::Busy.into()),
        };
        let params = self.params_of(&station_id);
        let act = move || {
            let mut alarm = alarm;
            alarm.act(action, &params).map(|()| (alarm.record(), alarm))
        };
        let (record, alarm) = self.work(act).await??;
        // Until the record is stored, it is not certain which of both the station continues from.
        *place = Place::Unread;
        self.0.store.keep_alarm_record(station_id, record).await?;
        let now = alarm.now(&params);
        *place = self.place(alarm);
        Ok(now)
    }
}
