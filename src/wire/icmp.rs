//! The errors by which a sender learns that its packet could not be delivered.
//!
//! Whether one may be sent about a packet is [`ip::Header::error_allowed`](super::ip::Header::error_allowed).

use pnet_packet::icmp::destination_unreachable::IcmpCodes;
use pnet_packet::icmp::{IcmpTypes, MutableIcmpPacket};
use pnet_packet::icmpv6::Icmpv6Types;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::ipv6::Ipv6Packet;
use pnet_packet::util;

use super::codec::Writer;

/// Type, code, checksum and four bytes unused.
const HEAD: usize = 8;
/// The IPv6 packet of an error does not exceed the minimum MTU (RFC 4443 section 2.4 (c)).
const MOST_V6: usize = 1280;
/// The IPv4 datagram of an error does not exceed this (RFC 1812 section 4.3.2.3).
const MOST_V4: usize = 576;
/// Address unreachable (RFC 4443 section 3.1): neither a failed resolution nor a link problem has a code of its own.
const ADDRESS_UNREACHABLE: u8 = 3;

/// The ICMPv6 message "destination unreachable, address unreachable" about `packet` (RFC 4443 section 3.1), with as much of it as
/// the minimum MTU allows.
///
/// The checksum is 0: it covers addresses that the kernel chooses, and a raw ICMPv6 socket of Linux fills it in
/// (RFC 3542 section 3.1).
pub fn address_unreachable(packet: &[u8]) -> Vec<u8> {
    message(
        Icmpv6Types::DestinationUnreachable.0,
        ADDRESS_UNREACHABLE,
        packet,
        MOST_V6 - Ipv6Packet::minimum_packet_size(),
    )
}

/// The ICMP message "destination unreachable, host unreachable" about `packet` (RFC 792), checksum included, with as much of it
/// as 576 bytes in all allow (RFC 1812 section 4.3.2.3), which is always more than its header and eight bytes.
pub fn host_unreachable(packet: &[u8]) -> Vec<u8> {
    let code = IcmpCodes::DestinationHostUnreachable.0;
    let most = MOST_V4 - Ipv4Packet::minimum_packet_size();
    let mut bytes = message(IcmpTypes::DestinationUnreachable.0, code, packet, most);
    let sum = util::checksum(&bytes, 1);
    if let Some(mut icmp) = MutableIcmpPacket::new(&mut bytes) {
        icmp.set_checksum(sum);
    }
    bytes
}

fn message(kind: u8, code: u8, packet: &[u8], most: usize) -> Vec<u8> {
    let quoted = packet.get(..most - HEAD).unwrap_or(packet);
    let mut writer = Writer::with_capacity(HEAD + quoted.len());
    writer.u8(kind);
    writer.u8(code);
    writer.u16(0);
    writer.u32(0);
    writer.bytes(quoted);
    writer.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_quoted_as_fits_the_minimum_mtu() {
        let small = address_unreachable(&[0x60; 50]);
        assert_eq!((&small[..8], &small[8..]), (&[1, 3, 0, 0, 0, 0, 0, 0][..], &[0x60; 50][..]));
        assert_eq!(address_unreachable(&[0x60; 1500]).len(), 1240);
        assert_eq!(address_unreachable(&[]).len(), 8);
    }

    #[test]
    fn the_ipv4_error_is_checksummed_and_stays_small() {
        for length in [0, 28, 29, 548, 1500] {
            let error = host_unreachable(&vec![0x45; length]);
            assert_eq!(error.len(), 8 + length.min(548));
            assert_eq!(error[..2], [3, 1]);
            // A sum over everything, the checksum in it, is all ones (RFC 1071).
            assert_eq!(util::checksum(&error, usize::MAX), 0, "{length}");
        }
    }
}
