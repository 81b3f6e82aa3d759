//! Input that nobody should send, routes that are not ours, clients that cannot make up their mind.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::Duration;

use l3roamd::net::Mac;

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{Lab, Plan, ip, node_address};
use crate::measure::{LIMIT, Outcome, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, roams, served_by};
use crate::watch::{SERVED, What};
use crate::{Needs, Test, long, sys};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("malformed_packets_disturb_nobody", Needs::Nothing, malformed),
    ("an_abused_control_socket_disturbs_nobody", Needs::Nothing, abused_socket),
    ("packets_from_the_client_interface_are_ignored", Needs::Nothing, from_a_client),
    ("routes_of_others_for_the_same_address_are_kept", Needs::Nothing, foreign_routes),
    ("a_client_that_flaps_ends_where_it_is", Needs::Nothing, flapping),
];

/// An intercom packet with one TLV.
fn packet(ttl: u8, kind: u8, tlv: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, ttl, kind, 0, 0xde, 0xad, 0xbe, 0xef];
    bytes.extend(node_address(1).octets());
    bytes.extend(tlv);
    bytes
}

fn mac_tlv(client: Mac) -> Vec<u8> {
    [&[0, 8][..], &client.0].concat()
}

fn claim(client: Mac) -> Vec<u8> {
    packet(1, 1, &mac_tlv(client))
}

