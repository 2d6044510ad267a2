//! The alarms of all stations. Each station has a lane, in which its events take turns in the order in which they are
//! stored.
//!
//! A lane is a copy of what the database knows. It is read from there, from a record and the events that followed, when
//! the first event of its station arrives, after an event of it could not be stored, and after it was forgotten to make
//! room.
//!
//! Where the model has a lesson for a station that it did not learn from yet, it does so before an event that advances it, which is
//! stored with a record. Nothing else teaches it: a restart would not know.

mod action;
mod memory;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sensor::{Alarm, FeatureValues, Prediction, StationId};
use stations::{AlarmParams, AlarmTally, Moment, StationAlarm, StationBudget, TrainedLesson};
use store::{
    EventKey, EventQuery, KeepError, NewPrediction, ReadError, Store, StoredPrediction, Trouble,
};
use tokio::sync::{OwnedMutexGuard, OwnedRwLockReadGuard, OwnedSemaphorePermit, RwLock, Semaphore};

use self::memory::{Memory, Need, Room};
use crate::compute::{Processors, Turns};
use crate::limits::{
    AHEAD_US_MAX, LANES_MAX, REPLAY_EVENTS_MAX, REPLAY_PAGE_LEN, REPLAY_READ_MAX, REPLAYS_MAX,
    ROUNDS_IDLE,
};
use crate::model::Model;

pub use action::ActionError;

/// The alarms of all stations. Cloning is cheap and shares them.
#[derive(Debug, Clone)]
pub(crate) struct Alarms(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    params: AlarmParams,
    budgets: Vec<StationBudget>,
    store: Store,
    processors: Processors,
    /// The turns of all lanes that are read together.
    turns_to_read: Turns,
    lanes: Mutex<AllLanes>,
    memory: Memory,
    /// The number of stations that may be read at the same time.
    replays: Semaphore,
    /// `true` once a station had no room.
    is_full: AtomicBool,
}

#[derive(Debug, Default)]
struct AllLanes {
    by_station: HashMap<StationId, Lane>,
    /// The number of entries so far, by which the lane is known that was not entered for the longest time.
    n_entries: u64,
}

#[derive(Debug, Clone)]
struct Lane {
    turn: Arc<tokio::sync::Mutex<Place>>,
    /// `true` if an event was not stored that the place has taken.
    is_stale: Arc<AtomicBool>,
    /// Held for reading by those whose events are not stored yet.
    flights: Arc<RwLock<()>>,
    entered: u64,
}

/// The content of a lane.
#[derive(Debug, Default)]
enum Place {
    /// It has to be read from the database.
    #[default]
    Unread,
    /// Its station learns or is watched, and takes this memory.
    Known { alarm: StationAlarm, room: Room },
    /// There was no memory for its station.
    NoRoom(Wanted),
}

/// The memory that a station waits for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    need: Need,
    /// After so many entries, others that learn may have become idle.
    until_entry: u64,
}

/// The circumstances under which lanes are entered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Occasion<'a> {
    /// The model that has judged the events.
    pub(crate) model: &'a Arc<Model>,
    /// `true` unless it was replaced meanwhile: then it teaches no station.
    pub(crate) is_current: bool,
    /// In microseconds since 1970 (UTC).
    pub(crate) now_us: i64,
}

/// Numbers of stations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AlarmCounts {
    pub(crate) n_watching: usize,
    pub(crate) n_learning: usize,
}

/// The lanes of some stations, whose turn it is to judge and queue events. Without any, events are judged alone.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    alarms: Option<Alarms>,
    turns: BTreeMap<StationId, Turn>,
    /// The memory of records.
    records: Vec<OwnedSemaphorePermit>,
}

#[derive(Debug)]
struct Turn {
    place: OwnedMutexGuard<Place>,
    flight: Arc<Flight>,
    /// `true` if the place has taken an event that is not queued yet.
    has_unqueued: bool,
}

/// A lane that has an event which is not stored yet: it is not read from the database meanwhile, and not forgotten.
#[derive(Debug)]
struct Flight {
    lane: Lane,
    _under_way: OwnedRwLockReadGuard<()>,
}

/// The lanes of events that are queued.
#[derive(Debug)]
pub(crate) struct UnderWay {
    flights: BTreeMap<StationId, Arc<Flight>>,
    _records: Vec<OwnedSemaphorePermit>,
}

