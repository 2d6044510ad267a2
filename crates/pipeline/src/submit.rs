//! An event on its way: checked, judged, kept.

use std::sync::Arc;
use std::time::Instant;

use sensor::{Attribution, Prediction};
use store::{KeepError, Kept, NewPrediction};

use crate::metrics::Metrics;
use crate::model::Model;
use crate::pipeline::Pipeline;
use crate::refusal::Refusal;

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
    /// The prediction.
    pub prediction: Prediction,
    /// Whether the event had been stored before; the prediction is then the earlier one.
    pub is_duplicate: bool,
}

/// The outcome of a batch.
#[derive(Debug)]
pub struct BatchReceipt {
    /// What became of each event, in order.
    pub outcomes: Vec<Result<Receipt, Refusal>>,
    /// Why no event could be stored; each valid one is refused for this reason, too.
    pub failure: Option<KeepError>,
}

/// An event that was judged and is not stored yet.
struct Judged {
    new: NewPrediction,
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
    pub async fn submit(&self, json: &[u8], explain: Explain) -> Result<Receipt, Refusal> {
        let begun = Instant::now();
        // To refuse must cost less than to judge.
        if self.store.is_full() {
            self.metrics.not_kept(1);
            return Err(KeepError::Full.into());
        }
        let judge = Judge {
            model: self.models.current(),
            metrics: Arc::clone(&self.metrics),
            explain,
            received_us: (self.clock)(),
        };
        let judged = judge.judge(json)?;
        let mut receipts = self.keep(vec![judged], &judge.model).await?;
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
    ) -> Result<BatchReceipt, Refusal> {
        let judge = Judge {
            model: Arc::clone(model),
            metrics: Arc::clone(&self.metrics),
            explain,
            received_us: (self.clock)(),
        };
        // A batch takes milliseconds: not for a thread that others wait for.
        let judge_all = move || -> Vec<Result<Judged, Refusal>> {
            events.iter().map(|json| judge.judge(json.as_ref())).collect()
        };
        let judged = tokio::task::spawn_blocking(judge_all).await?;

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
        let (mut kept, failure) = match self.keep(valid, model).await {
            Ok(kept) => (kept.into_iter(), None),
            Err(error) => (Vec::new().into_iter(), Some(error)),
        };
        let mut outcome = |refusal: Option<Refusal>| match (refusal, failure) {
            (Some(refusal), _) => Err(refusal),
            (None, Some(error)) => Err(error.into()),
            (None, None) => kept.next().expect("there is an outcome for every event"),
        };
        Ok(BatchReceipt { outcomes: refusals.into_iter().map(&mut outcome).collect(), failure })
    }

    /// Stores judged events in one transaction.
    async fn keep(
        &self,
        judged: Vec<Judged>,
        model: &Model,
    ) -> Result<Vec<Result<Receipt, Refusal>>, KeepError> {
        let news = judged.iter().map(|judged| &judged.new);
        let kept =
            self.store.keep_all(news).await.inspect_err(|_| self.metrics.not_kept(judged.len()))?;
        let receipt = |(Judged { new, reasons }, kept): (Judged, Kept)| {
            self.metrics.predicted(&new.prediction, &kept);
            let (mut prediction, is_duplicate) = match kept {
                Kept::Stored => (new.prediction, false),
                Kept::Duplicate(earlier) => (earlier, true),
                Kept::Conflict => return Err(Refusal::Conflict),
                Kept::Unreadable => return Err(Refusal::Unreadable),
            };
            // Only the model that judged can say why.
            let is_of_model = prediction.model_version.judges_like(model.version());
            if prediction.attributions.is_empty() && is_of_model {
                prediction.attributions = reasons;
            }
            Ok(Receipt { prediction, is_duplicate })
        };
        Ok(judged.into_iter().zip(kept).map(receipt).collect())
    }
}

/// How events are judged.
struct Judge {
    model: Arc<Model>,
    metrics: Arc<Metrics>,
    explain: Explain,
    /// When the events arrived, in microseconds since 1970 (UTC).
    received_us: i64,
}

impl Judge {
    /// Checks and judges an event.
    fn judge(&self, json: &[u8]) -> Result<Judged, Refusal> {
        let detector = &self.model.detector;
        let len_max = detector.schema().event_len_max();
        if json.len() > len_max {
            return Err(Refusal::TooLarge { len_max });
        }
        let event = detector
            .schema()
            .parse(json, self.received_us)
            .inspect_err(|invalid| self.metrics.refused(invalid))?;
        if event.n_ignored_keys() > 0 {
            self.metrics.keys_ignored(event.n_ignored_keys());
            tracing::debug!(
                station.id = %event.station_id(),
                n_ignored_keys = event.n_ignored_keys(),
                "an event has unknown keys"
            );
        }
        let prediction = detector.assess(&event);
        let needs_reasons = self.explain == Explain::All && prediction.attributions.is_empty();
        Ok(Judged {
            reasons: if needs_reasons { detector.explain(&event) } else { Vec::new() },
            new: NewPrediction {
                prediction,
                event_hash: detector.schema().fingerprint(&event),
                received_us: self.received_us,
            },
        })
    }
}
