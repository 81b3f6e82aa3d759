//! Both alive: another node claims a client that is still here, because somebody uses its MAC there, or by mistake.
//!
//! The client is handed over at once, for a real roamer must not wait, and asked meanwhile where it was: twice, one after the other. If both
//! are answered within [`PATIENCE`] the claim is refused and the client taken back, packets that went to the claimer included. The refused
//! node removes what it installed and tries again later, with growing distance; people are told on both sides.
//!
//! ```text
//!  CLAIM -> hand over, ask --answer--> ask again --answer--> refuse, serve on
//!                \------------- 20 ms -------\-------------> it has gone
//! ```
//! A client that is refused often is asked before it is handed over (the numbers of RFC 7432
//! section 15.1): then a claimer gains nothing while the client answers. Who does not answer here
//! is handed over as ever, so an honest roamer is never held up. Each such claim is answered: by
//! INFO or by a refusal. A C daemon knows no refusal: it gets what it claims.
//!
//! A refused node asks the client again with growing distance. A sign of life of the client ends
//! this wait at once: the client may have come in the meantime.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Engine;
use super::client::{Client, Evidence, Source};
use super::output::{Action, LeaveReason, Notice};
use super::stats::Counter;
use super::timers::Timer;
use crate::net::{IfIndex, Mac};
use crate::time::Timestamp;
use crate::wire::frame::FrameContent;

/// A client that is still here answers two questions within this time.
const PATIENCE: Duration = Duration::from_millis(20);
/// A refusal counts for this long after the claim was answered.
const REFUSAL_AGE: Duration = Duration::from_secs(1);
/// Refusals of one client within this time add up.
const MEMORY: Duration = Duration::from_secs(180);
/// After so many of them the client is asked before it is handed over.
const DAMPED_AFTER: u32 = 5;
/// The first wait of a refused node, doubled each time, and the longest one.
const BACK_OFF: Duration = Duration::from_millis(300);
const MAX_BACK_OFF: Duration = Duration::from_secs(60);
/// A sign of life ends the back-off at once, but not more often than this. It bounds what two
/// devices with one MAC cost: at most one claim, and one change of routes, each second.
const PROOF_INTERVAL: Duration = Duration::from_secs(1);

/// A client that was handed over and is being asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contest {
    peer: Ipv6Addr,
    until: Timestamp,
    port: Option<IfIndex>,
    association: Option<IfIndex>,
    /// What it is asked for.
    address: IpAddr,
    answers: u8,
}

/// A client that two nodes saw alive.
#[derive(Clone, Copy, Debug)]
struct Dispute {
    count: u32,
    last: Timestamp,
    /// Where we were refused: the client is not asked again before, and not claimed without a sign
    /// of life.
    until: Timestamp,
    /// When a sign of life last ended the back-off.
    proved: Option<Timestamp>,
}

/// All disputes.
#[derive(Debug, Default)]
pub(super) struct Contests {
    open: BTreeMap<Mac, Contest>,
    disputes: BTreeMap<Mac, Dispute>,
}

impl Contests {
    /// One more refusal of the client; gives how many there were lately.
    fn disputed(&mut self, now: Timestamp, mac: Mac, limit: usize) -> u32 {
        if self.disputes.len() >= limit && !self.disputes.contains_key(&mac) {
            self.disputes.retain(|_, dispute| now.since(dispute.last) < MEMORY);
            let oldest = self.disputes.iter().min_by_key(|(_, dispute)| dispute.last).map(|(mac, _)| *mac);
            if let Some(oldest) = oldest.filter(|_| self.disputes.len() >= limit) {
                self.disputes.remove(&oldest);
            }
        }
        let dispute =
            self.disputes.entry(mac).or_insert(Dispute { count: 0, last: now, until: now, proved: None });
        let lately = if now.since(dispute.last) < MEMORY { dispute.count } else { 0 };
        *dispute = Dispute { count: lately.saturating_add(1), last: now, until: now, proved: dispute.proved };
        dispute.count
    }

    fn is_damped(&self, now: Timestamp, mac: Mac) -> bool {
        let dispute = self.disputes.get(&mac);
        dispute.is_some_and(|d| d.count >= DAMPED_AFTER && now.since(d.last) < MEMORY)
    }
}

