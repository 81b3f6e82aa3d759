//! Membership reports of IPv4, RFC 2236 and RFC 3376: their source is the one thing by which a host that says nothing else
//! names its IPv4 address. Whatever listens to mDNS or SSDP, as every phone does, answers a query with one.

use pnet_packet::Packet as _;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, Ipv4Packet};
use pnet_packet::util;

use super::{FrameContent, FrameError};

/// The time to live of IGMP (RFC 3376 section 4).
pub(super) const TIME_TO_LIVE: u8 = 1;
pub(super) const QUERY: u8 = 0x11;
const REPORT_V1: u8 = 0x12;
const REPORT_V2: u8 = 0x16;
const LEAVE: u8 = 0x17;
const REPORT_V3: u8 = 0x22;
/// The shortest message.
const MIN_MESSAGE: usize = 8;

/// The sender of a report uses its source address; which groups it names is none of our business.
pub(super) fn parse(packet: &[u8]) -> Result<Vec<FrameContent>, FrameError> {
    let header = Ipv4Packet::new(packet).ok_or(FrameError::Truncated)?;
    if header.get_next_level_protocol() != IpNextHeaderProtocols::Igmp {
        return Err(FrameError::NotOfInterest);
    }
    let header_length = usize::from(header.get_header_length()) * 4;
    let whole = header_length.max(usize::from(header.get_total_length()));
    if packet.len() < whole {
        return Err(FrameError::Truncated);
    }
    let fragment =
        header.get_fragment_offset() != 0 || header.get_flags() & ipv4::Ipv4Flags::MoreFragments != 0;
    if header.get_version() != 4
        || header_length < Ipv4Packet::minimum_packet_size()
        || fragment
        || header.get_ttl() != TIME_TO_LIVE
        || util::checksum(&packet[..header_length], 5) != header.get_checksum()
    {
        return Err(FrameError::Invalid);
    }
    let message = header.payload();
    if message.len() < MIN_MESSAGE {
        return Err(FrameError::Truncated);
    }
    match message[0] {
        REPORT_V1 | REPORT_V2 | REPORT_V3 | LEAVE => {}
        _ => return Err(FrameError::NotOfInterest),
    }
    if util::checksum(message, 1) != u16::from_be_bytes([message[2], message[3]]) {
        return Err(FrameError::Invalid);
    }
    Ok(vec![FrameContent::Uses(header.get_source().into())])
}
