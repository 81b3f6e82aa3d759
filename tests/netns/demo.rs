//! A walk through the mesh to look at: three nodes, bird2, one client, a correspondent, a time line.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan};
use crate::measure::eventually;
use crate::probe::{Flow, INTERVAL};
use crate::roam::served_by;
use crate::routing::Routing;
use crate::sys;
use crate::watch::{DRAINED, Event, SERVED, What};

fn line(at: Duration, text: &str) {
    println!("{:9.3} s  {text}", at.as_secs_f64());
}

fn told(lab: &Lab, client: &Client, event: &Event) -> Option<String> {
    let node = &lab.nodes[event.node];
    let known: [IpAddr; 3] = [client.v6.into(), client.v4.into(), client.node_client().into()];
    if !known.contains(&event.address) {
        return None;
    }
    let what = match (event.what, event.came) {
        (What::Route(SERVED), true) => "installs the host route of the client,",
        (What::Route(SERVED), false) => "withdraws the host route of the client,",
        (What::Route(DRAINED), true) => "drains the host route of the client,",
        (What::Route(_), _) => "ends draining the host route of the client,",
        (What::NodeClient, true) => "takes the node-client address,",
        (What::NodeClient, false) => "gives up the node-client address,",
    };
    Some(format!("  {node} {what} {}", event.address))
}

/// Prints what happens until told to stop: changes at the nodes, and the way node b takes to the client.
fn narrate(lab: &Lab, client: &Client, stop: &AtomicBool) {
    let mut seen = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        for event in lab.watch.events(seen) {
            if let Some(text) = told(lab, client, &event) {
                line(event.at, &text);
            }
            seen = event.at + Duration::from_nanos(1);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Follows the routes of node b.
fn monitor(lab: &Lab) -> Child {
    let arguments = ["-n", &lab.nodes[1], "-6", "monitor", "route"];
    Command::new("ip").args(arguments).stdout(Stdio::piped()).spawn().expect("ip")
}

fn follow(monitor: &mut Child, client: &Client) {
    let Some(output) = monitor.stdout.take() else { return };
    let address = client.v6.to_string();
    for text in BufReader::new(output).lines().map_while(Result::ok) {
        if text.starts_with(&address) || text.starts_with(&format!("unreachable {address}")) {
            let way = match text.split_whitespace().skip_while(|word| *word != "dev").nth(1) {
                Some("mesh0") => "to a",
                Some("mesh1") => "to c",
                _ => "nowhere",
            };
            line(sys::now(), &format!("  b routes the client {way} (bird)"));
        }
    }
}

/// Shows some roams.
pub fn run(roams: usize) {
    println!("A mesh of three nodes, a - b - c, in network namespaces; babel by bird2; a correspondent at b");
    println!(
        "sends a probe every {} ms to a client that answers. The client walks from a to c and back.\n",
        INTERVAL.as_millis()
    );
    let mut lab = Lab::new(Plan { routing: Routing::Bird, ..Plan::default() });
    line(sys::now(), "the nodes have found each other");
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    line(sys::now(), "l3roamd runs on every node");
    let client = Client::new(&mut lab, 1);
    let stop = AtomicBool::new(false);
    let mut monitor = monitor(&lab);
    let monitor_id = monitor.id();
    let mut results = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| narrate(&lab, &client, &stop));
        scope.spawn(|| follow(&mut monitor, &client));
        line(sys::now(), &format!("the client {} arrives at a", client.v6));
        client.roam(Some(0));
        client.ask_gateway(true);
        let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
        eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some());
        line(sys::now(), "the correspondent hears from the client");
        for turn in 0..roams {
            std::thread::sleep(Duration::from_secs(4));
            let (from, to) = if turn % 2 == 0 { (0, 2) } else { (2, 0) };
            let start = sys::now();
            line(
                start,
                &format!("roam {}: the client moves from {} to {}", turn + 1, lab.nodes[from], lab.nodes[to]),
            );
            client.roam(Some(to));
            let asked = sys::now();
            client.ask_gateway(true);
            let handed = eventually(Duration::from_secs(10), || served_by(&lab, &client, true, to));
            let handover = sys::now() - asked;
            eventually(Duration::from_secs(30), || flow.first_return(asked).is_some());
            std::thread::sleep(Duration::from_secs(3));
            let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
            let result = format!(
                "{}; {} of {} probes lost; longest gap {:.0} ms",
                if handed {
                    format!("handed over after {:.1} ms", handover.as_secs_f64() * 1e3)
                } else {
                    "not handed over".into()
                },
                report.lost,
                report.sent,
                report.gap.as_secs_f64() * 1e3
            );
            line(sys::now(), &format!("roam {}: {result}", turn + 1));
            results.push(format!("{} -> {}: {result}", lab.nodes[from], lab.nodes[to]));
        }
        stop.store(true, Ordering::Relaxed);
        sys::kill(monitor_id, libc::SIGTERM);
    });
    let _ = monitor.wait();
    println!("\nSummary");
    for (turn, result) in results.iter().enumerate() {
        println!("  roam {}: {result}", turn + 1);
    }
}
