//! The program against a server that misbehaves.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use clap::Parser as _;
use simulate::Report;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

const NOW_US: i64 = 1_795_348_800_000_000;

const HEALTH: &str =
    r#"{"model":{"version":"1-2","features":["temperature_c","humidity_pct","sound_db"]}}"#;
const NORMAL: &str = r#"{"anomaly_score":0.4,"is_anomaly":false}"#;

/// The answer of a server to the nth event: a status line with further headers, and a body; or nothing.
type Script = fn(usize) -> Option<(&'static str, String)>;

/// Answers `/health`, and events as the script says; gives the address.
async fn fake_server(script: Script) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/predict", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut n_events = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            let answer = if request.starts_with("GET /health ") {
                Some(("200 OK", String::from(HEALTH)))
            } else {
                n_events += 1;
                script(n_events)
            };
            if let Some((status, body)) = answer {
                let len = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {len}\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    url
}

/// Reads a request whose body, if any, is a JSON object.
async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !(bytes.ends_with(b"}") || (bytes.starts_with(b"GET") && bytes.ends_with(b"\r\n\r\n"))) {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

async fn simulate(args: &[&str]) -> (anyhow::Result<Report>, String) {
    let args = simulate::Args::parse_from(["simulate"].iter().chain(args));
    let mut out = anstream::StripStream::new(Vec::new());
    let result = simulate::run(&args, || NOW_US, &mut out, std::future::pending()).await;
    (result, String::from_utf8(out.into_inner()).unwrap())
}

#[tokio::test]
async fn an_event_is_sent_again_until_the_server_takes_it() {
    // Full, then gone in the middle, then there, but it had stored the event before it went.
    let url = fake_server(|n| match n {
        1 => Some(("503 Service Unavailable\r\nRetry-After: 0", String::from("{}"))),
        2 => None,
        3 => Some(("200 OK", NORMAL.replace('}', r#","duplicate":true}"#))),
        _ => Some(("200 OK", String::from(NORMAL))),
    })
    .await;
    let (report, _) = simulate(&["--url", &url, "--count", "2", "--interval", "0"]).await;
    let report = report.unwrap();
    assert_eq!((report.sent, report.stored, report.duplicates, report.retries), (2, 2, 0, 2));
}

#[tokio::test]
async fn a_server_that_turns_into_another_leaves_a_report_of_what_came_before() {
    let url =
        fake_server(|n| Some(("200 OK", String::from(if n < 3 { NORMAL } else { "{}" })))).await;
    let (result, said) = simulate(&["--url", &url, "--count", "9", "--interval", "0"]).await;
    let error = format!("{:#}", result.unwrap_err());
    assert!(error.contains("stopped for want of an answer"), "{error}");
    assert!(
        said.contains("sent         3: 2 stored, 0 duplicates, 0 refused, 1 failed, 0 retries"),
        "{said}"
    );
    assert!(!said.contains("p50 0.00 ms"), "{said}");
}

#[tokio::test]
async fn a_refusal_is_counted_by_its_code_and_not_repeated() {
    let url = fake_server(|n| {
        let refusal = ("422 Unprocessable Entity", String::from(r#"{"code":"invalid_event"}"#));
        Some(if n == 2 { refusal } else { ("200 OK", String::from(NORMAL)) })
    })
    .await;
    let (report, said) = simulate(&["--url", &url, "--count", "3", "--interval", "0"]).await;
    let report = report.unwrap();
    assert_eq!((report.sent, report.stored, report.refused, report.retries), (3, 2, 1, 0));
    assert_eq!(report.refused_by_code["invalid_event"], 1);
    assert!(said.contains("refused: 422 invalid_event"), "{said}");
}

#[tokio::test]
async fn a_run_of_which_nothing_was_taken_has_failed() {
    let url =
        fake_server(|_| Some(("404 Not Found", String::from(r#"{"code":"not_found"}"#)))).await;
    let (result, said) = simulate(&["--url", &url, "--count", "2", "--interval", "0"]).await;
    assert!(result.unwrap_err().to_string().contains("--url ends with /predict"));
    assert!(said.contains("refused 2 times: not_found"), "{said}");
}

#[tokio::test]
async fn json_is_the_report_and_nothing_else() {
    let url = fake_server(|_| Some(("200 OK", String::from(NORMAL)))).await;
    let (report, said) =
        simulate(&["--url", &url, "--count", "5", "--rate", "1000", "--json"]).await;
    let printed: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(printed, serde_json::to_value(report.unwrap()).unwrap());
    assert_eq!(printed["stored"], 5);
}

#[tokio::test]
async fn a_run_that_is_interrupted_reports_what_was_sent() {
    static HAS_ARRIVED: Notify = Notify::const_new();
    let url = fake_server(|_| {
        HAS_ARRIVED.notify_one();
        Some(("200 OK", String::from(NORMAL)))
    })
    .await;
    let args = simulate::Args::parse_from([
        "simulate",
        "--url",
        &url,
        "--count",
        "9",
        "--interval",
        "3600",
    ]);
    let mut out = Vec::new();
    let report = simulate::run(&args, || NOW_US, &mut out, HAS_ARRIVED.notified()).await.unwrap();
    assert_eq!((report.sent, report.interrupted), (1, true));
    assert!(String::from_utf8(out).unwrap().contains("interrupted"));
}

#[tokio::test]
async fn impossible_wishes_are_refused_with_a_sentence() {
    let check = async |args: &[&str], expected: &str| {
        let error = format!("{:#}", simulate(args).await.0.unwrap_err());
        assert!(error.contains(expected), "{args:?}: {error}");
    };
    check(&["--count", "0"], "--count 0 leaves nothing to send").await;
    check(&["--interval=-1"], "--interval must be 0 to 86,400 seconds").await;
    check(&["--interval", "nan"], "--interval must be 0 to 86,400 seconds").await;
    check(&["--rate", "0"], "--rate must be 0.00001 to 1,000,000 events a second").await;
    check(&["--rate", "1e-20"], "--rate must be 0.00001 to 1,000,000 events a second").await;
    check(&["--concurrency", "0"], "--concurrency must be 1 to 10000").await;
    check(&["--stations", "0"], "--stations must be 1 to 100000").await;
    check(&["--anomaly-rate", "1"], "--anomaly-rate must be 0 to 0.9").await;
    check(&["--url", "127.0.0.1:5000"], "--url").await;
    check(&["--url", "ftp://127.0.0.1/predict"], "should be like http://127.0.0.1:5000/predict")
        .await;
    for conflict in [["--replay", "a.csv", "--seed", "1"], ["--interval", "1", "--rate", "1"]] {
        assert!(simulate::Args::try_parse_from(["simulate"].iter().chain(&conflict)).is_err());
    }
}

#[tokio::test]
async fn events_of_the_past_are_sent_at_once_with_their_times() {
    let url = fake_server(|_| Some(("200 OK", String::from(NORMAL)))).await;
    let args = ["--url", &url, "--backfill", "1h", "--interval", "60", "--count", "60"];
    let (report, said) = simulate(&args).await;
    assert_eq!(report.unwrap().stored, 60);
    let times: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("2026-"))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    assert_eq!(times.len(), 60);
    assert_eq!((times[0], times[59]), ("2026-11-22T11:00:00Z", "2026-11-22T11:59:00Z"));

    for (wrong, said) in [
        (&["--backfill", "1h", "--interval", "0"][..], "needs an --interval above 0"),
        (&["--worn-station", "5"][..], "must be one of the 4 stations"),
    ] {
        let all = [&["--url", url.as_str()], wrong].concat();
        let error = simulate(&all).await.0.unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Seen to fail in three of six runs where the place was free before the event was recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 16)]
async fn events_under_way_one_at_a_time_are_shown_in_the_order_in_which_they_were_sent() {
    let url = fake_server(|_| Some(("200 OK", String::from(NORMAL)))).await;
    let args = ["--url", &url, "--interval", "0", "--count", "2000", "--stations", "2000"];
    let (report, said) = simulate(&args).await;
    assert_eq!(report.unwrap().stored, 2000);
    let stations: Vec<u32> = said
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("station_")?.parse().ok())
        .collect();
    assert_eq!(stations.len(), 2000);
    assert!(stations.is_sorted(), "{said}");
}

#[tokio::test]
async fn the_report_as_a_file_shows_truth_and_detection() {
    let url = fake_server(|n| {
        let is_anomaly = n % 10 == 0;
        Some(("200 OK", format!(r#"{{"anomaly_score":0.4,"is_anomaly":{is_anomaly}}}"#)))
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.html").display().to_string();
    let args = ["--url", &url, "--count", "100", "--interval", "0", "--quiet", "--report", &path];
    let (report, said) = simulate(&args).await;
    let report = report.unwrap();
    assert!(
        said.contains("called anomalies") && said.contains(&format!("report       {path}")),
        "{said}"
    );
    let html = std::fs::read_to_string(&path).unwrap();
    // Two strips for each of four stations, and everything within the file.
    assert_eq!(html.matches("<svg").count(), 8);
    assert!(!html.contains("src=") && !html.contains("<script"));
    let n_missed = report.confusion.false_negatives;
    assert!(html.contains(&format!(
        "<td>anomalous</td>\n<td>{}</td>\n<td>{n_missed}</td>",
        report.confusion.true_positives
    )));
}

#[tokio::test]
async fn of_a_recording_without_labels_only_the_answers_are_reported() {
    let url = fake_server(|n| {
        let is_anomaly = n == 2;
        Some(("200 OK", format!(r#"{{"anomaly_score":0.6,"is_anomaly":{is_anomaly}}}"#)))
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let rows = "temperature_c,humidity_pct,sound_db\n".to_owned() + &"70,45,65\n".repeat(8);
    std::fs::write(path("line.csv"), rows).unwrap();
    let (replay, report) = (path("line.csv"), path("run.html"));
    let (result, said) =
        simulate(&["--url", &url, "--replay", &replay, "--quiet", "--report", &report]).await;
    assert_eq!(result.unwrap().called, 1);
    assert!(said.contains("anomalies    1 of 8 events (12.5 %); the truth is not known"), "{said}");
    let html = std::fs::read_to_string(&report).unwrap();
    assert!(html.contains("line.csv") && html.contains("2026-11-22T12:00:00Z"), "{html}");
    assert_eq!((html.contains("recall"), html.matches("<svg").count()), (false, 1));
}

#[test]
fn a_view_is_for_terminals_unless_somebody_says_otherwise() {
    use simulate::View;
    assert_eq!(View::Auto.on_terminal(true), View::Live);
    assert_eq!(View::Auto.on_terminal(false), View::Lines);
    assert_eq!(View::Lines.on_terminal(true), View::Lines);
    let both = ["simulate", "--json", "--view", "live"];
    assert!(simulate::Args::try_parse_from(both).is_err());
}
