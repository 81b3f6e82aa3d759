//! The addresses of clients: learned, verified by probes, lost.
//!
//! ```text
//!              told (INFO, memory, adoption)           shown by the client itself
//!  (unknown) --------------------------> Tentative --------------------------+
//!      |  wanted (DAD)                      |  unanswered                    v
//!      +-----------> Inactive <-------------+------------------------------ Active
//!                        |   shown                  unanswered               ^
//!                        +---------------------------------------------------+
//! ```
//! Tentative and Active addresses have a host route and a neighbour entry; link-local ones never have.

use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::client::{Address, AddressState, Evidence, Schedule, Source};
use super::output::{Action, LeaveReason, Neighbour, Notice};
use super::stats::Counter;
use super::timers::Timer;
use crate::net::{Mac, is_link_local};
use crate::time::Timestamp;

/// Link-local addresses kept for one client. Hosts have one; privacy extensions make a second for a while.
const MAX_LINK_LOCALS: usize = 4;

/// Addresses that one report makes us ask for although nobody has told them: one for each of a few prefixes and identifiers.
const MAX_GUESSES: usize = 8;

/// What showed itself this short a time ago is not doubted.
const RECENT: Duration = Duration::from_secs(2);

/// Duplicate address detection takes a second by default (RFC 4862 section 5.1), often less: the address is asked 0.1, 0.3, 1, 1.04,
/// 1.09 and 3 s after the solicitation. A host that waits for exactly a second ignores the question at its end: hence the two behind it.
const DUPLICATE_DETECTION_DELAY: Duration = Duration::from_millis(100);
const DUPLICATE_DETECTION_SCHEDULE: [Duration; 6] = [
    Duration::from_millis(200),
    Duration::from_millis(700),
    Duration::from_millis(40),
    Duration::from_millis(50),
    Duration::from_millis(1910),
    Duration::from_millis(300),
];

impl Engine {
    /// The client itself showed that it uses the address.
    pub(super) fn address_used(&mut self, mac: Mac, address: IpAddr) {
        self.address_shown(mac, address, Source::Client);
    }

    fn address_shown(&mut self, mac: Mac, address: IpAddr, source: Source) {
        if !self.is_routable(address) && !is_link_local(address) {
            return;
        }
        if self.is_held_by_another(mac, address) {
            return;
        }
        let now = self.now;
        let interval = self.clients.get(&mac).map(|client| self.probe_interval(client)).unwrap_or_default();
        let Some(client) = self.clients.get_mut(&mac) else { return };
        if let Some(entry) = client.addresses.get_mut(&address) {
            entry.last_seen = now;
            entry.probes = 0;
            entry.schedule = Schedule::Liveness;
            let contested = self.rivals.remove(&address);
            let before = std::mem::replace(&mut entry.state, AddressState::Active);
            if let Some(rival) = contested {
                self.tell(Notice::AddressContested { address, holder: mac, rival });
            }
            self.undrain(mac, address);
            if before == AddressState::Active {
                return; // the timer looks at last_seen when it is due
            }
            self.address_changed(mac, address, Some(before));
        } else {
            if !self.make_room(mac, address) {
                return;
            }
            self.insert_address(mac, address, AddressState::Active, now, source);
        }
        let at = now + self.random.jitter(interval);
        self.set_timer(Timer::Address(mac, address), at);
    }

    /// Somebody (INFO, memory, an earlier run) says that the client uses the address: installs it, and verifies.
    pub(super) fn address_told(&mut self, mac: Mac, address: IpAddr, seen: Timestamp, source: Source) {
        if !self.is_routable(address) || self.is_held_by_another(mac, address) {
            return;
        }
        let Some(client) = self.clients.get_mut(&mac) else { return };
        match client.addresses.get_mut(&address) {
            Some(entry) if entry.state.in_use() => return,
            Some(entry) => {
                entry.state = AddressState::Tentative;
                entry.schedule = source.schedule();
                entry.probes = 0;
                entry.last_seen = entry.last_seen.max(seen);
                self.address_changed(mac, address, Some(AddressState::Inactive));
            }
            None => {
                let full = self.routable_count(mac) >= self.config.tunables.max_addresses;
                if full {
                    return self.limit_reached(Counter::AddressLimit, "max_addresses");
                }
                self.insert_address(mac, address, AddressState::Tentative, seen, source);
            }
        }
        self.address_due(mac, address);
    }

