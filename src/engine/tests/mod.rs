//! Tests of the engine as a whole: facts in, exact actions out.

mod bounds;
mod commands;
mod contest;
mod evidence;
mod foreign;
mod handover;
mod hostapd;
mod nodes;
mod operator;
mod overlap;
mod presence;
mod relay;
mod relinquish;
mod repair;
mod search;
mod stations;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::input::{FrameHeard, IntercomReceived, Link, RouteLookup};
use super::output::IntercomDestination;
use super::*;
use crate::net::Prefix;
use crate::wire::frame::FrameContent;
use crate::wire::intercom::{self, Body, Capabilities, Packet, Tail};

pub(super) const MESH: IfIndex = IfIndex(1);
pub(super) const BRIDGE: IfIndex = IfIndex(2);
pub(super) const PORT: IfIndex = IfIndex(3);
pub(super) const OTHER_PORT: IfIndex = IfIndex(4);

pub(super) fn mac(n: u16) -> Mac {
    let [high, low] = n.to_be_bytes();
    Mac([2, 0, 0x5e, 0x10, high, low])
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn v6(n: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, n))
}

pub(super) fn node(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)
}

fn is_node(address: Ipv6Addr) -> bool {
    address.segments()[..7] == node(0).segments()[..7]
}

/// One engine, its clock, and what it said.
pub(super) struct Bench {
    pub engine: Engine,
    pub now: Timestamp,
    /// How the kernel answers where packets to another node go, at once and without a word; `None`:
    /// the test answers.
    pub way_to_nodes: Option<RouteLookup>,
    nonce: u32,
}

impl Bench {
    /// Node 1 with a mesh interface and a client bridge of two ports.
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(node(1));
        config.prefixes = vec!["2001:db8::/64".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
        config.mesh_interfaces = vec!["mesh0".parse().unwrap()];
        config.client_interfaces = vec!["br-client".parse().unwrap()];
        change(&mut config);
        let engine = Engine::new(config, 7, Timestamp::ZERO);
        let mut bench = Self { engine, now: Timestamp::ZERO, way_to_nodes: Some(host_route()), nonce: 0 };
        bench.tell_links();
        bench.drain();
        bench
    }

    /// Every link there is, as a dump tells them.
    pub fn tell_links(&mut self) {
        let link = |index: IfIndex, name: &str, master, bridge| {
            let own = Some(Mac([6, 0, 0, 0, 0, index.0 as u8]));
            Input::LinkSeen(Link {
                index,
                name: name.parse().unwrap(),
                mac: own,
                up: true,
                running: true,
                master,
                bridge,
                peer: None,
            })
        };
        self.input(link(MESH, "mesh0", None, false));
        self.input(link(BRIDGE, "br-client", None, true));
        self.input(link(PORT, "port0", Some(BRIDGE), false));
        self.input(link(OTHER_PORT, "port1", Some(BRIDGE), false));
    }

