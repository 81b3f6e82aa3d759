//! The intercom as the engine sees it: what is believed of a datagram, what is passed on, how one is sent.

use std::net::{IpAddr, Ipv6Addr};

use super::Engine;
use super::flood::Novelty;
use super::input::IntercomReceived;
use super::nodes::Waiting;
use super::output::{Action, IntercomDestination};
use super::stats::Counter;
use crate::net::{Mac, is_host_address, is_link_local};
use crate::wire::intercom::{self, Body, Capabilities, Flags, Packet, Tail};

/// What this node announces.
pub(super) const OUR_CAPABILITIES: Capabilities = Capabilities(Capabilities::TAILS.0 | Capabilities::RELAY.0);

/// CLAIMs forwarded for one sender per second, as a multiple of `flood_rate`: a thousand clients may move at once.
const CLAIM_FLOOD_FACTOR: u32 = 10;

impl Engine {
    pub(super) fn intercom_received(&mut self, received: IntercomReceived) {
        if let Err(reason) = self.intercom_accepted(received) {
            self.counters.add(reason);
        }
    }

    /// Takes a datagram in, or names the reason why not. The rules are those of
    /// [`nodes`](super::nodes).
    fn intercom_accepted(&mut self, received: IntercomReceived) -> Result<(), Counter> {
        let IntercomReceived { interface, source, port, destination, packet, datagram } = received;
        if !self.interfaces.is_mesh(interface) {
            return Err(Counter::DropNotMeshInterface);
        }
        let Packet { sender, capabilities, body, .. } = packet.map_err(Counter::from)?;
        if port != intercom::PORT {
            return Err(Counter::DropBadPort);
        }
        let source_bad = source.is_multicast() || source.is_unspecified();
        if source_bad || !is_host_address(IpAddr::V6(sender)) || is_link_local(IpAddr::V6(sender)) {
            return Err(Counter::DropBadSender);
        }
        if [sender, source].contains(&self.config.node_address) {
            return Err(Counter::DropOwnPacket);
        }
        if self.is_of_client(sender) || self.is_of_client(source) {
            return Err(Counter::DropNotANode);
        }
        if destination.is_multicast() {
            self.peers.heard(self.now, sender, capabilities, self.config.tunables.max_peers);
            return self.flood_received(sender, body, datagram);
        }
        let passed_on = matches!(&body, Body::Claim { tail, .. } if tail.hops.is_some());
        if source != sender && !passed_on {
            return Err(Counter::DropForgedSender);
        }
        match self.sent_by_node(sender, source, Waiting::Unicast(capabilities, body))? {
            Some(what) => self.believed(sender, what),
            None => Ok(()),
        }
    }

    /// A datagram that a node has sent. One that waited until that was known is flooded or unicast
    /// as it was.
    pub(super) fn believed(&mut self, sender: Ipv6Addr, what: Waiting) -> Result<(), Counter> {
        match what {
            Waiting::Unicast(capabilities, body) => {
                self.peers.heard(self.now, sender, capabilities, self.config.tunables.max_peers);
                self.unicast_received(sender, body)
            }
            Waiting::Flooded { client, tail, datagram } => {
                if self.claim_received(sender, client, tail, true) {
                    self.forward_flood(datagram);
                }
                Ok(())
            }
        }
    }

    /// A flooded packet: never twice, never more than its sender may, and on to the others unless it was answered here.
    fn flood_received(&mut self, sender: Ipv6Addr, body: Body, datagram: Vec<u8>) -> Result<(), Counter> {
        let tunables = &self.config.tunables;
        let (age, limit, rate) = (tunables.seen_flood_age, tunables.max_seen_floods, tunables.flood_rate);
        match self.seen_floods.check(self.now, intercom::flood_identity(&datagram), age, limit) {
            Novelty::New => {}
            Novelty::Duplicate => return Err(Counter::DropDuplicate),
            Novelty::Full => return Err(Counter::DropFloodTableFull),
        }
        // It was heard just now, so it is there.
        let Some(peer) = self.peers.get_mut(sender) else { return Err(Counter::DropFloodRate) };
        match body {
            Body::Seek { address, tail } => {
                if !peer.seeks.take(self.now, rate) {
                    return Err(Counter::DropFloodRate);
                }
                self.count(Counter::SeekReceived, tail);
                if self.seek_received(sender, address) {
                    self.forward_flood(datagram);
                }
                Ok(())
            }
            Body::Claim { client, tail } => {
                if !peer.claims.take(self.now, rate.saturating_mul(CLAIM_FLOOD_FACTOR)) {
                    return Err(Counter::DropFloodRate);
                }
                self.count(Counter::ClaimReceived, tail);
                self.checked_client(client)?;
                self.flooded_claim_received(sender, client, tail, datagram)
            }
            Body::Info { .. } | Body::Ack { .. } | Body::Relay { .. } => {
                Err(Counter::DropMulticastOnlyUnicast)
            }
        }
    }

    /// A flooded claim. For a client that is known here it counts only from a node. Other nodes
    /// pass it on in any case.
    fn flooded_claim_received(
        &mut self,
        sender: Ipv6Addr,
        client: Mac,
        tail: Tail,
        datagram: Vec<u8>,
    ) -> Result<(), Counter> {
        if !self.clients.contains_key(&client) && !self.former.contains_key(&client) {
            return self.believed(sender, Waiting::Flooded { client, tail, datagram });
        }
        let what = Waiting::Flooded { client, tail, datagram: datagram.clone() };
        match self.sent_by_node(sender, sender, what) {
            Ok(Some(what)) => self.believed(sender, what),
            Ok(None) => Ok(()),
            Err(reason) => {
                self.forward_flood(datagram);
                Err(reason)
            }
        }
    }

