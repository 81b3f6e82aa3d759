//! Forged intercom packets: a client of another node, and a host beyond the mesh, want packets of a
//! client that says nothing or dozes.
//!
//! They have ordinary UDP sockets. What they send is addressed to nodes and to the victim's
//! node-client address, and so is forwarded to where the victim is, over mesh interfaces.

use std::collections::VecDeque;
use std::net::{Ipv6Addr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use l3roamd::wire::intercom::{self, Body, Capabilities, Flags, PORT, Packet, Tail};

use crate::client::Client;
use crate::daemon::{Daemon, Kind};
use crate::lab::{CORRESPONDENT, GATEWAY_MAC, Lab, Plan, ip, ip_batch, node_address};
use crate::measure::{Outcome, eventually, measure, must};
use crate::probe::{Flow, INTERVAL};
use crate::roam::{attach, roams, served_by};
use crate::sys::{self, PacketSocket, Tap};
use crate::{Needs, Test, long};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    ("what_a_client_of_another_node_forges_diverts_nothing_from_a_silent_client", Needs::Nothing, || {
        diverted(From::Client, false)
    }),
    ("what_a_client_of_another_node_forges_diverts_nothing_from_a_dozing_client", Needs::Nothing, || {
        diverted(From::Client, true)
    }),
    ("what_a_host_outside_forges_diverts_nothing_from_a_silent_client", Needs::Nothing, || {
        diverted(From::Outside, false)
    }),
    ("what_a_host_outside_forges_diverts_nothing_from_a_dozing_client", Needs::Nothing, || {
        diverted(From::Outside, true)
    }),
    ("a_client_roams_while_others_forge_packets_for_it", Needs::Nothing, roaming),
    (
        "the_firewall_of_a_node_stops_clients_that_forge_the_address_of_another_node",
        Needs::Nft,
        forged_source,
    ),
];

/// Between two forged packets.
const PACE: Duration = Duration::from_millis(5);
/// Frames reach a dozing client this often: each beacon of an access point tells that they are
/// there.
const DOZE: Duration = Duration::from_millis(100);

/// Where the forger is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    /// A client of the node at the other end.
    Client,
    /// A host behind the LAN port of the node in the middle.
    Outside,
}

/// Forges packets until it is dropped.
struct Forger {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    /// Datagrams that came back, and those of them that carry packets of the victim.
    answered: Arc<AtomicUsize>,
    diverted: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Forger {
    /// Starts in a namespace where the address is. The nodes to which it writes are among those of
    /// the lab.
    fn start(namespace: &str, address: Ipv6Addr, victim: &Client, nodes: &[usize]) -> Self {
        let open = |port| sys::inside(namespace, || UdpSocket::bind((address, port))).expect("bind");
        let (socket, other_port) = (open(PORT), open(0));
        let packets = forged_packets(address, victim, nodes);
        let stop = Arc::new(AtomicBool::new(false));
        let [sent, answered, diverted] = [(); 3].map(|()| Arc::new(AtomicUsize::new(0)));
        let receiver = {
            let (socket, stop) = (socket.try_clone().expect("two names"), Arc::clone(&stop));
            let (answered, diverted) = (Arc::clone(&answered), Arc::clone(&diverted));
            std::thread::spawn(move || receive(&socket, &stop, &answered, &diverted))
        };
        let sender = std::thread::spawn({
            let (stop, sent) = (Arc::clone(&stop), Arc::clone(&sent));
            move || {
                for (number, (to, packet)) in packets.iter().cycle().enumerate() {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let socket = if number % 8 == 7 { &other_port } else { &socket };
                    let _ = socket.send_to(packet, (*to, PORT));
                    sent.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PACE);
                }
            }
        });
        Self { stop, sent, answered, diverted, threads: vec![receiver, sender] }
    }

