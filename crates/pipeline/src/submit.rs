//! An event on its way: checked, judged, kept.

use std::sync::Arc;
use std::time::Instant;

use sensor::{Attribution, ModelVersion, Prediction, SensorEvent};
use store::{KeepError, Kept, NewPrediction};

use crate::alarms::{self, Lanes, Occasion, UnderWay};
use crate::compute::{ClientShare, Places, Turns};
use crate::limits::{
    PLACE_BYTES, PLACES_TIMEOUT, VALUES_AT_ONCE_MAX, WORK_AT_ONCE_MAX, WORK_OF_PIECE,
};
use crate::metrics::Metrics;
use crate::model::Model;
use crate::pipeline::Pipeline;
use crate::refusal::Refusal;
use crate::refused::RefusalLog;

/// Which predictions come with attributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Explain {
    /// Those of anomalies.
    Anomalies,
    /// All.
    All,
}

/// The acknowledgement of an event: its prediction is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    new: Arc<NewPrediction>,
    /// The prediction of the same event, stored before.
    earlier: Option<Prediction>,
    /// Attributions for the answer only.
    reasons: Vec<Attribution>,
}

impl Receipt {
    /// Returns the stored prediction: of a repeated event, the first one.
    pub fn prediction(&self) -> &Prediction {
        self.earlier.as_ref().unwrap_or(&self.new.prediction)
    }

    /// Returns `true` if the event had been stored before.
    pub fn is_duplicate(&self) -> bool {
        self.earlier.is_some()
    }

    /// Returns the attributions: those stored, or else those asked for.
    pub fn attributions(&self) -> &[Attribution] {
        let stored = &self.prediction().attributions;
        if stored.is_empty() { &self.reasons } else { stored }
    }
}

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchReceipt {
    /// The outcome of each event, in order.
    pub outcomes: Vec<Result<Receipt, Refusal>>,
    /// The reason why no event could be stored; each valid one is refused for it, too.
    pub failure: Option<KeepError>,
}

/// An event that was judged and is not stored yet.
struct Judged {
    new: Arc<NewPrediction>,
    /// Attributions for the answer only: those of a normal event are not stored.
    reasons: Vec<Attribution>,
}

impl Pipeline {
    /// Takes in one event as JSON. Returns after its prediction is on the disk.
    ///
    /// # Errors
    ///
    /// Fails when the event is not valid, contradicts a stored one, or could not be stored. The
    /// refusal says whether it may have been stored all the same.
    pub async fn submit(
        &self,
        json: &[u8],
        explain: Explain,
        share: &ClientShare,
    ) -> Result<Receipt, Refusal> {
        let begun = Instant::now();
        let model = self.models.current();
        // To refuse must cost less than to judge.
        let place = share.try_take(places_of(&model, 1)).filter(|_| !self.store.is_full());
        let Some(place) = place else {
            self.metrics.not_kept(1);
            return Err(KeepError::Full.into());
        };
        let judge = self.judge(Arc::clone(&model), explain)?;
        let event = judge.check(json)?;
        let judged = if judge.work_of(&event) <= WORK_AT_ONCE_MAX {
            judge.judge(&event)
        } else {
            // Not for a thread that others wait for.
            self.processors.run(&share.turns, move || judge.judge(&event)).await?
        };
        let mut receipts = self.keep(vec![judged], &model, place, &share.turns).await?;
        let receipt = receipts.pop().expect("there is an outcome for every event");
        self.answered(begun);
        receipt
    }

