//! The object `l3roamd` of a real daemon, over a broker that is killed, stopped and overrun, while clients roam.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::crowd::{self, Crowd};
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::{LIMIT, Outcome, SchedulingDelay, bound, eventually, measure, must, percentile, spread};
use crate::peer::Peer;
use crate::probe::{Flow, INTERVAL};
use crate::roam::{Roams, attach, roams, served_by};
use crate::{Needs, Test, broker, sys};
use broker::Broker;

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("every_method_is_answered_over_ubus_and_news_is_told_while_a_client_roams", Needs::Nothing, methods),
    ("a_broker_that_dies_ten_times_costs_no_client", Needs::Nothing, broker_dies),
    ("a_stopped_broker_delays_no_handover", Needs::Nothing, broker_stopped),
    ("a_hundred_callers_and_a_deaf_subscriber_delay_no_handover", Needs::Nothing, callers),
    ("five_thousand_clients_are_told_page_by_page_while_one_roams", Needs::Nothing, pages),
];

const OBJECT: &str = "l3roamd";
/// What ubus says where an argument is wrong, and where something is not known.
const INVALID_ARGUMENT: i32 = 2;
const NOT_FOUND: i32 = 4;

/// Nodes with a daemon and a broker each.
pub struct Site {
    /// The daemons.
    pub daemons: Vec<Daemon>,
    brokers: Vec<Broker>,
    /// The brokers' sockets.
    pub sockets: Vec<PathBuf>,
}

impl Site {
    /// Starts them.
    pub fn new(lab: &Lab) -> Self {
        let mut site = Self { daemons: Vec::new(), brokers: Vec::new(), sockets: Vec::new() };
        for (node, name) in lab.nodes.iter().enumerate() {
            let socket = lab.run.join(format!("{name}.ubus"));
            site.brokers.push(Broker::start(broker::Kind::Crate, &socket));
            let path = socket.display().to_string();
            site.daemons.push(Daemon::spawn(lab, node, Kind::Ours, &["--ubus-socket", &path]));
            Peer::new(&socket).await_object(OBJECT);
            site.sockets.push(socket);
        }
        site
    }

    /// Somebody on the bus of a node.
    pub fn peer(&self, node: usize) -> Peer {
        Peer::new(&self.sockets[node])
    }
}

fn call(peer: &mut Peer, method: &str, arguments: Value) -> Result<Value, i32> {
    peer.call(OBJECT, method, &arguments).map(Value::Object)
}

/// The next notification of that name about the client.
fn told(peer: &mut Peer, name: &str, client: &Client) -> Option<Value> {
    while let Some((told, data)) = peer.notification() {
        if told == name && data.get("mac") == Some(&json!(client.mac.to_string())) {
            return Some(Value::Object(data));
        }
    }
    None
}

