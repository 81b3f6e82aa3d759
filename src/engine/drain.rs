//! What stands in the kernel: which host routes it has acknowledged.

use std::net::IpAddr;

use super::Engine;
use super::output::{HostRoute, Neighbour, RouteKind};

impl Engine {
    /// The kernel has acknowledged a host route.
    pub(super) fn route_installed(&mut self, route: HostRoute) {
        let RouteKind::Served(interface) = route.kind else { return };
        let Some(mac) = self.holders.get(&route.address).copied() else { return };
        let Some(client) = self.clients.get_mut(&mac).filter(|client| client.interface == interface) else {
            return;
        };
        if let Some(entry) = client.addresses.get_mut(&route.address).filter(|entry| entry.state.in_use()) {
            entry.route_stands = true;
            self.stands(route.address);
        }
    }

    /// The kernel has acknowledged a neighbour entry.
    pub(super) fn neighbour_installed(&mut self, entry: Neighbour) {
        let Some(client) = self.clients.get_mut(&entry.client) else { return };
        if client.interface != entry.interface {
            return;
        }
        if let Some(known) = client.addresses.get_mut(&entry.address).filter(|known| known.state.in_use()) {
            known.neighbour_stands = true;
            self.stands(entry.address);
        }
    }

    /// Something about the address was acknowledged: where all of it is, what waits for it can go.
    fn stands(&mut self, address: IpAddr) {
        if self.is_reached_here(address) {
            self.release(address);
        }
    }

    /// Whether packets for the address reach a client here: its host route and neighbour entry stand, acknowledged by the kernel.
    pub(super) fn is_reached_here(&self, address: IpAddr) -> bool {
        let client = self.served_client(address);
        let entry = client.and_then(|client| client.addresses.get(&address));
        entry.is_some_and(|entry| entry.route_stands && entry.neighbour_stands)
    }

    /// The kernel refused something about an address.
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
}