    /// The client is about to use the address: duplicate address detection has begun.
    pub(super) fn address_wanted(&mut self, mac: Mac, address: IpAddr) {
        if !self.is_routable(address) || self.is_held_by_another(mac, address) {
            return;
        }
        let Some(client) = self.clients.get(&mac) else { return };
        if client.addresses.get(&address).is_some_and(|entry| entry.state.in_use()) {
            return;
        }
        if client.addresses.contains_key(&address) || self.make_room(mac, address) {
            let (state, source) = (AddressState::Inactive, Source::DuplicateDetection);
            self.insert_address(mac, address, state, self.now, source);
            self.set_timer(Timer::Address(mac, address), self.now + DUPLICATE_DETECTION_DELAY);
        }
    }

    /// The client named the low 24 bits of addresses: those that we know of and that are not in use are verified, and it is asked for
    /// those that it would have made of an interface identifier it uses, or of its MAC (RFC 4291 appendix A). (What it did not name it
    /// may still have: a report may tell only what changed.)
    pub(super) fn suffixes_heard(&mut self, mac: Mac, suffixes: &[[u8; 3]]) {
        let Some(client) = self.clients.get(&mac) else { return };
        let interface = client.interface;
        let named = |identifier: &[u8; 8]| suffixes.iter().any(|suffix| identifier.ends_with(suffix));
        let mut identifiers = vec![mac.eui64()];
        let mut ask = Vec::new();
        for (address, entry) in client.addresses.iter() {
            let IpAddr::V6(v6) = address else { continue };
            let identifier = identifier_of(*v6);
            if !identifiers.contains(&identifier) {
                identifiers.push(identifier);
            }
            if !entry.state.in_use() && named(&identifier) {
                ask.push(*address);
            }
        }
        identifiers.retain(named);
        let prefixes = &self.config.prefixes;
        let guesses =
            prefixes.iter().flat_map(|prefix| identifiers.iter().filter_map(|i| prefix.with_identifier(*i)));
        let unknown = guesses.map(IpAddr::V6).filter(|address| !client.addresses.contains_key(address));
        ask.extend(unknown.take(MAX_GUESSES));
        for address in ask {
            self.act(Action::Probe { interface, address, client: Some(mac) });
        }
    }

    /// A probe of the address is due, or its patience has ended.
    pub(super) fn address_due(&mut self, mac: Mac, address: IpAddr) {
        let now = self.now;
        let Some(client) = self.clients.get(&mac) else { return };
        let Some(entry) = client.addresses.get(&address) else { return };
        let interface = client.interface;
        let due = entry.last_seen + self.probe_interval(client);
        if entry.state == AddressState::Active && entry.probes == 0 && due > now {
            return self.set_timer(Timer::Address(mac, address), due);
        }
        let spared = is_link_local(address) && client.routed().next().is_some();
        if spared && entry.state == AddressState::Active && entry.probes == 0 {
            // The routed addresses show whether the client is there.
            return self.set_timer(Timer::Address(mac, address), now + self.probe_interval(client));
        }
        let schedule: &[Duration] = match entry.schedule {
            Schedule::Liveness | Schedule::Traffic => &self.config.tunables.probe_schedule,
            Schedule::DuplicateDetection => &DUPLICATE_DETECTION_SCHEDULE,
            Schedule::Adoption => &adoption_schedule(self.config.tunables.adoption_age),
        };
        let Some(wait) = schedule.get(usize::from(entry.probes)).copied() else {
            return self.address_silent(mac, address);
        };
        let wanted = entry.schedule == Schedule::Traffic && entry.probes > 0;
        if let Some(entry) = self.clients.get_mut(&mac).and_then(|client| client.addresses.get_mut(&address))
        {
            entry.probes = entry.probes.saturating_add(1);
        }
        self.act(Action::Probe { interface, address, client: Some(mac) });
        self.set_timer(Timer::Address(mac, address), now + wait);
        if wanted {
            // What comes from now on would go nowhere.
            self.drain(address, self.config.tunables.lost_age);
            self.seek(address);
        }
    }