impl Alarms {
    pub(crate) fn new(
        params: AlarmParams,
        budgets: Vec<StationBudget>,
        memory_kib: usize,
        store: Store,
        processors: Processors,
    ) -> Self {
        Self(Arc::new(Shared {
            params,
            budgets,
            store,
            processors,
            turns_to_read: Turns::default(),
            lanes: Mutex::default(),
            memory: Memory::new(memory_kib),
            replays: Semaphore::new(REPLAYS_MAX),
            is_full: AtomicBool::new(false),
        }))
    }

    /// Returns the choices of the operator.
    pub(crate) fn params(&self) -> &AlarmParams {
        &self.0.params
    }

    /// Returns the choices for a station.
    fn params_of(&self, station_id: &StationId) -> AlarmParams {
        let of_station = self.0.budgets.iter().find_map(|budget| budget.of(station_id.as_str()));
        let alarms_per_day = of_station.unwrap_or(self.0.params.alarms_per_day);
        AlarmParams { alarms_per_day, ..self.0.params }
    }

    /// Returns how a station is, and its alarms beside its budget once it is watched; `None` where that is not in memory, and
    /// while an event of it is judged.
    pub(crate) fn now(&self, station_id: &StationId) -> Option<(Alarm, Option<AlarmTally>)> {
        let lane = self.lanes().by_station.get(station_id)?.clone();
        let place = lane.turn.try_lock().ok()?;
        match &*place {
            Place::Known { alarm, .. } => {
                Some((alarm.now(&self.params_of(station_id)), alarm.tally()))
            }
            Place::Unread | Place::NoRoom(_) => None,
        }
    }

    /// Waits for the turns of stations, and reads those from the database that are not known. All wait in the order of names, so
    /// that no two wait for each other. Each comes with the last of its events that may advance it, if there is one.
    pub(crate) async fn enter(
        &self,
        stations: BTreeMap<StationId, Option<Moment>>,
        occasion: Occasion<'_>,
    ) -> Lanes {
        let mut turns = BTreeMap::new();
        // While nothing can be stored, lanes would have to be read again at once.
        let is_failing = self.failure().is_some();
        // One after another first: a station that is known does not wait for others that have to be read.
        if stations.len() > 1 {
            for (station_id, next) in &stations {
                let Some(lane) = self.lane(station_id, is_failing) else { continue };
                drop(self.turn(&lane, station_id, *next, occasion, is_failing).await);
            }
        }
        for (station_id, next) in stations {
            let Some(lane) = self.lane(&station_id, is_failing) else { continue };
            let place = self.turn(&lane, &station_id, next, occasion, is_failing).await;
            let under_way = Arc::clone(&lane.flights).read_owned().await;
            let flight = Arc::new(Flight { lane, _under_way: under_way });
            turns.insert(station_id, Turn { place, flight, has_unqueued: false });
        }
        Lanes { alarms: Some(self.clone()), turns, records: Vec::new() }
    }

    /// Returns why nothing can be stored at present. Damage that was found keeps nothing from being stored.
    fn failure(&self) -> Option<KeepError> {
        let is_damage = |error: &KeepError| {
            let trouble = Trouble::Corrupt;
            matches!(error, KeepError::NotStored(found) | KeepError::Unknown(found) if *found == trouble)
        };
        self.0.store.failure().filter(|error| !is_damage(error))
    }

    /// Waits for the turn of a station, and reads its place from the database where that is needed.
    async fn turn(
        &self,
        lane: &Lane,
        station_id: &StationId,
        next: Option<Moment>,
        occasion: Occasion<'_>,
        is_failing: bool,
    ) -> OwnedMutexGuard<Place> {
        let mut place = Arc::clone(&lane.turn).lock_owned().await;
        if lane.is_stale.swap(false, Ordering::AcqRel) {
            *place = Place::Unread;
        }
        let is_usable = match &*place {
            Place::Unread => false,
            Place::Known { alarm, .. } => {
                let is_taught = occasion.lesson_before(next, station_id, alarm).is_none();
                alarm.is_of(names(occasion.model)) && is_taught
            }
            Place::NoRoom(wanted) => !self.may_have_room(lane, *wanted),
        };
        if !is_usable {
            *place = Place::Unread;
            if !is_failing {
                // What is under way will be in the database.
                drop(lane.flights.write().await);
                *place = self.read(station_id, next, occasion).await;
            }
        }
        place
    }

