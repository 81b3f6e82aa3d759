//! A client goes to another node: their CLAIM, our INFO until ACK, and the memory of clients that were here.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Engine;
use super::client::{Client, Record};
use super::handover::MAX_TRANSMISSIONS;
use super::history::{Handover, Outcome};
use super::output::{Action, Direction, IntercomDestination, LeaveReason};
use super::overlap::MAX_CHAIN;
use super::presence::HANDOVER_ECHO;
use super::relay::RELAY_IDLE;
use super::stats::Counter;
use super::timers::Timer;
use crate::net::{IfIndex, Mac, is_link_local};
use crate::time::Timestamp;
use crate::wire::intercom::{Body, Flags, Plat, Tail};

/// An INFO with five or more addresses crashes a C daemon.
const MAX_ADDRESSES_TO_C: usize = 4;
/// At this transmission of an INFO that stays unanswered the client is asked whether it is still here: an old claim that was read late may
/// have given it away.
const RECHECK_AT: u8 = 4;
/// A claim whose evidence is older than ours by more than this is a late or repeated one: the client has come back since.
const OUTDATED_AFTER: Duration = Duration::from_secs(1);
/// A client that is here answers a probe within this time; the second retransmission of a claim comes later.
const ANSWER_TIME: Duration = Duration::from_millis(10);
/// And what it answered holds for this long: two floods of a claim are a second apart.
const ASKED_AGE: Duration = Duration::from_millis(1500);
/// Ages closer than this may be told apart by nothing but the way of the packet and the readers' haste.
const CLOSE_AGES_MS: u32 = 5;

/// What to do about a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// Hand the client over.
    Yield,
    /// Ask the client first; the claim will be repeated.
    Ask,
    /// Go on serving or claiming it.
    Keep,
    /// The client was asked a moment ago and may still answer; the claim will be repeated.
    Wait,
}

/// A client that was here.
#[derive(Clone, Debug)]
pub(super) struct Former {
    /// What is known of it.
    pub(super) record: Record,
    /// Where it was.
    pub(super) interface: IfIndex,
    /// The node it was handed to, where it was claimed.
    pub(super) handed_to: Option<Ipv6Addr>,
    /// The number of its stay there, as far as is known.
    pub(super) sequence: u32,
    /// When its stay here began, and when it left.
    pub(super) began: Timestamp,
    pub(super) since: Timestamp,
    /// Whether that node has acknowledged that the client is there.
    pub(super) acknowledged: bool,
    /// When a packet for it was last relayed.
    pub(super) relayed: Option<Timestamp>,
    /// When a packet for it was last caught here that no other node had relayed, and its source.
    pub(super) caught: Option<(Timestamp, IpAddr)>,
    /// When a host route to its node-client address last appeared or changed.
    pub(super) routed: Option<Timestamp>,
    /// The number of the newest stay beyond that node of which we were told.
    pub(super) heard_of: u32,
}

/// An INFO that is not acknowledged yet.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    record: Record,
    sequence: u32,
    /// It says that the client stays here.
    refused: bool,
    /// Transmissions, and how many of them repeated claims asked for.
    sent: u8,
    asked: u8,
    last_sent: Timestamp,
    started: Timestamp,
}

/// What a map by client and node has of a client.
pub(super) fn by_client(mac: Mac) -> RangeInclusive<(Mac, Ipv6Addr)> {
    (mac, Ipv6Addr::UNSPECIFIED)..=(mac, Ipv6Addr::from_bits(u128::MAX))
}

impl Outgoing {
    /// The handover that ends now.
    fn handover(&self, mac: Mac, peer: Ipv6Addr, now: Timestamp) -> Handover {
        let (addresses, duration) = (self.record.addresses.len(), now.since(self.started));
        Handover::completed(mac, Direction::Outgoing, peer, addresses, duration)
    }
}

