//! Pages for people, and what they are made of.

use axum::body::Body;
use axum::http::Request;
use detector::{Detector, Params};
use sensor::{Feature, FeatureSchema, SensorEvent};
use serde_json::{Value, json};

use crate::{Answer, GOOD, HOT, NOW_US, TestApp, model, model_per_station};

async fn page(app: &TestApp, path: &str) -> Answer {
    let request = Request::get(path).header("host", "test").header("accept", "text/html,*/*");
    app.send(request.body(Body::empty()).unwrap()).await
}

/// Five stations; `press` has sent anomalies, the others have not.
async fn app() -> TestApp {
    let app = TestApp::new();
    for (station, template) in
        [("press", HOT), ("quench", GOOD), ("saw:1", GOOD), ("saw:2", GOOD), ("lathe", GOOD)]
    {
        for second in 0..5 {
            let event = template
                .replace("station_001", station)
                .replace("2026-01-02T03:04:05Z", &format!("2026-11-22T11:59:5{second}Z"));
            assert_eq!(app.predict(&event).await.status, 200);
        }
    }
    app
}

/// Resolves a link of a page: all begin with the way to the root.
fn resolved(link: &str) -> String {
    let from_root = link.trim_start_matches("../").trim_start_matches("./");
    assert_ne!(from_root, link, "a link does not begin with the way to the root: {link}");
    format!("/{from_root}")
}

/// The path behind the first link that begins like this.
fn link(page: &str, begin: &str) -> String {
    let links = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let mut paths = links.filter(|link| link.starts_with('.')).map(resolved);
    paths.find(|path| path.starts_with(begin)).unwrap()
}

/// Seen to fail with a headline that asks the floor alone.
#[tokio::test]
async fn the_overview_says_first_when_events_cannot_be_stored() {
    let app = app().await;
    let sql = |text: &str| {
        rusqlite::Connection::open(app.dir.path().join("events.db")).unwrap().execute_batch(text)
    };
    sql("ALTER TABLE totals RENAME TO hidden").unwrap();
    let late = GOOD.replace("2026-01-02T03:04:05Z", "2026-11-22T11:59:59Z");
    assert_eq!(app.predict(&late).await.status, 503);
    let failing = page(&app, "/").await.text;
    assert!(failing.contains("Events cannot be stored</h1>"), "{failing}");
    sql("ALTER TABLE hidden RENAME TO totals").unwrap();
    assert_eq!(app.predict(&late).await.status, 200);
    assert!(page(&app, "/").await.text.contains("press is sick</h1>"));
}

#[tokio::test]
async fn the_overview_says_who_is_sick_and_why() {
    let app = app().await;
    let overview = page(&app, "/").await;
    assert_eq!(overview.status, 200);
    assert!(overview.text.contains("press is sick</h1>"), "{}", overview.text);
    assert!(overview.text.contains("1 sick, 4 normal"));
    assert!(
        overview.text.contains("ranges above anything in training, normally 67.1 to 73.0"),
        "{}",
        overview.text
    );
    assert!(overview.text.contains("5 of its last 5 events are anomalies"));
    // The sick one comes first.
    let rows: Vec<&str> = overview.text.split("id=\"station-").skip(1).collect();
    assert!(rows.len() == 5 && rows[0].starts_with("press\""));

    let found = async |query: &str| {
        let answer = page(&app, &format!("/?{query}")).await;
        answer.text.matches("id=\"station-").count()
    };
    assert_eq!(found("q=saw").await, 2);
    assert_eq!((found("state=anomaly").await, found("state=normal&q=s").await), (1, 2));
    assert_eq!(
        (found("limit=3").await, found("q=unknown").await, found("state=&q=").await),
        (3, 0, 5)
    );
    assert_eq!(found("state=sick").await, 1);
    assert_eq!(page(&app, "/?state=ill").await.status, 422);
    // What was asked for comes first.
    let filtered = page(&app, "/?state=sick").await.text;
    assert!(filtered.find("id=\"stations\"") < filtered.find("id=\"attention\""));
    assert_eq!(page(&app, "/?unknown=x").await.status, 422);
}