    /// Returns the lane of a station, and makes one unless `is_failing`.
    fn lane(&self, station_id: &StationId, is_failing: bool) -> Option<Lane> {
        let mut lanes = self.lanes();
        let is_new = !lanes.by_station.contains_key(station_id);
        if is_new && is_failing {
            return None;
        }
        if is_new && lanes.by_station.len() >= LANES_MAX {
            lanes.forget(|_, place| !place.is_watched());
        }
        lanes.n_entries += 1;
        let entered = lanes.n_entries;
        let lane = lanes.by_station.entry(station_id.clone()).or_insert_with(|| Lane {
            turn: Arc::default(),
            is_stale: Arc::default(),
            flights: Arc::default(),
            entered,
        });
        lane.entered = entered;
        Some(lane.clone())
    }

    fn lanes(&self) -> MutexGuard<'_, AllLanes> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the stations.
    pub(crate) fn counts(&self) -> AlarmCounts {
        let lanes = self.lanes();
        let places = lanes.by_station.values().filter_map(|lane| {
            let place = lane.turn.try_lock().ok()?;
            match &*place {
                Place::Known { alarm, .. } => Some(alarm.is_learning()),
                _ => None,
            }
        });
        let mut counts = AlarmCounts::default();
        for is_learning in places {
            *(if is_learning { &mut counts.n_learning } else { &mut counts.n_watching }) += 1;
        }
        counts
    }

    /// Reads a place from the database: the record of the station, and the events that followed.
    async fn read(
        &self,
        station_id: &StationId,
        next: Option<Moment>,
        occasion: Occasion<'_>,
    ) -> Place {
        self.try_read(station_id, next, occasion).await.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, station.id = %station_id, "cannot read what the alarms of a station continue from; its events are judged alone");
            Place::Unread
        })
    }

    async fn try_read(
        &self,
        station_id: &StationId,
        next: Option<Moment>,
        occasion: Occasion<'_>,
    ) -> Result<Place, ReadError> {
        let store = &self.0.store;
        let Occasion { model, is_current, now_us } = occasion;
        let _one_of_few = self.0.replays.acquire().await;
        let recorded = match store.alarm_record(station_id.clone()).await? {
            None => None,
            // Its model is learnt again.
            Some(record) => Some(self.work(move || StationAlarm::from_record(&record)).await?),
        };
        let (alarm, past, has_record) = match recorded {
            Some(Ok(alarm)) if alarm.is_of(names(model)) => {
                let past = past_after(station_id, alarm.last(), model, store, now_us).await?;
                (alarm, past, true)
            }
            other => {
                if let Some(Err(error)) = other {
                    tracing::warn!(%error, station.id = %station_id, "cannot use what the alarms of a station continue from; it learns again");
                }
                let newest = newest(station_id, store, now_us).await?;
                (StationAlarm::new(names(model), newest), Past::default(), false)
            }
        };
        let has_to_compute = has_record || occasion.lesson(station_id).is_some();
        let params = self.params_of(station_id);
        let (model, station_id) = (Arc::clone(model), station_id.clone());
        let continued = move || {
            let mut alarm = alarm;
            for prediction in &past.predictions {
                alarm.advance(prediction, &params);
            }
            alarm.skip_to(past.newest);
            alarm.keep_to(&params);
            let occasion = Occasion { model: &model, is_current, now_us };
            if let Some(lesson) = occasion.lesson_before(next, &station_id, &alarm) {
                alarm.learn_lesson(&lesson, &params);
            }
            alarm
        };
        let alarm = if has_to_compute { self.work(continued).await? } else { continued() };
        Ok(self.place(alarm))
    }

    /// Computes for milliseconds, on a thread that no other request waits for.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let done = self.0.processors.run(&self.0.turns_to_read, work).await;
        done.map_err(|panicked| ReadError::Database(Box::new(panicked)))
    }

    /// Takes memory for a station that learns or is watched. Others that learn and are idle are forgotten for one that does; with
    /// as many stations in turn as do not fit, each would be forgotten just before its next event.
    fn place(&self, alarm: StationAlarm) -> Place {
        let need = Need::of(&alarm, &self.0.params);
        if let Some(room) = self.room_for(need) {
            return Place::Known { alarm, room };
        }
        if !need.is_learning && !self.0.is_full.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "there is no memory for the alarms of more stations, so the events of some are judged alone; allow more with \
                 --alarm-memory-mib"
            );
        }
        let lanes = self.lanes();
        Place::NoRoom(Wanted { need, until_entry: lanes.n_entries + lanes.rounds() })
    }

    fn room_for(&self, need: Need) -> Option<Room> {
        let take = || self.0.memory.take(need);
        take().or_else(|| {
            if need.is_learning {
                let mut lanes = self.lanes();
                let idle_since = lanes.n_entries.saturating_sub(lanes.rounds());
                lanes.forget(|lane, place| place.is_learning() && lane.entered < idle_since);
            }
            take()
        })
    }

    /// Returns `true` if a station without memory may have some now.
    fn may_have_room(&self, lane: &Lane, wanted: Wanted) -> bool {
        let Wanted { need, until_entry } = wanted;
        self.0.memory.has(need) || need.is_learning && lane.entered >= until_entry
    }
}

