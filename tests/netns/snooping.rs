//! Bridges that snoop multicast, clients that say nothing: who is noticed by what, and how soon traffic reaches them.
//!
//! The client was on the air before, so it has no reason to tell any bridge which groups it listens to. A bridge that has a querier then
//! passes no solicitation to the client's solicited-node group until the next general query, up to two minutes later.

use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::frames;
use crate::lab::{GATEWAY_MAC, Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must, percentile, spread};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::sys::PacketSocket;
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("a_silent_client_is_reached_though_its_bridge_snoops", Needs::Nothing, || {
        unseen_by_the_bridge(false, Kind::Ours)
    }),
    ("a_silent_client_is_reached_though_the_client_interface_itself_snoops", Needs::Nothing, || {
        unseen_by_the_bridge(true, Kind::Ours)
    }),
    ("a_silent_client_behind_a_snooping_bridge_and_the_c_daemon_for_comparison", Needs::C, || {
        unseen_by_the_bridge(false, Kind::C)
    }),
    ("forwarding_to_a_client_never_needs_multicast", Needs::Nothing, forwarding),
    ("an_update_frame_hands_a_silent_client_over_with_all_its_addresses", Needs::Nothing, update_frame),
    ("an_update_frame_makes_an_unknown_silent_client_known", Needs::Nothing, unknown_station),
    ("a_silent_client_that_nobody_reports_is_found_while_traffic_flows", Needs::Nothing, || {
        unreported(Kind::Ours)
    }),
    ("a_silent_client_that_nobody_reports_and_the_c_daemon_for_comparison", Needs::C, || unreported(Kind::C)),
];

/// A lab whose bridges snoop and have queried for long enough that they believe what they know. Bridges wait for the time in which a
/// query must be answered, 10 s by default, before they drop what nobody listens to; nothing else changes with it.
pub fn snooping_lab(bridge_itself: bool, age: Option<Duration>) -> Lab {
    let lab = Lab::new(Plan { snooping: true, bridge_itself, ..Plan::default() });
    if age.is_none() {
        for node in &lab.nodes {
            let set = |what: &str| ip(node, &format!("link set br-client type bridge {what}"));
            set("mcast_querier 0 mcast_query_response_interval 100");
            set("mcast_querier 1");
        }
    }
    std::thread::sleep(age.unwrap_or(Duration::from_millis(1500)));
    lab
}

/// Waits until a new client has said what it says when its interface comes up: reports of its groups, repeated within a second or two.
fn silenced() {
    std::thread::sleep(Duration::from_secs(4));
}

/// Whether the bridge of the node knows the client's group. (What it does not know it does not pass on.)
fn bridge_knows(lab: &Lab, client: &Client, node: usize) -> bool {
    let [.., a, b, c] = client.v6.octets();
    let group = std::net::Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let output = Command::new("ip")
        .args(["netns", "exec", &lab.nodes[node], "bridge", "mdb", "show", "dev", "br-client"])
        .output()
        .expect("bridge");
    String::from_utf8_lossy(&output.stdout).contains(&format!("grp {group} "))
}

/// Whether a solicitation that the node sends to the client's group reaches the client.
fn group_reaches(lab: &Lab, client: &Client, node: usize) -> bool {
    let listening = PacketSocket::open(&client.namespace, "eth0");
    let question = frames::solicitation(GATEWAY_MAC, GATEWAY_MAC.link_local(), client.v6);
    PacketSocket::open(&lab.nodes[node], lab.client_interface()).send(&question);
    let mut buffer = vec![0; 2048];
    let deadline = sys::now() + Duration::from_millis(200);
    while let Some(rest) = deadline.checked_sub(sys::now()) {
        if listening
            .receive(&mut buffer, rest)
            .is_some_and(|(frame, outgoing)| !outgoing && frame == question)
        {
            return true;
        }
    }
    false
}