    /// Takes in events as JSON, at most [`Store::BATCH_LEN_MAX`](store::Store), in one transaction.
    ///
    /// They are judged by `model`, so that the chunks of one batch can share it.
    ///
    /// # Errors
    ///
    /// Fails when judging panics. An event that is refused is an outcome.
    pub async fn submit_batch<T: AsRef<[u8]> + Send + 'static>(
        &self,
        events: Vec<T>,
        model: &Arc<Model>,
        explain: Explain,
        share: &ClientShare,
    ) -> Result<BatchReceipt, Refusal> {
        let mut judge = self.judge(Arc::clone(model), explain)?;
        let places = share.take(places_of(model, events.len()));
        let Ok(places) = tokio::time::timeout(PLACES_TIMEOUT, places).await else {
            self.metrics.not_kept(events.len());
            let outcomes = events.iter().map(|_| Err(KeepError::Full.into())).collect();
            return Ok(BatchReceipt { outcomes, failure: Some(KeepError::Full) });
        };
        let mut judged = Vec::with_capacity(events.len());
        let mut rest = events.into_iter();
        while rest.len() > 0 {
            // A batch takes milliseconds: not for a thread that others wait for.
            let piece = move || {
                let judged = judge.piece(&mut rest);
                (judged, judge, rest)
            };
            let done;
            (done, judge, rest) = self.processors.run(&share.turns, piece).await?;
            judged.extend(done);
        }

        let mut valid = Vec::with_capacity(judged.len());
        let mut refusals = Vec::with_capacity(judged.len());
        for judged in judged {
            match judged {
                Ok(judged) => {
                    valid.push(judged);
                    refusals.push(None);
                }
                Err(refusal) => refusals.push(Some(refusal)),
            }
        }
        let (mut kept, failure) = match self.keep(valid, model, places, &share.turns).await {
            Ok(kept) => (kept.into_iter(), None),
            Err(Refusal::Keep(error)) => (Vec::new().into_iter(), Some(error)),
            Err(refusal) => return Err(refusal),
        };
        let mut outcome = |refusal: Option<Refusal>| match (refusal, failure) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(error)) => Err(error.into()),
            (None, None) => kept.next().expect("there is an outcome for every event"),
        };
        Ok(BatchReceipt { outcomes: refusals.into_iter().map(&mut outcome).collect(), failure })
    }

    /// Refuses an event that was too large to be read.
    pub fn refuse_too_large(&self, len_max: usize) -> Refusal {
        let refusal = Refusal::TooLarge { len_max };
        self.metrics.refused(&refusal);
        self.refusals.note(&refusal, None, (self.clock)());
        refusal
    }

    fn judge(&self, model: Arc<Model>, explain: Explain) -> Result<Judge, Refusal> {
        Ok(Judge {
            model,
            metrics: Arc::clone(&self.metrics),
            refusals: Arc::clone(&self.refusals),
            explain,
            received_us: self.now_us()?,
        })
    }

    /// Judges events in time order, in the lanes of their stations, and stores them in one transaction.
    async fn keep(
        &self,
        mut judged: Vec<Judged>,
        model: &Arc<Model>,
        places: Places,
        turns: &Turns,
    ) -> Result<Vec<Result<Receipt, Refusal>>, Refusal> {
        // Judged in vain, events would have their lanes read again.
        if self.store.is_full() {
            self.metrics.not_kept(judged.len());
            return Err(KeepError::Full.into());
        }
        let lanes = match self.alarms_under(model) {
            Some(alarms) => {
                let stations = alarms::stations_of(judged.iter().map(|judged| &*judged.new));
                let is_current = Arc::ptr_eq(model, &self.models.current());
                let occasion = Occasion { model, is_current, now_us: (self.clock)() };
                alarms.enter(stations, occasion).await
            }
            None => Lanes::default(),
        };
        let is_quick = judged.len() * model.detector.schema().len() <= VALUES_AT_ONCE_MAX
            && !lanes.is_about_to_learn(judged.len());
        let judge = move || {
            let mut lanes = lanes;
            lanes.judge(judged.iter_mut().map(|judged| Arc::make_mut(&mut judged.new)));
            (lanes, judged)
        };
        let (lanes, judged) =
            if is_quick { judge() } else { self.processors.run(turns, judge).await? };

        let news = judged.iter().map(|judged| Arc::clone(&judged.new)).collect();
        let queued =
            self.store.queue(news, Some(Box::new(places)), Some(Box::new(lanes.flights())));
        let kept = queued.inspect_err(|_| self.metrics.not_kept(judged.len()))?;
        let under_way = lanes.end();
        let keeping = Keeping {
            model_version: model.version().clone(),
            metrics: Arc::clone(&self.metrics),
            refusals: Arc::clone(&self.refusals),
        };
        // Also if the client leaves meanwhile: what became of the events concerns the next of their stations.
        let settled = tokio::spawn(async move {
            let kept = kept.await;
            keeping.settle(judged, kept, &under_way)
        });
        Ok(settled.await??)
    }
}

/// The context in which stored events are answered.
struct Keeping {
    model_version: ModelVersion,
    metrics: Arc<Metrics>,
    refusals: Arc<RefusalLog>,
}