#[tokio::test]
async fn an_empty_floor_says_what_to_do() {
    let overview = page(&TestApp::new(), "/").await;
    assert!(overview.text.contains("No station has sent anything yet"));
    assert!(overview.text.contains("cargo run -p simulate"));
}

#[tokio::test]
async fn a_station_and_its_anomalies_have_pages() {
    let app = app().await;
    let station = page(&app, "/ui/stations/press").await;
    assert_eq!(station.text.matches("class=\"curve\"").count(), 4, "three features and the score");
    assert!(station.text.contains("90.5"));
    for window in ["15m", "1h", "6h", "1d", "7d", "all"] {
        assert_eq!(page(&app, &format!("/ui/stations/press?window={window}")).await.status, 200);
    }
    let anomaly = page(&app, &link(&station.text, "/ui/anomalies/")).await;
    for part in [
        "temperature 90.5 °C is ",
        "rect class=\"bar unusual\"",
        "What would have been normal",
        "<strong>temperature between ",
        "anomaly (this one)",
        "&quot;temperature_c&quot;: 90.5",
    ] {
        assert!(
            anomaly.text.contains(part) || anomaly.text.contains(&part.replace("&quot;", "&#34;")),
            "{part}: {}",
            anomaly.text
        );
    }
    for missing in
        ["/ui/stations/unknown", "/ui/stations/%3Cb%3E", "/ui/anomalies/999", "/ui/anomalies/x"]
    {
        let answer = page(&app, missing).await;
        assert_eq!(answer.status, 404, "{missing}");
        assert!(answer.text.contains("<h1>Not Found</h1>"), "{missing}");
    }
    assert_eq!(page(&app, "/ui/stations/press?window=9y").await.status, 422);
}

#[tokio::test]
async fn the_page_of_the_model_compares_the_last_day_and_takes_over_another() {
    let app = app().await;
    let before = page(&app, "/ui/model").await.text;
    for part in ["25 events of the day up to", "There are too few values", "Scores of the training"]
    {
        assert!(before.contains(part), "{part}: {before}");
    }
    let reload = async || {
        let request = Request::post("/ui/model/reload").header("host", "test");
        app.send(request.body(Body::empty()).unwrap()).await
    };
    let refused = reload().await;
    assert_eq!(refused.status, 409);
    for part in ["The model in the folder cannot be used: ", "isoforest.bin"] {
        assert!(refused.text.contains(part), "{part}: {}", refused.text);
    }
    let other = model(43).detector;
    other.save(app.dir.path()).unwrap();
    let taken = reload().await;
    let after = page(&app, &resolved(taken.headers["location"].to_str().unwrap())).await.text;
    assert!(
        after.contains("The model in the folder is now in use.")
            && after.contains(other.meta().model_version.as_str())
    );
}

#[tokio::test]
async fn a_model_with_other_features_takes_over_only_when_it_is_forced() {
    let app = app().await;
    let schema =
        FeatureSchema::new(vec![Feature::named("flow"), Feature::named("sound_db")]).unwrap();
    let events: Vec<SensorEvent> = plant::normal_events(4_000, 1)
        .iter()
        .map(|event| {
            let values = [event.values()[0], event.values()[2]];
            let (station_id, time_us) = (event.station_id().clone(), event.timestamp_us());
            schema.event(station_id, event.sequence(), time_us, &values).unwrap()
        })
        .collect();
    let other = Detector::fit(&schema, &events, &Params::default(), NOW_US).unwrap();
    other.save(app.dir.path()).unwrap();
    let post = async |path: &str| {
        let request = Request::post(path).header("host", "test").body(Body::empty());
        app.send(request.unwrap()).await
    };
    let refused = post("/model/reload").await;
    assert_eq!(
        (refused.status, &refused.body["code"]),
        (409.try_into().unwrap(), &json!("other_features"))
    );
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("without temperature_c, humidity_pct, with flow"), "{detail}");
    assert_eq!(app.predict(&GOOD.replace(":1,", ":7,")).await.status, 200, "nothing has changed");
    let page = post("/ui/model/reload").await;
    assert!(
        page.status == 409 && page.text.contains("ui/model/reload?force=true"),
        "{}",
        page.text
    );

    assert_eq!(post("/model/reload?force=true").await.status, 200);
    assert_eq!(app.predict(GOOD).await.status, 422);
}

