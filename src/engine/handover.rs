//! A client comes to this node: CLAIM until INFO, or until it is plain that nobody has it.
//!
//! ```text
//!  noticed -> Looking --host route--> (window full: Waiting ->) Claiming --INFO--> Settled
//!                \------no route---------------------------------^    \--nobody----^
//! ```
//! Unicast claims go to the node that memory names if it would pass them on, and if no host route
//! to the node-client address has appeared since. Otherwise they go to the node-client address if a
//! host route leads to it. Claims are flooded if there is neither, and if the unicast claim stays
//! unanswered for 100 ms.

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Engine;
use super::client::{Client, Record, Source, difference, merge};
use super::history::Handover;
use super::input::RouteLookup;
use super::output::{Action, Direction, IntercomDestination};
use super::stats::Counter;
use super::timers::Timer;
use crate::net::Mac;
use crate::time::Timestamp;
use crate::wire::intercom::{Body, Flags, Tail};

/// Waits between transmissions of a CLAIM or an INFO until it is answered (design.md "Handover"); the last one repeats.
pub(super) const RETRANSMISSIONS: [Duration; 9] = [
    Duration::from_millis(15),
    Duration::from_millis(25),
    Duration::from_millis(60),
    Duration::from_millis(100),
    Duration::from_millis(100),
    Duration::from_millis(100),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(300),
];
/// Transmissions of one CLAIM or INFO at most: the first and 15 retries (as the C daemon).
pub(super) const MAX_TRANSMISSIONS: u8 = 16;
/// A unicast CLAIM unanswered for this long is flooded too.
const FLOOD_AFTER: Duration = Duration::from_millis(100);
/// Floods of one claim at most, and their distance.
const MAX_FLOODS: u8 = 3;
const FLOOD_INTERVAL: Duration = Duration::from_secs(1);
/// An answer to the last transmission is awaited for this long.
const LAST_WAIT: Duration = FLOOD_INTERVAL;
/// A node needs up to this long to answer one CLAIM or INFO when many come at once: a 600 MHz router makes five kernel calls for each.
const SERVICE_TIME: Duration = Duration::from_millis(2);
const MAX_BACKLOG: Duration = Duration::from_millis(500);
/// The node-client address is taken when the first flood stayed unanswered for this long.
const TAKE_AFTER: Duration = Duration::from_millis(300);
/// A claim is answered within this time, if at all.
const CLAIM_AGE: Duration = Duration::from_secs(8);

/// How far the question is who serves the client. What only an open claim needs is in a box: nearly all stays are settled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Stay {
    /// The route to its node-client address is being looked up.
    Looking {
        /// The node that it was handed to last.
        memory: Option<Ipv6Addr>,
        /// A host route to its node-client address appeared after that: it names the serving node
        /// better.
        routed: bool,
    },
    /// A claim to `targets` waits for a place in the window.
    Waiting { targets: Box<Targets> },
    /// A claim is open.
    Claiming(Box<Claim>),
    /// We serve it.
    Settled,
}

/// Where unicast claims go: the first one to `first`, the repetitions to the two in turn. The node
/// that gave the client away does not receive what goes to the node-client address any more, and
/// the loss of its INFO would stay unnoticed; memory still names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Targets {
    first: Ipv6Addr,
    second: Option<Ipv6Addr>,
}

impl Targets {
    /// Both.
    fn all(self) -> impl Iterator<Item = Ipv6Addr> {
        [Some(self.first), self.second].into_iter().flatten()
    }

    /// Where the transmission after `sent` others goes.
    fn after(&self, sent: u8) -> Ipv6Addr {
        self.second.filter(|_| sent % 2 == 1).unwrap_or(self.first)
    }
}

/// An open claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// Where unicast claims go.
    targets: Option<Targets>,
    /// Unicast transmissions so far, and when the next one is due.
    sent: u8,
    next_unicast: Timestamp,
    /// Floods so far, and when the next one is due.
    floods: u8,
    next_flood: Timestamp,
    /// When the node-client address is taken although nobody answered.
    take_at: Timestamp,
    /// The first transmission and the last one, for the round trip.
    first_sent: Timestamp,
    last_sent: Timestamp,
}

/// The window of claims in flight: claims that were sent first less than 100 ms ago and are unanswered. A thousand clients that
/// move at once must not drown the node that has to answer.
#[derive(Debug, Default)]
pub(super) struct ClaimWindow {
    in_flight: BTreeSet<Mac>,
    waiting: VecDeque<Mac>,
}

