//! Routes: build, install, uninstall, look up, dump.

use std::fmt;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::{Context, KernelError, is_errno};
use super::netlink::Requests;
use crate::engine::config::Protocols;
use crate::engine::input::{Input, RouteLookup};
use crate::engine::output::{HostRoute, RouteKind};
use crate::net::{IfIndex, Prefix};

/// The mark of neighbour entries (NDA_PROTOCOL), whatever the routes carry.
pub(super) const PROTOCOL: u8 = 158;
/// RT_TABLE_MAIN.
pub(super) const TABLE_MAIN: u32 = 254;
/// RT_TABLE_LOCAL: the node's own addresses.
const TABLE_LOCAL: u32 = 255;
/// What a routing daemon gives a route that is to count as none (babeld's and the C daemon's KERNEL_INFINITY).
const METRIC_INFINITY: u32 = 0xffff;

/// A route as we name it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Route {
    /// Where to.
    pub(super) destination: Prefix,
    /// In which table.
    pub(super) table: u32,
    /// The kernel's preference (RTA_PRIORITY).
    pub(super) metric: u32,
    /// Who made it.
    pub(super) protocol: u8,
    /// The interface it points at; 0 where it points at none.
    pub(super) interface: IfIndex,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in table {} to interface {} metric {}",
            self.destination, self.table, self.interface, self.metric
        )
    }
}

impl Route {
    fn message(&self) -> RouteMessage {
        let mut message = query(self.destination.address(), self.table, self.protocol);
        message.header.destination_prefix_length = self.destination.length();
        message.header.kind = RouteType::Unicast;
        // A neighbour on the link, without a gateway. IPv6 knows no scopes.
        if self.destination.address().is_ipv4() {
            message.header.scope = RouteScope::Link;
        }
        message.attributes.push(RouteAttribute::Destination(self.destination.address().into()));
        message.attributes.push(RouteAttribute::Oif(self.interface.0));
        message.attributes.push(RouteAttribute::Priority(self.metric));
        message
    }

    /// What a route message says; `None` for what no command of ours could have made (source routing, TOS, other families).
    pub(super) fn read(message: &RouteMessage) -> Option<Self> {
        let header = &message.header;
        let mut route = Self {
            destination: Prefix::host(unspecified(header.address_family)?),
            table: header.table.into(),
            metric: 0,
            protocol: header.protocol.into(),
            interface: IfIndex(0),
        };
        let mut destination = route.destination.address();
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Destination(RouteAddress::Inet(a)) => destination = IpAddr::V4(*a),
                RouteAttribute::Destination(RouteAddress::Inet6(a)) => destination = IpAddr::V6(*a),
                RouteAttribute::Oif(index) => route.interface = IfIndex(*index),
                RouteAttribute::Priority(metric) => route.metric = *metric,
                RouteAttribute::Table(table) => route.table = *table,
                RouteAttribute::MultiPath(hops) => {
                    if let Some(hop) = hops.first() {
                        route.interface = IfIndex(hop.interface_index);
                    }
                }
                _ => {}
            }
        }
        route.destination = Prefix::new(destination, header.destination_prefix_length).ok()?;
        Some(route)
    }

    /// Whether it leads to one address.
    pub(super) fn is_host(&self) -> bool {
        self.destination == Prefix::host(self.destination.address())
    }
}

/// Whether a route leads to an interface, and is not one that refuses.
pub(super) fn is_unicast(message: &RouteMessage) -> bool {
    message.header.kind == RouteType::Unicast
}

/// The address whose host route a RTM_NEWROUTE tells of, where that is anybody's news: not the kernel's own routes and those of
/// this daemon to its TUN.
pub(super) fn host_route_seen(message: &RouteMessage, ours: Protocols, tun: IfIndex) -> Option<IpAddr> {
    let header = &message.header;
    let route = Route::read(message)?;
    let of_no_interest = header.kind != RouteType::Unicast
        || header.flags.contains(RouteFlags::Cloned)
        || header.protocol == RouteProtocol::Kernel
        || route.table == TABLE_LOCAL
        || !route.is_host()
        || (ours.all().contains(&route.protocol) && route.interface == tun);
    (!of_no_interest).then_some(route.destination.address())
}

/// What a RTM_DELROUTE tells of a route of this daemon's protocols; `None` for those of others.
pub(super) fn own_route_gone(message: &RouteMessage, ours: Protocols) -> Option<Input> {
    if message.header.kind != RouteType::Unicast || message.header.flags.contains(RouteFlags::Cloned) {
        return None;
    }
    let route = Route::read(message)?;
    let host = |kind| HostRoute { address: route.destination.address(), kind, table: route.table };
    match route.protocol {
        protocol if protocol == ours.prefix => Some(Input::PrefixRouteGone(route.destination)),
        _ if !route.is_host() => None,
        protocol if protocol == ours.served => {
            Some(Input::RouteGone(host(RouteKind::Served(route.interface))))
        }
        protocol if protocol == ours.drained => Some(Input::RouteGone(host(RouteKind::Drained))),
        _ => None,
    }
}

