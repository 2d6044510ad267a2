//! The health of the store, as the writer last knew it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::backend::Failure;
use crate::error::{KeepError, Trouble};
use crate::limits::{PROOF_LASTS, STALLED_AFTER};
use crate::prediction::Totals;

/// The state as the writer last knew it. Reading it does not touch the disk.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Status>);

#[derive(Debug, Default)]
struct Status {
    totals: Totals,
    /// The failure of the last transaction; `None` when it succeeded.
    failure: Option<KeepError>,
    /// When the present work of the writer began.
    busy_since: Option<Instant>,
    /// When the last transaction was committed.
    committed: Option<Instant>,
    /// `true` if the log says that the database does not answer.
    is_stall_logged: bool,
}

impl Health {
    pub(crate) fn new(totals: Totals) -> Self {
        Self(Mutex::new(Status { totals, ..Status::default() }))
    }

    pub(crate) fn totals(&self) -> Totals {
        self.lock().totals
    }

    /// Returns why the last transaction failed, if it did.
    pub(crate) fn failure(&self) -> Option<KeepError> {
        self.lock().failure
    }

    /// Notes that the writer has begun to work, or has finished.
    pub(crate) fn set_busy(&self, is_busy: bool) {
        self.lock().busy_since = is_busy.then(Instant::now);
    }

    /// Notes a commit.
    pub(crate) fn committed(&self, totals: Totals, is_damaged: bool) {
        let mut status = self.lock();
        // What is damaged stays so, although other parts can be written.
        if !status.is_damaged()
            && let Some(error) = status.failure.take()
        {
            tracing::info!(after = %error, "predictions are stored again");
        }
        if is_damaged {
            status.failure = Some(KeepError::NotStored(Trouble::Corrupt));
        }
        if std::mem::take(&mut status.is_stall_logged) {
            tracing::info!("the database answers again");
        }
        status.busy_since = None;
        status.totals = totals;
        status.committed = Some(Instant::now());
    }

    /// Notes a transaction that was not committed.
    pub(crate) fn failed(&self, failure: &Failure) {
        let Failure { error, detail } = failure;
        let mut status = self.lock();
        if status.failure != Some(*error) {
            tracing::error!(
                error = %error,
                detail,
                "cannot store predictions; clients are asked to send them again"
            );
        }
        status.busy_since = None;
        status.failure = Some(*error);
    }

    /// Notes that a transaction takes too long. Unlike a failure, it may still be committed.
    pub(crate) fn stalled(&self) {
        let mut status = self.lock();
        if !status.is_stall_logged {
            status.is_stall_logged = true;
            tracing::error!(
                "the database has not answered in time; its disk hangs or is very slow, and clients are asked to send \
                 their events again"
            );
        }
    }

    /// Returns `true` if something was committed a moment ago and nothing has failed since.
    ///
    /// # Errors
    ///
    /// Fails when the database is damaged or does not answer.
    pub(crate) fn is_proven(&self) -> Result<bool, KeepError> {
        let status = self.lock();
        if status.is_damaged() {
            return Err(KeepError::NotStored(Trouble::Corrupt));
        }
        let is_within =
            |since: Option<Instant>, time| since.is_some_and(|since| since.elapsed() < time);
        if status.busy_since.is_some() && !is_within(status.busy_since, STALLED_AFTER) {
            return Err(KeepError::Unknown(Trouble::Stalled));
        }
        Ok(status.failure.is_none() && is_within(status.committed, PROOF_LASTS))
    }

    fn lock(&self) -> MutexGuard<'_, Status> {
        // A panic elsewhere does not make the status wrong: each part is set in one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    fn is_damaged(&self) -> bool {
        matches!(
            self.failure,
            Some(KeepError::NotStored(Trouble::Corrupt) | KeepError::Unknown(Trouble::Corrupt))
        )
    }
}