impl Engine {
    /// A new stay begins: recalls what is known of the client and claims it.
    pub(super) fn recall_and_claim(&mut self, mac: Mac) {
        let former = self.recall(mac);
        let memory = former.as_ref().and_then(|former| former.handed_to);
        let routed = former.as_ref().is_some_and(|former| former.routed > Some(former.since));
        let Some(client) = self.clients.get_mut(&mac) else { return };
        client.sequence = former.as_ref().map_or(0, |former| former.sequence);
        if self.interfaces.mesh().next().is_none() {
            self.settle(mac);
        } else {
            client.stay = Stay::Looking { memory, routed };
            let address = self.config.node_client_prefix.node_client_address(mac);
            self.act(Action::LookupRoute(IpAddr::V6(address)));
        }
        if let Some(former) = former {
            self.addresses_told(mac, &former.record, Source::Memory);
        }
    }

    /// Merges what somebody says of a client into what we know; the difference is installed, tentatively.
    pub(super) fn addresses_told(&mut self, mac: Mac, record: &Record, source: Source) {
        let Some(known) = self.clients.get(&mac).map(|client| client.record()) else { return };
        let merged = merge(&known, record);
        for address in difference(&known, &merged).added {
            let seen = merged.addresses.get(&address).copied().unwrap_or(self.now);
            self.address_told(mac, address, seen, source);
        }
    }

