//! Sources of events: the simulated plant, or a recording.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use plant::Plant;
use recording::Recording;
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
            let mut messages = recorded(path, wanted)?;
            messages.truncate(args.count.map_or(Ok(usize::MAX), usize::try_from)?);
            Ok(Messages { len: messages.len() as u64, messages: Box::new(messages.into_iter()) })
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
        timestamp_us: None,
        features: FeatureValues::new(Arc::clone(&names), message.values),
        is_anomaly: Some(message.fault.is_some()),
        cause: message.fault.map(|fault| fault.to_string()),
    });
    Ok(Messages { len, messages: Box::new(messages.take(usize::try_from(len)?)) })
}

fn recorded(path: &Path, wanted: &[String]) -> anyhow::Result<Vec<Message>> {
    // What may be missing, and what is possible, the server knows better.
    let features = wanted.iter().map(|name| Feature { optional: true, ..Feature::named(name) });
    let schema = FeatureSchema::new(features.collect())
        .context("the server names features that cannot be")?;
    let mut messages = Vec::new();
    for row in Recording::open(path)?.events(&schema)? {
        let row = row??;
        let is_anomaly = row.is_anomaly?;
        messages.push(Message {
            station_id: row.event.station_id().clone(),
            sequence: row.event.sequence(),
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
