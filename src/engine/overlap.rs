//! How long a drained route stands: for the overlap after its client left, and longer where the client walks on meanwhile. The newest ends
//! first.
//!
//! ```text
//!       to B    to C    to D                  C ends    B ends    A ends
//!  A ====|-------|-------|----------------------|---------|---------|
//!  B      =======|-------|----------------------|---------|
//!  C              =======|----------------------|
//!  D                      ================================================
//!                        |<----- overlap ------>|< margin>|< margin>|
//! ```
//! While C drains it announces a way of its own and not the one to D. A node whose drained route ends meanwhile has nothing but its neighbours'
//! drained routes to go by, and one of them may be over: after the end of A's, A announces the way through B, which B ignores for the router id is its
//! own (bird 2.0.12 and babeld 1.14 do so), and B goes on believing that A has one. The two send packets to and fro until
//! C's has ended and that is known. Where clients stay for a second each, that befell every third walk: for up to 2 s with bird2, 15 s with babeld 1.14.
//! Where the newest ends first, what is left leads on.
//!
//! So a node that hands a client over tells the nodes it has it from, and these tell theirs: an INFO from memory, without addresses, with the number
//! of the new stay, and HOPS, how often it was told on. It is said again with the ACK, and not acknowledged: where it is lost, routes end as if the
//! client had stayed.

use std::net::Ipv6Addr;
use std::time::Duration;

use super::Engine;
use super::output::IntercomDestination;
use super::stats::Counter;
use crate::net::Mac;
use crate::wire::intercom::{Body, Flags, Tail};

/// How many former nodes, counted from the newest, wait for the later ones.
const MAX_RANK: u8 = 8;
/// Nodes that a packet or a claim visits at most, from former node to former node, on its way to
/// the client. While the first node drains, the client may have gone on for nine overlaps: with 16
/// nodes one each six seconds. It also ends what circles between nodes that each believe that the
/// other one has the client.
pub(super) const MAX_CHAIN: u8 = 16;
/// Part of the overlap by which a route outlasts the next newer one. Bird tells of a change within a second, babeld within four: a
/// quarter of 10 s was too short for it now and then.
const MARGIN: u32 = 2;
/// Nodes that are told at once.
const MAX_TOLD: usize = 4;

impl Engine {
    /// How long routes are drained for a client that `peer` has.
    pub(super) fn overlap(&self, peer: Ipv6Addr) -> Duration {
        let tunables = &self.config.tunables;
        if self.peers.accepts_relay(peer) { tunables.overlap } else { tunables.overlap_without_relay }
    }

    /// The longest time for which a route may be drained, however the client walks.
    fn longest_overlap(&self) -> Duration {
        self.config.tunables.overlap.saturating_mul(u32::from(MAX_RANK) + 1)
    }

    /// A client that was here is with `peer` now: the nodes that we have it from are told.
    pub(super) fn tell_that_it_moved_on(&mut self, mac: Mac, peer: Ipv6Addr) {
        let Some(sequence) = self.former.get(&mac).map(|former| former.sequence) else { return };
        self.tell_predecessors(mac, peer, sequence, 0);
    }

    fn tell_predecessors(&mut self, mac: Mac, successor: Ipv6Addr, sequence: u32, hops: u8) {
        let before = self.origins.within(self.now, mac, self.longest_overlap());
        let told = before.filter(|node| *node != successor && self.peers.understands_tails(*node));
        for node in told.take(MAX_TOLD).collect::<Vec<_>>() {
            let (sequence, hops) = (Some(sequence), Some(hops));
            let tail = Tail { sequence, hops, flags: Flags::FROM_MEMORY, ..Tail::default() };
            let body = Body::Info { plat: None, client: mac, addresses: Vec::new(), tail };
            self.counters.add(Counter::InfoSent);
            self.send(IntercomDestination::Unicast(node), body);
        }
    }

    /// `peer`, which a client was handed to, tells that the client has gone on from there: what is drained for it here outlasts what is drained
    /// there. Nothing else is believed of it.
    pub(super) fn moved_on(&mut self, peer: Ipv6Addr, mac: Mac, tail: Tail) {
        let (longest, overlap) = (self.longest_overlap(), self.config.tunables.overlap);
        let Some(former) = self.former.get_mut(&mac) else { return };
        let (sequence, rank) = (tail.sequence.unwrap_or(0), tail.hops.unwrap_or(0).saturating_add(1));
        if sequence <= former.sequence.max(former.heard_of) || rank > MAX_RANK {
            return;
        }
        former.heard_of = sequence;
        let margin = overlap.saturating_mul(u32::from(rank)) / MARGIN;
        let until = (self.now + overlap + margin).min(former.since + longest);
        let ours = former.record.addresses.keys().filter(|a| self.former_holders.get(a) == Some(&mac));
        let sooner = ours.copied().filter(|a| self.drained.get(a).is_some_and(|ends| *ends < until));
        for address in sooner.collect::<Vec<_>>() {
            self.drain(address, until.since(self.now));
        }
        self.tell_predecessors(mac, peer, sequence, rank);
    }
}
