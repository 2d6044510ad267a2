//! The handle that doors and pages share.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prometheus_client::registry::Registry;
use sensor::{Alarm, Clock, StationId};
use stations::{AlarmAction, AlarmParams, AlarmTally, StationBudget};
use store::{CommitReport, ReadError, Store, Totals, Writer};

use crate::alarms::{ActionError, Alarms, Occasion};
use crate::compute::{Processors, Turns};
use crate::door::Shutdown;
use crate::latency::LatencyNow;
use crate::limits::FEATURES_WATCHED_MAX;
use crate::live_fleet::LiveFleet;
use crate::metrics::Metrics;
use crate::model::{Model, ModelFiles, Models, Observers};
use crate::recall;
use crate::refusal::Refusal;
use crate::refused::{RefusalLog, RefusedEvents};
use crate::retention::{self, Retentions};

/// The way of an event from its door to its receipt. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Pipeline(Arc<Shared>);

/// The parts of a [`Pipeline`].
#[derive(Debug)]
pub struct Parts {
    /// The model to begin with.
    pub model: Model,
    /// The files that a reload reads.
    pub model_files: ModelFiles,
    /// Tells the time.
    pub clock: Clock,
    /// A clock that shows an earlier time, in microseconds since 1970 (UTC), is not set.
    pub earliest_us: i64,
    /// The choices for alarms in time order; `None` judges every event alone.
    pub alarms: Option<AlarmParams>,
    /// Other budgets of some stations, of which the first that fits counts.
    pub alarm_budgets: Vec<StationBudget>,
    /// Memory for that, in KiB.
    pub alarm_memory_kib: usize,
}

/// The contents of a [`Pipeline`].
#[derive(Debug, Clone)]
pub struct Shared {
    /// The model in use, and how to replace it.
    pub models: Models,
    /// Stored predictions.
    pub store: Store,
    /// The stations as they are now.
    pub fleet: LiveFleet,
    /// Work that takes a processor for a while.
    pub processors: Processors,
    /// The turns of all pages together to such work.
    pub turns_of_pages: Turns,
    /// Tells the time.
    pub clock: Clock,
    /// When the server started, in microseconds since 1970 (UTC).
    pub started_us: i64,
    begun: Instant,
    earliest_us: i64,
    pub(crate) alarms: Option<Alarms>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) refusals: Arc<RefusalLog>,
}

impl Pipeline {
    /// Brings the parts together and registers the metrics. The server counts as started now.
    ///
    /// `open_store` opens the database with an observer of its commits.
    ///
    /// # Errors
    ///
    /// Fails when `open_store` does.
    pub fn open<E>(
        parts: Parts,
        registry: &mut Registry,
        open_store: impl FnOnce(store::Observer) -> Result<(Store, Writer), E>,
    ) -> Result<(Self, Writer), E> {
        let Parts {
            model,
            model_files,
            clock,
            earliest_us,
            alarms,
            alarm_budgets,
            alarm_memory_kib,
        } = parts;
        let metrics = Arc::new(Metrics::register(registry));
        let fleet = LiveFleet::start(clock);
        let (store, writer) = {
            let (metrics, fleet) = (Arc::clone(&metrics), fleet.clone());
            open_store(Box::new(move |report: CommitReport| {
                metrics.committed(&report);
                fleet.note(report.arrivals);
            }))?
        };
        let observers = Observers { metrics: Arc::clone(&metrics), fleet: fleet.clone() };
        let models = Models::new(model, model_files, clock, observers);
        let started_us = clock();
        let processors = Processors::all();
        let alarms = alarms.map(|params| {
            let (store, processors) = (store.for_alarms(), processors.clone());
            Alarms::new(params, alarm_budgets, alarm_memory_kib, store, processors)
        });
        let shared = Shared {
            alarms,
            models,
            store,
            fleet,
            processors,
            turns_of_pages: Turns::default(),
            clock,
            earliest_us,
            begun: Instant::now(),
            started_us,
            metrics,
            refusals: Arc::default(),
        };
        Ok((Self(Arc::new(shared)), writer))
    }

    /// Returns the same pipeline for pages, which read the database with readers of their own.
    #[must_use]
    pub fn for_pages(&self) -> Self {
        Self(Arc::new(Shared { store: self.store.for_pages(), ..(*self.0).clone() }))
    }

