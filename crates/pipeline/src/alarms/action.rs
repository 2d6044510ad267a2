//! Actions of operators on the alarms of stations.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sensor::{Alarm, StationId};
use stations::{AlarmAction, NotPossible, StationAlarm};
use store::{KeepError, ReadError};
use tokio::sync::OwnedRwLockReadGuard;

use super::memory::{Need, Room};
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
    /// There is no memory for its lesson.
    #[error(
        "other stations learn at present, and there is no memory for this lesson; try again later, or with fewer events"
    )]
    NoRoomToLearn,
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
        if self.0.store.past(station_id.clone(), 1).await?.is_empty() {
            return Err(ActionError::UnknownStation);
        }
        if let Some(failure) = self.failure() {
            return Err(failure.into());
        }
        let lane = self.lane(&station_id, false).expect("it is made");
        let mut place = self.turn(&lane, &station_id, None, occasion, false).await;
        // The record must not contain events that are not stored in the end.
        drop(lane.flights.write().await);
        if lane.is_stale.swap(false, Ordering::AcqRel) {
            *place = self.read(&station_id, None, occasion).await;
        }
        let (alarm, room) = match std::mem::take(&mut *place) {
            Place::Known { alarm, room } => (alarm, room),
            other => {
                let error = match &other {
                    Place::NoRoom(wanted) if wanted.need.is_learning => ActionError::NoRoomToLearn,
                    Place::NoRoom(_) => ActionError::NoRoom,
                    _ => ReadError::Busy.into(),
                };
                *place = other;
                return Err(error);
            }
        };
        let lesson_id = occasion.lesson(&station_id).map(|lesson| lesson.id);
        let under_way = Arc::clone(&lane.flights).read_owned().await;
        match self.carry_out(&station_id, &alarm, action, lesson_id, under_way).await {
            Ok((acted, new_room)) => {
                tracing::info!(station.id = %station_id, action = action.name(), "an operator changed the alarm of a station");
                let now = acted.now(&self.params_of(&station_id));
                *place = Place::Known { alarm: acted, room: new_room.unwrap_or(room) };
                Ok(now)
            }
            Err(error) => {
                // Otherwise it is not certain which of both the station continues from: it is read again.
                if !matches!(error, ActionError::Keep(KeepError::Unknown(_))) {
                    *place = Place::Known { alarm, room };
                }
                Err(error)
            }
        }
    }

    /// Changes an alarm and stores its record; also returns memory, where it needs other than before.
    async fn carry_out(
        &self,
        station_id: &StationId,
        alarm: &StationAlarm,
        action: AlarmAction,
        lesson_id: Option<u64>,
        under_way: OwnedRwLockReadGuard<()>,
    ) -> Result<(StationAlarm, Option<Room>), ActionError> {
        let params = self.params_of(station_id);
        let mut acted = alarm.clone();
        let act = move || {
            acted.act(action, lesson_id, &params)?;
            Ok::<_, NotPossible>((acted.record(), acted))
        };
        let (record, acted) = self.work(act).await??;
        let _until_stored = self.0.memory.take_for_record(&acted, 0).ok_or(KeepError::Full)?;
        // One that watches as before stays where it is, and others do not get its memory meanwhile.
        let needs_room = acted.is_learning() || alarm.is_learning();
        let new_room = match needs_room.then(|| self.room_for(Need::of(&acted, &self.0.params))) {
            Some(None) if acted.is_learning() => return Err(ActionError::NoRoomToLearn),
            Some(None) => return Err(ActionError::NoRoom),
            other => other.flatten(),
        };
        // Also when its client has gone, as where the disk hangs.
        let until_done = Some(Box::new(under_way) as store::Held);
        self.0.store.keep_alarm_record(station_id.clone(), record, until_done).await?;
        Ok((acted, new_room))
    }
}