/// Installs a route: creates it, or replaces one of `protocols` in place, in one message; never one of another.
///
/// # Errors
/// [`KernelError::Occupied`] where a route of another protocol has the same destination, table and metric.
pub(super) async fn install(
    requests: &mut Requests,
    route: &Route,
    protocols: &[u8],
) -> Result<(), KernelError> {
    // Once more where the route that was in the way vanished meanwhile.
    for _ in 0..2 {
        let message = RouteNetlinkMessage::NewRoute(route.message());
        match requests.change(message, NLM_F_CREATE | NLM_F_EXCL).await {
            Err(error) if is_errno(&error, &[libc::EEXIST]) => {}
            result => return result.context("install route", route),
        }
        match standing(requests, route, protocols)
            .await
            .context("look for what stands in the way of route", route)?
        {
            Standing::Same => return Ok(()),
            Standing::Foreign => return Err(KernelError::Occupied(route.to_string())),
            Standing::Ours => {
                let message = RouteNetlinkMessage::NewRoute(route.message());
                return requests.change(message, NLM_F_REPLACE).await.context("replace route", route);
            }
            Standing::Nothing => {}
        }
    }
    Err(KernelError::Occupied(route.to_string()))
}

/// Removes a route: where protocol, table, destination, metric and interface are the same. The interface counts because the
/// route may have been replaced by one to another interface, which stays. What is not there is success.
pub(super) async fn uninstall(requests: &mut Requests, route: &Route) -> Result<(), KernelError> {
    let mut message = route.message();
    if route.destination.address().is_ipv4() {
        // RT_SCOPE_NOWHERE matches any.
        message.header.scope = RouteScope::NoWhere;
    }
    absent_is_success(requests.change(RouteNetlinkMessage::DelRoute(message), 0).await)
        .context("uninstall route", route)
}

/// Removes a route as it was dumped, of whatever type it is.
pub(super) async fn uninstall_dumped(
    requests: &mut Requests,
    mut message: RouteMessage,
) -> Result<(), KernelError> {
    let name = Route::read(&message).map_or_else(String::new, |route| route.to_string());
    // The kernel's own additions (cache information, preference, metrics) are no part of the name.
    message.attributes.retain(|attribute| {
        matches!(
            attribute,
            RouteAttribute::Destination(_)
                | RouteAttribute::Oif(_)
                | RouteAttribute::Priority(_)
                | RouteAttribute::Table(_)
        )
    });
    message.header.flags = RouteFlags::empty();
    absent_is_success(requests.change(RouteNetlinkMessage::DelRoute(message), 0).await)
        .context("uninstall route", name)
}

fn absent_is_success(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_errno(&error, &[libc::ESRCH, libc::ENOENT, libc::ENODEV]) => Ok(()),
        result => result,
    }
}

/// What has the destination, table and metric of a route.
enum Standing {
    Nothing,
    /// The route itself.
    Same,
    /// One that it may replace: to another interface, or of another protocol of ours.
    Ours,
    Foreign,
}

/// Looks what stands in the way of a route.
///
/// The kernel offers no look-up by table. Mostly the route in question is the one that a packet would take: then one
/// look-up tells, however many routes there are. Else (another rule or a better metric wins) the table is dumped.
///
/// `NLM_F_REPLACE` takes the first route of the metric, and that is the one to look at. For IPv6 it is ours if any is: a later
/// one is only ever put behind (fib6_add_rt2node), and ours could only be created where none was; so the kernel may
/// filter by protocol. In IPv4 `ip route prepend` puts one before ours, so all are looked at.
async fn standing(requests: &mut Requests, route: &Route, protocols: &[u8]) -> io::Result<Standing> {
    if let Ok(Some(message)) = matching(requests, route.destination.address()).await {
        match compare(route, &message, protocols) {
            Standing::Nothing => {}
            standing => return Ok(standing),
        }
    }
    let all = [0];
    let (filters, mut found) = if route.destination.address().is_ipv4() {
        (&all[..], Standing::Nothing)
    } else {
        (protocols, Standing::Foreign)
    };
    for filter in filters {
        let request =
            || RouteNetlinkMessage::GetRoute(query(route.destination.address(), route.table, *filter));
        for message in requests.dump(&request).await? {
            let RouteNetlinkMessage::NewRoute(message) = message else { continue };
            match compare(route, &message, protocols) {
                Standing::Nothing => {}
                // Also where ours stands behind it: a replacement would hit this one.
                Standing::Foreign => return Ok(Standing::Foreign),
                Standing::Same => found = Standing::Same,
                Standing::Ours if matches!(found, Standing::Same) => {}
                Standing::Ours => found = Standing::Ours,
            }
        }
    }
    Ok(found)
}