/// Seen to fail with a comparison of names alone: every event is then refused while `/readyz` says ok.
#[tokio::test]
async fn a_model_that_accepts_fewer_values_takes_over_only_when_it_is_forced() {
    let app = app().await;
    let mut features = FeatureSchema::default().features().to_vec();
    features[0].maximum = Some(69.0);
    let schema = FeatureSchema::new(features).unwrap();
    let events: Vec<SensorEvent> = plant::normal_events(4_000, 1)
        .iter()
        .filter_map(|event| {
            let (station_id, time_us) = (event.station_id().clone(), event.timestamp_us());
            schema.event(station_id, event.sequence(), time_us, event.values()).ok()
        })
        .collect();
    let stricter = Detector::fit(&schema, &events, &Params::default(), NOW_US).unwrap();
    stricter.save(app.dir.path()).unwrap();
    let request = Request::post("/model/reload").header("host", "test").body(Body::empty());
    let refused = app.send(request.unwrap()).await;
    assert_eq!(refused.body["code"], "other_features", "{}", refused.text);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("with fewer values allowed for temperature_c"), "{detail}");
}

#[tokio::test]
async fn refused_events_are_shown() {
    let app = app().await;
    let wrong = GOOD.replace("station_001", "wired-wrongly").replace("\"temperature_c\":70.2,", "");
    for _ in 0..3 {
        assert_eq!(app.predict(&wrong).await.status, 422);
    }
    let large = GOOD.replace("station_001", &"x".repeat(20_000));
    assert_eq!(app.predict(&large).await.status, 413);
    assert_eq!(app.predict("[7").await.status, 400);
    let listed = app.get("/refusals?limit=2").await.body;
    assert_eq!((&listed["total"], listed["refusals"].as_array().unwrap().len()), (&json!(5), 2));
    assert_eq!(listed["refusals"][0]["station_id"], Value::Null);
    assert_eq!(listed["refusals"][0]["code"], "json_syntax");
    assert_eq!(listed["refusals"][1]["code"], "body_too_large");
    let listed = app.get("/refusals?limit=3").await.body;
    assert_eq!(listed["refusals"][2]["station_id"], "wired-wrongly");
    assert_eq!(listed["refusals"][2]["code"], "missing_field");
    let overview = page(&app, "/").await.text;
    for part in ["Refused events", "wired-wrongly", "missing_field", "temperature_c"] {
        assert!(overview.contains(part), "{part}: {overview}");
    }
}

#[tokio::test]
async fn pages_load_only_from_this_server() {
    let app = app().await;
    let anomaly = link(&page(&app, "/").await.text, "/ui/anomalies/");
    for path in ["/", "/ui/stations/press", &anomaly, "/ui/model", "/nothing"] {
        let answer = page(&app, path).await;
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; "), "{path}: {policy}");
        // The chart library sets styles; scripts of the page itself are never run.
        assert_eq!(
            policy.contains("style-src 'self' 'unsafe-inline'"),
            path == "/ui/stations/press"
        );
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers["content-type"], "text/html; charset=utf-8");
        let inline = answer.text.split("<script").skip(1).filter(|rest| {
            let source = rest.split('"').nth(1).unwrap_or_default();
            !resolved(source).starts_with("/assets/")
        });
        assert_eq!(inline.count(), 0, "{path}");
        for forbidden in [" style=", " onclick", "javascript:", "http://", "https://"] {
            assert!(!answer.text.contains(forbidden), "{path}: {forbidden}");
        }
    }
    // Programs get problems as before.
    let answer = app.get("/nothing").await;
    assert_eq!(
        (answer.headers["content-type"].to_str().unwrap(), &answer.body["code"]),
        ("application/problem+json", &json!("not_found"))
    );
}

