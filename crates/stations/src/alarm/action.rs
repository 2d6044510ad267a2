//! The actions of an operator who knows more of a station than its events say.

use stream::WarmUpError;

use super::{AlarmParams, EVENTS_OF_RECORD, Stage, StationAlarm, Watching};
use crate::alarm::learnt::LearntEvents;

/// An action of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmAction {
    /// Ends an alarm that is open or was accepted: the present level is usual.
    Settle,
    /// Forgets what is known, and learns from the next events: so many, if it is said.
    Learn {
        /// Within [`AlarmParams::EVENTS_TO_LEARN`].
        n_events: Option<u32>,
    },
    /// Continues a lesson up to so many events, or to twice as many.
    Extend {
        /// Within [`AlarmParams::EVENTS_TO_LEARN`].
        n_events: Option<u32>,
    },
    /// Ends a lesson with the events that it has.
    Approve,
}

/// The reason why an action is not possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotPossible {
    /// There is no alarm to settle.
    #[error("no alarm of the station is open or was accepted")]
    NoAlarm,
    /// There is no lesson to extend or approve.
    #[error("the station has learnt, and is watched; `learn` begins another lesson")]
    NotLearning,
    /// The lesson has more events already.
    #[error("the lesson has {n_events} events already; extend it to more, or approve it")]
    LessonIsLonger {
        /// Those that it has.
        n_events: u32,
    },
    /// The lesson cannot be learnt from yet.
    #[error("the lesson cannot end yet: {0}")]
    TeachesNothing(#[from] WarmUpError),
}

impl StationAlarm {
    /// Carries out an action of an operator; ending a lesson takes milliseconds. The record that follows has to be stored.
    ///
    /// # Errors
    ///
    /// Fails when the action is not possible, and then changes nothing.
    pub fn act(&mut self, action: AlarmAction, params: &AlarmParams) -> Result<(), NotPossible> {
        let twice = self.events_to_learn(params) * 2;
        match (action, &mut self.stage) {
            (AlarmAction::Settle, Stage::Watching(watching)) => {
                if !watching.watch.settle(&watching.model) {
                    return Err(NotPossible::NoAlarm);
                }
                watching.episode = None;
                watching.n_opened = watching.n_opened.saturating_sub(1);
            }
            (AlarmAction::Settle, Stage::Learning(_)) => return Err(NotPossible::NoAlarm),
            (AlarmAction::Learn { n_events }, stage) => {
                // Of the trained lesson it is known that it does not fit.
                *stage = Stage::Learning(LearntEvents::default());
                self.events_to_learn = n_events;
            }
            (AlarmAction::Extend { n_events }, Stage::Learning(learnt)) => {
                let most = *AlarmParams::EVENTS_TO_LEARN.end();
                let n_events = n_events.unwrap_or(twice).min(most);
                let learnt = learnt.progress(n_events).events_learnt;
                if learnt >= n_events {
                    return Err(NotPossible::LessonIsLonger { n_events: learnt });
                }
                self.events_to_learn = Some(n_events);
            }
            (AlarmAction::Approve, Stage::Learning(learnt)) => {
                let watching = Watching::learn(learnt.clone(), params)?;
                self.stage = Stage::Watching(Box::new(watching));
            }
            (AlarmAction::Extend { .. } | AlarmAction::Approve, Stage::Watching(_)) => {
                return Err(NotPossible::NotLearning);
            }
        }
        self.n_unrecorded = EVENTS_OF_RECORD;
        Ok(())
    }
}
