//! Searching: packets wait for an unknown address while it is looked for, here at once and in the mesh a little later.
//!
//! SEEK floods the mesh, so it is the amplifier an attacker wants: one packet per random address of a /64 would make every node probe.
//! Token buckets, a negative cache and bounds on everything that waits are therefore part of it (RFC 6583 describes the same attack
//! on neighbour caches).

mod operator;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::Engine;
use super::input::RouteLookup;
use super::output::{Action, IntercomDestination, Place};
use super::rate::TokenBucket;
use super::stats::Counter;
use super::timers::Timer;
use crate::net::Mac;
use crate::time::Timestamp;
use crate::wire::intercom::{Body, Plat, Tail};
use crate::wire::ip;

/// Local probes for a searched address, after the first one: when the whole link is asked, and again.
const LOCAL_PROBES: [Duration; 5] = [
    Duration::from_millis(30),
    Duration::from_millis(270),
    Duration::from_millis(700),
    Duration::from_secs(1),
    Duration::from_secs(1),
];

/// Nodes whose SEEK for an address is remembered until it is found here.
const MAX_SEEKERS: usize = 256;
/// And for how long.
const SEEKER_AGE: Duration = Duration::from_secs(3);
/// Addresses in the negative cache.
const MAX_NEGATIVES: usize = 1024;

/// One packet that waits.
#[derive(Clone, Debug)]
struct Waiting {
    packet: Vec<u8>,
    since: Timestamp,
    /// The sender, where it may be told that the packet could not be delivered.
    sender: Option<IpAddr>,
    /// How often it was relayed on its way here.
    hops: u8,
}

/// One address that is searched for.
#[derive(Clone, Debug)]
struct Search {
    packets: VecDeque<Waiting>,
    since: Timestamp,
    /// Whether somebody has the address for certain: then its route is awaited as long as packets come.
    certain: bool,
    /// A node has answered SEEK: it has the address.
    answered: bool,
    /// An operator seeks it until then, packets or not.
    wanted: Option<Timestamp>,
    /// Local probes sent after the first one, and when the next one is due.
    probes: usize,
    next_probe: Timestamp,
    next_seek: Timestamp,
}

/// All searches of the node.
#[derive(Debug)]
pub(super) struct Searches {
    searches: BTreeMap<IpAddr, Search>,
    packets: usize,
    bytes: usize,
    /// Addresses that were sought in vain, until when.
    negatives: BTreeMap<IpAddr, Timestamp>,
    /// Who else searches an address, until when.
    seekers: BTreeMap<IpAddr, (Ipv6Addr, Timestamp)>,
    seek_bucket: TokenBucket,
    /// Local probing for others' SEEKs, whoever they say they are.
    probe_bucket: TokenBucket,
    unreachable_bucket: TokenBucket,
    /// When a contradiction between the kernel and us was last reported.
    reconciled: Option<Timestamp>,
}

impl Searches {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            searches: BTreeMap::new(),
            packets: 0,
            bytes: 0,
            negatives: BTreeMap::new(),
            seekers: BTreeMap::new(),
            seek_bucket: TokenBucket::new(now),
            probe_bucket: TokenBucket::new(now),
            unreachable_bucket: TokenBucket::new(now),
            reconciled: None,
        }
    }

    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.packets, self.bytes)
    }

    fn take_front(&mut self, address: IpAddr) -> Option<Waiting> {
        let waiting = self.searches.get_mut(&address)?.packets.pop_front()?;
        self.packets = self.packets.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(waiting.packet.len());
        Some(waiting)
    }

    /// Whether packets wait for the address.
    pub(super) fn is_searched(&self, address: IpAddr) -> bool {
        self.searches.contains_key(&address)
    }

    /// The addresses that packets wait for.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.searches.keys().copied().collect()
    }

    /// Whether what waits for the address may go by a route over the mesh. A route may be old and lead to where relayed packets came from:
    /// those go when a node says that it has the address.
    fn may_go_by_route(&self, address: IpAddr) -> bool {
        let search = self.searches.get(&address);
        search.is_some_and(|search| search.answered || search.packets.iter().all(|waiting| waiting.hops == 0))
    }

    /// The packet that has waited longest for the address, and how often it was relayed.
    pub(super) fn take(&mut self, address: IpAddr) -> Option<(Vec<u8>, u8)> {
        self.take_front(address).map(|waiting| (waiting.packet, waiting.hops))
    }
}