#[tokio::test]
async fn assets_are_compressed_and_cached_under_their_digest() {
    let app = app().await;
    let station = page(&app, "/ui/stations/press").await.text;
    let overview = page(&app, "/").await.text;
    assert!(
        station.contains("/plotly.js\"") && !overview.contains("plotly"),
        "only where there are charts"
    );
    let plotly = &resolved(station.split('"').find(|text| text.ends_with("/plotly.js")).unwrap());
    let plain = app.get(plotly).await;
    assert!(plain.text.starts_with("/**\n* plotly.js v3."), "{}", plain.text.get(..60).unwrap());
    assert_eq!(plain.headers["cache-control"], "public, max-age=31536000, immutable");
    let request =
        Request::get(plotly).header("host", "test").header("accept-encoding", "br, gzip;q=0.8");
    let response =
        tower::ServiceExt::oneshot(app.router.clone(), request.body(Body::empty()).unwrap())
            .await
            .unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let compressed = axum::body::to_bytes(response.into_body(), 1 << 23).await.unwrap();
    assert!(compressed.starts_with(&[0x1f, 0x8b]) && compressed.len() * 3 < plain.text.len());

    let mut parts = plotly.split('/');
    let digest = parts.nth(2).unwrap();
    let other = if digest.starts_with('0') {
        digest.replacen('0', "1", 1)
    } else {
        format!("0{}", digest.get(1..).unwrap())
    };
    assert_eq!(app.get(&plotly.replace(digest, &other)).await.status, 404);
    assert_eq!(app.get(&plotly.replace("plotly.js", "secret")).await.status, 404);
}

#[tokio::test]
async fn a_series_has_the_extremes_of_each_part_of_the_time() {
    let app = app().await;
    let series = async |query: &str| app.get(&format!("/stations/press/series{query}")).await;
    let whole = series("?points=1").await.body;
    assert_eq!(whole["features"], json!(["temperature_c", "humidity_pct", "sound_db"]));
    assert_eq!(whole["buckets"].as_array().unwrap().len(), 1);
    let bucket = &whole["buckets"][0];
    assert_eq!(
        (&bucket["events"], &bucket["anomalies"], &bucket["is_whole"]),
        (&json!(5), &json!(5), &json!(true))
    );
    assert_eq!(bucket["values"][0], json!([90.5, 90.5]));
    let part =
        series("?since=2026-11-22T11:59:52Z&until=2026-11-22T11:59:54Z&features=2").await.body;
    assert_eq!(part["buckets"].as_array().unwrap().len(), 2);
    assert_eq!(part["buckets"][0]["values"], json!([[66.1, 66.1]]));
    assert_eq!(app.get("/stations/unknown/series").await.body["buckets"], json!([]));
    for wrong in [
        "?points=0",
        "?points=4001",
        "?features=-1",
        "?features=",
        "?features=99",
        "?features=0,0",
        "?names=a,b",
        "?names=%5B%22a%22%2C%22a%22%5D",
        "?names=%5B1%5D",
        "?since=now",
        "?x=1",
    ] {
        assert_eq!(series(wrong).await.status, 422, "{wrong}");
    }
    assert_eq!(app.get("/stations/%3Cb%3E/series").await.status, 404);
    assert_eq!(
        series("?since=2026-11-22T11:59:54Z&until=2026-11-22T11:59:52Z").await.body["buckets"],
        Value::Array(vec![])
    );
}

#[tokio::test]
async fn programs_that_take_pages_too_get_documents() {
    let app = TestApp::new();
    let ask = async |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::builder().method(method).uri(path).header("host", "test");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header("content-type", "application/json");
        let answer = app.send(request.body(Body::from("{}")).unwrap()).await;
        String::from(answer.headers["content-type"].to_str().unwrap())
    };
    // As a client in Java asks by default.
    let java = ("accept", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2");
    let problem = "application/problem+json";
    assert_eq!(ask("POST", "/predict", &[java]).await, problem);
    assert_eq!(ask("GET", "/events?limit=0", &[java]).await, problem);
    let navigation = ("sec-fetch-dest", "document");
    let page = "text/html; charset=utf-8";
    assert_eq!(ask("GET", "/events?limit=0", &[java, navigation]).await, page);
    assert_eq!(ask("GET", "/?limit=0", &[java]).await, page);
    assert_eq!(ask("GET", "/nothing", &[java]).await, page);
}