    /// Sends a flooded packet on, where it may go further.
    pub(super) fn forward_flood(&mut self, mut datagram: Vec<u8>) {
        if !intercom::decrement_ttl(&mut datagram) {
            return;
        }
        self.counters.add(Counter::FloodForwarded);
        for interface in self.interfaces.mesh().collect::<Vec<_>>() {
            let destination = IntercomDestination::Mesh(interface);
            self.act(Action::SendIntercom { destination, datagram: datagram.clone() });
        }
    }

    /// A unicast packet: handling is idempotent, so it is never taken for a duplicate (a C daemon's nonce is constant).
    fn unicast_received(&mut self, sender: Ipv6Addr, body: Body) -> Result<(), Counter> {
        match body {
            Body::Seek { address, tail } => {
                self.count(Counter::SeekReceived, tail);
                self.seek_received(sender, address);
            }
            Body::Claim { client, tail } => {
                self.count(Counter::ClaimReceived, tail);
                self.checked_client(client)?;
                self.claim_received(sender, client, tail, false);
            }
            Body::Info { plat: _, client, addresses, tail } => {
                self.count(Counter::InfoReceived, tail);
                self.checked_client(client)?;
                return self.info_received(sender, client, &addresses, tail);
            }
            Body::Ack { client, tail } => {
                self.count(Counter::AckReceived, tail);
                self.ack_received(sender, client, tail);
            }
            Body::Relay { hops, sequence, packet } => {
                return self.relay_received(sender, hops, sequence, packet);
            }
        }
        Ok(())
    }

    fn info_received(
        &mut self,
        sender: Ipv6Addr,
        mac: Mac,
        addresses: &[Ipv6Addr],
        tail: Tail,
    ) -> Result<(), Counter> {
        // The PLAT prefix of a peer is of no use to us, and never overwrites our own (the C daemon's does).
        let ours = self.clients.contains_key(&mac) || self.former.contains_key(&mac);
        if self.info_for_search(sender, addresses) && !ours {
            return Ok(());
        }
        let repeated = self.is_repetition(sender, mac, tail);
        if !self.info_for_claim(sender, mac, addresses, tail) {
            return if ours { Ok(()) } else { Err(Counter::InfoUnexpected) };
        }
        // Which INFO it was: the one that gave the client, or the one that refused it.
        let acknowledged = Tail { flags: Flags(tail.flags.0 & Flags::REFUSED.0), ..Tail::default() };
        for _ in 0..if repeated { 2 } else { 1 } {
            self.counters.add(Counter::AckSent);
            self.send(IntercomDestination::Unicast(sender), Body::Ack { client: mac, tail: acknowledged });
        }
        Ok(())
    }

    /// Whether an INFO says again what has settled our claim: then our ACK was lost, most likely, and packets wait for the next one. That is
    /// sent twice, for a round trip in which either packet may be lost costs more than an ACK.
    fn is_repetition(&self, sender: Ipv6Addr, mac: Mac, tail: Tail) -> bool {
        let settled = self.clients.get(&mac).is_some_and(|client| client.is_settled());
        let from_it = settled && self.origins.since(mac, sender).is_some();
        from_it && self.peers.understands_tails(sender) && !tail.flags.has(Flags::FROM_MEMORY)
    }

    fn count(&mut self, counter: Counter, tail: Tail) {
        self.counters.add(counter);
        if tail.broken {
            self.counters.add(Counter::TailBroken);
        }
    }

    fn checked_client(&self, mac: Mac) -> Result<(), Counter> {
        if mac.is_unicast() { Ok(()) } else { Err(Counter::DropBadClient) }
    }

    fn peers_capabilities(&self, node: Ipv6Addr) -> Capabilities {
        self.peers.get(node).map_or(Capabilities::default(), |peer| peer.capabilities)
    }

    /// Sends a packet of our own, with a fresh nonce.
    pub(super) fn send(&mut self, destination: IntercomDestination, body: Body) {
        self.send_for(self.config.node_address, destination, body);
    }

    /// Floods a packet of our own: once on every mesh interface, with the same nonce, so that a node which hears it twice knows.
    pub(super) fn flood(&mut self, body: Body) {
        let (capabilities, sender) = (OUR_CAPABILITIES, self.config.node_address);
        let packet =
            Packet { ttl: intercom::TTL_FLOOD, capabilities, nonce: self.random.nonce(), sender, body };
        let datagram = intercom::emit(&packet);
        for interface in self.interfaces.mesh().collect::<Vec<_>>() {
            let destination = IntercomDestination::Mesh(interface);
            self.act(Action::SendIntercom { destination, datagram: datagram.clone() });
        }
    }

    /// Sends a packet in the name of `sender`: a claim that is passed on, whose answer must go to the claimer.
    pub(super) fn send_for(&mut self, sender: Ipv6Addr, destination: IntercomDestination, body: Body) {
        let capabilities = if sender == self.config.node_address {
            OUR_CAPABILITIES
        } else {
            self.peers_capabilities(sender)
        };
        let ttl = match destination {
            IntercomDestination::Unicast(_) => intercom::TTL_UNICAST,
            IntercomDestination::Mesh(_) => intercom::TTL_FLOOD,
        };
        let packet = Packet { ttl, capabilities, nonce: self.random.nonce(), sender, body };
        let datagram = intercom::emit(&packet);
        self.act(Action::SendIntercom { destination, datagram });
    }
}
