//! Adoption: what an earlier run left in the kernel is served on, verified, and removed where nobody confirms it. A crash or an upgrade
//! must not cut clients off.

use std::net::{IpAddr, Ipv6Addr};

use super::Engine;
use super::client::{Client, Evidence, Schedule, Source};
use crate::net::{IfIndex, Mac};

impl Engine {
    /// A host route of ours was found. It is adopted where it says whom it serves and where that client would be served now;
    /// what is not adopted is not desired, and goes with the first comparison.
    pub(super) fn route_adopted(&mut self, address: IpAddr, interface: IfIndex, mac: Option<Mac>) {
        let Some(mac) = mac.filter(|mac| mac.is_unicast() && !self.interfaces.is_own_mac(*mac)) else {
            return;
        };
        if !self.interfaces.is_client(interface) || !self.is_routable(address) {
            return;
        }
        if !self.clients.contains_key(&mac) {
            if self.clients.len() >= self.config.tunables.max_clients {
                return;
            }
            // No claim: it was ours when the earlier run ended. If another node has claimed it since, nobody here answers the probes.
            self.clients.insert(mac, Box::new(Client::new(mac, interface, Evidence::Adopted, self.now)));
            self.recall_association(mac);
        }
        self.address_told(mac, address, self.now, Source::Adoption);
        self.watch_client(mac);
    }

    /// The kernel asked a client in vain: what was adopted of it is not given the patience of an
    /// adoption any more.
    pub(super) fn doubt_adoption(&mut self, mac: Mac) {
        let Some(client) = self.clients.get(&mac) else { return };
        let adopted = client.addresses.iter().filter(|(_, entry)| entry.schedule == Schedule::Adoption);
        for address in adopted.map(|(address, _)| *address).collect::<Vec<_>>() {
            self.address_unconfirmed(mac, address);
        }
    }

    /// A node-client address was found on `lo`: it stays where its client was adopted.
    pub(super) fn node_client_address_adopted(&mut self, address: Ipv6Addr) {
        let mac = self.config.node_client_prefix.client_of(address);
        if let Some(client) = mac.and_then(|mac| self.clients.get_mut(&mac)) {
            client.holds_node_client_address = true;
        }
    }
}
