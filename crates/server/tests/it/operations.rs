//! `docs/operations.md` explains what there is.

use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::Request;
use clap::CommandFactory as _;
use serde_json::Value;
use server::Args;

use crate::{GOOD, HOT, TestApp};

fn rust_sources(dir: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(rust_sources(&path));
        } else {
            texts.push(fs::read_to_string(&path).unwrap());
        }
    }
    texts
}

/// The message of a log line: the longest text without a value in it.
fn message(call: &str) -> String {
    let literal = call.split('"').nth(1).unwrap();
    let joined = literal.split("\\\n").map(str::trim_start).collect::<String>();
    let parts = joined.split(['{', '}', '`', ';', ':']).map(str::trim);
    parts.max_by_key(|part| part.len()).unwrap().into()
}

/// A metric, and the labels that it is asked by.
#[derive(Debug, PartialEq)]
struct Asked<'a> {
    name: &'a str,
    labels: Vec<&'a str>,
}

/// The metrics of this server that an expression of `PromQL` asks for.
fn asked(expression: &str) -> Vec<Asked<'_>> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .match_indices("iot_")
        .map(|(begin, _)| {
            let rest = expression.split_at(begin).1;
            let (name, rest) = rest.split_at(rest.find(|c| !is_of_name(c)).unwrap_or(rest.len()));
            let matchers = rest.strip_prefix('{').and_then(|rest| rest.split('}').next());
            let labels = matchers.into_iter().flat_map(|matchers| matchers.split(','));
            let label = |matcher: &'_ str| matcher.find(['=', '!', '~']);
            let labels = labels.filter_map(|m| label(m).map(|len| m.split_at(len).0)).collect();
            Asked { name, labels }
        })
        .collect()
}

/// All texts under a key, however deep.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get(key).and_then(Value::as_str));
            object.values().for_each(|value| texts(value, key, found));
        }
        Value::Array(values) => values.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

/// The title, the condition and the severity of an alert.
type Rule = (String, String, String);

fn field<'a>(block: &'a str, name: &str) -> &'a str {
    let (_, rest) = block.split_once(name).unwrap_or_else(|| panic!("{block} has no {name}"));
    rest.lines().next().unwrap().trim_end_matches(" }").trim_matches('\'')
}

/// Returns the alerts of Grafana as rules of Prometheus.
fn rules_of_alerts(alerts: &str) -> Vec<Rule> {
    let rule = |block: &str| {
        let (kind, limit) = field(block, "evaluator: { type: ").split_once(", params: [").unwrap();
        let sign = if kind == "gt" { '>' } else { '<' };
        let limit = limit.split(']').next().unwrap();
        let expression = format!("({}) {sign} {limit}", field(block, "expr: "));
        (field(block, "title: ").into(), expression, field(block, "severity: ").into())
    };
    alerts.split("- uid: ").skip(1).map(rule).collect()
}

fn rules_of(rules: &str) -> Vec<Rule> {
    let rule = |block: &str| {
        let title = block.lines().next().unwrap();
        (title.into(), field(block, "expr: ").into(), field(block, "severity: ").into())
    };
    rules.split("- alert: ").skip(1).map(rule).collect()
}

