//! The invariants, in one place: after every step of every node, and of the whole network once it is quiet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use l3roamd::engine::client::AddressState;
use l3roamd::engine::input::IntercomReceived;
use l3roamd::engine::output::{IntercomDestination, RouteKind};
use l3roamd::engine::{Action, Engine, Input, Notice, Output};
use l3roamd::net::{Mac, is_link_local};
use l3roamd::time::Timestamp;
use l3roamd::wire::intercom::{self, Body, Flags};
use l3roamd::wire::ip;

use crate::node::NodeId;
use crate::packets::number_of;
use crate::world::World;

/// For so long a unicast CLAIM without answer counts as in flight.
const WINDOW: Duration = Duration::from_millis(100);
/// Transmissions of one CLAIM or INFO at most, and floods of one claim.
const MAX_TRANSMISSIONS: u32 = 16;
const MAX_FLOODS: u32 = 3;
/// Packets of the recent past whose nonces must differ where they are of one type. (Of all nonces of a long run two are the same
/// by chance.)
const NONCES: usize = 64;
/// A packet is relayed this often at most; where datagrams are duplicated each copy counts.
const MAX_RELAYS: u32 = 64;
/// Steps without any output after which what stands is compared all the same.
const QUIET_STEPS: usize = 16;
/// Timeouts in a row without any output and without progress of time.
const MAX_IDLE_TIMEOUTS: u32 = 100;

/// What a node said of one client's present stay, or since its end.
#[derive(Debug, Default)]
struct Said {
    unicast_claims: u32,
    floods: BTreeMap<u32, u32>,
    infos: BTreeMap<Ipv6Addr, u32>,
}

/// What the invariants remember of a node's daemon.
#[derive(Debug, Default)]
pub struct Audit {
    /// The daemon is being told what it finds at its start: the kernel holds what it has not heard of yet.
    pub starting: bool,
    /// When the kernel last verified a neighbour.
    pub verified: BTreeMap<IpAddr, Timestamp>,
    nonces: VecDeque<(usize, u32)>,
    said: BTreeMap<Mac, Said>,
    captured: BTreeMap<IpAddr, VecDeque<u64>>,
    /// Clients whose first unicast CLAIM is unanswered, and when it was sent.
    in_flight: BTreeMap<Mac, Timestamp>,
    idle: (Timestamp, u32),
    checks: usize,
}

impl Audit {
    /// That of a daemon that begins.
    pub fn starting() -> Self {
        Self { starting: true, ..Self::default() }
    }
}

impl World {
    /// Looks at one fact that a daemon reads.
    pub fn audit_read(&mut self, node: NodeId, input: &Input) {
        match input {
            Input::PacketForUnknown(packet) => self.captured(node, packet),
            Input::IntercomReceived(IntercomReceived { packet: Ok(packet), .. }) => {
                // From here on it is as if it had been caught here.
                if let Body::Relay { packet, .. } = &packet.body {
                    self.captured(node, packet);
                }
            }
            _ => {}
        }
    }

    fn captured(&mut self, at: NodeId, packet: &[u8]) {
        let to = ip::parse(packet).unwrap().destination;
        self.nodes[at].audit.captured.entry(to).or_default().push_back(number_of(packet));
    }

    /// Looks at one datagram that reaches a daemon.
    pub fn audit_received(&mut self, node: NodeId, body: &Body) {
        if let Body::Info { client, .. } = body {
            self.nodes[node].audit.in_flight.remove(client);
        }
    }

    /// Looks at one output of a daemon.
    pub fn audit(&mut self, node: NodeId, output: &Output) {
        match output {
            Output::Action(Action::SendIntercom { destination, datagram }) => {
                self.audit_intercom(node, *destination, datagram);
            }
            Output::Action(Action::ReleasePacket(packet)) => self.audit_release(node, packet),
            Output::Action(
                Action::Probe { client: Some(client), .. } | Action::QueryClient { client, .. },
            ) => {
                assert!(self.by_mac.contains_key(client), "node {node} asks {client}, who does not exist");
            }
            Output::Action(Action::InstallNeighbour(entry)) => {
                assert!(self.by_mac.contains_key(&entry.client), "node {node}: neighbour {entry:?}");
            }
            Output::Action(Action::InstallRoute(route)) => {
                assert!(!is_link_local(route.address), "node {node} routes {}", route.address);
                assert!(self.by_address.contains_key(&route.address), "node {node} routes {}", route.address);
            }
            Output::Notice(Notice::ClientArrived { client, .. } | Notice::ClientLeft { client, .. }) => {
                // INFO of the stay that ends is put out before the news of its end.
                let left = matches!(output, Output::Notice(Notice::ClientLeft { .. }));
                let said = self.nodes[node].audit.said.entry(*client).or_default();
                let infos = if left { std::mem::take(&mut said.infos) } else { BTreeMap::new() };
                *said = Said { infos, ..Said::default() };
                self.nodes[node].audit.in_flight.remove(client);
            }
            _ => {}
        }
    }

