//! Asking the kernel for everything it knows.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::LinkMessage;

use super::error::{Context, KernelError};
use super::tun::Tun;
use super::{Kernel, address, facts, neighbour, route, sys};
use crate::engine::input::Input;
use crate::gather::gather;
use crate::net::IfIndex;

impl Kernel {
    /// Everything the kernel knows, as facts: links first, those that are gone since the last dump among them, then forwarding
    /// databases, then neighbours, then stations. For the start, after [`Event::StateLost`](super::Event::StateLost) and for [`Action::Rescan`](crate::engine::Action::Rescan). Probes need one dump before.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub async fn dump(&mut self) -> Result<Vec<Input>, KernelError> {
        self.repair_tun().await?;
        let request = || RouteNetlinkMessage::GetLink(LinkMessage::default());
        let links = self.requests.dump(&request).await.context("dump", "links")?;
        let addresses = address::dump(&mut self.requests).await?;
        let mut gone = self.interfaces.indices();
        let mut facts = Vec::with_capacity(links.len());
        for message in links {
            if let RouteNetlinkMessage::NewLink(link) = &message {
                gone.retain(|index| index.0 != link.header.index);
            }
            facts.extend(self.fact(message));
        }
        // Those whose end was among what was lost.
        for index in gone {
            self.link_gone(index);
            facts.push(Input::LinkGone(index));
        }
        self.interfaces.forget_addresses();
        for address in addresses {
            facts.push(Input::OwnAddressSeen(address.address));
            self.interfaces.address_seen(address);
        }
        for forwarding in [true, false] {
            for message in neighbour::dump(&mut self.requests, forwarding).await? {
                facts.extend(self.fact(RouteNetlinkMessage::NewNeighbour(message)));
            }
        }
        facts.extend(self.stations());
        Ok(facts)
    }

    /// The stations of access points. A radio's driver that does not answer must not keep us from the rest.
    fn stations(&mut self) -> Vec<Input> {
        let Self { stations, scratch, counters, .. } = self;
        let Some(stations) = stations else { return Vec::new() };
        stations.dump(scratch, counters).unwrap_or_else(|error| {
            tracing::warn!(error = error.raw_os_error(), "the stations of access points cannot be read");
            Vec::new()
        })
    }

    /// Makes the TUN anew where it is gone; its removal may have been among messages that were lost.
    pub(super) async fn repair_tun(&mut self) -> Result<(), KernelError> {
        let tun = &self.settings.tun;
        if self.tun_lost || sys::device::interface_index(tun).is_err() {
            self.tun = Tun::open(tun, &mut self.requests).await?;
            self.tun_lost = false;
            return Ok(());
        }
        self.tun.bring_up(tun, &mut self.requests).await
    }

    /// What an earlier run left: host routes of served clients in any table that point at an interface, and node-client addresses.
    ///
    /// Drained routes are not told, and so go with the first comparison: who the earlier run handed the client to died with it, and as
    /// long as the route stood this node could not learn the way there. What still comes is caught by the prefix route.
    ///
    /// # Errors
    /// Where the kernel does not answer.
    pub async fn dump_own(&mut self) -> Result<Vec<Input>, KernelError> {
        let neighbours = neighbour::dump(&mut self.requests, false).await?;
        let neighbours: BTreeMap<_, _> = gather(
            neighbours
                .iter()
                .filter_map(facts::neighbour)
                .map(|neighbour| ((neighbour.fact.interface, neighbour.fact.address), neighbour.fact.mac)),
        );
        let mut found = Vec::new();
        for (route, message) in route::dump(&mut self.requests, self.settings.protocols.served).await? {
            let elsewhere = [IfIndex(0), facts::LOOPBACK, self.tun.index()].contains(&route.interface);
            if elsewhere || !route.is_host() || !route::is_unicast(&message) {
                continue;
            }
            let address = route.destination.address();
            let client = neighbours.get(&(route.interface, address)).copied().flatten();
            let (interface, table) = (route.interface, route.table);
            found.push(Input::RouteAdopted { address, interface, table, client });
        }
        for address in self.node_client_addresses().await? {
            found.push(Input::NodeClientAddressAdopted(address));
        }
        Ok(found)
    }

    /// The node-client addresses on `lo`.
    pub(super) async fn node_client_addresses(&mut self) -> Result<Vec<Ipv6Addr>, KernelError> {
        let prefix = self.settings.node_client_prefix;
        let node_address = self.settings.node_address;
        Ok(address::dump(&mut self.requests)
            .await?
            .into_iter()
            .filter_map(|found| match found.address {
                IpAddr::V6(address)
                    if found.interface == facts::LOOPBACK
                        && found.length == 128
                        && address != node_address
                        && prefix.client_of(address).is_some() =>
                {
                    Some(address)
                }
                _ => None,
            })
            .collect())
    }
}
