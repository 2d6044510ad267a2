//! A browser without a window, driven as a person would, and asked what it shows.
//!
//! It is Chromium, which takes orders over a web socket (the Chrome `DevTools` Protocol).

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::process::Process;

/// A browser with one tab. It is killed when it is dropped.
#[derive(Debug)]
pub struct Browser {
    // Ends with the browser, also where its start fails half-way.
    _process: Process,
    socket: WebSocket<TcpStream>,
    /// Which tab orders go to.
    session: String,
    last_order: u64,
    heard: Heard,
    _profile: TempDir,
}

/// The events of the tab that are not answers.
#[derive(Debug, Default)]
struct Heard {
    requests: Vec<String>,
    errors: Vec<String>,
    /// Names of events that somebody may wait for.
    events: VecDeque<String>,
}

/// A part of a page, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Viewport {
    /// The width in pixels.
    pub width: u32,
    /// The height in pixels.
    pub height: u32,
    /// Pixels of a picture for one of the page.
    pub scale: u32,
}

/// Light or dark, as the system of a person prefers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColourScheme {
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

/// The names under which Chromium is looked for.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// Time for an answer of the browser, and for a page.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time between two looks at a page.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

impl Browser {
    /// Returns the program, where it is installed.
    pub fn find(search_path: &std::ffi::OsStr) -> Option<PathBuf> {
        let folders: Vec<PathBuf> = std::env::split_paths(search_path).collect();
        let paths = NAMES.iter().flat_map(|name| folders.iter().map(move |dir| dir.join(name)));
        paths.into_iter().find(|path| path.is_file())
    }

    /// Returns the program, for those who can do nothing without it.
    ///
    /// # Errors
    ///
    /// Fails when it is not installed, with what to do.
    pub fn demand(search_path: &std::ffi::OsStr) -> anyhow::Result<PathBuf> {
        Self::find(search_path)
            .context("there is no Chromium; install one, such as with `apt-get install chromium`")
    }

