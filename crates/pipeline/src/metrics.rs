//! The metrics of the pipeline.
//!
//! The registry prefixes all names with `iot_`. The meaning of each is in `docs/operations.md`.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets, linear_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};
use sensor::{FaultKind, Prediction, StationId};
use stations::{Counts, Snapshot, StationNow};
use store::{CommitReport, Kept, Store};

use crate::alarms::AlarmCounts;
use crate::latency::{LatencyNow, RecentLatency};
use crate::limits::STATION_LABELS_MAX;
use crate::model::Model;
use crate::refusal::Refusal;

/// The label of the shared series: not a valid name of a station.
const OTHER_STATIONS: &str = "(other)";

/// Counters and gauges of the pipeline.
pub(crate) struct Metrics {
    /// Latencies of single events until their receipts, for people.
    recent_latency: RecentLatency,
    predictions: Family<OutcomeLabels, Counter>,
    events_refused: Family<CodeLabels, Counter>,
    ignored_keys: Counter,
    anomaly_scores: Histogram,
    anomalous_predictions: Counter,
    anomalies: Family<StationLabels, Counter>,
    /// The fleet when the metrics were last asked for.
    fleet: ArcSwap<Snapshot>,
    /// Stations that have a series.
    n_station_series: AtomicUsize,
    queue_len: Gauge,
    commit_predictions: Histogram,
    commit_seconds: Histogram,
    commit_failures: Counter,
    stored_predictions: Gauge,
    stored_anomalies: Gauge,
    stations: Family<StateLabels, Gauge>,
    alarms_opened: Counter,
    stations_in_time_order: Family<StateLabels, Gauge>,
    model_info: Family<ModelLabels, Gauge>,
    model_reloads: Family<OutcomeLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StationLabels {
    station_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    version: String,
    origin: &'static str,
    engine: String,
}

/// Makes a family of counters that begin with 0, so that a rate can be computed from the first event.
fn outcomes<const N: usize>(all: [&'static str; N]) -> Family<OutcomeLabels, Counter> {
    let family = Family::default();
    for outcome in all {
        drop(family.get_or_create(&OutcomeLabels { outcome }));
    }
    family
}

/// The same, by code.
fn codes(all: impl Iterator<Item = &'static str>) -> Family<CodeLabels, Counter> {
    let family = Family::default();
    for code in all {
        drop(family.get_or_create(&CodeLabels { code }));
    }
    family
}

/// Registers a metric and returns it.
fn known<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Registers the metrics of the pipeline.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        // From 0.1 ms to 13 s.
        let commit_seconds = Histogram::new(exponential_buckets(1e-4, 2.0, 18));
        registry.register_with_unit(
            "store_commit",
            "Time of a transaction that was committed",
            Unit::Seconds,
            commit_seconds.clone(),
        );
        let r = registry;
        Self {
            recent_latency: RecentLatency::new(),
            predictions: known(
                r,
                "predictions",
                "Valid events by what became of their prediction",
                outcomes(["stored", "duplicate", "conflict", "unreadable", "failed"]),
            ),
            events_refused: known(
                r,
                "events_refused",
                "Faults of events that were refused, by code, up to 16 of an event",
                codes(FaultKind::CODES.iter().copied().chain([Refusal::TOO_LARGE])),
            ),
            ignored_keys: known(
                r,
                "ignored_keys",
                "Keys of events that no feature of the model has",
                Counter::default(),
            ),
            anomaly_scores: known(
                r,
                "anomaly_score",
                "Scores of stored predictions",
                Histogram::new(linear_buckets(0.05, 0.05, 19)),
            ),
            anomalous_predictions: known(
                r,
                "anomalous_predictions",
                "Anomalies stored",
                Counter::default(),
            ),
            anomalies: known(
                r,
                "anomalies",
                "Anomalies stored, by station for the first 1,000 stations that had any",
                Family::default(),
            ),
            fleet: ArcSwap::default(),
            n_station_series: AtomicUsize::new(0),
            queue_len: known(
                r,
                "store_queue_predictions",
                "Predictions that wait for the writer",
                Gauge::default(),
            ),
            commit_predictions: known(
                r,
                "store_commit_predictions",
                "Predictions of a transaction",
                Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            ),
            commit_seconds,
            commit_failures: known(
                r,
                "store_commit_failures",
                "Transactions that were not committed",
                Counter::default(),
            ),
            stored_predictions: known(
                r,
                "stored_predictions",
                "Predictions kept",
                Gauge::default(),
            ),
            stored_anomalies: known(r, "stored_anomalies", "Anomalies kept", Gauge::default()),
            stations: known(
                r,
                "stations",
                "Stations by how they are; the sick are among those with an anomaly",
                Family::default(),
            ),
            alarms_opened: known(
                r,
                "alarms_opened",
                "Alarms of stations in time order that opened",
                Counter::default(),
            ),
            stations_in_time_order: known(
                r,
                "stations_in_time_order",
                "Stations that are watched in time order, and that learn for it",
                Family::default(),
            ),
            model_info: known(r, "model_info", "The model in use", Family::default()),
            model_reloads: known(
                r,
                "model_reloads",
                "Attempts to take over another model",
                outcomes(["replaced", "refused"]),
            ),
        }
    }

