//! Neighbour discovery, RFC 4861.

use std::net::Ipv6Addr;

use pnet_packet::icmpv6::Icmpv6Code;
use pnet_packet::icmpv6::ndp::{NdpOptionType, NdpOptionTypes};

use super::{FrameContent, FrameError, Message};
use crate::wire::codec::Reader;

/// The hop limit that no router can have let through (RFC 4861 section 3.1).
pub(super) const HOP_LIMIT: u8 = 255;

/// The Solicited flag in the first four bytes of an advertisement (RFC 4861 section 4.4).
const SOLICITED: u32 = 1 << 30;

/// ff02::1:ff00:0/104, the solicited-node groups (RFC 4291 section 2.7.1).
const SOLICITED_NODE: [u8; 13] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff];

/// The group that a node joins for its address `target`.
pub(super) fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let mut octets = target.octets();
    octets[..SOLICITED_NODE.len()].copy_from_slice(&SOLICITED_NODE);
    Ipv6Addr::from(octets)
}

/// The low 24 bits of the addresses for which a node joins `group`, where it is a solicited-node group.
pub(super) fn solicited_suffix(group: Ipv6Addr) -> Option<[u8; 3]> {
    let octets = group.octets();
    octets.strip_prefix(&SOLICITED_NODE)?.try_into().ok()
}

/// A neighbour solicitation (section 4.3), valid by section 7.1.1.
pub(super) fn solicitation(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let (_, target, options) = head(message)?;
    if target.is_multicast() {
        return Err(FrameError::Invalid);
    }
    if !message.source.is_unspecified() {
        return Ok(vec![FrameContent::Uses(message.source.into())]);
    }
    if solicited_suffix(message.destination).is_none() || options.source_link_layer {
        return Err(FrameError::Invalid);
    }
    Ok(vec![FrameContent::WantsToUse(target.into())])
}

/// A neighbour advertisement (section 4.4), valid by section 7.1.2.
pub(super) fn advertisement(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let (flags, target, _) = head(message)?;
    if target.is_multicast() || (message.destination.is_multicast() && flags & SOLICITED != 0) {
        return Err(FrameError::Invalid);
    }
    let mut contents = vec![FrameContent::Uses(target.into())];
    if message.source != target {
        contents.push(FrameContent::Uses(message.source.into()));
    }
    Ok(contents)
}

/// A router solicitation (section 4.1), valid by section 6.1.1.
pub(super) fn router_solicitation(message: &Message<'_>) -> Result<Vec<FrameContent>, FrameError> {
    let mut reader = checked(message)?;
    let _reserved = reader.u32()?;
    let options = options(reader)?;
    if message.source.is_unspecified() && options.source_link_layer {
        return Err(FrameError::Invalid);
    }
    Ok(vec![FrameContent::Uses(message.source.into())])
}

/// The flags, the target and the options, which solicitation and advertisement have in common.
fn head(message: &Message<'_>) -> Result<(u32, Ipv6Addr, Options), FrameError> {
    let mut reader = checked(message)?;
    let flags = reader.u32()?;
    let target = Ipv6Addr::from(reader.array::<16>()?);
    Ok((flags, target, options(reader)?))
}

/// What follows type, code and checksum, where the rules for all messages hold.
fn checked<'a>(message: &Message<'a>) -> Result<Reader<'a>, FrameError> {
    if message.hop_limit != HOP_LIMIT || message.code != Icmpv6Code(0) {
        return Err(FrameError::Invalid);
    }
    let mut reader = Reader::new(message.bytes);
    let _type_code_checksum = reader.u32()?;
    Ok(reader)
}

/// What the options say that makes a message invalid.
struct Options {
    source_link_layer: bool,
}

/// Walks the options (section 4.6). One of length 0 makes the packet invalid, one that is unknown is skipped.
fn options(mut reader: Reader<'_>) -> Result<Options, FrameError> {
    let mut options = Options { source_link_layer: false };
    while !reader.is_empty() {
        let kind = NdpOptionType(reader.u8()?);
        // In units of eight bytes, type and length included.
        let length = usize::from(reader.u8()?) * 8;
        reader.take(length.checked_sub(2).ok_or(FrameError::Invalid)?)?;
        options.source_link_layer |= kind == NdpOptionTypes::SourceLLAddr;
    }
    Ok(options)
}
