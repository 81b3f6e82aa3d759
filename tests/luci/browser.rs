//! Chromium without a window, spoken to over the pipes of its DevTools protocol.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Where the pipes and profiles of browsers are, each with a directory of its own: outside of what a lab clears.
const PLACE: &str = "/run/chromium";

/// Its switches: no network but loopback, nothing in the background.
const SWITCHES: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "about:blank",
];

/// The program, where there is one.
pub fn program() -> Option<PathBuf> {
    let named = std::env::var_os("L3ROAMD_CHROMIUM").map(PathBuf::from);
    let known =
        ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].map(PathBuf::from);
    named.into_iter().chain(known).find(|path| path.is_file())
}

/// A browser with one page at a time.
pub struct Browser {
    child: Child,
    place: PathBuf,
    input: File,
    messages: Receiver<Value>,
    number: u64,
    session: Option<String>,
    context: Option<String>,
    /// What the page complained of.
    complaints: Vec<String>,
}

/// How the page is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Screen {
    /// A window of 1280 pixels.
    Light,
    /// The same at night.
    Dark,
    /// 390 pixels wide.
    Phone,
}

impl Browser {
    /// Starts one.
    pub fn start() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        // What is left of an earlier browser may write into its directory still.
        let place = Path::new(PLACE).join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        std::fs::create_dir_all(&place).expect("a directory");
        let (input, output) = (place.join("in"), place.join("out"));
        let made = Command::new("mkfifo").args([&input, &output]).status().expect("mkfifo");
        assert!(made.success(), "no pipes");
        let child = Command::new("sh")
            .args(["-c", "cd \"$1\" && shift && exec \"$@\" 3<in 4>out", "chromium"])
            .arg(&place)
            .arg(program().expect("without it the tests are ignored"))
            .arg(format!("--user-data-dir={}", place.join("profile").display()))
            .args(SWITCHES)
            .env("HOME", &place)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(place.join("log")).expect("a log"))
            .spawn()
            .expect("sh starts");
        let input = File::options().write(true).open(input).expect("the pipe to it");
        let output = BufReader::new(File::open(output).expect("the pipe from it"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for message in output.split(0).map_while(Result::ok) {
                let Ok(message) = serde_json::from_slice(&message) else { continue };
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            place,
            input,
            messages,
            number: 0,
            session: None,
            context: None,
            complaints: Vec::new(),
        }
    }

    /// Sends a command and waits for its result.
    pub fn command(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if let (Some(session), false) = (&self.session, method.starts_with("Target.")) {
            message["sessionId"] = session.clone().into();
        }
        self.input.write_all(format!("{message}\0").as_bytes()).expect("the browser listens");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message =
                self.messages.recv_timeout(left).unwrap_or_else(|_| panic!("no answer to {method}"));
            if message["id"] == self.number {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.hear(&message);
        }
    }

    /// Notes what a page should not say.
    fn hear(&mut self, message: &Value) {
        let parameters = &message["params"];
        let complaint = match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => parameters["exceptionDetails"].to_string(),
            Some("Runtime.consoleAPICalled")
                if ["error", "warning", "assert"].iter().any(|kind| parameters["type"] == *kind) =>
            {
                parameters["args"].to_string()
            }
            Some("Log.entryAdded")
                if ["error", "warning"].iter().any(|level| parameters["entry"]["level"] == *level) =>
            {
                parameters["entry"].to_string()
            }
            Some("Page.javascriptDialogOpening") => format!("a dialogue: {}", parameters["message"]),
            _ => return,
        };
        self.complaints.push(complaint);
    }

    /// Opens a page in a profile of its own. `early` runs before its scripts.
    pub fn open(&mut self, url: &str, screen: Screen, early: &str) {
        self.close();
        let context = self.command("Target.createBrowserContext", json!({}))["browserContextId"].clone();
        self.context = context.as_str().map(str::to_owned);
        let target =
            self.command("Target.createTarget", json!({ "url": "about:blank", "browserContextId": context }));
        let attached =
            self.command("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }));
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Performance"] {
            self.command(&format!("{domain}.enable"), json!({}));
        }
        self.screen(screen);
        self.command("Page.addScriptToEvaluateOnNewDocument", json!({ "source": early }));
        self.command("Page.navigate", json!({ "url": url }));
    }

    /// Looks at the page in another way.
    pub fn screen(&mut self, screen: Screen) {
        let scheme = if screen == Screen::Dark { "dark" } else { "light" };
        self.command(
            "Emulation.setEmulatedMedia",
            json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] }),
        );
        let (width, height, mobile) =
            if screen == Screen::Phone { (390, 844, true) } else { (1280, 900, false) };
        self.command("Emulation.setDeviceMetricsOverride", json!({
            "width": width, "height": height, "deviceScaleFactor": if mobile { 2 } else { 1 }, "mobile": mobile,
            "screenWidth": width, "screenHeight": height,
        }));
    }

    /// Closes the page. Gives what it complained of.
    pub fn close(&mut self) -> Vec<String> {
        if let Some(context) = self.context.take() {
            self.session = None;
            self.command("Target.disposeBrowserContext", json!({ "browserContextId": context }));
        }
        std::mem::take(&mut self.complaints)
    }

    /// Evaluates an expression in the page, and waits where it is a promise.
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.command("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// Where that takes too long, with the page's text.
    pub fn wait(&mut self, expression: &str) {
        let begin = Instant::now();
        while self
            .eval(&format!("(() => {{ try {{ return !!({expression}); }} catch {{ return false; }} }})()"))
            != true
        {
            if begin.elapsed() > Duration::from_secs(60) {
                let text = self.eval("document.body ? document.body.innerText : ''");
                panic!("never true: {expression}\ncomplaints: {:?}\n{text}", self.complaints);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A number of the browser's own statistics: seconds, or a count.
    pub fn metric(&mut self, name: &str) -> f64 {
        let metrics = self.command("Performance.getMetrics", json!({}));
        let metrics = metrics["metrics"].as_array().into_iter().flatten();
        metrics
            .filter(|metric| metric["name"] == name)
            .find_map(|metric| metric["value"].as_f64())
            .unwrap_or(0.0)
    }

    /// Runs something while the profiler samples. Gives how long scripts ran meanwhile, in milliseconds. (The browser's own statistic
    /// ScriptDuration misses what promises run.)
    pub fn profile(&mut self, work: impl FnOnce(&mut Self)) -> f64 {
        self.command("Profiler.enable", json!({}));
        self.command("Profiler.setSamplingInterval", json!({ "interval": 200 }));
        self.command("Profiler.start", json!({}));
        work(self);
        let profile = self.command("Profiler.stop", json!({}))["profile"].clone();
        self.command("Profiler.disable", json!({}));
        let idle: Vec<u64> = profile["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|node| {
                let name = node["callFrame"]["functionName"].as_str().unwrap_or_default();
                ["(idle)", "(program)", "(root)"].contains(&name)
            })
            .filter_map(|node| node["id"].as_u64())
            .collect();
        let samples = profile["samples"].as_array().into_iter().flatten().filter_map(Value::as_u64);
        let times = profile["timeDeltas"].as_array().into_iter().flatten().filter_map(Value::as_f64);
        // A delta is the time before its sample.
        let busy = samples.zip(times.skip(1)).filter(|(node, _)| !idle.contains(node));
        busy.map(|(_, microseconds)| microseconds / 1000.0).sum()
    }

    /// Takes a picture of the page, at most so high, into tests/out/luci.
    pub fn picture(&mut self, name: &str) {
        let layout = self.command("Page.getLayoutMetrics", json!({}));
        let size = &layout["cssContentSize"];
        let height = size["height"].as_f64().unwrap_or(0.0).min(3000.0);
        let clip = json!({ "x": 0, "y": 0, "width": size["width"], "height": height, "scale": 1 });
        let shot =
            self.command("Page.captureScreenshot", json!({ "captureBeyondViewport": true, "clip": clip }));
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/out/luci");
        std::fs::create_dir_all(&directory).expect("a directory");
        let picture = base64(shot["data"].as_str().expect("a picture"));
        std::fs::write(directory.join(format!("{name}.png")), picture).expect("a file");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(digit).map(u32::from).collect();
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let value = group.iter().fold(0, |value, digit| value << 6 | digit) << (6 * (4 - group.len()));
        bytes.extend(&value.to_be_bytes()[1..group.len()]);
    }
    bytes
}