fn unseen_by_the_bridge(bridge_itself: bool, kind: Kind) -> Outcome {
    let ages: &[Option<u64>] = if long() { &[Some(15), Some(45)] } else { &[None] };
    for age in ages {
        let mut lab = snooping_lab(bridge_itself, age.map(Duration::from_secs));
        let last = lab.nodes.len() - 1;
        let _daemons = Daemon::start_all(&lab, kind);
        let client = Client::new(&mut lab, 1);
        silenced();
        client.roam(Some(last));
        std::thread::sleep(Duration::from_millis(500));
        must(!bridge_knows(&lab, &client, last), "the bridge has heard of the client's group")?;
        must(!group_reaches(&lab, &client, last), "the bridge does not snoop")?;
        let start = sys::now();
        let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
        let patience = match (kind, long()) {
            (Kind::Ours, _) => 10,
            (Kind::C, false) => 25,
            (Kind::C, true) => 150,
        };
        let returned = eventually(Duration::from_secs(patience), || flow.first_return(start).is_some());
        std::thread::sleep(Duration::from_millis(500));
        let after = flow.first_return(start).map(|at| at - start);
        let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
        let interface = if bridge_itself { "the bridge itself" } else { "a veth in the bridge" };
        let age = age.map_or("1.5 s, response interval 1 s".to_owned(), |age| format!("{age} s"));
        measure(
            &format!(
                "snooping, querier, report never seen, bridge {age} old, client interface {interface}, {}: delivered",
                kind.name()
            ),
            format!(
                "after {after:.1?}; {} of {} probes lost; waited {patience} s at most",
                report.lost, report.sent
            ),
        );
        if kind == Kind::Ours {
            must(returned, "the client is never reached")?;
            bound(after.is_some_and(|after| after <= Duration::from_millis(100)), "later than after 100 ms")?;
            bound(report.lost == 0, format!("{} probes lost", report.lost))?;
        }
    }
    Ok(())
}

/// What a node's kernel and daemon ask by multicast or broadcast on their client interface.
fn questions_to_groups(socket: &PacketSocket) -> usize {
    let mut buffer = vec![0; 2048];
    let mut count = 0;
    while let Some((frame, outgoing)) = socket.receive(&mut buffer, Duration::ZERO) {
        let to_group = frame[0] & 1 == 1;
        count += usize::from(outgoing && to_group && frames::question(frame).is_some());
    }
    count
}

fn forwarding() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let last = lab.nodes.len() - 1;
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    if !long() {
        // What takes the kernel 30 and 60 s by default takes it 2 and 5.
        let keys = ["ipv4", "ipv6"].map(|family| format!("net/{family}/neigh/{}", lab.client_interface()));
        for key in keys {
            let (reachable, stale) =
                (format!("{key}/base_reachable_time_ms"), format!("{key}/gc_stale_time"));
            sys::sysctl(&lab.nodes[last], &[(&reachable, "2000"), (&stale, "5")]);
        }
    }
    silenced();
    client.roam(Some(last));
    let start = sys::now();
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), Duration::from_millis(20));
    let flow4 = Flow::start(client.v4.into(), Some(&client.namespace), Duration::from_millis(20));
    let returned = |flow: &Flow| eventually(LIMIT, || flow.first_return(start).is_some());
    must(returned(&flow) && returned(&flow4), "the client is never reached")?;
    std::thread::sleep(Duration::from_millis(500));
    let socket = PacketSocket::open(&lab.nodes[last], lab.client_interface());
    let (watched, mut asked) = (sys::now(), 0);
    let seconds = if long() { 600 } else { 60 };
    while sys::now() < watched + Duration::from_secs(seconds) {
        std::thread::sleep(Duration::from_millis(100));
        asked += questions_to_groups(&socket);
    }
    let until = sys::now().saturating_sub(Duration::from_millis(200));
    let (report, report4) = (flow.report(watched, until), flow4.report(watched, until));
    measure(
        &format!("forwarding for {seconds} s, snooping, querier"),
        format!(
            "{} of {} IPv6 and {} of {} IPv4 probes lost; {asked} questions by multicast or broadcast",
            report.lost, report.sent, report4.lost, report4.sent
        ),
    );
    must(asked == 0, format!("{asked} questions by multicast or broadcast"))?;
    bound(report.lost == 0 && report4.lost == 0, "probes lost")
}

/// Attaches a client with several addresses of both families.
fn attach_with_many(lab: &Lab, client: &Client, node: usize) -> Result<Vec<IpAddr>, crate::measure::Trouble> {
    let mut addresses: Vec<IpAddr> = vec![client.v6.into(), client.v4.into()];
    for number in 1..4u16 {
        let mut segments = client.v6.segments();
        segments[5] = number;
        let v6 = std::net::Ipv6Addr::from(segments);
        ip(&client.namespace, &format!("addr add {v6}/64 dev eth0 nodad"));
        addresses.push(v6.into());
    }
    attach(lab, client, true, node)?;
    client.ask_gateway(false);
    for address in &addresses {
        if let IpAddr::V6(address) = address {
            client.ask_gateway_from(*address);
        }
    }
    let routed = || addresses.iter().all(|address| lab.watch.has(node, What::Route(SERVED), *address));
    must(eventually(LIMIT, routed), "not all addresses have a route")?;
    Ok(addresses)
}

