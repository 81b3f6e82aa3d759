//! The little that the daemon must know of a client's packet: where it comes from, where it goes, and whether its
//! sender may be told that it could not be delivered.

use std::net::{IpAddr, Ipv4Addr};

use pnet_packet::Packet as _;
use pnet_packet::icmp::{IcmpType, IcmpTypes};
use pnet_packet::icmpv6::{Icmpv6Type, Icmpv6Types};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;

use super::codec::Reader;
use super::ipv6::upper_layer;
use crate::net::is_host_address;

/// What the header of an IPv4 or IPv6 packet says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The source address.
    pub source: IpAddr,
    /// The destination address.
    pub destination: IpAddr,
    /// Whether an ICMP error about it may be sent (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)): not about an ICMP error, a
    /// fragment other than the first, a multicast or broadcast packet, or one whose source is not a single host.
    pub error_allowed: bool,
}

/// Reads the header; `None` where it is not a whole IPv4 or IPv6 header.
///
/// The payload may be cut: where that hides whether it is an ICMP error, no error about it is allowed.
pub fn parse(packet: &[u8]) -> Option<Header> {
    match packet.first()? >> 4 {
        4 => parse_v4(packet),
        6 => parse_v6(packet),
        _ => None,
    }
}

fn parse_v4(packet: &[u8]) -> Option<Header> {
    let header = Ipv4Packet::new(packet)?;
    // In units of four bytes, options included (RFC 791 section 3.1).
    let length = usize::from(header.get_header_length()) * 4;
    if length < Ipv4Packet::minimum_packet_size() {
        return None;
    }
    let mut reader = Reader::new(packet);
    reader.take(length).ok()?;
    let (source, destination) = (header.get_source(), header.get_destination());
    // RFC 1122 section 3.2.2 also names the source in class E and in network 0.
    let single_host = is_host_address(source.into()) && !matches!(source.octets()[0], 0 | 240..);
    let no_error_itself = match header.get_next_level_protocol() {
        IpNextHeaderProtocols::Icmp => reader.u8().is_ok_and(|kind| is_query(IcmpType(kind))),
        _ => true,
    };
    let error_allowed = single_host
        && is_single_destination(destination)
        && header.get_fragment_offset() == 0
        && no_error_itself;
    Some(Header { source: source.into(), destination: destination.into(), error_allowed })
}

/// Whether an ICMP message asks or answers. All others count as errors: a type that we do not know may be one.
fn is_query(kind: IcmpType) -> bool {
    matches!(
        kind,
        IcmpTypes::EchoReply
            | IcmpTypes::EchoRequest
            | IcmpTypes::Timestamp
            | IcmpTypes::TimestampReply
            | IcmpTypes::InformationRequest
            | IcmpTypes::InformationReply
            | IcmpTypes::AddressMaskRequest
            | IcmpTypes::AddressMaskReply
    )
}

fn is_single_destination(destination: Ipv4Addr) -> bool {
    !destination.is_multicast() && !destination.is_broadcast()
}

fn parse_v6(packet: &[u8]) -> Option<Header> {
    let header = Ipv6Packet::new(packet)?;
    let (source, destination) = (header.get_source(), header.get_destination());
    let error_allowed = is_host_address(source.into())
        && !destination.is_multicast()
        && upper_layer(header.get_next_header(), header.payload()).is_some_and(|upper| {
            upper.fragment.unwrap_or(0) == 0
                && (upper.protocol != IpNextHeaderProtocols::Icmpv6
                    || upper.payload.first().is_some_and(|kind| !is_error_v6(Icmpv6Type(*kind))))
        });
    Some(Header { source: source.into(), destination: destination.into(), error_allowed })
}

