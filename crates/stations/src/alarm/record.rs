//! The record that a station continues from after a restart, with the events that follow.

use isoforest::{DecodeError, envelope};
use serde::{Deserialize, Serialize};
use stream::{SensorWatch, Watch};

use super::{AlarmParams, Course, Moment, Stage, StationAlarm, Watching};
use crate::alarm::learnt::{Learnt, LearntEvents};
use crate::alarm::pace::BUDGET_MAX;

/// Events after which a record is due: after a restart, few more are replayed.
pub(super) const EVENTS_OF_RECORD: u32 = 512;
/// A record is also due after an hour, so that retention does not delete what follows the last one, in microseconds.
const US_OF_RECORD: i64 = 3_600 * 1_000_000;
/// Then there has to be an event for so many bytes of it, so that a station with much to record does not with every event.
const BYTES_OF_EVENT: usize = 16 << 10;
/// The kind and the version of a record.
const RECORD_KIND: [u8; 8] = *b"ISOALARM";
const RECORD_VERSION: u32 = 3;

/// A record, as it is written. A model is not: it is learnt again from the same events.
#[derive(Serialize, Deserialize)]
struct Record {
    names: Vec<String>,
    last: Option<Moment>,
    n_episodes: u32,
    lesson_id: Option<u64>,
    events_to_learn: Option<u32>,
    learnt: LearntEvents,
    watching: Option<WatchingRecord>,
}

#[derive(Serialize, Deserialize)]
struct WatchingRecord {
    watch: Vec<u8>,
    course: Course,
}

impl StationAlarm {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// Fails when it is damaged or of another version.
    pub fn from_record(bytes: &[u8]) -> Result<Self, DecodeError> {
        if envelope::version(bytes) != Some(RECORD_VERSION) {
            return Err(DecodeError::Malformed("it is of another version"));
        }
        let record: Record = envelope::open(RECORD_KIND, RECORD_VERSION, bytes)?;
        let Record { names, last, n_episodes, lesson_id, events_to_learn, learnt, watching } =
            record;
        if !learnt.is_of(names.len()) {
            return Err(DecodeError::Malformed("its events are not whole"));
        }
        let stage = match watching {
            None => Stage::Learning(learnt),
            Some(record) => {
                let cannot_learn = |_| DecodeError::Malformed("its events teach nothing");
                let Learnt { model, rules, .. } = learnt.learn(BUDGET_MAX).map_err(cannot_learn)?;
                let WatchingRecord { watch, course } = record;
                let watch = Watch::from_bytes(&model, &watch)?;
                if !course.pace.is_sound() {
                    return Err(DecodeError::Malformed("its pace is not a positive number"));
                }
                if !course.sensors.is_of(&rules) {
                    return Err(DecodeError::Malformed("it watches other sensors"));
                }
                let watching = Watching { learnt, model, watch, rules, course };
                Stage::Watching(Box::new(watching))
            }
        };
        let recorded_us = last.map(|(timestamp_us, _)| timestamp_us);
        Ok(Self {
            names,
            last,
            n_episodes,
            lesson_id,
            events_to_learn,
            stage,
            n_unrecorded: 0,
            must_record: false,
            recorded_us,
        })
    }

    /// Returns `true` if the next event has to be stored with a record: without it, a restart would not know what happened.
    pub fn must_record(&self) -> bool {
        self.must_record
    }

    /// Returns `true` if a record is to be stored with the last event: after a number of events, after an hour if the record is small
    /// for them, and before the events after the last one are no longer kept.
    pub fn is_record_due(&self, params: &AlarmParams) -> bool {
        let recorded = self.last.zip(self.recorded_us);
        let age_us = recorded.map_or(0, |((last_us, _), recorded_us)| last_us - recorded_us);
        let is_small = self.n_unrecorded as usize * BYTES_OF_EVENT >= self.record_size();
        self.must_record
            || self.n_unrecorded >= EVENTS_OF_RECORD
            || age_us >= US_OF_RECORD && is_small
            || age_us >= params.kept_us / 2
    }

    /// Returns about how many bytes a record has.
    pub fn record_size(&self) -> usize {
        let n_features = self.names.len();
        let learnt = match &self.stage {
            Stage::Learning(learnt) => learnt,
            Stage::Watching(watching) => &watching.learnt,
        };
        learnt.size(n_features) + state_size(n_features)
    }

    /// Returns about how many bytes a record has after so many more events.
    pub fn record_size_after(&self, n_events: usize) -> usize {
        let n_more = if self.is_learning() { n_events } else { 0 };
        self.record_size() + n_more * LearntEvents::size_of_event(self.names.len())
    }

    /// Writes a record, to be stored with the last event.
    pub fn record(&mut self) -> Vec<u8> {
        self.n_unrecorded = 0;
        self.must_record = false;
        self.recorded_us = self.last.map(|(last_us, _)| last_us);
        let (learnt, watching) = match &self.stage {
            Stage::Learning(learnt) => (learnt, None),
            Stage::Watching(watching) => {
                let Watching { watch, course, .. } = &**watching;
                let record = WatchingRecord { watch: watch.to_bytes(), course: course.clone() };
                (&watching.learnt, Some(record))
            }
        };
        let record = Record {
            names: self.names.clone(),
            last: self.last,
            n_episodes: self.n_episodes,
            lesson_id: self.lesson_id,
            events_to_learn: self.events_to_learn,
            learnt: learnt.clone(),
            watching,
        };
        envelope::seal(RECORD_KIND, RECORD_VERSION, &record)
    }
}

/// Returns about how many bytes it takes to know where a station is.
pub(super) fn state_size(n_features: usize) -> usize {
    Watch::size_of(n_features) + SensorWatch::size_of(n_features)
}