/// What a route of the kernel is to one that is to be installed.
fn compare(route: &Route, message: &RouteMessage, protocols: &[u8]) -> Standing {
    match Route::read(message) {
        Some(other)
            if (other.destination, other.table, other.metric)
                == (route.destination, route.table, route.metric) =>
        {
            if !protocols.contains(&other.protocol) {
                Standing::Foreign
            } else if other == *route && is_unicast(message) {
                Standing::Same
            } else {
                Standing::Ours
            }
        }
        _ => Standing::Nothing,
    }
}

/// Dumps the routes of a protocol, of both families and all tables.
pub(super) async fn dump(
    requests: &mut Requests,
    protocol: u8,
) -> Result<Vec<(Route, RouteMessage)>, KernelError> {
    let mut all = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let request = || {
            let mut request = RouteMessage::default();
            request.header.address_family = family;
            request.header.protocol = RouteProtocol::from(protocol);
            RouteNetlinkMessage::GetRoute(request)
        };
        let answers = match requests.dump(&request).await {
            // A kernel without IPv6 has no such routes.
            Err(error) if is_errno(&error, &[libc::EOPNOTSUPP, libc::EAFNOSUPPORT, libc::ENOENT]) => continue,
            result => result.context("dump routes of protocol", protocol)?,
        };
        for message in answers {
            let RouteNetlinkMessage::NewRoute(message) = message else { continue };
            // Kernels before 4.20 do not filter; every kernel may tell of cached routes.
            if message.header.protocol != RouteProtocol::from(protocol)
                || message.header.flags.contains(RouteFlags::Cloned)
            {
                continue;
            }
            if let Some(route) = Route::read(&message) {
                all.push((route, message));
            }
        }
    }
    Ok(all)
}

/// Asks where a packet to the address would go: the entry of the table that matches, not its result.
pub(super) async fn look_up(
    requests: &mut Requests,
    address: IpAddr,
    tun: IfIndex,
) -> Result<RouteLookup, KernelError> {
    match matching(requests, address).await.context("look up route to", address)? {
        Some(message) => Ok(interpret(&message, tun)),
        None => Ok(RouteLookup::Other),
    }
}

/// The entry that a packet to the address would match, in the table where it stands.
async fn matching(requests: &mut Requests, address: IpAddr) -> io::Result<Option<RouteMessage>> {
    let mut request = query(address, 0, 0);
    request.header.destination_prefix_length = Prefix::host(address).length();
    request.header.flags = RouteFlags::FibMatch;
    if address.is_ipv4() {
        // IPv4 claims that it is the main table otherwise; IPv6 refuses the flag and tells the table always.
        request.header.flags |= RouteFlags::LookupTable;
    }
    request.attributes.push(RouteAttribute::Destination(address.into()));
    match requests.get(RouteNetlinkMessage::GetRoute(request)).await {
        Ok(Some(RouteNetlinkMessage::NewRoute(message))) => Ok(Some(message)),
        Ok(_) => Ok(None),
        // Answers of routes of the types unreachable, prohibit, throw and blackhole, and of no route at all.
        Err(error)
            if is_errno(
                &error,
                &[libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EACCES, libc::EAGAIN, libc::EINVAL],
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn interpret(message: &RouteMessage, tun: IfIndex) -> RouteLookup {
    match (message.header.kind, Route::read(message)) {
        (RouteType::Local, _) => RouteLookup::Local,
        (RouteType::Unicast, Some(route))
            if route.is_host() && route.metric < METRIC_INFINITY && route.interface != tun =>
        {
            RouteLookup::HostRoute { interface: route.interface, protocol: route.protocol }
        }
        (RouteType::Unicast, Some(route)) if !route.is_host() && route.interface != tun => {
            RouteLookup::Network(route.interface)
        }
        _ => RouteLookup::Other,
    }
}

fn unspecified(family: AddressFamily) -> Option<IpAddr> {
    match family {
        AddressFamily::Inet => Some(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)),
        AddressFamily::Inet6 => Some(IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED)),
        _ => None,
    }
}

/// A message that names family, table and protocol.
fn query(address: IpAddr, table: u32, protocol: u8) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family =
        if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.protocol = RouteProtocol::from(protocol);
    // The header's field has 8 bits; RTA_TABLE counts where it is there.
    message.header.table = u8::try_from(table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC);
    if table > u8::MAX.into() {
        message.attributes.push(RouteAttribute::Table(table));
    }
    message
}
