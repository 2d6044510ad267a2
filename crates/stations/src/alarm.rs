//! The alarm of a station: it learns from the first events, and then watches.

mod action;
mod budget;
mod learnt;
mod pace;
mod record;

use std::ops::RangeInclusive;
use std::sync::Arc;

use sensor::{Alarm, AlarmView, Direction, Episode, Prediction, SensorFault, Surprise};
use serde::{Deserialize, Serialize};
use stream::{
    AlarmState, Model, SensorFaultKind, SensorRules, SensorWatch, Step, View, WarmUpError, Watch,
};

use crate::alarm::learnt::{Learnt, LearntEvents};
use crate::alarm::pace::EventPace;
use crate::alarm::record::{EVENTS_OF_RECORD, state_size};

pub use crate::alarm::action::{AlarmAction, NotPossible};
pub use crate::alarm::budget::{InvalidStationBudget, StationBudget};

/// The budget for each event follows the pace when they differ by more than this share.
const BUDGET_TOLERANCE: f64 = 0.02;

/// The choices of an operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmParams {
    /// Alarms that may open at a station in a day, above 0.
    pub alarms_per_day: f64,
    /// Events that a station learns from, within [`AlarmParams::EVENTS_TO_LEARN`].
    pub events_to_learn: u32,
    /// Events are kept for so long at least, in microseconds.
    pub kept_us: i64,
}

impl AlarmParams {
    /// The number of events that a station may learn from.
    pub const EVENTS_TO_LEARN: RangeInclusive<u32> = 160..=10_000;
}

impl Default for AlarmParams {
    fn default() -> Self {
        Self { alarms_per_day: 1.0, events_to_learn: 400, kept_us: i64::MAX }
    }
}

/// The lesson of a training, for a station to learn from instead of its own first events.
#[derive(Debug, Clone, Copy)]
pub struct TrainedLesson<'a> {
    /// A number that no other lesson has.
    pub id: u64,
    /// When the events were measured, in microseconds since 1970 (UTC), ascending.
    pub timestamps_us: &'a [i64],
    /// The values of one event after another, NaN for a missing one.
    pub values: &'a [f64],
}

/// The place of an event among those of its station: its time, and its number among those of the same time.
pub type Moment = (i64, u64);

/// The alarm of a station: a value that takes one event after another.
///
/// One that was written as a record, was read and has taken the events that followed is equal to one that took all events.
#[derive(Debug, Clone, PartialEq)]
pub struct StationAlarm {
    /// The features of its events.
    names: Vec<String>,
    /// The event that was measured last.
    last: Option<Moment>,
    /// Alarms that have opened.
    n_episodes: u32,
    /// The lesson that it began with.
    lesson_id: Option<u64>,
    /// Events that the lesson shall have, if an operator has said so.
    events_to_learn: Option<u32>,
    stage: Stage,
    /// Events since the last record.
    n_unrecorded: u32,
    /// `true` if something happened since that the events that followed the record do not tell.
    must_record: bool,
    /// When the event of the last record was measured.
    recorded_us: Option<i64>,
}

/// The use of the next event.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Learning(LearntEvents),
    Watching(Box<Watching>),
}

#[derive(Debug, Clone, PartialEq)]
struct Watching {
    learnt: LearntEvents,
    model: Model,
    watch: Watch,
    rules: SensorRules,
    course: Course,
}

/// The course of a station since it is watched, beside what its watch carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Course {
    pace: EventPace,
    sensors: SensorWatch,
    /// The alarm that is open or was accepted.
    episode: Option<Episode>,
    /// When the first event was measured that it watched, and the alarms that opened since, but for those that were settled.
    since_us: Option<i64>,
    n_opened: u32,
}

/// The alarms of a station beside its budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AlarmTally {
    /// The time in which it was watched, in microseconds.
    pub watched_us: i64,
    /// Alarms that opened, but for those that were settled.
    pub n_opened: u32,
    /// Alarms that may open in a day.
    pub alarms_per_day: f64,
}