    /// Packets for the address are flowing, nothing has confirmed it for seconds, and the kernel has just asked: that is the first probe.
    ///
    /// Where it stays unanswered the client may have gone to another node without a word, and packets are being lost. So the mesh is asked
    /// by SEEK with the second and third probe: whoever has the client notices it by the answer, and claims it. Without this the packets
    /// would have to reach the TUN first, another two seconds later. The kernel's delay (5 s) is kept: the cost of a shorter one is a
    /// solicitation, an answer and two wake-ups of this daemon per delay for every address with traffic.
    pub(super) fn address_unconfirmed(&mut self, mac: Mac, address: IpAddr) {
        let entry = self.clients.get_mut(&mac).and_then(|client| client.addresses.get_mut(&address));
        let Some(entry) = entry.filter(|entry| entry.state.in_use()) else { return };
        // The patience of an adoption is for clients that sleep: packets for this one go
        // unanswered.
        let adopted = entry.schedule == Schedule::Adoption;
        if adopted || entry.schedule == Schedule::Liveness {
            entry.schedule = Schedule::Traffic;
        }
        if adopted || entry.probes == 0 {
            entry.probes = 1;
            let wait = self.config.tunables.probe_schedule.first().copied().unwrap_or(Duration::from_secs(1));
            self.set_timer(Timer::Address(mac, address), self.now + wait);
        }
    }

