//! Relay: packets for a client that was handed over go after it, inside RELAY packets.
//!
//! ```text
//!  sender -> (old way) -> A: drained route -> TUN -> [waits for ACK] -> RELAY -> B: TUN -> kernel -> client
//! ```
//! **The old node** relays to the node that has acknowledged INFO, in order, what waited first. Before the ACK it relays nothing: its buffer
//! bridges the round trip, a forged CLAIM gains no packet, and the new node knows the addresses when the first one comes (it
//! acknowledges after it has ordered their routes). The node must have announced that it accepts RELAY, and be routed over a mesh
//! interface.
//!
//! **The new node** has an injector into its kernel here, and the TUN's firewall zone accepts input. So a RELAY counts only
//! - from a node whose INFO answered a claim of ours for the client that has the destination (or whose claim we refused);
//! - for a routable address inside a client prefix that is none of this node's own;
//!
//! A node that was started anew serves clients that its earlier run had claimed, and does not know from whom. Where such a client has shown
//! itself, the sender of a RELAY for it is sent a CLAIM: a node that handed the client to us answers that from memory, and counts from then
//! on. Who answers it could have answered the flooded claim of any stay as well.
//!
//! | the client is | the packet |
//! |---|---|
//! | served, host route and neighbour entry acknowledged by the kernel | goes to the kernel through the TUN |
//! | served, not acknowledged yet, or its station still in the handshake | waits |
//! | handed over, to another node | goes on, at most [`MAX_CHAIN`] times |
//! | gone otherwise, or silent | waits, and is sought as one that was caught here |
//! | none of these | is dropped, and counted by reason |
//!
//! The number of the stay grows with every hop: who hears a higher one than it knows of takes it over. News of a handover may be read late
//! where a machine is busy, so a number alone condemns no packet; what ends a loop is the count of hops. An injected packet that reappears on the TUN has the destination of a
//! client that is served here: it waits while the kernel's state is repaired, and is neither sought nor relayed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Engine;
use super::client::{AddressState, Source};
use super::output::{Action, IntercomDestination};
use super::overlap::MAX_CHAIN;
use super::relinquish::by_client;
use super::stats::Counter;
use crate::net::Mac;
use crate::time::Timestamp;
use crate::wire::intercom::Body;
use crate::wire::ip;

/// What a claim entitles a node to relay ends this long after the claim, or after the last packet.
const ORIGIN_AGE: Duration = Duration::from_secs(300);
/// How often old entitlements are looked for.
const PRUNE_INTERVAL: Duration = Duration::from_secs(10);
/// A former client for which a packet was relayed this short a time ago is not forgotten.
pub(super) const RELAY_IDLE: Duration = Duration::from_secs(10);

/// A node is asked about an adopted client once in this time; its answer counts for as long as that of a claim that is repeated.
const QUESTION_INTERVAL: Duration = Duration::from_millis(100);
const QUESTION_AGE: Duration = Duration::from_secs(1);
/// Questions open at once: whoever forges the senders of RELAY packets makes us send no more than so many CLAIMs a second.
const MAX_QUESTIONS: usize = 64;

/// The nodes that may relay packets of a client to us: those we have claimed it from.
#[derive(Debug, Default)]
pub(super) struct Origins {
    since: BTreeMap<(Mac, Ipv6Addr), Timestamp>,
    pruned: Timestamp,
    /// Nodes that were asked about an adopted client, and when.
    asked: BTreeMap<(Mac, Ipv6Addr), Timestamp>,
}

impl Origins {
    /// The client was claimed from a node.
    pub(super) fn claimed(&mut self, now: Timestamp, client: Mac, node: Ipv6Addr, limit: usize) {
        if now.since(self.pruned) >= PRUNE_INTERVAL {
            self.pruned = now;
            self.since.retain(|_, since| now.since(*since) < ORIGIN_AGE);
        }
        if self.since.len() >= limit && !self.since.contains_key(&(client, node)) {
            let oldest = self.since.iter().min_by_key(|(_, since)| **since).map(|(key, _)| *key);
            oldest.and_then(|oldest| self.since.remove(&oldest));
        }
        self.since.insert((client, node), now);
    }