impl StationAlarm {
    /// Begins to learn, from events after `last` with these features.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>, last: Option<Moment>) -> Self {
        let names = names.into_iter().map(String::from).collect();
        let stage = Stage::Learning(LearntEvents::default());
        Self {
            names,
            last,
            n_episodes: 0,
            lesson_id: None,
            events_to_learn: None,
            stage,
            n_unrecorded: 0,
            // The first event comes with a record, so that a restart knows where the lesson began.
            must_record: true,
            recorded_us: None,
        }
    }

    /// Returns `true` if a lesson has something for it that it did not begin with. While an alarm is open, it stays with what
    /// it knows.
    pub fn needs_lesson(&self, lesson: &TrainedLesson<'_>) -> bool {
        let is_open = match &self.stage {
            Stage::Learning(_) => false,
            Stage::Watching(watching) => watching.watch.state() == AlarmState::Open,
        };
        self.lesson_id != Some(lesson.id) && !is_open
    }

    /// Learns from a lesson, which takes milliseconds, and forgets what it knew. One with fewer events than are needed only
    /// begins the lesson of a station that still learns, and one that nothing can be learnt from changes nothing.
    ///
    /// # Panics
    ///
    /// Panics when its events have other features.
    pub fn learn_lesson(&mut self, lesson: &TrainedLesson<'_>, params: &AlarmParams) {
        let &TrainedLesson { id, timestamps_us, values } = lesson;
        let (timestamps_us, values) = (timestamps_us.to_vec(), values.to_vec());
        let learnt =
            LearntEvents { are_anomalies: vec![false; timestamps_us.len()], timestamps_us, values };
        assert!(learnt.is_of(self.names.len()), "an event has all features");
        self.lesson_id = Some(id);
        self.must_record = true;
        if learnt.len() >= self.events_to_learn(params) as usize {
            if let Ok(mut watching) = Watching::learn(learnt, params) {
                watching.watch.note_gap();
                self.begin_to_watch(watching);
            }
        } else if let Stage::Learning(known) = &mut self.stage
            && known.len() < learnt.len()
        {
            *known = learnt;
        }
    }

    /// Returns `true` if its events have these features.
    pub fn is_of<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> bool {
        self.names.iter().map(String::as_str).eq(names)
    }

    /// Returns the event that was measured last.
    pub fn last(&self) -> Option<Moment> {
        self.last
    }

    /// Forgets when the last event was measured: its clock was ahead, and the next events would all be late.
    pub fn forget_time(&mut self) {
        self.last = None;
        self.note_gap();
        self.must_record = true;
    }

    /// Notes that it does not know the events up to one: they do not come any longer.
    pub fn skip_to(&mut self, moment: Option<Moment>) {
        if moment > self.last {
            self.last = moment;
            self.note_gap();
            self.must_record = true;
        }
    }

    fn note_gap(&mut self) {
        if let Stage::Watching(watching) = &mut self.stage {
            watching.watch.note_gap();
        }
    }

    /// Returns `true` while it learns.
    pub fn is_learning(&self) -> bool {
        matches!(self.stage, Stage::Learning(_))
    }

    /// Returns `true` while it learns from more events than usual.
    pub fn has_longer_lesson(&self, params: &AlarmParams) -> bool {
        self.is_learning() && self.events_to_learn(params) > params.events_to_learn
    }

    /// Returns `true` if so many events may complete its lesson.
    pub fn is_about_to_learn(&self, n_events: usize, params: &AlarmParams) -> bool {
        match &self.stage {
            Stage::Learning(learnt) => {
                learnt.len() + n_events >= self.events_to_learn(params) as usize
            }
            Stage::Watching(_) => false,
        }
    }

    /// Returns the approximate memory that it takes, in bytes; while it learns, with that of the events to come.
    pub fn size(&self, params: &AlarmParams) -> usize {
        let n_features = self.names.len();
        let known = match &self.stage {
            Stage::Learning(learnt) => {
                let n_events = learnt.len().max(self.events_to_learn(params) as usize);
                n_events * LearntEvents::size_of_event(n_features)
            }
            Stage::Watching(watching) => {
                let rules = SensorRules::size_of(n_features);
                let model = Model::size_of(n_features) + rules;
                watching.learnt.size(n_features) + model + state_size(n_features)
            }
        };
        size_of::<Self>() + known
    }

    /// Keeps to a budget from now on, which may not be the one that a record was written with.
    pub fn keep_to(&mut self, params: &AlarmParams) {
        if let Stage::Watching(watching) = &mut self.stage
            && watching.course.pace.alarms_per_day != params.alarms_per_day
        {
            watching.course.pace.alarms_per_day = params.alarms_per_day;
            watching.keep_to_pace();
            self.must_record = true;
        }
    }

    /// Takes an event, and returns how the station is. With the event that completes a lesson it takes milliseconds.
    ///
    /// # Panics
    ///
    /// Panics when the event has other features.
    pub fn advance(&mut self, prediction: &Prediction, params: &AlarmParams) -> Alarm {
        let moment = (prediction.timestamp_us, prediction.sequence);
        if self.last.is_some_and(|last| moment <= last) {
            return plain(sensor::AlarmState::Late);
        }
        let pause_us = self.last.map_or(0, |(last_us, _)| prediction.timestamp_us - last_us);
        self.last = Some(moment);
        self.n_unrecorded += 1;
        let values = prediction.features.values();
        assert_eq!(values.len(), self.names.len(), "an event has all features");
        let events_to_learn = self.events_to_learn(params);
        match &mut self.stage {
            Stage::Learning(learnt) => {
                learnt.add(prediction, values, events_to_learn);
                let lesson = learnt.progress(events_to_learn);
                if lesson.events_learnt >= events_to_learn {
                    self.complete_lesson(params);
                }
                Alarm { lesson: Some(lesson), ..plain(sensor::AlarmState::Learning) }
            }
            Stage::Watching(watching) => {
                watching.note_pause(pause_us as f64);
                let before = watching.watch.state();
                let step = watching.watch.advance(&watching.model, values);
                watching.course.since_us.get_or_insert(prediction.timestamp_us);
                if step.is_alarm() && before != AlarmState::Open {
                    self.n_episodes += 1;
                    watching.course.n_opened += 1;
                    let opened_us = prediction.timestamp_us;
                    watching.course.episode =
                        Some(Episode { episode_id: self.n_episodes, opened_us });
                } else if matches!(step.state, AlarmState::Watching | AlarmState::BudgetSpent) {
                    watching.course.episode = None;
                }
                watching.course.sensors.advance(&watching.rules, prediction.timestamp_us, values);
                Alarm {
                    surprise: Some(surprise(&step, prediction)),
                    episode: watching.course.episode,
                    sensor_fault: watching
                        .sensor_fault(|sensor| Arc::clone(&prediction.features.names()[sensor])),
                    ..plain(state(step.state))
                }
            }
        }
    }

    /// Returns how it is, without an event.
    pub fn now(&self, params: &AlarmParams) -> Alarm {
        match &self.stage {
            Stage::Learning(learnt) => {
                let lesson = learnt.progress(self.events_to_learn(params));
                Alarm { lesson: Some(lesson), ..plain(sensor::AlarmState::Learning) }
            }
            Stage::Watching(watching) => Alarm {
                episode: watching.course.episode,
                sensor_fault: watching.sensor_fault(|sensor| self.names[sensor].as_str().into()),
                ..plain(state(watching.watch.state()))
            },
        }
    }

    /// Returns its alarms beside its budget, once it is watched.
    pub fn tally(&self) -> Option<AlarmTally> {
        let Stage::Watching(watching) = &self.stage else { return None };
        let (last_us, since_us) = (self.last?.0, watching.course.since_us?);
        Some(AlarmTally {
            watched_us: last_us.saturating_sub(since_us),
            n_opened: watching.course.n_opened,
            alarms_per_day: watching.course.pace.alarms_per_day,
        })
    }

    fn events_to_learn(&self, params: &AlarmParams) -> u32 {
        self.events_to_learn.unwrap_or(params.events_to_learn)
    }

    /// Ends its lesson. The next one has the usual number of events.
    fn begin_to_watch(&mut self, watching: Watching) {
        self.stage = Stage::Watching(Box::new(watching));
        self.events_to_learn = None;
    }

    /// Learns and begins to watch; begins the lesson again where nothing can be learnt.
    fn complete_lesson(&mut self, params: &AlarmParams) {
        let Stage::Learning(learnt) = &mut self.stage else { return };
        let learnt = std::mem::take(learnt);
        if let Ok(watching) = Watching::learn(learnt, params) {
            self.begin_to_watch(watching);
        }
        self.n_unrecorded = EVENTS_OF_RECORD;
    }
}

