//! What took how long in the last handovers, and how many packets took the way over the other node.
//!
//! One entry for each client and direction, the newest, and a bounded number of them: who asks finds the numbers of a handover under its
//! client as long as no later ones have taken the place.

use std::collections::BTreeMap;

use super::Engine;
use super::output::Direction;
use crate::net::Mac;
use crate::time::Timestamp;

/// The times of one handover and its packets. Times are of this node's clock; `None` where it has not come to that, or where it is the
/// other node's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Timing {
    /// Incoming: the first evidence of the client. Outgoing: the CLAIM was read.
    pub began: Timestamp,
    /// Incoming: CLAIM was first sent.
    pub claim: Option<Timestamp>,
    /// Incoming: INFO was read. Outgoing: INFO was sent, behind the orders to drain the routes.
    pub info: Timestamp,
    /// Incoming: the kernel had acknowledged route and neighbour entry of every address that was handed over. Outgoing: the new node had
    /// acknowledged the client.
    pub ready: Option<Timestamp>,
    /// The first packet was relayed (outgoing) or given to the client's kernel route (incoming).
    pub first_packet: Option<Timestamp>,
    /// Packets relayed to the other node or by it.
    pub relayed: u32,
    /// Those of them that had to wait here.
    pub buffered: u32,
}

impl Timing {
    fn new(began: Timestamp, claim: Option<Timestamp>, info: Timestamp) -> Self {
        Self { began, claim, info, ready: None, first_packet: None, relayed: 0, buffered: 0 }
    }
}

/// The timings of the last handovers.
#[derive(Debug, Default)]
pub(super) struct Timings(BTreeMap<(Mac, bool), Timing>);

impl Timings {
    /// Puts a timing in the place of the client's earlier one, or of the oldest, and gives that.
    fn begin(
        &mut self,
        mac: Mac,
        incoming: bool,
        timing: Timing,
        limit: usize,
    ) -> Option<((Mac, bool), Timing)> {
        let key = (mac, incoming);
        let mut replaced = self.0.remove(&key).map(|earlier| (key, earlier));
        if self.0.len() >= limit.max(1) {
            let oldest = self.0.iter().min_by_key(|(_, timing)| timing.info).map(|(key, _)| *key);
            replaced = oldest.and_then(|oldest| self.0.remove_entry(&oldest));
        }
        self.0.insert(key, timing);
        replaced
    }

    /// A packet waits.
    pub(super) fn buffered(&mut self, mac: Mac, incoming: bool) {
        if let Some(timing) = self.0.get_mut(&(mac, incoming)) {
            timing.buffered = timing.buffered.saturating_add(1);
        }
    }

    /// A packet was relayed to us or to another node.
    pub(super) fn relayed(&mut self, mac: Mac, incoming: bool) {
        if let Some(timing) = self.0.get_mut(&(mac, incoming)) {
            timing.relayed = timing.relayed.saturating_add(1);
        }
    }

    /// A packet went on: to the other node, or to the client.
    pub(super) fn went_on(&mut self, now: Timestamp, mac: Mac, incoming: bool) {
        if let Some(timing) = self.0.get_mut(&(mac, incoming)) {
            timing.first_packet.get_or_insert(now);
        }
    }

    /// The handover is where packets can go on.
    pub(super) fn ready(&mut self, now: Timestamp, mac: Mac, incoming: bool) {
        if let Some(timing) = self.0.get_mut(&(mac, incoming)) {
            timing.ready.get_or_insert(now);
        }
    }

    /// Whether it is not there yet.
    pub(super) fn awaits(&self, mac: Mac) -> bool {
        self.0.get(&(mac, true)).is_some_and(|timing| timing.ready.is_none())
    }
}

impl Engine {
    /// The times of a client's last handover in this direction, where they are still known.
    pub fn handover_timing(&self, client: Mac, direction: Direction) -> Option<&Timing> {
        self.timings.0.get(&(client, direction == Direction::Incoming))
    }

    /// A client came: `began` is the first evidence of it.
    pub(super) fn timing_incoming(&mut self, mac: Mac, began: Timestamp, claim: Option<Timestamp>) {
        self.timing_begins(mac, true, Timing::new(began, claim, self.now));
        self.timing_routes(mac);
    }

    /// A client goes.
    pub(super) fn timing_outgoing(&mut self, mac: Mac) {
        self.timing_begins(mac, false, Timing::new(self.now, None, self.now));
    }

    fn timing_begins(&mut self, mac: Mac, incoming: bool, timing: Timing) {
        let replaced = self.timings.begin(mac, incoming, timing, self.config.tunables.max_timings);
        if let Some(((client, incoming), earlier)) = replaced {
            let direction = if incoming { Direction::Incoming } else { Direction::Outgoing };
            self.history.measured(client, direction, earlier);
        }
    }

    /// Something was acknowledged by the kernel: perhaps it was the last thing.
    pub(super) fn timing_routes(&mut self, mac: Mac) {
        if !self.timings.awaits(mac) {
            return;
        }
        let Some(client) = self.clients.get(&mac) else { return };
        let mut routed = client.routed().filter_map(|address| client.addresses.get(&address));
        if routed.all(|entry| entry.route_stands && entry.neighbour_stands) {
            self.timings.ready(self.now, mac, true);
        }
    }
}
