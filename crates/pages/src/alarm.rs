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
    let settle = Action {
        name: "settle",
        label: "This level is usual now",
        effect: "ends the alarm, which does not count in the budget; a value at which a sensor rests is no fault",
    };
    let learn = Action {
        name: "learn",
        label: "Learn again",
        effect: "forgets what is usual for this station, and learns it from the next events",
    };
    let approve = Action {
        name: "approve",
        label: "Watch now",
        effect: "ends the lesson with the events that it has",
    };
    let extend = Action {
        name: "extend",
        label: "Learn twice as long",
        effect: "a longer lesson knows more of what is usual",
    };
    let events_learnt = alarm.lesson.map_or(0, |lesson| lesson.events_learnt);
    match alarm.state {
        AlarmState::Open | AlarmState::Accepted => vec![settle, learn],
        AlarmState::Learning if AlarmParams::EVENTS_TO_LEARN.contains(&events_learnt) => {
            vec![approve, extend, learn]
        }
        AlarmState::Learning => vec![extend],
        AlarmState::Watching | AlarmState::BudgetSpent if alarm.sensor_fault.is_some() => {
            vec![settle, learn]
        }
        AlarmState::Watching | AlarmState::BudgetSpent => vec![learn],
        AlarmState::Late => Vec::new(),
    }
}
