//! All of a client's addresses, and whose they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;
use std::time::Duration;

use l3roamd::net::Mac;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::frames;
use crate::lab::{CLIENT_PREFIX4, GATEWAY, GATEWAY_MAC, Lab, Plan, ip};
use crate::measure::{LIMIT, Outcome, bound, eventually, measure, must, percentile, spread};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, served_by};
use crate::snooping::snooping_lab;
use crate::sys::PacketSocket;
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("an_address_is_routed_as_soon_as_its_duplicate_detection_is_over", Needs::Nothing, new_addresses),
    ("addresses_of_every_kind_are_known_and_handed_over", Needs::Nothing, every_kind),
    ("an_address_changes_hands_only_when_its_holder_does_not_answer", Needs::Nothing, changes_hands),
    ("what_is_the_nodes_own_is_never_a_client", Needs::Nothing, never_clients),
    ("clients_behind_another_nodes_bridge_are_left_to_it", Needs::Nothing, wired_together),
];

/// The time at which the client's kernel asked whether anybody has the address it wants.
fn detection_began(socket: &PacketSocket, address: Ipv6Addr) -> Option<Duration> {
    let mut buffer = vec![0; 2048];
    let deadline = sys::now() + Duration::from_secs(4);
    while let Some(rest) = deadline.checked_sub(sys::now()) {
        if let Some((frame, true)) = socket.receive(&mut buffer, rest) {
            let at = sys::now();
            let anonymous = frame.get(22..38) == Some(&[0; 16]);
            if anonymous && frames::question(frame).is_some_and(|question| question.target == address) {
                return Some(at);
            }
        }
    }
    None
}

fn new_addresses() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    sys::sysctl(&client.namespace, &[("net/ipv6/conf/eth0/accept_dad", "1")]);
    let count = if long() { 12 } else { 5 };
    let mut latencies = Vec::new();
    for number in 1..=count {
        let mut segments = client.v6.segments();
        segments[5] = number;
        let address = Ipv6Addr::from(segments);
        let socket = PacketSocket::open(&client.namespace, "eth0");
        ip(&client.namespace, &format!("addr add {address}/64 dev eth0"));
        let began = detection_began(&socket, address);
        let Some(began) = began else { return must(false, "the client does not detect duplicates") };
        let routed = || lab.watch.has(0, What::Route(SERVED), address);
        must(eventually(LIMIT, routed), format!("{address} never has a route"))?;
        latencies.push(sys::now() - began);
    }
    measure(
        "new address, duplicate detection only, snooping, querier: routed after the solicitation",
        spread(&latencies),
    );
    bound(percentile(&latencies, 100) <= Duration::from_millis(1100), "routed later than after 1.1 s")
}