    pub fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
    }

    /// What the engine put out since, and what follows from the kernel's acknowledgements.
    pub fn drain(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        while let Some(output) = self.engine.poll() {
            match &output {
                Output::Action(Action::LookupRoute(IpAddr::V6(to)))
                    if is_node(*to) && self.way_to_nodes.is_some() =>
                {
                    continue;
                }
                Output::Action(Action::InstallRoute(route)) => self.input(Input::RouteInstalled(*route)),
                Output::Action(Action::InstallNeighbour(entry)) => {
                    self.input(Input::NeighbourInstalled(*entry));
                }
                _ => {}
            }
            outputs.push(output);
        }
        outputs
    }

    pub fn actions(&mut self) -> Vec<Action> {
        let outputs = self.drain().into_iter();
        outputs
            .filter_map(|output| if let Output::Action(action) = output { Some(action) } else { None })
            .collect()
    }

    pub fn notices(&mut self) -> Vec<Notice> {
        let outputs = self.drain().into_iter();
        outputs
            .filter_map(|output| if let Output::Notice(notice) = output { Some(notice) } else { None })
            .collect()
    }

    /// The intercom packets among the next actions, with their destinations; other actions are dropped.
    pub fn sent(&mut self) -> Vec<(IntercomDestination, Packet)> {
        let actions = self.actions().into_iter();
        let sent = actions.filter_map(|action| match action {
            Action::SendIntercom { destination, datagram } => {
                Some((destination, intercom::parse(&datagram).unwrap()))
            }
            _ => None,
        });
        sent.collect()
    }

    /// Lets time pass, waking the engine when it wants to be, and gathers what it does and when (ms after now).
    pub fn pass(&mut self, duration: Duration) -> Vec<(u64, Action)> {
        let (start, end) = (self.now, self.now + duration);
        let mut log = Vec::new();
        loop {
            let at = self.now.since(start).as_millis() as u64;
            log.extend(self.actions().into_iter().map(|action| (at, action)));
            match self.engine.poll_timeout() {
                Some((due, _)) if due <= end => self.now = due.max(self.now),
                _ => break,
            }
            self.input(Input::Timeout);
        }
        self.now = end;
        log
    }

    pub fn pass_ms(&mut self, ms: u64) -> Vec<(u64, Action)> {
        self.pass(Duration::from_millis(ms))
    }

    /// A client is heard using an address.
    pub fn hears(&mut self, client: Mac, address: IpAddr) {
        self.hears_on(PORT, client, FrameContent::Uses(address));
    }

    pub fn hears_on(&mut self, interface: IfIndex, source: Mac, content: FrameContent) {
        self.input(Input::FrameHeard(FrameHeard { interface, source, content }));
    }

    /// The kernel answers a look-up of the client's node-client address.
    pub fn node_client_route(&mut self, client: Mac, found: RouteLookup) {
        let address = IpAddr::V6(self.engine.config().node_client_prefix.node_client_address(client));
        self.input(Input::RouteLookedUp { address, found });
    }

    /// A packet from another node of our kind, unicast to us.
    pub fn receives(&mut self, sender: Ipv6Addr, body: Body) {
        self.receives_as(sender, node(1), Capabilities::TAILS, body);
    }

    /// The same from a node that accepts RELAY.
    pub fn receives_relaying(&mut self, sender: Ipv6Addr, body: Body) {
        let capabilities = Capabilities(Capabilities::TAILS.0 | Capabilities::RELAY.0);
        self.receives_as(sender, node(1), capabilities, body);
    }

    /// The same, flooded.
    pub fn receives_flooded(&mut self, sender: Ipv6Addr, body: Body) {
        self.receives_as(sender, intercom::GROUP, Capabilities::TAILS, body);
    }

    pub fn receives_as(
        &mut self,
        sender: Ipv6Addr,
        destination: Ipv6Addr,
        capabilities: Capabilities,
        body: Body,
    ) {
        self.nonce += 1;
        let ttl = if destination.is_multicast() { 255 } else { 1 };
        let packet = Packet { ttl, capabilities, nonce: self.nonce, sender, body };
        self.input(datagram_received(MESH, sender, destination, &packet));
        if let Some(found) = self.way_to_nodes {
            self.input(Input::RouteLookedUp { address: sender.into(), found });
        }
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.engine.counters().get(counter)
    }

    /// A client that is served here, settled, with these addresses.
    pub fn serve(&mut self, client: Mac, addresses: &[IpAddr]) {
        for address in addresses {
            self.hears(client, *address);
        }
        self.node_client_route(client, RouteLookup::Other);
        self.settle(client);
        self.drain();
    }

    /// Client 1 comes from a node that accepts RELAY, which numbers its stay here.
    pub fn takes_over(&mut self, from: Ipv6Addr, sequence: u32) {
        self.hears(mac(1), v6(1));
        self.node_client_route(mac(1), host_route());
        let tail = Tail { sequence: Some(sequence), age_ms: Some(9), ..Tail::default() };
        self.receives_relaying(from, info(mac(1), &[v6(1)], tail));
        self.drain();
    }

    /// Lets an open claim run out while the client goes on speaking.
    fn settle(&mut self, client: Mac) {
        let until = self.now + Duration::from_secs(4);
        while !self.engine.client(client).unwrap().is_settled() && self.now < until {
            self.pass_ms(100);
        }
        let used: Vec<IpAddr> = self.engine.client(client).unwrap().routed().collect();
        used.into_iter().for_each(|address| self.hears(client, address));
    }
}

