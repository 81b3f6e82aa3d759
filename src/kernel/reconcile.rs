//! Comparing the kernel with what should stand there, and repairing the difference.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use super::error::KernelError;
use super::route::Route;
use super::{Kernel, address, facts, neighbour, route};
use crate::engine::output::{DesiredState, Neighbour};
use crate::gather::gather;

/// What a comparison found and repaired.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Repairs {
    /// Was missing, stands now.
    pub added: usize,
    /// Carried our mark and should not have been there.
    pub removed: usize,
    /// Could not be repaired.
    pub failed: usize,
}

impl Repairs {
    /// Whether the kernel was as it should be.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn count(&mut self, result: Result<(), KernelError>, success: fn(&mut Self) -> &mut usize) {
        match result {
            Ok(()) => *success(self) += 1,
            Err(error) => {
                tracing::debug!(%error, "repair failed");
                self.failed += 1;
            }
        }
    }

    fn added(&mut self) -> &mut usize {
        &mut self.added
    }

    fn removed(&mut self) -> &mut usize {
        &mut self.removed
    }
}

impl Kernel {
    /// Compares the kernel with `desired` and repairs it: routes of our protocols in all tables, neighbour entries with our mark,
    /// node-client addresses. A route that points at the wrong interface is replaced in place. Routes of other protocols are left
    /// alone.
    ///
    /// # Errors
    /// Where the kernel cannot be asked. A repair that fails is counted.
    pub async fn reconcile(&mut self, desired: &DesiredState) -> Result<Repairs, KernelError> {
        let mut repairs = Repairs::default();
        self.repair_tun().await?;
        self.reconcile_neighbours(desired, &mut repairs).await?;
        self.reconcile_routes(desired, &mut repairs).await?;
        self.reconcile_addresses(desired, &mut repairs).await?;
        Ok(repairs)
    }

    async fn reconcile_routes(
        &mut self,
        desired: &DesiredState,
        repairs: &mut Repairs,
    ) -> Result<(), KernelError> {
        let hosts =
            desired.routes.iter().flat_map(|host| [Some(self.host_route(host)), self.second_route(host)]);
        let prefixes = desired.prefixes.iter().map(|prefix| self.prefix_route(*prefix));
        let mut missing: BTreeSet<Route> = gather(hosts.flatten().chain(prefixes));
        let protocols = self.settings.protocols;
        let mut surplus = Vec::new();
        for protocol in protocols.all() {
            for (found, message) in route::dump(&mut self.requests, protocol).await? {
                if !(route::is_unicast(&message) && missing.remove(&found)) {
                    surplus.push((found, message));
                }
            }
        }
        for route in &missing {
            // Replaces the surplus one that differs in interface and kind alone: the destination is never without a route.
            let ours = if route.protocol == protocols.prefix {
                &[protocols.prefix][..]
            } else {
                &protocols.of_hosts()[..]
            };
            repairs.count(route::install(&mut self.requests, route, ours).await, Repairs::added);
        }
        for (found, message) in surplus {
            let place = |route: &Route| (route.destination, route.table, route.metric);
            if !missing.iter().any(|route| place(route) == place(&found)) {
                repairs.count(route::uninstall_dumped(&mut self.requests, message).await, Repairs::removed);
            }
        }
        Ok(())
    }

    async fn reconcile_neighbours(
        &mut self,
        desired: &DesiredState,
        repairs: &mut Repairs,
    ) -> Result<(), KernelError> {
        let mut missing: BTreeSet<Neighbour> = gather(desired.neighbours.iter().copied());
        let places: BTreeSet<_> = gather(missing.iter().map(|entry| (entry.interface, entry.address)));
        let mut surplus = Vec::new();
        for message in neighbour::dump(&mut self.requests, false).await? {
            let Some(facts::Neighbour { fact, marked }) = facts::neighbour(&message) else { continue };
            if !fact.ours {
                continue;
            }
            let found = Neighbour {
                interface: fact.interface,
                address: fact.address,
                client: fact.mac.unwrap_or_default(),
            };
            if !missing.remove(&found) && marked && !places.contains(&(found.interface, found.address)) {
                surplus.push(found);
            }
        }
        for entry in &surplus {
            repairs.count(neighbour::uninstall(&mut self.requests, entry).await, Repairs::removed);
        }
        for entry in &missing {
            repairs.count(neighbour::install(&mut self.requests, entry).await, Repairs::added);
        }
        Ok(())
    }

    async fn reconcile_addresses(
        &mut self,
        desired: &DesiredState,
        repairs: &mut Repairs,
    ) -> Result<(), KernelError> {
        let mut missing: BTreeSet<Ipv6Addr> = gather(desired.node_client_addresses.iter().copied());
        for found in self.node_client_addresses().await? {
            if !missing.remove(&found) {
                repairs.count(address::remove(&mut self.requests, found).await, Repairs::removed);
            }
        }
        for address in missing {
            repairs.count(address::add(&mut self.requests, address).await, Repairs::added);
        }
        Ok(())
    }
}