impl Watching {
    /// Learns from events and begins to watch.
    fn learn(learnt: LearntEvents, params: &AlarmParams) -> Result<Self, WarmUpError> {
        let pace = EventPace::new(params.alarms_per_day, learnt.interval_us());
        let Learnt { model, watch, rules, sensors } = learnt.learn(pace.budget())?;
        let course = Course { pace, sensors, episode: None, since_us: None, n_opened: 0 };
        Ok(Self { learnt, model, watch, rules, course })
    }

    /// Notes the time since the last event, in microseconds.
    fn note_pause(&mut self, pause_us: f64) {
        if self.course.pace.note(pause_us) {
            self.watch.note_gap();
        }
        self.keep_to_pace();
    }

    fn keep_to_pace(&mut self) {
        let budget = self.course.pace.budget();
        let difference = budget / self.watch.budget() - 1.0;
        if difference.abs() > BUDGET_TOLERANCE {
            self.watch.set_budget(budget);
        }
    }

    /// Returns the sensor that began to fail last, by the name of its feature.
    fn sensor_fault(&self, name_of: impl FnOnce(usize) -> Arc<str>) -> Option<SensorFault> {
        let mut n_features = 0;
        let faults = self.course.sensors.faults(&self.rules).inspect(|_| n_features += 1);
        let latest = faults.max_by_key(|fault| fault.since)?;
        Some(SensorFault {
            feature: name_of(latest.sensor),
            kind: kind(latest.kind),
            since_us: latest.since,
            n_features,
        })
    }
}