    /// Whether the node may relay packets of the client; it may for longer then.
    fn entitled(&mut self, now: Timestamp, client: Mac, node: Ipv6Addr) -> bool {
        let since = self.since.get_mut(&(client, node)).filter(|since| now.since(**since) < ORIGIN_AGE);
        since.map(|since| *since = now).is_some()
    }

    /// Whether the node may be asked about the client now; it is then.
    fn ask(&mut self, now: Timestamp, client: Mac, node: Ipv6Addr) -> bool {
        if self.asked.get(&(client, node)).is_some_and(|at| now.since(*at) < QUESTION_INTERVAL) {
            return false;
        }
        if self.asked.len() >= MAX_QUESTIONS {
            self.asked.retain(|_, at| now.since(*at) < QUESTION_AGE);
        }
        let room = self.asked.len() < MAX_QUESTIONS || self.asked.contains_key(&(client, node));
        if room {
            self.asked.insert((client, node), now);
        }
        room
    }

    /// Whether an answer of the node about the client is awaited; it is no more.
    pub(super) fn answered(&mut self, now: Timestamp, client: Mac, node: Ipv6Addr) -> bool {
        self.asked.remove(&(client, node)).is_some_and(|at| now.since(at) < QUESTION_AGE)
    }

    /// The nodes that the client was claimed from, or that relayed a packet for it, no longer ago than `age`.
    pub(super) fn within(
        &self,
        now: Timestamp,
        client: Mac,
        age: Duration,
    ) -> impl Iterator<Item = Ipv6Addr> {
        let recent = self.since.range(by_client(client)).filter(move |(_, since)| now.since(**since) < age);
        recent.map(|((_, node), _)| *node)
    }

    /// When the client was claimed from the node, or its last packet came from there.
    pub(super) fn since(&self, client: Mac, node: Ipv6Addr) -> Option<Timestamp> {
        self.since.get(&(client, node)).copied()
    }
}

impl Engine {
    /// Where packets for an address go that were caught here: the node its client was handed to, and the number of the stay there.
    /// `None` also while that node has not acknowledged.
    fn relay_way(&self, address: IpAddr) -> Option<(Mac, Ipv6Addr, u32)> {
        let mac = self.former_holders.get(&address).copied()?;
        let former = self.former.get(&mac)?;
        let peer = former.handed_to.filter(|peer| former.acknowledged && self.may_be_relayed_to(*peer))?;
        Some((mac, peer, former.sequence))
    }

    /// Relays a packet that was caught here, behind what waits. Gives it back where there is no way.
    pub(super) fn relay_caught(&mut self, address: IpAddr, packet: Vec<u8>) -> Option<Vec<u8>> {
        let Some((mac, peer, sequence)) = self.relay_way(address) else { return Some(packet) };
        self.relay_waiting(address);
        self.send_relay(mac, peer, sequence, 0, packet);
        None
    }

    fn send_relay(&mut self, mac: Mac, peer: Ipv6Addr, sequence: u32, hops: u8, packet: Vec<u8>) {
        if let Some(former) = self.former.get_mut(&mac) {
            former.relayed = Some(self.now);
            if let Some(header) = ip::parse(&packet).filter(|_| hops == 0) {
                former.caught = Some((self.now, header.source));
            }
        }
        self.timings.relayed(mac, false);
        self.timings.went_on(self.now, mac, false);
        self.counters.add(Counter::RelaySent);
        self.send(IntercomDestination::Unicast(peer), Body::Relay { hops, sequence, packet });
    }

    /// Relays what waits for an address, in its order, where there is a way now.
    pub(super) fn relay_waiting(&mut self, address: IpAddr) {
        if !self.searches.is_searched(address) || self.served_client(address).is_some() {
            return;
        }
        let Some((mac, peer, sequence)) = self.relay_way(address) else { return };
        while let Some((packet, hops)) = self.searches.take(address) {
            if hops > MAX_CHAIN {
                self.counters.add(Counter::DropRelayHops);
                continue;
            }
            self.counters.add(Counter::QueueReleased);
            self.timings.buffered(mac, false);
            self.send_relay(mac, peer, sequence, hops, packet);
        }
        self.rearm_search(address);
    }