#[tokio::test]
async fn a_bad_parameter_is_named_on_the_page() {
    let answer = page(&TestApp::new(), "/?limit=abc&q=x").await;
    assert_eq!(answer.status, 422);
    assert!(answer.text.contains("<code>limit</code> must be a whole number"), "{}", answer.text);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_send_anything() {
    let app = TestApp::new();
    let post = async |site: &str| {
        let request = Request::post("/ui/model/reload").header("host", "test");
        let request = request.header("sec-fetch-site", site).body(Body::empty()).unwrap();
        app.send(request).await.status.as_u16()
    };
    assert_eq!(
        (post("cross-site").await, post("same-origin").await, post("none").await),
        (403, 409, 409)
    );
    assert_eq!(post("same-site").await, 403, "another port of the same host");
    // Over plain HTTP at an address of the plant, browsers say only where the page is from.
    let post = async |origin: &str, forwarded: &str| {
        let request = Request::post("/model/reload?force=true").header("host", "plant:5000");
        let request = request.header("origin", origin).header("x-forwarded-host", forwarded);
        app.send(request.body(Body::empty()).unwrap()).await.status.as_u16()
    };
    assert_eq!(post("http://evil.example", "").await, 403);
    assert_eq!(post("null", "").await, 403);
    assert_eq!(post("http://plant:5000", "").await, 409);
    assert_eq!(post("https://portal", "portal").await, 409);
    assert_eq!(post("https://portal", "portal, inner").await, 409);
    // A name that an attacker's page makes point here (DNS rebinding) is not ours.
    assert_eq!(post("https://evil.example", "evil.example").await, 421);
    for (host, status) in
        [("evil.example", 421), ("plant", 200), ("127.0.0.1:5000", 200), ("a@b", 400)]
    {
        let request = Request::get("/health").header("host", host).body(Body::empty()).unwrap();
        assert_eq!(app.send(request).await.status, status, "{host}");
    }
    let answer = app.get("/openapi.json").await;
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_eq!(answer.headers["content-security-policy"], "frame-ancestors 'none'");
}

/// A station that two models have judged: the first knew another feature and had another threshold.
async fn app_with_a_change_of_model() -> TestApp {
    let features = ["temperature_c", "humidity_pct", "vibration_mm_s"];
    let schema = FeatureSchema::new(features.map(Feature::named).into()).unwrap();
    let events: Vec<SensorEvent> = (0..500)
        .map(|index| {
            let value = 40.0 + f64::from(index % 25);
            let json = format!(
                r#"{{"station_id":"press","sequence":{index},"timestamp":"2026-01-02T03:04:05Z","temperature_c":{value},"humidity_pct":{value},"vibration_mm_s":{value}}}"#
            );
            schema.parse(json.as_bytes(), NOW_US).unwrap()
        })
        .collect();
    let detector = Detector::fit(&schema, &events, &Params::default(), NOW_US).unwrap();
    let earlier = TestApp::with_model(&pipeline::Model {
        detector,
        origin: pipeline::Origin::File,
        loaded_us: NOW_US,
    });
    for second in 0..5 {
        let event = format!(
            r#"{{"station_id":"press","sequence":{second},"timestamp":"2026-11-22T11:50:0{second}Z","temperature_c":50,"humidity_pct":50,"vibration_mm_s":4{second}}}"#
        );
        assert_eq!(earlier.predict(&event).await.status, 200);
    }
    let TestApp { router: old, dir, writer } = earlier;
    drop(old);
    writer.join().unwrap();
    let (router, writer) = crate::router(dir.path(), &model(42));
    let app = TestApp { router, dir, writer };
    for second in 0..3 {
        let event = GOOD
            .replace("station_001", "press")
            .replace("2026-01-02T03:04:05Z", &format!("2026-11-22T11:59:5{second}Z"));
        assert_eq!(app.predict(&event).await.status, 200);
    }
    app
}

/// Seen to fail with a chart of the current threshold and the current features alone.
#[tokio::test]
async fn a_chart_shows_what_an_earlier_model_was_given_and_which_threshold_it_applied() {
    let app = app_with_a_change_of_model().await;
    let series =
        app.get("/stations/press/series?points=100&names=%5B%22vibration_mm_s%22%5D").await;
    assert_eq!(series.body["features"], json!(["vibration_mm_s"]));
    assert_eq!(series.body["models"].as_array().unwrap().len(), 2);
    let buckets = series.body["buckets"].as_array().unwrap();
    let (first, last) = (&buckets[0], &buckets[buckets.len() - 1]);
    assert_eq!(first["values"][0][0], 40.0);
    assert_eq!(last["values"], json!([null]));
    assert_eq!((&first["model"], &last["model"]), (&json!(0), &json!(1)));
    assert_ne!(first["threshold"], last["threshold"]);
    let current = app.get("/health").await.body["model"]["threshold"].clone();
    assert_eq!(last["threshold"], current);

    let station = page(&app, "/ui/stations/press").await.text;
    assert!(station.contains("vibration mm s") || station.contains("vibration_mm_s"), "{station}");
    assert_eq!(station.matches("class=\"mark\"").count(), 2, "a threshold for each model");
    assert_eq!(station.matches("class=\"change\"").count(), 1);
    assert!(station.contains(">model 2026-11-22-"), "{station}");
}

/// Seen to fail with the order of arrival.
#[tokio::test]
async fn the_last_anomalies_of_a_station_are_in_order_of_measurement() {
    let app = TestApp::new();
    for (sequence, minute) in [(1, 50), (2, 58), (3, 20), (4, 59)] {
        let event = HOT
            .replace("\"sequence\":2", &format!("\"sequence\":{sequence}"))
            .replace("2026-01-02T03:04:05Z", &format!("2026-11-22T11:{minute}:00Z"));
        assert_eq!(app.predict(&event).await.status, 200);
    }
    let station = page(&app, "/ui/stations/station_001").await.text;
    let anomalies = station.split("id=\"anomalies\"").nth(1).unwrap();
    let anomalies = anomalies.split("</div>").next().unwrap();
    let places = ["11:59:00", "11:58:00", "11:50:00", "11:20:00"]
        .map(|time| anomalies.find(&format!("2026-11-22 {time} UTC")).unwrap());
    assert!(places.is_sorted(), "{places:?}");
    // The third was measured before the second and came after it.
    assert_eq!(anomalies.matches("arrived 40 min later").count(), 1, "{anomalies}");
    assert_eq!(anomalies.matches("arrived").count(), 1, "{anomalies}");
}

#[tokio::test]
async fn pages_speak_of_a_station_in_its_own_ranges() {
    let app = TestApp::with_model(&model_per_station());
    for station in ["station_002", "unknown"] {
        let event = HOT.replace("station_001", station).replace("90.5", "190.5");
        assert_eq!(app.predict(&event).await.body["is_anomaly"], true);
    }
    let overview = page(&app, "/").await.text;
    assert!(overview.contains("The model has no baseline for unknown: "), "{overview}");
    let known = page(&app, &link(&overview, "/ui/stations/station_002")).await.text;
    let unknown = page(&app, &link(&overview, "/ui/stations/unknown")).await.text;
    let notice = "The model has no baseline for this station";
    assert!(unknown.contains(notice) && !known.contains(notice), "{unknown}");
    let anomaly = page(&app, &link(&known, "/ui/anomalies/")).await.text;
    assert!(anomaly.contains("what is normal for this station"), "{anomaly}");
    // It is 20 degrees hotter than the others.
    let model = model_per_station();
    let seen = model.detector.features_of("station_002")[0].quantiles.clone().unwrap();
    assert!(seen.p01 > 80.0, "{seen:?}");
    let range = format!("normally {:.1} to", seen.p01);
    assert!(anomaly.contains(&range), "{anomaly}");
    assert!(known.contains(&seen.p01.to_string()), "{known}");
    let anomaly = page(&app, &link(&unknown, "/ui/anomalies/")).await.text;
    assert!(anomaly.contains("what is normal for all stations together"), "{anomaly}");
    let model = page(&app, "/ui/model").await.text;
    assert!(model.contains("one for each of"), "{model}");
}