impl Engine {
    /// A packet came through the capture TUN: nobody here knows where its destination is.
    pub(super) fn packet_for_unknown(&mut self, packet: Vec<u8>) {
        let Some(header) = ip::parse(&packet) else { return self.counters.add(Counter::CaptureIgnored) };
        let address = header.destination;
        if !self.is_routable(address) {
            return self.counters.add(Counter::CaptureIgnored);
        }
        let mut packet = packet;
        if self.served_client(address).is_none() {
            match self.relay_caught(address, packet) {
                None => return,
                Some(back) => packet = back,
            }
        }
        let now = self.now;
        let sender = header.error_allowed.then_some(header.source);
        if self.searches.negatives.get(&address).is_some_and(|until| *until > now) {
            self.counters.add(Counter::SearchNegative);
            return self.unreachable(sender, packet);
        }
        self.enqueue(address, Waiting { packet, since: now, sender, hops: 0 });
    }

    /// A relayed packet waits until its client can be reached, or until it is known where the client went. `hops`: how often it was relayed
    /// on its way here, 1 at least.
    pub(super) fn wait_for(&mut self, address: IpAddr, packet: Vec<u8>, hops: u8) {
        let header = ip::parse(&packet);
        let sender = header.filter(|header| header.error_allowed).map(|header| header.source);
        self.enqueue(address, Waiting { packet, since: self.now, sender, hops });
    }

    fn enqueue(&mut self, address: IpAddr, waiting: Waiting) {
        if !self.searches.is_searched(address) {
            if self.searches.searches.len() >= self.config.tunables.max_searches {
                return self.limit_reached(Counter::SearchLimit, "max_searches");
            }
            self.begin_search(address, waiting.hops > 0);
        }
        self.doubt_search(address);
        let tunables = &self.config.tunables;
        let Some(search) = self.searches.searches.get(&address) else { return };
        if search.packets.len() >= tunables.max_queue_per_address {
            // The newest packets are worth most to their receiver.
            self.searches.take_front(address);
            self.limit_reached(Counter::QueueFull, "max_queue_per_address");
        }
        let tunables = &self.config.tunables;
        let bytes = self.searches.bytes.saturating_add(waiting.packet.len());
        if self.searches.packets >= tunables.max_queue_packets || bytes > tunables.max_queue_bytes {
            let limit =
                if bytes > tunables.max_queue_bytes { "max_queue_bytes" } else { "max_queue_packets" };
            return self.limit_reached(Counter::QueueFull, limit);
        }
        let Some(search) = self.searches.searches.get_mut(&address) else { return };
        search.packets.push_back(waiting);
        self.searches.packets += 1;
        self.searches.bytes = bytes;
        self.rearm_search(address);
    }

    fn begin_search(&mut self, address: IpAddr, relayed: bool) {
        let now = self.now;
        let in_use = self.served_client(address).is_some();
        let former = self.former_holders.get(&address).and_then(|mac| self.former.get(mac));
        let handed_over = former.is_some_and(|former| former.handed_to.is_some());
        let drained = self.is_drained(address);
        let (next_probe, next_seek) = if drained {
            // It has gone a moment ago: a CLAIM is on its way, or it comes back.
            (Timestamp::NEVER, now + self.config.tunables.seek_interval / 3)
        } else if in_use {
            // We have its route, and yet the packet came here: look, and repair.
            self.act(Action::LookupRoute(address));
            (Timestamp::NEVER, Timestamp::NEVER)
        } else if relayed {
            // No route is believed: see `may_go_by_route`.
            self.probe_locally(address, false);
            (now + LOCAL_PROBES[0], now + self.config.tunables.seek_delay)
        } else if handed_over {
            // Another node has it: its route is on the way. Only if that takes long, ask.
            self.act(Action::LookupRoute(address));
            (Timestamp::NEVER, now + self.config.tunables.seek_interval / 3)
        } else {
            // A routing daemon that replaces a route in two steps leaves a moment without one. The packet may be read here after the
            // news of the new route.
            self.act(Action::LookupRoute(address));
            self.probe_locally(address, false);
            (now + LOCAL_PROBES[0], now + self.config.tunables.seek_delay)
        };
        let (packets, since, certain) = (VecDeque::new(), now, in_use || handed_over);
        let (answered, wanted, probes) = (false, None, 0);
        let search = Search { packets, since, certain, answered, wanted, probes, next_probe, next_seek };
        self.searches.searches.insert(address, search);
    }

