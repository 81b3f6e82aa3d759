//! Neighbour entries and the bridges' forwarding databases.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};
use netlink_packet_route::route::RouteProtocol;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::{Context, KernelError, is_errno};
use super::netlink::Requests;
use super::route::PROTOCOL;
use crate::engine::output::Neighbour;
use crate::net::{IfIndex, Mac};

fn name(neighbour: &Neighbour) -> String {
    format!("{} on interface {}", neighbour.address, neighbour.interface)
}

fn message(neighbour: &Neighbour) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family =
        if neighbour.address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    message.header.ifindex = neighbour.interface.0;
    message.attributes.push(NeighbourAttribute::Destination(neighbour.address.into()));
    message
}

/// Creates or replaces the entry: usable at once (STALE: the kernel checks it by unicast when it is used), kept by the
/// kernel's garbage collection (NTF_EXT_LEARNED), and known as ours (NDA_PROTOCOL).
pub(super) async fn install(requests: &mut Requests, neighbour: &Neighbour) -> Result<(), KernelError> {
    let mut message = message(neighbour);
    message.header.state = Nud::Stale;
    message.header.flags = NeighbourFlags::ExtLearned;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(neighbour.client.0.to_vec()));
    message.attributes.push(NeighbourAttribute::Protocol(RouteProtocol::from(PROTOCOL)));
    let result =
        requests.change(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE | NLM_F_REPLACE).await;
    match result {
        Err(error) if is_errno(&error, &[libc::ENOBUFS]) => {
            Err(KernelError::NeighbourTableFull(name(neighbour)))
        }
        result => result.context("install neighbour entry", name(neighbour)),
    }
}

/// Removes the entry of the address. What is not there is success.
pub(super) async fn uninstall(requests: &mut Requests, neighbour: &Neighbour) -> Result<(), KernelError> {
    match requests.change(RouteNetlinkMessage::DelNeighbour(message(neighbour)), 0).await {
        Err(error) if is_errno(&error, &[libc::ENOENT, libc::ENODEV, libc::ESRCH, libc::ENXIO]) => Ok(()),
        result => result.context("uninstall neighbour entry", name(neighbour)),
    }
}

/// Removes the entry of the MAC from the forwarding database of the port's bridge. What is not there is success.
pub(super) async fn unlearn(requests: &mut Requests, port: IfIndex, client: Mac) -> Result<(), KernelError> {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port.0;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(client.0.to_vec()));
    match requests.change(RouteNetlinkMessage::DelNeighbour(message), 0).await {
        // ENODEV: the port is gone. EOPNOTSUPP: it is no port any more.
        Err(error) if is_errno(&error, &[libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP]) => Ok(()),
        result => result.context("forget forwarding entry", format!("{client} behind interface {port}")),
    }
}

/// Dumps the neighbour tables of both families, or the forwarding databases.
pub(super) async fn dump(
    requests: &mut Requests,
    forwarding: bool,
) -> Result<Vec<NeighbourMessage>, KernelError> {
    let request = || {
        let mut request = NeighbourMessage::default();
        request.header.family = if forwarding { AddressFamily::Bridge } else { AddressFamily::Unspec };
        RouteNetlinkMessage::GetNeighbour(request)
    };
    let what = if forwarding { "forwarding databases" } else { "neighbour tables" };
    let answers = requests.dump(&request).await.context("dump", what)?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewNeighbour(message) => Some(message),
            _ => None,
        })
        .collect())
}