fn every_kind() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    for daemon in &daemons {
        must(daemon.ask("add_prefix fd42:6:7:8::/64").is_some(), "no answer to add_prefix")?;
    }
    let client = Client::new(&mut lab, 1);
    let v6: Vec<Ipv6Addr> = ["2001:db8:c::9c4e:1b2:77:1234", "fd42:6:7:8::1", "fd42:6:7:8:9c4e:1b2:77:1234"]
        .map(|text| text.parse().expect("an address"))
        .into();
    let v4: Vec<Ipv4Addr> = vec![client.v4, Ipv4Addr::new(10, 42, 2, 1), Ipv4Addr::new(10, 42, 3, 1)];
    let foreign: [IpAddr; 2] = ["2001:db8:ffff::1".parse().expect("v6"), "192.0.2.7".parse().expect("v4")];
    for address in &v6 {
        ip(&client.namespace, &format!("addr add {address}/64 dev eth0 nodad"));
    }
    attach(&lab, &client, true, 0)?;
    let local = client.mac.link_local();
    let talk = || {
        for address in v6.iter().chain([&client.v6, &local]) {
            client.send(&frames::solicitation(client.mac, *address, GATEWAY));
        }
        for address in &v4 {
            client.send(&frames::arp_request(client.mac, *address, crate::lab::GATEWAY4));
        }
        for address in foreign {
            client.send(&match address {
                IpAddr::V6(address) => frames::solicitation(client.mac, address, GATEWAY),
                IpAddr::V4(address) => frames::arp_request(client.mac, address, crate::lab::GATEWAY4),
            });
        }
    };
    for address in &v4[1..] {
        ip(&client.namespace, &format!("addr add {address}/32 dev eth0"));
    }
    talk();
    let mut all: Vec<IpAddr> = v6.iter().map(|address| (*address).into()).collect();
    all.push(client.v6.into());
    all.extend(v4.iter().map(|address| IpAddr::from(*address)));
    let at = |node: usize| all.iter().filter(|a| lab.watch.has(node, What::Route(SERVED), **a)).count();
    must(eventually(LIMIT, || at(0) == all.len()), format!("{} of {} known", at(0), all.len()))?;
    must(daemons[0].manages(client.mac, local.into()), "the link-local address is not known")?;
    let last = lab.nodes.len() - 1;
    let moved = client.roam(Some(last));
    client.send(&frames::layer_2_update(client.mac));
    let over = || at(last) == all.len() && at(0) == 0 && served_by(&lab, &client, true, last);
    let handed = eventually(LIMIT, over);
    measure(
        &format!("roam of {} addresses: global, temporary, unique-local, {CLIENT_PREFIX4}", all.len()),
        format!("{} at the new node, {} at the old, after {:.1?}", at(last), at(0), sys::now() - moved),
    );
    must(handed, "not all addresses were handed over")?;
    for node in 0..lab.nodes.len() {
        let unroutable = foreign
            .iter()
            .chain([&IpAddr::from(local)])
            .any(|a| lab.watch.has(node, What::Route(SERVED), *a));
        must(!unroutable, "a link-local or foreign address has a host route")?;
    }
    // The first probes are over: what answers stays.
    std::thread::sleep(Duration::from_secs(if long() { 75 } else { 5 }));
    must(at(last) == all.len(), format!("{} of {} left after a while", at(last), all.len()))
}

/// The MAC that a node's kernel sends packets for the address to.
fn neighbour(lab: &Lab, node: usize, address: IpAddr) -> String {
    let words = format!("neigh show {address} dev {}", lab.client_interface());
    let said = ip(&lab.nodes[node], &words);
    let mut words = said.split_whitespace().skip_while(|word| *word != "lladdr");
    words.nth(1).unwrap_or_default().to_owned()
}

fn changes_hands() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let (holder, rival) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    attach(&lab, &holder, true, 0)?;
    attach(&lab, &rival, true, 0)?;
    let address = holder.v6;
    let flow = Flow::start(address.into(), Some(&holder.namespace), INTERVAL);
    must(eventually(LIMIT, || flow.first_return(Duration::ZERO).is_some()), "no traffic")?;
    let start = sys::now();
    for _ in 0..30 {
        rival.ask_gateway_from(address);
        rival.send(&frames::advertisement(rival.mac, address, GATEWAY_MAC, GATEWAY_MAC.link_local()));
        std::thread::sleep(Duration::from_millis(100));
        let mac = neighbour(&lab, 0, address.into());
        must(mac == holder.mac.to_string(), format!("taken over by {mac} though its holder answers"))?;
    }
    let report = flow.report(start, sys::now().saturating_sub(Duration::from_millis(100)));
    drop(flow);
    ip(&holder.namespace, &format!("addr del {address}/64 dev eth0"));
    ip(&rival.namespace, &format!("addr add {address}/64 dev eth0 nodad"));
    let taken = sys::now();
    rival.ask_gateway_from(address);
    let changed = eventually(LIMIT, || {
        std::thread::sleep(Duration::from_millis(10));
        daemons[0].manages(rival.mac, address.into())
    });
    let after = sys::now() - taken;
    let mac = neighbour(&lab, 0, address.into());
    measure(
        "two clients want one address",
        format!(
            "{} of {} probes lost while the holder answers; taken over {:.1?} after it gave the address up",
            report.lost, report.sent, after
        ),
    );
    must(changed && mac == rival.mac.to_string(), "the address never changes hands")?;
    must(after >= Duration::from_secs(1), "the holder was not asked for long enough")?;
    must(lab.watch.has(0, What::Route(SERVED), address), "the address has no route")?;
    // The kernel believes the rival for the moment until it is told otherwise.
    bound(report.lost <= report.sent / 50, format!("{} probes lost though the holder answers", report.lost))
}

