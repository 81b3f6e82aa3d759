//! The questions we ask of clients, as frames for a packet socket.
//!
//! A question to a client that can be named is framed to its MAC, whatever IP group it is for (RFC 6085 allows that): a
//! snooping bridge drops a frame to a group whose members it has not heard of, and lets a unicast frame pass.

use std::net::{Ipv4Addr, Ipv6Addr};

use pnet_packet::MutablePacket as _;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherType, EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::icmpv6::ndp::NdpOptionTypes;
use pnet_packet::icmpv6::{Icmpv6Type, Icmpv6Types};
use pnet_packet::ip::{IpNextHeaderProtocol, IpNextHeaderProtocols};
use pnet_packet::ipv4::MutableIpv4Packet;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use pnet_packet::util;

use super::{arp, igmp, mld, ndp};
use crate::net::Mac;
use crate::wire::codec::Writer;

/// ff02::1, which every host listens to and every snooping bridge floods (RFC 4541 section 3).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// ff02::1 as an Ethernet address (RFC 2464 section 7).
const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
const BROADCAST: Mac = Mac([0xff; 6]);

/// The hop limit of a message that concerns the link alone; what is not MLD may say so with 255.
const LINK_HOP_LIMIT: u8 = ndp::HOP_LIMIT;

/// A neighbour solicitation for `target`, framed to `client` (RFC 6085) or, without one, to ff02::1 (flooded by
/// every snooping bridge).
///
/// The IPv6 destination is the solicited-node group of `target` where there is a client or no source (RFC 4861 sections
/// 7.1.1 and 7.2.2), else ff02::1. With an unspecified `source` it is that of duplicate address detection.
pub fn neighbour_solicitation(from: Mac, source: Ipv6Addr, target: Ipv6Addr, client: Option<Mac>) -> Vec<u8> {
    let anonymous = source.is_unspecified();
    let destination = if client.is_some() || anonymous { ndp::solicited_node(target) } else { ALL_NODES };
    let mut message = icmpv6(Icmpv6Types::NeighborSolicit);
    message.u32(0);
    message.bytes(&target.octets());
    if !anonymous {
        message.u8(NdpOptionTypes::SourceLLAddr.0);
        message.u8(1);
        message.bytes(&from.0);
    }
    let message = checksummed(message, source, destination);
    let packet = ipv6(source, destination, LINK_HOP_LIMIT, IpNextHeaderProtocols::Icmpv6, &message);
    ethernet(from, client.unwrap_or(ALL_NODES_MAC), EtherTypes::Ipv6, &packet)
}

/// An ARP request for `target`, framed to `client` or, without one, to everybody.
///
/// With an unspecified `source` it is an ARP probe (RFC 5227 section 2.1.1), which is answered all the same.
pub fn arp_request(from: Mac, source: Ipv4Addr, target: Ipv4Addr, client: Option<Mac>) -> Vec<u8> {
    let mut packet = vec![0; ArpPacket::minimum_packet_size()];
    if let Some(mut request) = MutableArpPacket::new(&mut packet) {
        request.set_hardware_type(ArpHardwareTypes::Ethernet);
        request.set_protocol_type(EtherTypes::Ipv4);
        request.set_hw_addr_len(arp::HARDWARE_LENGTH);
        request.set_proto_addr_len(arp::PROTOCOL_LENGTH);
        request.set_operation(ArpOperations::Request);
        request.set_sender_hw_addr(from.0.into());
        request.set_sender_proto_addr(source);
        request.set_target_proto_addr(target);
    }
    ethernet(from, client.unwrap_or(BROADCAST), EtherTypes::Arp, &packet)
}