    /// Whether the client is still there is in doubt: all its addresses are asked at once, but for those that showed
    /// themselves a moment ago.
    pub(super) fn doubt(&mut self, mac: Mac) {
        let Some(client) = self.clients.get(&mac) else { return };
        let old = client.addresses.iter().filter(|(_, entry)| self.now.since(entry.last_seen) >= RECENT);
        for address in old.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.verify_now(mac, address);
        }
    }

    /// Doubt has come up: ask now.
    pub(super) fn verify_now(&mut self, mac: Mac, address: IpAddr) {
        let entry = self.clients.get_mut(&mac).and_then(|client| client.addresses.get_mut(&address));
        let Some(entry) = entry.filter(|entry| entry.state.in_use() && entry.probes == 0) else { return };
        entry.probes = 1;
        let wait = self.config.tunables.probe_schedule.first().copied().unwrap_or(Duration::from_secs(1));
        let Some(interface) = self.clients.get(&mac).map(|client| client.interface) else { return };
        self.act(Action::Probe { interface, address, client: Some(mac) });
        self.set_timer(Timer::Address(mac, address), self.now + wait);
    }

    /// All probes of the address stayed unanswered.
    fn address_silent(&mut self, mac: Mac, address: IpAddr) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let Some(entry) = client.addresses.get_mut(&address) else { return };
        let holds = self.holders.get(&address) == Some(&mac);
        let rival = if holds { self.rivals.remove(&address) } else { None };
        let adopted = entry.schedule == Schedule::Adoption;
        let before = std::mem::replace(&mut entry.state, AddressState::Inactive);
        if before.in_use() {
            self.address_changed(mac, address, Some(before));
            self.doubt(mac);
        } else {
            self.remove_address(mac, address);
        }
        let done = self.clients.get(&mac).is_some_and(|c| !c.has_address_in_use() && c.association.is_none());
        if done && before.in_use() {
            let reason = if adopted { LeaveReason::Unconfirmed } else { LeaveReason::Silent };
            self.leave(mac, reason, None);
        }
        let rival = rival.and_then(|rival| Some((rival, self.clients.get(&rival)?.interface)));
        if let Some((rival, interface)) = rival {
            self.holders.remove(&address);
            self.act(Action::Probe { interface, address, client: Some(rival) });
        }
    }

    /// Takes an address from a client, whatever its state.
    pub(super) fn remove_address(&mut self, mac: Mac, address: IpAddr) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let Some(entry) = client.addresses.get_mut(&address) else { return };
        let before = std::mem::replace(&mut entry.state, AddressState::Inactive);
        if before.in_use() {
            self.address_changed(mac, address, Some(before));
        }
        self.clients.get_mut(&mac).and_then(|client| client.addresses.remove(&address));
        self.timers.clear(&Timer::Address(mac, address));
        if self.holders.get(&address) == Some(&mac) {
            self.holders.remove(&address);
            self.rivals.remove(&address);
        }
    }

    fn insert_address(
        &mut self,
        mac: Mac,
        address: IpAddr,
        state: AddressState,
        seen: Timestamp,
        source: Source,
    ) {
        let Some(client) = self.clients.get_mut(&mac) else { return };
        let entry = Address {
            state,
            last_seen: seen,
            source,
            probes: 0,
            schedule: source.schedule(),
            route_stands: false,
            neighbour_stands: false,
        };
        client.addresses.insert(address, entry);
        if !is_link_local(address) {
            self.holders.insert(address, mac);
        }
        if state.in_use() {
            self.address_changed(mac, address, None);
        }
    }

    /// The state of an address has changed from `before`: the kernel follows, and people are told.
    fn address_changed(&mut self, mac: Mac, address: IpAddr, before: Option<AddressState>) {
        let Some(client) = self.clients.get(&mac) else { return };
        let Some(state) = client.addresses.get(&address).map(|entry| entry.state) else { return };
        let neighbour = Neighbour { interface: client.interface, address, client: mac };
        let route = self.host_route(address, client.interface);
        let was_in_use = before.is_some_and(AddressState::in_use);
        if !is_link_local(address) && state.in_use() && !was_in_use {
            self.holders.insert(address, mac);
            // The neighbour entry first: once the route stands, packets must not wait for resolution.
            self.act(Action::InstallNeighbour(neighbour));
            self.drained.remove(&address);
            self.act(Action::InstallRoute(route));
            self.address_appeared(mac, address);
        } else if !is_link_local(address) && was_in_use && !state.in_use() {
            self.not_standing(address, true);
            self.not_standing(address, false);
            if !self.is_drained(address) {
                self.act(Action::UninstallRoute(route));
            }
            self.act(Action::UninstallNeighbour(neighbour));
        }
        self.watch_client(mac);
        self.tell(Notice::AddressChanged { client: mac, address, from: before, to: Some(state) });
    }

    /// Whether another client here holds the address. It is asked; if it does not answer, the address is free.
    fn is_held_by_another(&mut self, mac: Mac, address: IpAddr) -> bool {
        let Some(holder) = self.holders.get(&address).copied().filter(|holder| *holder != mac) else {
            return false;
        };
        if self.served_client(address).is_none() {
            self.remove_address(holder, address);
            return false;
        }
        self.counters.add(Counter::AddressContested);
        self.verify_now(holder, address);
        self.rivals.insert(address, mac);
        true
    }

    /// Makes room for one more address of the client; `false` where there is none.
    fn make_room(&mut self, mac: Mac, address: IpAddr) -> bool {
        let Some(client) = self.clients.get(&mac) else { return false };
        if is_link_local(address) {
            return client.addresses.keys().filter(|a| is_link_local(**a)).count() < MAX_LINK_LOCALS;
        }
        if self.routable_count(mac) < self.config.tunables.max_addresses {
            return true;
        }
        self.limit_reached(Counter::AddressLimit, "max_addresses");
        // A client that changes its addresses keeps the ones it used last; those not in use go first.
        let Some(client) = self.clients.get(&mac) else { return false };
        let others = client.addresses.iter().filter(|(address, _)| !is_link_local(**address));
        let victim = others
            .min_by_key(|(_, entry)| (entry.state.in_use(), entry.last_seen))
            .map(|(address, _)| *address);
        let Some(victim) = victim else { return false };
        self.remove_address(mac, victim);
        true
    }

    fn routable_count(&self, mac: Mac) -> usize {
        let client = self.clients.get(&mac);
        client.map_or(0, |client| client.addresses.keys().filter(|address| !is_link_local(**address)).count())
    }

    /// Treats an address as heard from a client, as an operator says.
    pub(super) fn address_by_operator(&mut self, mac: Mac, address: IpAddr, interface: crate::net::IfIndex) {
        if self.client_noticed(mac, interface, None, Evidence::Operator) {
            self.address_shown(mac, address, Source::Operator);
        }
    }
}

/// Five probes, the last wait half of the whole: what was adopted must be confirmed within `age`.
fn adoption_schedule(age: Duration) -> [Duration; 5] {
    [age / 30, age / 15, age / 8, age / 4, age / 2]
}

/// The low half.
fn identifier_of(address: std::net::Ipv6Addr) -> [u8; 8] {
    let mut identifier = [0; 8];
    identifier.copy_from_slice(&address.octets()[8..]);
    identifier
}