fn methods() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let site = Site::new(&lab);
    let last = lab.nodes.len() - 1;
    let client = Client::new(&mut lab, 1);
    let mac = client.mac.to_string();
    let (mut first_news, mut last_news) = (site.peer(0), site.peer(last));
    first_news.subscribe(OBJECT);
    last_news.subscribe(OBJECT);
    attach(&lab, &client, true, 0)?;
    must(told(&mut first_news, "client.attached", &client).is_some(), "client.attached is not told")?;
    must(told(&mut first_news, "client.address", &client).is_some(), "client.address is not told")?;
    lab.await_mesh_route(last, client.node_client().into());
    let moved = client.roam(Some(last));
    client.ask_gateway(true);
    let served = eventually(LIMIT, || served_by(&lab, &client, true, last));
    must(served, format!("not handed over {:?} after the move", sys::now() - moved))?;
    let left = told(&mut first_news, "client.left", &client).unwrap_or_default();
    must(left["reason"] == "claimed", format!("client.left is told as {left}"))?;
    let handover = told(&mut last_news, "client.handover", &client).unwrap_or_default();
    must(handover["direction"] == "incoming", format!("client.handover is told as {handover}"))?;

    let (mut first, mut here) = (site.peer(0), site.peer(last));
    let ask = |peer: &mut Peer, method: &str, arguments: Value| -> Result<Value, String> {
        call(peer, method, arguments.clone())
            .map_err(|status| format!("{method} {arguments}: status {status}"))
    };
    let all = (|| -> Result<(), String> {
        let expect = |what: &str, right: bool, answer: &Value| {
            if right { Ok(()) } else { Err(format!("{what}: {answer}")) }
        };
        let answer = ask(&mut here, "get_status", json!({}))?;
        expect("get_status", answer["clients"] == 1 && answer["ubus"]["connected"] == true, &answer)?;
        let answer = ask(&mut here, "get_clients", json!({ "mac": mac, "ubus_rpc_session": "0" }))?;
        let found = &answer["clients"][0];
        expect(
            "get_clients",
            found["mac"] == *mac && found["last_handover"]["direction"] == "incoming",
            &answer,
        )?;
        let answer = ask(&mut here, "get_handovers", json!({ "limit": 1 }))?;
        expect("get_handovers", answer["handovers"][0]["outcome"] == "completed", &answer)?;
        let answer = ask(&mut here, "get_interfaces", json!({}))?;
        expect("get_interfaces", answer["interfaces"][0]["usable"] == true, &answer)?;
        let answer = ask(&mut here, "get_peers", json!({}))?;
        expect("get_peers", answer["peers"][0]["c_daemon"] == false, &answer)?;
        let answer = ask(&mut here, "get_statistics", json!({}))?;
        expect("get_statistics", answer["counters"]["handover_incoming"] == 1, &answer)?;
        let answer = ask(&mut here, "get_config", json!({}))?;
        expect("get_config", answer["export_table"] == 254, &answer)?;
        let answer = ask(&mut here, "seek", json!({ "address": client.v6.to_string() }))?;
        expect("seek here", answer["found"] == "here" && answer["mac"] == *mac, &answer)?;
        let answer = ask(&mut first, "seek", json!({ "address": client.v6.to_string(), "timeout": 3000 }))?;
        expect("seek there", answer["found"] != "here", &answer)?;
        let answer = ask(&mut here, "has_route", json!({ "address": client.v6.to_string() }))?;
        expect("has_route", answer["stands"] == true, &answer)?;

        ask(&mut here, "add_prefix", json!({ "prefix": "10.99.0.0/16" }))?;
        let answer = ask(&mut here, "get_prefixes", json!({}))?;
        expect("add_prefix", answer.to_string().contains("10.99.0.0/16"), &answer)?;
        ask(&mut here, "add_address", json!({ "address": "10.99.0.1", "mac": mac }))?;
        let answer = ask(&mut here, "get_clients", json!({ "address": "10.99.0.1" }))?;
        expect("add_address", answer["clients"][0]["mac"] == *mac, &answer)?;
        ask(&mut here, "probe", json!({ "address": client.v6.to_string(), "mac": mac }))?;
        ask(&mut here, "remove_address", json!({ "address": "10.99.0.1", "mac": mac }))?;
        ask(&mut here, "remove_prefix", json!({ "prefix": "10.99.0.0/16" }))?;
        for (attach, detach) in [
            ("attach_mesh_interface", "detach_mesh_interface"),
            ("attach_client_interface", "detach_client_interface"),
        ] {
            ask(&mut here, attach, json!({ "interface": "none0" }))?;
            let answer = ask(&mut here, "get_interfaces", json!({}))?;
            expect(attach, answer.to_string().contains("does not exist"), &answer)?;
            ask(&mut here, detach, json!({ "interface": "none0" }))?;
        }
        ask(&mut here, "set_export_table", json!({ "table": 4_000_000_000u32 }))?;
        ask(&mut here, "set_export_table", json!({ "table": 254 }))?;
        ask(&mut here, "set_log_level", json!({ "level": "debug" }))?;
        ask(&mut here, "set_log_level", json!({ "level": "info" }))?;
        ask(&mut here, "reload", json!({}))?;
        ask(&mut here, "drop_client", json!({ "mac": mac }))?;
        Ok(())
    })();
    must(all.is_ok(), all.err().unwrap_or_default())?;
    for (method, arguments, status) in [
        ("get_clients", json!({ "mac": "02:00:00:00:00:99" }), NOT_FOUND),
        ("drop_client", json!({ "mac": "02:00:00:00:00:99" }), NOT_FOUND),
        ("seek", json!({ "address": "2001:db8:c::bad", "timeout": 300 }), NOT_FOUND),
        ("get_clients", json!({ "mac": 5 }), INVALID_ARGUMENT),
        ("get_clients", json!({ "limit": "5" }), INVALID_ARGUMENT),
        ("add_prefix", json!({}), INVALID_ARGUMENT),
    ] {
        let answer = call(&mut first, method, arguments.clone());
        must(answer == Err(status), format!("{method} {arguments}: {answer:?}"))?;
    }
    let mesh = lab.mesh_interfaces(0);
    let mesh = mesh.first().map(String::as_str).unwrap_or_default();
    crate::lab::ip(&lab.nodes[0], &format!("link set {mesh} down"));
    let changed = eventually(LIMIT, || {
        first_news.notification().is_some_and(|(name, data)| {
            name == "interface.changed" && data.get("interface") == Some(&json!(mesh))
        })
    });
    must(changed, "interface.changed is not told")
}