    /// Brings the gauges up to date.
    pub(crate) fn update(&self, store: &Store, fleet: Arc<Snapshot>, alarms: AlarmCounts) {
        let Counts { normal, anomaly, silent, sick, sensor_fault, changed } = fleet.counts;
        self.fleet.store(fleet);
        for (state, count) in [
            ("normal", normal),
            ("anomaly", anomaly),
            ("silent", silent),
            ("sick", sick),
            ("sensor_fault", sensor_fault),
            ("changed", changed),
        ] {
            let gauge = self.stations.get_or_create(&StateLabels { state });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for (state, count) in [("watching", alarms.n_watching), ("learning", alarms.n_learning)] {
            let labels = StateLabels { state };
            self.stations_in_time_order.get_or_create(&labels).set(gauge(count as u64));
        }
        self.queue_len.set(gauge(store.queue_len() as u64));
        let totals = store.totals();
        self.stored_predictions.set(gauge(totals.events));
        self.stored_anomalies.set(gauge(totals.anomalies));
    }

    /// Notes how long a single event waited for its receipt.
    pub(crate) fn answered(&self, took: Duration) {
        self.recent_latency.note(took);
    }

    /// Returns how long single events recently waited.
    pub(crate) fn latency(&self) -> Option<LatencyNow> {
        self.recent_latency.now()
    }

    /// Counts the faults of an event that was refused.
    pub(crate) fn refused(&self, refusal: &Refusal) {
        let count = |code| {
            self.events_refused.get_or_create(&CodeLabels { code }).inc();
        };
        match refusal {
            Refusal::InvalidEvent(invalid) => {
                invalid.faults().iter().for_each(|fault| count(fault.kind.code()));
            }
            Refusal::TooLarge { .. } => count(refusal.code()),
            _ => {}
        }
    }

    pub(crate) fn keys_ignored(&self, n_keys: usize) {
        self.ignored_keys.inc_by(n_keys as u64);
    }

    /// Counts predictions that were not stored, or may not have been.
    pub(crate) fn not_kept(&self, n_predictions: usize) {
        let labels = OutcomeLabels { outcome: "failed" };
        self.predictions.get_or_create(&labels).inc_by(n_predictions as u64);
    }

    /// Counts what the store did with a prediction.
    pub(crate) fn predicted(&self, prediction: &Prediction, kept: &Kept) {
        let outcome = match kept {
            Kept::Stored => "stored",
            Kept::Duplicate(_) => "duplicate",
            Kept::Conflict => "conflict",
            Kept::Unreadable => "unreadable",
        };
        self.predictions.get_or_create(&OutcomeLabels { outcome }).inc();
        if outcome == "stored" {
            if prediction
                .alarm
                .as_ref()
                .is_some_and(|alarm| alarm.opens_at(prediction.timestamp_us))
            {
                self.alarms_opened.inc();
            }
            self.anomaly_scores.observe(prediction.anomaly_score);
            if prediction.is_anomaly {
                self.anomalous_predictions.inc();
                self.anomaly_of(&prediction.station_id);
            }
        }
    }

    /// Returns `true` if a station had sent many events when the metrics were last asked for.
    fn is_established(&self, station_id: &StationId) -> bool {
        self.fleet.load().station(station_id).is_some_and(StationNow::is_established)
    }

    /// Half of the series are for stations that have sent many events, so that invented names do not
    /// take all.
    fn anomaly_of(&self, station_id: &StationId) {
        let own = StationLabels { station_id: String::from(station_id.as_str()) };
        if let Some(anomalies) = self.anomalies.get(&own) {
            anomalies.inc();
            return;
        }
        let n_series = self.n_station_series.load(Ordering::Relaxed);
        let may_have_one = n_series < STATION_LABELS_MAX / 2
            || (n_series < STATION_LABELS_MAX && self.is_established(station_id));
        let has_room = may_have_one
            && self.n_station_series.fetch_add(1, Ordering::Relaxed) < STATION_LABELS_MAX;
        let other = || StationLabels { station_id: String::from(OTHER_STATIONS) };
        self.anomalies.get_or_create(&if has_room { own } else { other() }).inc();
    }

    pub(crate) fn committed(&self, report: &CommitReport) {
        if report.is_stored {
            self.commit_predictions.observe(report.n_predictions as f64);
            self.commit_seconds.observe(report.duration.as_secs_f64());
        } else {
            self.commit_failures.inc();
        }
    }

    pub(crate) fn model_in_use(&self, model: &Model) {
        self.model_info.clear();
        let labels = ModelLabels {
            version: model.version().to_string(),
            origin: model.origin.name(),
            engine: model.detector.engine().to_string(),
        };
        self.model_info.get_or_create(&labels).set(1);
    }

    pub(crate) fn model_reloaded(&self, is_replaced: bool) {
        let outcome = if is_replaced { "replaced" } else { "refused" };
        self.model_reloads.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
