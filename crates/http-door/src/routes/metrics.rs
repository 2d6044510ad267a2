//! `GET /metrics`: for Prometheus.

use std::collections::HashSet;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text;

use crate::api::Api;
use crate::query::NoQuery;

const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// List the metrics in the format of Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((
        status = 200,
        description = "The text format 0.0.4, or OpenMetrics where `Accept` prefers it",
        content((String = "application/openmetrics-text"), (String = "text/plain"))
    ))
)]
pub(crate) async fn metrics(State(api): State<Api>, headers: HeaderMap, _: NoQuery) -> Response {
    api.pipeline.update_gauges().await;
    let mut metrics = String::new();
    text::encode(&mut metrics, &api.registry).expect("a string can be written to");
    let vary = (VARY, HeaderValue::from_static("accept"));
    if wants_text_format(&headers) {
        let kind = (CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
        return ([kind, vary], in_text_format(&metrics)).into_response();
    }
    let kind = (CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    ([kind, vary], metrics).into_response()
}

/// Returns `true` unless a collector prefers OpenMetrics: the text format is what older ones read.
fn wants_text_format(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut text: Option<f64> = None;
    let mut open_metrics: Option<f64> = None;
    for range in accepted.flat_map(|value| value.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let quality = parts.find_map(|part| part.strip_prefix("q="));
        let quality = quality.map_or(1.0, |quality| quality.parse().unwrap_or(0.0));
        match kind {
            "application/openmetrics-text" => open_metrics = Some(quality),
            "text/plain" | "text/*" | "*/*" => {
                text = Some(text.map_or(quality, |best| best.max(quality)));
            }
            _ => {}
        }
    }
    open_metrics.is_none_or(|quality| quality <= 0.0 || text.is_some_and(|text| text > quality))
}

/// Rewrites OpenMetrics as the text format 0.0.4: counters carry `_total` in their metadata, too, and
/// units and the end are not marked.
fn in_text_format(open_metrics: &str) -> String {
    let counters: HashSet<&str> = open_metrics
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter"))
        .collect();
    let mut out = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines() {
        let metadata = line.strip_prefix("# ").and_then(|rest| {
            let (keyword, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            Some((keyword, rest.split_once(' ')?))
        });
        match metadata {
            _ if line == "# EOF" => continue,
            Some(("UNIT", _)) => continue,
            Some((keyword @ ("HELP" | "TYPE"), (name, rest))) if counters.contains(name) => {
                out.extend(["# ", keyword, " ", name, "_total ", rest]);
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_the_text_format_carry_their_suffix() {
        let open_metrics = "# HELP iot_events Events.\n# TYPE iot_events counter\niot_events_total 3\n\
                            # HELP iot_wait_seconds Wait.\n# TYPE iot_wait_seconds histogram\n\
                            # UNIT iot_wait_seconds seconds\niot_wait_seconds_sum 1.5\n# EOF\n";
        assert_eq!(
            in_text_format(open_metrics),
            "# HELP iot_events_total Events.\n# TYPE iot_events_total counter\niot_events_total 3\n\
             # HELP iot_wait_seconds Wait.\n# TYPE iot_wait_seconds histogram\niot_wait_seconds_sum 1.5\n"
        );
    }
}