impl Engine {
    /// Remembers a client that leaves, and for how long: `former_age`, as the C daemon does.
    pub(super) fn remember(&mut self, client: &Client, handed_to: Option<Ipv6Addr>) {
        let limit = self.config.tunables.max_former;
        if limit == 0 {
            return;
        }
        if self.former.len() >= limit && !self.former.contains_key(&client.mac) {
            let oldest = self.former.iter().min_by_key(|(_, former)| former.since).map(|(mac, _)| *mac);
            if let Some(oldest) = oldest {
                self.forget(oldest);
            }
        }
        let known = client.addresses.iter().filter(|(address, _)| !is_link_local(**address));
        let record = Record {
            last_seen: client.last_seen,
            addresses: known.map(|(address, entry)| (*address, entry.last_seen)).collect(),
        };
        let sequence = client.sequence.saturating_add(u32::from(handed_to.is_some()));
        let former = Former {
            record,
            interface: client.interface,
            handed_to,
            sequence,
            began: client.since,
            since: self.now,
            acknowledged: false,
            relayed: None,
            caught: None,
            routed: None,
            heard_of: 0,
        };
        self.forget(client.mac);
        for address in former.record.addresses.keys() {
            self.former_holders.insert(*address, client.mac);
        }
        self.former.insert(client.mac, former);
        self.set_timer(Timer::Former(client.mac), self.now + self.config.tunables.former_age);
    }

    /// A node tells late what it had handed over for a stay that has ended here: its addresses, and the number of that stay.
    pub(super) fn remember_more(&mut self, mac: Mac, addresses: Vec<IpAddr>, sequence: u32) {
        let limit = self.config.tunables.max_addresses;
        let Some(former) = self.former.get_mut(&mac) else { return };
        former.sequence = former.sequence.max(sequence.saturating_add(1));
        for address in addresses {
            let known = &mut former.record.addresses;
            if known.contains_key(&address)
                || known.len() >= limit
                || self.former_holders.contains_key(&address)
            {
                continue;
            }
            known.insert(address, former.began);
            self.former_holders.insert(address, mac);
        }
    }

    /// The client is back: what was remembered, which is memory no longer.
    pub(super) fn recall(&mut self, mac: Mac) -> Option<Former> {
        let peers: Vec<Ipv6Addr> = self.outgoing_of(mac).collect();
        for peer in peers {
            self.outgoing.remove(&(mac, peer));
            self.timers.clear(&Timer::Info(mac, peer));
        }
        self.forget(mac)
    }

    fn forget(&mut self, mac: Mac) -> Option<Former> {
        self.timers.clear(&Timer::Former(mac));
        self.timers.clear(&Timer::Recheck(mac));
        let former = self.former.remove(&mac)?;
        for address in former.record.addresses.keys() {
            if self.former_holders.get(address) == Some(&mac) {
                self.former_holders.remove(address);
            }
        }
        Some(former)
    }

    pub(super) fn former_due(&mut self, mac: Mac) {
        let relayed = self.former.get(&mac).and_then(|former| former.relayed);
        if relayed.is_some_and(|at| self.now.since(at) < RELAY_IDLE) {
            // Packets still come: a route to this node stands somewhere that nobody withdraws.
            return self.set_timer(Timer::Former(mac), self.now + RELAY_IDLE);
        }
        self.forget(mac);
    }