    fn audit_intercom(&mut self, node: NodeId, destination: IntercomDestination, datagram: &[u8]) {
        let packet = intercom::parse(datagram).unwrap();
        let kind = match packet.body {
            Body::Seek { .. } => 0,
            Body::Claim { .. } => 1,
            Body::Info { .. } => 2,
            Body::Ack { .. } => 3,
            Body::Relay { .. } => 4,
        };
        match &packet.body {
            Body::Relay { hops, packet, .. } => self.audit_relay(node, destination, *hops, packet),
            _ => self.traffic.intercom[kind] += 1,
        }
        let Some(engine) = self.nodes[node].engine() else { return };
        let interfaces = self.nodes[node].mesh.len();
        let served = |mac| engine.client(mac).is_some();
        if packet.sender != self.nodes[node].address {
            return;
        }
        let info_of_stay = match &packet.body {
            Body::Info { client, tail, .. } => !tail.flags.has(Flags::FROM_MEMORY) && !served(*client),
            _ => false,
        };
        let (now, window) = (self.now, engine.config().tunables.max_claims_in_flight);
        let audit = &mut self.nodes[node].audit;
        let flood = matches!(destination, IntercomDestination::Mesh(_));
        let same = audit.nonces.iter().filter(|said| **said == (kind, packet.nonce)).count();
        let allowed = if flood { interfaces } else { 1 };
        assert!(same < allowed, "node {node} repeats the nonce {:x} in {:?}", packet.nonce, packet.body);
        audit.nonces.push_back((kind, packet.nonce));
        if audit.nonces.len() > NONCES {
            audit.nonces.pop_front();
        }
        match packet.body {
            Body::Claim { client, .. } => {
                let said = audit.said.entry(client).or_default();
                if flood {
                    *said.floods.entry(packet.nonce).or_default() += 1;
                    let floods = u32::try_from(said.floods.len()).unwrap();
                    assert!(floods <= MAX_FLOODS, "node {node}: {floods} floods for {client}");
                } else {
                    said.unicast_claims += 1;
                    if said.unicast_claims == 1 {
                        audit.in_flight.retain(|_, since| now.since(*since) < WINDOW);
                        audit.in_flight.insert(client, now);
                        assert!(audit.in_flight.len() <= window, "node {node}: too many claims at once");
                    }
                    assert!(said.unicast_claims <= MAX_TRANSMISSIONS, "node {node} claims {client} for ever");
                }
            }
            Body::Info { client, .. } if info_of_stay => {
                let IntercomDestination::Unicast(peer) = destination else { panic!("INFO flooded") };
                let count = audit.said.entry(client).or_default().infos.entry(peer).or_default();
                *count += 1;
                assert!(*count <= MAX_TRANSMISSIONS, "node {node} repeats INFO for {client} for ever");
            }
            _ => {}
        }
    }

    /// A packet is relayed to one node, which serves the client or did; never for ever.
    fn audit_relay(&mut self, node: NodeId, destination: IntercomDestination, hops: u8, packet: &[u8]) {
        let number = number_of(packet);
        assert!(hops <= 16, "node {node} relays packet {number} for the {hops}th time");
        let IntercomDestination::Unicast(peer) = destination else { panic!("RELAY flooded") };
        let peer = self.nodes.iter().find(|other| other.address == peer);
        assert!(peer.is_some_and(|peer| peer.engine().is_some()), "RELAY to {destination:?}");
        self.audit_release(node, packet);
        self.traffic.relayed += 1;
        let times = self.relayed.entry(number).or_default();
        *times += 1;
        assert!(*times <= MAX_RELAYS, "packet {number} is relayed for ever");
    }

    fn audit_release(&mut self, node: NodeId, packet: &[u8]) {
        let to = ip::parse(packet).unwrap().destination;
        let number = number_of(packet);
        let waiting = self.nodes[node].audit.captured.entry(to).or_default();
        let position = waiting.iter().position(|captured| *captured == number);
        let position =
            position.unwrap_or_else(|| panic!("node {node} releases packet {number} out of order or twice"));
        waiting.drain(..=position);
    }