fn info(client: Mac, addresses: &[Ipv6Addr]) -> Vec<u8> {
    let mut tlvs = vec![0, 20, 0, 0];
    tlvs.extend([0x20, 1, 0xd, 0xb8, 0, 0x64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    tlvs.extend([1, 8 + 16 * addresses.len() as u8]);
    tlvs.extend(client.0);
    for address in addresses {
        tlvs.extend(address.octets());
    }
    packet(1, 2, &tlvs)
}

/// Every broken packet we can think of. `random` is a seed.
fn broken_packets(mut random: u64) -> Vec<Vec<u8>> {
    let stranger = Mac([2, 0xee, 0, 0, 0, 1]);
    let address: Ipv6Addr = "2001:db8:c::ee:1".parse().expect("an address");
    let seek = packet(1, 0, &[&[0, 20, 0, 0][..], &address.octets()].concat());
    let valid =
        [seek, claim(stranger), info(stranger, &[address, address]), packet(1, 3, &mac_tlv(stranger))];
    let mut packets = Vec::new();
    for whole in &valid {
        packets.extend((0..whole.len()).map(|length| whole[..length].to_vec()));
        for (at, value) in [(25, 0), (25, 1), (25, 255), (24, 9), (0, 1), (0, 255), (1, 0), (2, 5), (2, 255)]
        {
            let mut changed = whole.clone();
            changed[at] = value;
            packets.push(changed);
        }
    }
    let many: Vec<u8> = (0..60).flat_map(|_| mac_tlv(stranger)).collect();
    packets.push(packet(1, 1, &many));
    packets.push(packet(1, 2, &many));
    packets.push(packet(1, 2, &[[1, 0].as_slice(), &[1, 2], &[1, 7]].concat()));
    packets.extend([0, 1, 2, 3, 4, 200].map(|kind| packet(1, kind, &vec![0; 9000 - 24])));
    packets.extend([0, 1, 2, 3, 4].map(|kind| packet(1, kind, &vec![0xff; 1400])));
    for _ in 0..if long() { 20_000 } else { 2_000 } {
        let mut next = || {
            // xorshift64: repeats from its seed
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let length = next() as usize % 120;
        let mut bytes: Vec<u8> = (0..length).map(|_| next() as u8).collect();
        if next() % 4 != 0 {
            bytes.splice(..bytes.len().min(3), [0, 1, next() as u8 % 6]);
        }
        packets.push(bytes);
    }
    packets
}

fn malformed() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    // The node in the middle sends them: its address and port are what the others believe.
    let mut daemons = [0, 2].map(|node| (node, Daemon::start(&lab, node, Kind::Ours)));
    let client = Client::new(&mut lab, 1);
    let packets = broken_packets(0x1234_5678_9abc_def1);
    let (socket, group) = sys::inside(&lab.nodes[1], || {
        let socket = UdpSocket::bind((node_address(1), 5523)).expect("bind");
        let groups = ["mesh0", "mesh1"].map(|name| sys::interface_index(name).expect("it exists"));
        (socket, groups)
    });
    let multicast: Ipv6Addr = "ff02::5523".parse().expect("an address");
    let (mut sent, result) = (0, std::sync::Mutex::new(None));
    let sent = std::thread::scope(|scope| {
        let roaming = scope.spawn(|| roams(&lab, &client, true, 6, LIMIT));
        for packet in packets.iter().cycle() {
            if roaming.is_finished() {
                break;
            }
            for node in [0, 2] {
                let _ = socket.send_to(packet, (node_address(node), 5523));
            }
            for interface in group {
                let _ = socket.send_to(packet, SocketAddrV6::new(multicast, 5523, 0, interface));
            }
            sent += 4;
            std::thread::sleep(Duration::from_micros(500));
        }
        *result.lock().unwrap() = roaming.join().ok();
        sent
    });
    let roams = result.into_inner().ok().flatten().expect("the roams end")?;
    for (node, daemon) in &mut daemons {
        let alive = daemon.running() && daemon.ask("get_clients").is_some();
        must(alive, format!("the daemon at {} does not answer:\n{}", lab.nodes[*node], daemon.log_end()))?;
    }
    measure(
        "malformed packets while a client roams",
        format!("{sent} packets of {} kinds; {}", packets.len(), roams.line()),
    );
    must(sent >= packets.len(), "not all packets were sent")?;
    must(
        roams.handovers.len() == roams.total,
        format!("handed over {} of {}", roams.handovers.len(), roams.total),
    )
}

fn abused_socket() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let mut held = Vec::new();
    let names =
        ["add_meshif", "del_meshif", "add_prefix", "del_prefix", "add_address", "del_address", "probe"];
    for request in
        names.into_iter().chain(["verbosity", "has_route", "nonsense", "", "\0\0", "add_prefix ::1/64"])
    {
        // Errors are its answer: it may close at once.
        if let Some(mut stream) = daemons[0].connect() {
            let _ = stream.write_all(format!("{request}\n").as_bytes());
        }
        if let Some(mut stream) = daemons[0].connect() {
            let _ = stream.write_all(format!("{request} ").as_bytes());
            held.push(stream);
        }
    }
    if let Some(mut stream) = daemons[0].connect() {
        let _ = stream.set_write_timeout(Some(Duration::from_secs(1)));
        let _ = stream.write_all(&vec![b'x'; 1 << 20]);
        held.push(stream);
    }
    let before = held.len();
    // The first that is not taken ends it.
    held.extend((0..200).map_while(|_| daemons[0].connect()));
    must(held.len() - before == 200, format!("{} of 200 connections are taken", held.len() - before))?;
    let last = lab.nodes.len() - 1;
    for turn in 0..4 {
        let node = if turn % 2 == 0 { last } else { 0 };
        client.roam(Some(node));
        client.ask_gateway(true);
        let served = eventually(LIMIT, || served_by(&lab, &client, true, node));
        must(served, "a client is not handed over while the control socket is abused")?;
    }
    drop(held);
    let answers = eventually(LIMIT, || daemons[0].ask("get_clients").is_some_and(|a| !a.is_empty()));
    must(daemons[0].running() && answers, "the control socket does not answer after the abuse")
}

fn from_a_client() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let (attacker, victim) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    attach(&lab, &attacker, true, 0)?;
    attach(&lab, &victim, true, 0)?;
    let start = sys::now();
    sys::inside(&attacker.namespace, || {
        let socket = UdpSocket::bind((attacker.v6, 5523)).expect("bind");
        let interface = sys::interface_index("eth0").expect("it exists");
        let group: Ipv6Addr = "ff02::5523".parse().expect("an address");
        for packet in [claim(victim.mac), info(victim.mac, &[]), packet(255, 1, &mac_tlv(victim.mac))] {
            for to in [node_address(0), victim.node_client()] {
                let _ = socket.send_to(&packet, (to, 5523));
            }
            let _ = socket.send_to(&packet, SocketAddrV6::new(group, 5523, 0, interface));
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    let lost = lab.watch.events(start).iter().filter(|event| event.node == 0 && !event.came).count();
    must(lost == 0 && served_by(&lab, &victim, true, 0), "a client took another client's routes away")
}

fn foreign_routes() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let mut daemons = Daemon::start_all(&lab, Kind::Ours);
    let (client, other) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    let name = lab.nodes[0].clone();
    // Metric 33 is worse than ours, 16 the same: that one keeps ours out, and must stand all the same.
    let foreign = [
        (
            format!("-6 route add {}/128 dev mesh0 proto 12 metric 33", client.v6),
            client.address(true),
            "metric 33",
        ),
        (
            format!("-4 route add {}/32 dev mesh0 proto 12 metric 33", client.v4),
            client.address(false),
            "metric 33",
        ),
        (
            format!("-6 route add {}/128 dev mesh0 proto 12 metric 16", other.v6),
            other.address(true),
            "metric 16",
        ),
    ];
    for (add, ..) in &foreign {
        ip(&name, add);
    }
    let all_stand = |when: &str| {
        for (_, address, metric) in &foreign {
            let family = if address.is_ipv6() { "-6" } else { "-4" };
            let shown = ip(&name, &format!("{family} route show {address} proto 12"));
            must(shown.contains(metric), format!("the foreign route for {address} is gone {when}: {shown}"))?;
        }
        Ok(())
    };
    attach(&lab, &client, true, 0)?;
    client.ask_gateway(false);
    other.roam(Some(0));
    other.ask_gateway(true);
    let v4 = eventually(LIMIT, || lab.watch.has(0, What::Route(SERVED), client.v4));
    must(v4, "the client's IPv4 address has no route")?;
    std::thread::sleep(Duration::from_millis(500));
    all_stand("while the clients are here")?;
    let last = lab.nodes.len() - 1;
    for client in [&client, &other] {
        client.roam(Some(last));
        client.ask_gateway(true);
    }
    must(eventually(LIMIT, || served_by(&lab, &client, true, last)), "not handed over")?;
    std::thread::sleep(Duration::from_millis(500));
    all_stand("after the clients went")?;
    daemons[0].signal(libc::SIGTERM);
    daemons[0].wait(LIMIT);
    all_stand("after the daemon ended")
}

/// A client is out of reach until its removal is pending, comes back, and then changes its node every 300 ms.
fn flapping() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let client = Client::new(&mut lab, 1);
    attach(&lab, &client, true, 0)?;
    let flow = Flow::start(client.v6.into(), Some(&client.namespace), INTERVAL);
    std::thread::sleep(Duration::from_secs(1));
    client.roam(None);
    std::thread::sleep(Duration::from_secs(4));
    client.roam(Some(0));
    client.ask_gateway(true);
    std::thread::sleep(Duration::from_millis(300));
    let count = if long() { 100 } else { 20 };
    let last = lab.nodes.len() - 1;
    let start = sys::now();
    let mut in_time = 0;
    let mut node = 0;
    for turn in 0..count {
        node = if turn % 2 == 0 { last } else { 0 };
        let moved = client.roam(Some(node));
        client.ask_gateway(true);
        in_time +=
            usize::from(eventually(Duration::from_millis(300), || served_by(&lab, &client, true, node)));
        std::thread::sleep((moved + Duration::from_millis(300)).saturating_sub(sys::now()));
    }
    let settled = eventually(LIMIT, || served_by(&lab, &client, true, node));
    let end = sys::now();
    let report = flow.report(start, end.saturating_sub(Duration::from_millis(100)));
    measure(
        &format!("flapping client, {count} roams, one every 300 ms"),
        format!("{in_time} handed over before the next; {} of {} probes lost", report.lost, report.sent),
    );
    must(settled, "the client is not served where it ended")?;
    std::thread::sleep(Duration::from_secs(if long() { 150 } else { 5 }));
    let removed: Vec<_> =
        lab.watch.events(end).into_iter().filter(|event| event.node == node && !event.came).collect();
    must(removed.is_empty() && served_by(&lab, &client, true, node), format!("removed later: {removed:?}"))
}