impl Keeping {
    /// Makes receipts of what the store has done with events.
    fn settle(
        &self,
        judged: Vec<Judged>,
        kept: Result<Vec<Kept>, KeepError>,
        under_way: &UnderWay,
    ) -> Result<Vec<Result<Receipt, Refusal>>, KeepError> {
        let kept = kept.inspect_err(|_| {
            self.metrics.not_kept(judged.len());
            under_way.all_failed();
        })?;
        let receipt = |(Judged { new, reasons }, kept): (Judged, Kept)| {
            self.metrics.predicted(&new.prediction, &kept);
            if kept != Kept::Stored && new.prediction.advances() {
                under_way.failed(&new.prediction.station_id);
            }
            let earlier = match kept {
                Kept::Stored => None,
                Kept::Duplicate(earlier) => Some(earlier),
                Kept::Conflict => {
                    let station_id = Some(&new.prediction.station_id);
                    self.refusals.note(&Refusal::Conflict, station_id, new.received_us);
                    return Err(Refusal::Conflict);
                }
                Kept::Unreadable => return Err(Refusal::Unreadable),
            };
            let judged_by = earlier.as_ref().map(|earlier| &earlier.model_version);
            // Only the model that judged can say why.
            let is_of_model =
                judged_by.is_none_or(|version| version.judges_like(&self.model_version));
            let reasons = if is_of_model { reasons } else { Vec::new() };
            Ok(Receipt { new, earlier, reasons })
        };
        Ok(judged.into_iter().zip(kept).map(receipt).collect())
    }
}

/// Returns the number of places in the queue that as many events of a model take.
fn places_of(model: &Model, n_events: usize) -> u32 {
    /// Bytes of a feature in a prediction besides its name: a value, an attribution, perhaps an excess.
    const FEATURE_LEN: usize = 192;
    let names = model.detector.schema().names().iter();
    let n_bytes: usize = names.map(|name| 3 * name.len() + FEATURE_LEN).sum();
    let each = n_bytes.div_ceil(PLACE_BYTES);
    u32::try_from(n_events * each).unwrap_or(u32::MAX)
}

/// The context in which events are judged.
struct Judge {
    model: Arc<Model>,
    metrics: Arc<Metrics>,
    refusals: Arc<RefusalLog>,
    explain: Explain,
    /// When the events arrived, in microseconds since 1970 (UTC).
    received_us: i64,
}

impl Judge {
    /// Checks an event, and notes it if it is refused.
    fn check(&self, json: &[u8]) -> Result<SensorEvent, Refusal> {
        let schema = self.model.detector.schema();
        let len_max = schema.event_len_max();
        let event = if json.len() > len_max {
            Err(Refusal::TooLarge { len_max })
        } else {
            schema.parse(json, self.received_us).map_err(Refusal::from)
        };
        event.inspect_err(|refusal| self.note_refusal(refusal))
    }

    /// Checks and judges events until a processor has worked for long enough that others may be waiting.
    fn piece<T: AsRef<[u8]>>(
        &self,
        events: &mut impl Iterator<Item = T>,
    ) -> Vec<Result<Judged, Refusal>> {
        let mut n_work = 0;
        let mut judged = Vec::new();
        while n_work < WORK_OF_PIECE
            && let Some(json) = events.next()
        {
            judged.push(self.check(json.as_ref()).map(|event| {
                n_work += self.work_of(&event);
                self.judge(&event)
            }));
        }
        judged
    }

    /// Returns the approximate number of multiplications that an event takes.
    fn work_of(&self, event: &SensorEvent) -> usize {
        let work = self.model.detector.work_of(event.values());
        if self.explain == Explain::All { 2 * work } else { work }
    }

    /// Notes that an event is refused.
    fn note_refusal(&self, refusal: &Refusal) {
        self.metrics.refused(refusal);
        let station_id = match refusal {
            Refusal::InvalidEvent(invalid) => invalid.station_id(),
            _ => None,
        };
        self.refusals.note(refusal, station_id, self.received_us);
    }

    /// Judges an event.
    fn judge(&self, event: &SensorEvent) -> Judged {
        let detector = &self.model.detector;
        if event.n_ignored_keys() > 0 {
            self.metrics.keys_ignored(event.n_ignored_keys());
            tracing::debug!(
                station.id = %event.station_id(),
                n_ignored_keys = event.n_ignored_keys(),
                "an event has unknown keys"
            );
        }
        let prediction = detector.assess(event);
        let needs_reasons = self.explain == Explain::All && prediction.attributions.is_empty();
        Judged {
            reasons: if needs_reasons { detector.explain(event) } else { Vec::new() },
            new: Arc::new(NewPrediction {
                prediction,
                event_hash: detector.schema().fingerprint(event),
                received_us: self.received_us,
                alarm_record: None,
            }),
        }
    }
}