impl Engine {
    /// A claim for a client that is served here is to be obeyed. Whether the client may be asked meanwhile decides who claims it.
    /// `heard`: when the claimer heard the client, as it says.
    pub(super) fn yield_to(&mut self, mac: Mac, peer: Ipv6Addr, heard: Option<Timestamp>) {
        let Some(client) = self.clients.get(&mac) else { return };
        let address = client.routed().next();
        let seen_here = client.association.is_some() || client.port.is_some();
        let (port, association, interface) = (client.port, client.association, client.interface);
        let asked = address.filter(|_| seen_here && self.peers.understands_tails(peer));
        if asked.is_some() && self.contests.is_damped(self.now, mac) && !self.has_gone(mac, peer, heard) {
            return;
        }
        self.relinquish(mac, peer);
        if let Some(address) = asked {
            let until = self.now + PATIENCE;
            self.contests.open.insert(mac, Contest { peer, until, port, association, address, answers: 0 });
            if self.timers.get(&Timer::Contest).is_none() {
                self.set_timer(Timer::Contest, until);
            }
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
    }

    /// Whether a client that was disputed often has gone: it was asked, and did not answer. The claim is repeated until it is answered.
    /// An answer from before the claimer heard the client says nothing about this claim.
    fn has_gone(&mut self, mac: Mac, peer: Ipv6Addr, heard: Option<Timestamp>) -> bool {
        let Some(client) = self.clients.get(&mac) else { return true };
        let counts =
            |at: Timestamp| self.now.since(at) < REFUSAL_AGE && heard.is_none_or(|heard| heard <= at);
        let asked = client.asked.as_deref().filter(|(asker, at)| *asker == peer && counts(*at));
        match asked {
            Some((_, at)) if client.last_seen > *at => {
                self.refuse(mac, peer);
                false
            }
            Some((_, at)) => self.now.since(*at) >= PATIENCE / 2,
            None => {
                self.ask_claimed_client(mac, peer);
                false
            }
        }
    }

    /// A claim for a client that was heard here after the claimer heard it is not obeyed. It is
    /// refused if the client is disputed often: a claimer without an answer would keep its routes.
    pub(super) fn keep_from(&mut self, mac: Mac, peer: Ipv6Addr) {
        if self.contests.is_damped(self.now, mac) && self.peers.understands_tails(peer) {
            self.refuse(mac, peer);
        } else {
            self.counters.add(Counter::ClaimOutdated);
        }
    }

    /// A frame was heard: perhaps the answer of a client that was just handed over.
    pub(super) fn contest_heard(&mut self, mac: Mac, port: IfIndex, content: &FrameContent) {
        let now = self.now;
        let Some(contest) = self.contests.open.get_mut(&mac).filter(|contest| contest.until > now) else {
            return;
        };
        let here = contest.association.or(contest.port) == Some(port);
        if !here || *content != FrameContent::Uses(contest.address) {
            return;
        }
        contest.answers = contest.answers.saturating_add(1);
        let Contest { address, answers, .. } = *contest;
        if answers < 2 {
            // A frame that was read late may have passed for an answer. The next one counts.
            if let Some(interface) = self.interfaces.client_interface_of(port) {
                self.act(Action::Probe { interface, address, client: Some(mac) });
            }
        } else {
            self.take_back(mac);
        }
    }

    /// Clients that were handed over did not answer: they have gone.
    pub(super) fn contests_due(&mut self) {
        let now = self.now;
        self.contests.open.retain(|_, contest| contest.until > now);
        if !self.contests.open.is_empty() {
            self.set_timer(Timer::Contest, now + PATIENCE);
        }
    }

    /// The client is here and was never gone: everything is put back, and the claimer is told.
    fn take_back(&mut self, mac: Mac) {
        let Some(contest) = self.contests.open.remove(&mac) else { return };
        let handed = self.former.get(&mac).and_then(|former| former.handed_to) == Some(contest.peer);
        if !handed || self.clients.contains_key(&mac) {
            return;
        }
        if self.clients.len() >= self.config.tunables.max_clients {
            // Another client has its place since: it stays handed over, as one that comes anew would not be let in.
            return self.limit_reached(Counter::ClientLimit, "max_clients");
        }
        let Some(former) = self.recall(mac) else { return };
        let mut client = Client::new(mac, former.interface, Evidence::Frame, self.now);
        client.port = contest.port;
        client.association = contest.association;
        // Ours is the newer stay again.
        client.sequence = former.sequence.saturating_add(1);
        self.clients.insert(mac, Box::new(client));
        self.tell(Notice::ClientArrived { client: mac, interface: former.interface });
        self.addresses_told(mac, &former.record, Source::Memory);
        self.settle(mac);
        self.watch_client(mac);
        // What was relayed there comes back.
        self.origins.claimed(self.now, mac, contest.peer, self.config.tunables.max_former);
        self.refuse(mac, contest.peer);
    }

    /// Refuses a claim for a client that is served here.
    fn refuse(&mut self, mac: Mac, peer: Ipv6Addr) {
        let Some(sequence) = self.clients.get(&mac).map(|client| client.sequence) else { return };
        self.counters.add(Counter::ClaimRefused);
        self.contests.disputed(self.now, mac, self.config.tunables.max_former);
        self.inform_refusal(mac, peer, sequence);
        self.tell(Notice::ClientDuplicate { client: mac, peer });
    }

    /// Our claim is refused: the client is alive where it was. Returns whether the refusal is to be acknowledged.
    ///
    /// It counts from a node that the claim was sent to, and after the claim was answered for
    /// [`REFUSAL_AGE`] longer from the node that gave the client away. That node has it back, with
    /// what comes here for it. One that never gave it away has its routes still.
    pub(super) fn claim_refused(&mut self, mac: Mac, peer: Ipv6Addr, sequence: u32) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get(&mac) else {
            self.counters.add(Counter::InfoRefused);
            return self.former.contains_key(&mac);
        };
        let gave = self.origins.since(mac, peer);
        let answered = gave.is_some_and(|at| now.since(at) < REFUSAL_AGE);
        if !answered && !self.has_asked(client, peer) {
            self.counters.add(Counter::InfoUnexpected);
            return false;
        }
        self.counters.add(Counter::InfoRefused);
        let gave = gave.is_some_and(|at| at >= client.since);
        let count = self.contests.disputed(now, mac, self.config.tunables.max_former);
        let wait = BACK_OFF.saturating_mul(1 << count.saturating_sub(1).min(10)).min(MAX_BACK_OFF);
        if let Some(dispute) = self.contests.disputes.get_mut(&mac) {
            dispute.until = now + wait;
        }
        if gave {
            self.drain_client(mac, self.overlap(peer));
        }
        self.leave(mac, LeaveReason::Claimed, Some(peer));
        if let Some(former) = self.former.get_mut(&mac) {
            // By the refuser's count: what goes there must not look newer than its stay.
            former.sequence = sequence;
        }
        if gave {
            self.look_up_peer(peer);
            self.relay_begins(mac, peer);
        }
        self.set_timer(Timer::Recheck(mac), now + wait);
        self.tell(Notice::ClientDuplicate { client: mac, peer });
        true
    }

    /// Whether a sign of life of the client does not count because a claim of ours was refused a
    /// short time ago. The first one after the refusal counts: the client has come, or it has come
    /// back.
    pub(super) fn is_refused(&mut self, mac: Mac) -> bool {
        let now = self.now;
        let backing_off = |dispute: &&mut Dispute| dispute.until > now;
        let Some(dispute) = self.contests.disputes.get_mut(&mac).filter(backing_off) else { return false };
        let again = dispute.proved.map_or(now, |proved| proved + PROOF_INTERVAL);
        if again <= now {
            dispute.proved = Some(now);
            dispute.until = now;
            return false;
        }
        let again = again.min(dispute.until);
        self.counters.add(Counter::EvidenceRefused);
        if self.timers.get(&Timer::Recheck(mac)).is_none_or(|at| at > again) {
            // It may have no more to say: it is asked, and its answer counts.
            self.set_timer(Timer::Recheck(mac), again);
        }
        true
    }
}