    /// Reads the state of the stations from the database, before anything else arrives. The pages
    /// begin without it when it cannot be read.
    pub async fn recall(&self) {
        if let Err(error) = recall::recall(&self.store, &self.fleet, (self.clock)()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "cannot read the past of the stations; the pages start empty");
        }
    }

    /// Returns the alarms, unless they are off or the model has too many features for them.
    pub(crate) fn alarms_under(&self, model: &Model) -> Option<&Alarms> {
        let has_few = model.detector.schema().len() <= FEATURES_WATCHED_MAX;
        self.alarms.as_ref().filter(|_| has_few)
    }

    /// Returns the alarms that may open at a station in a day; `None` where each event is judged alone.
    pub fn alarms_per_day(&self) -> Option<f64> {
        Some(self.alarms_under(&self.models.current())?.params().alarms_per_day)
    }

    /// Returns how a station is, and its alarms beside its budget once it is watched; `None` where that is not in memory, and
    /// while an event of it is judged.
    pub fn alarm_now(&self, station_id: &StationId) -> Option<(Alarm, Option<AlarmTally>)> {
        self.alarms.as_ref()?.now(station_id)
    }

    /// Carries out an action of an operator on the alarm of a station, and returns how it is then. It is done also when the
    /// caller stops waiting.
    ///
    /// # Errors
    ///
    /// Fails with the reason why nothing has changed; of a commit that was not confirmed, the next event shows what became.
    pub async fn act_on_alarm(
        &self,
        station_id: StationId,
        action: AlarmAction,
    ) -> Result<Alarm, ActionError> {
        let pipeline = self.clone();
        let acting = async move {
            let model = pipeline.models.current();
            let alarms = pipeline.alarms_under(&model).ok_or(ActionError::Off)?;
            let now_us = (pipeline.clock)();
            let occasion = Occasion { model: &model, is_current: true, now_us };
            alarms.act(station_id, action, occasion).await
        };
        let acted = tokio::spawn(acting).await;
        acted.map_err(|panicked| ActionError::Read(ReadError::Panic(panicked)))?
    }

    /// Reads the alarms of all stations that are known, so that their first events need not wait for it.
    async fn recall_alarms(&self) {
        for station in &self.fleet.now().await.stations {
            let model = self.models.current();
            let Some(alarms) = self.alarms_under(&model) else { return };
            let station = BTreeMap::from([(station.station_id.clone(), None)]);
            let occasion = Occasion { model: &model, is_current: true, now_us: (self.clock)() };
            drop(alarms.enter(station, occasion).await);
        }
    }

    /// Recalls the alarms and the last hour of each station and deletes what retention does not keep, until
    /// `shutdown` is requested.
    pub async fn keep_house(self, retentions: Retentions, mut shutdown: Shutdown) {
        let keep = async {
            recall::recall_details(&self.store, &self.fleet).await;
            retention::keep_sweeping(&self.store, retentions, self.clock).await;
        };
        tokio::select! {
            // Neither waits for the other: of many stations, the alarms take a while.
            _ = async { tokio::join!(keep, self.recall_alarms()) } => {}
            () = shutdown.requested() => {}
        }
    }

    /// Brings the metrics that are read, not counted, up to date.
    pub async fn update_gauges(&self) {
        let alarms = self.alarms.as_ref().map(Alarms::counts).unwrap_or_default();
        self.metrics.update(&self.store, self.fleet.now().await, alarms);
    }

    /// Returns how long single events recently waited for their receipts; `None` without any.
    pub fn latency(&self) -> Option<LatencyNow> {
        self.metrics.latency()
    }

    /// Returns the time since the start, whatever the clock does.
    pub fn uptime(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Returns the time.
    ///
    /// # Errors
    ///
    /// Fails while the clock is not set, as on a machine that keeps no time while it is off: the times
    /// of events could not be checked, and those received now would be stored under a wrong time.
    pub fn now_us(&self) -> Result<i64, Refusal> {
        let now_us = (self.clock)();
        if now_us < self.earliest_us { Err(Refusal::ClockUnset { now_us }) } else { Ok(now_us) }
    }

    /// Returns the counts of stored predictions if events can be judged and stored at present.
    ///
    /// # Errors
    ///
    /// Fails with the reason why not.
    pub async fn check(&self) -> Result<Totals, Refusal> {
        self.now_us()?;
        Ok(self.store.check().await?)
    }

    /// Returns the last events that were refused.
    pub fn refused(&self) -> RefusedEvents {
        self.refusals.recent()
    }

    /// Counts predictions, as the writer last knew.
    pub fn totals(&self) -> Totals {
        self.store.totals()
    }

    /// Notes how long a single event waited since `begun`.
    pub(crate) fn answered(&self, begun: Instant) {
        self.metrics.answered(begun.elapsed());
    }
}

impl Deref for Pipeline {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