    /// The kernel has told where the client's node-client address leads.
    pub(super) fn claim_route_found(&mut self, mac: Mac, found: RouteLookup) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let Stay::Looking { memory, routed } = client.stay else { return };
        // A node of our kind passes the claim on to the node that it handed the client to. It is
        // asked as long as the route may lag behind. A route that changed later is the shorter way.
        let passed_on = memory.filter(|node| self.peers.understands_tails(*node));
        let own = self.config.node_client_prefix.node_client_address(mac);
        let targets = match found {
            RouteLookup::HostRoute { .. } => match passed_on {
                Some(first) if !routed => Some(Targets { first, second: None }),
                second => Some(Targets { first: own, second }),
            },
            RouteLookup::Local | RouteLookup::Network(_) | RouteLookup::Other => {
                memory.map(|first| Targets { first, second: None })
            }
        };
        match targets {
            Some(targets) if self.claims.in_flight.len() >= self.config.tunables.max_claims_in_flight => {
                client.stay = Stay::Waiting { targets: Box::new(targets) };
                self.claims.waiting.push_back(mac);
            }
            targets => self.open_claim(mac, targets),
        }
    }

    fn open_claim(&mut self, mac: Mac, targets: Option<Targets>) {
        let now = self.now;
        let backlog = self.backlog();
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let (next_unicast, next_flood) = match targets {
            Some(_) => (now, now + FLOOD_AFTER.max(backlog)),
            None => (Timestamp::NEVER, now),
        };
        let take_at = Timestamp::NEVER;
        client.stay = Stay::Claiming(Box::new(Claim {
            targets,
            sent: 0,
            next_unicast,
            floods: 0,
            next_flood,
            take_at,
            first_sent: now,
            last_sent: now,
        }));
        if targets.is_some() {
            self.claims.in_flight.insert(mac);
        }
        self.claim_due(mac);
    }

    /// Something about an open claim is due: transmissions, the address, or the end.
    pub(super) fn claim_due(&mut self, mac: Mac) {
        let now = self.now;
        let Some(client) = self.clients.get(&mac) else { return };
        let Stay::Claiming(claim) = &client.stay else { return };
        let mut claim = **claim;
        let own = self.config.node_client_prefix.node_client_address(mac);
        if claim.take_at <= now {
            claim.take_at = Timestamp::NEVER;
            self.take_node_client_address(mac);
            claim.targets = claim.targets.and_then(|targets| match targets {
                // It would reach ourselves.
                Targets { first, second } if first == own => {
                    second.map(|first| Targets { first, second: None })
                }
                targets => Some(targets),
            });
            if claim.targets.is_none() {
                claim.next_unicast = Timestamp::NEVER;
            }
        }
        if claim.next_unicast <= now {
            if let Some(targets) = claim.targets {
                self.send_claim(mac, Some(targets.after(claim.sent)));
                claim.last_sent = now;
                claim.sent += 1;
                let again = claim.sent < MAX_TRANSMISSIONS;
                let wait = self.retransmit_after(claim.sent, None);
                claim.next_unicast = if again { now + wait } else { Timestamp::NEVER };
            }
        }
        if claim.next_flood <= now {
            self.send_claim(mac, None);
            claim.last_sent = now;
            claim.floods += 1;
            if claim.floods == 1 && !self.clients.get(&mac).is_some_and(|c| c.holds_node_client_address) {
                claim.take_at = now + TAKE_AFTER;
            }
            claim.next_flood =
                if claim.floods < MAX_FLOODS { now + FLOOD_INTERVAL } else { Timestamp::NEVER };
            self.claim_left_window(mac);
        }
        let mut next = claim.next_unicast.min(claim.next_flood).min(claim.take_at);
        if next == Timestamp::NEVER && claim.last_sent + LAST_WAIT > now {
            next = claim.last_sent + LAST_WAIT; // the last transmission may be answered, too
        }
        match self.clients.get_mut(&mac) {
            Some(client) if next < Timestamp::NEVER => {
                if let Stay::Claiming(open) = &mut client.stay {
                    **open = claim;
                }
                self.set_timer(Timer::Claim(mac), next);
            }
            _ => self.settle(mac),
        }
    }

    /// The wait after the `sent`-th transmission: the schedule, but never sooner than the node took to answer last time, and with
    /// so many unanswered ones before it, not before those can have been served.
    pub(super) fn retransmit_after(&self, sent: u8, node: Option<Ipv6Addr>) -> Duration {
        let step = usize::from(sent.saturating_sub(1)).min(RETRANSMISSIONS.len() - 1);
        RETRANSMISSIONS[step].max(self.peers.patience(self.now, node)).max(self.backlog())
    }

    /// How long a node may need for what we have asked of it.
    fn backlog(&self) -> Duration {
        let unanswered = self.claims.in_flight.len().max(self.outgoing.len());
        SERVICE_TIME
            .saturating_mul(u32::try_from(unanswered.saturating_sub(1)).unwrap_or(u32::MAX))
            .min(MAX_BACKLOG)
    }

    /// To one address, or flooded.
    pub(super) fn send_claim(&mut self, mac: Mac, target: Option<Ipv6Addr>) {
        let Some(client) = self.clients.get(&mac) else { return };
        let tail = Tail {
            age_ms: Some(self.age_ms(client.last_seen)),
            sequence: Some(client.sequence),
            ..Tail::default()
        };
        self.counters.add(Counter::ClaimSent);
        let body = Body::Claim { client: mac, tail };
        match target {
            Some(target) => self.send(IntercomDestination::Unicast(target), body),
            None => self.flood(body),
        }
    }

    /// The claim is answered, old, or void: another may take its place in the window.
    pub(super) fn claim_left_window(&mut self, mac: Mac) {
        if !self.claims.in_flight.remove(&mac) {
            return;
        }
        while let Some(next) = self.claims.waiting.pop_front() {
            if let Some(Stay::Waiting { targets }) = self.clients.get(&next).map(|client| &client.stay) {
                return self.open_claim(next, Some(**targets));
            }
        }
    }

    /// Whether an open claim for the client was sent to the node, or where it may have come to it:
    /// it was flooded, or went to the node-client address or to a node that passes it on.
    pub(super) fn has_asked(&self, client: &Client, node: Ipv6Addr) -> bool {
        let Stay::Claiming(claim) = &client.stay else { return false };
        let own = self.config.node_client_prefix.node_client_address(client.mac);
        let reached = |target| target == node || target == own || self.peers.understands_tails(target);
        claim.floods > 0 || claim.targets.is_some_and(|targets| targets.all().any(reached))
    }

    /// We serve the client: the claim ends, the node-client address is ours.
    pub(super) fn settle(&mut self, mac: Mac) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        client.stay = Stay::Settled;
        self.timers.clear(&Timer::Claim(mac));
        self.take_node_client_address(mac);
        self.claim_left_window(mac);
    }

    fn take_node_client_address(&mut self, mac: Mac) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        if !std::mem::replace(&mut client.holds_node_client_address, true) {
            self.act(Action::AddNodeClientAddress(self.config.node_client_prefix.node_client_address(mac)));
        }
    }

    /// INFO has come for a client. Returns whether it is to be acknowledged.
    ///
    /// It counts only while a claim of ours is open; one for a client that we serve, or that has left, repeats an INFO whose ACK was lost.
    pub(super) fn info_for_claim(
        &mut self,
        peer: Ipv6Addr,
        mac: Mac,
        addresses: &[Ipv6Addr],
        tail: Tail,
    ) -> bool {
        let now = self.now;
        if tail.flags.has(Flags::REFUSED) {
            return self.claim_refused(mac, peer, tail.sequence.unwrap_or(0));
        }
        let Some(client) = self.clients.get_mut(&mac) else {
            return self.info_for_former(peer, mac, addresses, tail);
        };
        if client.is_settled() {
            // It has answered the same claim as the one that settled it, or was asked: what it relays is for our client.
            let late = !tail.flags.has(Flags::FROM_MEMORY) && now.since(client.since) < CLAIM_AGE;
            if self.origins.answered(now, mac, peer) || late {
                client.sequence = client.sequence.max(tail.sequence.unwrap_or(0));
                self.origins.claimed(now, mac, peer, self.config.tunables.max_former);
            }
            return true;
        }
        let from_memory = tail.flags.has(Flags::FROM_MEMORY);
        client.sequence = client.sequence.max(tail.sequence.unwrap_or(0));
        let (arrived, mut first_sent) = (client.since, None);
        if let Stay::Claiming(claim) = &client.stay {
            first_sent = Some(claim.first_sent);
            self.peers.measured(now, peer, claim.first_sent, claim.last_sent);
        }
        let seen = now.before(Duration::from_millis(u64::from(tail.age_ms.unwrap_or(0))));
        let addresses = self.usable_addresses(addresses);
        let count = addresses.len();
        let record =
            Record { last_seen: seen, addresses: addresses.into_iter().map(|a| (a, seen)).collect() };
        self.addresses_told(mac, &record, Source::Info);
        if !from_memory {
            self.origins.claimed(now, mac, peer, self.config.tunables.max_former);
            self.timing_incoming(mac, arrived, first_sent);
            self.settle(mac);
            self.counters.add(Counter::HandoverIncoming);
            let (direction, duration) = (Direction::Incoming, now.since(arrived));
            self.handover_ended(Handover::completed(mac, direction, peer, count, duration));
            self.advertise(mac);
        }
        !from_memory
    }

    /// INFO has come for a client that has left. Where it answers the claim of that stay, late, what the node relays goes on from here.
    fn info_for_former(&mut self, peer: Ipv6Addr, mac: Mac, addresses: &[Ipv6Addr], tail: Tail) -> bool {
        let now = self.now;
        let Some(former) = self.former.get(&mac) else { return false };
        if former.handed_to == Some(peer) {
            // Who has it from us would get back what it relays.
            if tail.flags.has(Flags::FROM_MEMORY) {
                self.moved_on(peer, mac, tail);
            }
            return false;
        }
        if !tail.flags.has(Flags::FROM_MEMORY) && now.since(former.began) < CLAIM_AGE {
            self.origins.claimed(now, mac, peer, self.config.tunables.max_former);
            let usable = self.usable_addresses(addresses);
            self.remember_more(mac, usable, tail.sequence.unwrap_or(0));
        }
        true
    }

    /// The client that came from another node is told that the gateway is here. (One whose handshake is not over hears it later.)
    pub(super) fn advertise(&mut self, mac: Mac) {
        let Some(interface) = self.clients.get(&mac).map(|client| client.interface) else { return };
        if !self.is_still_arriving(mac) {
            self.act(Action::Advertise { interface, client: mac });
        }
    }

    /// The addresses of an INFO that may be used at all, no more than a client may have.
    fn usable_addresses(&mut self, addresses: &[Ipv6Addr]) -> Vec<IpAddr> {
        let mut usable = Vec::new();
        let v4_prefix = self.config.v4_prefix;
        for address in addresses.iter().map(|address| v4_prefix.from_wire(*address)) {
            if !self.is_routable(address) {
                self.counters.add(Counter::InfoAddressOutside);
            } else if usable.len() >= self.config.tunables.max_addresses {
                self.limit_reached(Counter::AddressLimit, "max_addresses");
            } else {
                usable.push(address);
            }
        }
        usable
    }
}