/// A packet as it comes in: emitted, and parsed at the border.
pub(super) fn datagram_received(
    interface: IfIndex,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    packet: &Packet,
) -> Input {
    let datagram = intercom::emit(packet);
    let packet = intercom::parse(&datagram);
    let port = intercom::PORT;
    Input::IntercomReceived(IntercomReceived { interface, source, port, destination, packet, datagram })
}

pub(super) fn claim(client: Mac, tail: Tail) -> Body {
    Body::Claim { client, tail }
}

pub(super) fn info(client: Mac, addresses: &[IpAddr], tail: Tail) -> Body {
    let v4 = config::V4Prefix::default();
    let addresses = addresses.iter().map(|address| v4.to_wire(*address)).collect();
    Body::Info { plat: None, client, addresses, tail }
}

pub(super) fn ack(client: Mac) -> Body {
    Body::Ack { client, tail: Tail::default() }
}

/// To node `n` alone.
pub(super) fn to(n: u16) -> IntercomDestination {
    IntercomDestination::Unicast(node(n))
}

pub(super) fn host_route() -> RouteLookup {
    RouteLookup::HostRoute { interface: MESH, protocol: 42 }
}

pub(super) fn route(address: IpAddr) -> HostRoute {
    HostRoute { address, kind: RouteKind::Served(BRIDGE), table: 254 }
}

pub(super) fn drained(address: IpAddr) -> HostRoute {
    HostRoute { kind: RouteKind::Drained, ..route(address) }
}

pub(super) fn neighbour(client: Mac, address: IpAddr) -> Neighbour {
    Neighbour { interface: BRIDGE, address, client }
}

pub(super) fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn the_same_calls_with_the_same_seed_give_the_same_outputs() {
    let run = || {
        let mut bench = Bench::new();
        bench.hears(mac(1), v6(1));
        bench.node_client_route(mac(1), host_route());
        bench.pass(Duration::from_secs(120))
    };
    assert_eq!(run(), run());
    assert!(!run().is_empty());
}

#[test]
fn a_spurious_timeout_does_nothing_and_time_that_goes_back_is_counted() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.input(Input::Timeout);
    assert_eq!(bench.drain(), []);
    bench.engine.handle(Timestamp::ZERO, Input::Timeout);
    assert_eq!(bench.count(Counter::TimeWentBack), 1);
}

#[test]
fn an_orderly_end_undoes_everything_and_takes_nothing_in_any_more() {
    let mut bench = Bench::new();
    bench.serve(mac(1), &[v6(1)]);
    bench.engine.shut_down(bench.now);
    let actions = bench.actions();
    for action in [
        Action::UninstallRoute(route(v6(1))),
        Action::UninstallNeighbour(neighbour(mac(1), v6(1))),
        Action::RemoveNodeClientAddress("fec0::5eff:fe10:1".parse().unwrap()),
        Action::UninstallPrefixRoute(prefix("2001:db8::/64")),
        Action::UninstallPrefixRoute(prefix("10.0.0.0/8")),
        Action::LeaveMesh(MESH),
        Action::StopListening(PORT),
    ] {
        assert!(actions.contains(&action), "{action:?} is missing in {actions:?}");
    }
    assert_eq!(bench.engine.desired_state(), DesiredState::default());
    bench.hears(mac(2), v6(2));
    assert_eq!(bench.drain(), []);
}