    /// Starts it, with a profile of its own and an empty tab.
    ///
    /// # Errors
    ///
    /// Fails when it does not start, or does not take orders.
    pub fn start(program: &Path) -> anyhow::Result<Self> {
        let profile = tempfile::tempdir().context("cannot make a folder for the browser")?;
        let mut child = Command::new(program)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-popup-blocking",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ])
            .args(["--hide-scrollbars", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{}`", program.display()))?;
        let mut log = BufReader::new(child.stderr.take().expect("it was asked for"));
        let process = Process(child);
        let mut line = String::new();
        let url = loop {
            line.clear();
            if log.read_line(&mut line).context("cannot read what the browser says")? == 0 {
                bail!("the browser ended before it took orders");
            }
            if let Some((_, url)) = line.trim_end().split_once("DevTools listening on ") {
                break String::from(url);
            }
        };
        // A full pipe would stop it.
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));

        let addr = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next());
        let stream = TcpStream::connect(addr.context("the browser names no address")?)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let (socket, _) =
            tungstenite::client(&url, stream).context("the browser takes no orders")?;
        let (session, heard) = (String::new(), Heard::default());
        let mut browser =
            Self { _process: process, socket, session, last_order: 0, heard, _profile: profile };
        let target = browser.order("Target.createTarget", &json!({"url": "about:blank"}))?;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = browser.order("Target.attachToTarget", &attach)?;
        browser.session = text(&session["sessionId"]);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.order(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(browser)
    }

    /// Opens an address, and waits until all of the page is there.
    ///
    /// # Errors
    ///
    /// Fails when the page cannot be reached, or not in time.
    pub fn open(&mut self, url: &str) -> anyhow::Result<()> {
        self.heard.events.clear();
        let opened = self.order("Page.navigate", &json!({"url": url}))?;
        if let Some(error) = opened["errorText"].as_str() {
            bail!("cannot open {url}: {error}");
        }
        self.wait_for_load()
    }

    /// Waits until the page that was last asked for is there.
    ///
    /// # Errors
    ///
    /// Fails when it does not come in time.
    pub fn wait_for_load(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !self.heard.events.iter().any(|event| event == "Page.loadEventFired") {
            if begun.elapsed() > TIMEOUT {
                bail!("the page did not load within {} s", TIMEOUT.as_secs());
            }
            let message = self.hear()?;
            self.note(&message);
        }
        self.heard.events.clear();
        Ok(())
    }

    /// Returns the value of a JavaScript expression in the page; a promise is waited for.
    ///
    /// # Errors
    ///
    /// Fails when the expression does.
    pub fn evaluate(&mut self, expression: &str) -> anyhow::Result<Value> {
        let order = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let mut answer = self.order("Runtime.evaluate", &order)?;
        if let Some(exception) = answer.get("exceptionDetails") {
            bail!("`{expression}` fails: {exception}");
        }
        Ok(answer["result"]["value"].take())
    }

    /// Waits until an expression is true, and says how long that took.
    ///
    /// # Errors
    ///
    /// Fails when it does not become true in time.
    pub fn wait_until(&mut self, expression: &str) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        // Between two pages there is nothing to ask, and that is no failure yet.
        while !matches!(self.evaluate(expression), Ok(Value::Bool(true))) {
            if begun.elapsed() > TIMEOUT {
                bail!("`{expression}` was not true within {} s", TIMEOUT.as_secs());
            }
            thread::park_timeout(LOOK_PAUSE);
        }
        Ok(begun.elapsed())
    }

    /// Presses the mouse button in the middle of the first element that a CSS selector names.
    ///
    /// # Errors
    ///
    /// Fails when there is none.
    pub fn click(&mut self, selector: &str) -> anyhow::Result<()> {
        let selector = Value::from(selector);
        let place = self.evaluate(&format!(
            "(() => {{ const e = document.querySelector({selector}); e.scrollIntoView({{block: 'center'}}); \
             const r = e.getClientRects()[0]; return [r.x + r.width / 2, r.y + r.height / 2]; }})()"
        ))?;
        for (kind, n_buttons) in [("mousePressed", 1), ("mouseReleased", 0)] {
            let order = json!({"type": kind, "x": place[0], "y": place[1], "button": "left",
                               "buttons": n_buttons, "clickCount": 1});
            self.order("Input.dispatchMouseEvent", &order)?;
        }
        Ok(())
    }

    /// Presses a key, such as `Tab` or `Enter`.
    ///
    /// # Errors
    ///
    /// Fails when the browser does.
    pub fn press(&mut self, key: &str) -> anyhow::Result<()> {
        let (code, text) = if key == "Enter" { (13, "\r") } else { (9, "") };
        for kind in ["keyDown", "keyUp"] {
            let order = json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code,
                               "text": if kind == "keyDown" { text } else { "" }});
            self.order("Input.dispatchKeyEvent", &order)?;
        }
        Ok(())
    }

    /// Gives the page another size.
    ///
    /// # Errors
    ///
    /// Fails when the browser does.
    pub fn resize(&mut self, viewport: Viewport) -> anyhow::Result<()> {
        let Viewport { width, height, scale } = viewport;
        let order = json!({"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600});
        self.order("Emulation.setDeviceMetricsOverride", &order).map(drop)
    }

    /// Prefers light or dark.
    ///
    /// # Errors
    ///
    /// Fails when the browser does.
    pub fn prefer(&mut self, scheme: ColourScheme) -> anyhow::Result<()> {
        let value = if scheme == ColourScheme::Dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.order("Emulation.setEmulatedMedia", &json!({"features": features})).map(drop)
    }

    /// Lives in another time zone, such as `Asia/Kolkata`.
    ///
    /// # Errors
    ///
    /// Fails when there is no such zone.
    pub fn live_in(&mut self, time_zone: &str) -> anyhow::Result<()> {
        self.order("Emulation.setTimezoneOverride", &json!({"timezoneId": time_zone})).map(drop)
    }

    /// Runs no scripts from the next page on, or runs them again.
    ///
    /// # Errors
    ///
    /// Fails when the browser does.
    pub fn run_scripts(&mut self, is_on: bool) -> anyhow::Result<()> {
        self.order("Emulation.setScriptExecutionDisabled", &json!({"value": !is_on})).map(drop)
    }

    /// Returns a picture of what is to be seen, as PNG.
    ///
    /// # Errors
    ///
    /// Fails when the browser does.
    pub fn screenshot(&mut self) -> anyhow::Result<Vec<u8>> {
        let picture = self.order("Page.captureScreenshot", &json!({"format": "png"}))?;
        let data = picture["data"].as_str().context("the browser gives no picture")?;
        base64::engine::general_purpose::STANDARD.decode(data).context("the picture is damaged")
    }

    /// Addresses that the tab has asked for.
    pub fn requests(&self) -> &[String] {
        &self.heard.requests
    }

    /// Returns the errors on its console, exceptions and refused requests included.
    pub fn errors(&self) -> &[String] {
        &self.heard.errors
    }

    /// Gives an order and waits for its answer.
    fn order(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        self.last_order += 1;
        let id = self.last_order;
        let mut order = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            order["sessionId"] = Value::from(self.session.as_str());
        }
        self.socket.send(Message::text(order.to_string())).context("the browser has ended")?;
        loop {
            let mut message = self.hear()?;
            if message["id"] != id {
                self.note(&message);
                continue;
            }
            if let Some(error) = message.get("error") {
                bail!("the browser refuses {method}: {error}");
            }
            return Ok(message["result"].take());
        }
    }

    fn hear(&mut self) -> anyhow::Result<Value> {
        loop {
            if let Message::Text(text) = self.socket.read().context("the browser is silent")? {
                return serde_json::from_str(&text).context("the browser says something else");
            }
        }
    }

    fn note(&mut self, message: &Value) {
        let params = &message["params"];
        let method = message["method"].as_str().unwrap_or_default();
        match method {
            "Network.requestWillBeSent" => {
                self.heard.requests.push(text(&params["request"]["url"]));
            }
            "Runtime.exceptionThrown" => {
                self.heard.errors.push(params["exceptionDetails"].to_string());
            }
            "Runtime.consoleAPICalled" if params["type"] == "error" => {
                self.heard.errors.push(params["args"].to_string());
            }
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.heard.errors.push(params["entry"].to_string());
            }
            "Page.loadEventFired" => self.heard.events.push_back(String::from(method)),
            _ => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().into()
}
