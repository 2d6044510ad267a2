//! Memory for the alarms of stations.

use std::sync::Arc;

use stations::{AlarmParams, StationAlarm};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::{LEARNING_KIB_MAX, LONGER_LESSONS_KIB_MAX, RECORDS_KIB_MAX};

/// The memory of all stations, in KiB.
#[derive(Debug)]
pub(super) struct Memory {
    watching: Arc<Semaphore>,
    learning: Arc<Semaphore>,
    /// The part of it that lessons may have which an operator made longer than usual: the others begin all the same.
    longer_lessons: Arc<Semaphore>,
    /// For records that wait to be stored.
    records: Arc<Semaphore>,
}

/// The need of a station.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    kib: u32,
    /// `true` to learn, `false` to be watched.
    pub(super) is_learning: bool,
    is_longer: bool,
}

/// The memory that a station has until this is dropped.
#[derive(Debug)]
pub(super) struct Room {
    _kib: OwnedSemaphorePermit,
    _of_longer_lessons: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// Makes memory with so much of it for stations that are watched.
    pub(super) fn new(watching_kib: usize) -> Self {
        let kib = |kib: usize| Arc::new(Semaphore::new(kib.min(Semaphore::MAX_PERMITS)));
        Self {
            watching: kib(watching_kib),
            learning: kib(LEARNING_KIB_MAX),
            longer_lessons: kib(LONGER_LESSONS_KIB_MAX),
            records: kib(RECORDS_KIB_MAX),
        }
    }

    /// Takes memory for a station, if there is some.
    pub(super) fn take(&self, need: Need) -> Option<Room> {
        let take = |from: &Arc<Semaphore>| Arc::clone(from).try_acquire_many_owned(need.kib);
        let of_longer_lessons = need.is_longer.then(|| take(&self.longer_lessons));
        Some(Room {
            _of_longer_lessons: of_longer_lessons.transpose().ok()?,
            _kib: take(self.of(need)).ok()?,
        })
    }

    /// Returns `true` if there is memory for a station.
    pub(super) fn has(&self, need: Need) -> bool {
        let has = |memory: &Semaphore| memory.available_permits() >= need.kib as usize;
        has(self.of(need)) && (!need.is_longer || has(&self.longer_lessons))
    }

    /// Takes memory for the record of a station after so many events, until that is stored, if there is some.
    pub(super) fn take_for_record(
        &self,
        alarm: &StationAlarm,
        n_events: usize,
    ) -> Option<OwnedSemaphorePermit> {
        let kib = alarm.record_size_after(n_events).div_ceil(1024).min(RECORDS_KIB_MAX);
        let kib = u32::try_from(kib).ok()?;
        Arc::clone(&self.records).try_acquire_many_owned(kib).ok()
    }

    fn of(&self, need: Need) -> &Arc<Semaphore> {
        if need.is_learning { &self.learning } else { &self.watching }
    }
}

impl Need {
    pub(super) fn of(alarm: &StationAlarm, params: &AlarmParams) -> Self {
        Self {
            kib: u32::try_from(alarm.size(params).div_ceil(1024)).unwrap_or(u32::MAX),
            is_learning: alarm.is_learning(),
            is_longer: alarm.has_longer_lesson(params),
        }
    }
}
