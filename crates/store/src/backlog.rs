//! The limit on predictions that wait for the writer.

use std::any::Any;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::QUEUE_KIB_MAX;

/// Room for predictions that wait.
#[derive(Debug)]
pub(crate) struct Backlog {
    places: Arc<Semaphore>,
    n_places: usize,
    kib: Arc<Semaphore>,
}

/// The room that a job holds while it waits. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Room {
    _places: OwnedSemaphorePermit,
    _kib: OwnedSemaphorePermit,
    _of_client: Option<OfClient>,
}

/// Something that is held until it is given back.
pub type Held = Box<dyn Any + Send>;

/// The share of a client, which is held as long as its predictions wait.
pub type OfClient = Box<dyn Any + Send>;

impl Backlog {
    /// Makes room for `len_max` predictions.
    pub(crate) fn new(len_max: usize) -> Self {
        let n_places = len_max.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(n_places)),
            n_places,
            kib: Arc::new(Semaphore::new(QUEUE_KIB_MAX as usize)),
        }
    }

    /// Returns the number of predictions that wait.
    pub(crate) fn len(&self) -> usize {
        self.n_places - self.places.available_permits()
    }

    /// Returns the largest number of predictions that may wait.
    pub(crate) fn len_max(&self) -> usize {
        self.n_places
    }

    /// Returns `true` if there is no room for one more.
    pub(crate) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Takes room for `len` predictions of `bytes` in total, which holds the part `of_client`, too; `None` when there is
    /// none. A job that needs more than all the room gets all of it.
    pub(crate) fn take(
        &self,
        len: usize,
        bytes: usize,
        of_client: Option<OfClient>,
    ) -> Option<Room> {
        let places = u32::try_from(len.min(self.n_places)).unwrap_or(u32::MAX);
        let kib =
            u32::try_from(bytes.div_ceil(1024)).map_or(QUEUE_KIB_MAX, |kib| kib.min(QUEUE_KIB_MAX));
        Some(Room {
            _places: Arc::clone(&self.places).try_acquire_many_owned(places).ok()?,
            _kib: Arc::clone(&self.kib).try_acquire_many_owned(kib).ok()?,
            _of_client: of_client,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_comes_back() {
        let backlog = Backlog::new(10);
        let first = backlog.take(6, 100, None).unwrap();
        assert!(backlog.take(5, 100, None).is_none(), "4 places are left");
        let second = backlog.take(4, 100, None).unwrap();
        assert_eq!((backlog.len(), backlog.is_full()), (10, true));
        drop((first, second));
        assert_eq!(backlog.len(), 0);
        let large = backlog.take(1_000, 1 << 40, None).unwrap();
        assert!(backlog.take(1, 1, None).is_none());
        drop(large);
        assert!(backlog.take(1, 1, None).is_some());
    }
}