fn never_clients() -> Outcome {
    let mut lab = snooping_lab(false, None);
    let daemon = Daemon::start(&lab, 0, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    let node = lab.nodes[0].clone();
    let fixed = Mac([2, 0xf1, 0, 0, 0, 1]);
    let bridge = |words: &str| {
        let status =
            Command::new("ip").args(["netns", "exec", &node, "bridge"]).args(words.split(' ')).status();
        status.expect("bridge").success()
    };
    must(bridge(&format!("fdb add {fixed} dev ap0 master static")), "no permanent entry")?;
    let mut own = vec![GATEWAY_MAC, fixed, Mac([0xff; 6]), Mac([0x33, 0x33, 0, 0, 0, 1]), Mac::default()];
    for interface in ["br-client", "ap0", "local-port", "lan0", "mesh0"] {
        let said = Command::new("ip")
            .args(["netns", "exec", &node, "cat"])
            .arg(format!("/sys/class/net/{interface}/address"))
            .output();
        own.extend(String::from_utf8_lossy(&said.expect("cat").stdout).trim().parse::<Mac>().ok());
    }
    attach(&lab, &client, true, 0)?;
    for (number, mac) in (1..).zip(&own) {
        let address = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0xbad, number);
        client.send(&frames::solicitation(*mac, address, GATEWAY));
        client.send(&frames::solicitation(*mac, Ipv6Addr::UNSPECIFIED, address));
        client.send(&frames::arp_request(*mac, Ipv4Addr::new(10, 42, 9, number as u8), crate::lab::GATEWAY4));
        client.send(&frames::layer_2_update(*mac));
    }
    std::thread::sleep(Duration::from_millis(500));
    let known =
        daemon.clients()["clientlist"].as_object().map(|list| list.keys().cloned().collect::<Vec<_>>());
    let routes = lab.watch.count(0, What::Route(SERVED));
    measure(
        "frames in the name of the node's own and fixed MACs",
        format!("{} MACs tried, clients {known:?}", own.len()),
    );
    must(known == Some(vec![client.mac.to_string()]), format!("clients {known:?}"))?;
    must(routes == 1, format!("{routes} host routes"))
}

/// The client bridges of the two ends of the chain are wired together.
fn wired_together() -> Outcome {
    let mut lab = Lab::new(Plan { snooping: true, ..Plan::default() });
    let (first, last) = (0, lab.nodes.len() - 1);
    let wire = format!("link add wire type veth peer name wire netns {}", lab.nodes[last]);
    ip(&lab.nodes[first], &wire);
    for node in [first, last] {
        ip(&lab.nodes[node], "link set wire master br-client up");
    }
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let clients = [(Client::new(&mut lab, 1), first), (Client::new(&mut lab, 2), last)];
    for (client, node) in &clients {
        client.roam(Some(*node));
    }
    let start = sys::now();
    let talk = |seconds: u64| {
        for _ in 0..seconds * 10 {
            for (client, _) in &clients {
                client.ask_gateway(true);
                client.ask_gateway(false);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    // On a slow machine it takes them a while. A drained route ends 10 s after its client was
    // taken.
    for _ in 0..6 {
        let before = sys::now();
        talk(11);
        if lab.watch.events(before).is_empty() {
            break;
        }
    }
    let settled = lab.watch.events(start).last().map_or(start, |event| event.at);
    let changes = lab.watch.events(start).len();
    let steady = sys::now();
    talk(if long() { 150 } else { 5 });
    let later = lab.watch.events(steady).len();
    measure(
        "client bridges of two nodes wired together",
        format!(
            "{changes} changes of routes and addresses until {:.0} ms after both clients came, {later} later",
            (settled - start).as_secs_f64() * 1e3
        ),
    );
    for (client, node) in &clients {
        must(served_by(&lab, client, true, *node), format!("{} is not served where it is", client.v6))?;
    }
    for node in [first, last] {
        let reported = daemons[node].log_end().contains("another node's clients");
        must(reported, format!("{} does not report it", lab.nodes[node]))?;
    }
    must(later == 0, format!("{later} changes later"))
}