/// An unsolicited neighbour advertisement for our address `target`, framed to `client`: what it believed of the address is
/// replaced (RFC 4861 section 7.2.6, override flag).
pub fn neighbour_advertisement(from: Mac, source: Ipv6Addr, target: Ipv6Addr, client: Mac) -> Vec<u8> {
    let mut message = icmpv6(Icmpv6Types::NeighborAdvert);
    message.u32(ROUTER_OVERRIDE);
    message.bytes(&target.octets());
    message.u8(NdpOptionTypes::TargetLLAddr.0);
    message.u8(1);
    message.bytes(&from.0);
    let message = checksummed(message, source, ALL_NODES);
    let packet = ipv6(source, ALL_NODES, LINK_HOP_LIMIT, IpNextHeaderProtocols::Icmpv6, &message);
    ethernet(from, client, EtherTypes::Ipv6, &packet)
}

/// The flags R and O of a neighbour advertisement (RFC 4861 section 4.4): a router, which it stays in the eyes of the client, and override.
const ROUTER_OVERRIDE: u32 = 0xa000_0000;

/// A gratuitous ARP request (RFC 5227 section 3) for our `address`, framed to `client`.
pub fn gratuitous_arp(from: Mac, address: Ipv4Addr, client: Mac) -> Vec<u8> {
    arp_request(from, address, address, Some(client))
}

/// A hop-by-hop header with the router alert of MLD (RFC 2711 section 2.1) and padding.
const ROUTER_ALERT: [u8; 8] = [IpNextHeaderProtocols::Icmpv6.0, 0, 5, 2, 0, 0, 1, 0];
/// Maximum response delay: in milliseconds below 32768 (RFC 3810 section 5.1.3). Small, since one client answers.
const RESPONSE_DELAY_MS: u16 = 10;
/// The robustness variable and the query interval in seconds by default (RFC 3810 sections 9.1 and 9.2). A host takes
/// them over from any query, so that others than the defaults would change how it behaves towards the real querier.
const ROBUSTNESS: u8 = 2;
const QUERY_INTERVAL_S: u8 = 125;

/// An MLDv2 general query framed to `client`, which makes it name the low 24 bits of all its addresses.
///
/// `source` must be link-local for a host to listen to it (RFC 3810 section 5.1.14).
pub fn mld_query(from: Mac, source: Ipv6Addr, client: Mac) -> Vec<u8> {
    let mut message = icmpv6(mld::QUERY);
    message.u16(RESPONSE_DELAY_MS);
    message.u16(0);
    // No group: a general query.
    message.bytes(&Ipv6Addr::UNSPECIFIED.octets());
    message.u8(ROBUSTNESS);
    message.u8(QUERY_INTERVAL_S);
    // No sources.
    message.u16(0);
    let mut payload = ROUTER_ALERT.to_vec();
    payload.extend(checksummed(message, source, ALL_NODES));
    let packet = ipv6(source, ALL_NODES, mld::HOP_LIMIT, IpNextHeaderProtocols::Hopopt, &payload);
    ethernet(from, client, EtherTypes::Ipv6, &packet)
}

/// 224.0.0.1, which every host listens to.
const ALL_SYSTEMS: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 1);
/// The router alert of IGMP (RFC 2113).
const ROUTER_ALERT_V4: [u8; 4] = [0x94, 4, 0, 0];
/// Internetwork control, as RFC 3376 section 4 wants it.
const CONTROL: u8 = 0xc0;
/// Maximum response time, in tenths of a second: the least there is.
const RESPONSE_TENTHS: u8 = 1;