#[test]
fn expressions_are_taken_apart() {
    let found = asked(r#"sum(rate(iot_a_total{x="1",y=~"2"}[5m])) / iot_b > iot_c{z!="{{z}}"}"#);
    let names: Vec<_> = found.iter().map(|asked| (asked.name, asked.labels.clone())).collect();
    assert_eq!(names, [("iot_a_total", vec!["x", "y"]), ("iot_b", vec![]), ("iot_c", vec!["z"])]);
}

#[tokio::test]
async fn dashboards_and_alerts_ask_for_what_there_is() {
    let app = TestApp::new();
    for event in [GOOD, GOOD, HOT, "{}"] {
        app.predict(event).await;
    }
    app.send(Request::post("/model/reload").header("host", "test").body(Body::empty()).unwrap())
        .await;
    let metrics = app.get("/metrics").await.text;
    let has = |Asked { name, labels }: &Asked<'_>| {
        // Prometheus adds these itself.
        let own = labels.iter().filter(|label| !["instance", "job"].contains(label));
        let own: Vec<String> = own.map(|label| format!("{label}=\"")).collect();
        metrics.lines().any(|line| {
            let rest = line.strip_prefix(name);
            let is_meant = rest.is_some_and(|rest| rest.starts_with(['{', ' ']));
            is_meant && own.iter().all(|label| line.contains(label.as_str()))
        })
    };

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana");
    let dashboard = fs::read_to_string(folder.join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let alerts = fs::read_to_string(folder.join("alerts.yaml")).unwrap();
    let mut expressions = Vec::new();
    texts(&dashboard, "expr", &mut expressions);
    texts(&dashboard, "query", &mut expressions);
    let n_panels = dashboard["panels"].as_array().unwrap().len();
    let of_alerts = alerts.lines().filter_map(|line| line.trim_start().strip_prefix("expr: "));
    let of_alerts: Vec<&str> = of_alerts.map(|text| text.trim_matches('\'')).collect();
    assert_eq!(of_alerts.len(), alerts.matches("- uid: ").count());
    expressions.extend(of_alerts);
    let mut asked_for: Vec<Asked<'_>> = expressions.iter().flat_map(|text| asked(text)).collect();
    assert!(asked_for.len() > n_panels, "{asked_for:?}");
    let missing: Vec<_> = asked_for.iter().filter(|asked| !has(asked)).collect();
    assert!(missing.is_empty(), "{missing:?}\n{metrics}");

    let rules = fs::read_to_string(folder.join("../prometheus-rules.yml")).unwrap();
    assert_eq!(rules_of_alerts(&alerts), rules_of(&rules), "rules and alerts differ");

    let prometheus = fs::read_to_string(folder.join("../prometheus.yml")).unwrap();
    let job = prometheus.split("job_name: ").nth(1).and_then(|rest| rest.lines().next()).unwrap();
    assert!(alerts.contains(&format!("up{{job=\"{job}\"}}")), "{job}");

    // Each metric is used in a dashboard or an alert.
    asked_for.sort_by_key(|asked| asked.name);
    let told = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let unasked: Vec<&str> = told
        .filter_map(|line| line.split(' ').next())
        .filter(|name| !asked_for.iter().any(|asked| asked.name.starts_with(name)))
        .collect();
    assert!(unasked.is_empty(), "no panel and no alert has {unasked:?}");
}

#[tokio::test]
async fn every_flag_metric_and_warning_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let mut missing = Vec::new();
    let mut expect = |what: String| {
        if !text.contains(&what) {
            missing.push(what);
        }
    };
    for argument in Args::command().get_arguments() {
        expect(format!("`--{}`", argument.get_long().unwrap()));
        expect(argument.get_env().unwrap().to_str().unwrap().into());
    }

    let app = TestApp::new();
    for event in [GOOD, GOOD, HOT, "{}"] {
        app.predict(event).await;
    }
    let metrics = app.get("/metrics").await.text;
    let names = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for name in names.map(|line| line.split(' ').next().unwrap()) {
        expect(format!("`{name}`"));
    }

    let mut n_messages = 0;
    for crate_name in
        ["server", "pipeline", "http-door", "pages", "stations", "store", "store-sqlite"]
    {
        for source in rust_sources(&root.join("crates").join(crate_name).join("src")) {
            for call in ["tracing::warn!(", "tracing::error!("] {
                for after in source.split(call).skip(1) {
                    expect(message(after));
                    n_messages += 1;
                }
            }
        }
    }
    assert!(n_messages > 10, "only {n_messages} messages were found");
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:#?}");
}

#[test]
fn every_limit_is_listed() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let operations = fs::read_to_string(crates.join("../docs/operations.md")).unwrap();
    let mut n_limits = 0;
    for room in ["http-door", "pipeline", "store", "store-sqlite"] {
        let source = fs::read_to_string(crates.join(room).join("src/limits.rs")).unwrap();
        for rest in source.split("const ").skip(1) {
            let name = rest.split(':').next().unwrap();
            assert!(operations.contains(&format!("`{name}`")), "{room}: {name}");
            n_limits += 1;
        }
    }
    assert!(n_limits > 40, "only {n_limits} limits are found");
}