    /// The node that a client was handed to has acknowledged it: what waits for the client follows it.
    pub(super) fn relay_begins(&mut self, mac: Mac, peer: Ipv6Addr) {
        let Some(former) = self.former.get_mut(&mac).filter(|former| former.handed_to == Some(peer)) else {
            return;
        };
        former.acknowledged = true;
        self.timings.ready(self.now, mac, false);
        for address in former.record.addresses.keys().copied().collect::<Vec<_>>() {
            self.relay_waiting(address);
        }
    }

    /// A node that no claim of this run was answered by relays to an address. Where it was adopted, and the client has shown since that it
    /// is here, the earlier run may have claimed it from there: the node is asked.
    fn ask_about_adopted(&mut self, mac: Mac, address: IpAddr, node: Ipv6Addr) {
        let Some(client) = self.clients.get(&mac) else { return };
        let adopted = client
            .addresses
            .get(&address)
            .is_some_and(|entry| entry.source == Source::Adoption && entry.state == AddressState::Active);
        let recently = self.now.since(client.since) < ORIGIN_AGE;
        if adopted && recently && self.peers.understands_tails(node) && self.origins.ask(self.now, mac, node)
        {
            self.send_claim(mac, Some(node));
        }
    }

    /// A RELAY has come.
    pub(super) fn relay_received(
        &mut self,
        sender: Ipv6Addr,
        hops: u8,
        sequence: u32,
        packet: Vec<u8>,
    ) -> Result<(), Counter> {
        let header = ip::parse(&packet).ok_or(Counter::DropRelayNoPacket)?;
        let address = header.destination;
        if !self.is_routable(address) {
            return Err(Counter::DropRelayForbidden);
        }
        let served = self.served_client(address).map(|client| client.mac);
        // One that has the address, but not in use, is as good as gone.
        let known = self.holders.get(&address).or_else(|| self.former_holders.get(&address)).copied();
        let mac = served.or(known).ok_or(Counter::DropRelayUnknown)?;
        if !self.origins.entitled(self.now, mac, sender) {
            self.ask_about_adopted(mac, address, sender);
            return Err(Counter::DropRelayUnclaimed);
        }
        self.counters.add(Counter::RelayReceived);
        if let Some(client) = self.clients.get_mut(&mac) {
            // What told the number of this stay may have come too late for it.
            client.sequence = client.sequence.max(sequence);
        }
        if served.is_some() {
            self.timings.relayed(mac, true);
            if self.is_reached_here(address) && !self.searches.is_searched(address) {
                self.counters.add(Counter::RelayInjected);
                self.timings.went_on(self.now, mac, true);
                self.act(Action::ReleasePacket(packet));
            } else {
                self.timings.buffered(mac, true);
                self.wait_for(address, packet, hops.saturating_add(1));
            }
            return Ok(());
        }
        if hops >= MAX_CHAIN {
            return Err(Counter::DropRelayHops);
        }
        if let Some(former) = self.former.get_mut(&mac) {
            if former.handed_to == Some(sender) && former.sequence <= sequence {
                // Each believes that the other has it, and its news is newer than ours: it is sought.
                (former.handed_to, former.acknowledged) = (None, false);
            }
            former.sequence = former.sequence.max(sequence.saturating_add(1));
        }
        match self.relay_way(address) {
            Some((mac, peer, sequence)) => {
                self.relay_waiting(address);
                self.counters.add(Counter::RelayPassedOn);
                self.send_relay(mac, peer, sequence, hops.saturating_add(1), packet);
            }
            // As one that was caught here: it is expected back, or sought.
            None => self.wait_for(address, packet, hops.saturating_add(1)),
        }
        Ok(())
    }
}
