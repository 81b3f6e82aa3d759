//! Repair: what somebody else removes from the kernel comes back.
//!
//! An administrator's `ip route flush`, a routing daemon that cleans up, or a script removes a
//! route or an address of ours. The event tells it at once, and the kernel's state is compared with
//! the desired one soon after. Removed neighbour entries are put back by
//! [`presence`](super::presence).

use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::output::{Action, HostRoute, RouteKind};
use super::timers::Timer;
use crate::net::Prefix;

/// From the event to the comparison. One command removes many routes, and a vanishing interface
/// tells its routes first: by then it is known, and its clients have left.
const DELAY: Duration = Duration::from_millis(50);
/// Between two comparisons, so that a fight with another program costs little.
const INTERVAL: Duration = Duration::from_millis(500);

impl Engine {
    /// A host route of our protocols was removed. Those that this daemon removes are not desired
    /// any more.
    pub(super) fn route_gone(&mut self, route: HostRoute) {
        let desired = match route.kind {
            RouteKind::Drained => self.is_drained(route.address),
            RouteKind::Served(interface) => {
                !self.is_drained(route.address)
                    && self.served_client(route.address).is_some_and(|client| client.interface == interface)
            }
        };
        if desired && route.table == self.config.export_table {
            self.repair_soon();
        }
    }

    /// The route of a client prefix was removed.
    pub(super) fn prefix_route_gone(&mut self, prefix: Prefix) {
        if self.config.prefixes.contains(&prefix) {
            self.repair_soon();
        }
    }

    /// This node lost an address: one of its own, or the node-client address of a client that is
    /// served here.
    pub(super) fn own_address_gone(&mut self, address: IpAddr) {
        self.own_addresses.remove(&address);
        let IpAddr::V6(v6) = address else { return };
        let client = self.config.node_client_prefix.client_of(v6).and_then(|mac| self.clients.get(&mac));
        if client.is_some_and(|client| client.holds_node_client_address) {
            self.repair_soon();
        }
    }

    fn repair_soon(&mut self) {
        if self.timers.get(&Timer::Repair).is_none() {
            let next = self.repaired.map_or(self.now, |at| at + INTERVAL);
            self.set_timer(Timer::Repair, next.max(self.now + DELAY));
        }
    }

    pub(super) fn repair_due(&mut self) {
        self.repaired = Some(self.now);
        self.act(Action::Reconcile);
    }
}