fn broker_dies() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut site = Site::new(&lab);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let start = sys::now();
    let mut back = Vec::new();
    for _ in 0..10 {
        site.brokers[0].kill();
        std::thread::sleep(Duration::from_millis(150));
        site.brokers[0].restart();
        let mut peer = site.peer(0);
        back.push(peer.await_object(OBJECT).1);
        let clients = call(&mut peer, "get_clients", json!({})).unwrap_or_default();
        must(clients["clients"][0]["mac"] == *client.mac.to_string(), format!("clients are {clients}"))?;
        peer.subscribe(OBJECT);
        client.ask_gateway(true);
    }
    let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
    measure(
        "ubusd killed and started again ten times",
        format!("object back after {}; {} of {} probes lost", spread(&back), report.lost, report.sent),
    );
    must(report.lost == 0, format!("{} probes lost", report.lost))?;
    bound(percentile(&back, 100) <= Duration::from_secs(1), "the object is back later than after 1 s")
}

/// The bounds of a roam with ideal routing.
fn judge(what: &str, count: usize, roams: &Roams) -> Outcome {
    measure(what, roams.line());
    must(roams.handovers.len() == count, format!("handed over {} of {count}", roams.handovers.len()))?;
    let gaps: Vec<Duration> = roams.reports.iter().map(|report| report.gap).collect();
    bound(percentile(&gaps, 50) <= Duration::from_millis(10), "median gap beyond 10 ms")?;
    bound(percentile(&gaps, 100) <= Duration::from_millis(50), "longest gap beyond 50 ms")
}

fn broker_stopped() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let site = Site::new(&lab);
    let client = Client::new(&mut lab, 1);
    for node in 0..lab.nodes.len() {
        // What is told fills the broker's socket while nobody reads.
        site.peer(node).subscribe_for_ever(OBJECT);
    }
    site.brokers.iter().for_each(|broker| broker.signal("STOP"));
    let count = if crate::long() { 40 } else { 10 };
    let roams = roams(&lab, &client, true, count, LIMIT);
    site.brokers.iter().for_each(|broker| broker.signal("CONT"));
    judge("roam while ubusd is stopped", count, &roams?)?;
    let answered = call(&mut site.peer(0), "get_status", json!({}));
    must(answered.is_ok(), format!("no answer when ubusd goes on: {answered:?}"))
}

