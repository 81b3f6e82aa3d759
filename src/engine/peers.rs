//! The nodes that were heard: what they understand, how long they take to answer, how much they flood.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::time::Duration;

use super::rate::TokenBucket;
use crate::time::Timestamp;
use crate::wire::intercom::Capabilities;

/// A node that was heard.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it said it understands. One without [`Capabilities::TAILS`] is treated as a C daemon.
    pub capabilities: Capabilities,
    /// When it was last heard.
    pub last_heard: Timestamp,
    /// From a CLAIM or INFO of ours to its answer, last time.
    pub round_trip: Option<Duration>,
    pub(super) seeks: TokenBucket,
    pub(super) claims: TokenBucket,
}

/// The nodes that were heard, bounded: the one not heard for longest makes room.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: BTreeMap<Ipv6Addr, Peer>,
    /// The round trip measured last with any node, and when: the best guess for a node not measured yet.
    recent: Option<(Timestamp, Duration)>,
}

/// A round trip measured longer ago than this says nothing about the load now.
const ROUND_TRIP_AGE: Duration = Duration::from_secs(10);
/// Round trips to one node differ by this much.
const JITTER: Duration = Duration::from_millis(3);

impl Peers {
    /// Takes in that `node` was heard.
    pub(super) fn heard(&mut self, now: Timestamp, node: Ipv6Addr, capabilities: Capabilities, limit: usize) {
        if !self.peers.contains_key(&node) && self.peers.len() >= limit.max(1) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.last_heard).map(|(node, _)| *node);
            oldest.and_then(|oldest| self.peers.remove(&oldest));
        }
        let peer = self.peers.entry(node).or_insert_with(|| Peer {
            capabilities,
            last_heard: now,
            round_trip: None,
            seeks: TokenBucket::new(now),
            claims: TokenBucket::new(now),
        });
        peer.capabilities = capabilities;
        peer.last_heard = now;
    }

    /// Takes in when `node` was asked first and last, of which it has answered one.
    ///
    /// An answer does not say which. One that comes as soon after the last as the node has answered before is that one's: those before
    /// it were lost, and nothing new is known. Otherwise it is slow: reckoned from the last one alone a round trip longer than the
    /// schedule would never be seen. From the first one a lost packet would slow down what follows, so no more than a tenth of a
    /// second for it.
    pub(super) fn measured(&mut self, now: Timestamp, node: Ipv6Addr, first: Timestamp, last: Timestamp) {
        let (shortest, longest) = (now.since(last), now.since(first));
        let before = self.peers.get(&node).and_then(|peer| peer.round_trip);
        let as_before =
            before.is_some_and(|before| shortest <= before.saturating_add(before / 2).saturating_add(JITTER));
        if first < last && as_before {
            return;
        }
        let round_trip = shortest.max(longest.min(Duration::from_millis(100)));
        self.recent = Some((now, round_trip));
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.round_trip = Some(round_trip);
        }
    }

    /// The least time to wait before asking `node` again: what it took last, and half as much again for its neighbours' noise.
    pub(super) fn patience(&self, now: Timestamp, node: Option<Ipv6Addr>) -> Duration {
        let of_node = node.and_then(|node| self.peers.get(&node)).and_then(|peer| peer.round_trip);
        let recent =
            self.recent.filter(|(at, _)| now.since(*at) < ROUND_TRIP_AGE).map(|(_, round_trip)| round_trip);
        let round_trip = of_node.max(recent).unwrap_or(Duration::ZERO).min(Duration::from_secs(3));
        round_trip.saturating_add(round_trip / 2)
    }

    /// Whether the node understands our extensions.
    pub(super) fn understands_tails(&self, node: Ipv6Addr) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.capabilities.has(Capabilities::TAILS))
    }

    /// Whether the node takes in RELAY packets.
    pub(super) fn accepts_relay(&self, node: Ipv6Addr) -> bool {
        let needed = Capabilities(Capabilities::TAILS.0 | Capabilities::RELAY.0);
        self.peers.get(&node).is_some_and(|peer| peer.capabilities.has(needed))
    }

    /// One of them.
    pub(super) fn get(&self, node: Ipv6Addr) -> Option<&Peer> {
        self.peers.get(&node)
    }

    /// One of them, to take of its allowance.
    pub(super) fn get_mut(&mut self, node: Ipv6Addr) -> Option<&mut Peer> {
        self.peers.get_mut(&node)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Ipv6Addr, &Peer)> + '_ {
        self.peers.iter().map(|(node, peer)| (*node, peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_peers_is_bounded_and_the_one_not_heard_for_longest_makes_room() {
        let mut peers = Peers::default();
        for n in 0..10u16 {
            let node = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n);
            peers.heard(Timestamp::from_millis(u64::from(n)), node, Capabilities::TAILS, 4);
        }
        let left: Vec<u16> = peers.iter().map(|(node, _)| node.segments()[7]).collect();
        assert_eq!(left, [6, 7, 8, 9]);
    }
}