    /// A search that waits for the route of an address that nobody is known to have any more looks for it, as any other does.
    fn doubt_search(&mut self, address: IpAddr) {
        let former = self.former_holders.get(&address).and_then(|mac| self.former.get(mac));
        let kept = self.served_client(address).is_some() || self.is_drained(address);
        if kept || former.is_some_and(|former| former.handed_to.is_some()) {
            return;
        }
        let (now, seek_delay) = (self.now, self.config.tunables.seek_delay);
        if let Some(search) = self.searches.searches.get_mut(&address).filter(|search| search.certain) {
            (search.certain, search.since, search.probes) = (false, now, 0);
            (search.next_probe, search.next_seek) = (now + LOCAL_PROBES[0], now + seek_delay);
            self.probe_locally(address, false);
        }
    }

    pub(super) fn rearm_search(&mut self, address: IpAddr) {
        let Some(search) = self.searches.searches.get(&address) else { return };
        let oldest = search.packets.front().map(|waiting| waiting.since);
        if oldest.is_none() && search.wanted.is_none() {
            self.searches.searches.remove(&address);
            self.timers.clear(&Timer::Search(address));
            return;
        }
        let expiry = oldest.map_or(Timestamp::NEVER, |oldest| oldest + self.config.tunables.queue_age);
        let expiry = expiry.min(search.wanted.unwrap_or(Timestamp::NEVER));
        let end = if search.certain || oldest.is_none() {
            Timestamp::NEVER
        } else {
            search.since + self.config.tunables.queue_age * 2
        };
        let at = expiry.min(end).min(search.next_probe).min(search.next_seek);
        self.set_timer(Timer::Search(address), at);
    }

    /// Clients may be behind a port or an interface that is new: what is searched for may be there, and so may what was sought in vain.
    pub(super) fn search_again(&mut self) {
        self.searches.negatives.clear();
        let searches = self.searches.searches.iter_mut().filter(|(_, search)| !search.certain);
        let again: Vec<IpAddr> = searches
            .map(|(address, search)| {
                (search.probes, search.next_probe) = (0, self.now);
                *address
            })
            .collect();
        again.into_iter().for_each(|address| self.rearm_search(address));
    }

    /// Something about a search is due: a probe, a SEEK, or the patience of a packet.
    pub(super) fn search_due(&mut self, address: IpAddr) {
        let now = self.now;
        let age = self.config.tunables.queue_age;
        // Steady traffic for an address that nobody has must not keep a search alive for ever.
        let over = |search: &Search| !search.certain && search.since + age * 2 <= now;
        while let Some(search) = self.searches.searches.get(&address) {
            let Some(oldest) = search.packets.front() else { break };
            if oldest.since + age > now && !over(search) {
                break;
            }
            if let Some(waiting) = self.searches.take_front(address) {
                self.counters.add(Counter::QueueExpired);
                self.unreachable(waiting.sender, waiting.packet);
            }
        }
        let Some(search) = self.searches.searches.get_mut(&address) else { return };
        search.wanted = search.wanted.filter(|until| *until > now);
        if search.packets.is_empty() && search.wanted.is_none() {
            if !search.certain {
                self.remember_negative(address);
            }
            return self.rearm_search(address);
        }
        let (probe, seek) = (search.next_probe <= now, search.next_seek <= now);
        if probe {
            self.probe_locally(address, true);
        }
        if seek {
            self.seek(address);
        }
        let interval = self.config.tunables.seek_interval;
        if let Some(search) = self.searches.searches.get_mut(&address) {
            if probe {
                search.probes += 1;
                search.next_probe =
                    LOCAL_PROBES.get(search.probes).map_or(Timestamp::NEVER, |wait| now + *wait);
            }
            if seek {
                search.next_seek = now + interval;
            }
        }
        self.rearm_search(address);
    }

