//! Carrying out actions.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::error::{Context, KernelError, is_errno};
use super::route::{Route, TABLE_MAIN};
use super::{Kernel, address, neighbour, route};
use crate::engine::input::{FailureReason, Input};
use crate::engine::output::{Action, HostRoute, RouteKind};
use crate::net::{IfIndex, Mac, Prefix};
use crate::wire::frame;

impl Kernel {
    /// Carries out one action. `None` is success; a look-up gives its answer, a failure [`Input::ActionFailed`].
    ///
    /// [`Action::Rescan`] and [`Action::Reconcile`] are the daemon's, by [`Kernel::dump`] and [`Kernel::reconcile`]: they are
    /// ignored here.
    pub async fn apply(&mut self, action: Action) -> Option<Input> {
        match self.carry_out(&action).await {
            Ok(answer) => answer,
            Err(error) => {
                self.counters.actions_failed += 1;
                tracing::debug!(%error, "action failed");
                if matches!(error, KernelError::NeighbourTableFull(_)) && !self.table_full {
                    self.table_full = true;
                    tracing::warn!("the kernel's neighbour table is full: raise gc_thresh3");
                }
                let reason = match error {
                    KernelError::Occupied(_) => FailureReason::Occupied,
                    _ => FailureReason::Refused,
                };
                Some(Input::ActionFailed { action: Box::new(action), reason })
            }
        }
    }

    async fn carry_out(&mut self, action: &Action) -> Result<Option<Input>, KernelError> {
        match action {
            Action::InstallRoute(host) => {
                let (route, second) = (self.host_route(host), self.second_route(host));
                let protocols = self.settings.protocols.of_hosts();
                route::install(&mut self.requests, &route, &protocols).await?;
                if let Some(second) = second {
                    route::install(&mut self.requests, &second, &protocols).await?;
                }
                // A second route of the other kind may be left.
                if let (Some(metric), RouteKind::Served(_)) = (self.settings.drain_metric, host.kind) {
                    let drained = self.host_route(&HostRoute { kind: RouteKind::Drained, ..*host });
                    route::uninstall(&mut self.requests, &Route { metric, ..drained }).await?;
                }
                return Ok(Some(Input::RouteInstalled(*host)));
            }
            Action::UninstallRoute(host) => {
                for route in [Some(self.host_route(host)), self.second_route(host)].into_iter().flatten() {
                    route::uninstall(&mut self.requests, &route).await?;
                }
            }
            Action::InstallPrefixRoute(prefix) => {
                let route = self.prefix_route(*prefix);
                route::install(&mut self.requests, &route, &[self.settings.protocols.prefix]).await?;
            }
            Action::UninstallPrefixRoute(prefix) => {
                let route = self.prefix_route(*prefix);
                route::uninstall(&mut self.requests, &route).await?;
            }
            Action::InstallNeighbour(entry) => {
                neighbour::install(&mut self.requests, entry).await?;
                self.table_full = false;
                return Ok(Some(Input::NeighbourInstalled(*entry)));
            }
            Action::UninstallNeighbour(entry) => neighbour::uninstall(&mut self.requests, entry).await?,
            Action::AddNodeClientAddress(address) => address::add(&mut self.requests, *address).await?,
            Action::RemoveNodeClientAddress(address) => {
                address::remove(&mut self.requests, *address).await?;
            }
            Action::LookupRoute(address) => {
                let found = route::look_up(&mut self.requests, *address, self.tun.index()).await?;
                return Ok(Some(Input::RouteLookedUp { address: *address, found }));
            }
            Action::ReleasePacket(packet) => self.release(packet)?,
            Action::JoinMesh(interface) => self.intercom.join(*interface)?,
            Action::LeaveMesh(interface) => self.intercom.leave(*interface)?,
            Action::SendIntercom { destination, datagram } => {
                self.intercom.send(*destination, datagram).await?;
            }
            Action::Listen(interface) => {
                if self.settings.sources.ndp {
                    self.packets.listen(*interface).context("listen on interface", interface)?;
                }
            }
            Action::StopListening(interface) => self.packets.stop(*interface),
            Action::Probe { interface, address, client } => {
                self.probe(*interface, *address, *client).context("probe", address)?;
            }
            Action::QueryClient { interface, client } => {
                self.query(*interface, *client).context("query on interface", interface)?;
            }
            Action::Advertise { interface, client } => {
                self.advertise(*interface, *client).context("advertise on interface", interface)?;
            }
            Action::Announce { interface, port } => {
                let (from, source) = self.speaker(*interface).context("announce on interface", interface)?;
                let frame = frame::echo_request(from, source, None, Some(self.settings.node_address));
                self.packets.send(*port, &frame).context("announce on port", port)?;
            }
            Action::Unlearn { port, client } => {
                neighbour::unlearn(&mut self.requests, *port, *client).await?;
            }
            Action::SendUnreachable { to, packet } => {
                self.icmp.send_unreachable(*to, packet).context("send ICMP error to", to)?;
            }
            Action::Rescan | Action::Reconcile => {}
        }
        Ok(None)
    }

