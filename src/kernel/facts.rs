//! Netlink messages to facts. A message without an attribute that its fact needs says nothing.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as Nud,
};

use super::route::PROTOCOL;
use crate::engine::input::{FdbEntry, Link, NeighbourFact, NeighbourState};
use crate::net::{IfIndex, Mac};

/// The loopback interface has this number in every network namespace (LOOPBACK_IFINDEX in the kernel).
pub(super) const LOOPBACK: IfIndex = IfIndex(1);

/// A MAC, where there are six bytes.
pub(super) fn mac_of(bytes: &[u8]) -> Option<Mac> {
    bytes.try_into().ok().map(Mac)
}

/// Reads RTM_NEWLINK. Messages of another family tell of bridge ports and IPv6 settings, those with IFLA_WIRELESS of
/// wireless events; neither carries the whole interface.
pub(super) fn link(message: &LinkMessage) -> Option<Link> {
    if !is_whole_link(message) {
        return None;
    }
    let mut name = None;
    let mut mac = None;
    let mut master = None;
    let mut lower = None;
    let mut elsewhere = false;
    let mut kind = None;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = text.parse().ok(),
            LinkAttribute::Address(bytes) => mac = mac_of(bytes),
            LinkAttribute::Controller(index) => master = Some(IfIndex(*index)),
            LinkAttribute::Link(index) => lower = Some(IfIndex(*index)),
            LinkAttribute::LinkNetNsId(_) => elsewhere = true,
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            LinkAttribute::Wireless(_) => return None,
            _ => {}
        }
    }
    Some(Link {
        index: IfIndex(message.header.index),
        name: name?,
        mac: mac.filter(|mac| *mac != Mac::default()),
        up: message.header.flags.contains(LinkFlags::Up),
        running: message.header.flags.contains(LinkFlags::Running),
        master,
        bridge: kind == Some(&InfoKind::Bridge),
        peer: lower.filter(|_| kind == Some(&InfoKind::Veth) && !elsewhere),
    })
}

/// Whether a link message tells of the interface itself.
pub(super) fn is_whole_link(message: &LinkMessage) -> bool {
    message.header.interface_family == AddressFamily::Unspec
}

/// Reads a neighbour message of family AF_BRIDGE. Entries without NDA_MASTER belong to no bridge.
pub(super) fn fdb(message: &NeighbourMessage) -> Option<FdbEntry> {
    if message.header.family != AddressFamily::Bridge {
        return None;
    }
    let mut mac = None;
    let mut bridge = None;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_of(bytes),
            NeighbourAttribute::Controller(index) => bridge = Some(IfIndex(*index)),
            _ => {}
        }
    }
    let header = &message.header;
    Some(FdbEntry {
        bridge: bridge?,
        port: IfIndex(header.ifindex),
        mac: mac?,
        permanent: matches!(header.state, Nud::Permanent | Nud::Noarp)
            || header.flags.contains(NeighbourFlags::Own),
    })
}

/// A neighbour entry with our mark: NDA_PROTOCOL.
pub(super) struct Neighbour {
    /// What it says.
    pub(super) fact: NeighbourFact,
    /// Made by this daemon beyond doubt, not only by some control plane (an EVPN daemon sets NTF_EXT_LEARNED too).
    pub(super) marked: bool,
}

/// Reads a neighbour message of family AF_INET or AF_INET6. Entries of `lo`, of multicast addresses and proxy entries say nothing.
pub(super) fn neighbour(message: &NeighbourMessage) -> Option<Neighbour> {
    let header = &message.header;
    let interface = IfIndex(header.ifindex);
    if interface == LOOPBACK || header.flags.contains(NeighbourFlags::Proxy) || header.state == Nud::Noarp {
        return None;
    }
    let mut address = None;
    let mut mac = None;
    let mut protocol = 0;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(IpAddr::V4(*a)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => address = Some(IpAddr::V6(*a)),
            NeighbourAttribute::LinkLayerAddress(bytes) => mac = mac_of(bytes),
            NeighbourAttribute::Protocol(number) => protocol = u8::from(*number),
            _ => {}
        }
    }
    let address = address.filter(|address| !address.is_multicast())?;
    let ours = header.flags.contains(NeighbourFlags::ExtLearned);
    let state = match header.state {
        Nud::Reachable => NeighbourState::Reachable,
        Nud::Stale => NeighbourState::Stale,
        Nud::Delay => NeighbourState::Delayed,
        Nud::Probe => NeighbourState::Probing,
        Nud::Failed => NeighbourState::Failed,
        Nud::Permanent | Nud::Noarp => NeighbourState::Permanent,
        _ => NeighbourState::Incomplete,
    };
    Some(Neighbour {
        fact: NeighbourFact { interface, address, mac, state, ours },
        marked: ours && protocol == PROTOCOL,
    })
}
