//! Addresses: the node-client addresses on `lo`, and what our interfaces have for probes to come from.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::error::{Context, KernelError, is_errno};
use super::facts::LOOPBACK;
use super::netlink::Requests;
use crate::net::IfIndex;

/// An address of an interface of this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address {
    /// Where it is.
    pub(super) interface: IfIndex,
    /// What it is.
    pub(super) address: IpAddr,
    /// How many bits of it the link has in common.
    pub(super) length: u8,
    /// Duplicate address detection has not let it pass: not to be used.
    pub(super) tentative: bool,
}

impl Address {
    /// What an address message says. On a point-to-point interface IFA_ADDRESS is the other end and IFA_LOCAL ours.
    pub(super) fn read(message: &AddressMessage) -> Option<Self> {
        let header = &message.header;
        let mut address = None;
        let mut local = None;
        let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
        let mut flags = AddressFlags::from_bits_retain(header.flags.bits().into());
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Address(a) => address = Some(*a),
                AddressAttribute::Local(a) => local = Some(*a),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        Some(Self {
            interface: IfIndex(header.index),
            address: local.or(address)?,
            length: header.prefix_len,
            tentative: flags.intersects(unusable),
        })
    }
}

fn message(address: Ipv6Addr) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = 128;
    message.header.index = LOOPBACK.0;
    message.header.scope = AddressScope::Universe;
    message.attributes.push(AddressAttribute::Local(address.into()));
    message.attributes.push(AddressAttribute::Address(address.into()));
    message
}

/// Puts the address on `lo`, usable at once.
pub(super) async fn add(requests: &mut Requests, address: Ipv6Addr) -> Result<(), KernelError> {
    let mut message = message(address);
    message.header.flags = AddressHeaderFlags::Nodad;
    match requests.change(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_EXCL).await {
        Err(error) if is_errno(&error, &[libc::EEXIST]) => Ok(()),
        result => result.context("add to lo the address", address),
    }
}

/// Takes the address off `lo`. What is not there is success.
pub(super) async fn remove(requests: &mut Requests, address: Ipv6Addr) -> Result<(), KernelError> {
    match requests.change(RouteNetlinkMessage::DelAddress(message(address)), 0).await {
        Err(error) if is_errno(&error, &[libc::EADDRNOTAVAIL, libc::ENODEV]) => Ok(()),
        result => result.context("remove from lo the address", address),
    }
}

/// Dumps all addresses of this node.
pub(super) async fn dump(requests: &mut Requests) -> Result<Vec<Address>, KernelError> {
    let request = || RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answers = requests.dump(&request).await.context("dump", "addresses")?;
    Ok(answers
        .iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => Address::read(message),
            _ => None,
        })
        .collect())
}