    /// After a step of a node: whether it was a timeout, and how much it put out.
    pub fn check_step(&mut self, id: NodeId, timeout: bool, outputs: usize) {
        let now = self.now;
        let idle = timeout && outputs == 0;
        let node = &mut self.nodes[id];
        let due = node.brain.poll_timeout();
        assert!(due.is_none_or(|at| at > now), "node {id} has a deadline in the past: {due:?}");
        let spun =
            if idle && node.audit.idle.0.since(now).is_zero() && now.since(node.audit.idle.0).as_millis() < 1
            {
                node.audit.idle.1 + 1
            } else {
                0
            };
        node.audit.idle = (now, spun);
        assert!(spun < MAX_IDLE_TIMEOUTS, "node {id} spins");
        node.audit.checks += 1;
        let checks = node.audit.checks;
        if node.audit.starting || !node.up {
            return;
        }
        let Some(engine) = node.engine() else { return };
        let clients = engine.clients().len();
        check_bounds(id, engine);
        // With many clients, and where nothing was put out, the full comparison is made every so often only.
        let every = (1 + clients / 16) * if outputs == 0 { QUIET_STEPS } else { 1 };
        if checks % every == 0 {
            self.check_kernel(id);
        }
        let node = &mut self.nodes[id];
        if node.engine().is_some_and(|engine| engine.waiting().0 == 0) {
            node.audit.captured.clear();
        }
    }

    /// What stands in the kernel is what the engine wants, and that follows from its clients.
    pub fn check_kernel(&self, id: NodeId) {
        let Some(engine) = self.nodes[id].engine().filter(|_| self.nodes[id].up) else { return };
        let desired = engine.desired_state();
        // Half an overlap more for each of eight nodes that a client has walked by since.
        let longest = (engine.config().tunables.overlap * 5).max(engine.config().tunables.lost_age);
        for (address, until) in engine.drained() {
            let ends = until <= self.now + longest && until + Duration::from_millis(50) > self.now;
            assert!(ends, "node {id} drains {address} for ever: until {until:?}");
        }
        let stands = self.nodes[id].kernel.state();
        if stands != desired {
            let repair = self.nodes[id].kernel.reconcile(&desired);
            panic!("the kernel of node {id} is not as its engine wants; it would take {repair:?}");
        }
        let in_use = engine.clients().flat_map(|client| {
            let used = client.addresses().filter(|(_, entry)| entry.state != AddressState::Inactive);
            used.map(|(address, _)| address).filter(|address| !is_link_local(*address))
        });
        let in_use: Vec<IpAddr> = in_use.collect();
        let unique: BTreeSet<IpAddr> = in_use.iter().copied().collect();
        assert_eq!(in_use.len(), unique.len(), "node {id}: an address is held by two clients");
        let kind = |drained: bool| {
            let routes = desired.routes.iter().filter(move |r| (r.kind == RouteKind::Drained) == drained);
            routes.map(|route| route.address).collect::<BTreeSet<IpAddr>>()
        };
        let (routed, drained) = (kind(false), kind(true));
        let unique: BTreeSet<IpAddr> = unique.difference(&drained).copied().collect();
        assert_eq!(unique, routed, "node {id}: addresses in use (left) and host routes differ");
    }

    /// Once the network has been quiet: each client is served where it is, and nowhere else.
    pub fn check_quiet(&self) {
        for id in 0..self.nodes.len() {
            self.check_kernel(id);
        }
        for client in 0..self.clients.len() {
            self.check_client(client);
        }
    }

    /// One client of a quiet network.
    pub fn check_client(&self, id: usize) {
        let client = &self.clients[id];
        let mac = client.mac;
        let serving: Vec<NodeId> =
            (0..self.nodes.len()).filter(|node| self.nodes[*node].serves(mac)).collect();
        let there = client.at.filter(|at| self.nodes[*at].up && client.answers && !client.shown.is_empty());
        let expected: Vec<NodeId> = there.into_iter().collect();
        assert_eq!(serving, expected, "nodes that serve client {id} ({mac}; left), and where it is");
        let prefix = crate::node::config(0, 0).node_client_prefix;
        let own = prefix.node_client_address(mac);
        for (at, node) in self.nodes.iter().enumerate() {
            let here = there == Some(at);
            for address in &client.addresses {
                let routed = node.kernel.host_route(*address).is_some();
                let expected = here && client.shown.contains(address);
                assert_eq!(
                    routed, expected,
                    "client {id} is at {:?}: {address} routed at node {at}",
                    client.at
                );
            }
            let holds = node.kernel.node_client_addresses.contains(&own);
            assert_eq!(holds, here, "client {id} is at {:?}: {own} held at node {at}", client.at);
        }
    }
}

fn check_bounds(id: NodeId, engine: &Engine) {
    let tunables = &engine.config().tunables;
    let (packets, bytes) = engine.waiting();
    assert!(packets <= tunables.max_queue_packets && bytes <= tunables.max_queue_bytes, "node {id}: queue");
    assert!(engine.drained().count() <= tunables.max_drained, "node {id}: drained routes");
    assert!(engine.former_count() <= tunables.max_former, "node {id}: former clients");
    assert!(engine.clients().len() <= tunables.max_clients, "node {id}: clients");
    assert!(engine.peers().count() <= tunables.max_peers, "node {id}: peers");
}
