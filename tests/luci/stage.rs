//! A mesh, the bus of its first node, and a browser that looks at it.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bridge::{Bridge, Daemon as Source};
use crate::broker::{Broker, Kind as BrokerKind};
use crate::browser::{Browser, Screen};
use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{Outcome, eventually, must};
use crate::peer::Peer;

/// The rows of the clients' table.
pub const ROWS: &str = "document.querySelectorAll('.l3roamd-clients > .tr:not(.table-titles):not(.placeholder):not(.l3roamd-details)')";
/// Where the views are.
pub const STATUS: &str = "admin/status/l3roamd";
/// The form.
pub const CONFIG: &str = "admin/network/l3roamd";

/// Everything of a test.
pub struct Stage {
    /// The page's.
    pub browser: Browser,
    /// What it asks.
    pub bridge: Bridge,
    /// At each node one; the first is on the bus.
    pub daemons: Vec<Daemon>,
    /// The mesh.
    pub lab: Lab,
    socket: PathBuf,
    _broker: Broker,
}

impl Stage {
    /// Builds a mesh of so many nodes.
    pub fn new(nodes: usize) -> Self {
        let lab = Lab::new(Plan { nodes, ..Plan::default() });
        let socket = lab.run.join("ubus.sock");
        let broker = Broker::start(BrokerKind::Crate, &socket);
        let mut stage = Self {
            browser: Browser::start(),
            bridge: Bridge::start(Source::Bus(socket.clone())),
            daemons: Vec::new(),
            lab,
            socket,
            _broker: broker,
        };
        for node in (0..nodes).rev() {
            let daemon = stage.start(node);
            stage.daemons.insert(0, daemon);
        }
        stage
    }

    /// Starts a daemon and, at the first node, waits until it is on the bus.
    pub fn start(&self, node: usize) -> Daemon {
        let socket = self.socket.display().to_string();
        let extra: &[&str] = if node == 0 { &["--ubus-socket", &socket] } else { &["--no-ubus"] };
        let daemon = Daemon::spawn(&self.lab, node, Kind::Ours, extra);
        if node == 0 {
            Peer::new(&self.socket).await_object("l3roamd");
            let usable = || {
                let reply = self.ask("get_interfaces", json!({}));
                let interfaces = reply["interfaces"].as_array();
                interfaces.is_some_and(|list| list.iter().all(|interface| interface["usable"] == true))
            };
            assert!(eventually(Duration::from_secs(60), usable), "not all interfaces are usable");
        } else {
            assert!(eventually(Duration::from_secs(60), || daemon.ask("get_meshifs").is_some()), "no answer");
        }
        daemon
    }

    /// Asks the first daemon without a browser.
    pub fn ask(&self, method: &str, arguments: Value) -> Value {
        let answer = Peer::new(&self.socket).call("l3roamd", method, &arguments);
        answer.map_or_else(|status| json!({ "status": status }), Value::Object)
    }

    /// Brings a client to a node and waits until its daemon has it.
    pub fn attach(&self, client: &Client, node: usize) -> Outcome {
        client.roam(Some(node));
        client.ask_gateway(true);
        let address = client.address(true);
        let there = || self.daemons[node].manages(client.mac, address);
        let mut asked = 0;
        let served = eventually(Duration::from_secs(60), || {
            asked += 1;
            if asked % 200 == 0 {
                client.ask_gateway(true);
            }
            there()
        });
        must(served, format!("the client is never served at node {node}"))
    }

    /// Opens a view and waits until it has been drawn.
    pub fn open(&mut self, path: &str, session: &str, screen: Screen) {
        let url = self.bridge.page(path, session);
        self.browser.open(&url, screen, WATCH);
        let drawn = if path == CONFIG {
            "document.querySelector('.cbi-map')"
        } else {
            "document.querySelector('.l3roamd')"
        };
        self.browser.wait(drawn);
    }

    /// Lets the page poll now, and waits until it has asked.
    pub fn poll(&mut self) {
        poll(&mut self.browser, &self.bridge);
    }

    /// Closes the page, which must have complained of nothing.
    pub fn close(&mut self) -> Outcome {
        let complaints = self.browser.close();
        must(complaints.is_empty(), format!("the console has errors: {complaints:#?}"))
    }
}

/// Lets a page poll now, and waits until nothing more is asked.
pub fn poll(browser: &mut Browser, bridge: &Bridge) {
    let count = |name: &str| bridge.world().calls.get(name).copied().unwrap_or(0);
    let before = count("get_status");
    browser.eval("L.Poll.stop(); L.Poll.start(); 0");
    eventually(Duration::from_secs(60), || count("get_status") > before);
    let mut asked = 0;
    eventually(Duration::from_secs(60), || {
        let now = bridge.world().calls.values().sum::<usize>();
        let quiet = now == asked;
        asked = now;
        std::thread::sleep(Duration::from_millis(60));
        quiet
    });
    browser.eval("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))");
}

/// Notes when the first row is there, when it has been painted, and when the list is complete.
const WATCH: &str = "
    window.seen = {};
    (function look() {
        const row = document.querySelector('.l3roamd-clients > .tr:not(.table-titles):not(.placeholder)');
        const bar = row && row.parentNode.previousElementSibling;
        const note = (name) => { if (!seen[name]) { seen[name] = performance.now(); setTimeout(() => { seen[name + 'Painted'] = performance.now(); }); } };
        if (row) note('first');
        if (bar && / of /.test(bar.textContent)) note('complete');
        requestAnimationFrame(look);
    })();";
