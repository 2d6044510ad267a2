//! `POST /ui/stations/{station_id}/alarm/{action}`: what an operator knows of a station.

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use sensor::{Alarm, AlarmState, StationId};

use crate::shell::Root;
use crate::words::station_link;
use http_door::ApiError;
use http_door::query::{NoQuery, QueryFaultKind};
use pipeline::{AlarmAction, AlarmParams, Pipeline};

/// A button that changes the alarm of the station.
pub(crate) struct Action {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) effect: &'static str,
    /// `true` if it cannot be taken back, so that a second click is asked for.
    pub(crate) is_final: bool,
}

/// Reads the action that has led to a page.
pub(crate) fn done(name: &str) -> Result<AlarmAction, QueryFaultKind> {
    AlarmAction::named(name).ok_or(QueryFaultKind::Choice)
}

/// Describes an action that was carried out.
pub(crate) fn done_words(action: AlarmAction) -> &'static str {
    match action {
        AlarmAction::Settle => "The level is settled: the next events are compared with it.",
        AlarmAction::Learn { .. } => "The lesson begins with the next event.",
        AlarmAction::Extend { .. } => "The lesson is longer now.",
        AlarmAction::Approve => "The lesson has ended: the next events are watched.",
    }
}

/// Carries out an action on the alarm of a station, and shows the station.
pub(crate) async fn act(
    State(pipeline): State<Pipeline>,
    root: Root,
    Path((station_id, action)): Path<(String, String)>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let station_id = StationId::parse(&station_id).map_err(|_| ApiError::NotFound)?;
    let action = AlarmAction::named(&action).ok_or(ApiError::NotFound)?;
    pipeline.act_on_alarm(station_id.clone(), action).await?;
    let target = format!("{root}{}?done={}", station_link(&station_id), action.name());
    Ok(Redirect::to(&target).into_response())
}

/// Returns the actions that may be wanted after an alarm.
pub(crate) fn actions(alarm: &Alarm) -> Vec<Action> {
    use AlarmAction::{Approve, Extend, Learn, Settle};

    let (learn, extend) = (Learn { n_events: None }, Extend { n_events: None });
    let events_learnt = alarm.lesson.map_or(0, |lesson| lesson.events_learnt);
    let can_approve = AlarmParams::EVENTS_TO_LEARN.contains(&events_learnt);
    let wanted = match alarm.state {
        AlarmState::Open | AlarmState::Accepted => vec![Settle, learn],
        AlarmState::Learning if can_approve => vec![Approve, extend, learn],
        AlarmState::Learning => vec![extend],
        AlarmState::Watching | AlarmState::BudgetSpent => {
            let settle = alarm.sensor_fault.as_ref().map(|_| Settle);
            settle.into_iter().chain([learn]).collect()
        }
        AlarmState::Late => Vec::new(),
    };
    wanted.into_iter().map(Action::of).collect()
}

impl Action {
    fn of(action: AlarmAction) -> Self {
        let (label, effect) = match action {
            AlarmAction::Settle => (
                "This level is usual now",
                "ends the alarm, which does not count in the budget; a value at which a sensor rests is no fault",
            ),
            AlarmAction::Learn { .. } => (
                "Learn again",
                "forgets what is usual for this station, and learns it from the next events",
            ),
            AlarmAction::Approve => ("Watch now", "ends the lesson with the events that it has"),
            AlarmAction::Extend { .. } => {
                ("Learn twice as long", "a longer lesson knows more of what is usual")
            }
        };
        let is_final = matches!(action, AlarmAction::Learn { .. });
        Self { name: action.name(), label, effect, is_final }
    }
}