/// An IGMPv3 general query framed to `client`: a host that listens to any group answers from its IPv4 address.
///
/// `source` may be unspecified, as a snooping bridge asks (RFC 4541 section 2.1.1). Hosts that speak IGMPv2 read it as one of theirs.
pub fn igmp_query(from: Mac, source: Ipv4Addr, client: Mac) -> Vec<u8> {
    // Type, response time, checksum, no group: a general query. Robustness and interval as for MLD, no sources.
    let mut message =
        vec![igmp::QUERY, RESPONSE_TENTHS, 0, 0, 0, 0, 0, 0, ROBUSTNESS, QUERY_INTERVAL_S, 0, 0];
    let sum = util::checksum(&message, 1);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let header_length = MutableIpv4Packet::minimum_packet_size() + ROUTER_ALERT_V4.len();
    let mut bytes = vec![0; header_length + message.len()];
    let total = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    if let Some(mut packet) = MutableIpv4Packet::new(&mut bytes) {
        packet.set_version(4);
        // In units of four bytes.
        packet.set_header_length((header_length / 4) as u8);
        packet.set_dscp(CONTROL >> 2);
        packet.set_total_length(total);
        packet.set_ttl(igmp::TIME_TO_LIVE);
        packet.set_next_level_protocol(IpNextHeaderProtocols::Igmp);
        packet.set_source(source);
        packet.set_destination(ALL_SYSTEMS);
    }
    bytes[header_length - ROUTER_ALERT_V4.len()..header_length].copy_from_slice(&ROUTER_ALERT_V4);
    let sum = util::checksum(&bytes[..header_length], 5);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    bytes[header_length..].copy_from_slice(&message);
    ethernet(from, client, EtherTypes::Ipv4, &bytes)
}

/// What the data of an echo request begins with that tells which node asks; its address follows.
pub(super) const NODE_MARK: [u8; 8] = *b"l3roamd\0";
/// The identifier of our echo requests.
pub(super) const ECHO_IDENTIFIER: u16 = super::super::intercom::PORT;

/// An ICMPv6 echo request to ff02::1 framed to `client` or, without one, to ff02::1; it may tell which `node` asks.
pub fn echo_request(from: Mac, source: Ipv6Addr, client: Option<Mac>, node: Option<Ipv6Addr>) -> Vec<u8> {
    let mut message = icmpv6(Icmpv6Types::EchoRequest);
    // Identifier and sequence number: any reply is welcome, so that they need not differ.
    message.u16(ECHO_IDENTIFIER);
    message.u16(0);
    if let Some(node) = node {
        message.bytes(&NODE_MARK);
        message.bytes(&node.octets());
    }
    let message = checksummed(message, source, ALL_NODES);
    let packet = ipv6(source, ALL_NODES, LINK_HOP_LIMIT, IpNextHeaderProtocols::Icmpv6, &message);
    ethernet(from, client.unwrap_or(ALL_NODES_MAC), EtherTypes::Ipv6, &packet)
}

/// The first four bytes of an ICMPv6 message; the checksum is for [`checksummed`].
fn icmpv6(kind: Icmpv6Type) -> Writer {
    let mut message = Writer::default();
    message.u8(kind.0);
    message.u8(0);
    message.u16(0);
    message
}

/// RFC 4443 section 2.3.
pub(super) fn checksummed(message: Writer, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    use pnet_packet::icmpv6::MutableIcmpv6Packet;
    let mut message = message.into_bytes();
    let sum = util::ipv6_checksum(&message, 1, &[], &source, &destination, IpNextHeaderProtocols::Icmpv6);
    if let Some(mut packet) = MutableIcmpv6Packet::new(&mut message) {
        packet.set_checksum(sum);
    }
    message
}

pub(super) fn ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    next: IpNextHeaderProtocol,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; Ipv6Packet::minimum_packet_size() + payload.len()];
    if let Some(mut packet) = MutableIpv6Packet::new(&mut bytes) {
        packet.set_version(6);
        packet.set_payload_length(u16::try_from(payload.len()).unwrap_or(u16::MAX));
        packet.set_next_header(next);
        packet.set_hop_limit(hop_limit);
        packet.set_source(source);
        packet.set_destination(destination);
        packet.payload_mut().copy_from_slice(payload);
    }
    bytes
}

pub(super) fn ethernet(from: Mac, to: Mac, ethertype: EtherType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; EthernetPacket::minimum_packet_size() + payload.len()];
    if let Some(mut frame) = MutableEthernetPacket::new(&mut bytes) {
        frame.set_destination(to.0.into());
        frame.set_source(from.0.into());
        frame.set_ethertype(ethertype);
        frame.payload_mut().copy_from_slice(payload);
    }
    bytes
}