    /// Asks on all client interfaces: every client by unicast (a snooping bridge may not pass multicast), and everybody by
    /// ff02::1 where there are too many clients, none, or the first round stayed without answer.
    fn probe_locally(&mut self, address: IpAddr, again: bool) {
        for interface in self.interfaces.clients().collect::<Vec<_>>() {
            let copies = self.config.tunables.max_unicast_copies;
            let clients: Vec<Mac> = self.clients_on(interface).take(copies + 1).collect();
            let everybody = again || clients.is_empty() || clients.len() > copies;
            if clients.len() <= copies && !again {
                for client in clients {
                    self.act(Action::Probe { interface, address, client: Some(client) });
                }
            }
            if everybody {
                self.act(Action::Probe { interface, address, client: None });
            }
        }
    }

    pub(super) fn seek(&mut self, address: IpAddr) {
        if !self.searches.seek_bucket.take(self.now, self.config.tunables.seek_rate) {
            return self.counters.add(Counter::SeekRate);
        }
        self.counters.add(Counter::SeekSent);
        let wire = self.config.v4_prefix.to_wire(address);
        self.flood(Body::Seek { address: wire, tail: Tail::default() });
    }

    fn remember_negative(&mut self, address: IpAddr) {
        let now = self.now;
        if self.searches.negatives.len() >= MAX_NEGATIVES {
            self.searches.negatives.retain(|_, until| *until > now);
        }
        if self.searches.negatives.len() < MAX_NEGATIVES {
            self.searches.negatives.insert(address, now + self.config.tunables.seek_negative_age);
        }
    }

    /// A host route to the address may have appeared: look before relying on it.
    pub(super) fn host_route_seen(&mut self, address: IpAddr) {
        if let IpAddr::V6(v6) = address {
            let mac = self.config.node_client_prefix.client_of(v6);
            if let Some(former) = mac.and_then(|mac| self.former.get_mut(&mac)) {
                former.routed = Some(self.now);
            }
        }
        self.searches.negatives.remove(&address);
        if self.is_drained(address) && self.waits_for_route(address) {
            // Not only our routes lead there: the one in front of them goes.
            return self.withdraw(address);
        }
        if self.searches.searches.contains_key(&address) {
            self.act(Action::LookupRoute(address));
        }
    }

    /// Whether the client that had the address was handed to a node that cannot be relayed to.
    fn waits_for_route(&self, address: IpAddr) -> bool {
        let former = self.former_holders.get(&address).and_then(|mac| self.former.get(mac));
        let peer = former.and_then(|former| former.handed_to);
        peer.is_some_and(|peer| !self.peers.accepts_relay(peer)) && self.served_client(address).is_none()
    }

    /// The kernel has answered where the address leads.
    pub(super) fn route_looked_up(&mut self, address: IpAddr, found: RouteLookup) {
        if let IpAddr::V6(v6) = address {
            if let Some(mac) = self.config.node_client_prefix.client_of(v6) {
                self.claim_route_found(mac, found);
            }
            self.way_to_peer_found(v6, found);
        }
        self.way_to_source_found(address, found);
        match found {
            RouteLookup::HostRoute { interface, .. } => {
                match self.served_client(address).map(|client| client.interface) {
                    None => {
                        self.sought_address_found(address, Place::Mesh);
                        if self.searches.may_go_by_route(address) {
                            self.release(address);
                        }
                    }
                    Some(own) if own == interface => self.route_found_here(address),
                    // Another's route, in the place of ours: the packet would come back.
                    Some(_) => self.contradicted(address),
                }
            }
            RouteLookup::Local | RouteLookup::Network(_) | RouteLookup::Other => self.contradicted(address),
        }
    }

    /// Gives the packets that waited back to the kernel, in their order.
    pub(super) fn release(&mut self, address: IpAddr) {
        while let Some(waiting) = self.searches.take_front(address) {
            self.counters.add(Counter::QueueReleased);
            self.act(Action::ReleasePacket(waiting.packet));
        }
        self.rearm_search(address);
    }

    /// The kernel has no route to an address that we serve: somebody removed it. Repaired at most once a second.
    fn contradicted(&mut self, address: IpAddr) {
        if self.served_client(address).is_none()
            || self.is_drained(address)
            || !self.searches.is_searched(address)
        {
            return;
        }
        let now = self.now;
        if self.searches.reconciled.is_none_or(|at| now.since(at) >= Duration::from_secs(1)) {
            self.searches.reconciled = Some(now);
            self.act(Action::Reconcile);
            self.act(Action::LookupRoute(address));
        }
    }