impl AllLanes {
    /// Forgets an eighth of the stations that may go, those that were not heard of for the longest time.
    fn forget(&mut self, may_go: impl Fn(&Lane, &Place) -> bool) {
        let goes = |lane: &Lane| {
            // No event of it is under way.
            let is_free = Arc::strong_count(&lane.turn) == 1;
            is_free && lane.turn.try_lock().is_ok_and(|place| may_go(lane, &place))
        };
        let idle = self.by_station.iter().filter(|(_, lane)| goes(lane));
        let mut idle: Vec<_> = idle.map(|(id, lane)| (lane.entered, id.clone())).collect();
        idle.sort_unstable_by_key(|(entered, _)| *entered);
        for (_, station_id) in idle.iter().take(idle.len().div_ceil(8)) {
            self.by_station.remove(station_id);
        }
    }

    /// Returns the number of entries after which a lane counts as idle.
    fn rounds(&self) -> u64 {
        ROUNDS_IDLE * self.by_station.len() as u64
    }
}

impl Place {
    fn is_watched(&self) -> bool {
        matches!(self, Self::Known { alarm, .. } if !alarm.is_learning())
    }

    fn is_learning(&self) -> bool {
        matches!(self, Self::Known { alarm, .. } if alarm.is_learning())
    }
}

impl Lanes {
    /// Adds to each event what its station says of it, and to some a record, in their order.
    pub(crate) fn judge<'a>(&mut self, news: impl IntoIterator<Item = &'a mut NewPrediction>) {
        let Some(alarms) = &self.alarms else { return };
        // Those of a station together: its model comes from memory once, which takes longer than judging.
        let mut news: Vec<&mut NewPrediction> = news.into_iter().collect();
        news.sort_by(|a, b| a.prediction.station_id.cmp(&b.prediction.station_id));
        for of_station in
            news.chunk_by_mut(|a, b| a.prediction.station_id == b.prediction.station_id)
        {
            let station_id = &of_station[0].prediction.station_id;
            let Some(turn) = self.turns.get_mut(station_id) else { continue };
            let params = alarms.params_of(station_id);
            let Ok(room) = turn.room_for_needed_record(of_station, alarms) else {
                // As if nothing had happened: it is read again.
                *turn.place = Place::Unread;
                continue;
            };
            for new in &mut *of_station {
                turn.judge(new, alarms, &params);
            }
            // One that does not advance its station may be a repetition, which is not stored.
            let last = of_station.iter_mut().rfind(|new| new.prediction.advances());
            if let Some(last) = last
                && let Place::Known { alarm, .. } = &mut *turn.place
                && alarm.is_record_due(&params)
            {
                // Where there is no room, it comes with a later event.
                let room = room.or_else(|| alarms.0.memory.take_for_record(alarm, 0));
                last.alarm_record = room.is_some().then(|| alarm.record());
                self.records.extend(room);
            }
        }
    }

    /// Returns `true` if judging so many events may take milliseconds, since a station completes its lesson.
    pub(crate) fn is_about_to_learn(&self, n_events: usize) -> bool {
        let learns = |turn: &Turn| match (&*turn.place, &self.alarms) {
            (Place::Known { alarm, .. }, Some(alarms)) => {
                alarm.is_about_to_learn(n_events, &alarms.0.params)
            }
            _ => false,
        };
        self.turns.values().any(learns)
    }

    /// Returns the flights of all lanes, for events that may be stored after their clients have gone.
    pub(crate) fn flights(&self) -> impl Send + use<> {
        self.turns.values().map(|turn| Arc::clone(&turn.flight)).collect::<Vec<_>>()
    }

    /// Ends the turns, after the events were queued: the next may be judged, and wait behind these.
    pub(crate) fn end(self) -> UnderWay {
        let turns = self.turns.into_iter().map(|(station_id, mut turn)| {
            turn.has_unqueued = false;
            (station_id, Arc::clone(&turn.flight))
        });
        UnderWay { flights: turns.collect(), _records: self.records }
    }
}

