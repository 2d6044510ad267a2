//! The pages as a person meets them, in a browser without a window.
//!
//! Without Chromium these tests pass and say so; with `REQUIRE_BROWSER=1` they fail.

use std::time::Duration;

use rig::{Browser, ColourScheme, Connection, Viewport};
use sensor::timestamp;
use tokio::task::block_in_place;

use crate::{Plant, now_us};

const DESK: Viewport = Viewport { width: 1_280, height: 900, scale: 1 };
const PHONE: Viewport = Viewport { width: 375, height: 700, scale: 2 };

/// Lists what a keyboard cannot scroll, and whether there is not exactly one main heading.
const OUT_OF_REACH: &str = "(() => {
    const scrolls = (box) => box.scrollWidth > box.clientWidth
        && ['auto', 'scroll'].includes(getComputedStyle(box).overflowX);
    const boxes = [...document.querySelectorAll('main *')].filter(scrolls);
    const faults = boxes.filter((box) => box.tabIndex < 0 && !box.querySelector('a[href], button'));
    const headings = document.querySelectorAll('h1:not([role])').length;
    return [...faults.map((box) => box.outerHTML.slice(0, 60)), ...(headings === 1 ? [] : [headings])];
})()";

/// As long as a name may be.
const LONG_NAME: &str = "a-station-with-a-name-that-is-as-long-as-a-name-may-be-123456789";

/// A browser, or `None` with the reason said.
fn browser() -> Option<Browser> {
    #[expect(clippy::disallowed_methods, reason = "tests are configured by the environment alone")]
    let (path, required) = (std::env::var_os("PATH"), std::env::var_os("REQUIRE_BROWSER"));
    let Some(program) = Browser::find(&path.unwrap_or_default()) else {
        assert!(required.is_none_or(|value| value != "1"), "Chromium is required and not there");
        #[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
        {
            println!("skipped: Chromium is not installed");
        }
        return None;
    };
    Some(Browser::start(&program).unwrap())
}

/// Stations that send now.
struct Stations {
    connection: Connection,
    sequence: u64,
}

impl Stations {
    fn new(plant: &Plant) -> Self {
        let addr = plant.url.strip_prefix("http://").unwrap().parse().unwrap();
        let connection = Connection::open(addr, Duration::from_secs(20)).unwrap();
        Self { connection, sequence: 0 }
    }

    fn send(&mut self, station: &str, sound_db: f64) {
        self.send_of(now_us(), station, sound_db);
    }

