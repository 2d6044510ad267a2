//! The actions of an operator who knows more of a station than its events say.

use stream::WarmUpError;

use super::{AlarmParams, Stage, StationAlarm, Watching};
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

impl AlarmAction {
    /// Returns the name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Settle => "settle",
            Self::Learn { .. } => "learn",
            Self::Extend { .. } => "extend",
            Self::Approve => "approve",
        }
    }

    /// Returns the action of a name, without a number of events.
    pub fn named(name: &str) -> Option<Self> {
        let (learn, extend) = (Self::Learn { n_events: None }, Self::Extend { n_events: None });
        let all = [Self::Settle, learn, extend, Self::Approve];
        all.into_iter().find(|action| action.name() == name)
    }
}

/// The reason why an action is not possible.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NotPossible {
    /// There is nothing to settle.
    #[error("no alarm of the station is open or was accepted, and none of its sensors fails")]
    NothingToSettle,
    /// There is no lesson to extend or approve.
    #[error("the station has learnt, and is watched; `learn` begins another lesson")]
    NotLearning,
    /// The lesson is to have as many events already.
    #[error("the lesson is to have {n_events} events already; extend it to more, or approve it")]
    LessonIsLonger {
        /// Those that it is to have.
        n_events: u32,
    },
    /// The lesson has too few events.
    #[error(
        "the lesson has {n_events} events; it can end when it has {least}, and 1,000 and more teach better"
    )]
    LessonIsShort {
        /// Those that it has.
        n_events: usize,
        /// Those that it needs.
        least: u32,
    },
    /// The lesson cannot be learnt from yet.
    #[error("the lesson cannot end yet: {0}")]
    TeachesNothing(#[from] WarmUpError),
}

impl StationAlarm {
    /// Carries out an action of an operator; ending a lesson takes milliseconds. The record that follows has to be stored. The
    /// lesson of a training that the operator could know of, `lesson_id`, does not undo it.
    ///
    /// # Errors
    ///
    /// Fails when the action is not possible, and then changes nothing.
    pub fn act(
        &mut self,
        action: AlarmAction,
        lesson_id: Option<u64>,
        params: &AlarmParams,
    ) -> Result<(), NotPossible> {
        let events_to_learn = self.events_to_learn(params);
        match (action, &mut self.stage) {
            (AlarmAction::Settle, Stage::Watching(watching)) => watching.settle()?,
            (AlarmAction::Settle, Stage::Learning(_)) => return Err(NotPossible::NothingToSettle),
            (AlarmAction::Learn { n_events }, stage) => {
                *stage = Stage::Learning(LearntEvents::default());
                self.events_to_learn = n_events;
            }
            (AlarmAction::Extend { n_events }, Stage::Learning(_)) => {
                let most = *AlarmParams::EVENTS_TO_LEARN.end();
                let n_events = n_events.unwrap_or(2 * events_to_learn).min(most);
                if n_events <= events_to_learn {
                    return Err(NotPossible::LessonIsLonger { n_events: events_to_learn });
                }
                self.events_to_learn = Some(n_events);
            }
            (AlarmAction::Approve, Stage::Learning(learnt)) => {
                let least = *AlarmParams::EVENTS_TO_LEARN.start();
                if learnt.len() < least as usize {
                    return Err(NotPossible::LessonIsShort { n_events: learnt.len(), least });
                }
                let watching = Watching::learn(learnt.clone(), params)?;
                self.begin_to_watch(watching);
            }
            (AlarmAction::Extend { .. } | AlarmAction::Approve, Stage::Watching(_)) => {
                return Err(NotPossible::NotLearning);
            }
        }
        self.lesson_id = lesson_id.or(self.lesson_id);
        self.must_record = true;
        Ok(())
    }
}

impl Watching {
    fn settle(&mut self) -> Result<(), NotPossible> {
        let is_alarm = self.watch.settle(&self.model);
        let fails = self.course.sensors.faults(&self.rules).next().is_some();
        if !is_alarm && !fails {
            return Err(NotPossible::NothingToSettle);
        }
        self.course.sensors.settle(&self.rules);
        if is_alarm {
            self.course.episode = None;
            self.course.n_opened = self.course.n_opened.saturating_sub(1);
        }
        Ok(())
    }
}
