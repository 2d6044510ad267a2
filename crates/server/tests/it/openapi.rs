//! The OpenAPI document as tools of others read it.
//!
//! The tools come from PyPI (`pip install openapi-spec-validator openapi-python-client`). Where they are
//! missing, the tests pass and say so; with `REQUIRE_PYTHON_TOOLS=1` they fail.

use std::path::Path;
use std::process::{Command, Output};

use crate::{TestApp, skip_without, socket};

const CLIENT: &str = r#"
import datetime, sys
sys.path.insert(0, sys.argv[2])
import anomaly_detection_for_sensor_streams_client as package
from anomaly_detection_for_sensor_streams_client.api.events import latest_anomalies, predict, predict_batch
from anomaly_detection_for_sensor_streams_client.models import PredictionBody, Problem, SensorEventBody

client = package.Client(base_url=sys.argv[1])

def event(sequence, temperature):
    time = datetime.datetime(2026, 1, 2, 3, 4, sequence, tzinfo=datetime.timezone.utc)
    event = SensorEventBody(station_id="generated", sequence=sequence, timestamp=time)
    event.additional_properties = {"temperature_c": temperature, "humidity_pct": 44.7, "sound_db": 66.1}
    return event

normal = predict.sync(client=client, body=event(1, 70.2))
assert isinstance(normal, PredictionBody) and not normal.is_anomaly, normal
hot = predict.sync(client=client, body=event(2, 90.5))
assert hot.is_anomaly and hot.attributions[0].feature == "temperature_c", hot
again = predict.sync(client=client, body=event(1, 71.0))
assert isinstance(again, Problem) and again.code == "sequence_conflict", again
batch = predict_batch.sync(client=client, body=[event(3, 70.0), event(4, 91.0)])
assert [answer.is_anomaly for answer in batch] == [False, True], batch
listed = latest_anomalies.sync(client=client, limit=10)
assert [anomaly.sequence for anomaly in listed.anomalies] == [4, 2], listed
"#;

/// Runs a tool; `None` when it is missing and need not be there.
fn run(program: &str, args: &[&str]) -> Option<Output> {
    match Command::new(program).args(args).output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip_without(program, "REQUIRE_PYTHON_TOOLS", &error);
            None
        }
    }
}

#[track_caller]
fn assert_done(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
}

async fn write_document(path: &Path) {
    let document = TestApp::new().get("/openapi.json").await.text;
    std::fs::write(path, document).unwrap();
}

#[tokio::test]
async fn the_document_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("openapi.json");
    write_document(&path).await;
    if let Some(output) = run("openapi-spec-validator", &[path.to_str().unwrap()]) {
        assert_done(&output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_predicts_and_reads_anomalies() {
    let dir = tempfile::tempdir().unwrap();
    let (document, package) = (dir.path().join("openapi.json"), dir.path().join("client"));
    write_document(&document).await;
    let (document, package) = (document.to_str().unwrap(), package.to_str().unwrap());
    let generate = ["generate", "--path", document, "--output-path", package, "--meta", "none"];
    let Some(output) = run("openapi-python-client", &generate) else { return };
    assert_done(&output);
    // Without metadata, the folder is the package itself.
    let packages = dir.path().join("packages");
    std::fs::create_dir(&packages).unwrap();
    let name = "anomaly_detection_for_sensor_streams_client";
    std::fs::rename(package, packages.join(name)).unwrap();

    let running = socket::start_now(dir.path()).await;
    let url = format!("http://{}", running.addr);
    let args = ["-c", CLIENT, url.as_str(), packages.to_str().unwrap()].map(String::from);
    // The interpreter beside the generator has the libraries that its clients need.
    let python = tokio::task::spawn_blocking(move || {
        let python = run("sh", &["-c", "head -1 \"$(command -v openapi-python-client)\""]).unwrap();
        let shebang = String::from_utf8(python.stdout).unwrap();
        let interpreter = shebang.trim().trim_start_matches("#!").to_owned();
        Command::new(interpreter).args(args).output().unwrap()
    });
    assert_done(&python.await.unwrap());
    running.stop().await;
}