    /// Sends what was measured at a time.
    fn send_of(&mut self, time_us: i64, station: &str, sound_db: f64) {
        self.sequence += 1;
        let event = serde_json::json!({
            "station_id": station, "sequence": self.sequence, "timestamp": timestamp::format(time_us),
            "temperature_c": 70.1, "humidity_pct": 44.9, "sound_db": sound_db,
        });
        let answer = self.connection.predict(&event.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

/// Nothing went wrong on the console, and nothing was asked of anybody else.
#[track_caller]
fn check_clean(browser: &Browser, plant: &Plant) {
    assert_eq!(browser.errors(), [""; 0]);
    let is_elsewhere = |url: &&String| {
        !url.starts_with(&plant.url) && !url.starts_with("data:") && !url.starts_with("blob:")
    };
    let elsewhere: Vec<_> = browser.requests().iter().filter(is_elsewhere).collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_station_turns_to_anomaly_within_a_second() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        for round in 0..10 {
            for station in ["press_1", "press_2", "quench"] {
                stations.send(station, 65.0 + f64::from(round % 3));
            }
        }
        browser.resize(DESK).unwrap();
        browser.open(&plant.url).unwrap();
        let state = |station: &str, state: &str| {
            format!(
                "document.getElementById('station-{station}').closest('tr').className === '{state}'"
            )
        };
        browser.wait_until(&state("press_1", "normal")).unwrap();
        browser
            .wait_until(
                "document.querySelector('h1').innerText.includes('All 3 stations are normal')",
            )
            .unwrap();

        // It takes a second at most; another program may take the processors during one of the tries.
        let took = ["press_1", "press_2", "quench"].map(|station| {
            stations.send(station, 91.2);
            browser.wait_until(&state(station, "recent")).unwrap()
        });
        let n_soon = took.iter().filter(|took| **took < Duration::from_secs(1)).count();
        assert!(n_soon >= 2, "{took:?}");

        // Several anomalies are no chance: the page says which station, and why.
        for _ in 0..3 {
            stations.send("press_2", 91.2);
        }
        browser
            .wait_until("document.querySelector('h1').innerText.includes('press_2 is sick')")
            .unwrap();
        let spoken = browser.evaluate("document.getElementById('spoken').innerText").unwrap();
        assert_eq!(spoken, "press_2 is sick", "those who listen hear it, too");
        let reason = browser.evaluate("document.querySelector('.card .reason').innerText").unwrap();
        let reason = reason.as_str().unwrap();
        assert!(
            reason.starts_with(
                "sound 91.2 dB is 1.8 ranges above anything in training, normally 62.8 to 69.2"
            ),
            "{reason}"
        );

        browser.click("#card-press_2").unwrap();
        browser.wait_until("document.title === 'press_2: sick'").unwrap();
        browser
            .wait_until("document.querySelectorAll('#chart .scatterlayer .trace').length === 8")
            .unwrap();
        browser.click("#anomalies td a").unwrap();
        browser.wait_until("document.title === 'Anomaly of press_2'").unwrap();
        let bars =
            browser.evaluate("document.querySelectorAll('#attributions rect.bar').length").unwrap();
        assert_eq!(bars, 3);
        check_clean(&browser, &plant);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_finds_its_server_again() {
    let Some(mut browser) = browser() else { return };
    let mut plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        stations.send("press_1", 65.0);
        browser.resize(DESK).unwrap();
        browser.open(&plant.url).unwrap();
        browser.wait_until("document.getElementById('connection').hidden").unwrap();
        // A refresh puts another headline in the place of the first.
        stations.send("press_1", 91.2);
        browser.wait_until("document.querySelector('a[id^=anomaly-]') !== null").unwrap();
    });
    plant
        .restart(|| {
            let is_told = "!document.getElementById('connection').hidden";
            block_in_place(|| {
                browser.wait_until(is_told).unwrap();
                // From afar, too: headline, title and icon; and ages go on counting.
                let is_lost = "document.title.startsWith('NO CONNECTION since ') \
                               && document.querySelector('h1').innerText.startsWith('NO CONNECTION since ') \
                               && document.getElementById('icon').href.includes('svg') \
                               && parseInt(document.querySelector('[data-age-s]').innerText) >= 8";
                let took = browser.wait_until(is_lost).unwrap();
                assert!(took < Duration::from_secs(12), "{took:?}");
            });
        })
        .await;
    block_in_place(|| {
        // Other numbers than before the restart, or it would be the same event.
        let mut stations = Stations { sequence: 100, ..Stations::new(&plant) };
        for _ in 0..4 {
            stations.send("press_1", 91.2);
        }
        browser.wait_until("document.title === 'press_1 is sick'").unwrap();
        browser.wait_until("document.getElementById('connection').hidden").unwrap();
        let is_found = "document.querySelector('h1').innerText.includes('press_1 is sick') \
                        && document.getElementById('icon').getAttribute('href') === 'data:,'";
        browser.wait_until(is_found).unwrap();
    });
}

/// Seen to fail with a stream for each window: the ninth hears no news.
#[tokio::test(flavor = "multi_thread")]
async fn nine_windows_of_one_browser_all_load_and_share_a_stream() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        for number in 0..9 {
            stations.send(&format!("press_{number}"), 65.0);
        }
        browser.resize(DESK).unwrap();
        browser.open(&plant.url).unwrap();
        browser
            .evaluate(
                "window.others = [...Array(9).keys()].map((number) => \
                 window.open('/ui/stations/press_' + number, '_blank', 'popup,width=500,height=400')); \
                 others.length",
            )
            .unwrap();
        let are_loaded = "window.others.every((other) => other.document.readyState === 'complete' \
                          && other.document.title.includes(': normal') \
                          && other.document.getElementById('connection').hidden)";
        browser.wait_until(are_loaded).unwrap();
        // Each hears of its station. Loading may have taken longer than an idle connection lasts.
        let mut stations = Stations::new(&plant);
        stations.send("press_8", 91.2);
        browser.wait_until("window.others[8].document.title === 'press_8: anomaly'").unwrap();
        let metrics = stations.connection.get("/metrics").unwrap().body;
        let n_streams = metrics.lines().find_map(|line| line.strip_prefix("iot_streams "));
        assert_eq!(n_streams, Some("1"), "{metrics}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_is_of_local_time_and_can_be_looked_into() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        let now_us = now_us();
        for minute in (0..50).rev() {
            stations.send_of(now_us - minute * 60_000_000, "press_1", 65.0);
        }
        browser.live_in("Asia/Kolkata").unwrap();
        browser.resize(DESK).unwrap();
        browser.open(&format!("{}/ui/stations/press_1", plant.url)).unwrap();
        // Five and a half hours ahead of UTC.
        browser
            .wait_until(
                "[...document.querySelectorAll('time')].every((time) => time.innerText.endsWith(\
                 new Date(Date.parse(time.dateTime) + 19800000).toISOString().slice(11, 19)))",
            )
            .unwrap();
        let zone = browser.evaluate("document.getElementById('zone').innerText").unwrap();
        assert_eq!(zone, "Times: UTC+05:30");
        let x = "document.getElementById('chart').data?.[0].x";
        browser
            .wait_until(&format!(
                "Math.abs(Date.parse({x}.at(-1) + 'Z') - Date.now() - 19800000) < 60000"
            ))
            .unwrap();
        browser.wait_until(&format!("{x}.length === 50")).unwrap();

        browser
            .evaluate(
                "(() => { const x = document.getElementById('chart').data[0].x; \
                 Plotly.relayout('chart', {'xaxis.range': [x[9], x[30]]}); })()",
            )
            .unwrap();
        browser.wait_until(&format!("{x}.length < 25 && {x}.length > 15")).unwrap();
        browser.click("#chart-reset").unwrap();
        browser.wait_until(&format!("{x}.length === 50")).unwrap();
        browser.wait_until("document.getElementById('chart-reset').hidden").unwrap();

        // One of the two is of the other half of the year, whose difference from UTC is another.
        for day in ["2025-01-15", "2025-07-15"] {
            let noon_us = timestamp::parse(&format!("{day}T12:00:00Z")).unwrap();
            stations.send_of(noon_us, "press_2", 65.0);
        }
        browser.live_in("Europe/Berlin").unwrap();
        browser.open(&format!("{}/ui/stations/press_2", plant.url)).unwrap();
        let times = "[...document.querySelectorAll('#events time')]";
        browser
            .wait_until(&format!(
                "{times}.filter((time) => /13:00:00|14:00:00/.test(time.innerText)).length === 2"
            ))
            .unwrap();
        let n_other =
            format!("{times}.filter((time) => /UTC\\+0[12]:00$/.test(time.innerText)).length");
        assert_eq!(browser.evaluate(&n_other).unwrap(), 1);
        check_clean(&browser, &plant);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_fits_a_phone_both_colour_schemes_and_a_keyboard() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        for _ in 0..5 {
            stations.send(LONG_NAME, 91.2);
        }
        let id = stations.connection.get("/latest_anomalies?limit=1").unwrap().json()["next"]
            .as_i64()
            .unwrap();
        let anomaly = format!("/ui/anomalies/{id}");
        let station = format!("/ui/stations/{LONG_NAME}");
        for path in ["/", station.as_str(), &anomaly, "/ui/model", "/no/such/page"] {
            let mut grounds = Vec::new();
            for scheme in [ColourScheme::Light, ColourScheme::Dark] {
                browser.prefer(scheme).unwrap();
                for viewport in [DESK, PHONE] {
                    browser.resize(viewport).unwrap();
                    browser.open(&format!("{}{path}", plant.url)).unwrap();
                    if path == station {
                        let is_drawn = "document.querySelector('#chart .scatterlayer .trace')";
                        browser.wait_until(&format!("{is_drawn} !== null")).unwrap();
                    }
                    let fits = "document.documentElement.scrollWidth <= innerWidth";
                    assert_eq!(browser.evaluate(fits).unwrap(), true, "{path} at {viewport:?}");
                    assert_eq!(
                        browser.evaluate(OUT_OF_REACH).unwrap(),
                        serde_json::json!([]),
                        "{path}"
                    );
                }
                let ground = "getComputedStyle(document.body).backgroundColor";
                grounds.push(browser.evaluate(ground).unwrap());
            }
            assert_ne!(grounds[0], grounds[1], "{path}");
        }
        // The browser tells its console of the page that is not there.
        assert_eq!(browser.errors().len(), 4, "{:?}", browser.errors());
        assert!(
            browser.errors().iter().all(|error| error.contains("404")),
            "{:?}",
            browser.errors()
        );
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_whole_without_scripts_and_can_be_walked_with_the_keyboard() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        for _ in 0..5 {
            stations.send("press_1", 91.2);
        }
        browser.resize(DESK).unwrap();
        browser.open(&plant.url).unwrap();
        // Past the link to the content and the three pages, the first thing is the sick station.
        for _ in 0..5 {
            browser.press("Tab").unwrap();
        }
        assert_eq!(browser.evaluate("document.activeElement.id").unwrap(), "card-press_1");
        browser.press("Enter").unwrap();
        browser.wait_until("document.title === 'press_1: sick'").unwrap();
        check_clean(&browser, &plant);

        browser.run_scripts(false).unwrap();
        browser.open(&format!("{}/ui/stations/press_1", plant.url)).unwrap();
        let picture = browser
            .evaluate("document.querySelectorAll('#chart svg.figure path.curve').length")
            .unwrap();
        assert_eq!(picture, 4, "the drawing of the server");
        browser.open(&plant.url).unwrap();
        let heading = browser.evaluate("document.querySelector('h1').innerText").unwrap();
        assert_eq!(heading, "\u{25b2} press_1 is sick");
        assert!(
            browser
                .evaluate("document.querySelector('time').innerText")
                .unwrap()
                .as_str()
                .unwrap()
                .ends_with(" UTC")
        );
    });
}