impl Turn {
    /// Takes memory for a record without which a restart would not know what happened to the station before its next events;
    /// `None` if no such record is needed.
    ///
    /// # Errors
    ///
    /// Fails when there is no memory.
    fn room_for_needed_record(
        &mut self,
        of_station: &[&mut NewPrediction],
        alarms: &Alarms,
    ) -> Result<Option<OwnedSemaphorePermit>, KeepError> {
        let Place::Known { alarm, .. } = &mut *self.place else { return Ok(None) };
        let first = of_station.iter().find(|new| !is_ahead(&new.prediction, new.received_us));
        let was_ahead =
            |(last_us, _)| first.is_some_and(|new| is_ahead_of(last_us, new.received_us));
        if alarm.last().is_some_and(was_ahead) {
            alarm.forget_time();
        }
        let needed =
            alarm.must_record().then(|| alarms.0.memory.take_for_record(alarm, of_station.len()));
        needed.map(|room| room.ok_or(KeepError::Full)).transpose()
    }

    /// Adds to an event what its station says of it.
    fn judge(&mut self, new: &mut NewPrediction, alarms: &Alarms, params: &AlarmParams) {
        let Place::Known { alarm, .. } = &mut *self.place else { return };
        if is_ahead(&new.prediction, new.received_us) {
            return;
        }
        self.has_unqueued = true;
        let was_learning = alarm.is_learning();
        new.prediction.alarm = Some(Box::new(alarm.advance(&new.prediction, params)));
        if was_learning
            && !alarm.is_learning()
            && let Place::Known { alarm, .. } = std::mem::take(&mut *self.place)
        {
            *self.place = alarms.place(alarm);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.has_unqueued {
            self.flight.lane.is_stale.store(true, Ordering::Release);
        }
    }
}

impl UnderWay {
    /// Notes that an event of a station was not stored, so that its lane has to be read again.
    pub(crate) fn failed(&self, station_id: &StationId) {
        if let Some(flight) = self.flights.get(station_id) {
            flight.lane.is_stale.store(true, Ordering::Release);
        }
    }

    /// Notes that none was stored.
    pub(crate) fn all_failed(&self) {
        self.flights.keys().for_each(|station_id| self.failed(station_id));
    }
}

/// Returns the names of the features of a model.
fn names(model: &Model) -> impl Iterator<Item = &str> {
    model.detector.schema().names().iter().map(|name| &**name)
}

impl<'a> Occasion<'a> {
    /// Returns the lesson that the model has for a station.
    fn lesson(self, station_id: &StationId) -> Option<TrainedLesson<'a>> {
        let lesson = self.model.detector.lesson_of(station_id.as_str());
        let lesson = lesson.filter(|_| self.is_current)?;
        let (timestamps_us, values) = (lesson.timestamps_us(), lesson.values());
        Some(TrainedLesson { id: lesson.id(), timestamps_us, values })
    }

    /// Returns the lesson that a station is to learn from before its event of a moment: none before one that is late.
    fn lesson_before(
        self,
        next: Option<Moment>,
        station_id: &StationId,
        alarm: &StationAlarm,
    ) -> Option<TrainedLesson<'a>> {
        let advances = next > alarm.last();
        self.lesson(station_id).filter(|lesson| advances && alarm.needs_lesson(lesson))
    }
}

