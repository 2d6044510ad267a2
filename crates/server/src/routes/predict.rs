//! `POST /predict`: checked, judged, kept, and only then answered.

use axum::extract::State;
use store::{Kept, NewPrediction};

use crate::api_error::ApiError;
use crate::body::EventBody;
use crate::query::{self, Query};
use crate::state::AppState;
use crate::wire::{JsonLine, PredictionBody};

pub(crate) async fn predict(
    State(state): State<AppState>,
    mut query: Query,
    EventBody(body): EventBody,
) -> Result<JsonLine<PredictionBody>, ApiError> {
    let explain = query.take("explain", query::boolean).unwrap_or(false);
    query.finish()?;

    let detector = &state.model.detector;
    let received_us = (state.clock)();
    let event = detector.schema().parse(&body, received_us)?;
    if event.n_ignored_keys() > 0 {
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
    let (mut prediction, is_duplicate) = match state.store.keep(new).await? {
        Kept::Stored(prediction) => (prediction, false),
        Kept::Duplicate(earlier) => (earlier, true),
    };
    // Only the model that judged can say why.
    let is_of_this_model = *prediction.model_version == *detector.meta().model_version;
    if explain && prediction.attributions.is_empty() && is_of_this_model {
        prediction.attributions = detector.explain(&event);
    }
    Ok(JsonLine(PredictionBody::answer(prediction, is_duplicate)))
}