/// Seen to fail where pages asked for no referrer: browsers then send forms with the origin `null`, which is another site.
#[tokio::test(flavor = "multi_thread")]
async fn buttons_do_what_they_say_and_the_outcome_is_said_once() {
    let Some(mut browser) = browser() else { return };
    let plant = Plant::new(&[]).await;
    block_in_place(|| {
        let mut stations = Stations::new(&plant);
        for _ in 0..3 {
            stations.send("kiln_1", 65.0);
        }
        browser.resize(DESK).unwrap();
        let says = |text: &str| {
            format!("document.querySelector('.notice')?.innerText.startsWith('{text}') === true")
        };
        browser.open(&format!("{}/ui/stations/kiln_1", plant.url)).unwrap();
        browser.click("form button").unwrap();
        browser.wait_until(&says("The lesson is longer now")).unwrap();
        assert_eq!(browser.evaluate("location.search").unwrap(), "");
        browser.open(&format!("{}/ui/model", plant.url)).unwrap();
        browser.click("form button").unwrap();
        browser
            .wait_until(
                "location.pathname === '/ui/model' && document.body.innerText.includes('is now in use')",
            )
            .unwrap();
        check_clean(&browser, &plant);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_look_like_scripts_are_text() {
    let Some(mut browser) = browser() else { return };
    let names = [
        "<img src=x onerror=alert(1)>",
        "</script><script>alert(2)</script>",
        "\" onload=\"alert(3)",
    ];
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("hostile.csv");
    let mut writer = csv::Writer::from_path(&csv).unwrap();
    writer.write_record(names).unwrap();
    for i in 0..300_u32 {
        let row = [7, 11, 13].map(|factor| (i * factor % 97).to_string());
        writer.write_record(row).unwrap();
    }
    writer.flush().unwrap();
    let plant = Plant::new(&["--input", &crate::text(&csv)]).await;
    block_in_place(|| {
        let addr = plant.url.strip_prefix("http://").unwrap().parse().unwrap();
        let mut connection = Connection::open(addr, Duration::from_secs(20)).unwrap();
        for sequence in 0..5 {
            let event = serde_json::json!({
                "station_id": "javascript:alert-4", "sequence": sequence, "timestamp": timestamp::format(now_us()),
                names[0]: 1e6, names[1]: -1e6, names[2]: 1e6,
            });
            assert_eq!(connection.predict(&event.to_string()).unwrap().status, 200);
        }
        browser.resize(DESK).unwrap();
        browser.open(&plant.url).unwrap();
        let text = "document.body.innerText";
        assert!(browser.evaluate(text).unwrap().as_str().unwrap().contains(names[0]));
        browser.click("[id='card-javascript:alert-4']").unwrap();
        browser.wait_until("document.title === 'javascript:alert-4: sick'").unwrap();
        browser
            .wait_until("document.querySelectorAll('#chart .scatterlayer .trace').length === 8")
            .unwrap();
        let drawn = browser.evaluate("document.getElementById('chart').textContent").unwrap();
        assert!(names.iter().all(|name| drawn.as_str().unwrap().contains(name)), "{drawn}");
        browser.click("#anomalies td a").unwrap();
        browser.wait_until("document.title.startsWith('Anomaly of')").unwrap();
        browser.open(&format!("{}/ui/model", plant.url)).unwrap();
        let elements =
            browser.evaluate("document.querySelectorAll('img, script:not([src])').length").unwrap();
        assert_eq!(elements, 0);
        check_clean(&browser, &plant);
    });
}