/// Returns the stations of events that are to be judged, each with the last of them that may advance it.
pub(crate) fn stations_of<'a>(
    news: impl Iterator<Item = &'a NewPrediction>,
) -> BTreeMap<StationId, Option<Moment>> {
    let mut stations = BTreeMap::new();
    for NewPrediction { prediction, received_us, .. } in news {
        let next = stations.entry(prediction.station_id.clone()).or_default();
        let may_advance = !is_ahead(prediction, *received_us);
        *next = may_advance.then(|| moment_of(prediction)).max(*next);
    }
    stations
}

/// Returns the event of a station that was measured last; `None` if that was ahead of its time, or still is.
async fn newest(
    station_id: &StationId,
    store: &Store,
    now_us: i64,
) -> Result<Option<Moment>, ReadError> {
    let found = store.events(EventQuery::of_station(station_id, 1)).await?;
    let newest = found.entries.first().filter(|stored| !was_ahead(stored, now_us));
    Ok(newest.map(|stored| moment_of(&stored.prediction)))
}

/// Returns `true` for a stored event that was ahead of its time, or still is.
fn was_ahead(stored: &StoredPrediction, now_us: i64) -> bool {
    is_ahead(&stored.prediction, stored.received_us.min(now_us))
}

/// Returns `true` for an event that was measured long after it was received: until then, all others would be late.
fn is_ahead(prediction: &Prediction, received_us: i64) -> bool {
    is_ahead_of(prediction.timestamp_us, received_us)
}

fn is_ahead_of(timestamp_us: i64, now_us: i64) -> bool {
    timestamp_us > now_us.saturating_add(AHEAD_US_MAX)
}

fn moment_of(prediction: &Prediction) -> Moment {
    (prediction.timestamp_us, prediction.sequence)
}

/// The events of a station after its record.
#[derive(Debug, Default)]
struct Past {
    /// Those that its alarm had taken, in the order of measurement, with their values and no more.
    predictions: Vec<Prediction>,
    /// The one that was measured last.
    newest: Option<Moment>,
}

/// Reads the events of a station that came after one that its alarm has taken, the last of its record. Of very many, none is to be
/// replayed: its alarms were off for a while.
async fn past_after(
    station_id: &StationId,
    moment: Option<Moment>,
    model: &Model,
    store: &Store,
    now_us: i64,
) -> Result<Past, ReadError> {
    let mut query = EventQuery {
        since_us: moment.map(|(timestamp_us, _)| timestamp_us),
        ..EventQuery::of_station(station_id, REPLAY_PAGE_LEN)
    };
    let names_of_model = model.detector.schema().names();
    let counts = |prediction: &Prediction| {
        prediction.advances() && prediction.features.names() == &**names_of_model
    };
    // With the place of each in the order of arrival.
    let (mut predictions, mut moments, mut n_read) = (Vec::new(), Vec::new(), 0);
    let mut recorded_id = 0;
    loop {
        let page = store.events(query.clone()).await?;
        let mut last = None;
        // The latest come first.
        for stored in page.entries {
            let found = moment_of(&stored.prediction);
            if Some(found) <= moment {
                recorded_id = if Some(found) == moment { stored.id } else { recorded_id };
                last = None;
                break;
            }
            (n_read, last) = (n_read + 1, Some(found));
            if !was_ahead(&stored, now_us) {
                moments.push((stored.id, found));
            }
            if counts(&stored.prediction) {
                let names = Arc::clone(names_of_model);
                let prediction = Prediction {
                    features: FeatureValues::new(names, stored.prediction.features.values()),
                    outside: Vec::new(),
                    attributions: Vec::new(),
                    alarm: None,
                    ..stored.prediction
                };
                predictions.push((stored.id, prediction));
            }
        }
        let is_too_much = predictions.len() > REPLAY_EVENTS_MAX || n_read > REPLAY_READ_MAX;
        if is_too_much {
            predictions.clear();
        }
        let last = last.filter(|_| page.has_more && !is_too_much);
        let Some((timestamp_us, sequence)) = last else { break };
        query.after = Some(EventKey { station_id: station_id.clone(), timestamp_us, sequence });
    }
    // Events of a time at which the clock was ahead came before the record, whatever their times say.
    predictions.retain(|(id, _)| *id > recorded_id);
    let newest = moments.iter().filter(|(id, _)| *id > recorded_id).map(|(_, moment)| *moment);
    Ok(Past {
        newest: newest.max(),
        predictions: predictions.into_iter().rev().map(|(_, prediction)| prediction).collect(),
    })
}