fn callers() -> Outcome {
    const CALLERS: usize = 100;
    let mut lab = Lab::new(Plan::default());
    let site = Site::new(&lab);
    let client = Client::new(&mut lab, 1);
    let last = lab.nodes.len() - 1;
    site.peer(0).subscribe_for_ever(OBJECT);
    site.peer(last).subscribe_for_ever(OBJECT);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            let mut peer = site.peer(if caller % 2 == 0 { 0 } else { last });
            let method = ["get_clients", "get_statistics", "get_config", "get_handovers"][caller % 4];
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if call(&mut peer, method, json!({})).is_ok() {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(500));
                }
            })
        })
        .collect();
    let roams = roams(&lab, &client, true, 10, LIMIT);
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| drop(caller.join()));
    let answered = answered.load(Ordering::Relaxed);
    measure("calls answered meanwhile", answered.to_string());
    must(answered >= CALLERS, format!("{answered} calls answered"))?;
    judge("roam while 100 callers ask and a subscriber never reads", 10, &roams?)
}

fn pages() -> Outcome {
    let count: u32 = 5000;
    let mut lab = Lab::new(Plan::default());
    let site = Site::new(&lab);
    let crowd = Crowd::new(&mut lab, count);
    crowd.roam(Some(0));
    std::thread::sleep(Duration::from_millis(500));
    crowd.ask_gateway_each(0..count, 500);
    let mut peer = site.peer(0);
    let total = |peer: &mut Peer| call(peer, "get_status", json!({})).unwrap_or_default()["clients"].clone();
    let learned = eventually(LIMIT, || total(&mut peer) == count);
    must(learned, format!("{} of {count} learned", total(&mut peer)))?;
    let client = Client::new(&mut lab, 1);
    let alone = roams(&lab, &client, true, 6, LIMIT)?;
    let delay = SchedulingDelay::start();
    let (read, disturbed) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || (0..4).map(|_| read_all(&mut peer)).collect::<Vec<_>>());
        let disturbed = roams(&lab, &client, true, 6, LIMIT);
        (reader.join().unwrap_or_default(), disturbed)
    });
    let delay = delay.stop();
    let times: Vec<Duration> = read.iter().flat_map(|(_, times)| times.clone()).collect();
    measure(
        "get_clients pages through 5000 clients four times",
        format!(
            "{} pages, each answered after {}; longest scheduling delay {delay:.1?}",
            times.len(),
            spread(&times)
        ),
    );
    let expected: Vec<String> = (0..count).map(|index| crowd::mac(index).to_string()).collect();
    for (seen, _) in &read {
        let crowd: Vec<&String> = seen.iter().filter(|mac| **mac != client.mac.to_string()).collect();
        must(crowd == expected.iter().collect::<Vec<_>>(), format!("{} clients told", seen.len()))?;
    }
    let disturbed = disturbed?;
    measure("roam beside 5000 clients", alone.line());
    measure("roam while somebody pages through 5000 clients", disturbed.line());
    must(disturbed.handovers.len() == 6, format!("handed over {} of 6", disturbed.handovers.len()))?;
    let median =
        |roams: &Roams| percentile(&roams.reports.iter().map(|report| report.gap).collect::<Vec<_>>(), 50);
    let bearable = median(&alone) + Duration::from_millis(10);
    bound(median(&disturbed) <= bearable, "the median gap grows by more than 10 ms")?;
    let page = Duration::from_millis(20);
    bound(percentile(&times, 95) <= page, "one page in twenty takes more than 20 ms")?;
    // A machine that lets everybody wait lets the pages wait, too.
    bound(percentile(&times, 100).saturating_sub(delay) <= page, "a page takes more than 20 ms")
}

/// The MACs of all clients, page by page, and how long each page took. Slowly: roams happen meanwhile.
fn read_all(peer: &mut Peer) -> (Vec<String>, Vec<Duration>) {
    let (mut seen, mut times, mut arguments) = (Vec::new(), Vec::new(), json!({}));
    loop {
        let asked = sys::now();
        let page = call(peer, "get_clients", arguments).unwrap_or_default();
        times.push(sys::now() - asked);
        let clients = page["clients"].as_array().cloned().unwrap_or_default();
        seen.extend(clients.iter().map(|client| client["mac"].as_str().unwrap_or_default().to_owned()));
        arguments = json!({ "after": seen.last() });
        if page["more"] != true {
            return (seen, times);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
