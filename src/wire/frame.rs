//! Ethernet frames of neighbour discovery: what clients say about themselves, and what we ask them.
//!
//! The fixed headers are `pnet_packet`'s. The options of neighbour discovery are not: pnet 0.35 overflows on an option
//! of length 32 and more and takes one of length 0.

mod arp;
mod build;
mod igmp;
mod mld;
mod ndp;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv6Addr};

use pnet_packet::Packet as _;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::icmpv6::{self, Icmpv6Code, Icmpv6Packet, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv6::Ipv6Packet;

use super::codec::Short;
use super::ipv6::upper_layer;
use crate::net::{Mac, is_host_address};

pub use build::{
    arp_request, echo_request, gratuitous_arp, igmp_query, mld_query, neighbour_advertisement,
    neighbour_solicitation,
};

/// The Ethernet types of the frames that [`parse`] may be interested in: IPv6, ARP and IPv4. For the kernel's packet filter.
pub const ETHERTYPES: [u16; 3] = [EtherTypes::Ipv6.0, EtherTypes::Arp.0, EtherTypes::Ipv4.0];

/// What a frame says about its sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FrameContent {
    /// The sender uses this address: it is the source of a neighbour or router solicitation, of an MLD report or an echo
    /// reply, the target of an advertisement, the sender address of an ARP packet, or the source of an IGMP report.
    Uses(IpAddr),
    /// The sender is about to use this address: duplicate address detection (RFC 4862 section 5.4) or an
    /// ARP probe (RFC 5227 section 2.1.1).
    WantsToUse(IpAddr),
    /// The sender listens to these solicited-node groups: the low 24 bits of its IPv6 addresses (MLD report). At most 64.
    ListensTo(Vec<[u8; 3]>),
    /// The sender is the node of this address, and asks a client or tells who it is ([`echo_request`]).
    AskedBy(Ipv6Addr),
}

/// A frame that says something about its sender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The Ethernet source.
    pub source: Mac,
    /// What it says, in the order of the frame; at least one entry.
    pub contents: Vec<FrameContent>,
}

/// Why a frame says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// Shorter than its headers say.
    #[error("truncated")]
    Truncated,
    /// Not neighbour discovery, MLD, echo reply, ARP or IGMP.
    #[error("of no interest")]
    NotOfInterest,
    /// Breaks a rule of its RFC that makes it invalid (hop limit, code, option of length 0, checksum, addresses).
    #[error("invalid")]
    Invalid,
}

impl From<Short> for FrameError {
    fn from(Short: Short) -> Self {
        Self::Truncated
    }
}

/// Reads an Ethernet frame.
///
/// A frame with an 802.1Q tag belongs to another network than its port and is of no interest. (Linux takes the tag off before
/// a packet socket sees the frame and tells it aside, in `PACKET_AUXDATA` or to the filter: who reads from one must look
/// there.) Addresses that no host can
/// have are not reported; a frame that says nothing else is of no interest either.
///
/// # Errors
/// Where the frame says nothing about its sender.
pub fn parse(frame: &[u8]) -> Result<Frame, FrameError> {
    let ethernet = EthernetPacket::new(frame).ok_or(FrameError::Truncated)?;
    let source = Mac(ethernet.get_source().octets());
    let mut contents = match ethernet.get_ethertype() {
        EtherTypes::Arp => arp::parse(source, ethernet.payload())?,
        EtherTypes::Ipv6 => parse_ipv6(ethernet.payload())?,
        EtherTypes::Ipv4 => igmp::parse(ethernet.payload())?,
        _ => return Err(FrameError::NotOfInterest),
    };
    if !source.is_unicast() {
        return Err(FrameError::Invalid);
    }
    contents.retain(|content| match content {
        FrameContent::Uses(address) | FrameContent::WantsToUse(address) => is_host_address(*address),
        FrameContent::AskedBy(node) => is_host_address((*node).into()),
        FrameContent::ListensTo(suffixes) => !suffixes.is_empty(),
    });
    if contents.is_empty() { Err(FrameError::NotOfInterest) } else { Ok(Frame { source, contents }) }
}

/// An ICMPv6 message, its checksum verified, with what the validity rules want to know of the header before it.
struct Message<'a> {
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    /// From the type on; at least the four bytes that all messages begin with.
    bytes: &'a [u8],
    code: Icmpv6Code,
}

fn parse_ipv6(packet: &[u8]) -> Result<Vec<FrameContent>, FrameError> {
    let header = Ipv6Packet::new(packet).ok_or(FrameError::Truncated)?;
    if header.get_version() != 6 {
        return Err(FrameError::Invalid);
    }
    // What is longer is padding of the frame; `payload` cuts it off.
    let payload = header.payload();
    if payload.len() < usize::from(header.get_payload_length()) {
        return Err(FrameError::Truncated);
    }
    let upper = upper_layer(header.get_next_header(), payload).ok_or(FrameError::Truncated)?;
    // Neighbour discovery in fragments must be ignored (RFC 6980 section 5).
    if upper.protocol != IpNextHeaderProtocols::Icmpv6 || upper.fragment.is_some() {
        return Err(FrameError::NotOfInterest);
    }
    let icmp = Icmpv6Packet::new(upper.payload).ok_or(FrameError::Truncated)?;
    let kind = icmp.get_icmpv6_type();
    let read = match kind {
        Icmpv6Types::NeighborSolicit => ndp::solicitation,
        Icmpv6Types::NeighborAdvert => ndp::advertisement,
        Icmpv6Types::RouterSolicit => ndp::router_solicitation,
        Icmpv6Types::EchoReply => echo_reply,
        Icmpv6Types::EchoRequest => echo_of_node,
        mld::REPORT_V1 => mld::report_v1,
        mld::REPORT_V2 => mld::report_v2,
        _ => return Err(FrameError::NotOfInterest),
    };
    let (source, destination) = (header.get_source(), header.get_destination());
    if icmp.get_checksum() != icmpv6::checksum(&icmp, &source, &destination) {
        return Err(FrameError::Invalid);
    }
    let hop_limit = header.get_hop_limit();
    read(&Message { source, destination, hop_limit, bytes: upper.payload, code: icmp.get_icmpv6_code() })
}

/// RFC 4443 section 4.2.
fn echo_reply(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    if message.code != Icmpv6Code(0) {
        return Err(FrameError::Invalid);
    }
    Ok(vec![FrameContent::Uses(message.source.into())])
}

/// An echo request that tells which node asks; any other says nothing.
fn echo_of_node(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let identifier = message.bytes.get(4..6) == Some(&build::ECHO_IDENTIFIER.to_be_bytes());
    let node = message.bytes.get(8..).and_then(|data| data.strip_prefix(&build::NODE_MARK));
    let node = node.filter(|_| identifier && message.hop_limit == ndp::HOP_LIMIT);
    match node.and_then(|node| <[u8; 16]>::try_from(node).ok()) {
        Some(node) => Ok(vec![FrameContent::AskedBy(node.into())]),
        None => Err(FrameError::NotOfInterest),
    }
}
