//! A minimal model of the C daemon, as `protocol.md` describes it: enough to meet its quirks on the wire.
//!
//! Constant nonce, duplicates of SEEK and CLAIM dropped by (type, nonce), claims only where a host route leads to the node-client
//! address, INFO every 500 ms until ACK, addresses in INFO ignored unless known, a memory of 5 minutes, flooded claims
//! answered from it and not forwarded, no tails, no capabilities.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use l3roamd::engine::input::{IntercomReceived, RouteLookup};
use l3roamd::engine::output::{HostRoute, IntercomDestination, Neighbour, RouteKind};
use l3roamd::engine::{Action, Config, Input, Output};
use l3roamd::net::{IfIndex, Mac};
use l3roamd::time::Timestamp;
use l3roamd::wire::frame::FrameContent;
use l3roamd::wire::intercom::{self, Body, Capabilities, Packet, Tail};

use crate::kernel::{BRIDGE, PORTS};
use crate::node::config;

const CLAIM_EVERY: Duration = Duration::from_millis(300);
const INFO_EVERY: Duration = Duration::from_millis(500);
const RETRIES: u8 = 15;
const MEMORY: Duration = Duration::from_secs(300);
/// From five addresses on its log message overflows.
const FATAL_ADDRESSES: usize = 5;

#[derive(Debug, Default)]
struct Served {
    addresses: BTreeSet<IpAddr>,
    holds: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Due {
    Claim(Mac),
    Info(Mac),
}

/// The model.
#[derive(Debug)]
pub struct CNode {
    config: Config,
    nonce: u32,
    now: Timestamp,
    queue: VecDeque<Output>,
    clients: BTreeMap<Mac, Served>,
    old: BTreeMap<Mac, (BTreeSet<IpAddr>, Timestamp)>,
    seen: BTreeSet<(u8, u32)>,
    mesh: BTreeSet<IfIndex>,
    due: BTreeMap<Due, (Timestamp, u8)>,
    infos: BTreeMap<Mac, (Ipv6Addr, BTreeSet<IpAddr>)>,
}

impl CNode {
    /// A daemon that knows nothing yet.
    pub fn new(address: Ipv6Addr, seed: u64) -> Self {
        let mut config = config(0, 0);
        config.node_address = address;
        let prefixes = config.prefixes.iter().copied();
        let queue = prefixes.map(|prefix| Output::Action(Action::InstallPrefixRoute(prefix))).collect();
        Self {
            config,
            nonce: (seed >> 32) as u32,
            now: Timestamp::ZERO,
            queue,
            clients: BTreeMap::new(),
            old: BTreeMap::new(),
            seen: BTreeSet::new(),
            mesh: BTreeSet::new(),
            due: BTreeMap::new(),
            infos: BTreeMap::new(),
        }
    }

    /// Whether it serves the client.
    pub fn serves(&self, mac: Mac) -> bool {
        self.clients.contains_key(&mac)
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.values().map(|(at, _)| *at).min()
    }

    /// Takes in a fact.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        self.now = now;
        while let Some((due, retries)) = self.due.iter().find(|(_, v)| v.0 <= now).map(|(k, v)| (*k, v.1)) {
            self.due.remove(&due);
            self.again(due, retries);
        }
        match input {
            Input::LinkSeen(link) if link.name.as_str().starts_with("mesh") => {
                self.mesh.insert(link.index);
                self.act(Action::JoinMesh(link.index));
            }
            Input::LinkSeen(link) if PORTS.contains(&link.index) => self.act(Action::Listen(link.index)),
            Input::FrameHeard(frame) => {
                if let FrameContent::Uses(address) = frame.content {
                    self.used(frame.source, address);
                }
            }
            Input::RouteLookedUp { address: IpAddr::V6(address), found } => {
                let mac = self.config.node_client_prefix.client_of(address);
                if let Some(mac) = mac.filter(|mac| self.clients.get(mac).is_some_and(|c| !c.holds)) {
                    match found {
                        RouteLookup::HostRoute { .. } => self.again(Due::Claim(mac), 0),
                        RouteLookup::Local | RouteLookup::Network(_) | RouteLookup::Other => self.hold(mac),
                    }
                }
            }
            Input::IntercomReceived(received) => self.received(received),
            _ => {}
        }
    }

    fn act(&mut self, action: Action) {
        self.queue.push_back(Output::Action(action));
    }

    fn used(&mut self, mac: Mac, address: IpAddr) {
        if let Entry::Vacant(new) = self.clients.entry(mac) {
            new.insert(Served::default());
            let special = self.config.node_client_prefix.node_client_address(mac);
            self.act(Action::LookupRoute(IpAddr::V6(special)));
        }
        let routable = self.config.prefixes.iter().any(|prefix| prefix.contains(address));
        if routable && self.clients.get_mut(&mac).is_some_and(|c| c.addresses.insert(address)) {
            self.act(Action::InstallNeighbour(Neighbour { interface: BRIDGE, address, client: mac }));
            self.act(Action::InstallRoute(HostRoute {
                address,
                kind: RouteKind::Served(BRIDGE),
                table: 254,
            }));
        }
    }

