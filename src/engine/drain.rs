//! Drained routes: what still comes for a client that has gone is caught and goes after it.
//!
//! ```text
//!              claimed, lost, in doubt                 its time is over
//!   served ------------------------------> drained --------------------> (none)
//!   (158, to the client) <---------------- (159, into the capture TUN)
//!              back, or shown again
//! ```
//! One kind is put in the other's place in one message, and INFO leaves only after that was ordered: every packet that was not on its way
//! to the client by then is caught. The mesh keeps a way for as long as its routing daemons need to find the new one.
//!
//! | why | for how long | what comes |
//! |---|---|---|
//! | claimed by a node that accepts RELAY | `overlap`; longer where it goes on from there ([`overlap`](super::overlap)) | goes there ([`relay`](super::relay)) |
//! | claimed by a C daemon | `overlap_without_relay`, or until a route to it is seen | waits for the route |
//! | its station is lost, or traffic for it goes unanswered | `lost_age` | waits for its return or a CLAIM |
//!
//! Without any overlap no route is drained: it is withdrawn at once, and what still comes is caught by the prefix routes. So it is done where
//! the routing daemon is not known to export drained routes (a daemon that its command line alone describes): an olsrd2 that imports
//! routes of protocol 158 only would not see the end of one that has become 159.
//!
//! What waits is kept in [`search`](super::search), under its bounds.
//!
//! A drained route whose time is over stays while the mesh still sends packets along it, for
//! [`MAX_IN_USE`] at most: babeld's neighbours follow a better metric only after 20 s, and would
//! form a loop with this node. What hosts at this node itself send keeps no route: it comes here
//! for as long as the route stands, because this node does not learn the new route while it exports
//! its own.

use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::input::RouteLookup;
use super::output::{Action, HostRoute, Neighbour, RouteKind};
use super::stats::Counter;
use super::timers::Timer;
use crate::net::{Mac, Prefix, is_link_local};
use crate::time::Timestamp;

/// Drained routes that are due within this time go together.
const TOGETHER: Duration = Duration::from_millis(20);
/// A packet came this short a time ago: the route is in use. Slow flows, such as a ping each
/// second, count too.
const IN_USE: Duration = Duration::from_secs(2);
/// A route in use is looked at again after this time.
const IN_USE_STEP: Duration = Duration::from_secs(1);
/// A route in use stands no longer than this after its client left.
const MAX_IN_USE: Duration = Duration::from_secs(60);

impl Engine {
    /// Puts a drained route in the place of the address's host route, or keeps it for longer.
    pub(super) fn drain(&mut self, address: IpAddr, age: Duration) {
        if is_link_local(address) || self.config.tunables.overlap.is_zero() {
            return;
        }
        let until = self.now + age;
        let known = self.drained.contains_key(&address);
        if !known && self.drained.len() >= self.config.tunables.max_drained {
            return self.limit_reached(Counter::DrainLimit, "max_drained");
        }
        if !known {
            self.act(Action::InstallRoute(self.drained_route(address)));
            self.not_standing(address, true);
        }
        self.drained.insert(address, until);
        if self.timers.get(&Timer::Drain).is_none_or(|at| at > until) {
            self.set_timer(Timer::Drain, until);
        }
    }

    /// Drains all addresses of a client that leaves.
    pub(super) fn drain_client(&mut self, mac: Mac, age: Duration) {
        let routed = self.clients.get(&mac).map(|client| client.routed().collect::<Vec<_>>());
        for address in routed.unwrap_or_default() {
            self.drain(address, age);
        }
    }

    pub(super) fn drained_route(&self, address: IpAddr) -> HostRoute {
        HostRoute { address, kind: RouteKind::Drained, table: self.config.export_table }
    }

    /// Whether the address has a drained route.
    pub(super) fn is_drained(&self, address: IpAddr) -> bool {
        self.drained.contains_key(&address)
    }

    /// The time of some drained routes is over.
    pub(super) fn drain_due(&mut self) {
        let due = self.drained.iter().filter(|(_, until)| **until <= self.now);
        for address in due.map(|(address, _)| *address).collect::<Vec<_>>() {
            match self.served_client(address).map(|client| client.mac) {
                Some(mac) => self.undrain(mac, address),
                None => match self.source_in_use(address) {
                    Some(source) => self.drain_on(address, source),
                    None => self.withdraw(address),
                },
            }
        }
        if let Some(next) = self.drained.values().min().copied() {
            self.set_timer(Timer::Drain, next.max(self.now + TOGETHER));
        }
    }

    /// The source of the packets that still come for an address whose client was handed over.
    fn source_in_use(&self, address: IpAddr) -> Option<IpAddr> {
        let former = self.former_holders.get(&address).and_then(|mac| self.former.get(mac))?;
        let (at, source) = former.caught.filter(|_| former.handed_to.is_some())?;
        let in_use = self.now.since(at) < IN_USE && self.now.since(former.since) < MAX_IN_USE;
        (in_use && self.served_client(source).is_none()).then_some(source)
    }

    /// Keeps a drained route that is in use, unless the kernel says that the packets come from this
    /// node itself.
    fn drain_on(&mut self, address: IpAddr, source: IpAddr) {
        self.drained.insert(address, self.now + IN_USE_STEP);
        if self.drain_sources.len() < self.config.tunables.max_drained {
            self.drain_sources.insert((source, address));
            self.act(Action::LookupRoute(source));
        }
    }