    fn probe(&self, interface: IfIndex, address: IpAddr, client: Option<Mac>) -> io::Result<()> {
        let (from, source) = self.speaker(interface)?;
        let frame = match address {
            IpAddr::V6(target) => frame::neighbour_solicitation(from, source, target, client),
            IpAddr::V4(target) => {
                frame::arp_request(from, self.interfaces.sender_for(interface, target), target, client)
            }
        };
        self.packets.send(interface, &frame)
    }

    fn query(&self, interface: IfIndex, client: Mac) -> io::Result<()> {
        let (from, source) = self.speaker(interface)?;
        self.packets.send(interface, &frame::mld_query(from, source, client))?;
        let v4_source = self.interfaces.sender_for(interface, Ipv4Addr::UNSPECIFIED);
        self.packets.send(interface, &frame::igmp_query(from, v4_source, client))?;
        // A host answers from an address of the same scope: only a question from beyond the link makes it tell such an address.
        for source in [source].into_iter().chain(self.interfaces.beyond_link(interface)) {
            let node = self.settings.node_address;
            self.packets.send(interface, &frame::echo_request(from, source, Some(client), Some(node)))?;
        }
        Ok(())
    }

    fn advertise(&self, interface: IfIndex, client: Mac) -> io::Result<()> {
        let (from, source) = self.speaker(interface)?;
        for address in self.interfaces.addresses(interface) {
            let frame = match address {
                IpAddr::V6(target) => frame::neighbour_advertisement(from, source, target, client),
                IpAddr::V4(address) => frame::gratuitous_arp(from, address, client),
            };
            self.packets.send(interface, &frame)?;
        }
        Ok(())
    }

    /// The MAC and the link-local address by which we speak on an interface.
    fn speaker(&self, interface: IfIndex) -> io::Result<(Mac, Ipv6Addr)> {
        let mac = self.interfaces.mac(interface);
        mac.zip(self.interfaces.link_local(interface))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    fn release(&mut self, packet: &[u8]) -> Result<(), KernelError> {
        match self.tun.write(packet) {
            Err(error) if is_errno(&error, &[libc::EAGAIN, libc::ENOBUFS]) => self.counters.tun_full += 1,
            result => result.context("write to TUN", &self.settings.tun)?,
        }
        Ok(())
    }

    pub(super) fn host_route(&self, host: &HostRoute) -> Route {
        let (protocol, interface) = match host.kind {
            RouteKind::Served(interface) => (self.settings.protocols.served, interface),
            RouteKind::Drained => (self.settings.protocols.drained, self.tun.index()),
        };
        let (destination, metric) = (Prefix::host(host.address), self.settings.metric);
        Route { destination, table: host.table, metric, protocol, interface }
    }

    /// The route beside a drained one, where one is wanted.
    pub(super) fn second_route(&self, host: &HostRoute) -> Option<Route> {
        let metric = self.settings.drain_metric.filter(|_| host.kind == RouteKind::Drained)?;
        Some(Route { metric, ..self.host_route(host) })
    }

    pub(super) fn prefix_route(&self, prefix: Prefix) -> Route {
        Route {
            destination: prefix,
            table: TABLE_MAIN,
            metric: self.settings.metric,
            protocol: self.settings.protocols.prefix,
            interface: self.tun.index(),
        }
    }
}
