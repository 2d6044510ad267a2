//! What `docs/operations.md` explains is what there is.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
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
    for crate_name in ["server", "store"] {
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