    fn again(&mut self, due: Due, retries: u8) {
        match due {
            Due::Claim(mac) if retries > RETRIES => self.hold(mac),
            Due::Claim(mac) => {
                let special = self.config.node_client_prefix.node_client_address(mac);
                self.send(
                    IntercomDestination::Unicast(special),
                    Body::Claim { client: mac, tail: Tail::default() },
                );
                self.due.insert(due, (self.now + CLAIM_EVERY, retries + 1));
            }
            Due::Info(mac) => {
                let Some((peer, addresses)) = self.infos.get(&mac).cloned().filter(|_| retries <= RETRIES)
                else {
                    self.infos.remove(&mac);
                    return;
                };
                self.info(peer, mac, &addresses);
                self.due.insert(due, (self.now + INFO_EVERY, retries + 1));
            }
        }
    }

    fn info(&mut self, peer: Ipv6Addr, mac: Mac, addresses: &BTreeSet<IpAddr>) {
        let v4 = self.config.v4_prefix;
        let addresses = addresses.iter().map(|address| v4.to_wire(*address)).collect();
        let body = Body::Info { plat: None, client: mac, addresses, tail: Tail::default() };
        self.send(IntercomDestination::Unicast(peer), body);
    }

    fn hold(&mut self, mac: Mac) {
        self.due.remove(&Due::Claim(mac));
        let Some(client) = self.clients.get_mut(&mac) else { return };
        client.holds = true;
        let special = self.config.node_client_prefix.node_client_address(mac);
        self.act(Action::AddNodeClientAddress(special));
    }

    fn send(&mut self, destination: IntercomDestination, body: Body) {
        let ttl = if matches!(destination, IntercomDestination::Mesh(_)) { 255 } else { 1 };
        let sender = self.config.node_address;
        let packet = Packet { ttl, capabilities: Capabilities(0), nonce: self.nonce, sender, body };
        self.act(Action::SendIntercom { destination, datagram: intercom::emit(&packet) });
    }

    fn received(&mut self, received: IntercomReceived) {
        let Ok(packet) = received.packet else { return };
        let kind = match packet.body {
            Body::Seek { .. } => 0,
            Body::Claim { .. } => 1,
            Body::Info { .. } | Body::Ack { .. } | Body::Relay { .. } => 2,
        };
        if packet.sender == self.config.node_address || (kind < 2 && !self.seen.insert((kind, packet.nonce)))
        {
            return;
        }
        let mut forward = received.destination.is_multicast();
        match packet.body {
            Body::Seek { address, .. } => {
                let address = self.config.v4_prefix.from_wire(address);
                self.act(Action::Probe { interface: BRIDGE, address, client: None });
            }
            Body::Claim { client, .. } => forward &= !self.claimed(packet.sender, client),
            Body::Info { client, addresses, .. } => {
                // (Old nodes kill one another so, too. Here only what we send counts.)
                let (ours, count) = (packet.capabilities.has(Capabilities::TAILS), addresses.len());
                assert!(!ours || count < FATAL_ADDRESSES, "an INFO of {count} addresses kills it");
                let tail = Tail::default();
                self.send(IntercomDestination::Unicast(packet.sender), Body::Ack { client, tail });
                self.hold(client);
            }
            Body::Ack { client, .. } => {
                self.infos.remove(&client);
                self.due.remove(&Due::Info(client));
            }
            Body::Relay { .. } => panic!("RELAY sent to a C daemon"),
        }
        let mut datagram = received.datagram;
        if forward && intercom::decrement_ttl(&mut datagram) {
            for interface in self.mesh.clone() {
                let destination = IntercomDestination::Mesh(interface);
                self.act(Action::SendIntercom { destination, datagram: datagram.clone() });
            }
        }
    }

    /// A claim: answered where the client is or was here.
    fn claimed(&mut self, peer: Ipv6Addr, mac: Mac) -> bool {
        if let Some(client) = self.clients.remove(&mac) {
            self.due.remove(&Due::Claim(mac));
            for address in &client.addresses {
                let (interface, address) = (BRIDGE, *address);
                self.act(Action::UninstallRoute(HostRoute {
                    address,
                    kind: RouteKind::Served(interface),
                    table: 254,
                }));
                self.act(Action::UninstallNeighbour(Neighbour { interface, address, client: mac }));
            }
            if client.holds {
                let special = self.config.node_client_prefix.node_client_address(mac);
                self.act(Action::RemoveNodeClientAddress(special));
            }
            self.old.insert(mac, (client.addresses, self.now));
        }
        let remembered = self.old.get(&mac).filter(|(_, since)| self.now.since(*since) < MEMORY);
        let Some((addresses, _)) = remembered.cloned() else { return false };
        // While one INFO is unacknowledged it sends none to a second claimer.
        if let Entry::Vacant(free) = self.infos.entry(mac) {
            free.insert((peer, addresses));
            self.again(Due::Info(mac), 0);
        }
        true
    }
}