    /// What it has done and gained.
    fn counts(&self) -> (usize, usize, usize) {
        let [sent, answered, diverted] =
            [&self.sent, &self.answered, &self.diverted].map(|count| count.load(Ordering::Relaxed));
        (sent, answered, diverted)
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Counts what comes, and acknowledges at once what a node hands over.
fn receive(socket: &UdpSocket, stop: &AtomicBool, answered: &AtomicUsize, diverted: &AtomicUsize) {
    socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
    let own = match socket.local_addr() {
        Ok(std::net::SocketAddr::V6(address)) => *address.ip(),
        _ => Ipv6Addr::UNSPECIFIED,
    };
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Relaxed) {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        answered.fetch_add(1, Ordering::Relaxed);
        match intercom::parse(&buffer[..length]).map(|packet| packet.body) {
            Ok(Body::Relay { .. }) => drop(diverted.fetch_add(1, Ordering::Relaxed)),
            Ok(Body::Info { client, .. }) => {
                let _ = socket.send_to(&forge(own, Body::Ack { client, tail: Tail::default() }), from);
            }
            _ => {}
        }
    }
}

fn forge(sender: Ipv6Addr, body: Body) -> Vec<u8> {
    let capabilities = Capabilities(Capabilities::TAILS.0 | Capabilities::RELAY.0);
    intercom::emit(&Packet { ttl: intercom::TTL_UNICAST, capabilities, nonce: 7, sender, body })
}

/// Packets of each kind in the name of the forger, of another node and of the victim, to each node
/// and to the victim's node-client address. Those that would pay most come most often.
fn forged_packets(own: Ipv6Addr, victim: &Client, nodes: &[usize]) -> Vec<(Ipv6Addr, Vec<u8>)> {
    let client = victim.mac;
    let newest = Tail { age_ms: Some(0), sequence: Some(1 << 20), ..Tail::default() };
    let refused = Tail { flags: Flags::REFUSED, ..newest };
    let passed_on = Tail { hops: Some(1), ..newest };
    let info = |addresses, tail| Body::Info { plat: None, client, addresses, tail };
    let mut inside = vec![0x60, 0, 0, 0, 0, 4, 59, 64];
    inside.extend(own.octets());
    inside.extend(victim.v6.octets());
    inside.extend([0; 4]);
    let kinds = [
        Body::Claim { client, tail: newest },
        Body::Ack { client, tail: Tail::default() },
        Body::Claim { client, tail: passed_on },
        info(vec![], refused),
        Body::Claim { client, tail: newest },
        Body::Ack { client, tail: Tail::default() },
        info(vec![victim.v6], newest),
        Body::Relay { hops: 0, sequence: 1 << 20, packet: inside },
        Body::Seek { address: victim.v6, tail: Tail::default() },
    ];
    let mut packets = Vec::new();
    for kind in kinds {
        for sender in [own, node_address(2), victim.node_client(), victim.v6] {
            let to = nodes.iter().map(|node| node_address(*node)).chain([victim.node_client()]);
            packets.extend(to.map(|to| (to, forge(sender, kind.clone()))));
        }
    }
    packets
}

/// Lets frames through to a client now and then only. What it sends goes out at once.
struct Doze {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Doze {
    /// Puts a device of its own between the client and its port: the client's addresses and routes
    /// are there then.
    fn start(client: &Client) -> Self {
        let name = &client.namespace;
        let tap = Arc::new(Tap::open(name, "doze0"));
        let (mac, gateway) = (client.mac, GATEWAY_MAC.link_local());
        ip(name, "addr flush dev eth0");
        sys::sysctl(name, &[("net/ipv6/conf/eth0/disable_ipv6", "1"), ("net/ipv4/conf/all/arp_ignore", "1")]);
        ip_batch(
            name,
            &format!(
                "link set doze0 address {mac} up\naddr add {}/64 dev doze0 nodad\n\
                 neigh replace {gateway} lladdr {GATEWAY_MAC} dev doze0\n\
                 route add default via {gateway} dev doze0\n",
                client.v6
            ),
        );
        let (port, back) = (PacketSocket::open(name, "eth0"), PacketSocket::open(name, "eth0"));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = vec![
            std::thread::spawn({
                let (tap, stop) = (Arc::clone(&tap), Arc::clone(&stop));
                move || towards(&port, &tap, &stop)
            }),
            std::thread::spawn({
                let stop = Arc::clone(&stop);
                move || {
                    let mut buffer = [0; 2048];
                    while !stop.load(Ordering::Relaxed) {
                        sys::readable(&[tap.descriptor()], Duration::from_millis(50));
                        while let Some(frame) = tap.receive(&mut buffer) {
                            back.send(frame);
                        }
                    }
                }
            }),
        ];
        Self { stop, threads }
    }
}

impl Drop for Doze {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Keeps what comes for the client until it wakes.
fn towards(port: &PacketSocket, tap: &Tap, stop: &AtomicBool) {
    let (mut waiting, mut buffer) = (VecDeque::new(), [0; 2048]);
    let mut wakes = sys::now() + DOZE;
    while !stop.load(Ordering::Relaxed) {
        if let Some((frame, false)) = port.receive(&mut buffer, Duration::from_millis(2)) {
            waiting.push_back(with_checksum(frame.to_vec()));
        }
        if sys::now() >= wakes {
            wakes += DOZE;
            waiting.drain(..).for_each(|frame| tap.send(&frame));
        }
    }
}

/// Between two ends of a veth the checksum of UDP stays undone; a TAP wants it.
fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    const UDP_OVER_V6: [u8; 2] = [0x86, 0xdd];
    let (ip, udp, checksum) = (14, 14 + 40, 14 + 40 + 6);
    if frame.len() < udp + 8 || frame[12..14] != UDP_OVER_V6 || frame[ip + 6] != 17 {
        return frame;
    }
    frame[checksum..checksum + 2].fill(0);
    let length = frame.len() - udp;
    // The addresses, the length and the protocol, then all of UDP.
    let words = frame[ip + 8..].chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        rest => u32::from(rest[0]) << 8,
    });
    let mut sum = words.sum::<u32>() + length as u32 + 17;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    let sum = match !(sum as u16) {
        0 => 0xffff,
        sum => sum,
    };
    frame[checksum..checksum + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The attack, and what must be seen of it afterwards.
fn diverted(from: From, dozes: bool) -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let daemons = Daemon::start_all(&lab, Kind::Ours);
    let (victim, attacker) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    let _doze = dozes.then(|| Doze::start(&victim));
    attach(&lab, &victim, true, 0)?;
    attach(&lab, &attacker, true, 2)?;
    let flow = Flow::start(victim.v6.into(), Some(&victim.namespace), INTERVAL);
    let flows = eventually(Duration::from_secs(30), || flow.first_return(Duration::ZERO).is_some());
    must(flows, "no probe comes back before the attack")?;
    let forger = match from {
        From::Client => Forger::start(&attacker.namespace, attacker.v6, &victim, &[0, 1]),
        From::Outside => {
            let address = "2001:db8:b::2".parse().expect("an address");
            Forger::start(CORRESPONDENT, address, &victim, &[0, 1])
        }
    };
    let start = sys::now();
    std::thread::sleep(Duration::from_secs(if long() { 20 } else { 8 }));
    let (sent, answered, diverted) = forger.counts();
    drop(forger);
    let end = sys::now();
    // What dozes is still answered.
    std::thread::sleep(Duration::from_millis(500));
    let report = flow.report(start, end);
    let reasons = ["bad_port", "not_a_node", "forged_sender", "no_host_route", "sender_unknown"];
    let dropped = reasons
        .map(|reason| (reason, daemons[0].counter(&format!("drop_{reason}")).unwrap_or_default()))
        .to_vec();
    let who = if from == From::Client { "a client of another node" } else { "a host outside" };
    let state = if dozes { "dozing" } else { "silent" };
    measure(
        &format!("{who} forges packets for a {state} client"),
        format!(
            "{sent} sent, {answered} answered; {diverted} packets diverted, {} of {} probes lost; dropped {dropped:?}",
            report.lost, report.sent
        ),
    );
    must(diverted == 0, format!("{diverted} packets of the client went to the forger"))?;
    must(answered == 0, format!("{answered} answers to forged packets"))?;
    must(report.lost == 0, format!("{} of {} probes lost", report.lost, report.sent))?;
    must(served_by(&lab, &victim, true, 0), "the client is not served where it is")?;
    let expected: &[&str] = match from {
        From::Client => &["bad_port", "not_a_node"],
        From::Outside => &["bad_port", "not_a_node", "forged_sender", "no_host_route"],
    };
    let missed: Vec<_> =
        dropped.iter().filter(|(reason, count)| expected.contains(reason) && *count == 0).collect();
    must(missed.is_empty(), format!("not counted: {missed:?}"))
}

/// A client puts the address of a node into its packets. The node that it is a client of must not
/// forward them.
fn forged_source() -> Outcome {
    let mut lab = Lab::new(Plan { bridge_itself: true, ..Plan::default() });
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let (victim, attacker) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    attach(&lab, &victim, true, 0)?;
    attach(&lab, &attacker, true, 2)?;
    let rules = lab.run.join("l3roamd.nft");
    std::fs::write(&rules, manual_in_list("nftables")).expect("a file");
    let loaded = Command::new("ip").args(["netns", "exec", &lab.nodes[2], "nft", "-f"]).arg(&rules).output();
    let loaded = loaded.expect("ip starts");
    must(loaded.status.success(), String::from_utf8_lossy(&loaded.stderr))?;
    let start = sys::now();
    let claim = Body::Claim { client: victim.mac, tail: Tail::default() };
    let frame = udp_frame(&attacker, node_address(1), node_address(0), &forge(node_address(1), claim));
    for _ in 0..20 {
        attacker.send(&frame);
        std::thread::sleep(PACE);
    }
    let listed = || {
        let list = Command::new("ip")
            .args(["netns", "exec", &lab.nodes[2], "nft", "list", "table", "inet", "l3roamd"])
            .output();
        String::from_utf8_lossy(&list.expect("ip starts").stdout).into_owned()
    };
    let counted = eventually(Duration::from_secs(5), || listed().contains("counter packets 20 "));
    must(counted, format!("the rule has not counted 20 packets: {}", listed()))?;
    let lost = lab.watch.events(start).iter().filter(|event| event.node == 0 && !event.came).count();
    must(lost == 0 && served_by(&lab, &victim, true, 0), "a client has taken another client's routes away")?;
    // Without the rule they arrive, and nothing tells them from those of the node.
    ip_netns(&lab.nodes[2], &["nft", "delete", "table", "inet", "l3roamd"]);
    attacker.send(&frame);
    let gone = eventually(Duration::from_secs(5), || {
        lab.watch.events(start).iter().any(|event| event.node == 0 && !event.came)
    });
    must(gone, "the test forges nothing that would be believed")
}

fn ip_netns(namespace: &str, words: &[&str]) {
    let status =
        Command::new("ip").args(["netns", "exec", namespace]).args(words).status().expect("ip starts");
    assert!(status.success(), "{words:?}");
}

/// The block of the manual inside of a list.
fn manual_in_list(name: &str) -> String {
    let lines = include_str!("../../README.md").lines();
    let block: Vec<&str> = lines
        .skip_while(|line| !line.starts_with(&format!("        # {name}")))
        .map_while(|line| line.strip_prefix("        "))
        .collect();
    assert!(!block.is_empty(), "the manual has no block # {name}");
    block.join("\n") + "\n"
}

/// A datagram of the intercom as a client sends it to its gateway, from whatever address it says.
fn udp_frame(client: &Client, source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> Vec<u8> {
    let length = (8 + payload.len()) as u16;
    let mut frame = [&GATEWAY_MAC.0[..], &client.mac.0, &[0x86, 0xdd, 0x60, 0, 0, 0]].concat();
    frame.extend(length.to_be_bytes());
    frame.extend([17, 64]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    frame.extend(PORT.to_be_bytes());
    frame.extend(PORT.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    with_checksum(frame)
}

fn roaming() -> Outcome {
    let mut lab = Lab::new(Plan::default());
    let _daemons = Daemon::start_all(&lab, Kind::Ours);
    let (victim, attacker) = (Client::new(&mut lab, 1), Client::new(&mut lab, 2));
    attach(&lab, &attacker, true, 1)?;
    let outside = "2001:db8:b::2".parse().expect("an address");
    let forgers = [
        Forger::start(&attacker.namespace, attacker.v6, &victim, &[0, 1, 2]),
        Forger::start(CORRESPONDENT, outside, &victim, &[0, 1, 2]),
    ];
    let roams = roams(&lab, &victim, true, if long() { 20 } else { 6 }, Duration::from_secs(3))?;
    let counts = forgers.each_ref().map(Forger::counts);
    measure("a client roams while others forge packets for it", format!("{}; {counts:?}", roams.line()));
    must(
        roams.handovers.len() == roams.total,
        format!("handed over {} of {}", roams.handovers.len(), roams.total),
    )?;
    must(counts.iter().all(|(_, answered, _)| *answered == 0), format!("forged packets gain: {counts:?}"))
}