    /// The kernel has answered where packets to a source go: back into the mesh, or to a host at
    /// this node.
    pub(super) fn way_to_source_found(&mut self, source: IpAddr, found: RouteLookup) {
        let (first, last) = (IpAddr::from([0; 4]), IpAddr::from([0xff; 16]));
        let kept = self.drain_sources.range((source, first)..=(source, last));
        let kept: Vec<IpAddr> = kept.map(|(_, address)| *address).collect();
        let local = match found {
            RouteLookup::Local => true,
            RouteLookup::HostRoute { interface, .. } | RouteLookup::Network(interface) => {
                !self.interfaces.is_mesh(interface)
            }
            RouteLookup::Other => false,
        };
        for address in kept {
            self.drain_sources.remove(&(source, address));
            if local && self.served_client(address).is_none() {
                self.withdraw(address);
            }
        }
    }

    /// Removes a drained route. The kernel may know another way now.
    pub(super) fn withdraw(&mut self, address: IpAddr) {
        if self.drained.remove(&address).is_none() {
            return;
        }
        self.act(Action::UninstallRoute(self.drained_route(address)));
        if self.searches.is_searched(address) {
            self.act(Action::LookupRoute(address));
        }
    }

    /// Removes the drained routes of a prefix, or all.
    pub(super) fn withdraw_all(&mut self, prefix: Option<Prefix>) {
        let within = |address: &IpAddr| prefix.is_none_or(|prefix| prefix.contains(*address));
        for address in self.drained.keys().copied().filter(within).collect::<Vec<_>>() {
            self.withdraw(address);
        }
    }

    /// The client has shown that it is here after all: its host route takes the drained one's place.
    pub(super) fn undrain(&mut self, mac: Mac, address: IpAddr) {
        if self.drained.remove(&address).is_none() {
            return;
        }
        let Some(interface) = self.clients.get(&mac).map(|client| client.interface) else { return };
        self.act(Action::InstallNeighbour(Neighbour { interface, address, client: mac }));
        self.act(Action::InstallRoute(self.host_route(address, interface)));
    }

    /// The kernel has acknowledged a host route.
    pub(super) fn route_installed(&mut self, route: HostRoute) {
        let RouteKind::Served(interface) = route.kind else { return };
        if !self.is_drained(route.address) && route.table == self.config.export_table {
            self.acknowledged(route.address, interface, None, true);
        }
    }

    /// The kernel has acknowledged a neighbour entry.
    pub(super) fn neighbour_installed(&mut self, entry: Neighbour) {
        self.acknowledged(entry.address, entry.interface, Some(entry.client), false);
    }

    fn acknowledged(
        &mut self,
        address: IpAddr,
        interface: crate::net::IfIndex,
        client: Option<Mac>,
        route: bool,
    ) {
        let Some(mac) = self.holders.get(&address).copied().filter(|mac| client.is_none_or(|c| c == *mac))
        else {
            return;
        };
        let Some(client) = self.clients.get_mut(&mac).filter(|client| client.interface == interface) else {
            return;
        };
        let Some(entry) = client.addresses.get_mut(&address).filter(|entry| entry.state.in_use()) else {
            return;
        };
        if route {
            entry.route_stands = true;
        } else {
            entry.neighbour_stands = true;
        }
        self.timing_routes(mac);
        self.release_here(address);
    }

    /// The kernel refused something about an address, or it is about to change.
    pub(super) fn not_standing(&mut self, address: IpAddr, route: bool) {
        let Some(mac) = self.holders.get(&address).copied() else { return };
        let entry = self.clients.get_mut(&mac).and_then(|client| client.addresses.get_mut(&address));
        if let Some(entry) = entry {
            if route {
                entry.route_stands = false;
            } else {
                entry.neighbour_stands = false;
            }
        }
    }

    /// The kernel was asked where packets for an address that is served here go: to its client's interface.
    pub(super) fn route_found_here(&mut self, address: IpAddr) {
        let Some(client) = self.served_client(address) else { return };
        let (mac, interface) = (client.mac, client.interface);
        if !client.addresses.get(&address).is_some_and(|entry| entry.neighbour_stands) {
            self.act(Action::InstallNeighbour(Neighbour { interface, address, client: mac }));
        }
        self.acknowledged(address, interface, None, true);
    }

    /// Whether packets for the address reach a client here: its host route and neighbour entry stand, acknowledged by the kernel, and a
    /// station that was not heard yet had time enough for its handshake.
    pub(super) fn is_reached_here(&self, address: IpAddr) -> bool {
        let Some(client) = self.served_client(address) else { return false };
        let entry = client.addresses.get(&address);
        entry.is_some_and(|entry| entry.route_stands && entry.neighbour_stands)
            && !self.is_still_arriving(client.mac)
    }

    /// Gives what waits for an address to its client, where it can be reached.
    pub(super) fn release_here(&mut self, address: IpAddr) {
        if self.searches.is_searched(address) && self.is_reached_here(address) {
            if let Some(mac) = self.holders.get(&address) {
                self.timings.went_on(self.now, *mac, true);
            }
            self.release(address);
        }
    }

    /// The same for all addresses of a client.
    pub(super) fn release_client(&mut self, mac: Mac) {
        let Some(client) = self.clients.get(&mac) else { return };
        for address in client.routed().collect::<Vec<_>>() {
            self.release_here(address);
        }
    }

    /// How long a drained route may still stand.
    pub fn drained(&self) -> impl Iterator<Item = (IpAddr, Timestamp)> + '_ {
        self.drained.iter().map(|(address, until)| (*address, *until))
    }
}