    /// An address is in use here now: what waits for it can go, and who seeks it is told.
    pub(super) fn address_appeared(&mut self, mac: Mac, address: IpAddr) {
        self.searches.negatives.remove(&address);
        if self.searches.searches.contains_key(&address) {
            if let Some(interface) = self.clients.get(&mac).map(|client| client.interface) {
                self.sought_address_found(address, Place::Here { client: mac, interface });
            }
            self.act(Action::LookupRoute(address));
        }
        if let Some((seeker, until)) = self.searches.seekers.remove(&address) {
            if until > self.now {
                self.answer_seeker(seeker, mac, address);
            }
        }
    }

    /// A SEEK has come. Returns whether it is to be forwarded.
    pub(super) fn seek_received(&mut self, seeker: Ipv6Addr, address: Ipv6Addr) -> bool {
        let address = self.config.v4_prefix.from_wire(address);
        if !self.is_routable(address) {
            return true; // another node may serve more prefixes than we do
        }
        match self.served_client(address).map(|client| client.mac) {
            Some(mac) => {
                self.answer_seeker(seeker, mac, address);
                false
            }
            None if !self.searches.probe_bucket.take(self.now, self.config.tunables.flood_rate) => {
                self.counters.add(Counter::DropFloodRate);
                false
            }
            None => {
                self.remember_seeker(seeker, address);
                self.probe_locally(address, false);
                self.probe_locally_everybody(address);
                true
            }
        }
    }

    /// For another node's search there is no second round: whoever is asked one by one is not everybody.
    fn probe_locally_everybody(&mut self, address: IpAddr) {
        let copies = self.config.tunables.max_unicast_copies;
        for interface in self.interfaces.clients().collect::<Vec<_>>() {
            let clients = self.clients_on(interface).take(copies + 1).count();
            if clients > 0 && clients <= copies {
                self.act(Action::Probe { interface, address, client: None });
            }
        }
    }

    fn remember_seeker(&mut self, seeker: Ipv6Addr, address: IpAddr) {
        let now = self.now;
        if self.searches.seekers.len() >= MAX_SEEKERS {
            self.searches.seekers.retain(|_, (_, until)| *until > now);
        }
        if self.searches.seekers.len() < MAX_SEEKERS {
            self.searches.seekers.insert(address, (seeker, now + SEEKER_AGE));
        }
    }

    /// Tells a node of our kind that the address it seeks is here; an old one would not know what to do with it.
    fn answer_seeker(&mut self, seeker: Ipv6Addr, mac: Mac, address: IpAddr) {
        if !self.peers.understands_tails(seeker) {
            return;
        }
        let Some(client) = self.clients.get(&mac) else { return };
        let tail = Tail {
            age_ms: Some(self.age_ms(client.last_seen)),
            sequence: Some(client.sequence),
            ..Tail::default()
        };
        let plat = self.config.plat_prefix.map(|prefix| Plat { lease: 0, prefix });
        let addresses = vec![self.config.v4_prefix.to_wire(address)];
        self.counters.add(Counter::InfoSent);
        self.send(IntercomDestination::Unicast(seeker), Body::Info { plat, client: mac, addresses, tail });
    }

    /// INFO that answers a SEEK of ours: the address is found, the route is on its way. Returns whether it was one.
    pub(super) fn info_for_search(&mut self, peer: Ipv6Addr, addresses: &[Ipv6Addr]) -> bool {
        let mut answered = false;
        let v4_prefix = self.config.v4_prefix;
        for address in addresses.iter().map(|address| v4_prefix.from_wire(*address)) {
            let interval = self.config.tunables.seek_interval;
            let Some(search) = self.searches.searches.get_mut(&address) else { continue };
            answered = true;
            search.answered = true;
            search.next_probe = Timestamp::NEVER;
            search.next_seek = self.now + interval;
            self.sought_address_found(address, Place::Node(peer));
            self.act(Action::LookupRoute(address));
            self.rearm_search(address);
        }
        answered
    }

    fn unreachable(&mut self, sender: Option<IpAddr>, packet: Vec<u8>) {
        let allowed = self.searches.unreachable_bucket.take(self.now, self.config.tunables.unreachable_rate);
        match sender {
            Some(to) if allowed => self.act(Action::SendUnreachable { to, packet }),
            _ => self.counters.add(Counter::UnreachableSuppressed),
        }
    }
}
