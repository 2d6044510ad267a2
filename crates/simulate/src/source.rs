//! Sources of events: the simulated plant, or a recording.

use std::collections::VecDeque;
use std::iter;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use plant::Plant;
use recording::{Profile, Recording};
use sensor::{Feature, FeatureSchema, FeatureValues, StationId};
use wire::EventBody;
use wording::listed;

use crate::args::Args;

/// The default number of simulated events.
const COUNT_DEFAULT: u64 = 30;

/// An event to be sent, and the truth about it.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) station_id: StationId,
    pub(crate) sequence: u64,
    /// Its place in the order of measurement, where it is not sent in that order.
    pub(crate) place: Option<u64>,
    /// When it was measured; `None` until it is sent.
    pub(crate) timestamp_us: Option<i64>,
    pub(crate) features: FeatureValues,
    /// `true` if it is anomalous, where that is known.
    pub(crate) is_anomaly: Option<bool>,
    /// The cause, if there is one.
    pub(crate) cause: Option<String>,
}

/// Opens what the arguments name, for a model that wants to know the features `wanted`.
///
/// A recording is read whole before anything is sent, so that a bad row is known before the first
/// event is stored.
pub(crate) fn messages(args: &Args, wanted: &[String]) -> anyhow::Result<Messages> {
    match &args.replay {
        Some(path) => {
            let mut messages = recorded(path, &args.reading.profile(), wanted)?;
            messages.truncate(args.count.map_or(Ok(usize::MAX), usize::try_from)?);
            Ok(Messages { len: messages.len() as u64, messages: Box::new(messages.into_iter()) })
        }
        None if !args.reading.is_empty() => {
            bail!("there is no --replay to read in another way")
        }
        None => simulated(args, wanted),
    }
}

/// A stream of messages whose length is known.
pub(crate) struct Messages {
    pub(crate) len: u64,
    messages: Box<dyn Iterator<Item = Message> + Send>,
}

impl Iterator for Messages {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.messages.next()
    }
}

fn simulated(args: &Args, wanted: &[String]) -> anyhow::Result<Messages> {
    let schema = FeatureSchema::default();
    let names = Arc::clone(schema.names());
    let mut missing = wanted.to_vec();
    missing.retain(|name| !names.iter().any(|measured| **measured == **name));
    if !missing.is_empty() {
        bail!(
            "the simulated plant does not measure {}, which the server's model needs: send a recording with --replay FILE.csv",
            listed(&missing)
        );
    }
    let len = args.count.unwrap_or(COUNT_DEFAULT);
    let messages = Plant::new(&args.plant()).map(move |message| Message {
        station_id: plant::station_id(message.station_number),
        sequence: message.index,
        place: None,
        timestamp_us: None,
        features: FeatureValues::new(Arc::clone(&names), message.values),
        is_anomaly: Some(message.fault.is_some()),
        cause: message.fault.map(|fault| fault.to_string()),
    });
    let messages = messages.take(usize::try_from(len)?);
    if args.changing && args.backfill.is_some() {
        let len = len + len / REPEATED_EACH - len / (REPEATED_EACH * LATE_EACH);
        return Ok(Messages { len, messages: Box::new(late_and_repeated(messages)) });
    }
    Ok(Messages { len, messages: Box::new(messages) })
}

/// Of so many events, one is sent late, and one twice.
const LATE_EACH: u64 = 211;
const REPEATED_EACH: u64 = 307;
/// An event that is late comes after so many others.
const LATE_BY: u64 = 40;

/// Sends some events late and some twice, as networks do.
fn late_and_repeated(
    messages: impl Iterator<Item = Message> + Send + 'static,
) -> impl Iterator<Item = Message> + Send {
    let mut late = VecDeque::<Message>::new();
    let mut messages = (0..).zip(messages);
    let mut again = None;
    iter::from_fn(move || {
        if let Some(message) = again.take() {
            return Some(message);
        }
        loop {
            let Some((place, message)) = messages.next() else { return late.pop_front() };
            let message = Message { place: Some(place), ..message };
            let number = place + 1;
            if number % LATE_EACH == 0 {
                late.push_back(message);
                continue;
            }
            let is_due = |late: &mut Message| late.place.is_some_and(|of| of + LATE_BY <= place);
            again = if number % REPEATED_EACH == 0 {
                Some(message.clone())
            } else {
                late.pop_front_if(is_due)
            };
            return Some(message);
        }
    })
}

fn recorded(path: &Path, profile: &Profile, wanted: &[String]) -> anyhow::Result<Vec<Message>> {
    // What may be missing, and what is possible, the server knows better.
    let features = wanted.iter().map(|name| Feature { optional: true, ..Feature::named(name) });
    let schema = FeatureSchema::new(features.collect())
        .context("the server names features that cannot be")?;
    let mut messages = Vec::new();
    for row in Recording::open(path, profile)?.events(&schema)? {
        let row = row??;
        let is_anomaly = row.is_anomaly?;
        messages.push(Message {
            station_id: row.event.station_id().clone(),
            sequence: row.event.sequence(),
            place: None,
            timestamp_us: Some(row.event.timestamp_us()),
            features: schema.feature_values(&row.event),
            is_anomaly,
            cause: (is_anomaly == Some(true)).then(|| String::from("labelled")),
        });
    }
    if messages.is_empty() {
        bail!("`{}` has a header and no rows to send", path.display());
    }
    Ok(messages)
}

/// More values would not fit a line.
const VALUES_SHOWN: usize = 4;

impl Message {
    /// Its first names and values, as people read them, and whether there are more.
    pub(crate) fn shown(&self) -> (Vec<(&str, String)>, bool) {
        let text = |value: Option<f64>| value.map_or(String::from("-"), |v| format!("{v:.2}"));
        let shown =
            self.features.iter().take(VALUES_SHOWN).map(|(name, value)| (name, text(value)));
        (shown.collect(), self.features.len() > VALUES_SHOWN)
    }

    /// Returns the event as JSON, measured at this time.
    pub(crate) fn body(&self, timestamp_us: i64) -> String {
        let body = EventBody::new(&self.station_id, self.sequence, timestamp_us, &self.features);
        serde_json::to_string(&body).expect("names, numbers and texts are JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_events_come_late_and_some_twice_and_none_is_lost() {
        let message = |sequence: u64| Message {
            station_id: StationId::parse("press").unwrap(),
            sequence,
            place: None,
            timestamp_us: None,
            features: [("heat", Some(1.0))].into_iter().collect(),
            is_anomaly: None,
            cause: None,
        };
        let sent: Vec<Message> = late_and_repeated((0..2_000).map(message)).collect();
        assert!(sent.iter().all(|message| message.place == Some(message.sequence)));
        let mut sequences: Vec<u64> = sent.iter().map(|message| message.sequence).collect();
        let place = |wanted: u64| sequences.iter().position(|&sequence| sequence == wanted);
        assert!(place(210) > place(249) && place(210) < place(253), "{:?}", place(210));
        assert_eq!(sequences.iter().filter(|&&sequence| sequence == 306).count(), 2);
        sequences.sort_unstable();
        sequences.dedup();
        assert_eq!(sequences, (0..2_000).collect::<Vec<_>>());
        assert_eq!(sent.len(), 2_000 + 2_000 / 307);
    }
}
