//! Packets to clients: delivered, forwarded, captured by the TUN, lost.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use l3roamd::engine::Input;
use l3roamd::engine::input::{NeighbourFact, NeighbourState};
use l3roamd::wire::ip;

use crate::kernel::BRIDGE;
use crate::node::NodeId;
use crate::world::{Event, World};

/// What was counted in the world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Intercom packets put out by all daemons, forwarded ones included: SEEK, CLAIM, INFO, ACK.
    pub intercom: [u64; 4],
    /// RELAY packets put out.
    pub relayed: u64,
    /// Intercom packets lost on a link, and those that no route led on.
    pub intercom_lost: u64,
    pub intercom_unroutable: u64,
    /// Requests to clients: one for each frame.
    pub probes: u64,
    /// ICMP errors.
    pub unreachable: u64,
    /// Packets: sent, delivered, sent into the air though the client was gone, dropped without route, gone in loops.
    pub sent: u64,
    pub delivered: u64,
    pub lost_on_air: u64,
    pub without_route: u64,
    pub looped: u64,
}

impl Traffic {
    /// All intercom packets.
    pub fn intercom_total(&self) -> u64 {
        self.intercom.iter().sum()
    }
}

const MAX_HOPS: u8 = 64;

impl World {
    /// A host at a node sends a packet to an address.
    pub fn send_packet(&mut self, at: NodeId, to: IpAddr) {
        self.traffic.sent += 1;
        let bytes = packet(to, self.traffic.sent);
        self.after(Duration::ZERO, Event::Packet { at, bytes: Rc::from(bytes), hops: 0 });
    }

    /// A daemon gives a waiting packet back to its kernel.
    pub fn released(&mut self, at: NodeId, packet: Vec<u8>) {
        self.after(Duration::from_micros(30), Event::Packet { at, bytes: Rc::from(packet), hops: 0 });
    }

    /// A packet reaches a node's kernel.
    pub fn packet_at(&mut self, at: NodeId, bytes: &Rc<[u8]>, hops: u8) {
        let to = ip::parse(bytes).unwrap().destination;
        let node = &self.nodes[at];
        if node.kernel.host_route(to).is_some() {
            return self.packet_to_client(at, to);
        }
        let drained = node.kernel.drains(to);
        let next = self.nearest(at, to).and_then(|origin| self.paths.get(at, origin)).filter(|_| !drained);
        match next {
            _ if hops >= MAX_HOPS => self.traffic.looped += 1,
            Some((_, next)) => {
                let delay = self.random.between(self.conditions.latency);
                self.after(delay, Event::Packet { at: next, bytes: Rc::clone(bytes), hops: hops + 1 });
            }
            None if node.up && (drained || node.kernel.captures(to)) => {
                self.tell(at, Input::PacketForUnknown(bytes.to_vec()));
            }
            None => self.traffic.without_route += 1,
        }
    }

    /// The kernel sends a packet to the client whose MAC stands in its neighbour table.
    fn packet_to_client(&mut self, at: NodeId, address: IpAddr) {
        let mac = self.nodes[at].kernel.neighbours.get(&(BRIDGE, address)).copied();
        let client = mac.and_then(|mac| self.by_mac.get(&mac)).map(|id| &self.clients[*id]);
        let there = client.is_some_and(|client| client.at == Some(at) && client.has(address));
        let last = self.nodes[at].audit.verified.get(&address).copied().unwrap_or_default();
        let verify = self.now.since(last) >= Duration::from_secs(5);
        if there {
            self.traffic.delivered += 1;
        } else {
            self.traffic.lost_on_air += 1;
        }
        if !verify {
            return;
        }
        // The kernel verifies a stale entry that it uses: DELAY for 5 s, then three probes.
        self.nodes[at].audit.verified.insert(address, self.now);
        let (state, mac, delay) = if there {
            (NeighbourState::Reachable, mac, Duration::from_secs(5))
        } else {
            (NeighbourState::Failed, None, Duration::from_secs(8))
        };
        let fact = NeighbourFact { interface: BRIDGE, address, mac, state, ours: true };
        self.tell_after(delay, at, Input::NeighbourSeen(fact));
    }
}

/// A UDP packet to `to` with a number in its payload.
pub fn packet(to: IpAddr, number: u64) -> Vec<u8> {
    let mut bytes = match to {
        IpAddr::V4(to) => {
            let mut bytes = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 198, 51, 100, 1];
            bytes.extend(to.octets());
            bytes
        }
        IpAddr::V6(to) => {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
            let from: std::net::Ipv6Addr = "2001:db8:ffff::1".parse().unwrap();
            bytes.extend(from.octets());
            bytes.extend(to.octets());
            bytes
        }
    };
    bytes.extend(number.to_be_bytes());
    bytes
}

/// The number in a packet's payload.
pub fn number_of(packet: &[u8]) -> u64 {
    u64::from_be_bytes(*packet.last_chunk().unwrap())
}
