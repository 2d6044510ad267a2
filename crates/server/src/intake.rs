//! The one way in for events, however they arrive: checked, judged, kept.

use std::sync::Arc;

use detector::Detector;
use sensor::{Prediction, SensorEvent};
use store::{KeepError, Kept, NewPrediction};

use crate::api_error::ApiError;
use crate::body::EVENT_LEN_MAX;
use crate::metrics::Metrics;
use crate::model::Model;
use crate::state::AppState;
use crate::wire::PredictionBody;

/// An event that was judged by a model and is not kept yet.
pub(crate) struct Judged {
    event: SensorEvent,
    new: NewPrediction,
    model: Arc<Model>,
}

/// Checks and judges the JSON of an event.
pub(crate) fn judge(
    model: &Arc<Model>,
    metrics: &Metrics,
    json: &[u8],
    received_us: i64,
) -> Result<Judged, ApiError> {
    if json.len() > EVENT_LEN_MAX {
        return Err(ApiError::EventTooLarge);
    }
    let detector: &Detector = &model.detector;
    let event = detector
        .schema()
        .parse(json, received_us)
        .inspect_err(|invalid| metrics.refused(invalid))?;
    if event.n_ignored_keys() > 0 {
        metrics.keys_ignored(event.n_ignored_keys());
        tracing::debug!(
            station.id = %event.station_id(),
            n_ignored_keys = event.n_ignored_keys(),
            "an event has keys that are not known"
        );
    }
    let new = NewPrediction {
        prediction: detector.assess(&event),
        event_hash: detector.schema().fingerprint(&event),
        received_us,
    };
    Ok(Judged { event, new, model: Arc::clone(model) })
}

/// An event that is kept, and the answer to it.
pub(crate) struct Answered {
    prediction: Prediction,
    is_duplicate: bool,
}

impl Answered {
    /// The answer on the wire.
    pub(crate) fn body(&self) -> PredictionBody<'_> {
        PredictionBody::answer(&self.prediction, self.is_duplicate)
    }
}

/// Keeps judged events in one transaction, at most [`Store::BATCH_LEN_MAX`](store::Store), and gives
/// the answer to each; with `explain`, also normal events are explained.
pub(crate) async fn keep(
    state: &AppState,
    judged: Vec<Judged>,
    explain: bool,
) -> Result<Vec<Result<Answered, ApiError>>, KeepError> {
    let (news, contexts): (Vec<_>, Vec<_>) =
        judged.into_iter().map(|Judged { event, new, model }| (new, (event, model))).unzip();
    let kept =
        state.store.keep_all(&news).await.inspect_err(|_| state.metrics.not_kept(news.len()))?;
    let answer =
        |((new, (event, model)), kept): ((NewPrediction, (SensorEvent, Arc<Model>)), Kept)| {
            state.metrics.predicted(&new.prediction, &kept);
            let (mut prediction, is_duplicate) = match kept {
                Kept::Stored => (new.prediction, false),
                Kept::Duplicate(earlier) => (earlier, true),
                Kept::Conflict => return Err(ApiError::Conflict),
                Kept::Unreadable => return Err(ApiError::Unreadable),
            };
            // Only the model that judged can say why.
            let is_of_this_model = *prediction.model_version == *model.version();
            if explain && prediction.attributions.is_empty() && is_of_this_model {
                prediction.attributions = model.detector.explain(&event);
            }
            Ok(Answered { prediction, is_duplicate })
        };
    Ok(news.into_iter().zip(contexts).zip(kept).map(answer).collect())
}