    fn outgoing_of(&self, mac: Mac) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.outgoing.range(by_client(mac)).map(|((_, peer), _)| *peer)
    }

    /// A CLAIM has come. Returns whether a flooded one is to be forwarded.
    pub(super) fn claim_received(&mut self, peer: Ipv6Addr, mac: Mac, tail: Tail, flooded: bool) -> bool {
        if self.outgoing.get(&(mac, peer)).is_some_and(|outgoing| outgoing.refused) {
            self.info_due(mac, peer);
            return false;
        }
        if let Some(client) = self.clients.get(&mac) {
            // Who has taken the node-client address serves the client, even if a flood of its own claim is still to come.
            let serving = client.is_settled() || client.holds_node_client_address;
            let verdict =
                if serving { self.judge_claim(mac, peer, &tail) } else { self.judge_rival(mac, peer, &tail) };
            match verdict {
                Verdict::Yield if serving => self.yield_to(mac, peer, self.heard_by_claimer(&tail)),
                Verdict::Yield => self.relinquish(mac, peer),
                Verdict::Ask => self.ask_claimed_client(mac, peer),
                Verdict::Keep if serving => self.keep_from(mac, peer),
                Verdict::Wait => self.counters.add(Counter::ClaimOutdated),
                Verdict::Keep => self.counters.add(Counter::ClaimLost),
            }
            if verdict == Verdict::Yield && !serving {
                // The peer may yield to us at the same time, for an age does not count the way of the packet that says it: whoever
                // has the client finds it by asking.
                self.set_timer(Timer::Recheck(mac), self.now + HANDOVER_ECHO);
            }
            // Where we claim it ourselves, somebody else may serve it and has to hear this too.
            return !serving;
        }
        if self.outgoing.contains_key(&(mac, peer)) {
            // Our INFO was lost, or crossed with this repetition: say it again, but not more often than the peer asks.
            self.say_info(mac, peer, true);
            return false;
        }
        let Some(former) = self.former.get(&mac).cloned() else {
            self.counters.add(Counter::ClaimUnknown);
            return true;
        };
        if self.is_lost(&former) {
            self.relinquish_lost(mac, peer);
            return false;
        }
        self.send_info(mac, peer, &former.record, former.sequence, Flags::FROM_MEMORY);
        if !flooded {
            self.pass_on(peer, mac, &former, tail);
        }
        true
    }

    /// A claim for a client that is served here. A real one comes from where the client was heard last. One whose evidence is older than
    /// ours is late or repeated, unless a frame was read here late: the client itself knows, and the claimer will ask again.
    fn judge_claim(&self, mac: Mac, peer: Ipv6Addr, tail: &Tail) -> Verdict {
        let (Some(client), Some(theirs)) = (self.clients.get(&mac), self.heard_by_claimer(tail)) else {
            return Verdict::Yield;
        };
        if client.last_seen <= theirs {
            return Verdict::Yield;
        }
        if client.last_seen > theirs + OUTDATED_AFTER {
            return Verdict::Keep;
        }
        match client.asked.as_deref().filter(|(asker, at)| *asker == peer && self.now.since(*at) < ASKED_AGE)
        {
            Some((_, at)) if client.last_seen > *at => Verdict::Keep,
            Some((_, at)) if self.now.since(*at) >= ANSWER_TIME => Verdict::Yield,
            Some(_) => Verdict::Wait,
            None => Verdict::Ask,
        }
    }

    /// When a claimer heard its client last, if it says so.
    fn heard_by_claimer(&self, tail: &Tail) -> Option<Timestamp> {
        tail.age_ms.map(|age_ms| self.now.before(Duration::from_millis(u64::from(age_ms))))
    }

    /// What decides between two nodes that claim the same client at once: the higher SEQ, then the smaller AGE, then the lower node
    /// address. Where the ages are too close to tell, the client has come to the node that noticed it later.
    fn judge_rival(&self, mac: Mac, peer: Ipv6Addr, tail: &Tail) -> Verdict {
        let Some(client) = self.clients.get(&mac) else { return Verdict::Yield };
        let (their_sequence, their_age) = (tail.sequence.unwrap_or(0), tail.age_ms.unwrap_or(0));
        let our_age = self.age_ms(client.last_seen);
        let newcomer = self.age_ms(client.since) > their_age.saturating_add(CLOSE_AGES_MS);
        let theirs_wins = if their_sequence != client.sequence {
            their_sequence > client.sequence
        } else if their_age < our_age {
            true
        } else if their_age > our_age.saturating_add(CLOSE_AGES_MS) {
            false
        } else {
            newcomer || (their_age == our_age && peer < self.config.node_address)
        };
        if theirs_wins { Verdict::Yield } else { Verdict::Keep }
    }

    /// Asks a client that another node claims whether it is still here.
    pub(super) fn ask_claimed_client(&mut self, mac: Mac, peer: Ipv6Addr) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&mac) else { return };
        client.asked = Some(Box::new((peer, now)));
        let interface = client.interface;
        let addresses: Vec<_> =
            client.addresses.iter().filter(|(_, entry)| entry.state.in_use()).map(|(a, _)| *a).collect();
        self.act(Action::QueryClient { interface, client: mac });
        for address in addresses {
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
    }

    /// Hands the client over to `peer`: it drains, answers INFO, and remembers. In this order: what comes after INFO left is caught.
    pub(super) fn relinquish(&mut self, mac: Mac, peer: Ipv6Addr) {
        let Some(client) = self.clients.get(&mac) else { return };
        let record = client.record();
        let sequence = client.sequence.saturating_add(1);
        self.drain_client(mac, self.overlap(peer));
        self.inform(mac, peer, record, sequence);
        self.leave(mac, LeaveReason::Claimed, Some(peer));
        self.tell_that_it_moved_on(mac, peer);
    }

    /// A client was lost here and nobody had it since; now `peer` claims it. It gets the client, and what waits for it.
    fn relinquish_lost(&mut self, mac: Mac, peer: Ipv6Addr) {
        let overlap = self.overlap(peer);
        let now = self.now;
        let Some(former) = self.former.get_mut(&mac) else { return };
        former.handed_to = Some(peer);
        former.sequence = former.sequence.saturating_add(1);
        former.since = now;
        former.acknowledged = false;
        let (record, sequence) = (former.record.clone(), former.sequence);
        for address in record.addresses.keys().copied().filter(|a| self.is_drained(*a)).collect::<Vec<_>>() {
            self.drain(address, overlap);
        }
        self.inform(mac, peer, record, sequence);
        self.tell_that_it_moved_on(mac, peer);
    }

    /// Whether the client was lost a moment ago: its packets wait here, and no other node has had it since.
    fn is_lost(&self, former: &Former) -> bool {
        let waits = |address: &IpAddr| self.is_drained(*address) || self.searches.is_searched(*address);
        former.handed_to.is_none() && former.record.addresses.keys().any(waits)
    }

    /// Begins to send INFO, until ACK.
    fn inform(&mut self, mac: Mac, peer: Ipv6Addr, record: Record, sequence: u32) {
        let now = self.now;
        self.timing_outgoing(mac);
        if self.outgoing.len() < self.config.tunables.max_former {
            let outgoing = Outgoing {
                record,
                sequence,
                refused: false,
                sent: 0,
                asked: 0,
                last_sent: now,
                started: now,
            };
            self.outgoing.insert((mac, peer), outgoing);
            self.info_due(mac, peer);
        } else {
            self.send_info(mac, peer, &record, sequence, Flags::default());
        }
        self.look_up_peer(peer);
    }

    /// Tells a node that claims a client that the client stays here, until it acknowledges.
    pub(super) fn inform_refusal(&mut self, mac: Mac, peer: Ipv6Addr, sequence: u32) {
        let (record, now) = (Record::default(), self.now);
        if self.outgoing.len() < self.config.tunables.max_former {
            let outgoing =
                Outgoing { record, sequence, refused: true, sent: 0, asked: 0, last_sent: now, started: now };
            self.outgoing.insert((mac, peer), outgoing);
            self.info_due(mac, peer);
        } else {
            self.send_info(mac, peer, &record, sequence, Flags::REFUSED);
        }
    }

    /// An unacknowledged INFO is to be sent (again).
    pub(super) fn info_due(&mut self, mac: Mac, peer: Ipv6Addr) {
        self.say_info(mac, peer, false);
    }

    /// Sends an unacknowledged INFO. One that a repeated claim `asked` for does not make the next wait longer.
    fn say_info(&mut self, mac: Mac, peer: Ipv6Addr, asked: bool) {
        let Some(mut outgoing) = self.outgoing.remove(&(mac, peer)) else { return };
        if outgoing.sent >= MAX_TRANSMISSIONS {
            self.timers.clear(&Timer::Info(mac, peer));
            let handover = outgoing.handover(mac, peer, self.now);
            return self.handover_ended(Handover { outcome: Outcome::Unanswered, ..handover });
        }
        let flags = if outgoing.refused { Flags::REFUSED } else { Flags::default() };
        self.send_info(mac, peer, &outgoing.record, outgoing.sequence, flags);
        outgoing.sent += 1;
        outgoing.asked += u8::from(asked);
        outgoing.last_sent = self.now;
        if outgoing.sent == RECHECK_AT && !outgoing.refused {
            self.recheck_due(mac);
        }
        let wait = self.retransmit_after(outgoing.sent.saturating_sub(outgoing.asked), Some(peer));
        self.set_timer(Timer::Info(mac, peer), self.now + wait);
        self.outgoing.insert((mac, peer), outgoing);
    }

    fn send_info(&mut self, mac: Mac, peer: Ipv6Addr, record: &Record, sequence: u32, flags: Flags) {
        let ours = self.peers.understands_tails(peer);
        let limit = if ours { self.config.tunables.max_addresses } else { MAX_ADDRESSES_TO_C };
        let addresses =
            record.addresses.keys().take(limit).map(|address| self.config.v4_prefix.to_wire(*address));
        let tail = Tail {
            age_ms: Some(self.age_ms(record.last_seen)),
            sequence: Some(sequence),
            flags,
            ..Tail::default()
        };
        let plat = self.config.plat_prefix.map(|prefix| Plat { lease: 0, prefix });
        let body = Body::Info {
            plat,
            client: mac,
            addresses: addresses.collect(),
            tail: if ours { tail } else { Tail::default() },
        };
        self.counters.add(Counter::InfoSent);
        self.send(IntercomDestination::Unicast(peer), body);
    }

    /// A unicast claim reached a node that has no longer what it asks for: it goes on to the node that was given the client, never back.
    fn pass_on(&mut self, peer: Ipv6Addr, mac: Mac, former: &Former, tail: Tail) {
        let hops = tail.hops.unwrap_or(0);
        let Some(next) = former.handed_to.filter(|next| *next != peer && hops < MAX_CHAIN) else { return };
        self.counters.add(Counter::ClaimPassedOn);
        let tail = Tail { hops: Some(hops + 1), broken: false, ..tail };
        self.send_for(peer, IntercomDestination::Unicast(next), Body::Claim { client: mac, tail });
    }

    /// An ACK has come: the handover from us is complete.
    pub(super) fn ack_received(&mut self, peer: Ipv6Addr, mac: Mac, tail: Tail) {
        if self.outgoing.get(&(mac, peer)).is_some_and(|outgoing| outgoing.refused) {
            // That of the INFO before it may be on its way still.
            if tail.flags.has(Flags::REFUSED) {
                self.outgoing.remove(&(mac, peer));
                self.timers.clear(&Timer::Info(mac, peer));
            }
            return;
        }
        self.relay_begins(mac, peer);
        let Some(outgoing) = self.outgoing.remove(&(mac, peer)) else { return };
        self.tell_that_it_moved_on(mac, peer); // again: nobody acknowledges it
        self.timers.clear(&Timer::Info(mac, peer));
        self.peers.measured(self.now, peer, outgoing.started, outgoing.last_sent);
        self.counters.add(Counter::HandoverOutgoing);
        self.handover_ended(outgoing.handover(mac, peer, self.now));
    }
}