fn surprise(step: &Step, prediction: &Prediction) -> Surprise {
    Surprise {
        surprise: step.surprise,
        threshold: step.threshold,
        view: match step.view {
            View::Joint => AlarmView::Joint,
            View::Relation => AlarmView::Relation,
            View::Shape => AlarmView::Shape,
        },
        feature: Arc::clone(&prediction.features.names()[step.sensor]),
        direction: if step.is_high { Direction::High } else { Direction::Low },
    }
}

fn state(state: AlarmState) -> sensor::AlarmState {
    match state {
        AlarmState::Watching => sensor::AlarmState::Watching,
        AlarmState::Open => sensor::AlarmState::Open,
        AlarmState::Accepted => sensor::AlarmState::Accepted,
        AlarmState::BudgetSpent => sensor::AlarmState::BudgetSpent,
    }
}

fn kind(kind: SensorFaultKind) -> sensor::SensorFaultKind {
    match kind {
        SensorFaultKind::Stuck => sensor::SensorFaultKind::Stuck,
        SensorFaultKind::Silent => sensor::SensorFaultKind::Silent,
        SensorFaultKind::Moves => sensor::SensorFaultKind::Moves,
        SensorFaultKind::AtLimit => sensor::SensorFaultKind::AtLimit,
        SensorFaultKind::Dropout => sensor::SensorFaultKind::Dropout,
    }
}

/// Returns an alarm with nothing but a state.
fn plain(state: sensor::AlarmState) -> Alarm {
    Alarm { state, lesson: None, surprise: None, episode: None, sensor_fault: None }
}