/// Errors are the types below 128 (RFC 4443 section 2.1), and no error may be sent about a redirect either (section 2.4
/// (e.2)).
fn is_error_v6(kind: Icmpv6Type) -> bool {
    kind.0 < 128 || kind == Icmpv6Types::Redirect
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const UDP: u8 = 17;

    fn v4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        bytes.extend(source.iter().chain(&destination).chain(payload));
        bytes
    }

    fn v6(source: &str, destination: &str, next: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, u8::try_from(payload.len()).unwrap(), next, 64];
        for address in [source, destination] {
            bytes.extend(address.parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
        bytes.extend(payload);
        bytes
    }

    fn allowed(packet: &[u8]) -> bool {
        parse(packet).unwrap().error_allowed
    }

    #[test]
    fn the_header_says_from_where_to_where() {
        let (source, destination) = ("10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap());
        let packet = v4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &[]);
        assert_eq!(parse(&packet), Some(Header { source, destination, error_allowed: true }));
        let (source, destination) = ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
        let packet = v6("fd00::1", "fd00::2", UDP, &[]);
        assert_eq!(parse(&packet), Some(Header { source, destination, error_allowed: true }));
    }

    #[test]
    fn what_is_no_whole_header_is_none() {
        for packet in [v4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &[]), v6("fd00::1", "fd00::2", UDP, &[])] {
            for end in 0..packet.len() {
                assert_eq!(parse(&packet[..end]), None, "{end}");
            }
        }
        let mut packet = v4([10, 0, 0, 1], [10, 0, 0, 2], UDP, &[]);
        for first in [0x44, 0x40, 0x46, 0x4f, 0x35, 0x75] {
            packet[0] = first;
            assert_eq!(parse(&packet), None, "{first:x}");
        }
    }

    /// RFC 1122 section 3.2.2.
    #[test]
    fn no_error_about_ipv4_that_must_not_have_one() {
        let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
        for source in [[0, 0, 0, 0], [127, 0, 0, 1], [224, 0, 0, 1], [240, 0, 0, 1], [255; 4], [0, 0, 0, 1]] {
            assert!(!allowed(&v4(source, b, UDP, &[])), "{source:?}");
        }
        for destination in [[224, 0, 0, 1], [255; 4]] {
            assert!(!allowed(&v4(a, destination, UDP, &[])), "{destination:?}");
        }
        for (kind, expected) in
            [(8, true), (0, true), (13, true), (3, false), (5, false), (11, false), (99, false)]
        {
            assert_eq!(allowed(&v4(a, b, 1, &[kind, 0, 0, 0])), expected, "type {kind}");
        }
        assert!(!allowed(&v4(a, b, 1, &[])), "cut before the type");
        let mut fragment = v4(a, b, UDP, &[]);
        fragment[6] = 0x20; // the first of several
        assert!(allowed(&fragment));
        fragment[7] = 1;
        assert!(!allowed(&fragment));
    }

    /// RFC 4443 section 2.4 (e).
    #[test]
    fn no_error_about_ipv6_that_must_not_have_one() {
        let (a, b) = ("fd00::1", "fd00::2");
        for (source, destination) in [("::", b), ("::1", b), ("ff02::1", b), (a, "ff0e::1")] {
            assert!(!allowed(&v6(source, destination, UDP, &[])), "{source} {destination}");
        }
        for (kind, expected) in [(128, true), (129, true), (1, false), (4, false), (127, false), (137, false)]
        {
            let behind_options = [58, 0, 1, 4, 0, 0, 0, 0, kind];
            assert_eq!(allowed(&v6(a, b, 58, &[kind])), expected, "type {kind}");
            assert_eq!(allowed(&v6(a, b, 60, &behind_options)), expected, "type {kind} behind options");
        }
        assert!(!allowed(&v6(a, b, 58, &[])), "cut before the type");
        assert!(!allowed(&v6(a, b, 60, &[17, 9])), "cut within the options");
        assert!(allowed(&v6(a, b, 44, &[UDP, 0, 0, 1, 0, 0, 0, 1])));
        assert!(!allowed(&v6(a, b, 44, &[UDP, 0, 0, 8, 0, 0, 0, 1])));
        // No next header (59) and what is encrypted (50) are no ICMP errors as far as one can see.
        assert!(allowed(&v6(a, b, 59, &[])) && allowed(&v6(a, b, 50, &[])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(first in any::<u8>(), rest in vec(any::<u8>(), 0..120)) {
            let _ = parse(&[&[first], &rest[..]].concat());
            let _ = parse(&[&[0x45], &rest[..]].concat());
            let _ = parse(&[&[0x60], &rest[..]].concat());
        }
    }
}