fn update_frame() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let last = lab.nodes.len() - 1;
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let addresses = attach_with_many(&lab, &client, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let count = if long() { 20 } else { 10 };
    let (mut handovers, mut gaps, mut lost) = (Vec::new(), Vec::new(), 0);
    for turn in 0..count {
        std::thread::sleep(Duration::from_millis(700));
        let (old, new) = if turn % 2 == 0 { (0, last) } else { (last, 0) };
        lab.await_mesh_route(new, client.node_client().into());
        let start = sys::now();
        client.roam(Some(new));
        let updated = sys::now();
        client.send(&frames::layer_2_update(client.mac));
        let all = |node: usize, wanted: bool| {
            addresses.iter().all(|address| lab.watch.has(node, What::Route(SERVED), *address) == wanted)
        };
        let over = || all(new, true) && all(old, false) && served_by(&lab, &client, true, new);
        must(eventually(LIMIT, over), "not all addresses were handed over")?;
        handovers.push(sys::now() - updated);
        std::thread::sleep(Duration::from_millis(300));
        let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
        gaps.push(report.gap);
        lost += report.lost;
    }
    measure(
        &format!(
            "silent roam with an update frame, {} addresses, ideal routing: handed over",
            addresses.len()
        ),
        format!(
            "{} of {count}, {}; gap {}; {lost} probes lost",
            handovers.len(),
            spread(&handovers),
            spread(&gaps)
        ),
    );
    bound(percentile(&handovers, 100) <= Duration::from_millis(20), "handed over later than after 20 ms")
}

/// Nobody has heard of the clients, and nobody sends them anything: an update frame is all there is.
fn unknown_station() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let daemon = Daemon::start(&lab, 0, Kind::Ours);
    let count: u8 = if long() { 20 } else { 5 };
    let clients: Vec<Client> = (1..=count).map(|number| Client::new(&mut lab, number)).collect();
    for client in &clients {
        // mDNS, as every phone.
        ip(&client.namespace, "addr add 224.0.0.251/32 dev eth0 autojoin");
    }
    silenced();
    let (mut latencies, mut latencies_v4, mut link_locals) = (Vec::new(), Vec::new(), 0);
    for client in &clients {
        client.roam(Some(0));
        let updated = sys::now();
        client.send(&frames::layer_2_update(client.mac));
        let known = || lab.watch.has(0, What::Route(SERVED), client.v6);
        must(eventually(LIMIT, known), "the client's address is never known")?;
        latencies.push(sys::now() - updated);
        let known_v4 = || lab.watch.has(0, What::Route(SERVED), client.v4);
        must(eventually(LIMIT, known_v4), "the client's IPv4 address is never known")?;
        latencies_v4.push(sys::now() - updated);
        std::thread::sleep(Duration::from_millis(100));
        link_locals += usize::from(daemon.manages(client.mac, client.mac.link_local().into()));
    }
    measure(
        "unknown silent client, update frame only, snooping, querier: its address is routed",
        format!("{}; link-local addresses known: {link_locals} of {count}", spread(&latencies)),
    );
    measure("the same, its IPv4 address (it listens to mDNS)", spread(&latencies_v4));
    must(link_locals == usize::from(count), "not all link-local addresses are known")?;
    bound(percentile(&latencies_v4, 100) <= Duration::from_millis(150), "IPv4 later than after 150 ms")?;
    bound(percentile(&latencies, 100) <= Duration::from_millis(150), "later than after 150 ms")
}

/// The client is moved and says nothing; nothing tells the new node.
fn unreported(kind: Kind) -> Outcome {
    let mut lab = snooping_lab(false, None);
    let last = lab.nodes.len() - 1;
    let _daemons = Daemon::start_all(&lab, kind);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let (count, patience) = match (kind, long()) {
        (Kind::Ours, false) => (3, 20),
        (Kind::Ours, true) => (10, 20),
        (Kind::C, false) => (1, 20),
        (Kind::C, true) => (1, 180),
    };
    let mut outages = Vec::new();
    for turn in 0..count {
        // The kernel's timers stand somewhere else each time.
        std::thread::sleep(Duration::from_millis(700 + 2200 * turn % 6000));
        let start = client.roam(Some(if turn % 2 == 0 { last } else { 0 }));
        let fresh = start + Duration::from_millis(20);
        eventually(Duration::from_secs(patience), || flow.first_return(fresh).is_some());
        outages.extend(flow.first_return(fresh).map(|at| at - start));
    }
    measure(
        &format!("silent roam, nothing reports it, traffic flowing, {}: recovered", kind.name()),
        format!("{} of {count} within {patience} s, {}", outages.len(), spread(&outages)),
    );
    if kind == Kind::C {
        return Ok(());
    }
    must(outages.len() as u64 == count, format!("recovered {} of {count}", outages.len()))?;
    bound(percentile(&outages, 100) <= Duration::from_secs(6), "recovered later than after 6 s")
}
